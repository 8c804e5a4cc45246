//! Artifacts that are on this machine.

use jiff::Timestamp;
use model::{Artifact, ArtifactId};
use rusqlite::{Row, params};

use crate::row::{Columns, all, execute, first, to_integer};
use crate::{Error, Store};

/// Notes that an artifact is there. One that is known already stays as it is.
pub fn insert(store: &Store, artifact: &Artifact, now: Timestamp) -> Result<(), Error> {
    store.write("save artifact", |tx| {
        execute(
            tx,
            "INSERT INTO artifacts (id, path, size_bytes, files, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO NOTHING",
            params![
                artifact.id.as_str(),
                artifact.path,
                to_integer(artifact.size_bytes),
                to_integer(artifact.files),
                now.as_microsecond(),
            ],
        )?;
        Ok(())
    })
}

/// The artifact with this address, if it is there.
pub fn get(store: &Store, id: &ArtifactId) -> Result<Option<Artifact>, Error> {
    store.read("read artifact", |connection| {
        first(connection, "SELECT * FROM artifacts WHERE id = ?1", [id.as_str()], from_row)
    })
}

/// All artifacts, oldest first, with the time at which each came.
pub fn list(store: &Store) -> Result<Vec<(Artifact, Timestamp)>, Error> {
    store.read("list artifacts", |connection| {
        all(connection, "SELECT * FROM artifacts ORDER BY created_at, id", [], |row| {
            Ok((from_row(row)?, row.time("created_at")?))
        })
    })
}

/// Forgets an artifact. Its files are not touched.
pub fn delete(store: &Store, id: &ArtifactId) -> Result<(), Error> {
    store.write("delete artifact", |tx| {
        execute(tx, "DELETE FROM artifacts WHERE id = ?1", [id.as_str()])?;
        Ok(())
    })
}

fn from_row(row: &Row<'_>) -> Result<Artifact, Error> {
    Ok(Artifact {
        id: row.parsed("id")?,
        path: row.get("path")?,
        size_bytes: row.unsigned("size_bytes")?,
        files: row.unsigned("files")?,
    })
}
