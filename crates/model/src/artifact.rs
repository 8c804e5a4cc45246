//! Commits, builds and what they produce.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{ArtifactId, BuildId};

/// The state of the source that something was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Full id of the commit in Gable's own store of the repository, 40 or 64 hexadecimal digits.
    /// For a working tree with changes it is a commit that Gable made of them.
    pub id: String,
    /// Id of its tree: equal trees are equal sources, whatever the commit.
    pub tree: String,
    /// Name of the branch; empty when the head is detached.
    pub branch: String,
    /// First line of the message.
    pub subject: String,
    /// Whether it holds changes that the user has not committed.
    pub is_dirty: bool,
}

/// The immutable result of a build: a directory, addressed by a hash of its inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its address.
    pub id: ArtifactId,
    /// Where its files lie on this machine.
    pub path: String,
    /// Size of its files.
    pub size_bytes: u64,
    /// Number of its files.
    pub files: u64,
}

/// One run of the build commands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Its id.
    pub id: BuildId,
    /// The artifact that it makes, known before it starts.
    pub artifact_id: ArtifactId,
    /// How far it is.
    pub status: BuildStatus,
    /// When it began.
    pub started_at: Timestamp,
}

/// How far a build is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildStatus {
    /// Commands are running.
    InProgress,
    /// The artifact is there.
    Succeeded,
    /// It ended without one.
    Failed(crate::Problem),
}
