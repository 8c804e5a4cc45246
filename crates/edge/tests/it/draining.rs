//! Replacing targets: holds, drains, and no failed request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use model::route::Backend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio::time::sleep;

use crate::support::{
    Connection, Edge, RawServer, Server, Silent, fetch, fetch_with, read_head, route, text, to,
    utf8,
};

#[tokio::test]
async fn a_held_request_is_released_by_the_next_table() {
    let edge = Edge::start().await;
    edge.apply(vec![route(Backend::Hold { timeout_ms: 20_000 })]).await;
    let address = edge.address;
    let held = tokio::spawn(async move { fetch(address, Request::get("/")).await });
    edge.until("a request is held", |status| status.services[0].held == 1).await;
    let server = Server::named("new").await;
    edge.apply(vec![to(&[&server])]).await;
    let (head, body) = held.await.unwrap();
    assert_eq!((head.status.as_u16(), utf8(&body)), (200, "new"));
    assert_eq!(edge.service().await.failed, 0);
}

#[tokio::test]
async fn a_hold_that_lasts_too_long_is_answered_503() {
    let edge = Edge::start().await;
    edge.apply(vec![route(Backend::Hold { timeout_ms: 50 })]).await;
    let (head, _) = edge.get("/").await;
    assert_eq!(head.status, 503);
    assert!(head.headers.contains_key("retry-after"));
    let service = edge.service().await;
    assert_eq!((service.held, service.failed), (1, 1));
}

#[tokio::test]
async fn requests_in_flight_on_a_target_that_left_are_counted_and_finish() {
    let edge = Edge::start().await;
    let gate = Arc::new(Semaphore::new(0));
    let arrived = Arc::new(Semaphore::new(0));
    let (inner_gate, inner_arrived) = (Arc::clone(&gate), Arc::clone(&arrived));
    let old = Server::start(move |_| {
        let (gate, arrived) = (Arc::clone(&inner_gate), Arc::clone(&inner_arrived));
        async move {
            arrived.add_permits(1);
            gate.acquire().await.unwrap().forget();
            text("old")
        }
    })
    .await;
    let new = Server::named("new").await;
    edge.apply(vec![to(&[&old])]).await;
    let address = edge.address;
    let waiting: Vec<_> = (0..3)
        .map(|_| tokio::spawn(async move { fetch(address, Request::get("/")).await }))
        .collect();
    arrived.acquire_many(3).await.unwrap().forget();

    let applied = edge.apply(vec![to(&[&new])]).await;
    assert_eq!(applied.draining.len(), 1);
    assert_eq!(applied.draining[0].id, old.id);
    assert_eq!(applied.draining[0].in_flight, 3);
    assert!(applied.draining[0].draining);
    assert_eq!(utf8(&edge.get("/").await.1), "new");

    gate.add_permits(3);
    for answer in waiting {
        assert_eq!(utf8(&answer.await.unwrap().1), "old");
    }
    let status = edge.until("drained", |status| status.in_flight(&old.id) == 0).await;
    let drained = status.targets.iter().find(|target| target.id == old.id).unwrap();
    assert_eq!((drained.requests, drained.failed), (3, 0));
    old.stop().await;
}

