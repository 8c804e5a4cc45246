//! PostgreSQL as an instance: made, started, provisioned, asked, stopped.

mod certificate;
mod cluster;
mod diagnosis;
mod init;
mod parameters;
mod provision;
mod session;
mod settings;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use engine::{Driver, ExecRequest, InstanceSpec, Limits};
use model::{DatabaseId, EnvironmentId, InstanceId, Problem};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use crate::binaries::{self, PostgresBinaries};
use crate::instance::{self, Pauses, Place, Waiting};
use crate::{Config, Error, Progress, Running, extensions, files, percent_encoded};

pub use init::{InitFile, InitKind};

/// The port of a PostgreSQL that has an address of its own.
pub const POSTGRES_PORT: u16 = 5432;
/// The role that may do everything. It can only log in from the host.
pub const SUPERUSER: &str = "gable_admin";

/// How long a server may be silent: not listening, and not saying that it is starting up.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
/// How long it may replay what a crash left, in which time it says so.
const RECOVERY_LIMIT: Duration = Duration::from_secs(1800);
/// How long one answer may take when the store is asked whether it is well.
const CHECK_LIMIT: Duration = Duration::from_secs(3);

/// A database that shall run.
#[derive(Debug, Clone, Copy)]
pub struct PostgresRequest<'a> {
    /// Whose data directory it is.
    pub id: &'a DatabaseId,
    /// What was declared.
    pub definition: &'a model::Database,
    /// Whose private network it joins.
    pub environment_id: &'a EnvironmentId,
    /// The instance that it runs as: kept by the caller, and a new one after an exit.
    pub instance_id: &'a InstanceId,
    /// User id of its own.
    pub uid: u32,
    /// [`POSTGRES_PORT`] where instances have addresses of their own, else one that is free.
    pub port: u16,
    /// Password of the declared role.
    pub password: &'a SecretString,
    /// Password of [`SUPERUSER`]. It never changes once the data directory is made.
    pub superuser_password: &'a SecretString,
    /// What fills the database when it is made, in this order; ignored when it is there already.
    pub init: &'a [InitFile],
    /// Variables of the service in a compose file, which scripts among those files see.
    pub env: &'a [(String, SecretString)],
}

impl PostgresRequest<'_> {
    /// Whether the declared role is a superuser: it is one in the image that a compose file names.
    /// Such a role can start programs where the server runs, so it is given only to a server that
    /// has an instance with a root of its own.
    fn makes_superuser(&self, driver: &dyn Driver) -> bool {
        !self.definition.compose.image.is_empty() && instance::has_own_root(driver)
    }
}

/// A client program, to run inside the instance with [`Driver::exec`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Variables; one holds the password.
    pub env: Vec<(String, String)>,
}

/// Makes the database run and answer, with its role and its database in it. Repeated, it only
/// looks. An instance that ran on the same data before is stopped first.
///
/// # Errors
/// See [`Error`]; a server that does not start comes as a [`Problem`] with its own last words.
pub async fn ensure_postgres(
    config: &Config,
    driver: &dyn Driver,
    request: &PostgresRequest<'_>,
    progress: &dyn Progress,
) -> Result<Running, Error> {
    provision::check_names(request.definition)?;
    let major = request.definition.major_version;
    cluster::check_version(&directory(config, request), request.definition)?;
    let tree = binaries::postgres(config, major, progress).await?;
    extensions::install_kept(config, &tree)?;
    let network = driver
        .ensure_network(request.environment_id)
        .await
        .map_err(Error::engine("make the private network"))?;
    let layout = Layout::new(config, driver, request, &tree);
    files::create_dir(&config.logs_dir.join(request.id.as_str()), 0o700)?;
    let gateway = network.gateway;
    let work = Work { config, driver, request, layout: &layout, gateway, progress };
    cluster::ensure(&work).await?;
    let parameters = settings::write(request, &layout, gateway, settings::Purpose::Serve)?;
    certificate::ensure(&layout.conf.host, request.uid, request.id.as_str())?;
    if let Some(earlier) = instance::earlier(driver, &layout.directory, request.instance_id).await {
        progress.step("stopping the instance that ran before");
        stop_with(driver, &earlier, &layout, settings::STOP_GRACE).await?;
    }
    instance::record(&layout.directory, request.instance_id)?;
    let started_with = parameters.digest();
    if driver.observe(request.instance_id).await.is_none() {
        init::keep_allowed_settings(&layout.data.host)?;
    }
    let spec = spec(config, request, &layout, &started_with);
    let mut address = start(&work, &spec).await?;
    if session::started_with(address, request).await? != started_with {
        progress.step("starting PostgreSQL again with its new settings");
        stop_with(driver, request.instance_id, &layout, settings::STOP_GRACE).await?;
        let doing = format!("start PostgreSQL for {} again", request.definition.name);
        driver.remove(request.instance_id).await.map_err(Error::engine(doing))?;
        address = start(&work, &spec).await?;
    }
    let version = provision::ensure(address, request, request.makes_superuser(driver)).await?;
    let mut notes = parameters.notes;
    notes.extend(provision::note(request, request.makes_superuser(driver)));
    Ok(Running { address, version, notes })
}

