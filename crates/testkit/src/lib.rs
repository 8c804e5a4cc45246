//! Helpers for end-to-end tests: the platform as a person starts it, repositories to deploy, load,
//! and a browser.
//!
//! Everything works on loopback and in temporary directories, has a bound, and cleans up after
//! itself when it is dropped, also when the test has failed. Only processes that were started by
//! the helper itself, or that carry its own temporary directory in their arguments, are ended.

pub mod browser;
pub mod docker;
pub mod http;
pub mod load;
pub mod platform;
pub mod process;
pub mod registry;
pub mod repository;
pub mod roots;
pub mod traces;
pub mod wrk;

pub use browser::Browser;
pub use docker::Docker;
pub use load::{Load, Tally};
pub use platform::{Options, Platform, Run};
pub use registry::Registry;
pub use repository::Repository;
pub use traces::Traces;

use std::path::{Path, PathBuf};

/// Folder of the project's examples.
#[must_use]
pub fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// Whether tests that need root can run. When not, the reason is printed, so that a skipped test is
/// seen.
#[must_use]
pub fn is_root(test: &str) -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        use std::io::Write;
        let note = format!("skipped {test}: it makes network namespaces, which needs root\n");
        // A note that cannot be written is no reason to fail a test.
        drop(std::io::stderr().write_all(note.as_bytes()));
    }
    is_root
}
