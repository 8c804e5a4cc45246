//! Services: what is declared, and what was assigned to them for good.

use jiff::Timestamp;
use model::{EnvironmentId, Service, ServiceId};
use rusqlite::{Connection, Row, params};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::new_id::new_uuid;
use crate::row::{Columns, all, execute, first, to_json};
use crate::{Error, Store, assign};

/// A service in one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRow {
    /// Its id.
    pub id: ServiceId,
    /// Where it lives.
    pub environment_id: EnvironmentId,
    /// As it was last declared; releases keep what was in force when they were made.
    pub definition: Service,
    /// Its name in the private network, unique there.
    pub slug: String,
    /// The first label of its public host, unique on this machine; services that browsers cannot
    /// reach have none.
    pub public_host: Option<String>,
    /// The user that it runs as, never given to another one.
    pub uid: u32,
    /// A port of its own where instances share the host's network.
    pub port_hint: u16,
    /// Whether its initial deploy hook has run.
    pub hook_done: bool,
    /// Whether a person stopped it.
    pub suspended: bool,
    /// What the caller noted of the Blueprint that declared it.
    pub blueprint_hash: Option<String>,
    /// When it was first declared.
    pub created_at: Timestamp,
}

impl ServiceRow {
    /// As the author wrote it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.definition.name
    }
}

/// Takes over a declaration. A service that is new in its environment gets an id, names, a user
/// and a port; one that is known keeps them.
///
/// # Errors
/// Also when there is no such environment.
pub fn upsert(
    store: &Store,
    environment_id: &EnvironmentId,
    definition: &Service,
    now: Timestamp,
) -> Result<ServiceRow, Error> {
    let mut rows = upsert_all(store, environment_id, &[definition], now)?;
    rows.pop().ok_or_else(|| Error::not_found("service", &definition.name))
}

/// The same for many, in their order: all or none. What stands as it is declared is not written.
///
/// # Errors
/// Also when there is no such environment.
pub fn upsert_all(
    store: &Store,
    environment_id: &EnvironmentId,
    definitions: &[&Service],
    now: Timestamp,
) -> Result<Vec<ServiceRow>, Error> {
    store.write("save services", |tx| {
        let mut ports = assign::Ports::new();
        let mut rows = Vec::with_capacity(definitions.len());
        for definition in definitions {
            let known = first(
                tx,
                "SELECT * FROM services WHERE environment_id = ?1 AND name = ?2",
                params![environment_id.as_str(), definition.name],
                |row| from_row(store, row),
            )?;
            let needs_host = |row: &ServiceRow| row.public_host.is_none() && definition.is_public();
            let mut row = match known {
                Some(known) if known.definition == **definition && !needs_host(&known) => {
                    rows.push(known);
                    continue;
                }
                Some(known) => ServiceRow { definition: (*definition).clone(), ..known },
                None => assigned(tx, environment_id, definition, (&mut ports, now))?,
            };
            if needs_host(&row) {
                row.public_host = Some(assign::public_host(tx, environment_id, &row.slug)?);
            }
            write(store, tx, &row)?;
            rows.push(row);
        }
        Ok(rows)
    })
}

/// The service with this id.
pub fn get(store: &Store, id: &ServiceId) -> Result<Option<ServiceRow>, Error> {
    store.read("read service", |connection| {
        first(connection, "SELECT * FROM services WHERE id = ?1", [id.as_str()], |row| {
            from_row(store, row)
        })
    })
}

/// The service of this name in an environment.
pub fn by_name(
    store: &Store,
    environment_id: &EnvironmentId,
    name: &str,
) -> Result<Option<ServiceRow>, Error> {
    store.read("read service", |connection| {
        first(
            connection,
            "SELECT * FROM services WHERE environment_id = ?1 AND name = ?2",
            params![environment_id.as_str(), name],
            |row| from_row(store, row),
        )
    })
}

/// The services of an environment, oldest first.
pub fn list(store: &Store, environment_id: &EnvironmentId) -> Result<Vec<ServiceRow>, Error> {
    store.read("list services", |connection| {
        all(
            connection,
            "SELECT * FROM services WHERE environment_id = ?1 ORDER BY id",
            [environment_id.as_str()],
            |row| from_row(store, row),
        )
    })
}

/// The services of all environments, oldest first.
pub fn list_all(store: &Store) -> Result<Vec<ServiceRow>, Error> {
    store.read("list services", |connection| {
        all(connection, "SELECT * FROM services ORDER BY id", [], |row| from_row(store, row))
    })
}

/// Forgets a service with its releases, deploys, runs and jobs. Its instances stay known until
/// they are removed one by one.
pub fn delete(store: &Store, id: &ServiceId) -> Result<(), Error> {
    store.write("delete service", |tx| {
        assign::release_hostnames(tx, id.as_str())?;
        execute(tx, "DELETE FROM services WHERE id = ?1", [id.as_str()])?;
        Ok(())
    })
}

