//! The control plane as a process: start, run, stop.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine::Driver;
use nix::fcntl::{Flock, FlockArg};
use store::Store;

use crate::config::Config;
use crate::error::Error;
use crate::lineage;
use crate::ops;
use crate::platform::{Parts, Platform};
use crate::tasks;

/// The user that builds run as, below the users of services.
const BUILDER_UID: u32 = 899_999;

/// Held by the server that works on a state directory.
const LOCK_FILE: &str = "server.lock";
/// Held by it too, for those who wait for its end: they may take this one for a moment without
/// keeping the next server away.
const ALIVE_FILE: &str = "server.alive";
/// The edge's port may be taken for a moment: a start waits this long for it.
const PORT_PATIENCE: Duration = Duration::from_secs(10);
/// The first pause of that, and the longest.
const PORT_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How long an instance may take to end that belongs to nobody: it may be a database.
const STRAY_GRACE: Duration = Duration::from_secs(30);

/// A control plane that has found everything again and works. Dropping it ends its tasks; what it
/// started goes on.
pub struct Server {
    /// What it works with.
    pub platform: Platform,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    _turn: Turn,
}

/// A state directory that is taken: no other server works on it for as long as this lives.
pub struct Turn {
    state_dir: PathBuf,
    // Whoever waits for the end must find the other lock free.
    _lock: Flock<File>,
    _alive: Flock<File>,
}

impl Turn {
    /// The directory.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }
}

/// Takes the state directory, and changes nothing: whoever is refused has left no trace.
///
/// # Errors
/// `server-running` when another server has it.
pub fn take(state_dir: &Path) -> Result<Turn, Error> {
    make_private(state_dir)?;
    let open = |name| {
        let path = state_dir.join(name);
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::host(format!("write {}", path.display())))
    };
    // Two servers on one state would undo each other's work.
    let lock = Flock::lock(open(LOCK_FILE)?, FlockArg::LockExclusiveNonblock).map_err(|_| {
        let message = format!("another server works on {}", state_dir.display());
        model::Problem::new("server-running", message)
            .hint("use that one, or choose another `--state-dir`")
    })?;
    let alive = Flock::lock(open(ALIVE_FILE)?, FlockArg::LockExclusive)
        .map_err(|(_, error)| Error::host("lock the state directory")(error.into()))?;
    Ok(Turn { state_dir: state_dir.to_owned(), _lock: lock, _alive: alive })
}

/// The file that is locked for as long as a server lives; a shared lock on it is had when it has
/// gone.
#[must_use]
pub fn alive_file(state_dir: &Path) -> PathBuf {
    state_dir.join(ALIVE_FILE)
}

/// Starts the control plane on a directory that was taken: finds what runs, begins to care.
///
/// # Errors
/// When the state cannot be read, or the edge cannot listen and nothing runs that needs care.
pub async fn start(config: Config, turn: Turn) -> Result<Server, Error> {
    make_private(&config.run_dir)?;
    let store = Store::open(&config.state_dir)?;
    let driver = driver(&config)?;
    let found = driver.recover().await?;
    let edge = edge::Client::new(config.edge_socket()).status().await;
    let served = edge.map(|status| status.generation).unwrap_or_default();
    // Before anything is changed: what another database knows would be stopped as nobody's.
    lineage::check(&store, &config.state_dir, &found, served)?;
    let builder_uid =
        if driver.isolates_network() { BUILDER_UID } else { nix::unistd::getuid().as_raw() };
    let images = if driver.isolates_network() { Some(open_images(&config)?) } else { None };
    let platform = Platform::new(Parts { config, store, driver, builder_uid, images });
    for project in store::projects::list(&platform.store)? {
        for environment in store::environments::list(&platform.store, &project.id)? {
            platform.network(&environment.id).await?;
        }
    }
    tidy(&platform, &found).await?;
    ops::projects::remove_dead_work(&platform)?;
    if let Err(error) = crate::trust::prepare(&platform.config) {
        // Everything but https goes on without it.
        tracing::error!("no https: {}", error.problem().message);
    }
    start_edge(&platform).await?;
    let tasks = vec![
        tokio::spawn(tasks::routes::run(platform.clone())),
        tokio::spawn(tasks::data_stores::run(platform.clone())),
        tokio::spawn(tasks::services::run(platform.clone())),
        tokio::spawn(tasks::crons::run(platform.clone())),
        tokio::spawn(tasks::jobs::run(platform.clone())),
        tokio::spawn(tasks::copies::run(platform.clone())),
        tokio::spawn(tasks::disk::run(platform.clone())),
        tokio::spawn(tasks::retention::run(platform.clone())),
    ];
    Ok(Server { platform, tasks, _turn: turn })
}

