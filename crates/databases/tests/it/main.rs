//! Real servers, started as the control plane starts them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails by panicking")]
#![expect(clippy::print_stdout, reason = "tests say how long things took and why they skip")]

mod failures;
mod init;
mod key_value;
mod majors;
mod native;
mod parameters;
mod plain;
mod postgres;
mod processes;
mod stage;
mod world;
