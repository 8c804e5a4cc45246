//! Key Value: what must be true of it on any driver.

use std::net::SocketAddr;
use std::time::Duration;

use databases::{
    KEY_VALUE_PORT, KeyValueRequest, Running, check_key_value, ensure_key_value,
    key_value_url_with, stop_key_value,
};
use model::{InstanceId, KeyValue, KeyValueId, MaxmemoryPolicy, PersistenceMode};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::stage::{Stage, kill_and_wait};
use crate::world::{key_value, new_instance, timed};

struct Store<'a> {
    stage: &'a Stage,
    id: KeyValueId,
    definition: KeyValue,
    instance_id: InstanceId,
    uid: u32,
    port: u16,
    password: Option<SecretString>,
}

impl<'a> Store<'a> {
    fn new(stage: &'a Stage, policy: MaxmemoryPolicy, mode: PersistenceMode) -> Self {
        let (id, definition) = key_value(policy, mode);
        let (uid, port) = (stage.uid(), stage.port(KEY_VALUE_PORT));
        Self { stage, id, definition, instance_id: new_instance(), uid, port, password: None }
    }

    fn request(&self) -> KeyValueRequest<'_> {
        KeyValueRequest {
            id: &self.id,
            definition: &self.definition,
            environment_id: &self.stage.world.environment_id,
            instance_id: &self.instance_id,
            uid: self.uid,
            port: self.port,
            password: self.password.as_ref(),
        }
    }

    async fn ensure(&self) -> Result<Running, databases::Error> {
        let (stage, request) = (self.stage, self.request());
        ensure_key_value(&stage.world.config, &*stage.driver, &request, &stage.steps).await
    }

    async fn kill(&mut self) {
        let pid = self.stage.find(self.uid, "-server ", &format!(":{}", self.port));
        kill_and_wait(&*self.stage.driver, pid, &self.instance_id).await;
        self.instance_id = new_instance();
    }

    async fn stop(&mut self) {
        let driver = &*self.stage.driver;
        stop_key_value(driver, &self.instance_id, Duration::from_secs(10)).await.unwrap();
        driver.remove(&self.instance_id).await.unwrap();
        self.instance_id = new_instance();
    }
}

/// One inline command; everything that came back when the server closed.
async fn ask(address: SocketAddr, command: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

pub(crate) async fn policy_and_memory_are_those_declared(stage: &Stage) {
    let mut store = Store::new(stage, MaxmemoryPolicy::Noeviction, PersistenceMode::Off);
    let running = timed("fresh Key Value", store.ensure()).await.unwrap();
    assert_eq!(timed("second ensure", store.ensure()).await.unwrap(), running);
    check_key_value(running.address, &store.request()).await.unwrap();
    if let Some(bytes) = stage.driver.memory_bytes(&store.instance_id).await {
        println!("memory of {}, hardly used: {} MB", running.version, bytes >> 20);
    }
    let policy = ask(running.address, "CONFIG GET maxmemory-policy").await;
    assert!(policy.contains("noeviction"), "{policy}");
    let memory = ask(running.address, "CONFIG GET maxmemory").await;
    assert!(memory.contains("26214400"), "{memory}");
    store.stop().await;
}

/// Everything that quoting could get wrong.
const ODD: &str = "it's a \"p\\ss\" #word\n: ü@/";

pub(crate) async fn a_password_is_asked_for_and_a_new_one_is_taken_over(stage: &Stage) {
    let mut store =
        Store::new(stage, MaxmemoryPolicy::Noeviction, PersistenceMode::JournalSnapshot);
    let open = store.ensure().await.unwrap();
    assert!(ask(open.address, "SET key kept").await.starts_with("+OK"));

    // One that ran without.
    store.password = Some(ODD.into());
    let problem = check_key_value(open.address, &store.request()).await.unwrap_err();
    assert_eq!(problem.code, "key-value-password-refused");
    let running = store.ensure().await.unwrap();
    assert_eq!(store.ensure().await.unwrap(), running);
    check_key_value(running.address, &store.request()).await.unwrap();
    assert!(ask(running.address, "GET key").await.starts_with("-NOAUTH"));
    let login = r#"AUTH "it's a \"p\\ss\" #word\n: ü@/""#;
    let answer = ask(running.address, &format!("{login}\r\nGET key")).await;
    assert!(answer.starts_with("+OK") && answer.contains("kept"), "{answer}");
    is_hidden(&store, "p\\ss");

    // Another one, and a check that has the old one.
    let old = store.password.replace("another".into());
    let running = store.ensure().await.unwrap();
    let login = "AUTH another\r\nGET key";
    assert!(ask(running.address, login).await.contains("kept"));
    let now = std::mem::replace(&mut store.password, old);
    let problem = check_key_value(running.address, &store.request()).await.unwrap_err();
    assert_eq!(problem.code, "key-value-password-refused");
    assert!(problem.detail.unwrap().contains("WRONGPASS"));

    // It is asked for after a crash too, and none is asked for when none is declared.
    store.password = now;
    store.kill().await;
    let running = store.ensure().await.unwrap();
    assert!(ask(running.address, "GET key").await.starts_with("-NOAUTH"));
    store.password = None;
    let running = store.ensure().await.unwrap();
    assert!(ask(running.address, "GET key").await.contains("kept"));
    store.stop().await;
}

/// The password is in one file, which only the server's user reads.
fn is_hidden(store: &Store<'_>, part: &str) {
    use std::os::unix::fs::MetadataExt as _;

    let world = &store.stage.world;
    let config = world.config.data_dir.join(store.id.as_str()).join("conf/server.conf");
    let metadata = std::fs::metadata(config).unwrap();
    assert_eq!((metadata.mode() & 0o777, metadata.uid()), (0o400, store.uid));
    let logs = world.config.logs_dir.join(store.id.as_str());
    for entry in std::fs::read_dir(logs).unwrap().flatten() {
        let text = std::fs::read(entry.path()).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains(part), "{}", entry.path().display());
    }
    let pid = store.stage.find(store.uid, "-server ", &format!(":{}", store.port));
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(!String::from_utf8_lossy(&line).contains(part));
}

