//! Builds.

use jiff::Timestamp;
use model::{ArtifactId, Build, BuildId, BuildStatus, InstanceId};
use rusqlite::{Connection, Row, params};

use crate::new_id::new_uuid;
use crate::row::{Columns, all, execute, first, to_json};
use crate::{Error, Store};

/// Begins a build of this artifact, or returns the one that is under way: the same inputs are
/// never built twice at once.
pub fn insert(store: &Store, artifact_id: &ArtifactId, now: Timestamp) -> Result<Build, Error> {
    store.write("save build", |tx| {
        if let Some(standing) = find_in_progress(tx, artifact_id)? {
            return Ok(standing);
        }
        let build = Build {
            id: BuildId::from_uuid(new_uuid()),
            artifact_id: artifact_id.clone(),
            status: BuildStatus::InProgress,
            started_at: now,
        };
        execute(
            tx,
            "INSERT INTO builds (id, artifact_id, status, started_at)
             VALUES (?1, ?2, 'in_progress', ?3)",
            params![build.id.as_str(), artifact_id.as_str(), now.as_microsecond()],
        )?;
        Ok(build)
    })
}

/// The build with this id.
pub fn get(store: &Store, id: &BuildId) -> Result<Option<Build>, Error> {
    store.read("read build", |connection| {
        first(connection, "SELECT * FROM builds WHERE id = ?1", [id.as_str()], from_row)
    })
}

/// The build of this artifact that is under way.
pub fn in_progress(store: &Store, artifact_id: &ArtifactId) -> Result<Option<Build>, Error> {
    store.read("read build", |connection| find_in_progress(connection, artifact_id))
}

/// All builds that are under way, oldest first.
pub fn list_in_progress(store: &Store) -> Result<Vec<Build>, Error> {
    store.read("list builds", |connection| {
        all(
            connection,
            "SELECT * FROM builds WHERE status = 'in_progress' ORDER BY id",
            [],
            from_row,
        )
    })
}

/// Notes how a build ended.
///
/// # Errors
/// Also when there is no such build.
pub fn set_status(
    store: &Store,
    id: &BuildId,
    status: &BuildStatus,
    now: Timestamp,
) -> Result<(), Error> {
    let (text, failure) = match status {
        BuildStatus::InProgress => ("in_progress", None),
        BuildStatus::Succeeded => ("succeeded", None),
        BuildStatus::Failed(problem) => ("failed", Some(to_json(problem))),
    };
    let finished_at = (*status != BuildStatus::InProgress).then(|| now.as_microsecond());
    let touched = store.write("save build", |tx| {
        execute(
            tx,
            "UPDATE builds SET status = ?2, failure = ?3, finished_at = ?4 WHERE id = ?1",
            params![id.as_str(), text, failure, finished_at],
        )
    })?;
    if touched == 0 { Err(Error::not_found("build", id)) } else { Ok(()) }
}

/// Notes the instance whose log tells of it.
///
/// # Errors
/// Also when there is no such build.
pub fn set_instance(store: &Store, id: &BuildId, instance_id: &InstanceId) -> Result<(), Error> {
    let touched = store.write("save build", |tx| {
        execute(
            tx,
            "UPDATE builds SET instance_id = ?2 WHERE id = ?1",
            params![id.as_str(), instance_id.as_str()],
        )
    })?;
    if touched == 0 { Err(Error::not_found("build", id)) } else { Ok(()) }
}

/// The instance whose log tells of it; it may be gone, and the log there.
pub fn instance(store: &Store, id: &BuildId) -> Result<Option<InstanceId>, Error> {
    let instance = store.read("read build", |connection| {
        first(connection, "SELECT instance_id FROM builds WHERE id = ?1", [id.as_str()], |row| {
            Ok(row.parsed_option("instance_id")?)
        })
    })?;
    Ok(instance.flatten())
}

fn find_in_progress(
    connection: &Connection,
    artifact_id: &ArtifactId,
) -> Result<Option<Build>, Error> {
    first(
        connection,
        "SELECT * FROM builds WHERE artifact_id = ?1 AND status = 'in_progress'",
        [artifact_id.as_str()],
        from_row,
    )
}

fn from_row(row: &Row<'_>) -> Result<Build, Error> {
    let status: String = row.get("status")?;
    Ok(Build {
        id: row.parsed("id")?,
        artifact_id: row.parsed("artifact_id")?,
        status: match status.as_str() {
            "failed" => BuildStatus::Failed(row.json("failure")?),
            "succeeded" => BuildStatus::Succeeded,
            _ => BuildStatus::InProgress,
        },
        started_at: row.time("started_at")?,
    })
}
