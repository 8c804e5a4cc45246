//! Follows one-off jobs to their end.

use std::time::Duration;

use model::{Exit, InstanceState};

use crate::error::Error;
use crate::events;
use crate::platform::Platform;

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
            Some(_) => continue,
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

/// The key of the background work that starts a job.
pub(crate) fn start_key(id: &model::InstanceId) -> String {
    format!("job/{id}")
}
