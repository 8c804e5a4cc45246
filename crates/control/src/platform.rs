//! Everything the control plane works with, put together once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use engine::{Driver, Network};
use jiff::Timestamp;
use model::{EnvironmentId, InstanceId, Problem, ServiceId};
use store::Store;
use tokio::sync::{Semaphore, watch};

use crate::background::Background;
use crate::config::Config;
use crate::disk::Disk;
use crate::error::Error;
use crate::tasks::probes::Prober;
use crate::tasks::routes::Publisher;

/// Plans that are made at once: each takes a processor and memory of the size of its file.
const PLANNERS_MAX: usize = 2;

/// Everything the control plane works with. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Platform {
    inner: Arc<Inner>,
}

/// What a [`Platform`] is made of.
pub struct Inner {
    /// Settings.
    pub config: Config,
    /// What is written down.
    pub store: Store,
    /// What runs instances.
    pub driver: Arc<dyn Driver>,
    /// Repositories and snapshots.
    pub sources: build::Sources,
    /// Settings of building.
    pub build: build::Config,
    /// Settings of databases.
    pub databases: databases::Config,
    /// Health of instances.
    pub prober: Prober,
    /// Work under way.
    pub background: Background,
    /// The way to the edge.
    pub publisher: Publisher,
    /// Whether there is room on the disk of the state.
    pub disk: Disk,
    /// Held to read by whatever writes releases down, and to write by what throws away what no
    /// release needs.
    pub applying: tokio::sync::RwLock<()>,
    /// How many plans may be made now.
    pub planners: Arc<Semaphore>,
    /// How many builds may start now.
    pub build_slots: Arc<Semaphore>,
    /// When this process began.
    pub started_at: Timestamp,
    wake: watch::Sender<u64>,
    networks: Mutex<HashMap<EnvironmentId, Network>>,
    waiting: Mutex<HashMap<ServiceId, String>>,
    store_states: Mutex<HashMap<String, StoreState>>,
    operator_env: Mutex<Vec<(String, String)>>,
}

/// What is known of a data store.
#[derive(Debug, Clone)]
pub enum StoreState {
    /// It is being made or started; the text says what is being done.
    Starting(String),
    /// It answers.
    Ready {
        /// The instance that runs it.
        instance_id: InstanceId,
        /// Where and what it is.
        running: databases::Running,
    },
    /// It cannot be started; it is tried again.
    Failed {
        /// Why.
        problem: Problem,
        /// A digest of the declaration that this is said of.
        judged: Option<[u8; 32]>,
    },
    /// A person has stopped it.
    Stopped,
}

impl std::ops::Deref for Platform {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.inner
    }
}

/// The parts that are made before the platform.
pub struct Parts {
    /// Settings.
    pub config: Config,
    /// What is written down.
    pub store: Store,
    /// What runs instances.
    pub driver: Arc<dyn Driver>,
    /// User and group that builds run as.
    pub builder_uid: u32,
    /// Images on this machine; `None` without root, which they need.
    pub images: Option<images::Images>,
}

