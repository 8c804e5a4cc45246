//! Real git, real package managers, real instances.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod builds;
mod docker;
mod docker_killed;
mod docker_registry;
mod docker_words;
mod kept;
mod killed;
mod limits;
mod neighbours;
mod plain;
mod platform;
mod repository;
mod sources;
