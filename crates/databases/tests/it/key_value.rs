//! Key Value: what must be true of it on any driver.

use std::net::SocketAddr;
use std::time::Duration;

use databases::{
    KEY_VALUE_PORT, KeyValueRequest, Running, check_key_value, ensure_key_value, stop_key_value,
};
use model::{InstanceId, KeyValue, KeyValueId, MaxmemoryPolicy, PersistenceMode};
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
}

impl<'a> Store<'a> {
    fn new(stage: &'a Stage, policy: MaxmemoryPolicy, mode: PersistenceMode) -> Self {
        let (id, definition) = key_value(policy, mode);
        let (uid, port) = (stage.uid(), stage.port(KEY_VALUE_PORT));
        Self { stage, id, definition, instance_id: new_instance(), uid, port }
    }

    async fn ensure(&self) -> Result<Running, databases::Error> {
        let request = KeyValueRequest {
            id: &self.id,
            definition: &self.definition,
            environment_id: &self.stage.world.environment_id,
            instance_id: &self.instance_id,
            uid: self.uid,
            port: self.port,
        };
        let stage = self.stage;
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
    check_key_value(running.address, &store.definition).await.unwrap();
    if let Some(bytes) = stage.driver.memory_bytes(&store.instance_id).await {
        println!("memory of {}, hardly used: {} MB", running.version, bytes >> 20);
    }
    let policy = ask(running.address, "CONFIG GET maxmemory-policy").await;
    assert!(policy.contains("noeviction"), "{policy}");
    let memory = ask(running.address, "CONFIG GET maxmemory").await;
    assert!(memory.contains("26214400"), "{memory}");
    store.stop().await;
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
