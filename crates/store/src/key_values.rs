//! Key Value instances: what is declared, what was assigned for good, and the passwords.

use jiff::Timestamp;
use model::{EnvironmentId, InstanceId, KeyValue, KeyValueId};

use secrecy::SecretString;

use crate::data_stores::{self, DataStoreRow};
use crate::{Error, Store};

pub use crate::data_stores::Credentials;

/// A Key Value instance in one environment.
pub type KeyValueRow = DataStoreRow<KeyValue>;

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
    data_stores::upsert(store, environment_id, definition, now)
}

/// The one with this id.
pub fn get(store: &Store, id: &KeyValueId) -> Result<Option<KeyValueRow>, Error> {
    data_stores::get(store, id)
}

/// The one of this name in an environment.
pub fn by_name(
    store: &Store,
    environment_id: &EnvironmentId,
    name: &str,
) -> Result<Option<KeyValueRow>, Error> {
    data_stores::by_name(store, environment_id, name)
}

/// Those of an environment, oldest first.
pub fn list(store: &Store, environment_id: &EnvironmentId) -> Result<Vec<KeyValueRow>, Error> {
    data_stores::list(store, environment_id)
}

/// Those of all environments, oldest first.
pub fn list_all(store: &Store) -> Result<Vec<KeyValueRow>, Error> {
    data_stores::list_all(store)
}

/// Its passwords.
///
/// # Errors
/// Also when there is none with this id.
pub fn credentials(store: &Store, id: &KeyValueId) -> Result<Credentials, Error> {
    data_stores::credentials::<KeyValue>(store, id)
}

/// Takes over the password that a file gives, for what services get.
///
/// # Errors
/// Also when there is none with this id.
pub fn set_password(store: &Store, id: &KeyValueId, password: &SecretString) -> Result<(), Error> {
    data_stores::set_password::<KeyValue>(store, id, password)
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
    data_stores::set_instance::<KeyValue>(store, id, instance_id)
}

/// Forgets it, with its passwords. Its files are not touched.
pub fn delete(store: &Store, id: &KeyValueId) -> Result<(), Error> {
    data_stores::delete::<KeyValue>(store, id)
}
