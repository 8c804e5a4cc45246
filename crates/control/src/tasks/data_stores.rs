//! One task per database and Key Value instance: make it, keep it running.
//!
//! `databases::ensure_*` looks first and does only what is missing, so a pass is one call of it.

use std::collections::HashMap;
use std::time::Duration;

use databases::{KeyValueRequest, PostgresRequest};
use model::{DatabaseId, InstanceId, InstanceState, KeyValueId};
use reconcile::deploy::back_off;
use tokio::task::JoinHandle;

use crate::environments;
use crate::error::Error;
use crate::events;
use crate::platform::{Platform, StoreState};

/// When nothing signals, everything is looked at this often all the same.
const POLL: Duration = Duration::from_secs(15);
/// Time that a store gets to put its data in order before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Id {
    Database(DatabaseId),
    KeyValue(KeyValueId),
}

impl Id {
    fn as_str(&self) -> &str {
        match self {
            Self::Database(id) => id.as_str(),
            Self::KeyValue(id) => id.as_str(),
        }
    }
}

/// Keeps one task running for every data store there is.
pub async fn run(platform: Platform) {
    let mut wakes = platform.wakes();
    let mut tasks: HashMap<Id, JoinHandle<()>> = HashMap::new();
    loop {
        wakes.mark_unchanged();
        match ids(&platform) {
            Ok(ids) => {
                tasks.retain(|_, task| !task.is_finished());
                for id in ids {
                    tasks
                        .entry(id.clone())
                        .or_insert_with(|| tokio::spawn(care(platform.clone(), id)));
                }
            }
            Err(error) => tracing::error!("cannot list the databases: {error}"),
        }
        if tokio::time::timeout(POLL, wakes.changed()).await.is_ok_and(|woken| woken.is_err()) {
            return;
        }
    }
}

fn ids(platform: &Platform) -> Result<Vec<Id>, Error> {
    let databases = store::databases::list_all(&platform.store)?;
    let key_values = store::key_values::list_all(&platform.store)?;
    Ok(databases
        .into_iter()
        .map(|row| Id::Database(row.id))
        .chain(key_values.into_iter().map(|row| Id::KeyValue(row.id)))
        .collect())
}

