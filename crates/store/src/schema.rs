//! The tables, and how older databases become newer ones.
//!
//! Each migration stands in a file of its own and is never changed once it has been released;
//! `user_version` counts them. All that are missing run in one transaction that nobody else can
//! begin meanwhile, so that two processes that start together do not run one twice.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::Error;

/// Oldest first. Append only.
const MIGRATIONS: &[&str] = &[
    include_str!("schema/0001_nouns.sql"),
    include_str!("schema/0002_states_of_nouns.sql"),
    include_str!("schema/0003_init_variables.sql"),
    include_str!("schema/0004_warnings.sql"),
];

/// Marks the file as ours (`PRAGMA application_id`): `Gbl1` in ASCII.
const APPLICATION_ID: i32 = 0x4762_6c31;

pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    const DOING: &str = "prepare the tables";
    let failed = |error: rusqlite::Error| Error::from(error).during(DOING);
    let known = u32::try_from(MIGRATIONS.len()).expect("there are few migrations");
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let number = |pragma| transaction.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let id = number("application_id").map_err(failed)?;
    let found = u32::try_from(number("user_version").map_err(failed)?)
        .map_err(|_| Error::Foreign(path.to_owned()))?;
    let is_new = id == 0 && found == 0 && is_empty(&transaction).map_err(failed)?;
    if id != APPLICATION_ID && !is_new {
        return Err(Error::Foreign(path.to_owned()));
    }
    if found > known {
        return Err(Error::NewerSchema { path: path.to_owned(), found, known });
    }
    for migration in &MIGRATIONS[found as usize..] {
        transaction.execute_batch(migration).map_err(failed)?;
    }
    if found < known {
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
        transaction.pragma_update(None, "user_version", known).map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

/// Whether this is a database of ours that this program knows.
///
/// # Errors
/// When it is not.
pub(crate) fn check(connection: &Connection, path: &Path) -> Result<(), Error> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    if number("application_id")? != APPLICATION_ID {
        return Err(Error::Foreign(path.to_owned()));
    }
    let known = u32::try_from(MIGRATIONS.len()).expect("there are few migrations");
    match u32::try_from(number("user_version")?) {
        Ok(found) if found <= known => Ok(()),
        Ok(found) => Err(Error::NewerSchema { path: path.to_owned(), found, known }),
        Err(_) => Err(Error::Foreign(path.to_owned())),
    }
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}
