//! HTTPS with certificates of this machine's own authority.

use std::net::SocketAddr;
use std::sync::Arc;

use edge::Authority;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::support::{Edge, RawServer, Server, fetch, text, to, utf8};

/// An edge that serves HTTPS on these addresses, and the certificate of its authority.
async fn secure(https: Vec<SocketAddr>) -> (Edge, CertificateDer<'static>) {
    let mut certificate = None;
    let edge = Edge::start_with(|config| {
        let directory = config.table_path.with_file_name("authority");
        let authority = Authority::ensure(&directory).unwrap();
        certificate = CertificateDer::from_pem_slice(authority.certificate().as_bytes()).ok();
        config.authority = Some(directory);
        config.settings.https = https;
    })
    .await;
    (edge, certificate.unwrap())
}

async fn https_address(edge: &Edge) -> SocketAddr {
    edge.until("https is open", |status| status.https[0].error.is_none()).await.https[0].address
}

/// A client that trusts the authority and nobody else.
async fn connect(
    address: SocketAddr,
    host: &'static str,
    protocols: &[&[u8]],
    authority: &CertificateDer<'static>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = TcpStream::connect(address).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(host).unwrap(), stream).await
}

fn any_port() -> Vec<SocketAddr> {
    vec![([127, 0, 0, 1], 0).into()]
}

async fn forwarded() -> Server {
    Server::start(|request: Request<Incoming>| async move {
        let value = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
        text(format!("{} {}", value("x-forwarded-proto"), value("x-forwarded-port")))
    })
    .await
}

#[tokio::test]
async fn https_is_served_to_whoever_trusts_the_own_authority_and_the_target_is_told() {
    let (edge, authority) = secure(any_port()).await;
    let server = forwarded().await;
    edge.apply(vec![to(&[&server])]).await;
    let address = https_address(&edge).await;
    let expect = format!("https {}", address.port());
    let io = TokioIo::new(connect(address, "shop.localhost", &[], &authority).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("/").header("host", "shop.localhost").body(Full::<Bytes>::default());
    let answer = sender.send_request(request.unwrap()).await.unwrap();
    assert_eq!(answer.version(), Version::HTTP_11);
    assert_eq!(utf8(&answer.into_body().collect().await.unwrap().to_bytes()), expect);

    let io = connect(address, "shop.localhost", &[b"h2", b"http/1.1"], &authority).await.unwrap();
    assert_eq!(io.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("https://shop.localhost/").body(Full::<Bytes>::default());
    let answer = sender.send_request(request.unwrap()).await.unwrap();
    assert_eq!(answer.version(), Version::HTTP_2);
    assert_eq!(utf8(&answer.into_body().collect().await.unwrap().to_bytes()), expect);
    connection.abort();

    // Beside it HTTP goes on.
    let (_, body) = fetch(edge.address, Request::get("/")).await;
    assert_eq!(utf8(&body), format!("http {}", edge.address.port()));
}

#[tokio::test]
async fn a_websocket_is_tunnelled_over_tls() {
    let (edge, authority) = secure(any_port()).await;
    let server = RawServer::start(|mut stream| async move {
        let head = crate::support::read_head(&mut stream).await;
        assert!(head.contains("x-forwarded-proto: https"), "{head}");
        let answer = "HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        let mut word = [0; 4];
        stream.read_exact(&mut word).await.unwrap();
        stream.write_all(&word).await.unwrap();
    })
    .await;
    edge.apply(vec![server.route()]).await;
    let address = https_address(&edge).await;
    let mut client = connect(address, "shop.localhost", &[b"http/1.1"], &authority).await.unwrap();
    let request = "GET / HTTP/1.1\r\nhost: shop.localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    client.write_all(b"ping").await.unwrap();
    let mut word = [0; 4];
    client.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"ping");
}

#[tokio::test]
async fn no_certificate_is_shown_for_another_host_and_plain_http_is_told_where_it_is() {
    let (edge, authority) = secure(any_port()).await;
    edge.apply(vec![]).await;
    let address = https_address(&edge).await;
    assert!(connect(address, "example.com", &[], &authority).await.is_err());
    let (head, body) = fetch(address, Request::get("/")).await;
    assert_eq!(head.status, 400);
    assert!(utf8(&body).contains("https://"), "{body:?}");
}

#[tokio::test]
async fn a_busy_port_for_https_is_told_and_taken_when_it_is_free() {
    let other = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let (edge, authority) = secure(vec![other.local_addr().unwrap()]).await;
    let server = forwarded().await;
    edge.apply(vec![to(&[&server])]).await;
    let status = edge.status().await;
    let why = status.https[0].error.as_ref().unwrap();
    assert!(why.contains("another program"), "{why}");
    assert_eq!(fetch(edge.address, Request::get("/")).await.0.status, 200);
    drop(other);
    let address = https_address(&edge).await;
    connect(address, "shop.localhost", &[], &authority).await.unwrap();
}
