//! A room: a place for a program that is no instance, such as a builder of images.
//!
//! It has a network with a way out and nothing else: neither the host's own addresses nor any other
//! private network can be reached from it, and nobody reaches it. And it has limits. The program
//! enters by itself ([`Room::keep_to_limits`], [`Room::leave_host_network`]) and ends with whoever
//! started it, so nothing of a room has to be found again: what a killed control plane leaves of it,
//! a bridge and a cgroup, is taken away by the next [`crate::Driver::recover`].
//!
//! Limit: rooms of one state directory hang on one bridge, so two that are open at once could reach
//! each other. Builders work one at a time.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::EnvironmentId;

use nix::sched::{CloneFlags, unshare};
use serde::{Deserialize, Serialize};

use super::networks::{Networks, ROOMS};
use crate::cgroup::{self, Cgroups};
use crate::driver::Error;
use crate::net::netlink::Netlink;
use crate::order::Link;
use crate::shim::isolate;
use crate::spec::Limits;

/// What a program needs to enter a room. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    link: Link,
    /// Below the root of each hierarchy.
    cgroup: PathBuf,
}

/// A room that is open. Dropping it closes it, which is to be done when its processes have ended.
#[derive(Debug)]
pub struct OpenRoom {
    room: Room,
    networks: Arc<Networks>,
}

impl OpenRoom {
    /// Opens a room with these limits of memory and processes. `parent` is that of all cgroups.
    pub(super) fn open(
        networks: &Arc<Networks>,
        parent: &Path,
        limits: &Limits,
    ) -> Result<Self, Error> {
        networks.ensure(&network())?;
        let host_end = parent.to_string_lossy().replace("/gable-", "gr");
        let link = networks.take(&network(), host_end)?;
        let cgroup = parent.join(format!("room-{}", link.address));
        let open = Self { room: Room { link, cgroup }, networks: Arc::clone(networks) };
        cgroups().make(&open.room.cgroup, limits).map_err(|source| Error::Host {
            doing: "make a cgroup with limits for a builder".to_owned(),
            source,
        })?;
        Ok(open)
    }

    /// What its program needs to enter it.
    #[must_use]
    pub fn room(&self) -> &Room {
        &self.room
    }
}

impl Drop for OpenRoom {
    fn drop(&mut self) {
        self.networks.give_back(&network(), self.room.link.address);
        // What cannot be removed now is removed when the driver begins the next time.
        if let Err(error) = cgroups().remove(&self.room.cgroup) {
            tracing::warn!(%error, "the cgroup of a builder stays for now");
        }
        if let Err(error) = self.networks.remove(&network()) {
            tracing::warn!(%error, "the network of a builder stays for now");
        }
    }
}

/// The network of rooms, in the terms of environments.
pub(super) fn network() -> EnvironmentId {
    ROOMS.parse().expect("it has the form of an id")
}

impl Room {
    /// The room's address in its own network.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.link.address
    }

    /// Puts the calling process under the room's limits, and all that it starts from now on.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn keep_to_limits(&self) -> io::Result<()> {
        cgroups().join(&self.cgroup)
    }

    /// Takes the calling thread, and all that it starts from now on, out of the host's network and
    /// into the room's. The calling thread must be the process's first.
    ///
    /// # Errors
    /// When the kernel refuses, or the room is closed.
    pub fn leave_host_network(&self) -> io::Result<()> {
        let outside = Netlink::open()?;
        unshare(CloneFlags::CLONE_NEWNET)?;
        isolate::join_network(&outside, &self.link)
            .map_err(|refusal| io::Error::other(format!("{}: {}", refusal.doing, refusal.why)))
    }

    /// How often the kernel ended a process of the room for want of memory.
    #[must_use]
    pub fn out_of_memory_kills(&self) -> u64 {
        cgroups().out_of_memory_kills(&self.cgroup)
    }

    /// How often a process or thread of the room was refused, because there were too many.
    #[must_use]
    pub fn refused_processes(&self) -> u64 {
        cgroups().refused_processes(&self.cgroup)
    }
}

fn cgroups() -> Cgroups {
    Cgroups::find(Path::new(cgroup::ROOT))
}
