//! Runs of cron services. Never two of one service at once, and never two for one minute of its
//! schedule: the tables see to both.

use jiff::Timestamp;
use model::{Exit, InstanceId, ReleaseId, ServiceId};
use rusqlite::{Row, params};

use crate::row::{Columns, all, execute, first, to_json};
use crate::{Error, Store};

/// One run, named by its instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronRun {
    /// The instance that runs it.
    pub instance_id: InstanceId,
    /// Whose run it is.
    pub service_id: ServiceId,
    /// What runs.
    pub release_id: ReleaseId,
    /// The minute of the schedule; `None` when a person asked for it.
    pub scheduled_at: Option<Timestamp>,
    /// When it began.
    pub started_at: Timestamp,
    /// How it ended, and when.
    pub ended: Option<(Timestamp, Exit)>,
}

/// Writes a run that begins. `false` when it must not: another one of the service is under way, or
/// this minute of the schedule had its run.
pub fn insert(store: &Store, run: &CronRun) -> Result<bool, Error> {
    let touched = store.write("save cron run", |tx| {
        execute(
            tx,
            "INSERT INTO cron_runs (instance_id, service_id, release_id, scheduled_at, started_at)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
            params![
                run.instance_id.as_str(),
                run.service_id.as_str(),
                run.release_id.as_str(),
                run.scheduled_at.map(Timestamp::as_microsecond),
                run.started_at.as_microsecond(),
            ],
        )
    })?;
    Ok(touched > 0)
}

/// Notes how a run ended. A run that has ended already keeps its first ending.
pub fn finish(store: &Store, id: &InstanceId, exit: &Exit, now: Timestamp) -> Result<(), Error> {
    store.write("save cron run", |tx| {
        execute(
            tx,
            "UPDATE cron_runs SET finished_at = ?2, exit = ?3
             WHERE instance_id = ?1 AND finished_at IS NULL",
            params![id.as_str(), now.as_microsecond(), to_json(exit)],
        )?;
        Ok(())
    })
}

/// The newest run of a service.
pub fn latest(store: &Store, service_id: &ServiceId) -> Result<Option<CronRun>, Error> {
    Ok(list(store, service_id, 1)?.pop())
}

/// The runs that are under way.
pub fn in_progress(store: &Store) -> Result<Vec<CronRun>, Error> {
    store.read("list cron runs", |connection| {
        all(
            connection,
            "SELECT * FROM cron_runs WHERE finished_at IS NULL ORDER BY started_at",
            [],
            from_row,
        )
    })
}

/// The last minute of the schedule that had its run.
pub fn last_scheduled(store: &Store, service_id: &ServiceId) -> Result<Option<Timestamp>, Error> {
    let last = store.read("read cron run", |connection| {
        first(
            connection,
            "SELECT max(scheduled_at) AS last FROM cron_runs WHERE service_id = ?1",
            [service_id.as_str()],
            |row| Ok(row.time_option("last")?),
        )
    })?;
    Ok(last.flatten())
}

/// The runs of a service, newest first, `limit` of them.
pub fn list(store: &Store, service_id: &ServiceId, limit: u32) -> Result<Vec<CronRun>, Error> {
    store.read("list cron runs", |connection| {
        all(
            connection,
            "SELECT * FROM cron_runs WHERE service_id = ?1
             ORDER BY started_at DESC, instance_id DESC LIMIT ?2",
            params![service_id.as_str(), limit],
            from_row,
        )
    })
}

fn from_row(row: &Row<'_>) -> Result<CronRun, Error> {
    let finished_at = row.time_option("finished_at")?;
    let exit: Option<Exit> = row.json_option("exit")?;
    Ok(CronRun {
        instance_id: row.parsed("instance_id")?,
        service_id: row.parsed("service_id")?,
        release_id: row.parsed("release_id")?,
        scheduled_at: row.time_option("scheduled_at")?,
        started_at: row.time("started_at")?,
        ended: finished_at.zip(exit),
    })
}
