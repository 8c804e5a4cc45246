//! Runs cron services on their schedule, never two at once.

use std::time::Duration;

use croner::Cron;
use jiff::Timestamp;
use model::{Exit, Instance, InstancePurpose, InstanceState, Problem, ServiceKind};
use reconcile::diagnosis::Phase;
use store::cron_runs::CronRun;
use store::services::ServiceRow;

use crate::environments;
use crate::error::Error;
use crate::events;
use crate::instances::{self, Command, Run};
use crate::platform::Platform;
use crate::tasks::services::judge_run;

/// Render ends a run after twelve hours (cronjobs page).
const RUN_LIMIT: Duration = Duration::from_secs(12 * 60 * 60);
/// The longest time between two looks.
const POLL: Duration = Duration::from_secs(20);
/// A minute that was missed by less than this, because the control plane was not running, is
/// still run; an older one is not.
const LATE: Duration = Duration::from_secs(90);

/// The first minute after `after` that a five-field expression in UTC names.
///
/// # Errors
/// When the expression is none, or names no minute.
pub fn next_run(schedule: &str, after: Timestamp) -> Result<Timestamp, Problem> {
    let refuse = |detail: String| {
        Problem::new("schedule-invalid", format!("`{schedule}` is not a cron expression"))
            .detail(detail)
            .hint("five fields in UTC: minute, hour, day of month, month, day of week")
    };
    let cron: Cron = schedule.parse().map_err(|error| refuse(format!("{error}")))?;
    let zoned = after.to_zoned(jiff::tz::TimeZone::UTC);
    let next =
        cron.find_next_occurrence(&zoned, false).map_err(|error| refuse(format!("{error}")))?;
    Ok(next.timestamp())
}

/// Looks after all cron services for as long as the control plane lives.
pub async fn run(platform: Platform) {
    let mut wakes = platform.wakes();
    let mut changes = platform.driver.changes();
    loop {
        wakes.mark_unchanged();
        changes.mark_unchanged();
        let sleep = match pass(&platform).await {
            Ok(Some(at)) => {
                let left = at.duration_since(Timestamp::now());
                Duration::try_from(left).unwrap_or(Duration::ZERO).min(POLL)
            }
            Ok(None) => POLL,
            Err(error) => {
                tracing::error!("cannot look after the cron jobs: {error}");
                Duration::from_secs(1)
            }
        };
        tokio::select! {
            _ = wakes.changed() => {}
            _ = changes.changed() => {}
            () = tokio::time::sleep(sleep.max(Duration::from_millis(5))) => {}
        }
    }
}

/// One look at every cron service. Returns when the next one is due.
async fn pass(platform: &Platform) -> Result<Option<Timestamp>, Error> {
    let mut next_due: Option<Timestamp> = None;
    for row in store::services::list_all(&platform.store)? {
        if row.definition.kind != ServiceKind::Cron {
            continue;
        }
        if environments::is_stopped(platform, &row.environment_id)? || row.suspended {
            stop_run(platform, &row).await?;
            continue;
        }
        match care(platform, &row).await {
            Ok(due) => next_due = [next_due, due].into_iter().flatten().min(),
            Err(error) => {
                tracing::error!("cannot run {}: {}", row.definition.name, error.problem().message);
            }
        }
    }
    Ok(next_due)
}

async fn care(platform: &Platform, row: &ServiceRow) -> Result<Option<Timestamp>, Error> {
    let now = Timestamp::now();
    let Some(live) = store::deploys::live(&platform.store, &row.id)? else { return Ok(None) };
    let Some(release) = store::releases::get(&platform.store, &live.release_id)? else {
        return Ok(None);
    };
    let latest = store::cron_runs::latest(&platform.store, &row.id)?;
    if let Some(run) = latest.as_ref().filter(|run| run.ended.is_none()) {
        match platform.driver.observe(&run.instance_id).await {
            Some(InstanceState::Exited(exit)) => finish(platform, row, run, &exit).await?,
            Some(_) => return Ok(None),
            None => {
                let lost = Exit {
                    code: None,
                    signal: None,
                    out_of_memory: false,
                    limit: Some("the machine was restarted".to_owned()),
                    start_error: None,
                    at: now,
                };
                finish(platform, row, run, &lost).await?;
            }
        }
    }
    let Some(schedule) = &release.service.schedule else { return Ok(None) };
    // From the last run, or from when it went live: a minute that passed while a run was under
    // way is not made up for.
    let latest = store::cron_runs::latest(&platform.store, &row.id)?;
    let last_end = latest.and_then(|run| run.ended.map(|(at, _)| at));
    let since = last_end
        .into_iter()
        .chain(store::cron_runs::last_scheduled(&platform.store, &row.id)?)
        .chain(live.finished_at)
        .max()
        .unwrap_or(now);
    let earliest = now - jiff::SignedDuration::try_from(LATE).unwrap_or_default();
    let due = next_run(schedule, since.max(earliest))?;
    if due > now {
        return Ok(Some(due));
    }
    start(platform, row, &release, Some(due)).await?;
    Ok(None)
}

