//! Numbers that only go up.

use model::Generation;
use rusqlite::{Connection, params};

use crate::row::{execute, first};
use crate::{Error, Store};

pub(crate) const EDGE: &str = "edge_generation";

/// A generation for the edge that is newer than all before it, in the life of this state.
pub fn next(store: &Store) -> Result<Generation, Error> {
    store.write("count the edge's generation", |tx| {
        Ok(Generation(u64::try_from(count(tx, EDGE)?).unwrap_or_default()))
    })
}

/// Goes on after `newest`, which the edge has been given by a newer state than this.
pub fn raise(store: &Store, newest: Generation) -> Result<(), Error> {
    store.write("count the edge's generation", |tx| raise_in(tx, newest))
}

pub(crate) fn raise_in(connection: &Connection, newest: Generation) -> Result<(), Error> {
    let newest = i64::try_from(newest.0).unwrap_or(i64::MAX);
    execute(
        connection,
        "INSERT INTO counters (name, value) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
        params![EDGE, newest],
    )?;
    Ok(())
}

/// Counts on from 1.
pub(crate) fn count(connection: &Connection, name: &str) -> Result<i64, Error> {
    let value = first(
        connection,
        "INSERT INTO counters (name, value) VALUES (?1, 1)
         ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
        [name],
        |row| Ok(row.get(0)?),
    )?;
    Ok(value.expect("the statement returns the row that it has written"))
}
