//! The native driver: instances in namespaces, on bridges, in cgroups. Needs root.

mod networks;
mod rooms;

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use model::{EnvironmentId, Exit, InstanceId, InstanceState};
use nix::mount::{MsFlags, mount};
use nix::unistd::geteuid;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::cgroup::{self, Cgroups};
use crate::driver::{Driver, Error, ExecRequest, Listener, Network, Seen};
use crate::fleet::{Fleet, Instance, Launched, Places, lock};
use crate::order::{Isolation, Order};
use crate::process;
use crate::spec::{InstanceSpec, Limits};

use networks::Networks;
pub use rooms::{OpenRoom, Room};

/// What a driver needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// On a disk, for root only: which environment has which addresses, and what instances write.
    pub state_dir: PathBuf,
    /// For root only: orders, which hold secrets, and sockets. If it is not on a tmpfs, one is
    /// mounted on its `instances` directory.
    pub run_dir: PathBuf,
    /// Program and leading arguments that lead to [`crate::shim_main`]: `[current_exe, "shim"]`.
    pub shim_command: Vec<OsString>,
    /// Where environments get their /24 from. Ranges that the host routes elsewhere are skipped.
    pub address_pool: String,
    /// TCP ports of the gateway that instances may reach besides private DNS: the edge's own.
    pub host_ports: Vec<u16>,
    /// Names in the host's `/etc` that instances may see besides the usual ones: the operator's
    /// `pip.conf`, for one, if it holds no secret.
    pub etc: Vec<String>,
    /// Bytes of the state directory's disk that instances with a limit of their own leave to
    /// others; a twentieth of the disk, at most 2 GiB, where `None`.
    pub disk_reserve_bytes: Option<u64>,
}

impl Config {
    /// The usual values for all that need not be chosen: addresses from 10.77.0.0/16, no ports of
    /// the host's, nothing more of its `/etc`.
    #[must_use]
    pub fn new(state_dir: PathBuf, run_dir: PathBuf, shim_command: Vec<OsString>) -> Self {
        Self {
            state_dir,
            run_dir,
            shim_command,
            address_pool: "10.77.0.0/16".to_owned(),
            host_ports: Vec::new(),
            etc: Vec::new(),
            disk_reserve_bytes: None,
        }
    }
}

/// Runs instances in namespaces of their own.
#[derive(Debug)]
pub struct NativeDriver {
    fleet: Fleet,
    networks: Arc<Networks>,
    /// Where orders go, and whether it was seen that they stay in memory there.
    orders: (PathBuf, Mutex<bool>),
    etc: Vec<String>,
    disk_reserve: u64,
    /// Tells the cgroups and links of several state directories on one machine apart.
    digest: String,
}

impl NativeDriver {
    /// A driver for this state directory. Starts nothing; call [`Driver::recover`] next.
    ///
    /// # Errors
    /// Without root, and when directories cannot be made.
    pub fn new(config: Config) -> Result<Self, Error> {
        if !geteuid().is_root() {
            return Err(Error::Refused {
                doing: "start the native engine".to_owned(),
                why: "it needs root; without it, instances run as plain processes".to_owned(),
            });
        }
        let host = |doing: &str, path: &Path| {
            let doing = format!("{doing} {}", path.display());
            move |source| Error::Host { doing, source }
        };
        std::fs::create_dir_all(&config.state_dir)
            .map_err(host("make the directory", &config.state_dir))?;
        let state_dir = config
            .state_dir
            .canonicalize()
            .map_err(host("find the directory", &config.state_dir))?;
        make_private(&config.run_dir).map_err(host("make the directory", &config.run_dir))?;
        let orders = (config.run_dir.join("instances"), Mutex::new(false));
        let disk_reserve =
            config.disk_reserve_bytes.unwrap_or_else(|| usual_disk_reserve(&state_dir));
        let digest = digest(&[state_dir.as_os_str().as_encoded_bytes()]);
        let networks = Networks::load(networks::Settings {
            record: state_dir.join("networks.json"),
            pool: config.address_pool,
            host_ports: config.host_ports,
            digest: digest.clone(),
        })?;
        let fleet = Fleet::new(Places {
            scratch_dir: state_dir.join("scratch"),
            run_dir: config.run_dir,
            shim_command: config.shim_command,
        })?;
        Ok(Self {
            fleet,
            networks: Arc::new(networks),
            orders,
            etc: config.etc,
            disk_reserve,
            digest,
        })
    }

