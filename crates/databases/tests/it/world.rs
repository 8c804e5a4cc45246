//! What every test of a store needs: directories, ids, declared stores, and a way to ask SQL.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;

use databases::{Config, InitFile, PostgresRequest};
use model::{
    Database, DatabaseId, EnvironmentId, InstanceId, InstanceType, KeyValue, KeyValueId,
    MaxmemoryPolicy, PersistenceMode,
};
use secrecy::{ExposeSecret as _, SecretString};
use tempfile::TempDir;
use uuid::Uuid;

/// Directories of one test; removed at its end.
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) environment_id: EnvironmentId,
    state: TempDir,
    _run: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let state = tempfile::Builder::new().prefix("gable-db-").tempdir().unwrap();
        let run = tempfile::Builder::new().prefix("gable-db-").tempdir_in("/dev/shm").unwrap();
        Self {
            config: Config::new(state.path(), run.path()),
            environment_id: EnvironmentId::from_uuid(Uuid::now_v7()),
            state,
            _run: run,
        }
    }

    pub(crate) fn state_dir(&self) -> &Path {
        self.state.path()
    }
}

/// A declared database with its secrets.
pub(crate) struct Declared {
    pub(crate) id: DatabaseId,
    pub(crate) definition: Database,
    pub(crate) password: SecretString,
    pub(crate) superuser_password: SecretString,
    pub(crate) instance_id: InstanceId,
    pub(crate) uid: u32,
    pub(crate) port: u16,
    pub(crate) init: Vec<InitFile>,
    pub(crate) env: Vec<(String, SecretString)>,
}

impl Declared {
    pub(crate) fn new(name: &str, major: u8, uid: u32, port: u16) -> Self {
        Self {
            id: DatabaseId::from_uuid(Uuid::now_v7()),
            definition: Database {
                name: name.to_owned(),
                database_name: format!("{name} data"),
                user: format!("{name}-user"),
                major_version: major,
                instance_type: instance_type(256),
                disk_size_gb: None,
                compose: model::ComposeStore::default(),
            },
            password: format!("app/{}+=", Uuid::new_v4()).into(),
            superuser_password: format!("super-{}", Uuid::new_v4()).into(),
            instance_id: new_instance(),
            uid,
            port,
            init: Vec::new(),
            env: Vec::new(),
        }
    }

    /// Declares one more file that fills the database.
    pub(crate) fn init(&mut self, name: &str, text: &str) {
        self.init.push(InitFile::from_bytes(name, text.as_bytes(), false).unwrap());
    }

    /// The same for a file that can be run.
    pub(crate) fn init_program(&mut self, name: &str, text: &str) {
        self.init.push(InitFile::from_bytes(name, text.as_bytes(), true).unwrap());
    }

    /// As a compose file declares it, which names an image.
    pub(crate) fn in_place_of(&mut self, image: &str) {
        self.definition.compose.image = image.to_owned();
    }

    pub(crate) fn request<'a>(&'a self, world: &'a World) -> PostgresRequest<'a> {
        PostgresRequest {
            id: &self.id,
            definition: &self.definition,
            environment_id: &world.environment_id,
            instance_id: &self.instance_id,
            uid: self.uid,
            port: self.port,
            password: &self.password,
            superuser_password: &self.superuser_password,
            init: &self.init,
            env: &self.env,
        }
    }

    /// Runs statements as the declared role; returns the first column of each row.
    pub(crate) async fn sql(&self, address: SocketAddr, sql: &str) -> Result<Vec<String>, String> {
        let definition = &self.definition;
        let (user, password) = (&definition.user, self.password.expose_secret());
        ask(address, user, password, &definition.database_name, sql).await
    }
}

pub(crate) async fn ask(
    address: SocketAddr,
    user: &str,
    password: &str,
    database: &str,
    sql: &str,
) -> Result<Vec<String>, String> {
    let (client, connection) = tokio_postgres::Config::new()
        .host(address.ip().to_string())
        .port(address.port())
        .user(user)
        .password(password)
        .dbname(database)
        .connect(tokio_postgres::NoTls)
        .await
        .map_err(|error| words(&error))?;
    let pump = tokio::spawn(connection);
    let answer = client.simple_query(sql).await;
    drop(client);
    // A server that stops ends the connection with an error; the answer tells.
    let _ = pump.await.unwrap();
    let rows = answer.map_err(|error| words(&error))?;
    let first = rows.into_iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => {
            Some(row.get(0).unwrap_or("NULL").to_owned())
        }
        _ => None,
    });
    Ok(first.collect())
}

fn words(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| format!("{error:?}"), |db| db.message().to_owned())
}

pub(crate) fn key_value(policy: MaxmemoryPolicy, mode: PersistenceMode) -> (KeyValueId, KeyValue) {
    let definition = KeyValue {
        name: "cache".to_owned(),
        instance_type: instance_type(25),
        maxmemory_policy: policy,
        persistence_mode: mode,
        compose: model::ComposeStore::default(),
    };
    (KeyValueId::from_uuid(Uuid::now_v7()), definition)
}

fn instance_type(mib: u64) -> InstanceType {
    InstanceType { name: format!("{mib}mb"), cpu_millis: 100, memory_bytes: mib << 20 }
}

pub(crate) fn new_instance() -> InstanceId {
    InstanceId::from_uuid(Uuid::now_v7())
}

/// A port of loopback that no other test is given: each process counts up from a place of its own,
/// below the ports that the kernel gives to whoever asks for any.
pub(crate) fn free_port() -> u16 {
    const FIRST_PORT: u16 = 12_000;
    const PLACES: u16 = 256;
    const PORTS: u16 = 32;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let place = u16::try_from(std::process::id() % u32::from(PLACES)).unwrap();
    let ports = std::iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed) % PORTS);
    let mut ports = ports.take(PORTS.into()).map(|next| FIRST_PORT + place * PORTS + next);
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.find(is_free).expect("one of this process's ports is free")
}

/// Collects what a person would see.
#[derive(Default)]
pub(crate) struct Steps(pub(crate) Mutex<Vec<String>>);

impl databases::Progress for Steps {
    fn step(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

/// Prints how long something took: these numbers are reported.
pub(crate) async fn timed<T>(what: &str, work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let result = work.await;
    println!("{what}: {} ms", begun.elapsed().as_millis());
    result
}

/// Binaries that tests of one machine share, so that each is downloaded once.
pub(crate) fn shared_binaries() -> PathBuf {
    let target = std::env::current_exe().unwrap();
    target.ancestors().nth(3).unwrap().join("tmp/databases-binaries")
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}
