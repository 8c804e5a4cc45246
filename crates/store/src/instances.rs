//! Instances: written before the engine is asked to start them, forgotten when it has removed
//! them. What is known here and not to the engine was never started, or was lost with the machine.

use std::fmt::Display;

use jiff::Timestamp;
use model::{DeployId, Exit, Instance, InstanceId, InstancePurpose, ServiceId};
use rusqlite::{Row, params};

use crate::connection::Writing;
use crate::row::{Columns, all, execute, first, to_json};
use crate::{Error, Store};

/// What is remembered of an instance beside the instance itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceRow {
    /// The instance.
    pub instance: Instance,
    /// The service or data store that it was started for, as text.
    pub owner_id: String,
    /// When its place may be filled again, while that is put off.
    pub not_before: Option<Timestamp>,
    /// How the one before it in its place ended, if there was one.
    pub predecessor_exit: Option<Exit>,
}

/// Writes an instance, with the service or data store that it works for (the service, for builds
/// and jobs). Writing the same one twice is the same as once.
pub fn insert(store: &Store, instance: &Instance, owner_id: &impl Display) -> Result<(), Error> {
    store.write("save instance", |tx| {
        insert_in(tx, instance, &owner_id.to_string(), "1")?;
        Ok(())
    })
}

/// Writes an instance that is about to be started for a service. Returns whether it was written:
/// it is not when the service is gone, or a person has stopped its environment meanwhile.
pub fn begin(store: &Store, instance: &Instance, service_id: &ServiceId) -> Result<bool, Error> {
    store.write("save instance", |tx| begin_in(tx, instance, service_id))
}

pub(crate) fn begin_in(
    tx: &Writing<'_>,
    instance: &Instance,
    service_id: &ServiceId,
) -> Result<bool, Error> {
    let is_wanted = "EXISTS (SELECT 1 FROM services
        JOIN environments ON environments.id = services.environment_id
        WHERE services.id = ?3 AND NOT environments.is_stopped)";
    Ok(insert_in(tx, instance, service_id.as_str(), is_wanted)? > 0)
}

fn insert_in(
    tx: &Writing<'_>,
    instance: &Instance,
    owner_id: &str,
    condition: &str,
) -> Result<usize, Error> {
    let deploy_id = match &instance.purpose {
        InstancePurpose::Service { deploy_id, .. }
        | InstancePurpose::PreDeploy(deploy_id)
        | InstancePurpose::InitialDeployHook(deploy_id) => Some(deploy_id.as_str()),
        _ => None,
    };
    execute(
        tx,
        &format!(
            "INSERT INTO instances (id, purpose, owner_id, deploy_id, ordinal, restarts, created_at)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE {condition} ON CONFLICT (id) DO NOTHING"
        ),
        params![
            instance.id.as_str(),
            to_json(&instance.purpose),
            owner_id,
            deploy_id,
            instance.ordinal,
            instance.restarts,
            instance.created_at.as_microsecond(),
        ],
    )
}

/// The instance with this id.
pub fn get(store: &Store, id: &InstanceId) -> Result<Option<InstanceRow>, Error> {
    store.read("read instance", |connection| {
        first(connection, "SELECT * FROM instances WHERE id = ?1", [id.as_str()], from_row)
    })
}

/// All instances, oldest first.
pub fn list(store: &Store) -> Result<Vec<InstanceRow>, Error> {
    store.read("list instances", |connection| {
        all(connection, "SELECT * FROM instances ORDER BY id", [], from_row)
    })
}

/// The instances that work for a deploy, oldest first.
pub fn by_deploy(store: &Store, deploy_id: &DeployId) -> Result<Vec<Instance>, Error> {
    store.read("list instances", |connection| {
        all(
            connection,
            "SELECT * FROM instances WHERE deploy_id = ?1 ORDER BY id",
            [deploy_id.as_str()],
            |row| Ok(from_row(row)?.instance),
        )
    })
}

/// The instances that work for a service, its builds and jobs too, oldest first.
pub fn by_service(store: &Store, service_id: &ServiceId) -> Result<Vec<Instance>, Error> {
    let rows = by_owner(store, service_id)?;
    Ok(rows.into_iter().map(|row| row.instance).collect())
}

/// The instances that work for a service or data store, oldest first.
pub fn by_owner(store: &Store, owner_id: &impl Display) -> Result<Vec<InstanceRow>, Error> {
    store.read("list instances", |connection| {
        all(
            connection,
            "SELECT * FROM instances WHERE owner_id = ?1 ORDER BY id",
            [owner_id.to_string()],
            from_row,
        )
    })
}

/// Notes how often its place was filled, and when it may be filled again.
///
/// # Errors
/// Also when there is no such instance.
pub fn set_back_off(
    store: &Store,
    id: &InstanceId,
    restarts: u32,
    not_before: Option<Timestamp>,
) -> Result<(), Error> {
    let not_before = not_before.map(Timestamp::as_microsecond);
    let touched = store.write("save instance", |tx| {
        execute(
            tx,
            "UPDATE instances SET restarts = ?2, not_before = ?3 WHERE id = ?1",
            params![id.as_str(), restarts, not_before],
        )
    })?;
    if touched == 0 { Err(Error::not_found("instance", id)) } else { Ok(()) }
}

/// Notes how the one before it in its place ended.
///
/// # Errors
/// Also when there is no such instance.
pub fn set_predecessor_exit(store: &Store, id: &InstanceId, exit: &Exit) -> Result<(), Error> {
    let touched = store.write("save instance", |tx| {
        execute(
            tx,
            "UPDATE instances SET exit = ?2 WHERE id = ?1",
            params![id.as_str(), to_json(exit)],
        )
    })?;
    if touched == 0 { Err(Error::not_found("instance", id)) } else { Ok(()) }
}

/// Forgets an instance, if it is known.
pub fn delete(store: &Store, id: &InstanceId) -> Result<(), Error> {
    store.write("delete instance", |tx| {
        execute(tx, "DELETE FROM instances WHERE id = ?1", [id.as_str()])?;
        Ok(())
    })
}

fn from_row(row: &Row<'_>) -> Result<InstanceRow, Error> {
    let instance = Instance {
        id: row.parsed("id")?,
        purpose: row.json("purpose")?,
        ordinal: row.get("ordinal")?,
        restarts: row.get("restarts")?,
        created_at: row.time("created_at")?,
    };
    Ok(InstanceRow {
        instance,
        owner_id: row.get("owner_id")?,
        not_before: row.time_option("not_before")?,
        predecessor_exit: row.json_option("exit")?,
    })
}
