//! What a server was told when it was started, for the next time: after a crash, whichever command
//! starts it again, its URLs stay the same.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use reconcile::retention::Keep;
use serde::{Deserialize, Serialize};

use super::args::{BuildArgs, ServerArgs};
use super::size::Size;

/// Where the edge listens when nobody ever said otherwise.
const DEFAULT_LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 8080);

/// What an instance may have on the disk when nobody ever said otherwise.
const DEFAULT_INSTANCE_DISK: u64 = 10 << 30;

/// Variables of the server's own environment that every build and instance needs as much as the
/// server does: how to reach the network, and whom to trust there.
const INHERITED: [&str; 19] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_INDEX_URL",
    "UV_INDEX_URL",
    "npm_config_registry",
    "NPM_CONFIG_REGISTRY",
];

/// What a server was told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    /// Where the edge listens.
    pub(crate) listen: Vec<SocketAddr>,
    /// The file with the operator's variables.
    pub(crate) operator_env: Option<PathBuf>,
    /// Whether public URLs begin with `https` although nobody may trust the authority.
    pub(crate) is_https: bool,
    /// What clients of the edge may do.
    pub(crate) edge: edge::Settings,
    /// How much each instance may have on the disk.
    pub(crate) instance_disk: Option<Size>,
    /// How much of the disk instances leave to others.
    pub(crate) disk_reserve: Option<Size>,
    /// How much of the machine one build may use.
    pub(crate) build: BuildArgs,
    /// Earlier releases of each service that are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) keep_releases: Option<u32>,
    /// Days for which logs and records of what is over are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) keep_days: Option<u32>,
    /// All logs together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) keep_logs: Option<Size>,
    /// All caches of builds together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) keep_caches: Option<Size>,
    /// Builds end when less of the disk is free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) disk_floor: Option<Size>,
}

impl Settings {
    /// What the last server was told; nothing when there was none or it cannot be read.
    pub(crate) fn remembered(state_dir: &Path) -> Self {
        fs::read(path(state_dir))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// The same with what is said now.
    pub(crate) fn with(mut self, args: &ServerArgs) -> Self {
        if !args.listen.is_empty() {
            self.listen.clone_from(&args.listen);
        }
        if self.listen.is_empty() {
            self.listen.push(SocketAddr::from(DEFAULT_LISTEN));
        }
        args.edge.apply(&mut self.edge);
        self.instance_disk = args.instance_disk.or(self.instance_disk);
        self.disk_reserve = args.disk_reserve.or(self.disk_reserve);
        let keep = &args.keep;
        self.keep_releases = keep.keep_releases.or(self.keep_releases);
        self.keep_days = keep.keep_days.or(self.keep_days);
        self.keep_logs = keep.keep_logs.or(self.keep_logs);
        self.keep_caches = keep.keep_caches.or(self.keep_caches);
        self.disk_floor = keep.disk_floor.or(self.disk_floor);
        self.is_https = args.edge.https.unwrap_or(self.is_https);
        if args.operator_env.is_some() {
            self.operator_env.clone_from(&args.operator_env);
        }
        self.build = args.build.over(self.build);
        // A file that is gone is no reason not to start: what runs needs no build.
        self.operator_env = self
            .operator_env
            .filter(|file| args.operator_env.as_ref() == Some(file) || file.exists());
        self
    }

    /// Bytes that each instance may have on the disk, if that is limited.
    pub(crate) fn instance_disk_bytes(&self) -> Option<u64> {
        self.instance_disk.unwrap_or(Size::of_bytes(DEFAULT_INSTANCE_DISK)).bytes()
    }

    /// What is kept of what is over.
    pub(crate) fn keep(&self) -> Keep {
        let limit = |asked: Option<Size>, usual| match asked {
            Some(size) => size.bytes().unwrap_or(u64::MAX),
            None => usual,
        };
        let usual = Keep::default();
        Keep {
            releases: self.keep_releases.map_or(usual.releases, |number| number as usize),
            days: self.keep_days.map_or(usual.days, i64::from),
            log_bytes: limit(self.keep_logs, usual.log_bytes),
            cache_bytes: limit(self.keep_caches, usual.cache_bytes),
        }
    }

    /// The operator's floor of the disk, in bytes.
    pub(crate) fn disk_floor_bytes(&self) -> Option<u64> {
        self.disk_floor.map(|size| size.bytes().unwrap_or(0))
    }

    /// Writes it down.
    ///
    /// # Errors
    /// When the state directory cannot be written.
    pub(crate) fn remember(&self, state_dir: &Path) -> io::Result<()> {
        if Self::remembered(state_dir) == *self {
            return Ok(());
        }
        let path = path(state_dir);
        let new = path.with_extension("json.new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        fs::rename(&new, &path)
    }
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("server.json")
}

/// Variables of this process that builds and instances get too.
pub(crate) fn inherited_env() -> Vec<(String, String)> {
    INHERITED
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
        .collect()
}
