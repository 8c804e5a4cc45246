//! Planning and applying a Blueprint.

use serde::{Deserialize, Serialize};

use crate::deploys::DeployRef;

/// Asks for a plan, or for what the plan says to happen.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// Absolute path of the repository, or of a folder in it.
    pub path: String,
    /// The Blueprint's file or compose files in their order, relative to `path`; those with the
    /// usual names if empty.
    #[serde(default)]
    pub files: Vec<String>,
    /// Profiles of compose files.
    #[serde(default)]
    pub profiles: Vec<String>,
    /// Run data images of compose files as they are, never as managed stores.
    #[serde(default)]
    pub uses_images: bool,
    /// Let compose files mount paths of the host outside the project.
    #[serde(default)]
    pub allows_host_paths: bool,
    /// Read it as Render does, without repairs.
    #[serde(default)]
    pub strict: bool,
    /// The project's name; taken from the file or the folder if `None`.
    #[serde(default)]
    pub project: Option<String>,
    /// Values given by hand, later ones win. They are kept.
    #[serde(default)]
    pub set: Vec<Assignment>,
    /// The operator's variables for all builds and instances; replaces the earlier ones if `Some`.
    #[serde(default)]
    pub operator_env: Option<Vec<(String, String)>>,
    /// Names of services to restrict it to; everything if empty.
    #[serde(default)]
    pub only: Vec<String>,
    /// Ask registries what the names of images mean now, also where that is known.
    #[serde(default)]
    pub refreshes_images: bool,
}

impl std::fmt::Debug for ApplyRequest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The operator's variables may hold the password of a proxy.
        formatter
            .debug_struct("ApplyRequest")
            .field("path", &self.path)
            .field("files", &self.files)
            .field("strict", &self.strict)
            .field("project", &self.project)
            .field("set", &self.set)
            .field("only", &self.only)
            .finish_non_exhaustive()
    }
}

/// One value given by hand.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// Name of the service, or `ENVIRONMENT/NAME`; `None` means each service that asks for the
    /// key. Where it names no service, `service.key` as a whole is the key: keys may hold dots.
    #[serde(default)]
    pub service: Option<String>,
    /// Name of the variable.
    pub key: String,
    /// Its value; a secret.
    pub value: String,
}

impl std::fmt::Debug for Assignment {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Assignment")
            .field("service", &self.service)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// What applying would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanReply {
    /// The project's name.
    pub project: String,
    /// Path of the Blueprint relative to the repository.
    pub blueprint_file: String,
    /// The source that would be deployed.
    pub source: Source,
    /// What reading the file found, in the order of the file.
    pub findings: Vec<Finding>,
    /// Another project that may be meant: nothing is applied before `project` says which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twin: Option<Twin>,
    /// What would happen to each service, database and group.
    pub changes: Vec<Change>,
    /// Values that nobody has given.
    pub missing: Vec<Missing>,
    /// Sentences that matter but fit nowhere else.
    pub notes: Vec<String>,
    /// Nothing can be applied; the findings say why.
    pub refused: bool,
}

/// A project with the name that this source would give its own, applied from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Twin {
    /// Its name.
    pub project: String,
    /// Where it was applied from.
    pub source: String,
    /// Whether nothing is there any more.
    pub gone: bool,
}

/// The state of the source.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Source {
    /// Absolute path of the repository.
    pub path: String,
    /// Full id of the commit; empty outside a repository.
    pub commit: String,
    /// Name of the branch; empty when the head is detached.
    pub branch: String,
    /// First line of the commit's message.
    #[serde(default)]
    pub subject: String,
    /// Whether changes are part of it that are not committed.
    pub dirty: bool,
    /// What was done to take it, as far as it may surprise: submodules, files left out.
    pub notes: Vec<String>,
}

/// Something that reading the file found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// The file as a person would write its path.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// Ready text of several lines with the snippet; no colours.
    pub rendered: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// Understood otherwise than written; `gable blueprint fix` writes it down.
    Repair,
    /// Has no effect here.
    Note,
}

/// What would happen to one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What would happen.
    pub action: Action,
    /// To what.
    pub noun: Noun,
    /// More about it in a word or two: `web · node`, `PostgreSQL 16`, `Valkey`.
    pub kind: String,
    /// Its name in the file.
    pub name: String,
    /// Name of its environment.
    pub environment: String,
    /// Why, one reason each; never values.
    pub details: Vec<String>,
}

/// What would happen to something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is new.
    Create,
    /// Its settings change while it runs.
    Change,
    /// It does not run, and is started.
    Start,
    /// Its last deploy failed: the same is tried again.
    Retry,
    /// The same bytes are started again.
    Restart,
    /// It is built and deployed again.
    Rebuild,
    /// Nothing.
    Keep,
    /// It is not in the file any more and stays as it is, as on Render.
    Unmanaged,
    /// It is stopped and forgotten.
    Remove,
    /// It will be done when something else is (`detail` says what).
    Later,
    /// Gable cannot do it yet.
    Unsupported,
}

/// What a change or an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Noun {
    /// The whole project.
    Project,
    /// An environment.
    Environment,
    /// A service.
    Service,
    /// A PostgreSQL database.
    Database,
    /// A Key Value instance.
    KeyValue,
    /// A group of environment variables.
    Group,
    /// The control plane.
    Server,
}

/// A value that nobody has given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Name of the environment.
    pub environment: String,
    /// Name of the service; empty for a variable that compose files name.
    pub service: String,
    /// Name of the variable.
    pub key: String,
    /// Why it is missing: `sync: false`, `the group x is not in the file`.
    pub why: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What applying began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyReply {
    /// The project's name.
    pub project: String,
    /// What was decided.
    pub plan: PlanReply,
    /// Whether anything was written; `false` when refused.
    pub applied: bool,
    /// Events after this number belong to it.
    pub sequence: u64,
    /// Deploys that have to end before everything is up: new ones, and those already under way.
    pub deploys: Vec<DeployRef>,
}
