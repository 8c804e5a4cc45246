//! What the engine is asked to run.

mod capabilities;
mod container;

use std::path::PathBuf;
use std::time::Duration;

use model::{EnvironmentId, InstanceId};
use serde::{Deserialize, Serialize};

pub use capabilities::refused_capability;
pub(crate) use capabilities::{bits, held};
pub(crate) use container::resource_number;
pub use container::{
    ContainerSpec, HOST_GATEWAY, LAYERS_MAX, refused_sysctl, refused_ulimit, signal_number,
};

/// Everything the engine needs to run one instance. Its environment may hold secrets: a driver
/// keeps it in memory or on a tmpfs, never on a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSpec {
    /// Names the instance; starting the same id twice is the same as once.
    pub id: InstanceId,
    /// Host name inside.
    pub hostname: String,
    /// Whose private network it joins.
    pub environment_id: EnvironmentId,
    /// What `/` is made of.
    pub root: Root,
    /// Who it runs as.
    pub user: User,
    /// Program and arguments. The only shells are the user's own commands: `["/bin/sh", "-c", …]`.
    pub command: Vec<String>,
    /// Working directory inside.
    pub cwd: PathBuf,
    /// The whole environment; nothing is inherited.
    pub env: Vec<(String, String)>,
    /// What is mounted on top of the root, in order.
    pub mounts: Vec<Mount>,
    /// Small files to place, read-only, such as `/etc/secrets/x`.
    pub files: Vec<PlacedFile>,
    /// How much it may use.
    pub limits: Limits,
    /// Where its output is appended; see `telemetry` for the format.
    pub log: PathBuf,
    /// Port that a driver without network namespaces should keep free for it (`PORT`).
    pub port_hint: Option<u16>,
    /// Words for people: `web v3`, `build of api`.
    pub label: String,
    /// Whether it is meant to run until it is stopped: then its log says at the right place that it
    /// ended, and how.
    #[serde(default)]
    pub is_lasting: bool,
    /// Whether its standard input is a pipe that is written to later (see [`crate::Driver::input`]);
    /// it is empty otherwise.
    #[serde(default)]
    pub has_input: bool,
    /// What else containers can be told. The default is right for native services.
    #[serde(default)]
    pub container: ContainerSpec,
}

/// What an instance's `/` is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Root {
    /// The host's own userland, read-only, with a private `/tmp` and a made-up `/etc`.
    HostUserland,
    /// Layers of an image, lowest first, under a writable layer that ends with the instance. They
    /// are directories as the kernel's overlay has them: what a layer removes is a character device
    /// 0:0 in it, and a directory that hides those below has `trusted.overlay.opaque`. Instances
    /// share them; nobody writes to them. A layer that is named twice counts where it is highest.
    Layers(Vec<PathBuf>),
}

/// An identity inside and outside alike: there is no user namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// More groups that it is in.
    pub groups: Vec<u32>,
    /// Name in the instance's own `/etc/passwd`.
    pub name: String,
    /// Home directory inside.
    pub home: PathBuf,
}

/// A small file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedFile {
    /// Where the instance sees it.
    pub target: PathBuf,
    /// What is in it.
    pub text: String,
    /// Permission bits. It belongs to the instance's user.
    pub mode: u32,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mount {
    /// A directory or file of the host.
    Bind {
        /// On the host.
        source: PathBuf,
        /// Inside.
        target: PathBuf,
        /// Whether writing is refused.
        read_only: bool,
    },
    /// A directory of the host that keeps what is written, and begins with what the image has at
    /// its target: if it is empty when the instance starts, content, owner and mode are copied
    /// there first. Its parent must belong to Gable: names beside it are used while that is done.
    Volume {
        /// On the host.
        source: PathBuf,
        /// Inside.
        target: PathBuf,
        /// Whether writing is refused.
        read_only: bool,
    },
    /// A directory or file in a volume, which has to be there: the rest of the volume cannot be seen.
    /// Links in the volume do not lead out of it.
    Part {
        /// The whole volume, on the host.
        volume: PathBuf,
        /// Relative to it.
        subpath: PathBuf,
        /// Inside.
        target: PathBuf,
        /// Whether writing is refused.
        read_only: bool,
    },
    /// What an image holds, or a part of it, which has to be there. It cannot be written to.
    Image {
        /// Its layers, lowest first, as those of [`Root::Layers`].
        layers: Vec<PathBuf>,
        /// Relative to its root; all of it where `None`.
        subpath: Option<PathBuf>,
        /// Inside.
        target: PathBuf,
    },
    /// Memory that ends with the instance, and counts as its own. Everybody inside may write there.
    Tmpfs {
        /// Inside.
        target: PathBuf,
        /// Its size, if limited.
        size_bytes: Option<u64>,
    },
    /// A writable view of a directory that itself stays as it is; what is written ends with the
    /// instance. Owned by the instance's user.
    Overlay {
        /// On the host.
        lower: PathBuf,
        /// Inside.
        target: PathBuf,
    },
    /// An empty writable directory that ends with the instance, owned by its user.
    Scratch {
        /// Inside.
        target: PathBuf,
    },
}

/// How much an instance may use. `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Processor time in thousandths of a core.
    pub cpu_millis: Option<u32>,
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Number of processes and threads.
    pub pids: Option<u32>,
    /// Bytes that it may have on the host's disk besides its mounts: its `/tmp` and home, what it
    /// changes of its image or artifact. The instance is ended after them, and its exit says so; so
    /// is one that goes on writing while the disk has no more than its reserve.
    pub disk_bytes: Option<u64>,
    /// Wall time; the instance is ended after it, and its exit says so.
    pub time: Option<Duration>,
    /// Bytes of output; the instance is ended after them, and its exit says so.
    pub output_bytes: Option<u64>,
}

/// What an exit names as the limit of an instance that failed after it was refused a process.
pub const PROCESS_LIMIT: &str = "it wanted more processes and threads than it may have";

/// A directory on every [`Root::HostUserland`] with names that users type and the host may not
/// have, such as `python` where there is only `python3`. Callers that set `PATH` put it first.
pub const TOOLS_DIR: &str = "/opt/gable/bin";

/// Where commands are looked up when an instance's environment has no `PATH`.
pub const DEFAULT_PATH: &str =
    "/opt/gable/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl User {
    /// A user whose group has the same number, and who is in no other.
    #[must_use]
    pub fn alone(uid: u32, name: &str, home: impl Into<PathBuf>) -> Self {
        Self { uid, gid: uid, groups: Vec::new(), name: name.to_owned(), home: home.into() }
    }
}

impl PlacedFile {
    /// A file that everybody inside may read.
    #[must_use]
    pub fn readable(target: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self { target: target.into(), text: text.into(), mode: 0o444 }
    }
}

impl Mount {
    /// Where the instance sees it.
    #[must_use]
    pub fn target(&self) -> &std::path::Path {
        match self {
            Self::Bind { target, .. }
            | Self::Volume { target, .. }
            | Self::Part { target, .. }
            | Self::Image { target, .. }
            | Self::Tmpfs { target, .. }
            | Self::Overlay { target, .. }
            | Self::Scratch { target } => target,
        }
    }
}
