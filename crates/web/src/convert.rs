//! From the control plane's types to public JSON, by hand: what is public changes only here.

mod blueprints;
mod standing;

use control::Platform;
use control::ops::databases::Connection;
use control::ops::env_vars::{self, Entry};
use control::ops::events::{Event, StoreStanding, Subject};
use control::ops::logs::{Line, Stream};
use control::ops::status;
use model::{DeployId, DeployStatus, Exit, InstanceId};

use crate::error::Error;

pub(crate) use blueprints::draft;
pub(crate) use standing::project;

pub(crate) fn problem(problem: &model::Problem) -> wire::Problem {
    wire::Problem {
        code: problem.code.clone(),
        message: problem.message.clone(),
        detail: problem.detail.clone(),
        hint: problem.hint.clone(),
    }
}

pub(crate) fn deploy_status(status: DeployStatus) -> wire::DeployStatus {
    use wire::DeployStatus as W;
    match status {
        DeployStatus::Created => W::Created,
        DeployStatus::Queued => W::Queued,
        DeployStatus::BuildInProgress => W::BuildInProgress,
        DeployStatus::PreDeployInProgress => W::PreDeployInProgress,
        DeployStatus::UpdateInProgress => W::UpdateInProgress,
        DeployStatus::Live => W::Live,
        DeployStatus::Deactivated => W::Deactivated,
        DeployStatus::Canceled => W::Canceled,
        DeployStatus::BuildFailed => W::BuildFailed,
        DeployStatus::PreDeployFailed => W::PreDeployFailed,
        DeployStatus::UpdateFailed => W::UpdateFailed,
    }
}

pub(crate) fn proof(proof: model::Proof) -> wire::Proof {
    wire::Proof {
        in_flight: proof.in_flight,
        drained: proof.drained,
        failed: proof.failed,
        held: proof.held,
    }
}

/// `before` is the number of the newest event before the deploy was asked for.
pub(crate) fn deploy_ref(
    platform: &Platform,
    id: &DeployId,
    before: u64,
) -> Result<wire::DeployRef, Error> {
    let place = status::deploy_place(platform, id)?;
    Ok(wire::DeployRef {
        id: id.to_string(),
        service: place.service,
        environment: place.environment,
        sequence: before,
    })
}

/// A job that has no exit runs.
pub(crate) fn job(id: &InstanceId, exit: Option<&Exit>) -> wire::JobStatus {
    let (state, exit_code, failure) = match exit {
        None => (wire::JobState::Running, None, None),
        Some(exit) if exit.is_success() => (wire::JobState::Succeeded, Some(0), None),
        Some(exit) => {
            let code = exit.code.or(exit.signal.map(|signal| 128 + signal));
            let failure = wire::Problem::new("job-failed", format!("the job {exit}"));
            (wire::JobState::Failed, code, Some(failure))
        }
    };
    wire::JobStatus { id: id.to_string(), state, exit_code, failure }
}

pub(crate) fn connection(connection: Connection, reveal: bool) -> wire::Connection {
    let internal_url = if reveal { connection.url } else { env_vars::mask(&connection.url) };
    wire::Connection { argv: connection.argv, env: connection.env, internal_url }
}

pub(crate) fn env_entry(entry: &Entry, reveal: bool) -> wire::EnvEntry {
    wire::EnvEntry {
        key: entry.key.clone(),
        value: entry.shown(reveal),
        is_set: entry.value.is_some(),
        secret: entry.is_secret,
        phase: entry.phase.clone(),
        origin: entry.origin.clone(),
        readers: entry.readers.clone(),
        set_by_hand: entry.is_set_by_hand,
    }
}

pub(crate) fn log_line(line: Line) -> wire::LogLine {
    wire::LogLine {
        at: line.at,
        service: line.owner,
        environment: line.environment,
        instance: line.instance,
        stream: match line.stream {
            Stream::Stdout => wire::Stream::Stdout,
            Stream::Stderr => wire::Stream::Stderr,
            Stream::Gable => wire::Stream::Gable,
        },
        text: line.text,
    }
}

pub(crate) fn event(event: Event) -> wire::Event {
    wire::Event {
        sequence: event.sequence,
        at: event.at,
        project: event.project,
        environment: event.environment,
        service: event.name,
        noun: match event.subject {
            Subject::Project => wire::Noun::Project,
            Subject::Service => wire::Noun::Service,
            Subject::Database => wire::Noun::Database,
            Subject::KeyValue => wire::Noun::KeyValue,
        },
        deploy: event.deploy_id.map(|id| id.to_string()),
        kind: event.kind,
        status: event.status.map(deploy_status),
        database: event.store.map(|standing| match standing {
            StoreStanding::Starting => wire::DatabaseState::Starting,
            StoreStanding::Available => wire::DatabaseState::Available,
            StoreStanding::Failed => wire::DatabaseState::Failed,
            StoreStanding::Stopped => wire::DatabaseState::Stopped,
        }),
        message: event.message,
        problem: event.problem.as_ref().map(problem),
        proof: event.proof.map(proof),
    }
}
