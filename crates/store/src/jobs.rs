//! One-off jobs: commands that a person asked for, with a service's release.

use jiff::Timestamp;
use model::{Exit, Instance, InstanceId, ReleaseId, ServiceId};
use rusqlite::{Row, params};
use secrecy::{ExposeSecret, SecretString};

use crate::row::{Columns, all, execute, first, to_json};
use crate::{Error, Store, instances};

/// One job, named by its instance.
#[derive(Debug, Clone)]
pub struct Job {
    /// The instance that runs it.
    pub instance_id: InstanceId,
    /// With whose release.
    pub service_id: ServiceId,
    /// Which release.
    pub release_id: ReleaseId,
    /// What was asked for; people write passwords into such commands.
    pub command: SecretString,
    /// When it began.
    pub started_at: Timestamp,
    /// How it ended, and when.
    pub ended: Option<(Timestamp, Exit)>,
}

/// Writes a job that begins, and the instance that will run it. Returns whether that was done: it
/// is not when the service is gone, or a person has stopped its environment.
pub fn begin(store: &Store, instance: &Instance, job: &Job) -> Result<bool, Error> {
    let command = store.sealer().seal(&place(&job.instance_id), job.command.expose_secret());
    store.write("save job", |tx| {
        if !instances::begin_in(tx, instance, &job.service_id)? {
            return Ok(false);
        }
        execute(
            tx,
            "INSERT INTO jobs (instance_id, service_id, release_id, command_sealed, started_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                job.instance_id.as_str(),
                job.service_id.as_str(),
                job.release_id.as_str(),
                command,
                job.started_at.as_microsecond(),
            ],
        )?;
        Ok(true)
    })
}

/// The job with this id.
pub fn get(store: &Store, id: &InstanceId) -> Result<Option<Job>, Error> {
    store.read("read job", |connection| {
        first(connection, "SELECT * FROM jobs WHERE instance_id = ?1", [id.as_str()], |row| {
            from_row(store, row)
        })
    })
}

/// The jobs that are under way.
pub fn in_progress(store: &Store) -> Result<Vec<Job>, Error> {
    store.read("list jobs", |connection| {
        all(
            connection,
            "SELECT * FROM jobs WHERE finished_at IS NULL ORDER BY started_at",
            [],
            |row| from_row(store, row),
        )
    })
}

/// Notes how a job ended. A job that has ended already keeps its first ending.
pub fn finish(store: &Store, id: &InstanceId, exit: &Exit, now: Timestamp) -> Result<(), Error> {
    store.write("save job", |tx| {
        execute(
            tx,
            "UPDATE jobs SET finished_at = ?2, exit = ?3
             WHERE instance_id = ?1 AND finished_at IS NULL",
            params![id.as_str(), now.as_microsecond(), to_json(exit)],
        )?;
        Ok(())
    })
}

fn place(id: &InstanceId) -> String {
    format!("jobs/{id}/command")
}

fn from_row(store: &Store, row: &Row<'_>) -> Result<Job, Error> {
    let instance_id: InstanceId = row.parsed("instance_id")?;
    let sealed: Vec<u8> = row.get("command_sealed")?;
    let finished_at = row.time_option("finished_at")?;
    let exit: Option<Exit> = row.json_option("exit")?;
    Ok(Job {
        command: store.sealer().open(&place(&instance_id), &sealed)?,
        instance_id,
        service_id: row.parsed("service_id")?,
        release_id: row.parsed("release_id")?,
        started_at: row.time("started_at")?,
        ended: finished_at.zip(exit),
    })
}
