//! The edge as a process that is killed.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use edge::Client;
use http::Request;
use model::route::{Generation, RouteTable, Target, TcpBackend};

use crate::published::{free_address, tcp};
use crate::support::{Connection, RawServer, Server, config, fetch, ready, to, utf8};

const DIRECTORY: &str = "EDGE_TEST_DIRECTORY";
const ADDRESS: &str = "EDGE_TEST_ADDRESS";

/// Not a test by itself: the process that the tests below start.
#[test]
fn an_edge_process_for_other_tests() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let mut config = config(directory.as_ref());
    config.listen = vec![std::env::var(ADDRESS).unwrap().parse().unwrap()];
    edge::run(config).unwrap();
}

struct Process(Child);

impl Process {
    /// `address` is the test's own: between two processes nobody else may take its port.
    fn start(directory: &std::path::Path, address: SocketAddr) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "restarts::an_edge_process_for_other_tests", "--nocapture"])
            .env(DIRECTORY, directory)
            .env(ADDRESS, address.to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_killed_edge_serves_its_last_table_as_soon_as_it_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let client = Client::new(directory.path().join("edge.sock"));
    let server = Server::named("shop").await;
    let mut edge = Process::start(directory.path(), free_address());
    let status = ready(&client).await;
    assert_eq!(status.pid, edge.0.id());
    let address = status.listen[0];
    let table = RouteTable {
        generation: Generation(5),
        routes: vec![to(&[&server])],
        ..RouteTable::default()
    };
    client.apply(&table).await.unwrap();
    let mut kept = Connection::open(address).await.unwrap();
    for round in 0..3 {
        kept.send(Request::get("/"), "".into()).await.unwrap();
        edge.kill();
        // The same port, though connections of the dead one are in TIME_WAIT.
        edge = Process::start(directory.path(), address);
        let status = ready(&client).await;
        assert_eq!(status.generation, Generation(5), "round {round}");
        assert_eq!(utf8(&fetch(address, Request::get("/")).await.1), "shop");
        kept = Connection::open(address).await.unwrap();
    }
    edge.kill();
}

#[tokio::test]
async fn a_killed_edge_listens_on_published_ports_again() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let directory = tempfile::tempdir().unwrap();
    let client = Client::new(directory.path().join("edge.sock"));
    let server = RawServer::start(|mut stream| async move {
        stream.write_all(b"hello").await.unwrap();
    })
    .await;
    let address = free_address();
    let mut edge = Process::start(directory.path(), free_address());
    ready(&client).await;
    let target = Target { id: server.id.clone(), address: server.address };
    let listener = tcp(address, TcpBackend::Targets(vec![target]));
    let table = RouteTable { listeners: vec![listener], ..RouteTable::default() };
    client.apply(&RouteTable { generation: Generation(1), ..table }).await.unwrap();
    for _ in 0..3 {
        let mut said = String::new();
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "hello");
        edge.kill();
        edge = Process::start(directory.path(), free_address());
        // No table was applied to this one.
        assert_eq!(ready(&client).await.listeners[0].error, None);
    }
    edge.kill();
}

#[tokio::test]
async fn newcomers_are_served_when_a_client_has_taken_all_file_descriptors() {
    let directory = tempfile::tempdir().unwrap();
    let client = Client::new(directory.path().join("edge.sock"));
    let server = Server::named("shop").await;
    let edge = Process::start(directory.path(), free_address());
    let address = ready(&client).await.listen[0];
    let table = RouteTable {
        generation: Generation(1),
        routes: vec![to(&[&server])],
        ..RouteTable::default()
    };
    client.apply(&table).await.unwrap();
    fetch(address, Request::get("/")).await;
    // From here on it can have only a few more.
    let open = std::fs::read_dir(format!("/proc/{}/fd", edge.0.id())).unwrap().count() as u64;
    let limit = rustix::process::Rlimit { current: Some(open + 6), maximum: Some(open + 6) };
    let pid = rustix::process::Pid::from_child(&edge.0);
    rustix::process::prlimit(Some(pid), rustix::process::Resource::Nofile, limit).unwrap();
    let mut greedy = Vec::new();
    for _ in 0..60 {
        greedy.push(crate::crowds::connect_from([127, 0, 0, 9], address).await);
    }
    for _ in 0..5 {
        assert_eq!(utf8(&fetch(address, Request::get("/")).await.1), "shop");
    }
    edge.kill();
}

#[tokio::test]
async fn shutdown_finishes_what_runs_and_term_does_too() {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let arrived = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let (inner_gate, inner_arrived) = (gate.clone(), arrived.clone());
    let server = Server::start(move |_| {
        let (gate, arrived) = (inner_gate.clone(), inner_arrived.clone());
        async move {
            arrived.add_permits(1);
            gate.acquire().await.unwrap().forget();
            crate::support::text("done")
        }
    })
    .await;
    for by_signal in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let client = Client::new(directory.path().join("edge.sock"));
        let mut edge = Process::start(directory.path(), free_address());
        let address = ready(&client).await.listen[0];
        let table = RouteTable {
            generation: Generation(1),
            routes: vec![to(&[&server])],
            ..RouteTable::default()
        };
        client.apply(&table).await.unwrap();
        let running = tokio::spawn(async move { fetch(address, Request::get("/")).await });
        arrived.acquire().await.unwrap().forget();
        if by_signal {
            let pid = rustix::process::Pid::from_child(&edge.0);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        } else {
            client.shutdown().await.unwrap();
        }
        while Connection::open(address).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        gate.add_permits(1);
        assert_eq!(utf8(&running.await.unwrap().1), "done");
        let ended = tokio::task::spawn_blocking(move || edge.0.wait().unwrap()).await.unwrap();
        assert!(ended.success(), "{ended}");
        assert!(!client.path().exists());
    }
}
