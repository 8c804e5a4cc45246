//! The seam between the control plane and whatever runs instances.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use async_trait::async_trait;
use model::{EnvironmentId, InstanceId, InstanceState};
use tokio::sync::watch;

use crate::native::OpenRoom;
use crate::spec::{InstanceSpec, Limits};

/// Runs instances one way. Every method can be repeated: it checks, then does.
#[async_trait]
pub trait Driver: Send + Sync + 'static {
    /// Whether each instance has an address of its own, so that two can listen on one port.
    fn isolates_network(&self) -> bool;

    /// Makes the private network of an environment, or finds it.
    ///
    /// # Errors
    /// When the kernel refuses, with what and why.
    async fn ensure_network(&self, environment: &EnvironmentId) -> Result<Network, Error>;

    /// Removes the private network of an environment, if it is there.
    ///
    /// # Errors
    /// When instances still use it.
    async fn remove_network(&self, environment: &EnvironmentId) -> Result<(), Error>;

    /// Starts an instance, and returns once its main process runs or has ended. A command that
    /// does not exist is no error here: the instance is `Exited` with a `start_error`.
    ///
    /// # Errors
    /// When the instance could not be made for a reason of the host's.
    async fn start(&self, spec: &InstanceSpec) -> Result<InstanceState, Error>;

    /// Finds everything that was started before, by this process or an earlier one, running or
    /// ended, and not removed. Called once when the control plane begins.
    ///
    /// # Errors
    /// When the driver's own records cannot be read.
    async fn recover(&self) -> Result<Vec<Seen>, Error>;

    /// What is known of one instance; `None` if it never was or was removed.
    async fn observe(&self, id: &InstanceId) -> Option<InstanceState>;

    /// A number that goes up whenever some instance changes state: the wake-up of tasks.
    fn changes(&self) -> watch::Receiver<u64>;

    /// Waits until the instance has ended.
    ///
    /// # Errors
    /// When there is no such instance.
    async fn wait(&self, id: &InstanceId) -> Result<model::Exit, Error>;

    /// TERM to the application, found through shells, package managers and other wrappers, or the
    /// stop signal that its spec declares to the main process. What is left when that has ended gets
    /// TERM and the rest of `grace`, and then KILL. Returns when nothing of it runs.
    ///
    /// # Errors
    /// When processes survive KILL.
    async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<(), Error>;

    /// The writing end of the standard input of an instance whose spec has one. There is one: the
    /// input ends when it is closed, by whoever took it or by their end. One that nobody takes
    /// within a minute is closed.
    ///
    /// # Errors
    /// When the instance does not run, has no input, or somebody has taken it.
    async fn input(&self, id: &InstanceId) -> Result<OwnedFd, Error>;

    /// Forgets an instance that has ended: directories, address, cgroup. Its log stays.
    ///
    /// # Errors
    /// When it still runs.
    async fn remove(&self, id: &InstanceId) -> Result<(), Error>;

    /// What the instance listens on, seen from inside.
    ///
    /// # Errors
    /// When the instance does not run.
    async fn listeners(&self, id: &InstanceId) -> Result<Vec<Listener>, Error>;

    /// Memory in use, in bytes, where the driver can tell.
    async fn memory_bytes(&self, id: &InstanceId) -> Option<u64>;

    /// Changes how much processor time an instance may use, in thousandths of a core; `None` is no
    /// limit. Drivers without cgroups have none to change.
    ///
    /// # Errors
    /// When the instance is not known, or the kernel refuses.
    async fn limit_cpu(&self, id: &InstanceId, cpu_millis: Option<u32>) -> Result<(), Error>;

    /// Runs one more command inside a running instance, as its user, with its environment, on the
    /// given descriptors, and returns its exit code (128 + signal if one ended it).
    ///
    /// # Errors
    /// When the instance does not run or the command cannot be started.
    async fn exec(&self, id: &InstanceId, request: ExecRequest) -> Result<i32, Error>;

    /// Opens a room for a program that is no instance. `None` for drivers that keep nothing apart.
    ///
    /// # Errors
    /// When the kernel refuses, with what and why.
    async fn open_room(&self, _limits: &Limits) -> Result<Option<OpenRoom>, Error> {
        Ok(None)
    }
}

/// A private network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Where its instances reach the host: the address for private DNS. Loopback for drivers
    /// without network namespaces.
    pub gateway: IpAddr,
}

/// An instance that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its id.
    pub id: InstanceId,
    /// What is known of it.
    pub state: InstanceState,
}

/// A listening TCP socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// The address it is bound to: `0.0.0.0`, `::`, `127.0.0.1` …
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
}

/// A command to run inside a running instance.
#[derive(Debug)]
pub struct ExecRequest {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Working directory; the instance's own if `None`.
    pub cwd: Option<std::path::PathBuf>,
    /// Variables on top of the instance's own.
    pub env: Vec<(String, String)>,
    /// Descriptors for 0, 1 and 2. A terminal is passed as its subordinate side, three times.
    pub stdio: [OwnedFd; 3],
    /// Whether the descriptors are a terminal that shall become the controlling one.
    pub terminal: bool,
    /// How long it may take, if that is limited. Then it is killed, with all that it started.
    pub time: Option<Duration>,
}

/// Why the engine could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such instance.
    #[error("there is no instance {0}")]
    NotFound(InstanceId),
    /// It has ended, or has not begun.
    #[error("instance {0} does not run")]
    NotRunning(InstanceId),
    /// Something of the host's refused.
    #[error("{doing}")]
    Host {
        /// What was being done, to what.
        doing: String,
        /// What the host said.
        #[source]
        source: std::io::Error,
    },
    /// A part of the engine refused, and not with an error number.
    #[error("{doing}: {why}")]
    Refused {
        /// What was being done, to what.
        doing: String,
        /// Why not.
        why: String,
    },
}

impl std::fmt::Display for Listener {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::net::SocketAddr::new(self.address, self.port).fmt(formatter)
    }
}
