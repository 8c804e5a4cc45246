//! Finding a running instance.

use serde::{Deserialize, Serialize};

/// Whose instance is wanted: one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceQuery {
    /// A service's id.
    #[serde(default)]
    pub service: Option<String>,
    /// A database's id.
    #[serde(default)]
    pub database: Option<String>,
}

/// A running instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRef {
    /// Its id.
    pub instance_id: String,
    /// Words for people: `web v3`.
    pub label: String,
}