/// Starts a run now. `scheduled_at` is `None` when a person asked for it.
///
/// # Errors
/// When one is under way already, or it cannot be started.
pub async fn start(
    platform: &Platform,
    row: &ServiceRow,
    release: &model::Release,
    scheduled_at: Option<Timestamp>,
) -> Result<model::InstanceId, Error> {
    let now = Timestamp::now();
    let instance = Instance {
        id: store::new_instance_id(),
        purpose: InstancePurpose::CronRun(row.id.clone()),
        ordinal: 0,
        restarts: 0,
        created_at: now,
    };
    let new = CronRun {
        instance_id: instance.id.clone(),
        service_id: row.id.clone(),
        release_id: release.id.clone(),
        scheduled_at,
        started_at: now,
        ended: None,
    };
    if !store::cron_runs::insert(&platform.store, &new)? {
        return Err(Problem::new(
            "cron-run-in-progress",
            format!("a run of {} is under way", row.definition.name),
        )
        .hint("wait for it to end; two never run at once")
        .into());
    }
    store::instances::insert(&platform.store, &instance, &row.id)?;
    let run = Run {
        row,
        release,
        instance_id: &instance.id,
        command: Command::Main,
        label: format!("run of {}", row.name()),
        with_disk: false,
    };
    instances::start(platform, run).await?;
    events::cron_run_started(platform, row, &instance.id)?;
    let stopper = platform.clone();
    let id = instance.id.clone();
    platform.background.start(format!("cron/{id}"), async move {
        if tokio::time::timeout(RUN_LIMIT, stopper.driver.wait(&id)).await.is_err()
            && let Err(error) = stopper.driver.stop(&id, Duration::from_secs(30)).await
        {
            tracing::error!("cannot stop {id}: {error}");
        }
    });
    Ok(instance.id)
}

async fn finish(
    platform: &Platform,
    row: &ServiceRow,
    run: &CronRun,
    exit: &Exit,
) -> Result<(), Error> {
    store::cron_runs::finish(&platform.store, &run.instance_id, exit, exit.at)?;
    // A run that ended because a person stops everything has not failed.
    let was_stopped = row.suspended || environments::is_stopped(platform, &row.environment_id)?;
    let problem = if exit.is_success() || was_stopped {
        None
    } else {
        let release = store::releases::get(&platform.store, &run.release_id)?;
        release
            .map(|release| {
                judge_run(platform, row, &release, (Phase::Cron, &run.instance_id, exit))
            })
            .transpose()?
    };
    events::cron_run_ended(platform, row, &run.instance_id, (exit, problem))?;
    match platform.driver.remove(&run.instance_id).await {
        Ok(()) | Err(engine::Error::NotFound(_)) => {}
        Err(error) => tracing::warn!("cannot tidy up after a run: {error}"),
    }
    Ok(store::instances::delete(&platform.store, &run.instance_id)?)
}

async fn stop_run(platform: &Platform, row: &ServiceRow) -> Result<(), Error> {
    let latest = store::cron_runs::latest(&platform.store, &row.id)?;
    let Some(run) = latest.filter(|run| run.ended.is_none()) else { return Ok(()) };
    match platform.driver.stop(&run.instance_id, Duration::from_secs(10)).await {
        Ok(()) | Err(engine::Error::NotFound(_) | engine::Error::NotRunning(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let exit = match platform.driver.observe(&run.instance_id).await {
        Some(InstanceState::Exited(exit)) => exit,
        _ => return Ok(()),
    };
    finish(platform, row, &run, &exit).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schedule: &str, after: &str, expected: &str) {
        let after: Timestamp = after.parse().unwrap();
        assert_eq!(next_run(schedule, after).unwrap().to_string(), expected);
    }

    #[test]
    fn schedules_are_in_utc_and_strictly_after() {
        check("* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z");
        check("*/15 * * * *", "2026-01-01T00:07:30Z", "2026-01-01T00:15:00Z");
        check("0 3 * * 1", "2026-01-01T00:00:00Z", "2026-01-05T03:00:00Z");
    }

    #[test]
    fn nonsense_is_refused_with_a_hint() {
        let problem = next_run("every day", Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(problem.code, "schedule-invalid");
        assert!(problem.hint.is_some());
    }
}
