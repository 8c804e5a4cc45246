//! What the planner is told: what is asked, and what is seen.

use std::time::Duration;

use jiff::Timestamp;
use model::{
    ArtifactId, Deploy, DeployId, Exit, InstanceId, InstanceState, Problem, Release, Service,
    Target, UpdateOrder,
};

/// What is asked of one service.
#[derive(Debug, Clone)]
pub struct Desired {
    /// The service's name, for sentences.
    pub name: String,
    /// Whether a person has stopped its environment.
    pub is_stopped: bool,
    /// The deploy whose release serves.
    pub live: Option<LiveDeploy>,
    /// The deploy under way: the oldest that has begun, else the newest that waits.
    pub next: Option<NextDeploy>,
    /// Deploys that a newer one has overtaken while they waited.
    pub overtaken: Vec<DeployId>,
    /// How old and new instances follow each other.
    pub rollout: RolloutMode,
    /// How long to wait for what.
    pub timeouts: Timeouts,
}

/// The deploy whose release serves.
#[derive(Debug, Clone)]
pub struct LiveDeploy {
    /// The deploy.
    pub deploy: Deploy,
    /// Its release.
    pub release: Release,
    /// Whether its `initialDeployHook` still has to run.
    pub owes_initial_hook: bool,
}

/// The deploy under way.
#[derive(Debug, Clone)]
pub struct NextDeploy {
    /// The deploy.
    pub deploy: Deploy,
    /// Its release.
    pub release: Release,
}

/// How old and new instances follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutMode {
    /// The new ones start beside the old ones.
    SideBySide,
    /// The old one stops before the new one starts, because only one may have the disk or the
    /// port; the edge holds requests meanwhile.
    StopFirst,
}

/// How old and new instances of a service follow each other, where each has an address of its own
/// or not.
#[must_use]
pub fn rollout_mode(service: &Service, isolates_network: bool) -> RolloutMode {
    let is_stop_first = match service.container.update_order {
        _ if !isolates_network || service.disk.is_some() => true,
        Some(order) => order == UpdateOrder::StopFirst,
        None => service.container.keeps_data(),
    };
    if is_stop_first { RolloutMode::StopFirst } else { RolloutMode::SideBySide }
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// A pre-deploy command, from its start (Render: 30 minutes).
    pub pre_deploy: Duration,
    /// Until every new instance is healthy (Render: 15 minutes).
    pub health: Duration,
    /// A process that cannot be asked, because nothing listens, has started when it has run this
    /// long.
    pub settle: Duration,
    /// So long it is watched beside the old one before it is live.
    pub watch: Duration,
    /// An instance that refuses its health check alike for so long is given up, when nothing but
    /// waiting could follow.
    pub refusal: Duration,
    /// How long an old instance stays after the switch for those on the private network who
    /// still hold its address.
    pub linger: Duration,
    /// A live instance that fails its health check this long gets no more requests (Render: 15 s).
    pub unhealthy_unroute: Duration,
    /// A live instance that fails its health check this long is restarted (Render: 60 s).
    pub unhealthy_restart: Duration,
}

impl Timeouts {
    /// The defaults: Render's, and short ones where the machine is one's own.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            pre_deploy: Duration::from_secs(30 * 60),
            health: Duration::from_secs(15 * 60),
            settle: Duration::from_secs(1),
            watch: Duration::from_secs(10),
            refusal: Duration::from_secs(60),
            linger: Duration::from_secs(3),
            unhealthy_unroute: Duration::from_secs(15),
            unhealthy_restart: Duration::from_secs(60),
        }
    }
}

