//! Databases and Key Value instances are kept alike: what is declared, what was assigned for good,
//! and the passwords. They differ in their table, their id and what is declared of them.

use std::fmt::Display;
use std::str::FromStr;

use jiff::Timestamp;
use model::id::InvalidId;
use model::{Database, DatabaseId, EnvironmentId, InstanceId, KeyValue, KeyValueId};
use rusqlite::{Row, params};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::new_id::new_uuid;
use crate::row::{Columns, all, execute, first, to_json};
use crate::secrets::generate_password;
use crate::{Error, Store, assign};

/// What is declared of a data store of one kind, and where it is kept.
pub trait Declaration: Clone + Serialize + DeserializeOwned {
    /// Its id.
    type Id: Clone + Display + FromStr<Err = InvalidId>;
    /// Its table.
    const TABLE: &'static str;
    /// What a person calls it.
    const NOUN: &'static str;
    /// A new id.
    fn new_id() -> Self::Id;
    /// As the author wrote it.
    fn name(&self) -> &str;
}

impl Declaration for Database {
    type Id = DatabaseId;
    const TABLE: &'static str = "databases";
    const NOUN: &'static str = "database";

    fn new_id() -> DatabaseId {
        DatabaseId::from_uuid(new_uuid())
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Declaration for KeyValue {
    type Id = KeyValueId;
    const TABLE: &'static str = "key_values";
    const NOUN: &'static str = "Key Value instance";

    fn new_id() -> KeyValueId {
        KeyValueId::from_uuid(new_uuid())
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// A data store in one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataStoreRow<D: Declaration> {
    /// Its id; also a name in the private network.
    pub id: D::Id,
    /// Where it lives.
    pub environment_id: EnvironmentId,
    /// As it was last declared.
    pub definition: D,
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

impl<D: Declaration> DataStoreRow<D> {
    /// As the author wrote it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.definition.name()
    }
}

/// The passwords, made when it was first declared. They change only when a file names another.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Of the role that owns a database, or of a Key Value instance's default user where one is
    /// asked for: what services get.
    pub app: SecretString,
    /// Gable's own: of `postgres` in a database.
    pub superuser: SecretString,
}

pub(crate) fn upsert<D: Declaration>(
    store: &Store,
    environment_id: &EnvironmentId,
    definition: &D,
    now: Timestamp,
) -> Result<DataStoreRow<D>, Error> {
    let table = D::TABLE;
    store.write("save a data store", |tx| {
        let known = first(
            tx,
            &format!("SELECT * FROM {table} WHERE environment_id = ?1 AND name = ?2"),
            params![environment_id.as_str(), definition.name()],
            from_row::<D>,
        )?;
        if let Some(known) = known {
            execute(
                tx,
                &format!("UPDATE {table} SET definition = ?2 WHERE id = ?1"),
                params![known.id.to_string(), to_json(definition)],
            )?;
            return Ok(DataStoreRow { definition: definition.clone(), ..known });
        }
        let id = D::new_id();
        let row = DataStoreRow {
            slug: assign::hostname(tx, environment_id, &id.to_string(), definition.name())?,
            id,
            environment_id: environment_id.clone(),
            definition: definition.clone(),
            uid: assign::uid(tx)?,
            port_hint: assign::Ports::new().take(tx)?,
            instance_id: None,
            created_at: now,
        };
        let seal = |column: &str| {
            let password = generate_password();
            store.sealer().seal(&place::<D>(&row.id, column), password.expose_secret())
        };
        execute(
            tx,
            &format!(
                "INSERT INTO {table} (id, environment_id, name, definition, slug, uid, port_hint,
                     password_sealed, superuser_password_sealed, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
            ),
            params![
                row.id.to_string(),
                row.environment_id.as_str(),
                row.name(),
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

pub(crate) fn get<D: Declaration>(
    store: &Store,
    id: &D::Id,
) -> Result<Option<DataStoreRow<D>>, Error> {
    let sql = format!("SELECT * FROM {} WHERE id = ?1", D::TABLE);
    store.read("read a data store", |connection| {
        first(connection, &sql, [id.to_string()], from_row::<D>)
    })
}

pub(crate) fn by_name<D: Declaration>(
    store: &Store,
    environment_id: &EnvironmentId,
    name: &str,
) -> Result<Option<DataStoreRow<D>>, Error> {
    let sql = format!("SELECT * FROM {} WHERE environment_id = ?1 AND name = ?2", D::TABLE);
    store.read("read a data store", |connection| {
        first(connection, &sql, params![environment_id.as_str(), name], from_row::<D>)
    })
}

pub(crate) fn list<D: Declaration>(
    store: &Store,
    environment_id: &EnvironmentId,
) -> Result<Vec<DataStoreRow<D>>, Error> {
    let sql = format!("SELECT * FROM {} WHERE environment_id = ?1 ORDER BY id", D::TABLE);
    store.read("list data stores", |connection| {
        all(connection, &sql, [environment_id.as_str()], from_row::<D>)
    })
}

pub(crate) fn list_all<D: Declaration>(store: &Store) -> Result<Vec<DataStoreRow<D>>, Error> {
    let sql = format!("SELECT * FROM {} ORDER BY id", D::TABLE);
    store.read("list data stores", |connection| all(connection, &sql, [], from_row::<D>))
}

pub(crate) fn credentials<D: Declaration>(store: &Store, id: &D::Id) -> Result<Credentials, Error> {
    let sql = format!(
        "SELECT password_sealed, superuser_password_sealed FROM {} WHERE id = ?1",
        D::TABLE
    );
    let sealed: Option<(Vec<u8>, Vec<u8>)> = store.read("read passwords", |connection| {
        first(connection, &sql, [id.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))
    })?;
    let (app, superuser) = sealed.ok_or_else(|| Error::not_found(D::NOUN, id))?;
    Ok(Credentials {
        app: store.sealer().open(&place::<D>(id, "password"), &app)?,
        superuser: store.sealer().open(&place::<D>(id, "superuser_password"), &superuser)?,
    })
}

pub(crate) fn set_password<D: Declaration>(
    store: &Store,
    id: &D::Id,
    password: &SecretString,
) -> Result<(), Error> {
    let sql = format!("UPDATE {} SET password_sealed = ?2 WHERE id = ?1", D::TABLE);
    let sealed = store.sealer().seal(&place::<D>(id, "password"), password.expose_secret());
    let touched =
        store.write("save a password", |tx| execute(tx, &sql, params![id.to_string(), sealed]))?;
    if touched == 0 { Err(Error::not_found(D::NOUN, id)) } else { Ok(()) }
}

/// Where the variables of scripts stand that fill a database.
const INIT_ENV: &str = "init_env";

pub(crate) fn set_init_env(
    store: &Store,
    id: &DatabaseId,
    env: &[(String, SecretString)],
) -> Result<(), Error> {
    let plain: Vec<(&str, &str)> =
        env.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
    let sealed = store.sealer().seal(&place::<Database>(id, INIT_ENV), &to_json(&plain));
    let touched = store.write("save the variables of a database", |tx| {
        let sql = "UPDATE databases SET init_env_sealed = ?2 WHERE id = ?1";
        execute(tx, sql, params![id.to_string(), sealed])
    })?;
    if touched == 0 { Err(Error::not_found(Database::NOUN, id)) } else { Ok(()) }
}

pub(crate) fn init_env(
    store: &Store,
    id: &DatabaseId,
) -> Result<Vec<(String, SecretString)>, Error> {
    let sealed: Option<Option<Vec<u8>>> =
        store.read("read the variables of a database", |connection| {
            let sql = "SELECT init_env_sealed FROM databases WHERE id = ?1";
            first(connection, sql, [id.to_string()], |row| Ok(row.get(0)?))
        })?;
    let Some(sealed) = sealed.flatten() else { return Ok(Vec::new()) };
    let text = store.sealer().open(&place::<Database>(id, INIT_ENV), &sealed)?;
    // Only what was written above is opened.
    let plain: Vec<(String, String)> =
        serde_json::from_str(text.expose_secret()).unwrap_or_default();
    Ok(plain.into_iter().map(|(name, value)| (name, value.into())).collect())
}

pub(crate) fn set_instance<D: Declaration>(
    store: &Store,
    id: &D::Id,
    instance_id: Option<&InstanceId>,
) -> Result<(), Error> {
    let sql = format!("UPDATE {} SET instance_id = ?2 WHERE id = ?1", D::TABLE);
    let touched = store.write("save a data store", |tx| {
        execute(tx, &sql, params![id.to_string(), instance_id.map(InstanceId::as_str)])
    })?;
    if touched == 0 { Err(Error::not_found(D::NOUN, id)) } else { Ok(()) }
}

pub(crate) fn delete<D: Declaration>(store: &Store, id: &D::Id) -> Result<(), Error> {
    store.write("delete a data store", |tx| {
        assign::release_hostnames(tx, &id.to_string())?;
        execute(tx, &format!("DELETE FROM {} WHERE id = ?1", D::TABLE), [id.to_string()])?;
        Ok(())
    })
}

/// Where a password stands: part of what is sealed, so it must not change.
fn place<D: Declaration>(id: &D::Id, column: &str) -> String {
    format!("{}/{id}/{column}", D::TABLE)
}

fn from_row<D: Declaration>(row: &Row<'_>) -> Result<DataStoreRow<D>, Error> {
    Ok(DataStoreRow {
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
