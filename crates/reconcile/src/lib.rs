//! From what is asked and what is seen to what to do next.
//!
//! Everything here is pure and synchronous: the time is an argument, nothing is remembered between
//! two calls, nothing is retried inside. Code that acts lives in `control` and has no choices left.

pub mod deploy;
pub mod diagnosis;
pub mod disk;
pub mod filter;
pub mod hosts;
pub mod lineage;
pub mod port;
pub mod retention;
pub mod route;
pub mod service;
pub mod source;
pub mod svelte;
pub mod wiring;
