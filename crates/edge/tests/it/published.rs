//! Ports that lead to one service each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use edge::Applied;
use http::Request;
use model::route::{Backend, Listener, ListenerBackend, RouteTable, Target, TcpBackend};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::{
    Connection, Edge, RawServer, Server, fetch, new_id, service_id, text, to, utf8,
};

const SWAPS: usize = 50;
/// On one connection of the load: each one that was closed keeps its port from others for a minute.
const EXCHANGES: usize = 25;
const PATIENCE: Duration = Duration::from_secs(20);

/// An address of this machine's alone on which nobody listens: tests run beside each other.
pub(crate) fn free_address() -> SocketAddr {
    let random = Uuid::new_v4();
    let [a, b, c, ..] = *random.as_bytes();
    let ip = [127, 100 + a % 100, b, 1 + c % 250];
    std::net::TcpListener::bind((std::net::IpAddr::from(ip), 0)).unwrap().local_addr().unwrap()
}

pub(crate) fn tcp(address: SocketAddr, backend: TcpBackend) -> Listener {
    listener(address, ListenerBackend::Tcp(backend))
}

fn http(address: SocketAddr, backend: Backend) -> Listener {
    listener(address, ListenerBackend::Http(backend))
}

pub(crate) fn listener(address: SocketAddr, backend: ListenerBackend) -> Listener {
    Listener { address, service_id: service_id(), service_name: "db".into(), backend }
}

fn at(servers: &[&RawServer]) -> TcpBackend {
    let target = |server: &&RawServer| Target { id: server.id.clone(), address: server.address };
    TcpBackend::Targets(servers.iter().map(target).collect())
}

/// Says one letter, then repeats what it hears.
async fn echo(letter: &'static [u8; 1]) -> RawServer {
    RawServer::start(move |mut stream| async move {
        if stream.write_all(letter).await.is_ok() {
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
        }
    })
    .await
}

/// A connection and the letter of whoever has it.
async fn open(address: SocketAddr) -> std::io::Result<(TcpStream, u8)> {
    let mut stream = TcpStream::connect(address).await?;
    let letter = timeout(PATIENCE, stream.read_u8()).await??;
    Ok((stream, letter))
}

async fn say(stream: &mut TcpStream, words: &[u8]) -> std::io::Result<()> {
    stream.write_all(words).await?;
    let mut heard = vec![0; words.len()];
    timeout(PATIENCE, stream.read_exact(&mut heard)).await??;
    if heard == words { Ok(()) } else { Err(std::io::ErrorKind::InvalidData.into()) }
}

fn in_flight(applied: &Applied, server: &RawServer) -> Option<u64> {
    applied.draining.iter().find(|target| target.id == server.id).map(|target| target.in_flight)
}

#[tokio::test]
async fn connections_stay_with_their_target_and_new_ones_go_to_the_next() {
    let edge = Edge::start().await;
    let address = free_address();
    let (mut old, mut new) = (echo(b"a").await, echo(b"b").await);
    edge.publish(vec![tcp(address, at(&[&old]))]).await;
    let (mut kept, letter) = open(address).await.unwrap();
    assert_eq!(letter, b'a');

    let (done, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (done, failed) = (Arc::clone(&done), Arc::clone(&failed));
            tokio::spawn(async move {
                let mut served = 0_u64;
                while !done.load(Ordering::Relaxed) {
                    let exchange = async {
                        let (mut stream, _) = open(address).await?;
                        for _ in 0..EXCHANGES {
                            say(&mut stream, &[7; 5000]).await?;
                        }
                        Ok::<_, std::io::Error>(())
                    };
                    match exchange.await {
                        Ok(()) => served += 1,
                        Err(_) => drop(failed.fetch_add(1, Ordering::Relaxed)),
                    }
                }
                served
            })
        })
        .collect();
    let first = old.id.clone();
    for round in 0..SWAPS {
        let applied = edge.publish(vec![tcp(address, at(&[&new]))]).await;
        assert_eq!(applied.failing_listeners, vec![]);
        assert!(in_flight(&applied, &old).is_some(), "{applied:?}");
        // Whoever comes now cannot get the old one.
        let expect = if round % 2 == 0 { b'b' } else { b'a' };
        assert_eq!(open(address).await.unwrap().1, expect, "round {round}");
        say(&mut kept, b"still there").await.unwrap();
        std::mem::swap(&mut old, &mut new);
        // Another instance at the same address.
        new.id = new_id();
    }
    done.store(true, Ordering::Relaxed);
    let mut served = 0;
    for client in clients {
        served += client.await.unwrap();
    }
    assert_eq!(failed.load(Ordering::Relaxed), 0, "of {served} connections");
    assert!(served > 20, "{served} connections");
    let status = edge.until("only one is left", |status| status.in_flight(&first) == 1).await;
    assert!(status.targets.iter().find(|target| target.id == first).unwrap().draining);
    drop(kept);
    edge.until("none is left", |status| status.in_flight(&first) == 0).await;
    let service = edge.service().await;
    assert_eq!(service.failed, 0, "{service:?}");
}

