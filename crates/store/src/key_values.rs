//! Key Value instances: what is declared, what was assigned for good, and the passwords.

use jiff::Timestamp;
use model::{EnvironmentId, InstanceId, KeyValue, KeyValueId};
use rusqlite::{Row, params};
use secrecy::{ExposeSecret, SecretString};

use crate::new_id::new_uuid;
use crate::row::{Columns, all, execute, first, to_json};
use crate::secrets::generate_password;
use crate::{Error, Store, assign};

/// A Key Value instance in one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValueRow {
    /// Its id; also a name in the private network.
    pub id: KeyValueId,
    /// Where it lives.
    pub environment_id: EnvironmentId,
    /// As it was last declared.
    pub definition: KeyValue,
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

impl KeyValueRow {
    /// As the author wrote it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.definition.name
    }
}

/// The passwords, made when it was first declared, and never changed.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Of its default user, where a password is asked for.
    pub app: SecretString,
    /// Gable's own.
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
    definition: &KeyValue,
    now: Timestamp,
) -> Result<KeyValueRow, Error> {
    store.write("save Key Value instance", |tx| {
        let known = first(
            tx,
            "SELECT * FROM key_values WHERE environment_id = ?1 AND name = ?2",
            params![environment_id.as_str(), definition.name],
            from_row,
        )?;
        if let Some(known) = known {
            execute(
                tx,
                "UPDATE key_values SET definition = ?2 WHERE id = ?1",
                params![known.id.as_str(), to_json(definition)],
            )?;
            return Ok(KeyValueRow { definition: definition.clone(), ..known });
        }
        let id = KeyValueId::from_uuid(new_uuid());
        let row = KeyValueRow {
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
            "INSERT INTO key_values (id, environment_id, name, definition, slug, uid, port_hint,
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
pub fn get(store: &Store, id: &KeyValueId) -> Result<Option<KeyValueRow>, Error> {
    store.read("read Key Value instance", |connection| {
        first(connection, "SELECT * FROM key_values WHERE id = ?1", [id.as_str()], from_row)
    })
}

/// The one of this name in an environment.
pub fn by_name(
    store: &Store,
    environment_id: &EnvironmentId,
    name: &str,
) -> Result<Option<KeyValueRow>, Error> {
    store.read("read Key Value instance", |connection| {
        first(
            connection,
            "SELECT * FROM key_values WHERE environment_id = ?1 AND name = ?2",
            params![environment_id.as_str(), name],
            from_row,
        )
    })
}

/// Those of an environment, oldest first.
pub fn list(store: &Store, environment_id: &EnvironmentId) -> Result<Vec<KeyValueRow>, Error> {
    store.read("list Key Value instances", |connection| {
        all(
            connection,
            "SELECT * FROM key_values WHERE environment_id = ?1 ORDER BY id",
            [environment_id.as_str()],
            from_row,
        )
    })
}

/// Those of all environments, oldest first.
pub fn list_all(store: &Store) -> Result<Vec<KeyValueRow>, Error> {
    store.read("list Key Value instances", |connection| {
        all(connection, "SELECT * FROM key_values ORDER BY id", [], from_row)
    })
}

/// Its passwords.
///
/// # Errors
/// Also when there is none with this id.
pub fn credentials(store: &Store, id: &KeyValueId) -> Result<Credentials, Error> {
    let sealed: Option<(Vec<u8>, Vec<u8>)> = store.read("read passwords", |connection| {
        first(
            connection,
            "SELECT password_sealed, superuser_password_sealed FROM key_values WHERE id = ?1",
            [id.as_str()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
    })?;
    let (app, superuser) = sealed.ok_or_else(|| Error::not_found("Key Value instance", id))?;
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
    id: &KeyValueId,
    instance_id: Option<&InstanceId>,
) -> Result<(), Error> {
    let touched = store.write("save Key Value instance", |tx| {
        execute(
            tx,
            "UPDATE key_values SET instance_id = ?2 WHERE id = ?1",
            params![id.as_str(), instance_id.map(InstanceId::as_str)],
        )
    })?;
    if touched == 0 { Err(Error::not_found("Key Value instance", id)) } else { Ok(()) }
}

/// Forgets it, with its passwords. Its files are not touched.
pub fn delete(store: &Store, id: &KeyValueId) -> Result<(), Error> {
    store.write("delete Key Value instance", |tx| {
        assign::release_hostnames(tx, id.as_str())?;
        execute(tx, "DELETE FROM key_values WHERE id = ?1", [id.as_str()])?;
        Ok(())
    })
}

fn place(id: &KeyValueId, column: &str) -> String {
    format!("key_values/{id}/{column}")
}

fn from_row(row: &Row<'_>) -> Result<KeyValueRow, Error> {
    Ok(KeyValueRow {
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
