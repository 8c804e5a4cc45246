//! Connecting to a database by hand.

use serde::{Deserialize, Serialize};

/// Which database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionQuery {
    /// The id of a database or Key Value instance.
    pub database: String,
    /// Show the password in `internal_url`.
    #[serde(default)]
    pub reveal: bool,
}

/// How to connect from this machine.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Client program and arguments; no secrets.
    pub argv: Vec<String>,
    /// Variables for the client, the password among them.
    pub env: Vec<(String, String)>,
    /// Where instances of the environment reach it; the password is masked unless revealed.
    pub internal_url: String,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Connection").field("argv", &self.argv).finish_non_exhaustive()
    }
}