/// Starts the edge, or finds it. A port that somebody else has is waited for; when it stays taken,
/// a server that has something to look after goes on without: the task of routes tries again.
async fn start_edge(platform: &Platform) -> Result<(), Error> {
    let deadline = tokio::time::Instant::now() + PORT_PATIENCE;
    let (mut pause, longest) = PORT_PAUSES;
    loop {
        let Err(error) = tasks::routes::ensure_edge(platform).await else { return Ok(()) };
        let problem = error.problem();
        if problem.code != tasks::routes::EDGE_FAILED {
            return Err(error);
        }
        if tokio::time::Instant::now() >= deadline {
            return if something_is_up(platform)? { Ok(()) } else { Err(error) };
        }
        tracing::warn!(detail = problem.detail, "{}; it is tried again", problem.message);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

/// Whether there is anything that a person has not stopped.
///
/// # Errors
/// When the store cannot be read.
pub fn something_is_up(platform: &Platform) -> Result<bool, Error> {
    for project in store::projects::list(&platform.store)? {
        for environment in store::environments::list(&platform.store, &project.id)? {
            if !store::environments::is_stopped(&platform.store, &environment.id)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

impl Drop for Server {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.platform.background.abort_all();
    }
}

fn make_private(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(Error::host(format!("make {}", path.display())))
}

fn open_images(config: &Config) -> Result<images::Images, Error> {
    let mut settings = images::Config::new(config.state_dir.join("images"));
    settings.registries = config.registries.clone();
    images::Images::open(settings).map_err(|error| error.problem().into())
}

fn driver(config: &Config) -> Result<Arc<dyn Driver>, Error> {
    let mut shim_command = config.executable.clone();
    shim_command.push("shim".into());
    let mut engine_config =
        engine::Config::new(config.state_dir.clone(), config.run_dir.clone(), shim_command);
    engine_config.disk_reserve_bytes = config.disk_reserve_bytes;
    // Instances may call public URLs: the edge listens on their gateway too.
    let listen = config.listen.iter().chain(&config.edge.https);
    engine_config.host_ports = listen.map(std::net::SocketAddr::port).collect();
    Ok(if config.is_plain {
        Arc::new(engine::PlainDriver::new(engine_config)?)
    } else {
        Arc::new(engine::NativeDriver::new(engine_config)?)
    })
}

/// Forgets what an earlier process left behind half-done.
async fn tidy(platform: &Platform, found: &[engine::Seen]) -> Result<(), Error> {
    tasks::jobs::forget_strangers(platform)?;
    let known: std::collections::HashSet<_> = store::instances::list(&platform.store)?
        .into_iter()
        .map(|row| row.instance.id)
        .chain(
            store::databases::list_all(&platform.store)?
                .into_iter()
                .filter_map(|row| row.instance_id),
        )
        .chain(
            store::key_values::list_all(&platform.store)?
                .into_iter()
                .filter_map(|row| row.instance_id),
        )
        .collect();
    for seen in found {
        if !known.contains(&seen.id) {
            tracing::warn!("instance {} belongs to nobody: it is stopped", seen.id);
            match platform.driver.stop(&seen.id, STRAY_GRACE).await {
                Ok(()) | Err(engine::Error::NotRunning(_) | engine::Error::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
            platform.driver.remove(&seen.id).await?;
        }
    }
    Ok(())
}
