//! PostgreSQL databases: what is declared, what was assigned for good, and the passwords.

use jiff::Timestamp;
use model::{Database, DatabaseId, EnvironmentId, InstanceId};

use secrecy::SecretString;

use crate::data_stores::{self, DataStoreRow};
use crate::{Error, Store};

pub use crate::data_stores::Credentials;

/// A database in one environment.
pub type DatabaseRow = DataStoreRow<Database>;

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
    data_stores::upsert(store, environment_id, definition, now)
}

/// The one with this id.
pub fn get(store: &Store, id: &DatabaseId) -> Result<Option<DatabaseRow>, Error> {
    data_stores::get(store, id)
}

/// The one of this name in an environment.
pub fn by_name(
    store: &Store,
    environment_id: &EnvironmentId,
    name: &str,
) -> Result<Option<DatabaseRow>, Error> {
    data_stores::by_name(store, environment_id, name)
}

/// Those of an environment, oldest first.
pub fn list(store: &Store, environment_id: &EnvironmentId) -> Result<Vec<DatabaseRow>, Error> {
    data_stores::list(store, environment_id)
}

/// Those of all environments, oldest first.
pub fn list_all(store: &Store) -> Result<Vec<DatabaseRow>, Error> {
    data_stores::list_all(store)
}

/// Its passwords.
///
/// # Errors
/// Also when there is none with this id.
pub fn credentials(store: &Store, id: &DatabaseId) -> Result<Credentials, Error> {
    data_stores::credentials::<Database>(store, id)
}

/// Takes over the password that a file gives, for what services get.
///
/// # Errors
/// Also when there is none with this id.
pub fn set_password(store: &Store, id: &DatabaseId, password: &SecretString) -> Result<(), Error> {
    data_stores::set_password::<Database>(store, id, password)
}

/// Takes over the variables that scripts see which fill it.
///
/// # Errors
/// Also when there is none with this id.
pub fn set_init_env(
    store: &Store,
    id: &DatabaseId,
    env: &[(String, SecretString)],
) -> Result<(), Error> {
    data_stores::set_init_env(store, id, env)
}

/// The variables that scripts see which fill it.
///
/// # Errors
/// When they cannot be opened.
pub fn init_env(store: &Store, id: &DatabaseId) -> Result<Vec<(String, SecretString)>, Error> {
    data_stores::init_env(store, id)
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
    data_stores::set_instance::<Database>(store, id, instance_id)
}

/// Forgets it, with its passwords. Its files are not touched.
pub fn delete(store: &Store, id: &DatabaseId) -> Result<(), Error> {
    data_stores::delete::<Database>(store, id)
}
