//! Key Value as an instance: Valkey, or Redis where that is what the host has.

mod protocol;
mod settings;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use engine::{Driver, InstanceSpec, Limits, Mount};
use model::{EnvironmentId, InstanceId, KeyValueId, Problem};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use crate::binaries::{self, KeyValueBinary};
use crate::instance::{self, Pauses, Place, Waiting};
use crate::{Config, Error, Progress, Running, files, percent_encoded};

/// The port of a Key Value instance that has an address of its own.
pub const KEY_VALUE_PORT: u16 = 6379;

/// How long a server may be silent before it is given up.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
/// How long it may read its data from disk, in which time it says so.
const LOADING_LIMIT: Duration = Duration::from_secs(1800);
const CHECK_LIMIT: Duration = Duration::from_secs(3);
/// How long a server that has to make room may take to end.
const STOP_GRACE: Duration = Duration::from_secs(30);
/// Longest password: servers take no longer argument from who has not logged in, by a wide margin.
const PASSWORD_BYTES_MAX: usize = 4096;

/// A Key Value instance that shall run.
#[derive(Debug, Clone, Copy)]
pub struct KeyValueRequest<'a> {
    /// Whose data directory it is.
    pub id: &'a KeyValueId,
    /// What was declared.
    pub definition: &'a model::KeyValue,
    /// Whose private network it joins.
    pub environment_id: &'a EnvironmentId,
    /// The instance that it runs as: kept by the caller, and a new one after an exit.
    pub instance_id: &'a InstanceId,
    /// User id of its own.
    pub uid: u32,
    /// [`KEY_VALUE_PORT`] where instances have addresses of their own, else one that is free.
    pub port: u16,
    /// What clients have to give. Without one, or with an empty one, everybody in the private
    /// network is let in.
    pub password: Option<&'a SecretString>,
}

impl KeyValueRequest<'_> {
    /// The servers themselves take an empty password for none.
    fn password(&self) -> Option<&SecretString> {
        self.password.filter(|password| !password.expose_secret().is_empty())
    }
}

/// Makes the server run and answer. Repeated, it only looks. An instance that ran on the same data
/// before is stopped first. One that runs with another password is started again with this one.
///
/// # Errors
/// See [`Error`]; a server that does not start comes as a [`Problem`] with its own last words.
pub async fn ensure_key_value(
    config: &Config,
    driver: &dyn Driver,
    request: &KeyValueRequest<'_>,
    progress: &dyn Progress,
) -> Result<Running, Error> {
    check_password(request)?;
    let binary = binaries::key_value(config, progress).await?;
    driver
        .ensure_network(request.environment_id)
        .await
        .map_err(Error::engine("make the private network"))?;
    let layout = Layout::new(config, driver, request, &binary);
    files::create_dir(&config.logs_dir.join(request.id.as_str()), 0o700)?;
    files::create_dir(&layout.directory, 0o700)?;
    files::create_dir(&layout.data.host, 0o700)?;
    files::own_tree(&layout.data.host, request.uid)?;
    settings::write(request, &layout)?;
    if let Some(earlier) = instance::earlier(driver, &layout.directory, request.instance_id).await {
        progress.step("stopping the instance that ran before");
        stop_key_value(driver, &earlier, STOP_GRACE).await?;
    }
    instance::record(&layout.directory, request.instance_id)?;
    let spec = spec(config, request, &layout);
    let doing = || format!("start Key Value {}", request.definition.name);
    driver.start(&spec).await.map_err(Error::engine(doing()))?;
    if let Ready::Running(running) = wait_ready(config, driver, request).await? {
        return Ok(running);
    }
    // It was started before the password changed. The file that it reads holds the new one.
    progress.step("starting the server again with its new password");
    stop_key_value(driver, request.instance_id, STOP_GRACE).await?;
    driver.remove(request.instance_id).await.map_err(Error::engine(doing()))?;
    driver.start(&spec).await.map_err(Error::engine(doing()))?;
    match wait_ready(config, driver, request).await? {
        Ready::Running(running) => Ok(running),
        Ready::Refused(words) => Err(password_refused(&request.definition.name, words).into()),
    }
}

