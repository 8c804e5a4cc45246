//! Deploys.
//!
//! The status changes in [`transition`] only, and each accepted transition writes exactly one
//! event in the same transaction. At most one deploy of a service is live: when one goes live, the
//! one before it is deactivated in the same transaction, with an event of its own.

use jiff::Timestamp;
use model::{
    BuildId, Deploy, DeployEvent, DeployId, DeployStatus, DeployTrigger, Problem, Proof, ReleaseId,
    ServiceId,
};
use rusqlite::{Connection, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::connection::Writing;
use crate::events::{self, NewEvent};
use crate::new_id::new_uuid;
use crate::row::{Columns, all, execute, first, to_json};
use crate::{Error, Store};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct NewDeploy<'a> {
    /// Of which service.
    pub service_id: &'a ServiceId,
    /// Of which release.
    pub release_id: &'a ReleaseId,
    /// The build that it waits for, if there is one already.
    pub build_id: Option<&'a BuildId>,
    /// Who asked.
    pub trigger: DeployTrigger,
    /// The present.
    pub now: Timestamp,
}

/// What happened to a deploy.
#[derive(Debug, Clone)]
pub struct Change {
    /// What.
    pub event: DeployEvent,
    /// Why, when it failed.
    pub failure: Option<Problem>,
    /// When.
    pub now: Timestamp,
}

/// Writes a deploy that is created, and its event `deploy_created`.
///
/// # Errors
/// Also when there is no such service or release.
pub fn insert(store: &Store, new: &NewDeploy<'_>) -> Result<Deploy, Error> {
    store.write("save deploy", |tx| {
        let deploy = Deploy {
            id: DeployId::from_uuid(new_uuid()),
            service_id: new.service_id.clone(),
            release_id: new.release_id.clone(),
            build_id: new.build_id.cloned(),
            status: DeployStatus::Created,
            trigger: new.trigger,
            failure: None,
            proof: None,
            created_at: new.now,
            status_since: new.now,
            finished_at: None,
        };
        execute(
            tx,
            "INSERT INTO deploys (id, service_id, release_id, build_id, status, deploy_trigger,
                 created_at, status_since)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
            params![
                deploy.id.as_str(),
                deploy.service_id.as_str(),
                deploy.release_id.as_str(),
                deploy.build_id.as_ref().map(BuildId::as_str),
                deploy.status.to_string(),
                deploy.trigger.to_string(),
                new.now.as_microsecond(),
            ],
        )?;
        append_event(tx, &deploy, "created", new.now)?;
        Ok(deploy)
    })
}

/// Changes the status of a deploy.
///
/// # Errors
/// [`Error::Refused`] when the table of transitions does not have it; nothing was changed then.
/// Also when there is no such deploy.
pub fn transition(store: &Store, id: &DeployId, change: &Change) -> Result<Deploy, Error> {
    store.write("save deploy", |tx| {
        let deploy = find(tx, id)?.ok_or_else(|| Error::not_found("deploy", id))?;
        // Refused before anything else is touched.
        deploy.status.on(change.event)?;
        if change.event == DeployEvent::WentLive
            && let Some(former) = find_live(tx, &deploy.service_id)?
        {
            let deactivated =
                Change { event: DeployEvent::Deactivated, failure: None, now: change.now };
            apply(tx, former, &deactivated)?;
        }
        apply(tx, deploy, change)
    })
}

/// The deploy with this id.
pub fn get(store: &Store, id: &DeployId) -> Result<Option<Deploy>, Error> {
    store.read("read deploy", |connection| find(connection, id))
}

/// The deploys of a service, newest first, `limit` of them.
pub fn list(store: &Store, service_id: &ServiceId, limit: u32) -> Result<Vec<Deploy>, Error> {
    store.read("list deploys", |connection| {
        all(
            connection,
            "SELECT * FROM deploys WHERE service_id = ?1 ORDER BY id DESC LIMIT ?2",
            params![service_id.as_str(), limit],
            from_row,
        )
    })
}

/// The newest deploy of a service.
pub fn latest(store: &Store, service_id: &ServiceId) -> Result<Option<Deploy>, Error> {
    Ok(list(store, service_id, 1)?.pop())
}

/// The deploy of a service whose release serves.
pub fn live(store: &Store, service_id: &ServiceId) -> Result<Option<Deploy>, Error> {
    store.read("read deploy", |connection| find_live(connection, service_id))
}

/// All deploys that are under way, oldest first.
pub fn in_progress(store: &Store) -> Result<Vec<Deploy>, Error> {
    store.read("list deploys", |connection| {
        all(connection, "SELECT * FROM deploys WHERE finished_at IS NULL ORDER BY id", [], from_row)
    })
}

/// The deploys of a service that are under way, oldest first.
pub fn in_progress_of(store: &Store, service_id: &ServiceId) -> Result<Vec<Deploy>, Error> {
    store.read("list deploys", |connection| {
        all(
            connection,
            "SELECT * FROM deploys WHERE finished_at IS NULL AND service_id = ?1 ORDER BY id",
            [service_id.as_str()],
            from_row,
        )
    })
}

/// Notes which build it waits for.
///
/// # Errors
/// Also when there is no such deploy.
pub fn set_build(store: &Store, id: &DeployId, build_id: &BuildId) -> Result<(), Error> {
    update(store, id, "UPDATE deploys SET build_id = ?2 WHERE id = ?1", build_id.as_str())
}

