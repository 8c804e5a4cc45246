//! The real binary, as a person and as a program see it. The server behind it is one that answers
//! what a test says; the real one is started by the end-to-end tests.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic, helpers as well")]

mod blueprint;
mod compose;
mod env;
mod hostile;
mod install;
mod jobs;
mod look;
mod support;
mod up;
mod words;
