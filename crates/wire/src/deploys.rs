//! Deploys: how far they are, and what may be asked of them.

use serde::{Deserialize, Serialize};

/// A deploy that something began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployRef {
    /// Its id.
    pub id: String,
    /// Name of the service.
    pub service: String,
    /// Name of the environment.
    pub environment: String,
    /// Events after this number may be about it.
    pub sequence: u64,
}

/// How far a deploy is, under Render's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are Render's own; `model::DeployStatus` explains them")]
pub enum DeployStatus {
    Created,
    Queued,
    BuildInProgress,
    PreDeployInProgress,
    UpdateInProgress,
    Live,
    Deactivated,
    Canceled,
    BuildFailed,
    PreDeployFailed,
    UpdateFailed,
}

impl DeployStatus {
    /// Whether waiting for it is over: it is live, was live, or never will be.
    #[must_use]
    pub fn is_over(self) -> bool {
        self.is_failure() || matches!(self, Self::Live | Self::Deactivated | Self::Canceled)
    }

    /// Whether it failed.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Self::BuildFailed | Self::PreDeployFailed | Self::UpdateFailed)
    }
}

/// What happened to requests at the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Proof {
    /// Requests that the old release was answering when the switch was made.
    pub in_flight: u64,
    /// Of those, how many it finished.
    pub drained: u64,
    /// Requests that failed at the edge from the switch to the end of the drain.
    pub failed: u64,
    /// Requests that waited because the old instance had to stop first.
    pub held: u64,
}

/// Asks for the same release to be started again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestartRequest {
    /// The service's id.
    pub service: String,
}

/// Asks for a deploy of a service as it is declared now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeployRequest {
    /// The service's id.
    pub service: String,
    /// Build again, without caches.
    #[serde(default)]
    pub clear_cache: bool,
    /// A commit of the project's repository in place of its working tree: whatever git
    /// understands there.
    #[serde(default)]
    pub commit: Option<String>,
}

/// Asks to give up a deploy that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelRequest {
    /// The deploy's id.
    pub deploy: String,
}

/// Asks for an earlier release to be live again, without a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// The service's id.
    pub service: String,
    /// Number of the release; the one before the live one if `None`.
    #[serde(default)]
    pub revision: Option<u32>,
}
