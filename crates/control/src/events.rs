//! What is written into the timeline besides the transitions of deploys, and the words for both.

use jiff::{SignedDuration, Timestamp};
use model::{Deploy, DeployEvent, DeployId, Exit, Instance, InstanceId, Problem, Proof};
use serde::{Deserialize, Serialize};
use store::events::NewEvent;
use store::services::ServiceRow;

use crate::error::Error;
use crate::platform::{Platform, StoreState};

/// The body of an event of ours. Deploys' transitions have the store's own body.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Body {
    /// Id of a data store, when it is about one.
    pub store_id: Option<String>,
    /// Name of what it is about.
    pub name: String,
    /// A sentence for a person.
    pub message: String,
    /// What is wrong.
    pub problem: Option<Problem>,
    /// What happened to requests.
    pub proof: Option<Proof>,
}

fn append(
    platform: &Platform,
    kind: &str,
    row: &ServiceRow,
    deploy_id: Option<&DeployId>,
    body: &Body,
) -> Result<(), Error> {
    let event = NewEvent {
        at: Timestamp::now(),
        kind: kind.to_owned(),
        environment_id: Some(row.environment_id.clone()),
        service_id: Some(row.id.clone()),
        deploy_id: deploy_id.cloned(),
        body: to_json(body),
    };
    store::events::append(&platform.store, &event)?;
    Ok(())
}

fn to_json(body: &Body) -> serde_json::Value {
    serde_json::to_value(body).expect("the body has text keys and no failing parts")
}

fn body(row: &ServiceRow, message: impl Into<String>) -> Body {
    Body { name: row.definition.name.clone(), message: message.into(), ..Body::default() }
}

