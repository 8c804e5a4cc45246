//! How everything stands.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::blueprints::Missing;
use crate::deploys::{DeployStatus, Proof};
use crate::problem::Problem;

/// What is wanted to know.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusQuery {
    /// Only this project, by name.
    #[serde(default)]
    pub project: Option<String>,
}

/// How everything stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Status {
    /// Number of the newest event that it takes into account.
    pub sequence: u64,
    /// In the order of their names.
    pub projects: Vec<ProjectStatus>,
}

/// How a project stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectStatus {
    /// Its name.
    pub name: String,
    /// The directory that it was last applied from.
    pub source: String,
    /// Whether it was stopped with `down`.
    pub stopped: bool,
    /// In file order.
    pub environments: Vec<EnvironmentStatus>,
    /// Values that nobody has given.
    pub missing: Vec<Missing>,
}

/// How an environment stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentStatus {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// In file order.
    pub services: Vec<ServiceStatus>,
    /// PostgreSQL and Key Value, in file order.
    pub databases: Vec<DatabaseStatus>,
}

/// How a service stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its id, `srv-…`.
    pub id: String,
    /// Its name in the file.
    pub name: String,
    /// Its host name in the private network.
    pub slug: String,
    /// What it does.
    pub kind: ServiceKind,
    /// What it is built and run with: `node`, `static` …
    pub runtime: String,
    /// How it stands.
    pub state: ServiceState,
    /// More about it in a few words; empty if there is nothing to say.
    pub state_detail: String,
    /// Where a browser finds it, the best first.
    pub urls: Vec<String>,
    /// `host:port` in the private network.
    #[serde(default)]
    pub internal: Option<String>,
    /// Number of the release that serves.
    #[serde(default)]
    pub revision: Option<u32>,
    /// Full id of its commit.
    #[serde(default)]
    pub commit: Option<String>,
    /// Its running copies.
    pub instances: Vec<InstanceStatus>,
    /// Its newest deploy.
    #[serde(default)]
    pub deploy: Option<DeployInfo>,
    /// When a cron job runs next.
    #[serde(default)]
    pub next_run: Option<Timestamp>,
    /// How its last run went.
    #[serde(default)]
    pub last_run: Option<RunInfo>,
}

/// What a service does; the words of the file, and `static`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the file's own; `model::ServiceKind` explains them")]
pub enum ServiceKind {
    Web,
    Pserv,
    Worker,
    Cron,
    Static,
}

/// How a service stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// A release serves, and nothing is under way.
    Live,
    /// A deploy is under way; an older release may serve.
    Deploying,
    /// The newest deploy failed and nothing serves.
    Failed,
    /// The newest deploy failed and the release before it serves.
    Degraded,
    /// Its instances end again and again.
    CrashLooping,
    /// Stopped with `down`.
    Stopped,
    /// It waits for something; `state_detail` says what.
    Waiting,
    /// Stopped by a person, alone.
    Suspended,
    /// A cron job between two runs.
    Scheduled,
    /// A cron job that runs now.
    Running,
    /// It ended with 0, as it should.
    Completed,
    /// It ended with a failure, and its restart policy leaves it so.
    Ended,
}

/// One running copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// Its id, `ins-…`.
    pub id: String,
    /// How it stands.
    pub state: InstanceState,
    /// Address in the private network.
    #[serde(default)]
    pub address: Option<String>,
    /// Port that it was found to listen on.
    #[serde(default)]
    pub port: Option<u16>,
    /// How often it was started again.
    pub restarts: u32,
    /// How it ended; while it runs, how the one before it in its place did, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<InstanceExit>,
    /// Memory in use.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// When it began.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// Number of its release.
    pub release: u32,
}

/// How an instance ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceExit {
    /// In words: `exited with code 1`, `was ended by signal 9 (KILL)`, `ran out of memory`.
    pub what: String,
    /// When.
    pub at: Timestamp,
}

/// How an instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// It was asked for.
    Starting,
    /// It runs and has not passed its health check yet.
    Running,
    /// It takes requests.
    Healthy,
    /// It fails its health check.
    Unhealthy,
    /// It was told to stop.
    Stopping,
    /// It has ended.
    Exited,
}

/// How a deploy stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployInfo {
    /// Its id, `dep-…`.
    pub id: String,
    /// How far it is.
    pub status: DeployStatus,
    /// Who asked for it, under Render's names.
    pub trigger: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was over.
    #[serde(default)]
    pub finished_at: Option<Timestamp>,
    /// Why it failed.
    #[serde(default)]
    pub failure: Option<Problem>,
    /// What to know of it although it succeeded.
    #[serde(default)]
    pub warning: Option<Problem>,
    /// What happened to requests.
    #[serde(default)]
    pub proof: Option<Proof>,
    /// When its present status began.
    pub phase_since: Timestamp,
    /// What it waits for, in a few words.
    #[serde(default)]
    pub waiting: Option<String>,
}

/// One run of a cron job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInfo {
    /// Its instance.
    pub instance_id: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; `None` while it runs.
    #[serde(default)]
    pub finished_at: Option<Timestamp>,
    /// Whether it ended with code 0.
    #[serde(default)]
    pub succeeded: Option<bool>,
    /// How it ended, in words.
    #[serde(default)]
    pub detail: String,
}

/// How a database stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseStatus {
    /// Its id, `dpg-…` or `red-…`.
    pub id: String,
    /// Its name in the file.
    pub name: String,
    /// What it is.
    pub kind: DatabaseKind,
    /// Version of the program that runs.
    pub version: String,
    /// How it stands.
    pub state: DatabaseState,
    /// More about it in a few words; empty if there is nothing to say.
    pub state_detail: String,
    /// Name in the private network.
    pub host: String,
    /// Port in the private network.
    pub port: u16,
    /// Address that the host reaches it at.
    #[serde(default)]
    pub address: Option<String>,
    /// Why it does not run.
    #[serde(default)]
    pub failure: Option<Problem>,
    /// Memory in use.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// When it was started.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
}

/// What a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseKind {
    /// PostgreSQL.
    Postgres,
    /// Valkey or Redis.
    KeyValue,
}

/// How a database stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseState {
    /// Its program is obtained, or its files are made.
    Creating,
    /// It was started and does not answer yet.
    Starting,
    /// It answers.
    Available,
    /// It does not run, and `failure` says why.
    Failed,
    /// Stopped with `down`.
    Stopped,
}
