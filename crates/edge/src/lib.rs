//! The edge: the reverse proxy in front of every service, and the name server of every private
//! network.
//!
//! It is a process of its own, so that it outlives the control plane: it is told what to serve as
//! a whole [`model::RouteTable`] and keeps the last one on disk. A request never waits for the
//! control plane.
//!
//! # How it works
//!
//! [`run`] starts one thread per core. Each has a single-threaded runtime, its own listening
//! sockets (`SO_REUSEPORT`), its own copy of the pointer to the table and its own pool of
//! connections to targets: cores share nothing but counters that only one of them writes. The
//! first thread serves the control socket and DNS.
//!
//! A table is *applied* when every core has switched to it. A core switches between two polls of
//! its requests, and a request is counted as in flight at the moment in which it chooses a target.
//! So once [`Client::apply`] has returned, no request can reach a target that left the table, and
//! the count of those that still run on it only falls. That is what makes a drain exact.
//!
//! # Published ports
//!
//! A table may name ports that lead to one service each. On some, requests are proxied whatever
//! their host; on others, connections are passed on as they are, and a connection that is open
//! counts as in flight on its target. A port that somebody else has is reported with the
//! acknowledgement, and tried again until it can be had or leaves the table.
//!
//! # Clients
//!
//! Each source has a share of the connections, and none waits for another: whoever comes when all
//! places are taken gets that of the connection that was unused for longest, of whoever has most.
//! What a client says about its own address and about the host and scheme it asked for is replaced
//! by what the edge knows, unless the client is a proxy that its operator trusts.
//!
//! # Limits
//!
//! HTTP/1.1 and HTTP/2 (with prior knowledge, or by ALPN) come in, HTTP/1.1 goes out. TLS is spoken for
//! `.localhost` only, with certificates of an authority of this machine's own.

mod bind;
mod body;
mod client;
mod config;
mod connection;
mod control;
mod counters;
mod dns;
mod error;
mod files;
mod listen;
mod pages;
mod persist;
mod proxy;
mod published;
mod rules;
mod run;
mod serve;
mod sources;
mod status;
mod table;
mod tcp;
mod tls;
mod worker;

pub use client::Client;
pub use config::{Config, Limits, Settings};
pub use error::Error;
pub use run::run;
pub use status::{
    Applied, ListenerStatus, SecureStatus, ServiceCounters, Status, TargetStatus, ZoneStatus,
};
pub use tls::{Authority, CERTIFICATE_FILE};
