//! Finding again what an earlier driver, or this one, has started.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::{Exit, InstanceState};
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Pid;

use super::{Fleet, Instance, Shim, blocking, lock, unrecorded};
use crate::cgroup::{self, Cgroups};
use crate::driver::{Error, Seen};
use crate::order::{EXIT, LOCK, ORDER, Order, RUNNING, RunningRecord, SHIM, ShimRecord};
use crate::{files, process, sys};

/// How long a shim that is there may take to start its main process, and how often to look.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(10);
const BEGIN_INTERVAL: Duration = Duration::from_millis(5);

/// What an instance says that was asked for and not begun when the control plane was killed.
const INTERRUPTED: &str = "its start was interrupted";

/// What was found in one instance's directory.
struct Found {
    order: Order,
    directory: PathBuf,
    shim: Option<ShimRecord>,
}

impl Fleet {
    /// Finds every instance that was started and not removed.
    pub(crate) async fn recover(&self) -> Result<Vec<Seen>, Error> {
        let instances = self.places.run_dir.join("instances");
        let doing = format!("read {}", instances.display());
        let found = blocking(move || find(&instances))
            .await
            .map_err(|source| Error::Host { doing, source })?;
        for one in found {
            if lock(&self.instances).contains_key(&one.order.spec.id) {
                continue;
            }
            let instance = Arc::new(Instance::of(&one.order, one.directory.clone()));
            adopt(&instance, &one).await;
            let is_interrupted = is_interrupted(&instance.state.borrow());
            if is_interrupted {
                // Nothing of it has run: it never was, and whoever asked for it asks again.
                instance.discard().await;
                continue;
            }
            lock(&self.instances).insert(instance.id.clone(), Arc::clone(&instance));
            let changes = self.changes.clone();
            self.spawn(async move { instance.follow(&changes).await });
        }
        self.discard_strays().await;
        self.changes.send_modify(|number| *number += 1);
        let seen = |instance: &Arc<Instance>| Seen {
            id: instance.id.clone(),
            state: instance.state.borrow().clone(),
        };
        let mut all: Vec<_> = lock(&self.instances).values().map(seen).collect();
        all.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(all)
    }

    /// Every instance that is known.
    pub(crate) fn all(&self) -> Vec<Arc<Instance>> {
        lock(&self.instances).values().cloned().collect()
    }

    /// Removes what instances wrote that are not known any more: their directory was on a tmpfs,
    /// and the machine was switched off.
    async fn discard_strays(&self) {
        let known: Vec<String> = lock(&self.instances).keys().map(ToString::to_string).collect();
        let scratch = self.places.scratch_dir.clone();
        let cleared = blocking(move || {
            for entry in fs::read_dir(scratch)? {
                let entry = entry?;
                if !known.iter().any(|id| entry.file_name() == id.as_str()) {
                    files::remove_tree(&entry.path())?;
                }
            }
            Ok(())
        });
        if let Err(error) = cleared.await {
            tracing::warn!(%error, "some files of earlier instances could not be removed");
        }
    }
}

fn is_interrupted(state: &InstanceState) -> bool {
    matches!(state, InstanceState::Exited(exit) if exit.start_error.as_deref() == Some(INTERRUPTED))
}

fn find(instances: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(instances)? {
        let directory = entry?.path();
        // An order is there whole or not at all; without one nothing can have been started.
        let Ok(Some(order)) = files::read_json::<Order>(&directory.join(ORDER)) else {
            files::remove_tree(&directory)?;
            continue;
        };
        let shim = settle(&directory)?;
        found.push(Found { order, directory, shim });
    }
    Ok(found)
}

/// The shim, if it lives. If it does not, there is an exit record afterwards.
fn settle(directory: &Path) -> io::Result<Option<ShimRecord>> {
    if directory.join(EXIT).exists() {
        return Ok(None);
    }
    let file =
        File::options().write(true).create(true).truncate(false).open(directory.join(LOCK))?;
    // Held while it is looked: a shim that is only about to be born must not be born then.
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(_held) => {
            if !directory.join(EXIT).exists() {
                files::replace_json(&directory.join(EXIT), &unfinished(directory))?;
            }
            Ok(None)
        }
        Err(_) => {
            // Between its lock and its record a shim needs less than a millisecond.
            for _ in 0..200 {
                if let Some(record) = files::read_json::<ShimRecord>(&directory.join(SHIM))? {
                    return Ok(Some(record));
                }
                std::thread::sleep(BEGIN_INTERVAL);
            }
            Err(io::Error::other(format!("{} is locked, but not by a shim", directory.display())))
        }
    }
}

/// How an instance ended whose shim left no word.
fn unfinished(directory: &Path) -> Exit {
    if directory.join(RUNNING).exists() { lost() } else { unrecorded(None, Some(INTERRUPTED)) }
}

/// How an instance ended whose shim was killed.
pub(super) fn lost() -> Exit {
    unrecorded(Some("the process that held it was killed"), None)
}

/// How an instance ended whose shim is gone.
pub(super) fn exit(directory: &Path) -> Exit {
    match files::read_json(&directory.join(EXIT)) {
        Ok(Some(exit)) => exit,
        _ => {
            let exit = unfinished(directory);
            // So that the next driver tells the same, with the same time.
            let _ = files::replace_json(&directory.join(EXIT), &exit);
            exit
        }
    }
}

async fn adopt(instance: &Instance, found: &Found) {
    let shim = found.shim.as_ref().and_then(|record| open(record).ok());
    if let Some(shim) = shim {
        let _ = instance.shim.set(shim);
        if let Ok(Some(running)) = wait_for_begin(&found.directory).await {
            let started_at = running.started_at;
            let address = instance.address();
            instance.state.send_replace(InstanceState::Running { address, started_at });
            return;
        }
        // It has ended, or cannot begin.
        instance.kill();
        instance.shim_ended().await;
        return;
    }
    instance.state.send_replace(InstanceState::Exited(exit(&found.directory)));
}

fn open(record: &ShimRecord) -> io::Result<Shim> {
    let pidfd = sys::pidfd_open(Pid::from_raw(record.pid))?;
    // Asked after the descriptor was opened: it cannot be another process from here on.
    if process::started_ticks(record.pid)? != record.started_ticks {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(Shim { pid: record.pid, pidfd: sys::watch(pidfd)? })
}

async fn wait_for_begin(directory: &Path) -> io::Result<Option<RunningRecord>> {
    let deadline = tokio::time::Instant::now() + BEGIN_TIMEOUT;
    loop {
        let running = files::read_json(&directory.join(RUNNING))?;
        let is_over = directory.join(EXIT).exists() || tokio::time::Instant::now() >= deadline;
        if running.is_some() || is_over {
            return Ok(running);
        }
        tokio::time::sleep(BEGIN_INTERVAL).await;
    }
}

/// Removes what a killed shim could not.
pub(super) fn remove_cgroup(cgroup: &Path) {
    let cgroups = Cgroups::find(Path::new(cgroup::ROOT));
    for _ in 0..20 {
        if cgroups.remove(cgroup).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