impl Platform {
    /// Puts the parts together. Nothing runs yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { config, store, driver, builder_uid, images } = parts;
        let mut build = build::Config::in_state_dir(&config.state_dir, builder_uid);
        build.operator_env.clone_from(&config.operator_env);
        build.images = images;
        build.limits = config.build_limits;
        // A full disk ends builds here (`crate::disk`), with who holds what.
        build.limits.disk.reserve_bytes = 0;
        build.registries = config.registries.clone();
        build.docker.registries = config.registries.clone();
        build.docker.launcher = config.executable.clone();
        build.docker.launcher.push("builder".into());
        // Private to this server, and in memory where its sockets are.
        build.docker.secrets_dir = config.run_dir.join("logins");
        let mut databases = databases::Config::new(&config.state_dir, &config.run_dir);
        databases.operator_env.clone_from(&config.operator_env);
        let inner = Inner {
            sources: build::Sources::new(config.state_dir.join("repos")),
            prober: Prober::new(driver.clone()),
            background: Background::default(),
            disk: Disk::default(),
            applying: tokio::sync::RwLock::default(),
            publisher: Publisher::new(&config),
            planners: Arc::new(Semaphore::new(PLANNERS_MAX)),
            build_slots: Arc::new(Semaphore::new(config.concurrent_builds.max(1))),
            started_at: Timestamp::now(),
            wake: watch::Sender::new(0),
            networks: Mutex::default(),
            waiting: Mutex::default(),
            store_states: Mutex::default(),
            operator_env: Mutex::new(config.operator_env.clone()),
            build,
            databases,
            config,
            store,
            driver,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Makes every task look again: something was written down.
    pub fn wake(&self) {
        self.inner.wake.send_modify(|number| *number += 1);
    }

    /// A number that goes up with every [`Platform::wake`].
    #[must_use]
    pub fn wakes(&self) -> watch::Receiver<u64> {
        self.inner.wake.subscribe()
    }

    /// The private network of an environment, made if need be.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn network(&self, environment_id: &EnvironmentId) -> Result<Network, Error> {
        if let Some(network) = lock(&self.inner.networks).get(environment_id) {
            return Ok(network.clone());
        }
        let network = self.inner.driver.ensure_network(environment_id).await?;
        lock(&self.inner.networks).insert(environment_id.clone(), network.clone());
        // Instances ask the edge for names, so it has to know of the network before they start.
        // Before the edge runs there is nobody to tell; it is told everything when it starts.
        if let Err(error) = self.publisher.publish(self).await {
            tracing::debug!("the edge does not know of a new network yet: {error}");
        }
        Ok(network)
    }

    /// Networks that were made or found since this process began.
    #[must_use]
    pub fn networks(&self) -> Vec<(EnvironmentId, Network)> {
        lock(&self.inner.networks)
            .iter()
            .map(|(id, network)| (id.clone(), network.clone()))
            .collect()
    }

    /// Forgets a network that was removed.
    pub fn forget_network(&self, environment_id: &EnvironmentId) {
        lock(&self.inner.networks).remove(environment_id);
    }

    /// Why the deploy of a service does not move, in words for a person.
    #[must_use]
    pub fn waiting(&self, service_id: &ServiceId) -> Option<String> {
        lock(&self.inner.waiting).get(service_id).cloned()
    }

    /// Notes why the deploy of a service does not move. Returns whether that is news.
    pub fn set_waiting(&self, service_id: &ServiceId, text: Option<String>) -> bool {
        let mut waiting = lock(&self.inner.waiting);
        match text {
            None => waiting.remove(service_id).is_some(),
            Some(text) if waiting.get(service_id) == Some(&text) => false,
            Some(text) => {
                waiting.insert(service_id.clone(), text);
                true
            }
        }
    }

    /// What is known of a data store, by its id.
    #[must_use]
    pub fn store_state(&self, id: &str) -> Option<StoreState> {
        lock(&self.inner.store_states).get(id).cloned()
    }

    /// Notes what is known of a data store.
    pub fn set_store_state(&self, id: &str, state: StoreState) {
        lock(&self.inner.store_states).insert(id.to_owned(), state);
    }

    /// The operator's variables for every build and instance.
    #[must_use]
    pub fn operator_env(&self) -> Vec<(String, String)> {
        lock(&self.inner.operator_env).clone()
    }

    /// Puts the operator's variables in place of those there were; releases keep theirs.
    pub fn set_operator_env(&self, env: Vec<(String, String)>) {
        *lock(&self.inner.operator_env) = env;
    }

    /// Forgets a data store that was removed.
    pub fn forget_store(&self, id: &str) {
        lock(&self.inner.store_states).remove(id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Each critical section is one call of a map: what is behind the lock is always whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use crate::testing;

    #[tokio::test]
    async fn two_servers_build_images_with_places_and_programs_of_their_own() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (first, second) = (testing::platform(one.path()), testing::platform(two.path()));
        let docker = &first.build.docker;
        assert_eq!(docker.launcher, ["/nowhere/gable", "builder"]);
        assert!(docker.secrets_dir.starts_with(&first.config.run_dir));
        assert_ne!(docker.secrets_dir, second.build.docker.secrets_dir);
        assert_ne!(docker.storage_dir, second.build.docker.storage_dir);
    }
}
