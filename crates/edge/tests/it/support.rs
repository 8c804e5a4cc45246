//! An edge, targets and clients for tests.

use std::cell::Cell;
use std::future::Future;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use edge::{Applied, Client, Config, Error, ServiceCounters, Settings, Status};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use model::route::{Backend, Generation, Listener, Route, RouteTable, Target, Zone};
use model::{InstanceId, ServiceId};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

pub(crate) type Parts = http::response::Parts;

/// An edge in this process.
pub(crate) struct Edge {
    pub(crate) client: Client,
    pub(crate) address: SocketAddr,
    pub(crate) directory: TempDir,
    generation: Cell<u64>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

pub(crate) fn config(directory: &Path) -> Config {
    Config {
        listen: vec![([127, 0, 0, 1], 0).into()],
        control_socket: directory.join("edge.sock"),
        table_path: directory.join("routes.json"),
        dns_port: 0,
        dns_upstreams: Some(vec![]),
        authority: None,
        threads: 2,
        settings: Settings::default(),
    }
}

impl Edge {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(directory.path());
        change(&mut config);
        let client = Client::new(&config.control_socket);
        let thread = std::thread::spawn(move || edge::run(config));
        let address = ready(&client).await.listen[0];
        Self { client, address, directory, generation: Cell::new(0), thread: Some(thread) }
    }

    /// Applies routes as the next table.
    pub(crate) async fn apply(&self, routes: Vec<Route>) -> Applied {
        self.apply_zones(routes, vec![]).await
    }

    pub(crate) async fn apply_zones(&self, routes: Vec<Route>, zones: Vec<Zone>) -> Applied {
        self.client.apply(&self.next_table(routes, zones)).await.unwrap()
    }

    /// Applies published ports as the next table.
    pub(crate) async fn publish(&self, listeners: Vec<Listener>) -> Applied {
        let table = RouteTable { listeners, ..self.next_table(vec![], vec![]) };
        self.client.apply(&table).await.unwrap()
    }

    pub(crate) fn next_table(&self, routes: Vec<Route>, zones: Vec<Zone>) -> RouteTable {
        self.generation.set(self.generation.get() + 1);
        let generation = Generation(self.generation.get());
        RouteTable { generation, routes, zones, listeners: vec![] }
    }

    pub(crate) async fn status(&self) -> Status {
        self.client.status().await.unwrap()
    }

    /// Counters of the service that `route` makes.
    pub(crate) async fn service(&self) -> ServiceCounters {
        self.status().await.services.into_iter().find(|s| s.service_id == service_id()).unwrap()
    }

    pub(crate) async fn get(&self, url: &str) -> (Parts, Bytes) {
        fetch(self.address, Request::get(url)).await
    }

    /// Waits until the status fulfils a condition.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&Status) -> bool) -> Status {
        let wait = async {
            loop {
                let status = self.status().await;
                if condition(&status) {
                    return status;
                }
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("never: {what}"))
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        if let Ok(mut socket) = UnixStream::connect(self.client.path()) {
            let _ = socket
                .write_all(b"POST /shutdown HTTP/1.1\r\nhost: edge\r\nconnection: close\r\n\r\n");
            let _ = socket.read_to_end(&mut Vec::new());
        }
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap().unwrap();
            }
        }
    }
}

pub(crate) async fn ready(client: &Client) -> Status {
    let wait = async {
        loop {
            if let Ok(status) = client.status().await {
                return status;
            }
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(Duration::from_secs(20), wait).await.expect("the edge starts")
}

pub(crate) fn service_id() -> ServiceId {
    ServiceId::from_uuid(Uuid::from_u128(1))
}

pub(crate) fn new_id() -> InstanceId {
    InstanceId::from_uuid(Uuid::now_v7())
}

/// A route of `shop.localhost`.
pub(crate) fn route(backend: Backend) -> Route {
    Route {
        hosts: vec!["shop.localhost".into()],
        path_prefix: "/".into(),
        strip_prefix: false,
        service_id: service_id(),
        service_name: "shop".into(),
        headers: vec![],
        rules: vec![],
        backend,
    }
}

pub(crate) fn to(servers: &[&Server]) -> Route {
    route(Backend::Targets(servers.iter().map(|server| server.target()).collect()))
}

/// An address of a test's own, for as long as the process lives: a socket stays bound to it and
/// never listens. Who connects while nobody listens is refused, and no other test is given the port
/// by the kernel. [`listen`] may be called for it as often as one likes.
pub(crate) fn own_address() -> SocketAddr {
    let socket = reserved(([127, 0, 0, 1], 0).into());
    let address = socket.local_addr().unwrap();
    // It ends with the process: the address may still be asked when the test forgot its server.
    std::mem::forget(socket);
    address
}

/// Listens on an address of [`own_address`].
pub(crate) fn listen(address: SocketAddr) -> TcpListener {
    reserved(address).listen(1024).unwrap()
}

fn reserved(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.set_reuseport(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

/// A target: an HTTP server that drains as a well-behaved app does.
pub(crate) struct Server {
    pub(crate) id: InstanceId,
    pub(crate) address: SocketAddr,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start<F, A, B>(handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
        A: Future<Output = Response<B>> + Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let address = own_address();
        let listener = listen(address);
        let (stop, mut stopped) = watch::channel(false);
        let stop_connections = stop.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let stream = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap().0,
                    _ = stopped.wait_for(|stop| *stop) => break,
                };
                let handler = handler.clone();
                let mut stop = stop_connections.subscribe();
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        let answer = handler(request);
                        async move { Ok::<_, std::convert::Infallible>(answer.await) }
                    });
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .with_upgrades();
                    let mut connection = std::pin::pin!(connection);
                    tokio::select! {
                        _ = connection.as_mut() => return,
                        _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
                    }
                    let _ = connection.await;
                });
            }
            drop(listener);
            while connections.join_next().await.is_some() {}
        });
        Self { id: new_id(), address, stop, task }
    }

    /// A server that says its name.
    pub(crate) async fn named(name: &'static str) -> Self {
        Self::start(move |_| async move { text(name) }).await
    }

    pub(crate) fn target(&self) -> Target {
        Target { id: self.id.clone(), address: self.address }
    }

    /// Closes the listener and idle connections, and waits for the busy ones.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}

