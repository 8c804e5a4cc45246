//! Environment variables of a service.

use serde::{Deserialize, Serialize};

/// Whose variables are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvQuery {
    /// The service's id.
    pub service: String,
    /// Show secrets.
    #[serde(default)]
    pub reveal: bool,
}

/// One variable as the service will see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvEntry {
    /// Its name.
    pub key: String,
    /// Its value; `None` when it is unset, or a secret and `reveal` was not asked for.
    #[serde(default)]
    pub value: Option<String>,
    /// It has a value.
    pub is_set: bool,
    /// Its value is a secret.
    pub secret: bool,
    /// When it is there: `build`, `run` or `both`.
    pub phase: String,
    /// Where the value comes from, in words: `render.yaml:12`, `database shop-db, connectionString`.
    pub origin: String,
    /// Names of the services that read it with `fromService`.
    pub readers: Vec<String>,
    /// A person has set it here, and the file does not change it any more.
    pub set_by_hand: bool,
}

/// Changes variables by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvChange {
    /// The service's id.
    pub service: String,
    /// Values to set.
    #[serde(default)]
    pub set: Vec<Pair>,
    /// Names of variables whose hand-set value is taken back.
    #[serde(default)]
    pub unset: Vec<String>,
    /// Deploy every service that sees the change.
    #[serde(default)]
    pub deploy: bool,
}

/// A variable and its value.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Name of the variable.
    pub key: String,
    /// Its value; a secret.
    pub value: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Pair").field("key", &self.key).finish_non_exhaustive()
    }
}

/// What a change of variables began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvChangeReply {
    /// Whether anything differs from before.
    pub changed: bool,
    /// Deploys that it began.
    pub deploys: Vec<crate::deploys::DeployRef>,
}
