//! The data stores of a file, beside those that are there.

use blueprint::{Scope, StoreOrigin};
use jiff::Timestamp;
use model::{ComposeStore, Database, Environment, EnvironmentId, InstanceType, KeyValue};
use secrecy::SecretString;
use store::databases::DatabaseRow;
use store::key_values::KeyValueRow;
use uuid::Uuid;

use super::{Pen, change};
use crate::error::Error;
use crate::init_files;
use crate::ops::blueprints::read::Found;
use crate::ops::blueprints::{Change, ChangeAction, Noun};
use crate::platform::Platform;

/// The data stores of a scope being drawn.
pub(super) struct Drawing<'a> {
    pub(super) platform: &'a Platform,
    pub(super) pen: Pen,
    pub(super) found: &'a Found,
    pub(super) scope: &'a Scope,
    pub(super) environment: &'a Environment,
    pub(super) keeps_others: bool,
}

impl Drawing<'_> {
    pub(super) fn databases(&self, changes: &mut Vec<Change>) -> Result<Vec<DatabaseRow>, Error> {
        let mut databases = Vec::new();
        for declared in &self.scope.databases {
            let settings = self.scope.database_settings.get(&declared.name);
            let origin = settings.and_then(|settings| settings.compose.as_ref());
            let database = &Database { compose: compose_store(origin), ..declared.clone() };
            let known = store::databases::by_name(
                &self.platform.store,
                &self.environment.id,
                &database.name,
            )?;
            changes.push(self.database_change(database, known.as_ref()));
            databases.push(match (self.pen, known) {
                (_, Some(row)) if self.keeps_others => row,
                (Pen::Write, _) => store::databases::upsert(
                    &self.platform.store,
                    &self.environment.id,
                    database,
                    Timestamp::now(),
                )?,
                (Pen::Imagine, Some(row)) => row,
                (Pen::Imagine, None) => imagined_database(&self.environment.id, database),
            });
            if let (Pen::Write, Some(password), Some(row)) =
                (self.pen, password(origin), databases.last())
            {
                store::databases::set_password(&self.platform.store, &row.id, &password)?;
            }
            let init = self.found.understood.init.get(&declared.name);
            if let (Pen::Write, Some(files), Some(row)) = (self.pen, init, databases.last()) {
                init_files::keep(self.platform, &row.id, files)?;
                let env = origin.map(|origin| origin.env.clone()).unwrap_or_default();
                let env: Vec<(String, SecretString)> =
                    env.into_iter().map(|(name, value)| (name, value.into())).collect();
                store::databases::set_init_env(&self.platform.store, &row.id, &env)?;
            }
        }
        Ok(databases)
    }

    fn database_change(&self, database: &Database, known: Option<&DatabaseRow>) -> Change {
        let kind = format!("postgres {}", database.major_version);
        let mut change = change(Noun::Database, kind, &database.name, self.environment);
        let Some(row) = known else {
            change.details.extend(instead_of(&database.compose));
            return change;
        };
        let old = &row.definition;
        change.details.extend(size_change(&old.instance_type, &database.instance_type));
        // What was declared last may have been refused: the data says of which version it is.
        let of_data = databases::data_version(&self.platform.databases, &row.id);
        if let Some(version) = of_data.filter(|version| *version != database.major_version) {
            change.details.push(format!(
                "version {version} stays: data of one major version is not changed into another's \
                 in place"
            ));
        }
        if (&old.database_name, &old.user) != (&database.database_name, &database.user) {
            change.details.push("databaseName and user stay as they were made".to_owned());
        }
        change.action =
            if change.details.is_empty() { ChangeAction::Keep } else { ChangeAction::Change };
        change
    }

    pub(super) fn key_values(&self, changes: &mut Vec<Change>) -> Result<Vec<KeyValueRow>, Error> {
        let mut key_values = Vec::new();
        for declared in &self.scope.key_values {
            let settings = self.scope.key_value_settings.get(&declared.name);
            let origin = settings.and_then(|settings| settings.compose.as_ref());
            let known = store::key_values::by_name(
                &self.platform.store,
                &self.environment.id,
                &declared.name,
            )?;
            let mut key_value = KeyValue { compose: compose_store(origin), ..declared.clone() };
            if origin.is_none() {
                key_value.compose.has_password =
                    self.takes_password(&declared.name, known.as_ref());
            }
            let key_value = &key_value;
            changes.push(key_value_change(key_value, known.as_ref(), self.environment));
            key_values.push(match (self.pen, known) {
                (_, Some(row)) if self.keeps_others => row,
                (Pen::Write, _) => store::key_values::upsert(
                    &self.platform.store,
                    &self.environment.id,
                    key_value,
                    Timestamp::now(),
                )?,
                (Pen::Imagine, Some(row)) => row,
                (Pen::Imagine, None) => imagined_key_value(&self.environment.id, key_value),
            });
            if let (Pen::Write, Some(password), Some(row)) =
                (self.pen, password(origin), key_values.last())
            {
                store::key_values::set_password(&self.platform.store, &row.id, &password)?;
            }
        }
        Ok(key_values)
    }

    /// Whether a Blueprint's Key Value instance asks for the password in its address: unless
    /// something connects to it without one. Instances from before there were passwords keep to
    /// theirs: what runs holds the address without it.
    fn takes_password(&self, name: &str, known: Option<&KeyValueRow>) -> bool {
        let did = known.is_none_or(|row| row.definition.compose.has_password);
        did && !self.scope.connects_by_parts(name)
    }
}

