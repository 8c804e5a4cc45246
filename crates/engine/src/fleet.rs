//! All instances of one driver that shims hold, whatever keeps them apart.
//!
//! The truth is in the run directory and in the kernel; what is here is a view of it that follows
//! by events: the pidfd of each shim becomes readable when it ends. A driver that begins finds the
//! same view again with [`Fleet::recover`].

mod commands;
mod messages;
mod nursery;
mod recovery;

pub use commands::exec;

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use model::{Exit, InstanceId, InstanceState};
use nix::sys::signal::Signal;
use tokio::io::unix::AsyncFd;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::driver::{Error, ExecRequest, Listener};
use crate::order::{Birth, Isolation, News, ORDER, Order, Request, directory};
use crate::{files, process, seqpacket, sys};

/// How long a shim may take from its birth to the start of the main process.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How much longer than the grace a stop may take before the shim itself is killed.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// Where a fleet keeps its things.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// On a tmpfs: specs hold secrets.
    pub(crate) run_dir: PathBuf,
    /// On a disk: what instances write and nobody keeps.
    pub(crate) scratch_dir: PathBuf,
    /// Program and leading arguments of the `shim` subcommand.
    pub(crate) shim_command: Vec<OsString>,
}

/// The process that holds an instance.
#[derive(Debug)]
struct Shim {
    pid: i32,
    pidfd: AsyncFd<OwnedFd>,
}

/// One instance.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) id: InstanceId,
    pub(crate) environment_id: model::EnvironmentId,
    pub(crate) isolation: Isolation,
    directory: PathBuf,
    scratch: PathBuf,
    state: watch::Sender<InstanceState>,
    shim: OnceLock<Shim>,
}

/// All instances of one driver.
#[derive(Debug)]
pub(crate) struct Fleet {
    places: Places,
    nursery: Arc<Mutex<nursery::Nursery>>,
    instances: Mutex<HashMap<InstanceId, Arc<Instance>>>,
    changes: watch::Sender<u64>,
    /// One task per instance that runs; aborted with the fleet. The instances go on.
    tasks: Mutex<JoinSet<()>>,
}

/// What became of [`Fleet::launch`].
pub(crate) enum Launched {
    /// The order was carried out.
    Now(InstanceState),
    /// It had been before; this order was not used.
    Before(InstanceState),
}

impl Fleet {
    pub(crate) fn new(places: Places) -> Result<Self, Error> {
        let make = |path: PathBuf| {
            std::fs::create_dir_all(&path).map_err(|source| Error::Host {
                doing: format!("make the directory {}", path.display()),
                source,
            })
        };
        make(places.run_dir.join("instances"))?;
        make(places.scratch_dir.clone())?;
        let nursery =
            nursery::Nursery::new(places.shim_command.clone(), places.run_dir.join("shim.log"));
        Ok(Self {
            places,
            nursery: Arc::new(Mutex::new(nursery)),
            instances: Mutex::default(),
            changes: watch::Sender::new(0),
            tasks: Mutex::default(),
        })
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn get(&self, id: &InstanceId) -> Result<Arc<Instance>, Error> {
        lock(&self.instances).get(id).cloned().ok_or_else(|| Error::NotFound(id.clone()))
    }

    pub(crate) fn state(&self, id: &InstanceId) -> Option<InstanceState> {
        self.get(id).ok().map(|instance| instance.state.borrow().clone())
    }

    /// The directory for what an instance writes.
    pub(crate) fn scratch(&self, id: &InstanceId) -> PathBuf {
        self.places.scratch_dir.join(id.as_str())
    }

    /// Starts an instance, or finds that it was started, and waits until its main process runs or
    /// has ended.
    pub(crate) async fn launch(&self, order: Order) -> Result<Launched, Error> {
        let instance = {
            let mut instances = lock(&self.instances);
            let existing = instances.get(&order.spec.id).cloned();
            if existing.is_none() {
                let instance = Arc::new(Instance::of(
                    &order,
                    directory(&self.places.run_dir, order.spec.id.as_str()),
                ));
                instances.insert(order.spec.id.clone(), Arc::clone(&instance));
            }
            existing
        };
        if let Some(instance) = instance {
            return Ok(Launched::Before(instance.begun().await));
        }
        let instance = self.get(&order.spec.id)?;
        let (done, outcome) = oneshot::channel();
        let changes = self.changes.clone();
        let nursery = Arc::clone(&self.nursery);
        let task_instance = Arc::clone(&instance);
        // In a task of its own: a caller that gives up must not leave half a start.
        self.spawn(async move {
            let result = task_instance.start(nursery, order).await;
            let failed = result.is_err();
            changes.send_modify(|number| *number += 1);
            let _ = done.send(result);
            if !failed {
                task_instance.follow(&changes).await;
            }
        });
        let result = outcome.await.unwrap_or_else(|_| {
            Err(Error::Refused {
                doing: format!("start instance {}", instance.id),
                why: "the driver is ending".to_owned(),
            })
        });
        if let Err(error) = result {
            // Nothing of it may stay behind, whatever step failed.
            lock(&self.instances).remove(&instance.id);
            instance.discard().await;
            return Err(error);
        }
        Ok(Launched::Now(instance.state.borrow().clone()))
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    pub(crate) async fn wait(&self, id: &InstanceId) -> Result<Exit, Error> {
        Ok(self.get(id)?.ended().await)
    }

    pub(crate) async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<(), Error> {
        let instance = self.get(id)?;
        if matches!(instance.begun().await, InstanceState::Exited(_)) {
            return Ok(());
        }
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        if let Err(error) = instance.ask(&Request::Stop { grace_ms }, &[]).await {
            // Its socket may be gone, or its queue full: that is no fault of the programs inside,
            // and a database among them gets its time. The signal says the same.
            tracing::warn!(
                instance.id = %id, %error,
                "the process that holds instance {id} cannot be asked to stop it; it is signalled"
            );
            instance.signal_stop(grace_ms);
        }
        if tokio::time::timeout(grace + STOP_MARGIN, instance.ended()).await.is_ok() {
            return Ok(());
        }
        // The shim does not answer. With it, the kernel ends everything in its namespace.
        tracing::warn!(
            instance.id = %id,
            "the process that holds instance {id} does not answer; it is killed"
        );
        instance.kill();
        match tokio::time::timeout(STOP_MARGIN, instance.ended()).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Refused {
                doing: format!("stop instance {id}"),
                why: "its processes survive KILL; they wait for the kernel, most often for a disk"
                    .to_owned(),
            }),
        }
    }