#[tokio::test]
async fn an_open_websocket_counts_as_in_flight_and_survives_the_switch() {
    let edge = Edge::start().await;
    let old = RawServer::start(|mut stream| async move {
        let head = read_head(&mut stream).await.to_ascii_lowercase();
        assert!(head.contains("upgrade: websocket") && head.contains("connection: upgrade"), "{head}");
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\nhello")
            .await
            .unwrap();
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let new = Server::named("new").await;
    edge.apply(vec![old.route()]).await;
    let mut client = TcpStream::connect(edge.address).await.unwrap();
    client
        .write_all(b"GET /ws HTTP/1.1\r\nhost: shop.localhost\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\n\r\n")
        .await
        .unwrap();
    let head = read_head(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(head.to_ascii_lowercase().contains("sec-websocket-accept: x"), "{head}");
    let mut buffer = [0; 5];
    client.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"hello");

    let applied = edge.apply(vec![to(&[&new])]).await;
    assert_eq!(applied.draining[0].in_flight, 1);
    client.write_all(b"still").await.unwrap();
    client.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"still");
    assert_eq!(edge.status().await.in_flight(&old.id), 1);
    drop(client);
    edge.until("the tunnel ended", |status| status.in_flight(&old.id) == 0).await;
}

#[tokio::test]
async fn a_target_that_cannot_be_reached_is_left_out() {
    let edge = Edge::start().await;
    let (good, gone) = (Server::named("good").await, Server::named("gone").await);
    let both = to(&[&good, &gone]);
    gone.stop().await;
    edge.apply(vec![both]).await;
    for _ in 0..20 {
        assert_eq!(utf8(&edge.get("/").await.1), "good");
    }
    assert_eq!(edge.service().await.failed, 0);
}

#[tokio::test]
async fn when_nothing_can_be_reached_a_request_waits_for_a_newer_table() {
    let edge = Edge::start().await;
    let (gone, new) = (Server::named("gone").await, Server::named("new").await);
    let old = to(&[&gone]);
    gone.stop().await;
    edge.apply(vec![old]).await;
    let address = edge.address;
    let waiting =
        tokio::spawn(async move { fetch_with(address, Request::post("/"), "body").await });
    edge.until("a request waits", |status| status.services[0].held == 1).await;
    edge.apply(vec![to(&[&new])]).await;
    assert_eq!(utf8(&waiting.await.unwrap().1), "new");
    assert_eq!(edge.service().await.failed, 0);
}

#[tokio::test]
async fn a_long_hold_leaves_time_for_a_target_that_is_not_there_yet() {
    let edge = Edge::start().await;
    edge.apply(vec![route(Backend::Hold { timeout_ms: 20_000 })]).await;
    let address = edge.address;
    let held = tokio::spawn(async move { fetch(address, Request::get("/")).await });
    edge.until("a request is held", |status| status.services[0].held == 1).await;
    // Longer than a request waits for a target that cannot be reached.
    sleep(Duration::from_millis(2_300)).await;
    let (gone, new) = (Server::named("gone").await, Server::named("new").await);
    let too_early = to(&[&gone]);
    gone.stop().await;
    edge.apply(vec![too_early]).await;
    sleep(Duration::from_millis(50)).await;
    edge.apply(vec![to(&[&new])]).await;
    assert_eq!(utf8(&held.await.unwrap().1), "new");
    let service = edge.service().await;
    assert_eq!((service.held, service.failed), (1, 0));
}

#[tokio::test]
async fn when_nothing_comes_in_time_the_answer_is_502() {
    let edge = Edge::start().await;
    let gone = Server::named("gone").await;
    let old = to(&[&gone]);
    gone.stop().await;
    edge.apply(vec![old]).await;
    let (head, body) = edge.get("/").await;
    assert_eq!(head.status, 502);
    assert!(utf8(&body).contains("shop cannot be reached"), "{body:?}");
    assert_eq!(edge.service().await.failed, 1);
}

/// What happens to every client's every request.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    done: AtomicU64,
}

/// Clients that each keep a connection and send GET and POST in turn, until they are stopped.
fn clients(
    edge: &Edge,
    load: &Arc<Load>,
    count: usize,
) -> Vec<tokio::task::JoinHandle<Vec<String>>> {
    let address = edge.address;
    (0..count)
        .map(|_| {
            let load = Arc::clone(load);
            tokio::spawn(async move {
                let mut failures = Vec::new();
                let mut connection = Connection::open(address).await.unwrap();
                for number in 0u64.. {
                    if load.stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let body = Bytes::from(number.to_string());
                    let answer = if number % 2 == 0 {
                        connection.send(Request::get("/"), Bytes::new()).await
                    } else {
                        connection.send(Request::post("/"), body.clone()).await
                    };
                    load.done.fetch_add(1, Ordering::Relaxed);
                    match answer {
                        Ok((head, got))
                            if head.status == 200 && (number % 2 == 0 || got == body) => {}
                        Ok((head, got)) => failures.push(format!("{} {got:?}", head.status)),
                        Err(error) => {
                            failures.push(format!("{error:#}"));
                            connection = Connection::open(address).await.unwrap();
                        }
                    }
                }
                failures
            })
        })
        .collect()
}

