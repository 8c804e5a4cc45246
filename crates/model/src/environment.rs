//! Where services live: projects and their environments.

use serde::{Deserialize, Serialize};

use crate::id::{EnvironmentId, ProjectId};

/// A group of environments that belong to one system. A Blueprint that declares no project gets
/// one named after its repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Unique on one machine.
    pub name: String,
    /// The directory of the repository that it was last applied from.
    pub source: String,
}

/// A set of services and databases that see each other under their short names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Its id.
    pub id: EnvironmentId,
    /// The project it belongs to.
    pub project_id: ProjectId,
    /// Unique in its project.
    pub name: String,
}
