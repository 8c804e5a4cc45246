//! Values of variables that are not in the file: generated ones, and those that a person set.

use jiff::Timestamp;
use model::{EnvOwner, EnvironmentId, ValueOrigin};
use rusqlite::{Connection, Row, params};
use secrecy::{ExposeSecret, SecretString};

use crate::row::{Columns, all, execute, first};
use crate::{Error, Store};

/// Which value.
#[derive(Debug, Clone, Copy)]
pub struct Slot<'a> {
    /// The environment.
    pub environment_id: &'a EnvironmentId,
    /// The service or group.
    pub owner: &'a EnvOwner,
    /// The variable.
    pub key: &'a str,
}

/// A stored value.
#[derive(Debug, Clone)]
pub struct Value {
    /// Whose it is.
    pub owner: EnvOwner,
    /// The variable.
    pub key: String,
    /// The value.
    pub value: SecretString,
    /// How it came to be.
    pub origin: ValueOrigin,
    /// When it was last set.
    pub changed_at: Timestamp,
}

/// The value that stands.
pub fn get(store: &Store, slot: Slot<'_>) -> Result<Option<Value>, Error> {
    store.read("read value", |connection| find(store, connection, slot))
}

/// All values of an environment, by owner and key.
pub fn list(store: &Store, environment_id: &EnvironmentId) -> Result<Vec<Value>, Error> {
    store.read("list values", |connection| {
        all(
            connection,
            "SELECT * FROM env_values WHERE environment_id = ?1
             ORDER BY owner_kind, owner_name, key",
            [environment_id.as_str()],
            |row| from_row(store, row),
        )
    })
}

/// Sets a value, in place of the one that stands.
pub fn set(
    store: &Store,
    slot: Slot<'_>,
    value: &SecretString,
    origin: ValueOrigin,
    now: Timestamp,
) -> Result<(), Error> {
    store.write("save value", |tx| write(store, tx, slot, (value, origin), now))
}

/// A value for a service or group.
#[derive(Debug, Clone)]
pub struct Given {
    /// Whose it is.
    pub owner: EnvOwner,
    /// The variable.
    pub key: String,
    /// The value.
    pub value: SecretString,
}

/// Sets values in place of those that stand, all or none.
pub fn set_all(
    store: &Store,
    environment_id: &EnvironmentId,
    given: &[Given],
    (origin, now): (ValueOrigin, Timestamp),
) -> Result<(), Error> {
    store.write("save values", |tx| {
        for Given { owner, key, value } in given {
            write(store, tx, Slot { environment_id, owner, key }, (value, origin), now)?;
        }
        Ok(())
    })
}

/// Sets values where none stand, all or none, and returns those that stand afterwards, in the same
/// order.
pub fn set_absent(
    store: &Store,
    environment_id: &EnvironmentId,
    given: Vec<Given>,
    (origin, now): (ValueOrigin, Timestamp),
) -> Result<Vec<Given>, Error> {
    store.write("save values", |tx| {
        let mut standing = Vec::with_capacity(given.len());
        for Given { owner, key, value } in given {
            let slot = Slot { environment_id, owner: &owner, key: &key };
            let value = match find(store, tx, slot)? {
                Some(found) => found.value,
                None => {
                    write(store, tx, slot, (&value, origin), now)?;
                    value
                }
            };
            standing.push(Given { owner, key, value });
        }
        Ok(standing)
    })
}

/// Sets a value unless one stands, and returns the one that stands afterwards. Generated values
/// are set this way: they never change.
pub fn set_if_absent(
    store: &Store,
    slot: Slot<'_>,
    value: &SecretString,
    origin: ValueOrigin,
    now: Timestamp,
) -> Result<SecretString, Error> {
    store.write("save value", |tx| {
        if let Some(standing) = find(store, tx, slot)? {
            return Ok(standing.value);
        }
        write(store, tx, slot, (value, origin), now)?;
        Ok(value.clone())
    })
}

/// Forgets a value; says whether there was one.
pub fn unset(store: &Store, slot: Slot<'_>) -> Result<bool, Error> {
    let (kind, name) = columns(slot.owner);
    let touched = store.write("remove value", |tx| {
        execute(
            tx,
            "DELETE FROM env_values WHERE environment_id = ?1 AND owner_kind = ?2
                 AND owner_name = ?3 AND key = ?4",
            params![slot.environment_id.as_str(), kind, name, slot.key],
        )
    })?;
    Ok(touched > 0)
}

fn find(store: &Store, connection: &Connection, slot: Slot<'_>) -> Result<Option<Value>, Error> {
    let (kind, name) = columns(slot.owner);
    first(
        connection,
        "SELECT * FROM env_values WHERE environment_id = ?1 AND owner_kind = ?2
             AND owner_name = ?3 AND key = ?4",
        params![slot.environment_id.as_str(), kind, name, slot.key],
        |row| from_row(store, row),
    )
}

fn write(
    store: &Store,
    connection: &Connection,
    slot: Slot<'_>,
    (value, origin): (&SecretString, ValueOrigin),
    now: Timestamp,
) -> Result<(), Error> {
    let (kind, name) = columns(slot.owner);
    let place = place(slot.environment_id, slot.owner, slot.key);
    execute(
        connection,
        "INSERT INTO env_values (environment_id, owner_kind, owner_name, key, value_sealed, origin,
             changed_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (environment_id, owner_kind, owner_name, key) DO UPDATE SET
             value_sealed = excluded.value_sealed, origin = excluded.origin,
             changed_at = excluded.changed_at",
        params![
            slot.environment_id.as_str(),
            kind,
            name,
            slot.key,
            store.sealer().seal(&place, value.expose_secret()),
            origin.to_string(),
            now.as_microsecond(),
        ],
    )?;
    Ok(())
}

fn columns(owner: &EnvOwner) -> (&'static str, &str) {
    match owner {
        EnvOwner::Service(name) => ("service", name),
        EnvOwner::Group(name) => ("group", name),
    }
}

fn place(environment_id: &EnvironmentId, owner: &EnvOwner, key: &str) -> String {
    let (kind, name) = columns(owner);
    // Names may hold slashes: their lengths keep two places from having one text.
    format!("env_values/{environment_id}/{kind}/{}/{name}/{key}", name.len())
}

fn from_row(store: &Store, row: &Row<'_>) -> Result<Value, Error> {
    let environment_id = row.parsed("environment_id")?;
    let kind: String = row.get("owner_kind")?;
    let name = row.get("owner_name")?;
    let owner = if kind == "group" { EnvOwner::Group(name) } else { EnvOwner::Service(name) };
    let key: String = row.get("key")?;
    let sealed: Vec<u8> = row.get("value_sealed")?;
    Ok(Value {
        value: store.sealer().open(&place(&environment_id, &owner, &key), &sealed)?,
        owner,
        key,
        origin: row.parsed("origin")?,
        changed_at: row.time("changed_at")?,
    })
}
