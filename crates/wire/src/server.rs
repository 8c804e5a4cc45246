//! The control plane itself.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a server says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInfo {
    /// Version of the binary that it runs.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// How it runs instances.
    pub engine: Engine,
    /// One line about what that costs; empty for the native engine in full strength.
    pub engine_note: String,
    /// Addresses that the edge listens on, such as `127.0.0.1:8080`.
    pub listen: Vec<String>,
    /// Where its state lies.
    pub state_dir: String,
    /// When it began.
    pub started_at: Timestamp,
}

/// How instances are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// In containers of their own.
    Native,
    /// As processes of the user.
    Plain,
}

/// Asks the server to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShutdownRequest {
    /// Only when no project is up; decided by the server in one step. The edge ends with it.
    /// Without it the server ends alone: instances and edge go on, and the next server finds them.
    pub only_if_idle: bool,
}

/// Whether it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShutdownReply {
    /// It ends now.
    pub stopping: bool,
    /// Projects that are up.
    pub projects: Vec<String>,
}