async fn echo(
    number: &AtomicU64,
    request: Request<hyper::body::Incoming>,
) -> Response<Full<Bytes>> {
    // Some answers take a little, so that a switch always finds requests in flight.
    let turn = number.fetch_add(1, Ordering::Relaxed);
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    if turn.is_multiple_of(5) {
        sleep(Duration::from_millis(turn % 4)).await;
    }
    text(body)
}

#[tokio::test]
async fn no_request_fails_while_targets_are_replaced_200_times_under_load() {
    let edge = Edge::start().await;
    let number = Arc::new(AtomicU64::new(0));
    let start = || {
        let number = Arc::clone(&number);
        Server::start(move |request| {
            let number = Arc::clone(&number);
            async move { echo(&number, request).await }
        })
    };
    let mut current = start().await;
    edge.apply(vec![to(&[&current])]).await;
    let load = Arc::new(Load::default());
    let tasks = clients(&edge, &load, 16);
    let mut in_flight_at_switch = 0;
    for _ in 0..200 {
        let next = start().await;
        let before = load.done.load(Ordering::Relaxed);
        let applied = edge.apply(vec![to(&[&next])]).await;
        in_flight_at_switch += applied.draining.iter().map(|target| target.in_flight).sum::<u64>();
        edge.until("drained", |status| status.in_flight(&current.id) == 0).await;
        // Drained means drained: the app closes its connections and ends.
        current.stop().await;
        current = next;
        while load.done.load(Ordering::Relaxed) < before + 32 {
            sleep(Duration::from_millis(1)).await;
        }
    }
    load.stop.store(true, Ordering::Relaxed);
    let mut failures = Vec::new();
    for task in tasks {
        failures.extend(task.await.unwrap());
    }
    let done = load.done.load(Ordering::Relaxed);
    let service = edge.service().await;
    println!(
        "{done} requests, {in_flight_at_switch} in flight at 200 switches, {} failed",
        failures.len()
    );
    assert_eq!(failures, Vec::<String>::new());
    assert_eq!(service.failed, 0);
    assert_eq!(service.requests, done);
    assert!(done > 6_400 && in_flight_at_switch > 200, "the load was too small to prove anything");
}

