//! Clients and targets that are too slow or send too much.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{Edge, RawServer, Server, fetch, fetch_with, read_head, to, utf8};

const SHORT: Duration = Duration::from_millis(80);
const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_head_that_is_too_large_is_answered_431() {
    let edge = Edge::start_with(|config| config.settings.limits.max_header_bytes = 4096).await;
    let server = Server::named("ok").await;
    edge.apply(vec![to(&[&server])]).await;
    let with = |bytes| Request::get("/").header("x-large", "x".repeat(bytes));
    assert_eq!(fetch(edge.address, with(3000)).await.0.status, 200);
    let (head, body) = fetch(edge.address, with(6000)).await;
    assert_eq!(head.status, 431);
    assert!(utf8(&body).contains("headers"), "{body:?}");
    assert_eq!(fetch(edge.address, with(60_000)).await.0.status, 431);
    assert_eq!(edge.service().await.failed, 0);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_answered_413() {
    let edge = Edge::start_with(|config| config.settings.limits.max_body_bytes = Some(1000)).await;
    let server = Server::start(|request: Request<hyper::body::Incoming>| async move {
        use http_body_util::BodyExt;
        let body = request.into_body().collect().await.map(|body| body.to_bytes());
        crate::support::text(body.unwrap_or_default())
    })
    .await;
    edge.apply(vec![to(&[&server])]).await;
    let (head, _) = fetch_with(edge.address, Request::post("/"), vec![b'x'; 1000]).await;
    assert_eq!(head.status, 200);
    let (head, _) = fetch_with(edge.address, Request::post("/"), vec![b'x'; 1001]).await;
    assert_eq!(head.status, 413);
    // The length is not said beforehand.
    let mut client = TcpStream::connect(edge.address).await.unwrap();
    client
        .write_all(b"POST / HTTP/1.1\r\nhost: shop.localhost\r\ntransfer-encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    let chunk = [b"1f4\r\n".as_slice(), &[b'x'; 500], b"\r\n"].concat();
    for _ in 0..3 {
        client.write_all(&chunk).await.unwrap();
    }
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 413 "));
    assert_eq!(edge.service().await.failed, 0);
}

#[tokio::test]
async fn a_connection_without_a_request_ends_in_time() {
    let edge =
        Edge::start_with(|config| config.settings.limits.first_request_timeout = SHORT).await;
    edge.apply(vec![]).await;
    for start in ["", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut client = TcpStream::connect(edge.address).await.unwrap();
        client.write_all(start.as_bytes()).await.unwrap();
        let closed = timeout(LONG, client.read_to_end(&mut Vec::new())).await;
        assert!(closed.is_ok(), "still open after {start:?}");
    }
    edge.until("no connections", |status| status.connections == 0).await;
}

#[tokio::test]
async fn a_connection_that_asks_nothing_more_ends_in_time() {
    let edge = Edge::start_with(|config| config.settings.limits.keep_alive_timeout = SHORT).await;
    let server = Server::named("ok").await;
    edge.apply(vec![to(&[&server])]).await;
    let mut client = TcpStream::connect(edge.address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: shop.localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(LONG, client.read_to_string(&mut answer)).await.expect("closed").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok"), "{answer}");
}

#[tokio::test]
async fn a_connection_is_not_ended_while_its_request_is_answered_or_its_tunnel_is_open() {
    let edge = Edge::start_with(|config| {
        config.settings.limits.first_request_timeout = SHORT;
        config.settings.limits.keep_alive_timeout = SHORT;
        config.settings.limits.header_timeout = SHORT;
    })
    .await;
    let server = RawServer::start(|mut stream| async move {
        let head = read_head(&mut stream).await;
        tokio::time::sleep(SHORT * 4).await;
        let answer: &[u8] = match head.contains("upgrade: websocket") {
            true => b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
            false => b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n",
        };
        stream.write_all(answer).await.unwrap();
        tokio::time::sleep(SHORT * 4).await;
        stream.write_all(b"ok").await.unwrap();
    })
    .await;
    edge.apply(vec![server.route()]).await;
    for headers in ["", "connection: upgrade\r\nupgrade: websocket\r\n"] {
        let mut client = TcpStream::connect(edge.address).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nhost: shop.localhost\r\n{headers}\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        read_head(&mut client).await;
        assert_eq!(edge.status().await.connections, 1);
        let mut body = [0; 2];
        client.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"ok", "{headers}");
        drop(client);
        edge.until("no connections", |status| status.connections == 0).await;
    }
}

#[tokio::test]
async fn a_head_that_does_not_arrive_in_time_ends_the_connection() {
    let edge = Edge::start_with(|config| config.settings.limits.header_timeout = SHORT).await;
    edge.apply(vec![]).await;
    for start in ["GET", "GET / HTTP/1.1\r\nhost: sho"] {
        let mut client = TcpStream::connect(edge.address).await.unwrap();
        client.write_all(start.as_bytes()).await.unwrap();
        let closed = timeout(LONG, client.read_to_end(&mut Vec::new())).await;
        assert!(closed.is_ok(), "still open after {start:?}");
    }
    edge.until("no connections", |status| status.connections == 0).await;
}

#[tokio::test]
async fn a_client_that_stalls_in_its_body_is_answered_408_and_is_no_failure() {
    let edge = Edge::start_with(|config| config.settings.limits.idle_timeout = SHORT).await;
    let server = RawServer::start(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    edge.apply(vec![server.route()]).await;
    let mut client = TcpStream::connect(edge.address).await.unwrap();
    client
        .write_all(b"POST / HTTP/1.1\r\nhost: shop.localhost\r\ncontent-length: 10\r\n\r\nhalf")
        .await
        .unwrap();
    let head = timeout(LONG, read_head(&mut client)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    let status = edge.until("freed", |status| status.targets[0].in_flight == 0).await;
    assert_eq!((status.services[0].failed, status.targets[0].failed), (0, 0));
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let edge = Edge::start_with(|config| config.settings.limits.idle_timeout = SHORT).await;
    let server =
        Server::start(|_| async { crate::support::text(vec![b'x'; 64 * 1024 * 1024]) }).await;
    edge.apply(vec![to(&[&server])]).await;
    let mut client = TcpStream::connect(edge.address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: shop.localhost\r\n\r\n").await.unwrap();
    read_head(&mut client).await;
    let status = edge.until("cut off", |status| status.connections == 0).await;
    assert_eq!(status.targets[0].in_flight, 0);
    assert_eq!(status.services[0].failed, 0);
}

#[tokio::test]
async fn a_target_that_does_not_answer_is_answered_for_with_504() {
    let edge =
        Edge::start_with(|config| config.settings.limits.upstream_response_timeout = SHORT).await;
    let server = RawServer::start(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    edge.apply(vec![server.route()]).await;
    let (head, body) = edge.get("/").await;
    assert_eq!(head.status, 504);
    assert!(utf8(&body).contains("did not answer in time"), "{body:?}");
    let status = edge.status().await;
    assert_eq!((status.services[0].failed, status.targets[0].failed), (1, 1));
    assert_eq!(status.targets[0].in_flight, 0);
}

#[tokio::test]
async fn a_target_that_stalls_in_its_answer_is_cut_off_but_event_streams_may_be_silent() {
    let edge =
        Edge::start_with(|config| config.settings.limits.upstream_response_timeout = SHORT).await;
    for (content_type, whole) in [("text/html", false), ("text/event-stream", true)] {
        let server = RawServer::start(move |mut stream| async move {
            read_head(&mut stream).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: 10\r\n\r\nhello"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            tokio::time::sleep(SHORT * 4).await;
            let _ = stream.write_all(b"world").await;
        })
        .await;
        edge.apply(vec![server.route()]).await;
        let got = crate::support::try_fetch(edge.address, Request::get("/"), Bytes::new()).await;
        assert_eq!(got.is_ok(), whole, "{content_type}");
    }
    assert_eq!(edge.service().await.failed, 1);
}