/// A target that speaks bytes.
pub(crate) struct RawServer {
    pub(crate) id: InstanceId,
    pub(crate) address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl RawServer {
    pub(crate) async fn start<F, A>(handler: F) -> Self
    where
        F: Fn(TcpStream) -> A + Send + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        let address = own_address();
        let listener = listen(address);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(handler(stream));
            }
        });
        Self { id: new_id(), address, task }
    }

    pub(crate) fn route(&self) -> Route {
        route(Backend::Targets(vec![Target { id: self.id.clone(), address: self.address }]))
    }
}

impl Drop for RawServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An address that answers no connection, as that of an instance that has vanished: its queue is
/// full, and nobody takes from it.
pub(crate) struct Silent {
    listener: socket2::Socket,
    _queued: Vec<socket2::Socket>,
}

impl Silent {
    pub(crate) fn new() -> Self {
        let listener = stream_socket();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        listener.bind(&loopback.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        loop {
            let next = stream_socket();
            if next.connect_timeout(&address, Duration::from_millis(100)).is_err() {
                return Self { listener, _queued: queued };
            }
            queued.push(next);
        }
    }

    pub(crate) fn route(&self) -> Route {
        let address = self.listener.local_addr().unwrap().as_socket().unwrap();
        route(Backend::Targets(vec![Target { id: new_id(), address }]))
    }
}

fn stream_socket() -> socket2::Socket {
    socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap()
}

/// Reads a request head.
pub(crate) async fn read_head(stream: &mut TcpStream) -> String {
    use tokio::io::AsyncReadExt;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

pub(crate) fn text(text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::new(Full::new(text.into()))
}

/// One request on a connection of its own.
pub(crate) async fn fetch(address: SocketAddr, request: http::request::Builder) -> (Parts, Bytes) {
    fetch_with(address, request, Bytes::new()).await
}

pub(crate) async fn fetch_with(
    address: SocketAddr,
    request: http::request::Builder,
    body: impl Into<Bytes>,
) -> (Parts, Bytes) {
    let answer = try_fetch(address, request, body.into());
    timeout(Duration::from_secs(30), answer).await.expect("an answer in time").unwrap()
}

pub(crate) async fn try_fetch(
    address: SocketAddr,
    request: http::request::Builder,
    body: Bytes,
) -> anyhow::Result<(Parts, Bytes)> {
    let mut connection = Connection::open(address).await?;
    connection.send(request, body).await
}

/// A connection to the edge that is kept.
pub(crate) struct Connection(hyper::client::conn::http1::SendRequest<Full<Bytes>>);

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    pub(crate) async fn send(
        &mut self,
        request: http::request::Builder,
        body: Bytes,
    ) -> anyhow::Result<(Parts, Bytes)> {
        self.0.ready().await?;
        let request = on_host(request).body(Full::new(body))?;
        let (parts, body) = self.0.send_request(request).await?.into_parts();
        Ok((parts, body.collect().await?.to_bytes()))
    }
}

/// `shop.localhost`, unless the request names a host.
fn on_host(request: http::request::Builder) -> http::request::Builder {
    if request.headers_ref().is_some_and(|headers| headers.contains_key("host")) {
        return request;
    }
    request.header("host", "shop.localhost")
}

pub(crate) fn utf8(body: &Bytes) -> &str {
    std::str::from_utf8(body).unwrap()
}
