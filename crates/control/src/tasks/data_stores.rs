//! One task per database and Key Value instance: make it, keep it running.
//!
//! `databases::ensure_*` looks first and does only what is missing, so a pass is one call of it.

use std::collections::HashMap;
use std::time::Duration;

use databases::{KeyValueRequest, PostgresRequest};
use model::{DatabaseId, EnvironmentId, InstanceId, InstanceState, KeyValueId, Problem};
use reconcile::deploy::back_off;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::data_stores;
use crate::environments;
use crate::error::Error;
use crate::events;
use crate::init_files;
use crate::instances;
use crate::platform::{Platform, StoreState};

/// When nothing signals, everything is looked at this often all the same.
const POLL: Duration = Duration::from_secs(15);
/// Longest pass: programs are downloaded and a database recovers from a crash in less. What hangs
/// is given up and tried again.
const PASS_LIMIT: Duration = Duration::from_secs(15 * 60);
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
        let judged = data_stores::declaration(&platform, id.as_str());
        let mut stop_signal = platform.wakes();
        stop_signal.mark_unchanged();
        // A person who stops the environment does not wait for a start that hangs.
        let is_starting = !is_stopped(&platform, &id);
        let told = Told { stop_signal, is_stopped: || is_starting && is_stopped(&platform, &id) };
        let result = match within(pass(&platform, &id), PASS_LIMIT, told).await {
            Ended::Done(result) => result,
            Ended::Stopped => continue,
            Ended::TooLong => Err(too_long(&id, PASS_LIMIT)),
        };
        let sleep = match result {
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
                let state = StoreState::Failed { problem, judged };
                announce(&platform, &id, before.as_ref(), state).await;
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

/// Whether it is to be stopped, or is no more.
fn is_stopped(platform: &Platform, id: &Id) -> bool {
    let environment_id =
        match id {
            Id::Database(id) => store::databases::get(&platform.store, id)
                .map(|row| row.map(|row| row.environment_id)),
            Id::KeyValue(id) => store::key_values::get(&platform.store, id)
                .map(|row| row.map(|row| row.environment_id)),
        };
    match environment_id {
        Ok(Some(id)) => environments::is_stopped(platform, &id).unwrap_or(false),
        Ok(None) => true,
        // A store that cannot be read says nothing; the pass tells of it.
        Err(_) => false,
    }
}

/// How a pass ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended<T> {
    Done(T),
    /// A person stopped the environment meanwhile.
    Stopped,
    TooLong,
}

/// How a pass hears of a stop.
struct Told<S> {
    stop_signal: watch::Receiver<u64>,
    is_stopped: S,
}

/// Works until it is done, it is too late, or it is no longer wanted. Work is dropped where it
/// stands: the next pass goes on from what it finds, as after a crash.
async fn within<T>(
    work: impl Future<Output = T>,
    limit: Duration,
    mut told: Told<impl Fn() -> bool>,
) -> Ended<T> {
    let mut work = std::pin::pin!(work);
    let mut too_late = std::pin::pin!(tokio::time::sleep(limit));
    loop {
        tokio::select! {
            result = &mut work => return Ended::Done(result),
            () = &mut too_late => return Ended::TooLong,
            changed = told.stop_signal.changed() => {
                if changed.is_err() || (told.is_stopped)() {
                    return Ended::Stopped;
                }
            }
        }
    }
}

fn too_long(id: &Id, limit: Duration) -> Error {
    let noun = match id {
        Id::Database(_) => "database",
        Id::KeyValue(_) => "Key Value instance",
    };
    Problem::new(
        "data-store-hangs",
        format!("the {noun} was not ready after {} minutes", limit.as_secs() / 60),
    )
    .detail(format!("{} is tried again from the beginning", id.as_str()))
    .hint("`gable logs` of it says what it was doing; a disk that hangs is the usual reason")
    .into()
}

