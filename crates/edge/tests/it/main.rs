//! The edge, with real sockets, real targets and real files.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod claims;
mod crowds;
mod draining;
mod limits;
mod names;
mod proxying;
mod published;
mod restarts;
mod secure;
mod sites;
mod support;
mod tables;
