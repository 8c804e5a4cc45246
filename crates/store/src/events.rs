//! The timeline, numbered without gaps in meaning: a reader that has seen number N has seen all
//! before it.

use jiff::Timestamp;
use model::{DeployId, EnvironmentId, ServiceId};
use rusqlite::{Row, params};
use serde_json::Value;

use crate::connection::Writing;
use crate::row::{Columns, all, execute, first, to_integer, to_json};
use crate::{Error, Store};

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its number.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// What, in one word: `deploy_went_live`, `instance_restarted` …
    pub kind: String,
    /// In which environment.
    pub environment_id: Option<EnvironmentId>,
    /// To which service.
    pub service_id: Option<ServiceId>,
    /// To which deploy.
    pub deploy_id: Option<DeployId>,
    /// What else there is to say, as JSON. Never a secret.
    pub body: Value,
}

/// An event that has no number yet.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// When.
    pub at: Timestamp,
    /// What, in one word.
    pub kind: String,
    /// In which environment.
    pub environment_id: Option<EnvironmentId>,
    /// To which service.
    pub service_id: Option<ServiceId>,
    /// To which deploy.
    pub deploy_id: Option<DeployId>,
    /// What else there is to say, as JSON. Never a secret.
    pub body: Value,
}

/// Writes an event, wakes those who wait, and returns its number.
pub fn append(store: &Store, event: &NewEvent) -> Result<u64, Error> {
    store.write("save event", |tx| append_in(tx, event))
}

/// The events after number `sequence`, oldest first, `limit` of them.
pub fn since(store: &Store, sequence: u64, limit: u32) -> Result<Vec<Event>, Error> {
    store.read("list events", |connection| {
        all(
            connection,
            "SELECT * FROM events WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
            params![to_integer(sequence), limit],
            from_row,
        )
    })
}

/// The last events of a service, newest first, `limit` of them.
pub fn of_service(store: &Store, service_id: &ServiceId, limit: u32) -> Result<Vec<Event>, Error> {
    store.read("list events", |connection| {
        all(
            connection,
            "SELECT * FROM events WHERE service_id = ?1 ORDER BY sequence DESC LIMIT ?2",
            params![service_id.as_str(), limit],
            from_row,
        )
    })
}

/// The number of the newest event there ever was, 0 if there was none.
pub fn latest_sequence(store: &Store) -> Result<u64, Error> {
    let latest = store.read("read events", |connection| {
        first(connection, "SELECT seq FROM sqlite_sequence WHERE name = 'events'", [], |row| {
            Ok(row.unsigned("seq")?)
        })
    })?;
    Ok(latest.unwrap_or_default())
}

/// Forgets events that are older, and says how many there were.
pub fn prune(store: &Store, before: Timestamp) -> Result<usize, Error> {
    store.write("delete events", |tx| {
        execute(tx, "DELETE FROM events WHERE at < ?1", [before.as_microsecond()])
    })
}

pub(crate) fn append_in(tx: &Writing<'_>, event: &NewEvent) -> Result<u64, Error> {
    execute(
        tx,
        "INSERT INTO events (at, kind, environment_id, service_id, deploy_id, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            event.at.as_microsecond(),
            event.kind,
            event.environment_id.as_ref().map(EnvironmentId::as_str),
            event.service_id.as_ref().map(ServiceId::as_str),
            event.deploy_id.as_ref().map(DeployId::as_str),
            to_json(&event.body),
        ],
    )?;
    let sequence = u64::try_from(tx.last_insert_rowid()).unwrap_or_default();
    tx.newest_event.set(Some(sequence));
    Ok(sequence)
}

fn from_row(row: &Row<'_>) -> Result<Event, Error> {
    Ok(Event {
        sequence: row.unsigned("sequence")?,
        at: row.time("at")?,
        kind: row.get("kind")?,
        environment_id: row.parsed_option("environment_id")?,
        service_id: row.parsed_option("service_id")?,
        deploy_id: row.parsed_option("deploy_id")?,
        body: row.json("body")?,
    })
}
