//! Releases: everything that is needed to run one version of a service, sealed.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::artifact::Commit;
use crate::id::{ArtifactId, ReleaseId, ServiceId};
use crate::service::Service;

/// The number of a release within its service: 1, 2, 3 …
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u32);

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "v{}", self.0)
    }
}

/// An immutable version of a service. The resolved environment belongs to it too; it holds
/// secrets, so the store keeps it sealed and hands it out separately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its id.
    pub id: ReleaseId,
    /// Whose release it is.
    pub service_id: ServiceId,
    /// Its number.
    pub revision: Revision,
    /// The source it was built from.
    pub commit: Commit,
    /// The bytes that run; `None` while the build is under way.
    pub artifact_id: Option<ArtifactId>,
    /// The declaration in force when it was made.
    pub service: Service,
    /// When it was made.
    pub created_at: Timestamp,
}