/// Notes what happened to requests while it switched; the baseline has served its purpose then.
///
/// # Errors
/// Also when there is no such deploy.
pub fn set_proof(store: &Store, id: &DeployId, proof: &Proof) -> Result<(), Error> {
    update(
        store,
        id,
        "UPDATE deploys SET proof = ?2, baseline = NULL WHERE id = ?1",
        &to_json(proof),
    )
}

/// What a person should know of a deploy although it succeeded.
pub fn warning(store: &Store, id: &DeployId) -> Result<Option<Problem>, Error> {
    let warning = store.read("read deploy", |connection| {
        first(connection, "SELECT warning FROM deploys WHERE id = ?1", [id.as_str()], |row| {
            Ok(row.json_option("warning")?)
        })
    })?;
    Ok(warning.flatten())
}

/// Notes what a person should know of a deploy although it succeeded.
///
/// # Errors
/// Also when there is no such deploy.
pub fn set_warning(store: &Store, id: &DeployId, warning: &Problem) -> Result<(), Error> {
    update(store, id, "UPDATE deploys SET warning = ?2 WHERE id = ?1", &to_json(warning))
}

/// Where the edge's counters stood when the rollout began.
///
/// # Errors
/// Also when what was written down is not a `T`.
pub fn baseline<T: DeserializeOwned>(store: &Store, id: &DeployId) -> Result<Option<T>, Error> {
    let baseline = store.read("read baseline", |connection| {
        first(connection, "SELECT baseline FROM deploys WHERE id = ?1", [id.as_str()], |row| {
            Ok(row.json_option("baseline")?)
        })
    })?;
    Ok(baseline.flatten())
}

/// Notes where the edge's counters stand.
///
/// # Errors
/// Also when there is no such deploy.
pub fn set_baseline<T: Serialize>(store: &Store, id: &DeployId, value: &T) -> Result<(), Error> {
    update(store, id, "UPDATE deploys SET baseline = ?2 WHERE id = ?1", &to_json(value))
}

fn update(store: &Store, id: &DeployId, sql: &str, value: &str) -> Result<(), Error> {
    store.write("save deploy", |tx| match execute(tx, sql, params![id.as_str(), value])? {
        0 => Err(Error::not_found("deploy", id)),
        _ => Ok(()),
    })
}

fn apply(tx: &Writing<'_>, deploy: Deploy, change: &Change) -> Result<Deploy, Error> {
    let status = deploy.status.on(change.event)?;
    let deploy = Deploy {
        status,
        status_since: change.now,
        // Going live ends the work; what comes later does not change when that was.
        finished_at: match deploy.finished_at {
            None if !status.is_in_progress() => Some(change.now),
            standing => standing,
        },
        failure: change.failure.clone().or(deploy.failure),
        ..deploy
    };
    execute(
        tx,
        "UPDATE deploys SET status = ?2, status_since = ?3, finished_at = ?4, failure = ?5
         WHERE id = ?1",
        params![
            deploy.id.as_str(),
            deploy.status.to_string(),
            deploy.status_since.as_microsecond(),
            deploy.finished_at.map(Timestamp::as_microsecond),
            deploy.failure.as_ref().map(to_json),
        ],
    )?;
    append_event(tx, &deploy, &change.event.to_string(), change.now)?;
    Ok(deploy)
}

fn append_event(
    tx: &Writing<'_>,
    deploy: &Deploy,
    what: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let environment_id = first(
        tx,
        "SELECT environment_id FROM services WHERE id = ?1",
        [deploy.service_id.as_str()],
        |row| Ok(row.parsed("environment_id")?),
    )?;
    let body = json!({
        "status": deploy.status,
        "trigger": deploy.trigger,
        "release_id": deploy.release_id,
        "failure": deploy.failure,
    });
    let event = NewEvent {
        at: now,
        kind: format!("deploy_{what}"),
        environment_id,
        service_id: Some(deploy.service_id.clone()),
        deploy_id: Some(deploy.id.clone()),
        body,
    };
    events::append_in(tx, &event)?;
    Ok(())
}

fn find(connection: &Connection, id: &DeployId) -> Result<Option<Deploy>, Error> {
    first(connection, "SELECT * FROM deploys WHERE id = ?1", [id.as_str()], from_row)
}

fn find_live(connection: &Connection, service_id: &ServiceId) -> Result<Option<Deploy>, Error> {
    first(
        connection,
        "SELECT * FROM deploys WHERE service_id = ?1 AND status = 'live'",
        [service_id.as_str()],
        from_row,
    )
}

fn from_row(row: &Row<'_>) -> Result<Deploy, Error> {
    Ok(Deploy {
        id: row.parsed("id")?,
        service_id: row.parsed("service_id")?,
        release_id: row.parsed("release_id")?,
        build_id: row.parsed_option("build_id")?,
        status: row.parsed("status")?,
        trigger: row.parsed("deploy_trigger")?,
        failure: row.json_option("failure")?,
        proof: row.json_option("proof")?,
        created_at: row.time("created_at")?,
        status_since: row.time("status_since")?,
        finished_at: row.time_option("finished_at")?,
    })
}
