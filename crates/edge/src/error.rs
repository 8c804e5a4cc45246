//! What can go wrong, seen from outside.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use model::route::Generation;

/// Why the edge could not start, or did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A listening socket could not be had.
    #[error("listen on {address}: {hint}")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What a person can do.
        hint: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Another edge holds the lock beside the control socket.
    #[error(
        "start a second edge: one already runs with the control socket {path} (hint: `gable status` shows it)"
    )]
    AlreadyRunning {
        /// The control socket.
        path: PathBuf,
    },
    /// The control socket or its lock could not be made.
    #[error("create the control socket {path}")]
    ControlSocket {
        /// The control socket.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kept table could not be read or written.
    #[error("{action} the route table {path}")]
    Table {
        /// `read` or `write`.
        action: &'static str,
        /// Where it is kept.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// This machine's own authority could not be made or read.
    #[error("{action} the authority for https in {}", .path.display())]
    Authority {
        /// `make`, `read` or `use`.
        action: &'static str,
        /// Its directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A thread or its runtime could not be started.
    #[error("start a serving thread")]
    Thread(#[source] io::Error),
    /// The table is not newer than the one that is served.
    #[error("apply route table {offered}: the edge already serves {current}", offered = .offered.0, current = .current.0)]
    Stale {
        /// What was offered.
        offered: Generation,
        /// What is served.
        current: Generation,
    },
    /// No edge answers on the control socket.
    #[error("reach the edge on {path}")]
    NotRunning {
        /// The control socket.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The edge answered, but not what was expected.
    #[error("talk to the edge: {0}")]
    Protocol(String),
}

impl Error {
    pub(crate) fn authority(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Authority { action, path, source }
    }
}
