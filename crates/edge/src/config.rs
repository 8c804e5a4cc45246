//! What [`crate::run`] needs to know before it starts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of one edge process. All but the table are fixed for its lifetime.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses that HTTP is served on. With port 0 the kernel chooses; see
    /// [`crate::Status::listen`].
    pub listen: Vec<SocketAddr>,
    /// Path of the Unix socket that tables are applied through; at most 107 bytes. `.lock` is
    /// added for the file that keeps a second edge away.
    pub control_socket: PathBuf,
    /// The file that the last applied table is kept in.
    pub table_path: PathBuf,
    /// Port of private DNS on each zone's gateway; 53 outside tests.
    pub dns_port: u16,
    /// Name servers for everything that is not private; `None` means those of `/etc/resolv.conf`,
    /// read again when it changes.
    pub dns_upstreams: Option<Vec<SocketAddr>>,
    /// Number of threads that serve requests; 0 means one per core.
    pub threads: usize,
    /// Limits of what clients and targets may do.
    pub limits: Limits,
}

/// Limits of what clients and targets may do.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest request head (target and headers); longer ones are answered 431.
    pub max_header_bytes: usize,
    /// Longest request body; longer ones are answered 413. `None` is no limit.
    pub max_body_bytes: Option<u64>,
    /// Time in which a request head must arrive. Also how long an idle connection is kept.
    pub header_timeout: Duration,
    /// Time in which a client must take or send at least one byte of a body.
    pub idle_timeout: Duration,
    /// Time in which a target must accept a connection.
    pub upstream_connect_timeout: Duration,
    /// Time in which a target must begin to answer after the request was passed on, and the
    /// longest pause inside its answer (event streams may be silent for longer).
    pub upstream_response_timeout: Duration,
    /// Most connections from clients at once; more of them wait to be accepted.
    pub max_connections: usize,
}

/// The defaults are generous: an app that works elsewhere must work here.
impl Default for Limits {
    fn default() -> Self {
        Self {
            max_header_bytes: 64 * 1024,
            max_body_bytes: None,
            header_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            upstream_connect_timeout: Duration::from_secs(5),
            upstream_response_timeout: Duration::from_secs(100),
            max_connections: 20_000,
        }
    }
}
