//! PostgreSQL databases: what is declared, what was assigned for good, and the passwords.

use jiff::Timestamp;
use model::{Database, DatabaseId, EnvironmentId, InstanceId};
use rusqlite::{Row, params};
use secrecy::{ExposeSecret, SecretString};

use crate::new_id::new_uuid;
use crate::row::{Columns, all, execute, first, to_json};
use crate::secrets::generate_password;
use crate::{Error, Store, assign};

/// A database in one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseRow {
    /// Its id; also a name in the private network.
    pub id: DatabaseId,
    /// Where it lives.
    pub environment_id: EnvironmentId,
    /// As it was last declared.
    pub definition: Database,
    /// Its other name in the private network, unique there.
    pub slug: String,
    /// The user that it runs as, never given to another one.
    pub uid: u32,
    /// A port of its own where instances share the host's network.
    pub port_hint: u16,
    /// The instance that runs it.
    pub instance_id: Option<InstanceId>,
    /// When it was first declared.
    pub created_at: Timestamp,
}

impl DatabaseRow {
    /// As the author wrote it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.definition.name
    }
}

/// The passwords, made when it was first declared, and never changed.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Of the role that owns the database: what services get.
    pub app: SecretString,
    /// Of `postgres`: Gable's own.
    pub superuser: SecretString,
}

/// Takes over a declaration. One that is new in its environment gets an id, a name, a user, a port
/// and passwords; one that is known keeps them.
///
/// # Errors
/// Also when there is no such environment.
pub fn upsert(
    store: &Store,
    environment_id: &EnvironmentId,
    definition: &Database,
    now: Timestamp,
) -> Result<DatabaseRow, Error> {
    store.write("save database", |tx| {
        let known = first(
            tx,
            "SELECT * FROM databases WHERE environment_id = ?1 AND name = ?2",
            params![environment_id.as_str(), definition.name],
            from_row,
        )?;
        if let Some(known) = known {
            execute(
                tx,
                "UPDATE databases SET definition = ?2 WHERE id = ?1",
                params![known.id.as_str(), to_json(definition)],
            )?;
            return Ok(DatabaseRow { definition: definition.clone(), ..known });
        }
        let id = DatabaseId::from_uuid(new_uuid());
        let row = DatabaseRow {
            slug: assign::hostname(tx, environment_id, id.as_str(), &definition.name)?,
            id,
            environment_id: environment_id.clone(),
            definition: definition.clone(),
            uid: assign::uid(tx)?,
            port_hint: assign::port(tx)?,
            instance_id: None,
            created_at: now,
        };
        let seal = |column: &str| {
            let password = generate_password();
            store.sealer().seal(&place(&row.id, column), password.expose_secret())
        };
        execute(
            tx,
            "INSERT INTO databases (id, environment_id, name, definition, slug, uid, port_hint,
                 password_sealed, superuser_password_sealed, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                row.id.as_str(),
                row.environment_id.as_str(),
                row.definition.name,
                to_json(&row.definition),
                row.slug,
                row.uid,
                row.port_hint,
                seal("password"),
                seal("superuser_password"),
                row.created_at.as_microsecond(),
            ],
        )?;
        Ok(row)
    })
}

/// The one with this id.
pub fn get(store: &Store, id: &DatabaseId) -> Result<Option<DatabaseRow>, Error> {
    store.read("read database", |connection| {
        first(connection, "SELECT * FROM databases WHERE id = ?1", [id.as_str()], from_row)
    })
}

/// The one of this name in an environment.
pub fn by_name(
    store: &Store,
    environment_id: &EnvironmentId,
    name: &str,
) -> Result<Option<DatabaseRow>, Error> {
    store.read("read database", |connection| {
        first(
            connection,
            "SELECT * FROM databases WHERE environment_id = ?1 AND name = ?2",
            params![environment_id.as_str(), name],
            from_row,
        )
    })
}

/// Those of an environment, oldest first.
pub fn list(store: &Store, environment_id: &EnvironmentId) -> Result<Vec<DatabaseRow>, Error> {
    store.read("list databases", |connection| {
        all(
            connection,
            "SELECT * FROM databases WHERE environment_id = ?1 ORDER BY id",
            [environment_id.as_str()],
            from_row,
        )
    })
}

/// Those of all environments, oldest first.
pub fn list_all(store: &Store) -> Result<Vec<DatabaseRow>, Error> {
    store.read("list databases", |connection| {
        all(connection, "SELECT * FROM databases ORDER BY id", [], from_row)
    })
}

/// Its passwords.
///
/// # Errors
/// Also when there is none with this id.
pub fn credentials(store: &Store, id: &DatabaseId) -> Result<Credentials, Error> {
    let sealed: Option<(Vec<u8>, Vec<u8>)> = store.read("read passwords", |connection| {
        first(
            connection,
            "SELECT password_sealed, superuser_password_sealed FROM databases WHERE id = ?1",
            [id.as_str()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
    })?;
    let (app, superuser) = sealed.ok_or_else(|| Error::not_found("database", id))?;
    Ok(Credentials {
        app: store.sealer().open(&place(id, "password"), &app)?,
        superuser: store.sealer().open(&place(id, "superuser_password"), &superuser)?,
    })
}

/// Notes which instance runs it.
///
/// # Errors
/// Also when there is none with this id.
pub fn set_instance(
    store: &Store,
    id: &DatabaseId,
    instance_id: Option<&InstanceId>,
) -> Result<(), Error> {
    let touched = store.write("save database", |tx| {
        execute(
            tx,
            "UPDATE databases SET instance_id = ?2 WHERE id = ?1",
            params![id.as_str(), instance_id.map(InstanceId::as_str)],
        )
    })?;
    if touched == 0 { Err(Error::not_found("database", id)) } else { Ok(()) }
}

/// Forgets it, with its passwords. Its files are not touched.
pub fn delete(store: &Store, id: &DatabaseId) -> Result<(), Error> {
    store.write("delete database", |tx| {
        assign::release_hostnames(tx, id.as_str())?;
        execute(tx, "DELETE FROM databases WHERE id = ?1", [id.as_str()])?;
        Ok(())
    })
}

fn place(id: &DatabaseId, column: &str) -> String {
    format!("databases/{id}/{column}")
}

fn from_row(row: &Row<'_>) -> Result<DatabaseRow, Error> {
    Ok(DatabaseRow {
        id: row.parsed("id")?,
        environment_id: row.parsed("environment_id")?,
        definition: row.json("definition")?,
        slug: row.get("slug")?,
        uid: row.get("uid")?,
        port_hint: row.get("port_hint")?,
        instance_id: row.parsed_option("instance_id")?,
        created_at: row.time("created_at")?,
    })
}
