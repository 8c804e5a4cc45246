//! Numbers that only go up.

use model::Generation;
use rusqlite::Connection;

use crate::row::first;
use crate::{Error, Store};

const EDGE: &str = "edge_generation";

/// A generation for the edge that is newer than all before it, in the life of this state.
pub fn next(store: &Store) -> Result<Generation, Error> {
    store.write("count the edge's generation", |tx| {
        Ok(Generation(u64::try_from(count(tx, EDGE)?).unwrap_or_default()))
    })
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