/// Changes a deploy's status; the store writes the event in the same transaction.
///
/// # Errors
/// When the store refuses. A transition that was made already is no error: the pass that asked for
/// it saw an older status.
pub fn transition(
    platform: &Platform,
    deploy_id: &DeployId,
    event: DeployEvent,
    failure: Option<Problem>,
) -> Result<(), Error> {
    let change = store::deploys::Change { event, failure, now: Timestamp::now() };
    match store::deploys::transition(&platform.store, deploy_id, &change) {
        Ok(deploy) => {
            tracing::info!(
                deploy.id = %deploy.id, service.id = %deploy.service_id,
                "deploy {} is {}", deploy.id, deploy.status
            );
            if !deploy.status.is_in_progress() {
                // Services that depend on this one look again.
                platform.wake();
            }
            Ok(())
        }
        Err(store::Error::Refused(refused)) => {
            tracing::debug!("a repeated step: {refused}");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Says why a deploy is not healthy, and how long it is still waited for.
///
/// # Errors
/// When the store cannot be written.
pub fn waiting(
    platform: &Platform,
    row: &ServiceRow,
    deploy: &Deploy,
    why: (&Problem, Option<SignedDuration>),
) -> Result<(), Error> {
    let (problem, left) = why;
    let message = match left {
        Some(left) => format!("not healthy yet; given up in {} unless that changes", words(left)),
        None => "not healthy yet".to_owned(),
    };
    let body = Body { problem: Some(problem.clone()), ..body(row, message) };
    append(platform, "waiting", row, Some(&deploy.id), &body)
}

/// A time that is left, in words.
fn words(left: SignedDuration) -> String {
    match left.as_secs() {
        seconds @ ..120 => format!("{} s", seconds.max(1)),
        seconds => format!("{} min", seconds / 60),
    }
}

/// Says what a person should know of a deploy although it goes on.
///
/// # Errors
/// When the store cannot be written.
pub fn warned(
    platform: &Platform,
    row: &ServiceRow,
    deploy_id: &DeployId,
    warning: Problem,
) -> Result<(), Error> {
    let body = Body { problem: Some(warning), ..body(row, "it goes on, with a warning") };
    append(platform, "warning", row, Some(deploy_id), &body)
}

/// Says what happened to requests at the switch.
///
/// # Errors
/// When the store cannot be written.
pub fn proven(
    platform: &Platform,
    row: &ServiceRow,
    deploy: &Deploy,
    proof: Proof,
) -> Result<(), Error> {
    let message = format!(
        "requests at the switch: {} in flight, {} drained, {} failed{}",
        proof.in_flight,
        proof.drained,
        proof.failed,
        if proof.held > 0 { format!(", {} held", proof.held) } else { String::new() }
    );
    let body = Body { proof: Some(proof), ..body(row, message) };
    append(platform, "proven", row, Some(&deploy.id), &body)
}

/// Says that the initial deploy hook has run.
///
/// # Errors
/// When the store cannot be written.
pub fn initial_hook_ended(
    platform: &Platform,
    row: &ServiceRow,
    deploy_id: &DeployId,
    ended: (&Exit, Option<Problem>),
) -> Result<(), Error> {
    let (exit, problem) = ended;
    let body = Body { problem, ..body(row, format!("the initial deploy hook {exit}")) };
    append(platform, "initial_hook_ended", row, Some(deploy_id), &body)
}

/// Says that an instance ended and another takes its place.
///
/// # Errors
/// When the store cannot be written.
pub fn instance_restarted(
    platform: &Platform,
    row: &ServiceRow,
    deploy: &Deploy,
    restarted: (&Instance, Option<&Exit>),
) -> Result<(), Error> {
    let (instance, exit) = restarted;
    let times = match instance.restarts {
        1 => "once".to_owned(),
        restarts => format!("{restarts} times"),
    };
    let how = exit.map_or_else(|| "ended".to_owned(), ToString::to_string);
    let body = body(row, format!("its instance {how} and was started again ({times})"));
    append(platform, "instance_restarted", row, Some(&deploy.id), &body)
}

/// Says that a cron run began.
///
/// # Errors
/// When the store cannot be written.
pub fn cron_run_started(
    platform: &Platform,
    row: &ServiceRow,
    id: &InstanceId,
) -> Result<(), Error> {
    append(platform, "cron_job_run_started", row, None, &body(row, format!("run {id} started")))
}

/// Says that a cron run is due and waits for another.
///
/// # Errors
/// When the store cannot be written.
pub fn cron_run_delayed(platform: &Platform, row: &ServiceRow, text: &str) -> Result<(), Error> {
    append(platform, "cron_job_run_delayed", row, None, &body(row, text))
}

/// Says how a cron run ended.
///
/// # Errors
/// When the store cannot be written.
pub fn cron_run_ended(
    platform: &Platform,
    row: &ServiceRow,
    id: &InstanceId,
    ended: (&Exit, Option<Problem>),
) -> Result<(), Error> {
    let (exit, problem) = ended;
    let body = Body { problem, ..body(row, format!("run {id} {exit}")) };
    append(platform, "cron_job_run_ended", row, None, &body)
}

/// Says how a one-off job ended.
///
/// # Errors
/// When the store cannot be written.
pub fn job_ended(platform: &Platform, job: &store::jobs::Job, exit: &Exit) -> Result<(), Error> {
    let Some(row) = store::services::get(&platform.store, &job.service_id)? else { return Ok(()) };
    let message = format!("job {} {exit}", job.instance_id);
    append(platform, "job_run_ended", &row, None, &body(&row, message))
}

/// Says that a data store changed its state.
///
/// # Errors
/// When the store cannot be written.
pub fn store_changed(platform: &Platform, id: &str, state: &StoreState) -> Result<(), Error> {
    let Some((name, environment_id)) = store_name(platform, id)? else { return Ok(()) };
    let (kind, message, problem) = match state {
        StoreState::Starting(text) => ("store_starting", text.clone(), None),
        StoreState::Ready { running, .. } => {
            ("store_available", format!("available, version {}", running.version), None)
        }
        StoreState::Failed { problem, .. } => {
            ("store_failed", problem.message.clone(), Some(problem.clone()))
        }
        StoreState::Stopped => ("store_stopped", "stopped".to_owned(), None),
    };
    let body = Body { store_id: Some(id.to_owned()), name, message, problem, proof: None };
    let event = NewEvent {
        at: Timestamp::now(),
        kind: kind.to_owned(),
        environment_id: Some(environment_id),
        service_id: None,
        deploy_id: None,
        body: to_json(&body),
    };
    store::events::append(&platform.store, &event)?;
    Ok(())
}

/// Says what is being done to a data store that is not there yet.
pub fn store_progress(platform: &Platform, id: &str, text: &str) {
    if let Err(error) = store_changed(platform, id, &StoreState::Starting(text.to_owned())) {
        tracing::warn!("cannot write down the progress of {id}: {error}");
    }
}

/// Name and environment of a data store.
///
/// # Errors
/// When the store cannot be read.
pub fn store_name(
    platform: &Platform,
    id: &str,
) -> Result<Option<(String, model::EnvironmentId)>, Error> {
    if let Ok(id) = id.parse() {
        let row = store::databases::get(&platform.store, &id)?;
        return Ok(row.map(|row| (row.definition.name, row.environment_id)));
    }
    let Ok(id) = id.parse() else { return Ok(None) };
    let row = store::key_values::get(&platform.store, &id)?;
    Ok(row.map(|row| (row.definition.name, row.environment_id)))
}

/// What happened to a deploy, in words; empty for events that bring their own.
#[must_use]
pub fn message(kind: &str) -> &'static str {
    match kind.strip_prefix("deploy_").unwrap_or_default() {
        "created" => "a deploy was asked for",
        "queued" => "waiting for an earlier deploy",
        "build_started" => "building",
        "pre_deploy_started" => "running the pre-deploy command",
        "update_started" => "starting",
        "went_live" => "live",
        "deactivated" => "replaced",
        "canceled" => "canceled",
        "build_failed" => "the build failed",
        "pre_deploy_failed" => "the pre-deploy command failed",
        "update_failed" => "it did not become healthy",
        _ => "",
    }
}
