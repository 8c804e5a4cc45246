//! Deploys, and the one function that changes their status.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{BuildId, DeployId, ReleaseId, ServiceId};
use crate::problem::Problem;

/// One attempt to make a release live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deploy {
    /// Its id; ids sort by age.
    pub id: DeployId,
    /// Whose deploy it is.
    pub service_id: ServiceId,
    /// The release it makes live.
    pub release_id: ReleaseId,
    /// The build it waits for; `None` when the artifact was there already or none is needed.
    pub build_id: Option<BuildId>,
    /// How far it is.
    pub status: DeployStatus,
    /// Who asked for it.
    pub trigger: DeployTrigger,
    /// Why it failed.
    pub failure: Option<Problem>,
    /// What happened to requests while it switched.
    pub proof: Option<Proof>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its present status began: the clock of time limits.
    pub status_since: Timestamp,
    /// When it reached a status that is terminal, or went live.
    pub finished_at: Option<Timestamp>,
}

/// What happened to requests at the switch. Counted by the edge, never guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Proof {
    /// Requests that the old release was answering when the switch was made.
    pub in_flight: u64,
    /// Of those, how many it finished.
    pub drained: u64,
    /// Requests of this service that failed at the edge from the switch to the end of the drain.
    pub failed: u64,
    /// Requests that waited at the edge because the old instance had to stop first.
    pub held: u64,
}

/// How far a deploy is: the eleven wire names of Render's API
/// (render-oss/cli `pkg/client/types_gen.go`).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::EnumString,
    strum::Display,
    strum::EnumIter,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum DeployStatus {
    /// Asked for.
    Created,
    /// Waits for an earlier deploy of the same service.
    Queued,
    /// Build commands run.
    BuildInProgress,
    /// The pre-deploy command runs.
    PreDeployInProgress,
    /// Instances are replaced.
    UpdateInProgress,
    /// Its release serves.
    Live,
    /// Its release served once.
    Deactivated,
    /// Given up before it was live.
    Canceled,
    /// The build failed.
    BuildFailed,
    /// The pre-deploy command failed.
    PreDeployFailed,
    /// The new instances never became healthy.
    UpdateFailed,
}

/// Who asked for a deploy: the ten wire names of Render's API.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::EnumString, strum::Display,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "the names are Render's own")]
pub enum DeployTrigger {
    Api,
    BlueprintSync,
    DeployHook,
    DeployedByRender,
    Manual,
    NewCommit,
    Other,
    Rollback,
    ServiceResumed,
    ServiceUpdated,
}

/// What happens to a deploy.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::EnumIter, strum::Display,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum DeployEvent {
    /// An earlier deploy of the service is still under way.
    Queued,
    /// Its turn has come and there is something to build.
    BuildStarted,
    /// The pre-deploy command was started.
    PreDeployStarted,
    /// New instances are being started.
    UpdateStarted,
    /// The edge has taken the routes, or there is nothing to route.
    WentLive,
    /// A newer deploy went live.
    Deactivated,
    /// A person or a newer deploy ended it.
    Canceled,
    /// The build ended without an artifact.
    BuildFailed,
    /// The pre-deploy command ended with another code than 0, or took too long.
    PreDeployFailed,
    /// The instances did not become healthy.
    UpdateFailed,
}

/// A transition that the table does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a deploy that is {status} cannot be {event}")]
pub struct RefusedTransition {
    status: DeployStatus,
    event: DeployEvent,
}

impl DeployStatus {
    /// The status after `event`.
    ///
    /// # Errors
    /// When the table has no such transition. A repeated event is refused too: the caller reads
    /// the status in the same transaction and knows that its work was done already.
    pub fn on(self, event: DeployEvent) -> Result<Self, RefusedTransition> {
        use DeployEvent as E;
        use DeployStatus as S;
        Ok(match (self, event) {
            (S::Created, E::Queued) => S::Queued,
            (S::Created | S::Queued, E::BuildStarted) => S::BuildInProgress,
            (S::Created | S::Queued | S::BuildInProgress, E::PreDeployStarted) => {
                S::PreDeployInProgress
            }
            (
                S::Created | S::Queued | S::BuildInProgress | S::PreDeployInProgress,
                E::UpdateStarted,
            ) => S::UpdateInProgress,
            (S::UpdateInProgress, E::WentLive) => S::Live,
            (S::Live, E::Deactivated) => S::Deactivated,
            (S::Created | S::Queued | S::BuildInProgress, E::BuildFailed) => S::BuildFailed,
            (S::PreDeployInProgress, E::PreDeployFailed) => S::PreDeployFailed,
            (S::UpdateInProgress, E::UpdateFailed) => S::UpdateFailed,
            (status, E::Canceled) if status.is_in_progress() => S::Canceled,
            (status, event) => return Err(RefusedTransition { status, event }),
        })
    }

    /// Whether work on it remains to be done before it is live or has failed.
    #[must_use]
    pub fn is_in_progress(self) -> bool {
        matches!(
            self,
            Self::Created
                | Self::Queued
                | Self::BuildInProgress
                | Self::PreDeployInProgress
                | Self::UpdateInProgress
        )
    }

    /// Whether it ended without ever being live.
    #[must_use]
    pub fn is_failed(self) -> bool {
        matches!(
            self,
            Self::Canceled | Self::BuildFailed | Self::PreDeployFailed | Self::UpdateFailed
        )
    }
}
