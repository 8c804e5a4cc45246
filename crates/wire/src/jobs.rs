//! One-off jobs: a command with a service's release and environment, in an instance of its own.

use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// Asks for a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobRequest {
    /// The service's id.
    pub service: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Whether its standard input follows; it is empty otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub input: bool,
}

/// A job that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRef {
    /// Its id.
    pub id: String,
    /// Its instance, whose log can be followed at once.
    pub instance_id: String,
}

/// How patiently.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobQuery {
    /// Answer when it is over, or after this many seconds.
    #[serde(default)]
    pub wait: Option<u32>,
}

/// How a job stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatus {
    /// Its id.
    pub id: String,
    /// How far it is.
    pub state: JobState,
    /// The command's exit code; 128 + signal when one ended it.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// Why it could not be started, or what ended it.
    #[serde(default)]
    pub failure: Option<Problem>,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Asked for.
    Pending,
    /// Running.
    Running,
    /// Ended with code 0.
    Succeeded,
    /// Ended otherwise, or never began.
    Failed,
    /// Stopped by a person.
    Canceled,
}

impl JobState {
    /// Whether it is over.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled)
    }
}