/// One pass over one database.
struct Work<'a> {
    config: &'a Config,
    driver: &'a dyn Driver,
    request: &'a PostgresRequest<'a>,
    layout: &'a Layout,
    gateway: IpAddr,
    progress: &'a dyn Progress,
}

async fn start(work: &Work<'_>, spec: &InstanceSpec) -> Result<SocketAddr, Error> {
    let Work { driver, request, .. } = *work;
    let doing = format!("start PostgreSQL for {}", request.definition.name);
    driver.start(spec).await.map_err(Error::engine(doing))?;
    wait_ready(work).await
}

/// Ends a database as PostgreSQL wants it: clients are sent away, and everything is on disk
/// (`fast`). A server that does not end by itself is killed after `grace`, which costs a recovery
/// at the next start and no data.
///
/// # Errors
/// When the engine cannot end it.
pub async fn stop_postgres(
    config: &Config,
    driver: &dyn Driver,
    request: &PostgresRequest<'_>,
    grace: Duration,
) -> Result<(), Error> {
    let layout = match binaries::postgres_at_hand(config, request.definition.major_version) {
        Some(tree) => Layout::new(config, driver, request, &tree),
        None => return stop_by_signal(driver, request.instance_id, grace).await,
    };
    stop_with(driver, request.instance_id, &layout, grace).await
}

/// Whether the database answers its own role.
///
/// # Errors
/// A [`Problem`] that says why not.
pub async fn check_postgres(
    address: SocketAddr,
    request: &PostgresRequest<'_>,
) -> Result<(), Problem> {
    let ask = async {
        let session = session::as_owner(address, request).await?;
        session.client.simple_query("SELECT 1").await.map(drop)
    };
    let name = &request.definition.name;
    match tokio::time::timeout(CHECK_LIMIT, ask).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Problem::new(
            "postgres-not-answering",
            format!("the database {name} refuses its own role"),
        )
        .detail(diagnosis::words(&error))),
        Err(_) => Err(Problem::new(
            "postgres-not-answering",
            format!("the database {name} gave no answer for {} s", CHECK_LIMIT.as_secs()),
        )),
    }
}

/// `postgresql://user:password@host:port/database`, as `fromDatabase` gives it.
#[must_use]
pub fn connection_string(
    definition: &model::Database,
    password: &SecretString,
    host: &str,
    port: u16,
) -> SecretString {
    let user = percent_encoded(&definition.user);
    let password = percent_encoded(password.expose_secret());
    let database = percent_encoded(&definition.database_name);
    format!("postgresql://{user}:{password}@{host}:{port}/{database}").into()
}

/// `psql` as the declared role, with more arguments of the person's. The password is in the
/// environment, where other users cannot see it.
#[must_use]
pub fn psql_command(
    config: &Config,
    driver: &dyn Driver,
    request: &PostgresRequest<'_>,
    arguments: &[String],
) -> Option<Client> {
    let tree = binaries::postgres_at_hand(config, request.definition.major_version)?;
    let layout = Layout::new(config, driver, request, &tree);
    Some(psql(&layout, request, arguments))
}