#[tokio::test]
async fn each_side_closes_its_half_alone() {
    let edge = Edge::start().await;
    let address = free_address();
    let server = RawServer::start(|mut stream| async move {
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        // The client has said all; it still listens.
        stream.write_all(format!("heard {}", heard.len()).as_bytes()).await.unwrap();
    })
    .await;
    edge.publish(vec![tcp(address, at(&[&server]))]).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(&vec![1; 3_000_000]).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, client.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer, "heard 3000000");
    edge.until("it is over", |status| status.in_flight(&server.id) == 0).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_its_target() {
    const MANY: usize = 256 << 20;
    let edge = Edge::start().await;
    let address = free_address();
    let (stalled, mut stalls) = tokio::sync::mpsc::unbounded_channel();
    let server = RawServer::start(move |mut stream| {
        let stalled = stalled.clone();
        async move {
            let mut written = 0;
            let block = vec![0; 64 << 10];
            while written < MANY {
                match timeout(Duration::from_millis(500), stream.write(&block)).await {
                    Ok(Ok(length)) => written += length,
                    Ok(Err(_)) | Err(_) => break,
                }
            }
            stalled.send(written).unwrap();
        }
    })
    .await;
    edge.publish(vec![tcp(address, at(&[&server]))]).await;
    let client = TcpStream::connect(address).await.unwrap();
    let written = timeout(PATIENCE, stalls.recv()).await.unwrap().unwrap();
    assert!(written < MANY / 4, "{written} bytes are somewhere");
    drop(client);
    edge.until("it is over", |status| status.in_flight(&server.id) == 0).await;
}

#[tokio::test]
async fn a_held_connection_waits_for_a_target_and_not_for_ever() {
    let edge = Edge::start().await;
    let address = free_address();
    let server = echo(b"n").await;
    edge.publish(vec![tcp(address, TcpBackend::Hold { timeout_ms: 20_000 })]).await;
    let held = tokio::spawn(open(address));
    edge.until("one is held", |status| status.services[0].held == 1).await;
    edge.publish(vec![tcp(address, at(&[&server]))]).await;
    assert_eq!(held.await.unwrap().unwrap().1, b'n');

    edge.publish(vec![tcp(address, TcpBackend::Hold { timeout_ms: 50 })]).await;
    open(address).await.unwrap_err();
    edge.publish(vec![tcp(address, TcpBackend::Unavailable)]).await;
    let began = Instant::now();
    open(address).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(edge.service().await.failed, 2);
}

#[tokio::test]
async fn a_connection_waits_a_moment_when_its_target_has_just_died() {
    let edge = Edge::start().await;
    let address = free_address();
    let (gone, new) = (free_address(), echo(b"n").await);
    let nobody = TcpBackend::Targets(vec![Target { id: new_id(), address: gone }]);
    edge.publish(vec![tcp(address, nobody)]).await;
    let waiting = tokio::spawn(open(address));
    edge.until("one waits", |status| status.services[0].held == 1).await;
    edge.publish(vec![tcp(address, at(&[&new]))]).await;
    assert_eq!(waiting.await.unwrap().unwrap().1, b'n');
    assert_eq!(edge.service().await.failed, 0);
}

#[tokio::test]
async fn requests_on_a_port_are_answered_whatever_their_host_through_all_swaps() {
    let edge = Edge::start().await;
    let address = free_address();
    let server = |name: &'static str| {
        Server::start(move |request: Request<_>| async move {
            let host = request.headers()["host"].to_str().unwrap().to_owned();
            text(format!("{name} {host} {}", request.uri()))
        })
    };
    let (mut old, mut new) = (server("old").await, server("new").await);
    let backend = |server: &Server| Backend::Targets(vec![server.target()]);
    edge.publish(vec![http(address, backend(&old))]).await;
    let ask = |path: &str| Request::get(path).header("host", "any.example:99");
    assert_eq!(utf8(&fetch(address, ask("/a?b")).await.1), "old any.example:99 /a?b");

    let (done, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (done, failed) = (Arc::clone(&done), Arc::clone(&failed));
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    let mut connection = Connection::open(address).await.unwrap();
                    for _ in 0..EXCHANGES {
                        let answer = connection.send(Request::get("/"), "".into()).await;
                        if answer.is_err() || answer.is_ok_and(|(head, _)| head.status != 200) {
                            failed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            })
        })
        .collect();
    for _ in 0..SWAPS {
        edge.publish(vec![http(address, Backend::Hold { timeout_ms: 20_000 })]).await;
        edge.publish(vec![http(address, backend(&new))]).await;
        std::mem::swap(&mut old, &mut new);
    }
    done.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(failed.load(Ordering::Relaxed), 0);
    assert_eq!(edge.service().await.failed, 0);

    edge.publish(vec![http(address, Backend::Unavailable("The shop is closed.".into()))]).await;
    let (head, body) = fetch(address, ask("/")).await;
    assert_eq!(head.status, 503);
    assert!(utf8(&body).contains("The shop is closed."), "{}", utf8(&body));
}