    /// The parent of all cgroups of this state directory.
    fn cgroup_parent(&self) -> PathBuf {
        PathBuf::from(format!("/gable-{}", &self.digest[..8]))
    }

    /// Mounts the memory that orders lie in. Not before the first: a server that goes no further
    /// than its own start has nothing to take down.
    fn keep_orders_in_memory(&self) -> Result<(), Error> {
        let (instances, is_done) = &self.orders;
        let mut is_done = lock(is_done);
        if !*is_done {
            mount_memory(instances).map_err(|source| Error::Host {
                doing: format!("mount memory at {}", instances.display()),
                source,
            })?;
            *is_done = true;
        }
        Ok(())
    }

    async fn network(&self, environment: &EnvironmentId) -> Result<Network, Error> {
        let networks = Arc::clone(&self.networks);
        let environment = environment.clone();
        let ensure = move || Ok(networks.ensure(&environment));
        crate::fleet::blocking(ensure)
            .await
            .map_err(|source| Error::Host { doing: "make a private network".to_owned(), source })?
    }
}

#[async_trait]
impl Driver for NativeDriver {
    fn isolates_network(&self) -> bool {
        true
    }

    async fn ensure_network(&self, environment: &EnvironmentId) -> Result<Network, Error> {
        self.network(environment).await
    }

    async fn remove_network(&self, environment: &EnvironmentId) -> Result<(), Error> {
        let networks = Arc::clone(&self.networks);
        let environment = environment.clone();
        let remove = move || Ok(networks.remove(&environment));
        let doing = || "remove a private network".to_owned();
        crate::fleet::blocking(remove)
            .await
            .map_err(|source| Error::Host { doing: doing(), source })??;
        if self.fleet.all().is_empty() {
            // Refused while there are others below it. Never done when an instance is removed:
            // one that is being started at that moment would lose the ground under its feet.
            let _ = Cgroups::find(Path::new(cgroup::ROOT)).remove(&self.cgroup_parent());
        }
        Ok(())
    }

    async fn start(&self, spec: &InstanceSpec) -> Result<InstanceState, Error> {
        let refusals = spec.refusals();
        if !refusals.is_empty() {
            let doing = format!("start {}", spec.label);
            return Err(Error::Refused { doing, why: refusals.join("; ") });
        }
        self.keep_orders_in_memory()?;
        self.network(&spec.environment_id).await?;
        let host_end =
            format!("gv{}", &digest(&[self.digest.as_bytes(), spec.id.as_str().as_bytes()])[..12]);
        let link = self.networks.take(&spec.environment_id, host_end)?;
        let address = link.address;
        let order = Order {
            spec: spec.clone(),
            isolation: Isolation::Native {
                link,
                cgroup: self.cgroup_parent().join(spec.id.as_str()),
                etc: self.etc.clone(),
            },
            scratch: self.fleet.scratch(&spec.id),
            disk_reserve: self.disk_reserve,
        };
        match self.fleet.launch(order).await {
            Ok(Launched::Now(state)) => Ok(state),
            Ok(Launched::Before(state)) => {
                self.networks.give_back(&spec.environment_id, address);
                Ok(state)
            }
            Err(error) => {
                self.networks.give_back(&spec.environment_id, address);
                Err(error)
            }
        }
    }

    async fn recover(&self) -> Result<Vec<Seen>, Error> {
        let seen = self.fleet.recover().await?;
        let links = self.fleet.all();
        let used = links.iter().filter_map(|instance| match &instance.isolation {
            Isolation::Native { link, .. } => Some((&instance.environment_id, link.address)),
            Isolation::Plain => None,
        });
        self.networks.remember(used);
        if let Err(error) = self.networks.remove(&rooms::network()) {
            tracing::warn!(%error, "the network of a builder that was cut off stays for now");
        }
        remove_stray_cgroups(&self.cgroup_parent(), &links);
        Ok(seen)
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
        if let Some(instance) = self.fleet.remove(id).await?
            && let Isolation::Native { link, .. } = &instance.isolation
        {
            self.networks.give_back(&instance.environment_id, link.address);
        }
        Ok(())
    }

