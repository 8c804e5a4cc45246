//! The public JSON of Gable's control plane, and the client that speaks it.
//!
//! Shapes only: no rules, and nothing of ours is known here. `web` converts from and to them by
//! hand; the command line is their first reader. The server listens on a Unix socket that only its
//! owner can open, so there are no tokens.
//!
//! **Requests** are refused when they hold an unknown field. **Replies** may grow fields.
//! **Streams** are NDJSON: one JSON value on each line, flushed; an empty line means “still here”
//! and is skipped. **Errors** are a [`Failure`] with a status of 4xx or 5xx.
//! **Services, databases, deploys and instances are named by id** (`srv-…`, `dpg-…`, `red-…`,
//! `dep-…`, `ins-…`); clients find ids in the [`Status`].

pub mod blueprints;
mod client;
pub mod databases;
pub mod deploys;
pub mod disk;
pub mod env_vars;
pub mod events;
pub mod instances;
pub mod jobs;
pub mod logs;
pub mod paths;
mod problem;
pub mod projects;
pub mod server;
pub mod status;

pub use blueprints::{
    Action, ApplyReply, ApplyRequest, Assignment, Change, Finding, Missing, Noun, PlanReply,
    Severity, Source, Twin,
};
pub use client::{Client, Error, Lines};
pub use databases::{Connection, ConnectionQuery};
pub use deploys::{
    CancelRequest, DeployRef, DeployRequest, DeployStatus, Proof, RestartRequest, RollbackRequest,
};
pub use disk::{CleanReply, CleanRequest, Freed};
pub use env_vars::{EnvChange, EnvChangeReply, EnvEntry, EnvQuery, Pair};
pub use events::{Event, EventQuery};
pub use instances::{InstanceQuery, InstanceRef};
pub use jobs::{JobQuery, JobRef, JobRequest, JobState, JobStatus};
pub use logs::{LogLine, LogQuery, Stream};
pub use problem::{Failure, Problem};
pub use projects::DownRequest;
pub use server::{Engine, ServerInfo, ShutdownReply, ShutdownRequest};
pub use status::{
    DatabaseKind, DatabaseState, DatabaseStatus, DeployInfo, EnvironmentStatus, InstanceExit,
    InstanceState, InstanceStatus, ProjectStatus, RunInfo, ServiceKind, ServiceState,
    ServiceStatus, Status, StatusQuery,
};
