//! Projects.

use model::{Project, ProjectId};
use rusqlite::{Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::new_id::new_uuid;
use crate::row::{Columns, all, execute, first, to_json};
use crate::{Error, Store};

/// The project of this name, made if there is none, with where it was applied from.
pub fn upsert(store: &Store, name: &str, source: &str) -> Result<Project, Error> {
    store.write("save project", |tx| {
        execute(
            tx,
            "INSERT INTO projects (id, name, source) VALUES (?1, ?2, ?3)
             ON CONFLICT (name) DO UPDATE SET source = excluded.source",
            params![ProjectId::from_uuid(new_uuid()).as_str(), name, source],
        )?;
        first(tx, "SELECT * FROM projects WHERE name = ?1", [name], from_row)?
            .ok_or_else(|| Error::not_found("project", name))
    })
}

/// The project with this id.
pub fn get(store: &Store, id: &ProjectId) -> Result<Option<Project>, Error> {
    store.read("read project", |connection| {
        first(connection, "SELECT * FROM projects WHERE id = ?1", [id.as_str()], from_row)
    })
}

/// The project of this name.
pub fn by_name(store: &Store, name: &str) -> Result<Option<Project>, Error> {
    store.read("read project", |connection| {
        first(connection, "SELECT * FROM projects WHERE name = ?1", [name], from_row)
    })
}

/// All projects, by name.
pub fn list(store: &Store) -> Result<Vec<Project>, Error> {
    store.read("list projects", |connection| {
        all(connection, "SELECT * FROM projects ORDER BY name", [], from_row)
    })
}

/// What it was last applied with.
///
/// # Errors
/// Also when what was written down is not a `T`.
pub fn applied<T: DeserializeOwned>(store: &Store, name: &str) -> Result<Option<T>, Error> {
    let applied = store.read("read project", |connection| {
        first(connection, "SELECT applied FROM projects WHERE name = ?1", [name], |row| {
            Ok(row.json_option("applied")?)
        })
    })?;
    Ok(applied.flatten())
}

/// Notes what it was applied with.
///
/// # Errors
/// Also when there is no such project.
pub fn set_applied<T: Serialize>(store: &Store, id: &ProjectId, value: &T) -> Result<(), Error> {
    store.write("save project", |tx| {
        let sql = "UPDATE projects SET applied = ?2 WHERE id = ?1";
        match execute(tx, sql, params![id.as_str(), to_json(value)])? {
            0 => Err(Error::not_found("project", id)),
            _ => Ok(()),
        }
    })
}

/// Forgets a project, with its environments and everything in them that
/// [`environments::delete_everything`](crate::environments::delete_everything) names.
pub fn delete(store: &Store, id: &ProjectId) -> Result<(), Error> {
    store.write("delete project", |tx| {
        let environments =
            all(tx, "SELECT id FROM environments WHERE project_id = ?1", [id.as_str()], |row| {
                Ok(row.parsed("id")?)
            })?;
        for environment in &environments {
            crate::environments::delete_in(tx, environment)?;
        }
        execute(tx, "DELETE FROM projects WHERE id = ?1", [id.as_str()])?;
        Ok(())
    })
}

fn from_row(row: &Row<'_>) -> Result<Project, Error> {
    Ok(Project { id: row.parsed("id")?, name: row.get("name")?, source: row.get("source")? })
}