/// Notes that the initial deploy hook has run; it never runs again.
///
/// # Errors
/// Also when there is no such service; so do the other setters.
pub fn mark_hook_done(store: &Store, id: &ServiceId) -> Result<(), Error> {
    update(store, id, "UPDATE services SET hook_done = 1 WHERE id = ?1", params![id.as_str()])
}

/// Notes whether a person stopped it.
pub fn set_suspended(store: &Store, id: &ServiceId, suspended: bool) -> Result<(), Error> {
    update(
        store,
        id,
        "UPDATE services SET suspended = ?2 WHERE id = ?1",
        params![id.as_str(), suspended],
    )
}

/// Notes something of the Blueprint that declared it.
pub fn set_blueprint_hash(store: &Store, id: &ServiceId, hash: &str) -> Result<(), Error> {
    update(
        store,
        id,
        "UPDATE services SET blueprint_hash = ?2 WHERE id = ?1",
        params![id.as_str(), hash],
    )
}

/// The route that the edge was last given for it.
///
/// # Errors
/// Also when what was written down is not a `T`.
pub fn route<T: DeserializeOwned>(store: &Store, id: &ServiceId) -> Result<Option<T>, Error> {
    let route = store.read("read route", |connection| {
        first(connection, "SELECT route FROM services WHERE id = ?1", [id.as_str()], |row| {
            Ok(row.json_option("route")?)
        })
    })?;
    Ok(route.flatten())
}

/// Notes the route that the edge is given for it.
pub fn set_route<T: Serialize>(store: &Store, id: &ServiceId, route: &T) -> Result<(), Error> {
    update(
        store,
        id,
        "UPDATE services SET route = ?2 WHERE id = ?1",
        params![id.as_str(), to_json(route)],
    )
}

/// The port that it was last seen on.
pub fn seen_port(store: &Store, id: &ServiceId) -> Result<Option<u16>, Error> {
    let port = store.read("read port", |connection| {
        first(connection, "SELECT seen_port FROM services WHERE id = ?1", [id.as_str()], |row| {
            Ok(row.get("seen_port")?)
        })
    })?;
    Ok(port.flatten())
}

/// Notes the port that it was seen on.
pub fn set_seen_port(store: &Store, id: &ServiceId, port: u16) -> Result<(), Error> {
    update(
        store,
        id,
        "UPDATE services SET seen_port = ?2 WHERE id = ?1",
        params![id.as_str(), port],
    )
}

fn update(
    store: &Store,
    id: &ServiceId,
    sql: &str,
    params: impl rusqlite::Params,
) -> Result<(), Error> {
    store.write("save service", |tx| match execute(tx, sql, params)? {
        0 => Err(Error::not_found("service", id)),
        _ => Ok(()),
    })
}

fn assigned(
    connection: &Connection,
    environment_id: &EnvironmentId,
    definition: &Service,
    (ports, now): (&mut assign::Ports, Timestamp),
) -> Result<ServiceRow, Error> {
    let id = ServiceId::from_uuid(new_uuid());
    Ok(ServiceRow {
        slug: assign::hostname(connection, environment_id, id.as_str(), &definition.name)?,
        id,
        environment_id: environment_id.clone(),
        definition: definition.clone(),
        public_host: None,
        uid: assign::uid(connection)?,
        port_hint: ports.take(connection)?,
        hook_done: false,
        suspended: false,
        blueprint_hash: None,
        created_at: now,
    })
}

fn write(store: &Store, connection: &Connection, row: &ServiceRow) -> Result<(), Error> {
    execute(
        connection,
        "INSERT INTO services (id, environment_id, name, definition_sealed, slug, public_host, uid,
             port_hint, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (id) DO UPDATE SET definition_sealed = excluded.definition_sealed,
             public_host = excluded.public_host",
        params![
            row.id.as_str(),
            row.environment_id.as_str(),
            row.definition.name,
            store.sealer().seal(&place(&row.id), &to_json(&row.definition)),
            row.slug,
            row.public_host,
            row.uid,
            row.port_hint,
            row.created_at.as_microsecond(),
        ],
    )?;
    Ok(())
}

fn place(id: &ServiceId) -> String {
    format!("services/{id}/definition")
}

fn from_row(store: &Store, row: &Row<'_>) -> Result<ServiceRow, Error> {
    let id: ServiceId = row.parsed("id")?;
    let sealed: Vec<u8> = row.get("definition_sealed")?;
    let json = store.sealer().open(&place(&id), &sealed)?;
    let definition = serde_json::from_str(json.expose_secret())
        .map_err(|source| Error::Malformed { what: "a service", source })?;
    Ok(ServiceRow {
        id,
        environment_id: row.parsed("environment_id")?,
        definition,
        slug: row.get("slug")?,
        public_host: row.get("public_host")?,
        uid: row.get("uid")?,
        port_hint: row.get("port_hint")?,
        hook_done: row.get("hook_done")?,
        suspended: row.get("suspended")?,
        blueprint_hash: row.get("blueprint_hash")?,
        created_at: row.time("created_at")?,
    })
}