/// Refuses a password that no server would take, before anything is done.
fn check_password(request: &KeyValueRequest<'_>) -> Result<(), Problem> {
    let Some(password) = request.password() else { return Ok(()) };
    let password = password.expose_secret();
    if password.len() <= PASSWORD_BYTES_MAX && !password.contains('\0') {
        return Ok(());
    }
    let why = format!("passwords have up to {PASSWORD_BYTES_MAX} bytes, none of them zero");
    Err(password_refused(&request.definition.name, why))
}

fn password_refused(name: &str, detail: String) -> Problem {
    let message = format!("the Key Value instance {name} does not take its password");
    Problem::new("key-value-password-refused", message)
        .detail(detail)
        .hint("give it another password where it is declared, and deploy again")
}

/// Ends a Key Value instance. TERM makes it save what its persistence mode keeps.
///
/// # Errors
/// When the engine cannot end it.
pub async fn stop_key_value(
    driver: &dyn Driver,
    instance_id: &InstanceId,
    grace: Duration,
) -> Result<(), Error> {
    match driver.stop(instance_id, grace).await {
        Ok(()) | Err(engine::Error::NotFound(_) | engine::Error::NotRunning(_)) => Ok(()),
        Err(error) => Err(Error::engine(format!("stop instance {instance_id}"))(error)),
    }
}

/// Whether the server answers who gives its password.
///
/// # Errors
/// A [`Problem`] that says why not.
pub async fn check_key_value(
    address: SocketAddr,
    request: &KeyValueRequest<'_>,
) -> Result<(), Problem> {
    let name = &request.definition.name;
    let problem = |detail: String| {
        let message = format!("the Key Value instance {name} does not answer");
        Problem::new("key-value-not-answering", message).detail(detail)
    };
    match tokio::time::timeout(CHECK_LIMIT, protocol::ping(address, request.password())).await {
        Ok(Ok(protocol::Answer::Ready)) => Ok(()),
        Ok(Ok(protocol::Answer::Refused(words))) => Err(password_refused(name, words)),
        Ok(Ok(protocol::Answer::NotYet(words))) => Err(problem(words)),
        Ok(Err(error)) => Err(problem(error.to_string())),
        Err(_) => Err(problem(format!("nothing came for {} s", CHECK_LIMIT.as_secs()))),
    }
}

/// `redis://host:port`, as `fromService` gives it: a Blueprint's has no password in the private
/// network.
#[must_use]
pub fn key_value_url(host: &str, port: u16) -> String {
    format!("redis://{host}:{port}")
}

/// `redis://:password@host:port`, for one that asks for its password.
#[must_use]
pub fn key_value_url_with(host: &str, port: u16, password: &SecretString) -> SecretString {
    let password = percent_encoded(password.expose_secret());
    format!("redis://:{password}@{host}:{port}").into()
}

struct Layout {
    directory: PathBuf,
    program: PathBuf,
    program_mount: Option<Mount>,
    data: Place,
    conf: Place,
    listen: &'static str,
}

impl Layout {
    fn new(
        config: &Config,
        driver: &dyn Driver,
        request: &KeyValueRequest<'_>,
        binary: &KeyValueBinary,
    ) -> Self {
        let directory = config.data_dir.join(request.id.as_str());
        let program = if binary.is_installed {
            Place { host: binary.program.clone(), inside: binary.program.clone() }
        } else {
            Place::new(driver, binary.program.clone(), "/opt/gable/valkey-server")
        };
        Self {
            program_mount: program.mount(true),
            program: program.inside,
            data: Place::new(driver, directory.join("data"), "/opt/gable/data"),
            conf: Place::new(driver, directory.join("conf"), "/opt/gable/conf"),
            listen: if instance::has_own_root(driver) { "0.0.0.0" } else { "127.0.0.1" },
            directory,
        }
    }
}

