//! What [`crate::run`] needs to know before it starts.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

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
    /// The directory of the authority whose certificates are shown; `None` for no TLS.
    pub authority: Option<PathBuf>,
    /// Number of threads that serve requests; 0 means one per core.
    pub threads: usize,
    /// What an operator may choose.
    pub settings: Settings,
}

/// What an operator may choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Proxies that are believed what they say about their clients: the headers by which they do
    /// are kept. Nobody is, unless named here; loopback neither.
    pub trusted_proxies: Vec<IpNet>,
    /// Addresses that HTTPS is served on, if they can be had. With port 0 the kernel chooses.
    pub https: Vec<SocketAddr>,
    /// Limits of what clients and targets may do.
    pub limits: Limits,
}

/// Beside 8080 for HTTP.
const DEFAULT_HTTPS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8443);

impl Default for Settings {
    fn default() -> Self {
        let limits = Limits::default();
        Self { trusted_proxies: Vec::new(), https: vec![DEFAULT_HTTPS], limits }
    }
}

/// Limits of what clients and targets may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Longest request head (target and headers); longer ones are answered 431.
    pub max_header_bytes: usize,
    /// Longest request body; longer ones are answered 413. `None` is no limit.
    pub max_body_bytes: Option<u64>,
    /// Time in which a new connection must have sent its first request.
    pub first_request_timeout: Duration,
    /// Time in which a request head must arrive, counted from its first byte.
    pub header_timeout: Duration,
    /// How long a connection is kept that has had its answers and asks nothing.
    pub keep_alive_timeout: Duration,
    /// Time in which a client must take or send at least one byte of a body.
    pub idle_timeout: Duration,
    /// Time in which a target must accept a connection. It is on this machine, where the kernel
    /// answers at once for whatever listens: an address that is silent for longer is gone, or its
    /// queue is full. Either way the newest table is asked again.
    pub upstream_connect_timeout: Duration,
    /// The same for a server outside that a rewrite leads to.
    pub outside_connect_timeout: Duration,
    /// Time in which a target must begin to answer after the request was passed on, and the
    /// longest pause inside its answer (event streams may be silent for longer). There is no such
    /// limit on published ports.
    pub upstream_response_timeout: Duration,
    /// Most connections from clients at once. When there are as many, a new one takes the place of
    /// an unused one of whoever has most, or is refused.
    pub max_connections: usize,
    /// Most connections at once from one source: an address, or the /64 of an IPv6 one. `None` is
    /// half of those that are possible.
    pub max_connections_per_source: Option<usize>,
}

/// The defaults are generous: an app that works elsewhere must work here.
impl Default for Limits {
    fn default() -> Self {
        Self {
            max_header_bytes: 64 * 1024,
            max_body_bytes: None,
            first_request_timeout: Duration::from_secs(30),
            header_timeout: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(75),
            idle_timeout: Duration::from_secs(60),
            upstream_connect_timeout: Duration::from_millis(50),
            outside_connect_timeout: Duration::from_secs(5),
            upstream_response_timeout: Duration::from_secs(12 * 60 * 60),
            max_connections: 20_000,
            max_connections_per_source: None,
        }
    }
}
