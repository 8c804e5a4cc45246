//! The addresses of the endpoints. `{id}` is filled in by the client.

/// `GET` → [`crate::ServerInfo`].
pub const SERVER: &str = "/v1/server";
/// `POST` [`crate::ApplyRequest`] → [`crate::PlanReply`]. Changes nothing.
pub const PLAN: &str = "/v1/plan";
/// `POST` [`crate::ApplyRequest`] → [`crate::ApplyReply`].
pub const APPLY: &str = "/v1/apply";
/// `GET` with [`crate::EventQuery`] → stream of [`crate::Event`].
pub const EVENTS: &str = "/v1/events";
/// `GET` with [`crate::StatusQuery`] → [`crate::Status`].
pub const STATUS: &str = "/v1/status";
/// `GET` with [`crate::LogQuery`] → stream of [`crate::LogLine`].
pub const LOGS: &str = "/v1/logs";
/// `GET` with [`crate::EnvQuery`] → list of [`crate::EnvEntry`]; `POST` [`crate::EnvChange`] →
/// [`crate::EnvChangeReply`].
pub const ENV: &str = "/v1/env";
/// `POST` [`crate::RestartRequest`] → [`crate::DeployRef`].
pub const RESTART: &str = "/v1/restart";
/// `POST` [`crate::DeployRequest`] → [`crate::DeployRef`].
pub const DEPLOYS: &str = "/v1/deploys";
/// `POST` [`crate::CancelRequest`] → [`crate::DeployRef`].
pub const CANCEL: &str = "/v1/cancel";
/// `POST` [`crate::RollbackRequest`] → [`crate::DeployRef`].
pub const ROLLBACK: &str = "/v1/rollback";
/// `POST` [`crate::JobRequest`] → [`crate::JobRef`].
pub const JOBS: &str = "/v1/jobs";
/// `GET` with [`crate::JobQuery`] → [`crate::JobStatus`]; long poll.
pub const JOB: &str = "/v1/jobs/{id}";
/// `POST` without a body → [`crate::JobStatus`]. Stops the job; it ends as any instance does.
pub const JOB_CANCEL: &str = "/v1/jobs/{id}/cancel";
/// `POST` with bytes of any kind, sent as they come → no content. The standard input of a job that
/// was asked for with [`crate::JobRequest::input`].
pub const JOB_INPUT: &str = "/v1/jobs/{id}/input";
/// `GET` with [`crate::InstanceQuery`] → [`crate::InstanceRef`].
pub const INSTANCE: &str = "/v1/instance";
/// `GET` with [`crate::ConnectionQuery`] → [`crate::Connection`].
pub const CONNECTION: &str = "/v1/databases/connection";
/// `POST` [`crate::DownRequest`] → stream of [`crate::Event`] that ends when everything has stopped.
pub const DOWN: &str = "/v1/down";
/// `POST` [`crate::CleanRequest`] → [`crate::CleanReply`].
pub const CLEAN: &str = "/v1/disk/clean";
/// `POST` [`crate::ShutdownRequest`] → [`crate::ShutdownReply`].
pub const SHUTDOWN: &str = "/v1/shutdown";
