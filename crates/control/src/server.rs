//! The control plane as a process: start, run, stop.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use engine::Driver;
use nix::fcntl::{Flock, FlockArg};
use store::Store;

use crate::config::Config;
use crate::error::Error;
use crate::ops;
use crate::platform::{Parts, Platform};
use crate::tasks;

/// The user that builds run as, below the users of services.
const BUILDER_UID: u32 = 899_999;

/// A control plane that has found everything again and works. Dropping it ends its tasks; what it
/// started goes on.
pub struct Server {
    /// What it works with.
    pub platform: Platform,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    _lock: Flock<File>,
}

/// Starts the control plane: takes the state directory, finds what runs, begins to care.
///
/// # Errors
/// When another server has the state directory, the state cannot be read, or the edge cannot
/// listen.
pub async fn start(config: Config) -> Result<Server, Error> {
    make_private(&config.state_dir)?;
    make_private(&config.run_dir)?;
    let lock = lock(&config.state_dir)?;
    let store = Store::open(&config.state_dir)?;
    let driver = driver(&config)?;
    let found = driver.recover().await?;
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
    tasks::routes::ensure_edge(&platform).await?;
    let tasks = vec![
        tokio::spawn(tasks::routes::run(platform.clone())),
        tokio::spawn(tasks::data_stores::run(platform.clone())),
        tokio::spawn(tasks::services::run(platform.clone())),
        tokio::spawn(tasks::crons::run(platform.clone())),
        tokio::spawn(tasks::jobs::run(platform.clone())),
    ];
    Ok(Server { platform, tasks, _lock: lock })
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

/// Two servers on one state would undo each other's work.
fn lock(state_dir: &Path) -> Result<Flock<File>, Error> {
    let path = state_dir.join("server.lock");
    let file = File::create(&path).map_err(Error::host(format!("write {}", path.display())))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| {
        model::Problem::new(
            "server-running",
            format!("another server works on {}", state_dir.display()),
        )
        .hint("use that one, or choose another `--state-dir`")
        .into()
    })
}

fn driver(config: &Config) -> Result<Arc<dyn Driver>, Error> {
    let mut shim_command = config.executable.clone();
    shim_command.push("shim".into());
    let mut engine_config =
        engine::Config::new(config.state_dir.clone(), config.run_dir.clone(), shim_command);
    engine_config.disk_reserve_bytes = config.disk_reserve_bytes;
    // Instances may call public URLs: the edge listens on their gateway too.
    engine_config.host_ports = config.listen.iter().map(std::net::SocketAddr::port).collect();
    Ok(if config.is_plain {
        Arc::new(engine::PlainDriver::new(engine_config)?)
    } else {
        Arc::new(engine::NativeDriver::new(engine_config)?)
    })
}

/// Forgets what an earlier process left behind half-done.
async fn tidy(platform: &Platform, found: &[engine::Seen]) -> Result<(), Error> {
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
            match platform.driver.stop(&seen.id, std::time::Duration::from_secs(5)).await {
                Ok(()) | Err(engine::Error::NotRunning(_) | engine::Error::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
            platform.driver.remove(&seen.id).await?;
        }
    }
    Ok(())
}