fn spec(config: &Config, request: &KeyValueRequest<'_>, layout: &Layout) -> InstanceSpec {
    let data = &layout.data.inside;
    let command = vec![
        instance::text(&layout.program),
        instance::text(&layout.conf.inside.join(settings::SERVER)),
    ];
    let mounts = [layout.program_mount.clone(), layout.conf.mount(true), layout.data.mount(false)];
    instance::spec(instance::Shape {
        id: request.instance_id,
        store: request.id.as_str(),
        environment_id: request.environment_id,
        uid: request.uid,
        user: "valkey",
        home: data,
        command: instance::locked(data, command),
        env: vec![
            ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("LC_ALL".to_owned(), "C.UTF-8".to_owned()),
            ("HOME".to_owned(), instance::text(data)),
        ],
        mounts: mounts.into_iter().flatten().collect(),
        limits: Limits {
            memory_bytes: Some(settings::memory_limit(request.definition)),
            ..Limits::default()
        },
        logs_dir: &config.logs_dir,
        port: request.port,
        label: format!("Key Value {}", request.definition.name),
    })
}

/// What comes of waiting for a server that runs.
enum Ready {
    Running(Running),
    /// It wants another password, or none; its words.
    Refused(String),
}

async fn wait_ready(
    config: &Config,
    driver: &dyn Driver,
    request: &KeyValueRequest<'_>,
) -> Result<Ready, Error> {
    let password = request.password();
    let begun = Instant::now();
    let (mut pauses, mut heard) = (Pauses::new(), begun);
    loop {
        match instance::look(driver, request.instance_id, request.port).await? {
            Waiting::Exited(exit) => {
                return Err(not_starting(config, request, &exit.to_string()).into());
            }
            Waiting::Starting => {}
            Waiting::Running(address) => {
                match tokio::time::timeout(CHECK_LIMIT, protocol::ping(address, password)).await {
                    Ok(Ok(protocol::Answer::Ready)) => {
                        let version = protocol::version(address, password)
                            .await
                            .map_err(Error::host("ask Key Value for its version"))?;
                        return Ok(Ready::Running(Running { address, version, notes: Vec::new() }));
                    }
                    Ok(Ok(protocol::Answer::Refused(words))) => return Ok(Ready::Refused(words)),
                    Ok(Ok(protocol::Answer::NotYet(_))) => heard = Instant::now(),
                    Ok(Err(_)) | Err(_) => {}
                }
            }
        }
        if heard.elapsed() > SILENCE_LIMIT || begun.elapsed() > LOADING_LIMIT {
            let why = format!("gave no answer for {} s", heard.elapsed().as_secs());
            return Err(not_starting(config, request, &why).into());
        }
        pauses.pause().await;
    }
}

fn not_starting(config: &Config, request: &KeyValueRequest<'_>, how: &str) -> Problem {
    const LINES: usize = 4;
    let name = &request.definition.name;
    let path = instance::log_path(&config.logs_dir, request.id.as_str(), request.instance_id);
    let lines = instance::log_tail(&path);
    // Both servers mark what matters with `#`; a bad setting is told without a mark.
    let marked: Vec<&str> =
        lines.iter().map(String::as_str).filter(|line| line.contains(" # ")).collect();
    let all: Vec<&str> =
        lines.iter().map(String::as_str).filter(|line| !line.trim().is_empty()).collect();
    let chosen = if marked.is_empty() { all } else { marked };
    let detail = chosen[chosen.len().saturating_sub(LINES)..].join("\n");
    let problem = Problem::new("key-value-not-starting", format!("Key Value {name} {how}"));
    let problem = match hint(&detail, how) {
        Some(hint) => problem.hint(hint),
        None => problem,
    };
    if detail.is_empty() { problem } else { problem.detail(detail) }
}

fn hint(detail: &str, how: &str) -> Option<&'static str> {
    let has = |text: &str| detail.contains(text);
    if has("No space left on device") {
        Some("free space on the disk of the state directory")
    } else if how.contains(&format!("code {}", instance::LOCKED)) {
        Some("another process still uses the data directory: end it, or wait until it has ended")
    } else if has("Can't handle RDB format version") {
        Some("the data was written by a newer server: install that one again")
    } else if how.contains("out of memory") {
        Some("give it a larger `plan`, or free memory on this machine")
    } else {
        None
    }
}
