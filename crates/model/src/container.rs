//! How a service's container runs, where that is not what its image says.
//!
//! Native services have one too, and say nothing in it. The words are the compose specification's,
//! because Blueprints have none for most of this.

use serde::{Deserialize, Serialize};

use crate::service::Image;

/// What a file says about a container beyond its image. The default says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Replaces the image's entrypoint, and drops its command; empty means no entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// Replaces the image's user: `name`, `uid`, `name:group` or `uid:gid`.
    pub user: Option<String>,
    /// Additional groups, by name or number.
    pub groups: Vec<String>,
    /// Replaces the image's working directory.
    pub working_dir: Option<String>,
    /// The host name inside; the service's own where `None`.
    pub hostname: Option<String>,
    /// How its health is asked for; the image's own check where `None`.
    pub health_check: Option<HealthCheck>,
    /// What happens when its main process ends.
    pub restart: RestartPolicy,
    /// The signal that asks it to end, such as `SIGQUIT`; the image's own where `None`.
    pub stop_signal: Option<String>,
    /// What is mounted on top of the image, in file order.
    pub volumes: Vec<Volume>,
    /// Small files: configurations and secrets.
    pub files: Vec<ContainerFile>,
    /// Ports that are reachable from the host.
    pub ports: Vec<PublishedPort>,
    /// Paths of a host that lead to it (`x-gable` of a compose file).
    pub base_routes: Vec<BaseRoute>,
    /// Ports that it listens on inside its network.
    pub expose: Vec<u16>,
    /// More names in the private network.
    pub aliases: Vec<String>,
    /// What has to be there before it starts.
    pub depends_on: Vec<Dependency>,
    /// Lines for `/etc/hosts`: name and address; the address may be `host-gateway`.
    pub extra_hosts: Vec<(String, String)>,
    /// Capabilities on top of the usual ones, without `CAP_`.
    pub cap_add: Vec<String>,
    /// Capabilities taken away, without `CAP_`; `ALL` takes every one.
    pub cap_drop: Vec<String>,
    /// Limits of its processes.
    pub ulimits: Vec<Ulimit>,
    /// Kernel settings of its own namespaces, such as `net.core.somaxconn`.
    pub sysctls: Vec<(String, String)>,
    /// Size of `/dev/shm` in bytes.
    pub shm_bytes: Option<u64>,
    /// Most processes and threads.
    pub pids: Option<u32>,
    /// Whether its root cannot be written to.
    pub is_read_only: bool,
    /// How old and new instances follow each other; decided by what it has where `None`.
    pub update_order: Option<UpdateOrder>,
    /// Whether the platform's own variables (`PORT`, `RENDER_…`) are left out, because the file
    /// that declares it belongs to tools that have none.
    pub without_platform_env: bool,
}

impl Container {
    /// Whether it writes to a volume that outlives its instances.
    #[must_use]
    pub fn keeps_data(&self) -> bool {
        self.volumes.iter().any(|volume| {
            let is_kept = match volume.source {
                VolumeSource::Named(_)
                | VolumeSource::PerReplica(_)
                | VolumeSource::Anonymous
                | VolumeSource::Host(_) => true,
                VolumeSource::Project(_) | VolumeSource::Image(_) | VolumeSource::Tmpfs { .. } => {
                    false
                }
            };
            is_kept && !volume.is_read_only
        })
    }
}

/// How old and new instances follow each other (`deploy.update_config.order`).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::EnumString,
    strum::Display,
    strum::VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum UpdateOrder {
    /// The new one starts beside the old one.
    StartFirst,
    /// The old one stops first; requests wait meanwhile.
    StopFirst,
}

/// A command that says whether a container is healthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Program and arguments; empty switches the image's own check off.
    pub command: Vec<String>,
    /// Time from one check to the next, in milliseconds (30 s where nothing is said).
    pub interval_ms: u64,
    /// How long one may take, in milliseconds (30 s where nothing is said).
    pub timeout_ms: u64,
    /// Failures in a row that make it unhealthy (3 where nothing is said).
    pub retries: u32,
    /// Failures in the first so many milliseconds do not count.
    pub start_period_ms: u64,
    /// Time between checks in that period, in milliseconds.
    pub start_interval_ms: u64,
}