    pub(crate) async fn input(&self, id: &InstanceId) -> Result<OwnedFd, Error> {
        let instance = self.get(id)?;
        instance.begun().await;
        instance.running_shim()?;
        commands::input_of(&instance.directory, id).await
    }

    /// Forgets an instance that has ended, and returns what it was.
    pub(crate) async fn remove(&self, id: &InstanceId) -> Result<Option<Arc<Instance>>, Error> {
        let Ok(instance) = self.get(id) else { return Ok(None) };
        if !matches!(*instance.state.borrow(), InstanceState::Exited(_)) {
            return Err(Error::Refused {
                doing: format!("remove instance {id}"),
                why: "it still runs".to_owned(),
            });
        }
        instance.discard().await;
        lock(&self.instances).remove(id);
        self.changes.send_modify(|number| *number += 1);
        Ok(Some(instance))
    }

    pub(crate) fn listeners(&self, id: &InstanceId) -> Result<Vec<Listener>, Error> {
        let instance = self.get(id)?;
        let pid = instance.running_shim()?.pid;
        let found = match instance.isolation {
            Isolation::Native { .. } => process::listeners(pid),
            Isolation::Plain => process::listeners_of(&process::descendants(pid)),
        };
        found.map_err(|source| Error::Host {
            doing: format!("look up what instance {id} listens on"),
            source,
        })
    }

    pub(crate) async fn exec(&self, id: &InstanceId, request: ExecRequest) -> Result<i32, Error> {
        let instance = self.get(id)?;
        instance.running_shim()?;
        commands::exec_in(&instance.directory, id, request).await
    }
}

impl Instance {
    fn of(order: &Order, directory: PathBuf) -> Self {
        Self {
            id: order.spec.id.clone(),
            environment_id: order.spec.environment_id.clone(),
            isolation: order.isolation.clone(),
            directory,
            scratch: order.scratch.clone(),
            state: watch::Sender::new(InstanceState::Starting),
            shim: OnceLock::new(),
        }
    }

