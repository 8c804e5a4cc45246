//! Runs cron services on their schedule, never two at once: what falls due meanwhile waits.

use std::time::Duration;

use croner::Cron;
use jiff::Timestamp;
use model::{Deploy, Exit, Instance, InstancePurpose, InstanceState, Problem, ServiceKind};
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
/// Minutes that may pass during one run: those of its longest time, and some more.
const MISSED_MAX: u32 = 13 * 60;

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
            Some(_) => {
                return note_delay(platform, row, &live, release.service.schedule.as_ref());
            }
            None => {
                finish(platform, row, run, &never_ran("the machine was restarted", now)).await?;
            }
        }
    }
    platform.set_waiting(&row.id, None);
    let Some(schedule) = &release.service.schedule else { return Ok(None) };
    let due = due(schedule, &history(platform, row, &live)?, now)?;
    match due {
        Due::At(at) => Ok(Some(at)),
        Due::Since(at) => {
            start(platform, row, &release, Some(at)).await?;
            Ok(None)
        }
    }
}

/// Says that a run is due that waits for the one under way, once. Returns when to look again.
fn note_delay(
    platform: &Platform,
    row: &ServiceRow,
    live: &Deploy,
    schedule: Option<&String>,
) -> Result<Option<Timestamp>, Error> {
    let Some(schedule) = schedule else { return Ok(None) };
    match due(schedule, &history(platform, row, live)?, Timestamp::now())? {
        Due::At(at) => {
            platform.set_waiting(&row.id, None);
            Ok(Some(at))
        }
        Due::Since(at) => {
            let text = format!(
                "the run of {} waits until the one under way has ended",
                at.to_zoned(jiff::tz::TimeZone::UTC).strftime("%H:%M UTC")
            );
            if platform.set_waiting(&row.id, Some(text.clone())) {
                events::cron_run_delayed(platform, row, &text)?;
            }
            Ok(None)
        }
    }
}

/// What has been of a cron service.
#[derive(Debug, Clone, Copy, Default)]
struct History {
    /// When its release went live.
    live_since: Option<Timestamp>,
    /// The minute of the last run that the schedule asked for.
    last_scheduled: Option<Timestamp>,
    /// The last run, whoever asked for it: its start, and its end if it has ended.
    last_run: Option<(Timestamp, Option<Timestamp>)>,
}

fn history(platform: &Platform, row: &ServiceRow, live: &Deploy) -> Result<History, Error> {
    let latest = store::cron_runs::latest(&platform.store, &row.id)?;
    Ok(History {
        live_since: live.finished_at,
        last_scheduled: store::cron_runs::last_scheduled(&platform.store, &row.id)?,
        last_run: latest.map(|run| (run.started_at, run.ended.map(|(at, _)| at))),
    })
}

/// What a schedule asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// The run of this minute, now.
    Since(Timestamp),
    /// Nothing before.
    At(Timestamp),
}

/// What a schedule asks for now. A minute that passed while a run was under way is delayed until
/// that has ended, as Render does, and of several such minutes only the newest is run: one waits,
/// never more. One that passed while nobody looked is run if it is not older than [`LATE`].
fn due(schedule: &str, history: &History, now: Timestamp) -> Result<Due, Problem> {
    let earliest = now - jiff::SignedDuration::try_from(LATE).unwrap_or_default();
    let was_busy_since = history
        .last_run
        .filter(|(_, ended)| ended.is_none_or(|ended| ended >= earliest))
        .map(|(started, _)| started);
    let floor = was_busy_since.map_or(earliest, |started| started.min(earliest));
    let since = history.last_scheduled.into_iter().chain(history.live_since).max();
    let mut newest = None;
    let mut next = next_run(schedule, since.unwrap_or(now).max(floor))?;
    for _ in 0..MISSED_MAX {
        if next > now {
            break;
        }
        newest = Some(next);
        next = next_run(schedule, next)?;
    }
    Ok(newest.map_or(Due::At(next), Due::Since))
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
    if !store::instances::begin(&platform.store, &instance, &row.id)? {
        let exit = never_ran("it was stopped before it began", now);
        store::cron_runs::finish(&platform.store, &instance.id, &exit, now)?;
        let message = format!("{} is stopped", row.definition.name);
        return Err(Problem::new("service-stopped", message).hint("`gable up` starts it").into());
    }
    let run = Run {
        row,
        release,
        instance_id: &instance.id,
        ordinal: instance.ordinal,
        command: Command::Main,
        label: format!("run of {}", row.name()),
        with_disk: false,
        has_input: false,
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
        Some(_) => return Ok(()),
        None => never_ran("it was stopped before it began", Timestamp::now()),
    };
    finish(platform, row, &run, &exit).await
}

/// The end of a run of which the engine knows nothing.
fn never_ran(why: &str, at: Timestamp) -> Exit {
    Exit {
        code: None,
        signal: None,
        out_of_memory: false,
        limit: Some(why.to_owned()),
        start_error: None,
        at,
    }
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

    fn at(text: &str) -> Timestamp {
        format!("2026-01-01T{text}Z").parse().unwrap()
    }

    #[test]
    fn a_run_that_falls_due_during_another_starts_when_that_has_ended_and_is_not_left_out() {
        let minutely = "* * * * *";
        let mut history = History {
            live_since: Some(at("11:59:30")),
            last_scheduled: Some(at("12:00:00")),
            last_run: Some((at("12:00:00"), None)),
        };
        // While it runs, one becomes due.
        assert_eq!(due(minutely, &history, at("12:00:30")), Ok(Due::At(at("12:01:00"))));
        assert_eq!(due(minutely, &history, at("12:01:05")), Ok(Due::Since(at("12:01:00"))));
        // It starts with the end of the other.
        history.last_run = Some((at("12:00:00"), Some(at("12:01:10"))));
        assert_eq!(due(minutely, &history, at("12:01:10")), Ok(Due::Since(at("12:01:00"))));
        // Of many that fell due, one waits: the newest.
        history.last_run = Some((at("12:00:00"), Some(at("12:07:10"))));
        assert_eq!(due(minutely, &history, at("12:07:10")), Ok(Due::Since(at("12:07:00"))));
        history.last_scheduled = Some(at("12:07:00"));
        history.last_run = Some((at("12:07:10"), Some(at("12:07:20"))));
        assert_eq!(due(minutely, &history, at("12:07:20")), Ok(Due::At(at("12:08:00"))));
    }

    #[test]
    fn an_hourly_run_that_was_delayed_by_half_an_hour_is_run_and_one_missed_while_nobody_looked_is_not()
     {
        let hourly = "0 * * * *";
        let history = History {
            live_since: Some(at("09:30:00")),
            last_scheduled: Some(at("10:00:00")),
            last_run: Some((at("10:00:00"), Some(at("11:30:00")))),
        };
        assert_eq!(due(hourly, &history, at("11:30:00")), Ok(Due::Since(at("11:00:00"))));
        // Nobody looked for hours: what fell due long ago is over.
        assert_eq!(due(hourly, &history, at("15:30:00")), Ok(Due::At(at("16:00:00"))));
        assert_eq!(due(hourly, &history, at("15:01:00")), Ok(Due::Since(at("15:00:00"))));
    }
}