impl HealthCheck {
    /// A check with the compose specification's defaults.
    #[must_use]
    pub fn of(command: Vec<String>) -> Self {
        Self {
            command,
            interval_ms: 30_000,
            timeout_ms: 30_000,
            retries: 3,
            start_period_ms: 0,
            start_interval_ms: 5_000,
        }
    }
}

/// What happens when a main process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// It is started again, whatever its exit: what Blueprints mean.
    #[default]
    Always,
    /// It is started again after a failure; an exit with 0 is its success.
    OnFailure {
        /// So many times at most.
        max_retries: Option<u32>,
    },
    /// Never: an exit with 0 is its success, any other its failure.
    Never,
}

impl RestartPolicy {
    /// Whether an exit with 0 completes the service.
    #[must_use]
    pub fn may_complete(self) -> bool {
        self != Self::Always
    }
}

/// Something mounted on top of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// What is mounted.
    pub source: VolumeSource,
    /// Where the container sees it.
    pub target: String,
    /// Whether writing is refused.
    pub is_read_only: bool,
    /// The part of a named volume that is mounted, relative to it; all of it where `None`.
    #[serde(default)]
    pub subpath: Option<String>,
}

/// Where a volume's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeSource {
    /// A directory that Gable keeps, shared by all services of the environment that name it.
    /// Empty ones begin with what the image has at the target.
    Named(String),
    /// The same, one for each instance: that of the first replica is another one than the second's.
    PerReplica(String),
    /// The same, for one service only.
    Anonymous,
    /// A file or directory of the project's source, relative to its root: as it is in the release's
    /// commit. What an instance writes there ends with it.
    Project(String),
    /// A file or directory of the host, absolute. Refused unless the operator allows it.
    Host(String),
    /// What an image holds. It is never written to.
    Image(Image),
    /// Memory that ends with the instance.
    Tmpfs {
        /// Its size in bytes, if limited.
        size_bytes: Option<u64>,
    },
}

/// A small read-only file in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerFile {
    /// Where the container sees it.
    pub target: String,
    /// Where its text comes from.
    pub source: FileSource,
    /// Permission bits; 0444 where nothing is said.
    pub mode: u32,
}

/// Where a small file's text comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileSource {
    /// A file of the project, relative to its root.
    Project(String),
    /// A variable of the service's environment that holds it: declared with the service, so that
    /// the text is sealed like any other value.
    Variable(String),
}

/// A port of a container that is reachable from the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The port inside.
    pub target: u16,
    /// The port on the host; any free one where `None`.
    pub published: Option<u16>,
    /// The address on the host; Gable listens on loopback unless told otherwise.
    pub host_address: Option<String>,
    /// What is spoken there.
    pub protocol: PortProtocol,
}

/// A path of a host that leads to a service, which may share the host with others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseRoute {
    /// The host; the service's own where `None`.
    pub host: Option<String>,
    /// The path, such as `/` or `/api`, without a slash at its end.
    pub path: String,
    /// Whether the service sees requests without the path in front.
    pub strip_prefix: bool,
    /// The port that answers; the service's first HTTP port where `None`.
    pub port: Option<u16>,
}

/// What is spoken on a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum PortProtocol {
    /// HTTP: requests are routed, so that a redeploy drops none.
    Http,
    /// Anything on TCP: connections are passed through.
    Tcp,
    /// Datagrams. Not passed on yet; whoever compiles a file says so.
    Udp,
}

/// Another service that has to be there first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// Its name.
    pub service: String,
    /// How far it has to be.
    pub condition: DependencyCondition,
    /// Whether to go on without it when it cannot be.
    pub is_required: bool,
}

/// How far a dependency has to be.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::EnumString,
    strum::Display,
    strum::VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum DependencyCondition {
    /// Its main process runs.
    ServiceStarted,
    /// It is healthy.
    ServiceHealthy,
    /// It ended with 0.
    ServiceCompletedSuccessfully,
}

/// A limit of a container's processes (`man setrlimit`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Its name without `RLIMIT_`, in lower case: `nofile`.
    pub name: String,
    /// What a process has.
    pub soft: u64,
    /// What it may raise it to.
    pub hard: u64,
}
