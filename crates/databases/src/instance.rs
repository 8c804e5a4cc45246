//! What PostgreSQL and Key Value have in common as instances.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::{ContainerSpec, Driver, InstanceSpec, Limits, Mount, Root, User};
use model::{EnvironmentId, Exit, InstanceId, InstanceState};

use crate::{Error, files};

/// Exit code of the lock program when another process holds the data directory.
pub(crate) const LOCKED: i32 = 75;
const LOCK_PROGRAM: &str = "/usr/bin/flock";
/// What a server that was killed has left behind ends by itself, on a busy machine not at once.
const LOCK_TIMEOUT_SECONDS: &str = "10";
/// Processes and threads of one server, at most: far above what the largest number of connections
/// that a plan gives needs, far below what brings a machine down.
const PIDS_LIMIT: u32 = 8192;
/// How much of a log's end is read for a diagnosis.
const LOG_TAIL_BYTES: u64 = 64 * 1024;

/// One directory or file of a store, on the host and as the instance sees it.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) host: PathBuf,
    pub(crate) inside: PathBuf,
}

impl Place {
    /// Without a root of its own an instance sees the host's paths.
    pub(crate) fn new(driver: &dyn Driver, host: PathBuf, inside: &str) -> Self {
        let inside = if has_own_root(driver) { PathBuf::from(inside) } else { host.clone() };
        Self { host, inside }
    }

    pub(crate) fn mount(&self, read_only: bool) -> Option<Mount> {
        (self.host != self.inside).then(|| Mount::Bind {
            source: self.host.clone(),
            target: self.inside.clone(),
            read_only,
        })
    }
}

/// Whether mounts take effect. Drivers that give an instance its own network give it its own
/// mounts too; plain processes have neither.
pub(crate) fn has_own_root(driver: &dyn Driver) -> bool {
    driver.isolates_network()
}

/// What differs between the instances of stores.
pub(crate) struct Shape<'a> {
    pub(crate) id: &'a InstanceId,
    pub(crate) store: &'a str,
    pub(crate) environment_id: &'a EnvironmentId,
    pub(crate) uid: u32,
    pub(crate) user: &'a str,
    pub(crate) home: &'a Path,
    pub(crate) command: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) limits: Limits,
    pub(crate) logs_dir: &'a Path,
    pub(crate) port: u16,
    pub(crate) label: String,
}

pub(crate) fn spec(shape: Shape<'_>) -> InstanceSpec {
    InstanceSpec {
        id: shape.id.clone(),
        hostname: shape.store.to_owned(),
        environment_id: shape.environment_id.clone(),
        root: Root::HostUserland,
        user: User::alone(shape.uid, shape.user, shape.home),
        command: shape.command,
        cwd: shape.home.to_owned(),
        env: shape.env,
        mounts: shape.mounts,
        files: Vec::new(),
        limits: Limits { pids: Some(PIDS_LIMIT), ..shape.limits },
        log: log_path(shape.logs_dir, shape.store, shape.id),
        is_lasting: true,
        has_input: false,
        port_hint: Some(shape.port),
        label: shape.label,
        container: ContainerSpec::default(),
    }
}

pub(crate) fn log_path(logs_dir: &Path, store: &str, id: &InstanceId) -> PathBuf {
    logs_dir.join(store).join(format!("{id}.log"))
}

/// The command under a lock on `directory` that lasts as long as any process of the server.
pub(crate) fn locked(directory: &Path, command: Vec<String>) -> Vec<String> {
    if !Path::new(LOCK_PROGRAM).exists() {
        return command;
    }
    let mut locked: Vec<String> =
        [LOCK_PROGRAM, "--timeout", LOCK_TIMEOUT_SECONDS, "--conflict-exit-code"]
            .map(str::to_owned)
            .to_vec();
    locked.extend([LOCKED.to_string(), "--no-fork".to_owned()]);
    locked.push(text(directory));
    locked.extend(command);
    locked
}

