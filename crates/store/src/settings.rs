//! Small things that the control plane remembers, as JSON under a key.

use rusqlite::params;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::row::{all, execute, first, to_json};
use crate::{Error, Store};

/// What was set under this key.
///
/// # Errors
/// Also when what was set is not a `T`.
pub fn get<T: DeserializeOwned>(store: &Store, key: &str) -> Result<Option<T>, Error> {
    let text: Option<String> = store.read("read setting", |connection| {
        first(connection, "SELECT value FROM settings WHERE key = ?1", [key], |row| Ok(row.get(0)?))
    })?;
    text.map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|source| Error::Malformed { what: "a setting", source })
}

/// Sets it, in place of what was there. Not for secrets.
pub fn set<T: Serialize>(store: &Store, key: &str, value: &T) -> Result<(), Error> {
    store.write("save setting", |tx| {
        execute(
            tx,
            "INSERT INTO settings (key, value) VALUES (?1, ?2)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            params![key, to_json(value)],
        )?;
        Ok(())
    })
}

/// Forgets it, if it was set.
pub fn remove(store: &Store, key: &str) -> Result<(), Error> {
    store.write("remove setting", |tx| {
        execute(tx, "DELETE FROM settings WHERE key = ?1", [key])?;
        Ok(())
    })
}

/// All keys that begin with `prefix`, sorted.
pub fn keys(store: &Store, prefix: &str) -> Result<Vec<String>, Error> {
    store.read("list settings", |connection| {
        all(
            connection,
            "SELECT key FROM settings WHERE substr(key, 1, length(?1)) = ?1 ORDER BY key",
            [prefix],
            |row| Ok(row.get(0)?),
        )
    })
}
