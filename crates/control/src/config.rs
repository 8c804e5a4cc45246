//! Settings of the control plane.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

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
    /// Whether public URLs begin with `https`, whoever trusts the authority.
    pub is_https: bool,
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

    /// The port of public URLs over HTTP.
    #[must_use]
    pub fn public_port(&self) -> u16 {
        self.listen.first().map_or(8080, SocketAddr::port)
    }

    /// The address of a public host for a browser. Only `.localhost` has certificates.
    #[must_use]
    pub fn public_url(&self, host: &str) -> String {
        let https = self.edge.https.first().filter(|_| host.ends_with(".localhost"));
        let (scheme, usual, port) = match https.filter(|_| self.is_https_public()) {
            Some(https) => ("https", 443, https.port()),
            None => ("http", 80, self.public_port()),
        };
        if port == usual {
            format!("{scheme}://{host}")
        } else {
            format!("{scheme}://{host}:{port}")
        }
    }

    /// Whether public URLs begin with `https`: by order, or because the authority is trusted.
    #[must_use]
    pub fn is_https_public(&self) -> bool {
        self.is_https || trusted_marker(&self.state_dir).exists()
    }

    /// What instances are shown so that they trust the authority; public.
    #[must_use]
    pub fn trust_dir(&self) -> PathBuf {
        self.state_dir.join("trust")
    }

    /// The address that a person on this machine connects to.
    #[must_use]
    pub fn public_address(&self) -> IpAddr {
        self.listen.first().map_or(IpAddr::from([127, 0, 0, 1]), SocketAddr::ip)
    }
}

/// Where the authority is by which HTTPS is served; its key must not leave this directory.
#[must_use]
pub fn authority_dir(state_dir: &Path) -> PathBuf {
    state_dir.join("authority")
}

/// The file that is there when programs or browsers of this machine trust the authority.
#[must_use]
pub fn trusted_marker(state_dir: &Path) -> PathBuf {
    authority_dir(state_dir).join("trusted")
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn https_is_the_scheme_of_local_hosts_when_it_is_trusted_or_asked_for() {
        let directory = tempfile::tempdir().expect("a directory");
        let platform = crate::testing::platform(directory.path());
        let mut config = platform.config.clone();
        let (local, domain) = ("shop.localhost", "shop.example.com");
        assert_eq!(config.public_url(local), "http://shop.localhost:8080");
        let marker = super::trusted_marker(&config.state_dir);
        std::fs::create_dir_all(marker.parent().expect("it has one")).expect("made");
        std::fs::write(&marker, "").expect("written");
        assert_eq!(config.public_url(local), "https://shop.localhost:8443");
        assert_eq!(config.public_url(domain), "http://shop.example.com:8080");
        std::fs::remove_file(&marker).expect("removed");
        assert_eq!(config.public_url(local), "http://shop.localhost:8080");
        config.is_https = true;
        config.edge.https = vec![([127, 0, 0, 1], 443).into()];
        assert_eq!(config.public_url(local), "https://shop.localhost");
    }
}
