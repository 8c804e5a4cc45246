//! Lines that instances and builds wrote.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Which lines are wanted. Lines of several instances come in the order of their times.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogQuery {
    /// All services of one project, by name.
    #[serde(default)]
    pub project: Option<String>,
    /// One service or database, by id.
    #[serde(default)]
    pub service: Option<String>,
    /// Only instances of one deploy, by id.
    #[serde(default)]
    pub deploy: Option<String>,
    /// Only one instance, by id. With `follow` the stream ends after the instance has.
    #[serde(default)]
    pub instance: Option<String>,
    /// The build of the deploy (the newest one if none is named) in place of its instances.
    #[serde(default)]
    pub build: bool,
    /// Begin this many lines before the end; all that are kept if `None`.
    #[serde(default)]
    pub tail: Option<u32>,
    /// Only lines after this time.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// Stay and send what is written, also by instances that start later.
    #[serde(default)]
    pub follow: bool,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was read.
    pub at: Timestamp,
    /// Name of the service or database.
    pub service: String,
    /// Name of the environment.
    pub environment: String,
    /// The instance's id.
    pub instance: String,
    /// Where it was written.
    pub stream: Stream,
    /// Without the line's end; may hold terminal escapes for colours.
    pub text: String,
}

/// Where a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// To the standard output.
    Stdout,
    /// To the standard error.
    Stderr,
    /// By Gable itself.
    Gable,
}