    pub(crate) fn address(&self) -> IpAddr {
        match &self.isolation {
            Isolation::Native { link, .. } => IpAddr::V4(link.address),
            Isolation::Plain => IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }

    /// Has a shim made and waits until the main process runs or has ended.
    async fn start(
        &self,
        nursery: Arc<Mutex<nursery::Nursery>>,
        order: Order,
    ) -> Result<(), Error> {
        let directory = self.directory.clone();
        let isolated = matches!(order.isolation, Isolation::Native { .. });
        let failed = |source| Error::Host { doing: format!("start instance {}", self.id), source };
        let prepare = move || {
            std::fs::create_dir_all(&directory)?;
            std::fs::create_dir_all(&order.scratch)?;
            files::replace_json(&directory.join(ORDER), &order)?;
            let (ours, theirs) = seqpacket::pair()?;
            lock(&nursery).ask(&Birth { directory, isolated }, theirs)?;
            Ok(ours)
        };
        let socket = blocking(prepare).await.map_err(failed)?;
        let socket = messages::listen(socket).map_err(failed)?;
        let news = async {
            loop {
                match messages::next::<News>(&socket).await? {
                    Some((News::Born { pid }, mut descriptors)) => {
                        let pidfd = descriptors.pop().ok_or(io::ErrorKind::InvalidData)?;
                        let _ = self.shim.set(Shim { pid, pidfd: sys::watch(pidfd)? });
                    }
                    other => return Ok(other.map(|(news, _)| news)),
                }
            }
        };
        let refused = |doing, why| Err(Error::Refused { doing, why });
        let starting = || format!("start instance {}", self.id);
        match tokio::time::timeout(START_TIMEOUT, news).await {
            Err(_) => {
                self.kill();
                refused(
                    starting(),
                    format!("it did not begin within {} s", START_TIMEOUT.as_secs()),
                )
            }
            Ok(Err(error)) => Err(failed(error)),
            Ok(Ok(Some(News::Failed { doing, why }))) => refused(doing, why),
            Ok(Ok(Some(News::Running { started_at }))) => {
                self.state
                    .send_replace(InstanceState::Running { address: self.address(), started_at });
                Ok(())
            }
            Ok(Ok(Some(News::Ended | News::Born { .. }))) => {
                self.shim_ended().await;
                Ok(())
            }
            Ok(Ok(None)) => refused(
                starting(),
                "the process that holds it ended; `shim.log` in the run directory may say why"
                    .to_owned(),
            ),
        }
    }

    /// Waits until the shim has ended, and takes over what it left behind.
    async fn follow(&self, changes: &watch::Sender<u64>) {
        if matches!(*self.state.borrow(), InstanceState::Exited(_)) {
            return;
        }
        self.shim_ended().await;
        changes.send_modify(|number| *number += 1);
    }

    async fn shim_ended(&self) {
        if let Some(shim) = self.shim.get() {
            // An error would be the runtime's own end.
            let _ = shim.pidfd.readable().await;
        }
        let exit = recovery::exit(&self.directory);
        self.state.send_replace(InstanceState::Exited(exit));
    }

    /// The state once it is no longer `Starting`.
    async fn begun(&self) -> InstanceState {
        let mut state = self.state.subscribe();
        let result = state.wait_for(|state| !matches!(state, InstanceState::Starting)).await;
        // The sender lives as long as this does.
        result.map_or(InstanceState::Starting, |state| state.clone())
    }

    async fn ended(&self) -> Exit {
        let mut state = self.state.subscribe();
        loop {
            if let InstanceState::Exited(exit) = &*state.borrow_and_update() {
                return exit.clone();
            }
            if state.changed().await.is_err() {
                // Cannot be: the sender lives as long as this does.
                return recovery::lost();
            }
        }
    }

    fn running_shim(&self) -> Result<&Shim, Error> {
        match (&*self.state.borrow(), self.shim.get()) {
            (InstanceState::Running { .. }, Some(shim)) => Ok(shim),
            _ => Err(Error::NotRunning(self.id.clone())),
        }
    }

    async fn ask(&self, request: &Request, descriptors: &[i32]) -> io::Result<AsyncFd<OwnedFd>> {
        commands::ask_in(&self.directory, request, descriptors)
    }

    /// Asks the shim by a signal, which carries the grace, to end its instance.
    fn signal_stop(&self, grace_ms: u64) {
        let Some(shim) = self.shim.get() else { return };
        let grace_ms = i32::try_from(grace_ms).unwrap_or(i32::MAX);
        let _ = sys::pidfd_queue(shim.pidfd.get_ref(), Signal::SIGTERM, grace_ms);
    }

    /// Ends the shim, and with it everything in its namespace.
    fn kill(&self) {
        let Some(shim) = self.shim.get() else { return };
        if matches!(self.isolation, Isolation::Plain) {
            for pid in process::descendants(shim.pid) {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        let _ = sys::pidfd_kill(shim.pidfd.get_ref().as_fd(), Signal::SIGKILL);
    }

    /// Removes everything of it but its log.
    async fn discard(&self) {
        self.kill();
        if let Some(shim) = self.shim.get() {
            let _ = tokio::time::timeout(STOP_MARGIN, shim.pidfd.readable()).await;
        }
        let places = [self.directory.clone(), self.scratch.clone()];
        let cgroup = match &self.isolation {
            Isolation::Native { cgroup, .. } => Some(cgroup.clone()),
            Isolation::Plain => None,
        };
        let id = self.id.clone();
        let cleared = blocking(move || {
            if let Some(cgroup) = cgroup {
                recovery::remove_cgroup(&cgroup);
            }
            places.iter().try_for_each(|place| files::remove_tree(place))
        });
        if let Err(error) = cleared.await {
            tracing::warn!(
                instance.id = %id, %error,
                "some files of instance {id} could not be removed"
            );
        }
    }
}

impl AsRef<OwnedFd> for Shim {
    fn as_ref(&self) -> &OwnedFd {
        self.pidfd.get_ref()
    }
}

/// What happened to an instance of which nothing was recorded.
fn unrecorded(limit: Option<&str>, start_error: Option<&str>) -> Exit {
    Exit {
        code: None,
        signal: None,
        out_of_memory: false,
        limit: limit.map(str::to_owned),
        start_error: start_error.map(str::to_owned),
        at: Timestamp::now(),
    }
}

/// A lock that a panic elsewhere does not spoil: everything behind it is a plain map or set.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs file work beside the runtime.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(io::Error::other(error)),
    }
}
