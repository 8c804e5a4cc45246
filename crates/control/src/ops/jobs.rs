//! One-off jobs: a command with a service's files and variables, in an instance of its own.

use std::os::fd::OwnedFd;
use std::time::Duration;

use jiff::Timestamp;
use model::{Instance, InstanceId, InstancePurpose, Problem, ServiceId};
use secrecy::SecretString;
use store::jobs::Job;

use crate::error::Error;
use crate::instances::{self, Command, Run};
use crate::ops::deploys;
use crate::platform::Platform;
use crate::tasks::jobs::start_key;

/// Time that a cancelled job gets between TERM and KILL.
pub(crate) const CANCEL_GRACE: Duration = Duration::from_secs(10);

/// What a person asks for.
#[derive(Debug)]
pub struct Asked {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Whether its standard input follows (see [`input`]); it is empty otherwise.
    pub has_input: bool,
}

/// Starts a job. Its output is in the log of the instance.
///
/// # Errors
/// When the service has nothing that was built.
pub fn create(platform: &Platform, id: &ServiceId, asked: Asked) -> Result<InstanceId, Error> {
    let Asked { command, has_input } = asked;
    let row = deploys::service(platform, id)?;
    let release = deploys::newest_built(platform, &row)?;
    let instance = Instance {
        id: store::new_instance_id(),
        purpose: InstancePurpose::Job(id.clone()),
        ordinal: 0,
        restarts: 0,
        created_at: Timestamp::now(),
    };
    let job = Job {
        instance_id: instance.id.clone(),
        service_id: id.clone(),
        release_id: release.id.clone(),
        command: SecretString::from(command.join(" ")),
        started_at: instance.created_at,
        ended: None,
    };
    let instance_id = instance.id.clone();
    let written_instance = instance.clone();
    let started = platform.clone();
    let name = row.definition.name.clone();
    // Known as about to be started from before it is written down, so that nobody takes it for one
    // that was forgotten; and started after that, so that nothing runs that is not written down.
    let (go, written) = tokio::sync::oneshot::channel();
    platform.background.start(start_key(&instance_id), async move {
        if written.await.is_err() {
            return;
        }
        let run = Run {
            row: &row,
            release: &release,
            instance_id: &instance.id,
            ordinal: instance.ordinal,
            label: format!("job of {}", row.definition.name),
            command: Command::Words(command),
            with_disk: false,
            has_input,
        };
        if let Err(error) = instances::start(&started, run).await {
            tracing::error!(
                "cannot start a job of {}: {}",
                row.definition.name,
                error.problem().message
            );
        }
    });
    if !store::jobs::begin(&platform.store, &written_instance, &job)? {
        return Err(Problem::new("service-stopped", format!("{name} is stopped"))
            .hint("`gable up` starts it, with the data stores that a job may need")
            .into());
    }
    let _ = go.send(());
    Ok(instance_id)
}

/// A job, once it has ended or the time is up.
///
/// # Errors
/// When there is no such job.
pub async fn wait(platform: &Platform, id: &InstanceId, limit: Duration) -> Result<Job, Error> {
    let deadline = tokio::time::Instant::now() + limit;
    let mut changes = platform.driver.changes();
    loop {
        let job = get(platform, id)?;
        let now = tokio::time::Instant::now();
        if job.ended.is_some() || now >= deadline {
            return Ok(job);
        }
        // The end is written down a moment after the engine tells of it.
        let pause = (deadline - now).min(Duration::from_millis(50));
        let _ = tokio::time::timeout(pause, changes.changed()).await;
    }
}

/// The writing end of a job's standard input, once it has begun. The input ends when it is closed.
///
/// # Errors
/// When there is no such job, it has ended, or it has no input.
pub async fn input(platform: &Platform, id: &InstanceId) -> Result<OwnedFd, Error> {
    let mut changes = platform.driver.changes();
    loop {
        changes.mark_unchanged();
        match platform.driver.input(id).await {
            // Written down, and not yet known to the engine: about to begin.
            Err(engine::Error::NotFound(_)) if get(platform, id)?.ended.is_none() => {}
            result => return Ok(result?),
        }
        let _ = tokio::time::timeout(Duration::from_millis(50), changes.changed()).await;
    }
}

fn get(platform: &Platform, id: &InstanceId) -> Result<Job, Error> {
    store::jobs::get(&platform.store, id)?
        .ok_or_else(|| Problem::new("job-not-found", format!("there is no job {id}")).into())
}

/// Ends a job.
///
/// # Errors
/// When there is no such job. One that has ended stays as it is.
pub async fn cancel(platform: &Platform, id: &InstanceId) -> Result<(), Error> {
    get(platform, id)?;
    match platform.driver.stop(id, CANCEL_GRACE).await {
        Ok(()) | Err(engine::Error::NotFound(_) | engine::Error::NotRunning(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