pub(crate) async fn an_impossible_password_is_refused_before_anything_is_made(stage: &Stage) {
    let mut store = Store::new(stage, MaxmemoryPolicy::Noeviction, PersistenceMode::Off);
    store.password = Some("x".repeat(5000).into());
    let problem = store.ensure().await.unwrap_err().problem();
    assert_eq!(problem.code, "key-value-password-refused");
    assert!(!stage.world.config.data_dir.exists());
    let url = key_value_url_with("cache", 6379, &"a b@".into());
    assert_eq!(url.expose_secret(), "redis://:a%20b%40@cache:6379");
}

pub(crate) async fn each_persistence_mode_keeps_what_it_says(stage: &Stage) {
    // What survives a kill, and what a stop.
    check(stage, PersistenceMode::JournalSnapshot, true, true).await;
    check(stage, PersistenceMode::Snapshot, false, true).await;
    check(stage, PersistenceMode::Off, false, false).await;
}

async fn check(stage: &Stage, mode: PersistenceMode, after_kill: bool, after_stop: bool) {
    let mut store = Store::new(stage, MaxmemoryPolicy::AllkeysLru, mode);
    let has = |answer: String| answer.contains("kept");
    let running = store.ensure().await.unwrap();
    assert!(ask(running.address, "SET key kept").await.starts_with("+OK"));
    store.kill().await;
    let running = store.ensure().await.unwrap();
    assert_eq!(has(ask(running.address, "GET key").await), after_kill, "{mode} after a kill");
    assert!(ask(running.address, "SET key kept").await.starts_with("+OK"));
    store.stop().await;
    let running = store.ensure().await.unwrap();
    assert_eq!(has(ask(running.address, "GET key").await), after_stop, "{mode} after a stop");
    store.stop().await;
}

pub(crate) async fn a_downloaded_valkey_runs(stage: &Stage) {
    let mut store = Store::new(stage, MaxmemoryPolicy::AllkeysLru, PersistenceMode::Snapshot);
    match timed("downloaded Valkey", store.ensure()).await {
        Err(error) if crate::majors::is_offline(&error) => {}
        result => {
            let running = result.unwrap();
            assert!(running.version.starts_with("Valkey "), "{}", running.version);
            store.stop().await;
        }
    }
}
