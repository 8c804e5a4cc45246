//! Environments.

use model::{Environment, EnvironmentId, ProjectId};
use rusqlite::{Row, params};

use crate::connection::Writing;
use crate::new_id::new_uuid;
use crate::row::{Columns, all, execute, first};
use crate::{Error, Store};

/// The environment of this name in a project, made if there is none.
pub fn upsert(store: &Store, project_id: &ProjectId, name: &str) -> Result<Environment, Error> {
    store.write("save environment", |tx| {
        execute(
            tx,
            "INSERT INTO environments (id, project_id, name) VALUES (?1, ?2, ?3)
             ON CONFLICT (project_id, name) DO NOTHING",
            params![EnvironmentId::from_uuid(new_uuid()).as_str(), project_id.as_str(), name],
        )?;
        first(tx, BY_NAME, params![project_id.as_str(), name], from_row)?
            .ok_or_else(|| Error::not_found("environment", name))
    })
}

/// The environment with this id.
pub fn get(store: &Store, id: &EnvironmentId) -> Result<Option<Environment>, Error> {
    store.read("read environment", |connection| {
        first(connection, "SELECT * FROM environments WHERE id = ?1", [id.as_str()], from_row)
    })
}

/// The environment of this name in a project.
pub fn by_name(
    store: &Store,
    project_id: &ProjectId,
    name: &str,
) -> Result<Option<Environment>, Error> {
    store.read("read environment", |connection| {
        first(connection, BY_NAME, params![project_id.as_str(), name], from_row)
    })
}

/// The environments of a project, oldest first.
pub fn list(store: &Store, project_id: &ProjectId) -> Result<Vec<Environment>, Error> {
    store.read("list environments", |connection| {
        all(
            connection,
            "SELECT * FROM environments WHERE project_id = ?1 ORDER BY id",
            [project_id.as_str()],
            from_row,
        )
    })
}

/// The environments of all projects, oldest first.
pub fn list_all(store: &Store) -> Result<Vec<Environment>, Error> {
    store.read("list environments", |connection| {
        all(connection, "SELECT * FROM environments ORDER BY id", [], from_row)
    })
}

/// Whether a person stopped it. One that nobody knows was not stopped.
pub fn is_stopped(store: &Store, id: &EnvironmentId) -> Result<bool, Error> {
    let is_stopped = store.read("read environment", |connection| {
        first(
            connection,
            "SELECT is_stopped FROM environments WHERE id = ?1",
            [id.as_str()],
            |row| Ok(row.get("is_stopped")?),
        )
    })?;
    Ok(is_stopped.unwrap_or(false))
}

/// Notes whether a person stopped it.
///
/// # Errors
/// Also when there is no such environment.
pub fn set_stopped(store: &Store, id: &EnvironmentId, is_stopped: bool) -> Result<(), Error> {
    store.write("save environment", |tx| {
        let sql = "UPDATE environments SET is_stopped = ?2 WHERE id = ?1";
        match execute(tx, sql, params![id.as_str(), is_stopped])? {
            0 => Err(Error::not_found("environment", id)),
            _ => Ok(()),
        }
    })
}

/// Forgets an environment with everything that belongs to it: services, their releases, deploys,
/// runs, jobs and events, instances, databases, Key Value, values. A project that has no other is
/// forgotten too. What lies on disks is not touched; builds and artifacts stay, because others
/// may use them.
pub fn delete_everything(store: &Store, id: &EnvironmentId) -> Result<(), Error> {
    store.write("delete environment", |tx| {
        delete_in(tx, id)?;
        execute(
            tx,
            "DELETE FROM projects WHERE id NOT IN (SELECT project_id FROM environments)",
            [],
        )?;
        Ok(())
    })
}

/// What is not deleted by reference.
const OWNED: &str = "SELECT id FROM services WHERE environment_id = ?1
    UNION ALL SELECT id FROM databases WHERE environment_id = ?1
    UNION ALL SELECT id FROM key_values WHERE environment_id = ?1";

pub(crate) fn delete_in(tx: &Writing<'_>, id: &EnvironmentId) -> Result<(), Error> {
    let id = id.as_str();
    execute(tx, &format!("DELETE FROM instances WHERE owner_id IN ({OWNED})"), [id])?;
    execute(
        tx,
        "DELETE FROM events WHERE environment_id = ?1
             OR service_id IN (SELECT id FROM services WHERE environment_id = ?1)",
        [id],
    )?;
    execute(tx, "DELETE FROM environments WHERE id = ?1", [id])?;
    Ok(())
}

const BY_NAME: &str = "SELECT * FROM environments WHERE project_id = ?1 AND name = ?2";

fn from_row(row: &Row<'_>) -> Result<Environment, Error> {
    Ok(Environment {
        id: row.parsed("id")?,
        project_id: row.parsed("project_id")?,
        name: row.get("name")?,
    })
}
