//! The timeline.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::blueprints::Noun;
use crate::deploys::{DeployStatus, Proof};
use crate::problem::Problem;
use crate::status::DatabaseState;

/// Which events are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventQuery {
    /// Only those with a higher number; all that are kept if `None`.
    #[serde(default)]
    pub since: Option<u64>,
    /// Stay and send what happens.
    #[serde(default)]
    pub follow: bool,
    /// Only those of one project, by name.
    #[serde(default)]
    pub project: Option<String>,
}

/// One line of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Goes up by at least one with each event of a server, across restarts.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// Name of the project.
    pub project: String,
    /// Name of the environment; empty for events of the project or the server.
    pub environment: String,
    /// Name of the service or database; empty where there is none.
    pub service: String,
    /// What it is about.
    pub noun: Noun,
    /// The deploy that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy: Option<String>,
    /// What happened: `build_started`, `live`, `instance_exited` …
    pub kind: String,
    /// The deploy's status after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<DeployStatus>,
    /// The database's state after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseState>,
    /// A sentence for a person; never a secret.
    pub message: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// What happened to requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}