/// A path as an argument. Paths of ours are UTF-8 as far as we make them.
pub(crate) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The instance that was started last on this store, when it is another one and still runs.
pub(crate) async fn earlier(
    driver: &dyn Driver,
    directory: &Path,
    id: &InstanceId,
) -> Option<InstanceId> {
    let recorded: InstanceId =
        fs::read_to_string(directory.join("instance")).ok()?.trim().parse().ok()?;
    if recorded == *id {
        return None;
    }
    match driver.observe(&recorded).await {
        Some(InstanceState::Starting | InstanceState::Running { .. }) => Some(recorded),
        _ => None,
    }
}

/// Remembers which instance runs on this store, before it starts.
pub(crate) fn record(directory: &Path, id: &InstanceId) -> Result<(), Error> {
    files::replace(&directory.join("instance"), id.as_str(), 0o600, None)
}

/// What is seen of an instance that is waited for.
pub(crate) enum Waiting {
    Running(SocketAddr),
    Exited(Exit),
    Starting,
}

pub(crate) async fn look(
    driver: &dyn Driver,
    id: &InstanceId,
    port: u16,
) -> Result<Waiting, Error> {
    Ok(match driver.observe(id).await {
        Some(InstanceState::Running { address, .. }) => {
            Waiting::Running(SocketAddr::new(address, port))
        }
        Some(InstanceState::Exited(exit)) => Waiting::Exited(exit),
        Some(InstanceState::Starting) => Waiting::Starting,
        None => {
            let source = engine::Error::NotFound(id.clone());
            return Err(Error::Engine { doing: format!("look at instance {id}"), source });
        }
    })
}

/// Growing pauses between looks at something that gives no signal of its own.
pub(crate) struct Pauses(Duration);

impl Pauses {
    const FIRST: Duration = Duration::from_millis(5);
    const LONGEST: Duration = Duration::from_millis(250);

    pub(crate) fn new() -> Self {
        Self(Self::FIRST)
    }

    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 3 / 2).min(Self::LONGEST);
    }
}

/// Descriptors for a command that reads nothing and is not listened to.
pub(crate) fn nowhere() -> Result<[OwnedFd; 3], Error> {
    let path = Path::new("/dev/null");
    let open = || {
        let file = fs::OpenOptions::new().read(true).write(true).open(path);
        file.map(OwnedFd::from).map_err(Error::file("open", path))
    };
    Ok([open()?, open()?, open()?])
}

/// The last lines of an instance's log, without time and stream. Empty when there is none.
pub(crate) fn log_tail(path: &Path) -> Vec<String> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    String::from_utf8_lossy(&bytes).lines().map(|line| said(line).to_owned()).collect()
}

/// `<microseconds> <o|e|s> <text>`: the text.
fn said(line: &str) -> &str {
    let mut parts = line.splitn(3, ' ');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(time), Some("o" | "e" | "s"), Some(text))
            if time.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            text
        }
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_has_a_limit_of_processes() {
        let spec = spec(Shape {
            id: &InstanceId::from_uuid(uuid::Uuid::nil()),
            store: "dpg-1",
            environment_id: &EnvironmentId::from_uuid(uuid::Uuid::nil()),
            uid: 1,
            user: "postgres",
            home: Path::new("/"),
            command: Vec::new(),
            env: Vec::new(),
            mounts: Vec::new(),
            limits: Limits { memory_bytes: Some(1 << 30), ..Limits::default() },
            logs_dir: Path::new("/nowhere"),
            port: 1,
            label: String::new(),
        });
        assert_eq!((spec.limits.pids, spec.limits.memory_bytes), (Some(PIDS_LIMIT), Some(1 << 30)));
    }

    #[test]
    fn the_text_of_a_log_line_is_found() {
        assert_eq!(said("1763700000000000 e FATAL:  no"), "FATAL:  no");
        assert_eq!(said("FATAL:  no"), "FATAL:  no");
        assert_eq!(said("12 x y"), "12 x y");
    }
}
