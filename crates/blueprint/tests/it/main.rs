//! The reader on fixtures, on real files and on broken ones.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that fails to unwrap has failed; counts and skipped tests are told to whoever runs them"
)]

mod compose;
mod corpus;
mod explained;
mod fixed;
mod fuzz;
mod hostile;
mod layout;
mod repairs;
mod resources;
mod support;
mod variables;
mod verdicts;
