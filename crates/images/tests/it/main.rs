//! Images as the platform meets them: a real registry, real layers, a real overlay, and strangers
//! who mean no good.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod files;
mod hostile;
mod killed;
mod layer;
mod layers;
mod login;
mod mutated;
mod pulls;
mod registry;
mod stranger;
mod users;
mod world;