#[tokio::test]
async fn a_target_that_closes_kept_connections_early_fails_no_request() {
    let edge = Edge::start().await;
    // It answers up to three requests on a connection, never announces the end, and closes
    // connections that were silent for 3 ms after an answer: each reuse is a race.
    let hasty = RawServer::start(|mut stream| async move {
        for turn in 0..3 {
            let patience = Duration::from_millis(if turn == 0 { 10_000 } else { 3 });
            let head = tokio::time::timeout(patience, read_head(&mut stream)).await;
            let Ok(head) = head else { return };
            let length = head
                .to_ascii_lowercase()
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
                .unwrap_or(0);
            let mut body = vec![0; length];
            if head.is_empty() || stream.read_exact(&mut body).await.is_err() {
                return;
            }
            let answer =
                [format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes(), &body]
                    .concat();
            let _ = stream.write_all(&answer).await;
        }
    })
    .await;
    edge.apply(vec![hasty.route()]).await;
    let load = Arc::new(Load::default());
    let address = edge.address;
    let started = Instant::now();
    let tasks: Vec<_> = (0..8u64)
        .map(|client| {
            let load = Arc::clone(&load);
            tokio::spawn(async move {
                let mut connection = Connection::open(address).await.unwrap();
                let mut failures = Vec::new();
                for number in 0..300u64 {
                    let (head, body) =
                        connection.send(Request::get("/"), Bytes::new()).await.unwrap();
                    load.done.fetch_add(1, Ordering::Relaxed);
                    if head.status != 200 {
                        failures.push(format!("{} {body:?}", head.status));
                    }
                    if (number + client).is_multiple_of(7) {
                        sleep(Duration::from_millis(3)).await;
                    }
                }
                failures
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Vec::<String>::new());
    }
    let service = edge.service().await;
    println!("{} requests in {:?}", service.requests, started.elapsed());
    assert_eq!((service.failed, service.requests), (0, 2400));
}

#[tokio::test]
async fn an_unsent_post_moves_on_when_its_kept_connection_was_closed() {
    let edge = Edge::start().await;
    let closed = Arc::new(Notify::new());
    let tell = Arc::clone(&closed);
    // Each connection gives one answer and is closed without a word a moment later.
    let server = RawServer::start(move |mut stream| {
        let tell = Arc::clone(&tell);
        async move {
            let _ = read_head(&mut stream).await;
            let mut body = [0; 4];
            let _ = stream.read_exact(&mut body).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            drop(stream);
            tell.notify_one();
        }
    })
    .await;
    edge.apply(vec![server.route()]).await;
    let mut connection = Connection::open(edge.address).await.unwrap();
    for _ in 0..50 {
        let (head, _) = connection.send(Request::post("/"), "body".into()).await.unwrap();
        assert_eq!(head.status, 200);
        closed.notified().await;
    }
    assert_eq!(edge.service().await.failed, 0);
}

#[tokio::test]
async fn a_request_that_waits_for_a_target_that_vanished_follows_the_new_table_at_once() {
    let edge = Edge::start_with(|config| {
        // However long that could take.
        config.settings.limits.upstream_connect_timeout = Duration::from_secs(3600);
    })
    .await;
    let silent = Silent::new();
    edge.apply(vec![silent.route()]).await;
    let address = edge.address;
    for method in [Method::GET, Method::POST] {
        let request = Request::builder().method(method).uri("/");
        let waiting = tokio::spawn(fetch_with(address, request, "body"));
        edge.until("it connects", |status| {
            status.targets.iter().any(|target| target.in_flight == 1)
        })
        .await;
        let successor = Server::named("successor").await;
        edge.apply(vec![to(&[&successor])]).await;
        let (head, body) = waiting.await.unwrap();
        assert_eq!((head.status.as_u16(), utf8(&body)), (200, "successor"));
        edge.apply(vec![silent.route()]).await;
    }
    assert_eq!(edge.service().await.failed, 0);
}

#[tokio::test]
async fn a_target_that_dies_with_a_request_is_asked_in_its_successor_if_that_is_safe_and_once() {
    let edge = Edge::start().await;
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let dying = RawServer::start(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            read_head(&mut stream).await;
            count.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    for (method, times) in [(Method::GET, 2), (Method::POST, 1), (Method::PUT, 1)] {
        edge.apply(vec![dying.route()]).await;
        asked.store(0, Ordering::SeqCst);
        let request = Request::builder().method(method.clone()).uri("/");
        let (head, _) = fetch(edge.address, request).await;
        assert_eq!((head.status.as_u16(), asked.load(Ordering::SeqCst)), (502, times), "{method}");
    }
    let server = Server::named("successor").await;
    let mut both = dying.route();
    if let Backend::Targets(targets) = &mut both.backend {
        targets.push(server.target());
    }
    edge.apply(vec![both]).await;
    for _ in 0..20 {
        assert_eq!(utf8(&fetch(edge.address, Request::get("/")).await.1), "successor");
    }
}

#[tokio::test]
async fn a_target_that_does_not_answer_is_given_up_for_another_soon() {
    let edge = Edge::start().await;
    let (silent, server) = (Silent::new(), Server::named("ok").await);
    let mut both = silent.route();
    if let Backend::Targets(targets) = &mut both.backend {
        targets.push(server.target());
    }
    edge.apply(vec![both]).await;
    for _ in 0..20 {
        assert_eq!(utf8(&fetch(edge.address, Request::get("/")).await.1), "ok");
    }
    assert!(edge::Limits::default().upstream_connect_timeout <= Duration::from_millis(100));
}
