//! Follows one-off jobs to their end.

use std::time::Duration;

use model::{Exit, InstanceId, InstancePurpose, InstanceState};

use crate::environments;
use crate::error::Error;
use crate::events;
use crate::platform::Platform;

/// Time that a job gets between TERM and KILL when a person stops everything.
const STOP_GRACE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_secs(20);

/// Looks after all jobs for as long as the control plane lives.
pub async fn run(platform: Platform) {
    let mut wakes = platform.wakes();
    let mut changes = platform.driver.changes();
    loop {
        wakes.mark_unchanged();
        changes.mark_unchanged();
        if let Err(error) = pass(&platform).await {
            tracing::error!("cannot look after the jobs: {error}");
        }
        tokio::select! {
            _ = wakes.changed() => {}
            _ = changes.changed() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

async fn pass(platform: &Platform) -> Result<(), Error> {
    for job in store::jobs::in_progress(&platform.store)? {
        let exit = match platform.driver.observe(&job.instance_id).await {
            Some(InstanceState::Exited(exit)) => exit,
            Some(_) => {
                if is_stopped(platform, &job)? {
                    stop(platform, &job.instance_id);
                }
                continue;
            }
            // Written down this moment, and about to be started.
            None if platform.background.is_running(&start_key(&job.instance_id)) => continue,
            None => Exit {
                code: None,
                signal: None,
                out_of_memory: false,
                limit: None,
                start_error: Some("the control plane was ended before it began".to_owned()),
                at: jiff::Timestamp::now(),
            },
        };
        store::jobs::finish(&platform.store, &job.instance_id, &exit, exit.at)?;
        events::job_ended(platform, &job, &exit)?;
        match platform.driver.remove(&job.instance_id).await {
            Ok(()) | Err(engine::Error::NotFound(_)) => {}
            Err(error) => tracing::warn!("cannot tidy up after a job: {error}"),
        }
        store::instances::delete(&platform.store, &job.instance_id)?;
    }
    Ok(())
}

/// Instances of jobs that are not written down themselves: an earlier version was killed between
/// the two. What the engine knows of them is nobody's then, and stopped as such.
pub(crate) fn forget_strangers(platform: &Platform) -> Result<(), Error> {
    for row in store::instances::list(&platform.store)? {
        let id = &row.instance.id;
        if matches!(row.instance.purpose, InstancePurpose::Job(_))
            && store::jobs::get(&platform.store, id)?.is_none()
        {
            store::instances::delete(&platform.store, id)?;
        }
    }
    Ok(())
}

/// Whether a person has stopped the environment that the job belongs to.
fn is_stopped(platform: &Platform, job: &store::jobs::Job) -> Result<bool, Error> {
    match store::services::get(&platform.store, &job.service_id)? {
        Some(row) => environments::is_stopped(platform, &row.environment_id),
        None => Ok(true),
    }
}

/// Stops a job in the background; the next pass sees it end.
fn stop(platform: &Platform, id: &InstanceId) {
    let (work, id) = (platform.clone(), id.clone());
    platform.background.start(format!("stop/{id}"), async move {
        if let Err(error) = work.driver.stop(&id, STOP_GRACE).await {
            tracing::error!("cannot stop job {id}: {error}");
        }
    });
}

/// The key of the background work that starts a job.
pub(crate) fn start_key(id: &InstanceId) -> String {
    format!("job/{id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops;
    use crate::testing;

    #[tokio::test]
    async fn a_job_ends_when_a_person_stops_everything() {
        let directory = tempfile::tempdir().unwrap();
        let platform = testing::platform(directory.path());
        let environment = testing::environment(&platform, "shop");
        let service = testing::service(&platform, &environment, "web");
        let release = testing::release(&platform, &service);
        let _live = testing::live(&platform, &release);
        let id = store::new_instance_id();
        let instance = model::Instance {
            id: id.clone(),
            purpose: InstancePurpose::Job(service.clone()),
            ordinal: 0,
            restarts: 0,
            created_at: jiff::Timestamp::now(),
        };
        let job = store::jobs::Job {
            instance_id: id.clone(),
            service_id: service.clone(),
            release_id: release.id,
            command: "sleep".into(),
            started_at: instance.created_at,
            ended: None,
        };
        assert!(store::jobs::begin(&platform.store, &instance, &job).unwrap());
        platform.driver.start(&testing::spec(&environment, &id)).await.unwrap();
        pass(&platform).await.unwrap();
        assert_eq!(store::jobs::in_progress(&platform.store).unwrap().len(), 1);

        environments::set_stopped(&platform, &environment.id, true).unwrap();
        let mut ended = platform.background.changes();
        pass(&platform).await.unwrap();
        ended.changed().await.unwrap();
        pass(&platform).await.unwrap();
        assert!(store::jobs::in_progress(&platform.store).unwrap().is_empty());
        assert!(store::instances::by_service(&platform.store, &service).unwrap().is_empty());

        // And none begins while it is stopped.
        let asked = ops::jobs::Asked { command: vec!["true".to_owned()], has_input: false };
        let refused = ops::jobs::create(&platform, &service, asked);
        assert_eq!(refused.unwrap_err().problem().code, "service-stopped");
    }

    #[tokio::test]
    async fn an_instance_whose_job_was_never_written_down_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let platform = testing::platform(directory.path());
        let environment = testing::environment(&platform, "shop");
        let service = testing::service(&platform, &environment, "web");
        let instance = model::Instance {
            id: store::new_instance_id(),
            purpose: InstancePurpose::Job(service.clone()),
            ordinal: 0,
            restarts: 0,
            created_at: jiff::Timestamp::now(),
        };
        store::instances::insert(&platform.store, &instance, &service).unwrap();
        forget_strangers(&platform).unwrap();
        assert!(store::instances::list(&platform.store).unwrap().is_empty());
    }
}