fn psql(layout: &Layout, request: &PostgresRequest<'_>, arguments: &[String]) -> Client {
    let mut command = vec![layout.program("psql")];
    command.extend(arguments.iter().cloned());
    let host = if layout.sockets.is_empty() { "127.0.0.1" } else { &layout.sockets };
    let mut env = layout.env();
    env.extend(
        [
            ("PGHOST", host.to_owned()),
            ("PGPORT", request.port.to_string()),
            ("PGUSER", request.definition.user.clone()),
            ("PGDATABASE", request.definition.database_name.clone()),
            ("PGPASSWORD", request.password.expose_secret().to_owned()),
            // The history of a person's statements does not belong into an instance.
            ("PSQL_HISTORY", "/dev/null".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    Client { command, env }
}

/// Where everything of one database is, on the host and inside.
#[derive(Clone)]
struct Layout {
    /// On the host: everything of this store.
    directory: PathBuf,
    tree: Place,
    data: Place,
    conf: Place,
    /// Directory of the Unix socket; empty for none.
    sockets: String,
    home: PathBuf,
    /// On the host: the server's loadable modules.
    modules: PathBuf,
    library_path: Option<String>,
}

impl Layout {
    fn new(
        config: &Config,
        driver: &dyn Driver,
        request: &PostgresRequest<'_>,
        tree: &PostgresBinaries,
    ) -> Self {
        let directory = directory(config, request);
        let root = Place::new(driver, tree.root.clone(), "/opt/gable/postgres");
        let modules = root.inside.join(&tree.modules);
        let has_own_root = instance::has_own_root(driver);
        Self {
            data: Place::new(driver, directory.join("pgdata"), "/opt/gable/data"),
            conf: Place::new(driver, directory.join("conf"), "/opt/gable/conf"),
            // The host's /tmp is everybody's, so without a private one there is no socket.
            sockets: if has_own_root { "/tmp".to_owned() } else { String::new() },
            home: if has_own_root { "/opt/gable/home".into() } else { directory.clone() },
            modules: tree.root.join(&tree.modules),
            library_path: tree.is_downloaded().then(|| instance::text(&modules)),
            tree: root,
            directory,
        }
    }

    /// A program of this PostgreSQL, as the instance sees it.
    fn program(&self, name: &str) -> String {
        instance::text(&self.tree.inside.join("bin").join(name))
    }

    fn env(&self) -> Vec<(String, String)> {
        let bin = instance::text(&self.tree.inside.join("bin"));
        let mut env = vec![
            ("PATH".to_owned(), format!("{bin}:/usr/local/bin:/usr/bin:/bin")),
            ("LC_ALL".to_owned(), "C.UTF-8".to_owned()),
            ("TZ".to_owned(), "UTC".to_owned()),
            ("HOME".to_owned(), instance::text(&self.home)),
        ];
        env.extend(
            self.library_path.iter().map(|path| ("LD_LIBRARY_PATH".to_owned(), path.clone())),
        );
        env
    }
}

/// The major version that a database's data is of; `None` before it is made.
#[must_use]
pub fn data_version(config: &Config, id: &DatabaseId) -> Option<u8> {
    cluster::version(&config.data_dir.join(id.as_str()))?.parse().ok()
}

fn directory(config: &Config, request: &PostgresRequest<'_>) -> PathBuf {
    config.data_dir.join(request.id.as_str())
}

fn spec(
    config: &Config,
    request: &PostgresRequest<'_>,
    layout: &Layout,
    started_with: &str,
) -> InstanceSpec {
    let data = &layout.data.inside;
    let mut command = vec![
        layout.program("postgres"),
        "-D".to_owned(),
        instance::text(data),
        "-c".to_owned(),
        format!("config_file={}", instance::text(&layout.conf.inside.join(settings::SERVER))),
    ];
    if !started_with.is_empty() {
        // Here, and not in the file, which changes while the server runs.
        command.extend(["-c".to_owned(), format!("{}={started_with}", settings::STARTED_WITH)]);
    }
    let mounts = [layout.tree.mount(true), layout.conf.mount(true), layout.data.mount(false)];
    let mut spec = instance::spec(instance::Shape {
        id: request.instance_id,
        store: request.id.as_str(),
        environment_id: request.environment_id,
        uid: request.uid,
        user: "postgres",
        home: &layout.home,
        command: instance::locked(data, command),
        env: layout.env(),
        mounts: mounts.into_iter().flatten().collect(),
        limits: Limits {
            memory_bytes: Some(request.definition.instance_type.memory_bytes),
            ..Limits::default()
        },
        logs_dir: &config.logs_dir,
        port: request.port,
        label: format!("PostgreSQL {}", request.definition.name),
    });
    // A fast shutdown: TERM would wait for every client to leave by itself.
    spec.container.stop_signal = Some("SIGINT".to_owned());
    spec
}

/// Waits until the server lets its superuser in.
async fn wait_ready(work: &Work<'_>) -> Result<SocketAddr, Error> {
    let Work { config, driver, request, layout, progress, .. } = *work;
    let begun = Instant::now();
    let (mut pauses, mut heard, mut recovering) = (Pauses::new(), begun, false);
    loop {
        match instance::look(driver, request.instance_id, request.port).await? {
            Waiting::Exited(exit) => {
                return Err(diagnosis::not_starting(config, request, &exit.to_string()).into());
            }
            Waiting::Starting => {}
            Waiting::Running(_) if cluster::is_starting(&layout.data.host) => {
                heard = Instant::now();
                recovering = recovering || tell_recovery(begun, progress);
            }
            Waiting::Running(address) => match session::as_superuser(address, request).await {
                Ok(_) => return Ok(address),
                Err(error) if diagnosis::is_starting(&error) => {
                    heard = Instant::now();
                    recovering = recovering || tell_recovery(begun, progress);
                }
                Err(error) if diagnosis::is_refusal(&error) => {
                    return Err(diagnosis::refused(request, &error).into());
                }
                Err(_) => {}
            },
        }
        if heard.elapsed() > SILENCE_LIMIT || begun.elapsed() > RECOVERY_LIMIT {
            let why = format!("gave no answer for {} s", heard.elapsed().as_secs());
            return Err(diagnosis::not_starting(config, request, &why).into());
        }
        pauses.pause().await;
    }
}

/// A start that takes longer than an orderly one is told. Returns whether it was.
fn tell_recovery(begun: Instant, progress: &dyn Progress) -> bool {
    let is_long = begun.elapsed() > Duration::from_secs(2);
    if is_long {
        progress.step("PostgreSQL is recovering from an unclean stop");
    }
    is_long
}

/// `pg_ctl stop -m fast` inside the instance, then the engine's own way for whatever is left. The
/// engine's TERM would be a `smart` shutdown, which waits for every client.
async fn stop_with(
    driver: &dyn Driver,
    id: &InstanceId,
    layout: &Layout,
    grace: Duration,
) -> Result<(), Error> {
    let seconds = grace.as_secs().max(1).to_string();
    let data = instance::text(&layout.data.inside);
    let command = [
        layout.program("pg_ctl").as_str(),
        "stop",
        "--silent",
        "--wait",
        "--mode=fast",
        "--timeout",
        &seconds,
        "--pgdata",
        &data,
    ]
    .map(str::to_owned)
    .to_vec();
    let request = ExecRequest {
        command,
        cwd: None,
        env: layout.env(),
        stdio: instance::nowhere()?,
        terminal: false,
        time: None,
    };
    // pg_ctl ends with the instance when the server is its first process: any outcome is fine, as
    // what counts is asked of the engine next.
    match tokio::time::timeout(grace, driver.exec(id, request)).await {
        Ok(Ok(0)) | Err(_) => {}
        Ok(outcome) => tracing::debug!(instance.id = %id, "pg_ctl stop ended with {outcome:?}"),
    }
    stop_by_signal(driver, id, grace).await
}

async fn stop_by_signal(
    driver: &dyn Driver,
    id: &InstanceId,
    grace: Duration,
) -> Result<(), Error> {
    match driver.stop(id, grace).await {
        Ok(()) | Err(engine::Error::NotFound(_) | engine::Error::NotRunning(_)) => Ok(()),
        Err(error) => Err(Error::engine(format!("stop instance {id}"))(error)),
    }
}