fn imagined_database(environment_id: &EnvironmentId, database: &Database) -> DatabaseRow {
    DatabaseRow {
        id: model::DatabaseId::from_uuid(Uuid::now_v7()),
        environment_id: environment_id.clone(),
        definition: database.clone(),
        slug: store::slug::slug(&database.name),
        uid: 0,
        port_hint: 0,
        instance_id: None,
        created_at: Timestamp::now(),
    }
}

fn imagined_key_value(environment_id: &EnvironmentId, key_value: &KeyValue) -> KeyValueRow {
    KeyValueRow {
        id: model::KeyValueId::from_uuid(Uuid::now_v7()),
        environment_id: environment_id.clone(),
        definition: key_value.clone(),
        slug: store::slug::slug(&key_value.name),
        uid: 0,
        port_hint: 0,
        instance_id: None,
        created_at: Timestamp::now(),
    }
}

fn key_value_change(
    key_value: &KeyValue,
    known: Option<&KeyValueRow>,
    environment: &Environment,
) -> Change {
    let mut change = change(Noun::KeyValue, "key value".to_owned(), &key_value.name, environment);
    let Some(row) = known else {
        change.details.extend(instead_of(&key_value.compose));
        return change;
    };
    let old = &row.definition;
    change.details.extend(size_change(&old.instance_type, &key_value.instance_type));
    if old.maxmemory_policy != key_value.maxmemory_policy {
        change.details.push(format!("maxmemoryPolicy becomes {}", key_value.maxmemory_policy));
    }
    if old.compose.has_password && !key_value.compose.has_password {
        let why = "no password any more: something connects by its host or port";
        change.details.push(why.to_owned());
    }
    if old.persistence_mode != key_value.persistence_mode {
        change.details.push(format!("persistenceMode becomes {}", key_value.persistence_mode));
    }
    change.action =
        if change.details.is_empty() { ChangeAction::Keep } else { ChangeAction::Change };
    change
}

/// What a compose file says of a data store.
fn compose_store(origin: Option<&StoreOrigin>) -> ComposeStore {
    let Some(origin) = origin else { return ComposeStore::default() };
    ComposeStore {
        image: origin.image.clone(),
        has_password: origin.password.is_some(),
        aliases: origin.aliases.clone(),
        published: origin.published.clone(),
        init_files: origin.init_files.clone(),
        parameters: origin.parameters.clone(),
    }
}

/// Whether the file names passwords, which may be others than those that are written down.
pub(super) fn has_passwords(scope: &Scope) -> bool {
    let databases = scope.database_settings.values().filter_map(|one| one.compose.as_ref());
    let key_values = scope.key_value_settings.values().filter_map(|one| one.compose.as_ref());
    databases.chain(key_values).any(|origin| origin.password.is_some())
}

fn password(origin: Option<&StoreOrigin>) -> Option<SecretString> {
    origin?.password.clone().map(SecretString::from)
}

/// Of a data store that a compose file declares as a service.
fn instead_of(compose: &ComposeStore) -> Option<String> {
    (!compose.image.is_empty())
        .then(|| format!("in place of the image {} (`--images` runs that)", compose.image))
}

fn size_change(old: &InstanceType, new: &InstanceType) -> Option<String> {
    (old != new).then(|| format!("plan {} becomes {}", old.name, new.name))
}
