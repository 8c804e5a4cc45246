//! Clients that open more connections than they need.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Connection, Edge, Server, fetch, read_head, to, utf8};

/// A connection from another loopback address: for the edge, another client.
pub(crate) async fn connect_from(source: [u8; 4], edge: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((source, 0).into()).unwrap();
    socket.connect(edge).await.unwrap()
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    matches!(stream.read(&mut byte).await, Ok(0) | Err(_))
}

#[tokio::test]
async fn one_client_with_all_connections_keeps_nobody_away() {
    let edge = Edge::start_with(|config| {
        // One core, so that connections come in as they were opened.
        config.threads = 1;
        config.settings.limits.max_connections = 40;
    })
    .await;
    let server = Server::named("ok").await;
    edge.apply(vec![to(&[&server])]).await;
    let mut greedy = Vec::new();
    for _ in 0..100 {
        greedy.push(connect_from([127, 0, 0, 9], edge.address).await);
    }
    // Its share is half of all places, and what it opened first made room for the rest.
    edge.until("its share", |status| status.connections == 20).await;
    assert!(is_closed(&mut greedy[0]).await);
    for _ in 0..50 {
        let (head, body) = fetch(edge.address, Request::get("/")).await;
        assert_eq!((head.status.as_u16(), utf8(&body)), (200, "ok"));
    }
    // The greedy one is served too.
    let mut last = greedy.pop().unwrap();
    tokio::io::AsyncWriteExt::write_all(
        &mut last,
        b"GET / HTTP/1.1\r\nhost: shop.localhost\r\n\r\n",
    )
    .await
    .unwrap();
    assert!(read_head(&mut last).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_newcomer_takes_the_place_that_was_unused_for_longest() {
    let edge = Edge::start_with(|config| {
        config.threads = 1;
        config.settings.limits.max_connections = 4;
        config.settings.limits.max_connections_per_source = Some(4);
    })
    .await;
    let server = Server::named("ok").await;
    edge.apply(vec![to(&[&server])]).await;
    let mut kept = Connection::open(edge.address).await.unwrap();
    kept.send(Request::get("/"), Bytes::new()).await.unwrap();
    let mut many = Vec::new();
    for count in 2..=4 {
        many.push(connect_from([127, 0, 0, 9], edge.address).await);
        edge.until("it is open", |status| status.connections == count).await;
    }
    let (head, _) = fetch(edge.address, Request::get("/")).await;
    assert_eq!(head.status, 200);
    assert!(is_closed(&mut many[0]).await, "of the one who has most, the oldest");
    kept.send(Request::get("/"), Bytes::new()).await.expect("others stay");
}

#[tokio::test]
async fn whoever_comes_when_every_connection_is_in_use_is_told_so_at_once() {
    let edge = Edge::start_with(|config| config.settings.limits.max_connections = 2).await;
    let (asked, mut asks) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |_| {
        let asked = asked.clone();
        async move {
            let (go, wait) = tokio::sync::oneshot::channel::<()>();
            asked.send(go).unwrap();
            let _ = wait.await;
            crate::support::text("ok")
        }
    })
    .await;
    edge.apply(vec![to(&[&server])]).await;
    let address = edge.address;
    let mut first = connect_from([127, 0, 0, 9], address).await;
    tokio::io::AsyncWriteExt::write_all(
        &mut first,
        b"GET / HTTP/1.1\r\nhost: shop.localhost\r\n\r\n",
    )
    .await
    .unwrap();
    let go_first = asks.recv().await.unwrap();
    let second = tokio::spawn(async move { fetch(address, Request::get("/")).await });
    let go_second = asks.recv().await.unwrap();
    let mut third = connect_from([127, 0, 0, 8], address).await;
    let head = read_head(&mut third).await;
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("retry-after: 5"), "{head}");
    // Nobody was cut off for it, and the place is free again afterwards.
    go_first.send(()).unwrap();
    go_second.send(()).unwrap();
    assert_eq!(second.await.unwrap().0.status, 200);
    assert!(read_head(&mut first).await.starts_with("HTTP/1.1 200 "));
}