/// Cares for one data store until it is deleted.
async fn care(platform: Platform, id: Id) {
    let mut wakes = platform.wakes();
    let mut changes = platform.driver.changes();
    let mut failures = 0;
    loop {
        wakes.mark_unchanged();
        changes.mark_unchanged();
        let before = platform.store_state(id.as_str());
        let sleep = match pass(&platform, &id).await {
            Ok(None) => {
                platform.forget_store(id.as_str());
                return;
            }
            Ok(Some(state)) => {
                failures = 0;
                announce(&platform, &id, before.as_ref(), state).await;
                POLL
            }
            Err(error) => {
                let problem = error.problem();
                tracing::error!(detail = problem.detail, "{}: {}", id.as_str(), problem.message);
                announce(&platform, &id, before.as_ref(), StoreState::Failed(problem)).await;
                failures += 1;
                back_off(failures + 2)
            }
        };
        tokio::select! {
            _ = wakes.changed() => {}
            _ = changes.changed() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

/// Makes a change of state known: to the edge, to the tasks that wait for it, to people.
async fn announce(platform: &Platform, id: &Id, before: Option<&StoreState>, state: StoreState) {
    let has_changed = match (before, &state) {
        (Some(StoreState::Ready { running: old, .. }), StoreState::Ready { running, .. }) => {
            old != running
        }
        (Some(StoreState::Failed(old)), StoreState::Failed(problem)) => old != problem,
        (Some(StoreState::Stopped), StoreState::Stopped) => false,
        _ => true,
    };
    platform.set_store_state(id.as_str(), state.clone());
    if !has_changed {
        return;
    }
    if let Err(error) = platform.publisher.publish(platform).await {
        tracing::error!("cannot tell the edge about {}: {error}", id.as_str());
    }
    if let Err(error) = events::store_changed(platform, id.as_str(), &state) {
        tracing::error!("cannot write down the state of {}: {error}", id.as_str());
    }
    platform.wake();
}

/// One look; `None` when there is no such data store any more.
async fn pass(platform: &Platform, id: &Id) -> Result<Option<StoreState>, Error> {
    match id {
        Id::Database(id) => database_pass(platform, id).await,
        Id::KeyValue(id) => key_value_pass(platform, id).await,
    }
}

async fn database_pass(platform: &Platform, id: &DatabaseId) -> Result<Option<StoreState>, Error> {
    let Some(row) = store::databases::get(&platform.store, id)? else { return Ok(None) };
    let is_stopped = environments::is_stopped(platform, &row.environment_id)?;
    let instance_id = match &row.instance_id {
        Some(instance_id) if is_stopped => instance_id.clone(),
        None if is_stopped => return Ok(Some(StoreState::Stopped)),
        last => {
            platform.network(&row.environment_id).await?;
            current_instance(platform, last.as_ref()).await
        }
    };
    if row.instance_id.as_ref() != Some(&instance_id) {
        store::databases::set_instance(&platform.store, id, Some(&instance_id))?;
    }
    let credentials = store::databases::credentials(&platform.store, id)?;
    let request = PostgresRequest {
        id,
        definition: &row.definition,
        environment_id: &row.environment_id,
        instance_id: &instance_id,
        uid: row.uid,
        password: &credentials.app,
        superuser_password: &credentials.superuser,
        port: store_port(platform, databases::POSTGRES_PORT, row.port_hint),
    };
    if is_stopped {
        let driver = platform.driver.as_ref();
        databases::stop_postgres(&platform.databases, driver, &request, STOP_GRACE).await?;
        return Ok(Some(StoreState::Stopped));
    }
    let progress = progress(platform, id.as_str());
    let running = databases::ensure_postgres(
        &platform.databases,
        platform.driver.as_ref(),
        &request,
        &progress,
    )
    .await?;
    obtain_extensions(platform, row.definition.major_version);
    Ok(Some(StoreState::Ready { instance_id, running }))
}

/// Extensions that PostgreSQL does not bring itself are obtained beside it: nobody waits for them
/// who does not use them.
fn obtain_extensions(platform: &Platform, major: u8) {
    let key = format!("extensions/{major}");
    let done = format!("{key}/done");
    if platform.background.is_running(&key) || platform.store_state(&done).is_some() {
        return;
    }
    let work = platform.clone();
    platform.background.start(key, async move {
        let result =
            databases::extensions::ensure_extensions(&work.databases, major, &|_: &str| {});
        if let Err(error) = result.await {
            tracing::warn!("extensions of PostgreSQL {major}: {}", error.problem().message);
        }
        // Tried once in the life of this process, whatever came of it.
        work.set_store_state(&done, StoreState::Stopped);
    });
}

async fn key_value_pass(platform: &Platform, id: &KeyValueId) -> Result<Option<StoreState>, Error> {
    let Some(row) = store::key_values::get(&platform.store, id)? else { return Ok(None) };
    if environments::is_stopped(platform, &row.environment_id)? {
        if let Some(instance_id) = &row.instance_id {
            databases::stop_key_value(platform.driver.as_ref(), instance_id, STOP_GRACE).await?;
        }
        return Ok(Some(StoreState::Stopped));
    }
    platform.network(&row.environment_id).await?;
    let instance_id = current_instance(platform, row.instance_id.as_ref()).await;
    if row.instance_id.as_ref() != Some(&instance_id) {
        store::key_values::set_instance(&platform.store, id, Some(&instance_id))?;
    }
    let request = KeyValueRequest {
        id,
        definition: &row.definition,
        environment_id: &row.environment_id,
        instance_id: &instance_id,
        uid: row.uid,
        port: store_port(platform, databases::KEY_VALUE_PORT, row.port_hint),
    };
    let progress = progress(platform, id.as_str());
    let running = databases::ensure_key_value(
        &platform.databases,
        platform.driver.as_ref(),
        &request,
        &progress,
    )
    .await?;
    Ok(Some(StoreState::Ready { instance_id, running }))
}

/// The instance to run as: the last one while it runs, a new one otherwise.
async fn current_instance(platform: &Platform, last: Option<&InstanceId>) -> InstanceId {
    if let Some(id) = last {
        match platform.driver.observe(id).await {
            Some(InstanceState::Running { .. } | InstanceState::Starting) => return id.clone(),
            Some(InstanceState::Exited(_)) => {
                if let Err(error) = platform.driver.remove(id).await {
                    tracing::warn!("cannot tidy up instance {id}: {error}");
                }
            }
            None => {}
        }
    }
    store::new_instance_id()
}

/// Where instances share the host's ports, each store has one of its own.
pub(crate) fn store_port(platform: &Platform, usual: u16, own: u16) -> u16 {
    if platform.driver.isolates_network() { usual } else { own }
}

fn progress(platform: &Platform, id: &str) -> impl Fn(&str) + Send + Sync + use<> {
    let platform = platform.clone();
    let id = id.to_owned();
    move |text: &str| {
        // A store that answers is not "starting" because it is looked at again.
        if !matches!(platform.store_state(&id), Some(StoreState::Ready { .. })) {
            platform.set_store_state(&id, StoreState::Starting(text.to_owned()));
            events::store_progress(&platform, &id, text);
        }
    }
}