/// Makes a change of state known: to the edge, to the tasks that wait for it, to people.
async fn announce(platform: &Platform, id: &Id, before: Option<&StoreState>, state: StoreState) {
    let has_changed = match (before, &state) {
        (Some(StoreState::Ready { running: old, .. }), StoreState::Ready { running, .. }) => {
            old != running
        }
        (
            Some(StoreState::Failed { problem: old, judged: then }),
            StoreState::Failed { problem, judged },
        ) => (old, then) != (problem, judged),
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
    let init = init_files::load(platform, id)?;
    let env = store::databases::init_env(&platform.store, id)?;
    let request = PostgresRequest {
        id,
        definition: &row.definition,
        environment_id: &row.environment_id,
        instance_id: &instance_id,
        uid: row.uid,
        password: &credentials.app,
        superuser_password: &credentials.superuser,
        port: store_port(platform, databases::POSTGRES_PORT, row.port_hint),
        init: &init,
        env: &env,
    };
    if is_stopped {
        if let Some(state) = waits_for_services(platform, &row.environment_id, id.as_str()).await? {
            return Ok(Some(state));
        }
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
        if let Some(state) = waits_for_services(platform, &row.environment_id, id.as_str()).await? {
            return Ok(Some(state));
        }
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
    let credentials = store::key_values::credentials(&platform.store, id)?;
    let request = KeyValueRequest {
        id,
        definition: &row.definition,
        environment_id: &row.environment_id,
        instance_id: &instance_id,
        uid: row.uid,
        port: store_port(platform, databases::KEY_VALUE_PORT, row.port_hint),
        password: row.definition.compose.has_password.then_some(&credentials.app),
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

/// How a store that is to stop stands while a service of its environment runs, which may need it
/// to the last; `None` when none does. The engine wakes whoever waits when one ends.
async fn waits_for_services(
    platform: &Platform,
    environment_id: &EnvironmentId,
    id: &str,
) -> Result<Option<StoreState>, Error> {
    for service in store::services::list(&platform.store, environment_id)? {
        if instances::runs(platform, &service.id).await? {
            let waits = || StoreState::Starting(format!("{} stops first", service.name()));
            return Ok(Some(platform.store_state(id).unwrap_or_else(waits)));
        }
    }
    Ok(None)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const NEVER: Duration = Duration::from_secs(3600);

    struct Hung {
        wakes: watch::Sender<u64>,
        is_stopped: Arc<AtomicBool>,
    }

    impl Hung {
        fn new() -> Self {
            Self { wakes: watch::Sender::new(0), is_stopped: Arc::default() }
        }

        fn told(&self) -> Told<impl Fn() -> bool + use<>> {
            let is_stopped = self.is_stopped.clone();
            let stop_signal = self.wakes.subscribe();
            Told { stop_signal, is_stopped: move || is_stopped.load(Ordering::SeqCst) }
        }
    }

    #[tokio::test]
    async fn a_pass_that_hangs_is_given_up_after_its_limit() {
        let hung = Hung::new();
        let pass = std::future::pending::<()>();
        assert_eq!(within(pass, SOON, hung.told()).await, Ended::TooLong);
        let problem =
            too_long(&Id::KeyValue(KeyValueId::from_uuid(uuid::Uuid::nil())), PASS_LIMIT).problem();
        assert_eq!(problem.message, "the Key Value instance was not ready after 15 minutes");
    }

    #[tokio::test]
    async fn a_stop_ends_a_pass_that_hangs_and_other_news_does_not() {
        let hung = Hung::new();
        let pass = within(std::future::pending::<()>(), NEVER, hung.told());
        let mut pass = std::pin::pin!(pass);
        hung.wakes.send_modify(|number| *number += 1);
        assert!(tokio::time::timeout(SOON, &mut pass).await.is_err(), "nobody stopped it");
        hung.is_stopped.store(true, Ordering::SeqCst);
        hung.wakes.send_modify(|number| *number += 1);
        assert_eq!(pass.await, Ended::Stopped);
    }

    #[tokio::test]
    async fn a_pass_that_ends_by_itself_says_what_came_of_it() {
        let hung = Hung::new();
        assert_eq!(within(std::future::ready(7), NEVER, hung.told()).await, Ended::Done(7));
    }
}
