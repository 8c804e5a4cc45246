//! What the driver, the nursery and the shims say to one another, and the files of an instance.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::spec::InstanceSpec;

/// Everything a shim needs. It lies in the instance's directory on a tmpfs while the instance is
/// known, because the environment in it may hold secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) spec: InstanceSpec,
    pub(crate) isolation: Isolation,
    /// A directory of the instance's own on the disk, for what it writes.
    pub(crate) scratch: PathBuf,
    /// What has to stay free on the disk for others, in bytes.
    #[serde(default)]
    pub(crate) disk_reserve: u64,
}

/// How an instance is kept apart from others.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Isolation {
    /// By namespaces and a cgroup.
    Native {
        link: Link,
        /// Below the root of each hierarchy, such as `/gable-0123abcd/ins-…`.
        cgroup: PathBuf,
        /// What of the host's `/etc` can be seen besides the usual.
        etc: Vec<String>,
    },
    /// Not at all.
    Plain,
}

/// How an instance hangs on its environment's network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(crate) bridge: String,
    /// Name of the host's end of the pair.
    pub(crate) host_end: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) prefix_length: u8,
    pub(crate) gateway: Ipv4Addr,
    pub(crate) mtu: u32,
}

/// Asks the nursery for a shim. The socket for [`News`] comes with it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Birth {
    /// The instance's directory.
    pub(crate) directory: PathBuf,
    /// Whether it gets a PID namespace.
    pub(crate) isolated: bool,
}

/// What becomes of a start.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum News {
    /// The shim is there; its pidfd comes with this.
    Born { pid: i32 },
    /// The main process runs.
    Running { started_at: Timestamp },
    /// The main process has ended, or never began for a reason of its own; see [`EXIT`].
    Ended,
    /// The host refused something.
    Failed { doing: String, why: String },
}

/// What a shim can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// TERM to the application, then to what is left, and KILL after the grace.
    Stop { grace_ms: u64 },
    /// Hand over the writing end of the main process's standard input.
    Input,
    /// Run one more command; descriptors 0, 1 and 2 come with this.
    Exec {
        command: Vec<String>,
        cwd: Option<PathBuf>,
        env: Vec<(String, String)>,
        terminal: bool,
        /// It is killed after so long.
        time_ms: Option<u64>,
    },
}

/// What becomes of a [`Request::Exec`] or a [`Request::Input`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// Exit code, or 128 + signal.
    Exited(i32),
    /// It never began.
    Refused(String),
    /// The writing end comes with this.
    Input,
}

/// Who the shim is. Written before the shim does anything.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ShimRecord {
    pub(crate) pid: i32,
    /// In clock ticks since boot: with the pid it names a process for ever.
    pub(crate) started_ticks: u64,
}

/// That the main process was started. Written once it was.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RunningRecord {
    pub(crate) started_at: Timestamp,
    /// In the shim's own PID namespace.
    pub(crate) pid: i32,
}

/// The [`Order`].
pub(crate) const ORDER: &str = "order.json";
/// Held locked by the shim while it lives.
pub(crate) const LOCK: &str = "lock";
/// The [`ShimRecord`].
pub(crate) const SHIM: &str = "shim.json";
/// The [`RunningRecord`].
pub(crate) const RUNNING: &str = "running.json";
/// A [`model::Exit`].
pub(crate) const EXIT: &str = "exit.json";
/// Where the shim takes [`Request`]s.
pub(crate) const CONTROL: &str = "control.sock";

/// The directory of an instance below the run directory.
pub(crate) fn directory(run_dir: &Path, id: &str) -> PathBuf {
    run_dir.join("instances").join(id)
}