/// What is seen of one service.
#[derive(Debug, Clone)]
pub struct Observed {
    /// Databases and Key Value instances of its environment that are not ready.
    pub data_stores: Vec<(String, NeedState)>,
    /// Services that `next` depends on and that are not as far as it needs them.
    pub dependencies: Vec<(String, NeedState)>,
    /// Services that need this one and still run, while everything is to stop.
    pub dependents: Vec<String>,
    /// What `next` would run.
    pub artifact: ArtifactState,
    /// The pre-deploy command of `next`.
    pub pre_deploy: JobState,
    /// The initial deploy hook of `live`.
    pub initial_hook: JobState,
    /// Every instance of the service, of whatever deploy.
    pub instances: Vec<SeenInstance>,
    /// The route that the edge has last been given.
    pub route: Option<RouteState>,
}

/// Something that is needed and not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NeedState {
    /// It will be.
    Pending,
    /// It cannot be.
    Failed(Problem),
}

/// Whether there is something to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArtifactState {
    /// Nothing has to be built.
    NotNeeded,
    /// It is there.
    Present(ArtifactId),
    /// It is not there, and nobody builds it.
    Absent,
    /// It is being built.
    Building,
    /// Its build failed.
    Failed(Problem),
}

/// A command that runs once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// It was not started.
    NotStarted,
    /// It runs.
    Running(InstanceId),
    /// It has ended.
    Exited(InstanceId, Exit),
}

/// One instance of the service.
#[derive(Debug, Clone)]
pub struct SeenInstance {
    /// Its id.
    pub id: InstanceId,
    /// Whose release it runs.
    pub deploy_id: DeployId,
    /// Its place among the copies.
    pub ordinal: u32,
    /// How often its place was filled before.
    pub restarts: u32,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// What the engine sees.
    pub state: InstanceState,
    /// What the probes see.
    pub health: Health,
    /// The answer that it gives to every probe, while it is no good one.
    pub refusal: Option<Refusal>,
    /// Whether it was told to stop.
    pub is_stopping: bool,
    /// When its deploy was replaced, if that was live before.
    pub superseded_at: Option<Timestamp>,
    /// Requests that it is answering, as the edge counts them; `None` when nobody knows, because
    /// the edge does not answer or was not asked.
    pub in_flight: Option<u64>,
}

/// What the probes see of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Not probed yet.
    Unknown,
    /// The last probe was good; `target` is where it answered.
    Healthy {
        /// Where it answers; `None` for services without a port.
        target: Option<Target>,
    },
    /// It was good once and fails since then.
    Failing {
        /// Time of the first bad probe in a row.
        since: Timestamp,
        /// Where it answered.
        target: Option<Target>,
    },
}

/// An answer to the health check that is not a good one, and the same each time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answers.
    pub status: u16,
    /// The beginning of their body, which tells one reason from another.
    pub body_head: String,
    /// When the first of them came.
    pub since: Timestamp,
}

impl Refusal {
    /// The refusal after one more answer: the same one when it says the same.
    #[must_use]
    pub fn and_then(former: Option<&Self>, status: u16, body_head: &str, now: Timestamp) -> Self {
        let is_alike =
            |former: &&Self| former.status == status && gist(&former.body_head).eq(gist(body_head));
        let since = former.filter(is_alike).map_or(now, |former| former.since);
        Self { status, body_head: body_head.to_owned(), since }
    }

    /// Whether more of the same can be expected: a program that is still starting says so with
    /// one of the other statuses.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        const MAY_PASS: [u16; 7] = [408, 423, 425, 429, 502, 503, 504];
        !MAY_PASS.contains(&self.status)
    }
}

/// The words of an answer without those that differ each time: times, numbers, ids.
fn gist(body: &str) -> impl Iterator<Item = &str> {
    body.split_whitespace()
        .flat_map(|word| word.split(['"', ',', ':', '=', '<', '>']))
        .filter(|word| !word.is_empty() && !word.contains(|letter: char| letter.is_ascii_digit()))
}

/// What answers for a service.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteState {
    /// Instances.
    Targets(Vec<Target>),
    /// Files of an artifact.
    Static(ArtifactId),
    /// Nothing for the moment: requests wait.
    Hold,
    /// Nothing, with a sentence that says why.
    Unavailable(String),
}