#[tokio::test]
async fn a_port_that_somebody_else_has_is_reported_and_taken_when_it_is_free() {
    let edge = Edge::start().await;
    let server = echo(b"n").await;
    let (taken, free) = (free_address(), free_address());
    let somebody = std::net::TcpListener::bind(taken).unwrap();
    let none = SocketAddr::new(free.ip(), 0);
    let backend = || at(&[&server]);
    let listeners = || {
        vec![
            tcp(taken, backend()),
            tcp(free, backend()),
            tcp(none, backend()),
            tcp(free, TcpBackend::Unavailable),
        ]
    };
    let shop = Server::named("shop").await;
    let table =
        RouteTable { listeners: listeners(), ..edge.next_table(vec![to(&[&shop])], vec![]) };
    let applied = edge.client.apply(&table).await.unwrap();
    let reasons: Vec<_> = applied
        .failing_listeners
        .iter()
        .map(|listener| (listener.address, listener.error.as_deref().unwrap()))
        .collect();
    assert_eq!(
        reasons,
        [
            (taken, "another program listens there"),
            (none, "a port has to be named"),
            (free, "db has it already"),
        ]
    );
    // All the rest is served.
    assert_eq!(open(free).await.unwrap().1, b'n');
    assert_eq!(utf8(&edge.get("/").await.1), "shop");
    let status = edge.status().await;
    assert_eq!(status.listeners.len(), 4);
    assert_eq!(status.listeners[1].error, None);
    drop(somebody);
    edge.until("the port is had", |status| status.listeners[0].error.is_none()).await;
    assert_eq!(open(taken).await.unwrap().1, b'n');
}

#[tokio::test]
async fn a_port_that_leaves_the_table_is_closed_and_can_come_back_as_another_kind() {
    let edge = Edge::start().await;
    let server = echo(b"n").await;
    let shop = Server::named("shop").await;
    let address = free_address();
    for _ in 0..5 {
        edge.publish(vec![tcp(address, at(&[&server]))]).await;
        let (mut open_one, _) = open(address).await.unwrap();
        edge.publish(vec![]).await;
        let refused = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        // What was open goes on.
        say(&mut open_one, b"words").await.unwrap();
        let backend = Backend::Targets(vec![shop.target()]);
        let applied = edge.publish(vec![http(address, backend)]).await;
        assert_eq!(applied.failing_listeners, vec![]);
        assert_eq!(utf8(&fetch(address, Request::get("/")).await.1), "shop");
    }
}

#[tokio::test]
async fn a_silent_connection_does_not_hold_up_the_end_of_the_edge() {
    let edge = Edge::start().await;
    let server = echo(b"n").await;
    let address = free_address();
    edge.publish(vec![tcp(address, at(&[&server]))]).await;
    let (mut silent, _) = open(address).await.unwrap();
    let began = Instant::now();
    edge.client.shutdown().await.unwrap();
    assert_eq!(timeout(PATIENCE, silent.read(&mut [0])).await.unwrap().unwrap(), 0);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_answer_on_a_published_port_may_take_as_long_as_it_likes() {
    const SHORT: Duration = Duration::from_millis(50);
    let edge = Edge::start_with(|config| {
        config.settings.limits.upstream_response_timeout = SHORT;
    })
    .await;
    let server = RawServer::start(|mut stream| async move {
        crate::support::read_head(&mut stream).await;
        tokio::time::sleep(SHORT * 4).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndo").await.unwrap();
        tokio::time::sleep(SHORT * 4).await;
        stream.write_all(b"ne").await.unwrap();
    })
    .await;
    let address = free_address();
    let target = Target { id: server.id.clone(), address: server.address };
    edge.publish(vec![http(address, Backend::Targets(vec![target]))]).await;
    let (head, body) = fetch(address, Request::get("/")).await;
    assert_eq!((head.status.as_u16(), utf8(&body)), (200, "done"));
    assert!(edge::Limits::default().upstream_response_timeout >= Duration::from_secs(100 * 60));
}
