//! What clients say about themselves, wherever they come in.

use edge::Settings;
use http::Request;
use model::route::{Backend, ListenerBackend, RouteTable, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::published::{free_address, listener};
use crate::support::{Edge, RawServer, fetch, read_head, utf8};

/// Headers by which a client claims to be somebody else.
const CLAIMS: [&str; 9] = [
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "forwarded",
    "x-real-ip",
    "cf-connecting-ip",
    "true-client-ip",
    "x_forwarded_for",
];

/// A target that answers with the head that it saw, also when it is asked for a tunnel.
async fn told() -> RawServer {
    RawServer::start(|mut stream| async move {
        let head = read_head(&mut stream).await;
        let answer = match head.contains("upgrade: websocket") {
            true => format!(
                "HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n{head}"
            ),
            false => format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{head}", head.len()),
        };
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await
}

async fn edge_with(server: &RawServer, settings: Settings) -> (Edge, std::net::SocketAddr) {
    let edge = Edge::start_with(|config| config.settings = settings).await;
    let published = free_address();
    let target = Target { id: server.id.clone(), address: server.address };
    let listeners =
        vec![listener(published, ListenerBackend::Http(Backend::Targets(vec![target])))];
    let table = RouteTable { listeners, ..edge.next_table(vec![server.route()], vec![]) };
    edge.client.apply(&table).await.unwrap();
    (edge, published)
}

#[tokio::test]
async fn what_a_client_says_about_its_own_address_reaches_no_target() {
    let server = told().await;
    let (edge, published) = edge_with(&server, Settings::default()).await;
    let claiming =
        || CLAIMS.iter().fold(Request::get("/"), |request, name| request.header(*name, "6.6.6.6"));
    for address in [edge.address, published] {
        let (_, body) = fetch(address, claiming()).await;
        assert!(!utf8(&body).contains("6.6.6.6"), "{body:?}");
        assert!(utf8(&body).contains("x-forwarded-for: 127.0.0.1\r\n"), "{body:?}");
    }
    // Through a websocket too.
    let claims: String = CLAIMS.iter().map(|name| format!("{name}: 6.6.6.6\r\n")).collect();
    for address in [edge.address, published] {
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET / HTTP/1.1\r\nhost: shop.localhost\r\nconnection: upgrade\r\n\
             upgrade: websocket\r\n{claims}\r\n"
        );
        client.write_all(request.as_bytes()).await.unwrap();
        assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "));
        let mut seen = String::new();
        client.read_to_string(&mut seen).await.unwrap();
        assert!(!seen.contains("6.6.6.6"), "{seen}");
        assert!(seen.contains("x-forwarded-for: 127.0.0.1\r\n"), "{seen}");
    }
}

#[tokio::test]
async fn a_proxy_is_believed_when_its_operator_trusts_it() {
    let server = told().await;
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let (edge, published) =
        edge_with(&server, Settings { trusted_proxies, ..Settings::default() }).await;
    for address in [edge.address, published] {
        let request = Request::get("/")
            .header("x-forwarded-for", "6.6.6.6")
            .header("x-forwarded-proto", "https");
        let (_, body) = fetch(address, request).await;
        for line in ["x-forwarded-for: 6.6.6.6, 127.0.0.1", "x-real-ip: 6.6.6.6", "proto: https"] {
            assert!(utf8(&body).contains(line), "{line}: {body:?}");
        }
    }
}
