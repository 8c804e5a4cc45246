//! Stopping a project.

use serde::{Deserialize, Serialize};

/// Asks to stop a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DownRequest {
    /// Its name.
    pub project: String,
    /// Remove its databases, disks, values and history as well.
    #[serde(default)]
    pub purge: bool,
}
