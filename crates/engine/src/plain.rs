//! Plain processes, for those who are not root: no namespaces, no limits but those of time and
//! output, one loopback interface for all.
//!
//! What is honest is emulated, the rest is refused:
//!
//! - The address of every instance is 127.0.0.1, and its port must be its own: give each one a
//!   `port_hint` and pass it as `PORT`. A program that insists on another port can collide.
//! - The command runs on the host's file system as the host's user. Mounts become directories: a
//!   [`Mount::Bind`] or [`Mount::Volume`] is its source, a [`Mount::Overlay`] a copy of its lower
//!   directory and a [`Mount::Scratch`] or [`Mount::Tmpfs`] an empty directory, both in the
//!   instance's scratch directory. The working directory is translated by them (see [`PlainDriver::host_path`]); paths inside the environment
//!   and the command are the caller's to translate.
//! - `files` at fixed places, images and what only containers can be told are refused. A read-only bind is not enforced: the program
//!   is its user's own, and may write where the user may.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use model::{EnvironmentId, Exit, InstanceId, InstanceState};
use tokio::sync::watch;

use crate::driver::{Driver, Error, ExecRequest, Listener, Network, Seen};
use crate::fleet::{Fleet, Launched, Places, blocking};
use crate::native::Config;
use crate::order::{Isolation, Order};
use crate::spec::{ContainerSpec, InstanceSpec, Mount, Root};

/// Runs instances as plain processes.
#[derive(Debug)]
pub struct PlainDriver {
    fleet: Fleet,
}

impl PlainDriver {
    /// A driver for this state directory. Of the config, what is about networks is not used.
    ///
    /// # Errors
    /// When directories cannot be made.
    pub fn new(config: Config) -> Result<Self, Error> {
        let fleet = Fleet::new(Places {
            scratch_dir: config.state_dir.join("scratch"),
            run_dir: config.run_dir,
            shim_command: config.shim_command,
        })?;
        Ok(Self { fleet })
    }

    /// Where a path inside the instance is on the host: below the mount that covers it most
    /// closely, or as it is if none does.
    #[must_use]
    pub fn host_path(&self, spec: &InstanceSpec, inside: &Path) -> PathBuf {
        let scratch = self.fleet.scratch(&spec.id);
        let covering = spec
            .mounts
            .iter()
            .enumerate()
            .filter(|(_, mount)| inside.starts_with(mount.target()))
            .max_by_key(|(_, mount)| mount.target().components().count());
        let Some((number, mount)) = covering else { return inside.to_owned() };
        let place = place(&scratch, number, mount);
        match inside.strip_prefix(mount.target()) {
            Ok(rest) if rest.as_os_str().is_empty() => place,
            Ok(rest) => place.join(rest),
            Err(_) => inside.to_owned(),
        }
    }

    fn refuse_pretence(spec: &InstanceSpec) -> Result<(), Error> {
        // Whom a stop signals needs no namespaces.
        let stop_signal = spec.container.stop_signal.clone();
        let possible = ContainerSpec { stop_signal, ..ContainerSpec::default() };
        let why = match &spec.root {
            Root::Layers(_) => Some("images need the native engine, and so root"),
            Root::HostUserland if !spec.files.is_empty() => {
                Some("files at fixed places need the native engine, and so root")
            }
            Root::HostUserland if spec.container != possible => {
                Some("settings of a container need the native engine, and so root")
            }
            Root::HostUserland => None,
        };
        match why {
            None => Ok(()),
            Some(why) => Err(Error::Refused {
                doing: format!("start {} as a plain process", spec.label),
                why: why.to_owned(),
            }),
        }
    }
}

#[async_trait]
impl Driver for PlainDriver {
    fn isolates_network(&self) -> bool {
        false
    }

    async fn ensure_network(&self, _environment: &EnvironmentId) -> Result<Network, Error> {
        Ok(Network { gateway: IpAddr::V4(Ipv4Addr::LOCALHOST) })
    }

    async fn remove_network(&self, _environment: &EnvironmentId) -> Result<(), Error> {
        Ok(())
    }

    async fn start(&self, spec: &InstanceSpec) -> Result<InstanceState, Error> {
        Self::refuse_pretence(spec)?;
        let mut translated = spec.clone();
        translated.cwd = self.host_path(spec, &spec.cwd);
        let scratch = self.fleet.scratch(&spec.id);
        if self.fleet.state(&spec.id).is_none() {
            let (mounts, place) = (spec.mounts.clone(), scratch.clone());
            blocking(move || prepare(&mounts, &place)).await.map_err(|source| Error::Host {
                doing: format!("prepare the directories of {}", spec.label),
                source,
            })?;
        }
        let order =
            Order { spec: translated, isolation: Isolation::Plain, scratch, disk_reserve: 0 };
        match self.fleet.launch(order).await? {
            Launched::Now(state) | Launched::Before(state) => Ok(state),
        }
    }

    async fn recover(&self) -> Result<Vec<Seen>, Error> {
        self.fleet.recover().await
    }

    async fn observe(&self, id: &InstanceId) -> Option<InstanceState> {
        self.fleet.state(id)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.fleet.changes()
    }

    async fn wait(&self, id: &InstanceId) -> Result<Exit, Error> {
        self.fleet.wait(id).await
    }

    async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<(), Error> {
        self.fleet.stop(id, grace).await
    }

    async fn input(&self, id: &InstanceId) -> Result<OwnedFd, Error> {
        self.fleet.input(id).await
    }

    async fn remove(&self, id: &InstanceId) -> Result<(), Error> {
        self.fleet.remove(id).await.map(drop)
    }

    async fn listeners(&self, id: &InstanceId) -> Result<Vec<Listener>, Error> {
        self.fleet.listeners(id)
    }

    async fn memory_bytes(&self, _id: &InstanceId) -> Option<u64> {
        // Without a cgroup, shared pages would be counted several times.
        None
    }

    async fn limit_cpu(&self, _: &InstanceId, _: Option<u32>) -> Result<(), Error> {
        Ok(())
    }

    async fn exec(&self, id: &InstanceId, request: ExecRequest) -> Result<i32, Error> {
        self.fleet.exec(id, request).await
    }
}

/// The directory that stands for a mount.
fn place(scratch: &Path, number: usize, mount: &Mount) -> PathBuf {
    match mount {
        Mount::Bind { source, .. } | Mount::Volume { source, .. } => source.clone(),
        Mount::Part { volume, subpath, .. } => volume.join(subpath),
        Mount::Image { .. } => scratch.join(format!("image-{number}")),
        Mount::Overlay { .. } => scratch.join(format!("overlay-{number}")),
        Mount::Scratch { .. } | Mount::Tmpfs { .. } => scratch.join(format!("scratch-{number}")),
    }
}

fn prepare(mounts: &[Mount], scratch: &Path) -> io::Result<()> {
    for (number, mount) in mounts.iter().enumerate() {
        let place = place(scratch, number, mount);
        match mount {
            Mount::Bind { .. } | Mount::Volume { .. } | Mount::Part { .. } => {
                fs::metadata(place)?;
            }
            Mount::Image { .. } => {
                return Err(io::Error::other("images are mounted as root only"));
            }
            Mount::Overlay { lower, .. } => copy_tree(lower, &place)?,
            Mount::Scratch { .. } | Mount::Tmpfs { .. } => fs::create_dir_all(&place)?,
        }
    }
    Ok(())
}

/// Copies a directory: its files with their modes, its links as links. The kernel shares the blocks
/// where the file system can.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, target)?;
        } else if kind.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    let mode = fs::metadata(from)?.mode();
    fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(mode | 0o700))
}
