//! Settings of the control plane.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use reconcile::deploy::Timeouts;
use reconcile::retention::Keep;

/// Name of the file in the state directory that the edge keeps its table in.
pub(crate) const ROUTES_FILE: &str = "routes.json";

/// Settings of the control plane. All of them are given when it starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything that lasts is kept; mode 0700.
    pub state_dir: PathBuf,
    /// Where sockets and what must not reach a disk are kept: a tmpfs.
    pub run_dir: PathBuf,
    /// How to run this program: its path, and arguments that come before the role.
    pub executable: Vec<OsString>,
    /// Where the edge listens. The first port is the one in URLs.
    pub listen: Vec<SocketAddr>,
    /// What the operator chose for the edge.
    pub edge: edge::Settings,
    /// The operator's variables for every build and instance.
    pub operator_env: Vec<(String, String)>,
    /// Mirrors and credentials of registries of images.
    pub registries: images::Registries,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// Work that fills the disk ends when less than this is free; `None` is a part of the disk.
    pub disk_floor_bytes: Option<u64>,
    /// What is kept of what is over.
    pub keep: Keep,
    /// How many builds may run at once.
    pub concurrent_builds: usize,
    /// Bytes that each instance may have on the disk outside of disks and volumes.
    pub instance_disk_bytes: Option<u64>,
    /// Bytes of the disk that instances leave to databases and to Gable; the engine's own choice
    /// where `None`.
    pub disk_reserve_bytes: Option<u64>,
    /// How much of the machine one build may use.
    pub build_limits: build::BuildLimits,
    /// Whether instances run as plain processes, although namespaces could be had.
    pub is_plain: bool,
}

impl Config {
    /// Where the API listens.
    #[must_use]
    pub fn api_socket(&self) -> PathBuf {
        self.run_dir.join("api.sock")
    }

    /// Where the edge takes routes.
    #[must_use]
    pub fn edge_socket(&self) -> PathBuf {
        self.run_dir.join("edge.sock")
    }

    /// Where logs are kept.
    #[must_use]
    pub fn logs_dir(&self) -> PathBuf {
        self.state_dir.join("logs")
    }

    /// The port of public URLs.
    #[must_use]
    pub fn public_port(&self) -> u16 {
        self.listen.first().map_or(8080, SocketAddr::port)
    }

    /// The address of a public host for a browser.
    #[must_use]
    pub fn public_url(&self, host: &str) -> String {
        match self.public_port() {
            80 => format!("http://{host}"),
            port => format!("http://{host}:{port}"),
        }
    }

    /// The address that a person on this machine connects to.
    #[must_use]
    pub fn public_address(&self) -> IpAddr {
        self.listen.first().map_or(IpAddr::from([127, 0, 0, 1]), SocketAddr::ip)
    }
}