    async fn listeners(&self, id: &InstanceId) -> Result<Vec<Listener>, Error> {
        self.fleet.listeners(id)
    }

    async fn memory_bytes(&self, id: &InstanceId) -> Option<u64> {
        match &self.fleet.get(id).ok()?.isolation {
            Isolation::Native { cgroup, .. } => {
                Cgroups::find(Path::new(cgroup::ROOT)).memory_bytes(cgroup)
            }
            Isolation::Plain => None,
        }
    }

    async fn limit_cpu(&self, id: &InstanceId, cpu_millis: Option<u32>) -> Result<(), Error> {
        match &self.fleet.get(id)?.isolation {
            Isolation::Native { cgroup, .. } => Cgroups::find(Path::new(cgroup::ROOT))
                .limit_cpu(cgroup, cpu_millis)
                .map_err(|source| Error::Host {
                    doing: format!("limit the processor time of instance {id}"),
                    source,
                }),
            Isolation::Plain => Ok(()),
        }
    }

    async fn exec(&self, id: &InstanceId, request: ExecRequest) -> Result<i32, Error> {
        self.fleet.exec(id, request).await
    }

    async fn open_room(&self, limits: &Limits) -> Result<Option<OpenRoom>, Error> {
        let (networks, parent, limits) =
            (Arc::clone(&self.networks), self.cgroup_parent(), *limits);
        let open = move || Ok(OpenRoom::open(&networks, &parent, &limits));
        crate::fleet::blocking(open)
            .await
            .map_err(|source| Error::Host { doing: "open a room".to_owned(), source })?
            .map(Some)
    }
}

/// Takes back what [`NativeDriver::new`] made of a run directory, if no instance is left in it: its
/// tmpfs, its sockets, itself. What anybody still needs stays.
pub fn leave(run_dir: &Path) {
    let instances = run_dir.join("instances");
    let is_empty = std::fs::read_dir(&instances).is_ok_and(|mut entries| entries.next().is_none());
    if !is_empty {
        return;
    }
    // Each step may find that there is nothing to do, or that somebody else was faster.
    let _ = nix::mount::umount2(&instances, nix::mount::MntFlags::empty());
    let _ = std::fs::remove_dir(&instances);
    if let Ok(entries) = std::fs::read_dir(run_dir) {
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| !kind.is_dir()) {
                let _ = std::fs::remove_file(entry.path());
            } else {
                let _ = std::fs::remove_dir(entry.path());
            }
        }
    }
    let _ = std::fs::remove_dir(run_dir);
}

/// Makes the run directory, readable by root alone.
fn make_private(run_dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let instances = run_dir.join("instances");
    std::fs::create_dir_all(&instances)?;
    std::fs::set_permissions(run_dir, std::fs::Permissions::from_mode(0o700))
}

/// The reserve of a disk for which none was said.
fn usual_disk_reserve(path: &Path) -> u64 {
    const MOST: u64 = 2 << 30;
    let total =
        nix::sys::statvfs::statvfs(path).map_or(0, |found| found.blocks() * found.fragment_size());
    (total / 20).min(MOST)
}

fn mount_memory(instances: &Path) -> std::io::Result<()> {
    if process::is_in_memory(instances)? {
        return Ok(());
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    Ok(mount(Some("gable"), instances, Some("tmpfs"), flags, Some("mode=700,size=64m"))?)
}

fn remove_stray_cgroups(parent: &Path, known: &[Arc<Instance>]) {
    let cgroups = Cgroups::find(Path::new(cgroup::ROOT));
    for name in cgroups.children(parent) {
        if !known.iter().any(|instance| instance.id.as_str() == name) {
            // One that still has processes stays; it is nobody's that this driver knows.
            let _ = cgroups.remove(&parent.join(name));
        }
    }
}

/// Hexadecimal digits that stand for these parts.
pub(crate) fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
