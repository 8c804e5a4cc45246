//! Accepting connections and speaking HTTP on them.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tracing::{debug, warn};

use crate::worker::Worker;
use crate::{serve, tcp};

/// Pause after the kernel refused a connection (no more file descriptors, most likely).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often a core that is full looks whether the others are not.
const FULL_PAUSE: Duration = Duration::from_millis(100);
/// After this silence the kernel asks whether the client is still there.
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// hyper refuses a smaller read buffer.
const MIN_BUFFER_BYTES: usize = 8 * 1024;
/// What a client may have open at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;

/// Who sent the requests of one connection.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The address as `X-Forwarded-For` names it.
    pub(crate) forwarded_for: HeaderValue,
    /// A proxy on this machine is believed what it says about its clients; nobody else is.
    pub(crate) trusted: bool,
    /// The port that the client connected to.
    pub(crate) port: u16,
    /// The published port that it came in on, whose service answers whatever the host is.
    pub(crate) published: Option<SocketAddr>,
}

/// Accepts connections until the task is aborted. `published` is the table's address of this
/// listener, if it is for one service.
pub(crate) async fn accept(
    worker: Rc<Worker>,
    listener: TcpListener,
    published: Option<SocketAddr>,
) {
    loop {
        while worker.shared.connections.load(Ordering::Relaxed) >= worker.limits().max_connections {
            // Either way the count is looked at again.
            let _ = timeout(FULL_PAUSE, worker.connection_ended.notified()).await;
        }
        match listener.accept().await {
            Ok((stream, address)) => {
                let open = Open::new(&worker);
                let worker = Rc::clone(&worker);
                spawn_local(async move {
                    let serve = async {
                        match published {
                            Some(published) if is_tcp(&worker, published) => {
                                tcp::pass_on(&worker, stream, published).await
                            }
                            _ => connection(&worker, stream, address.ip(), published).await,
                        }
                    };
                    if let Err(cause) = serve.await {
                        debug!(error = &*cause, "a connection ended with an error");
                    }
                    drop(open);
                });
            }
            Err(cause) => {
                warn!(error = &cause as &dyn std::error::Error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Counts a connection for as long as it lives.
struct Open(Rc<Worker>);

impl Open {
    fn new(worker: &Rc<Worker>) -> Self {
        worker.shared.connections.fetch_add(1, Ordering::Relaxed);
        worker.connections.set(worker.connections.get() + 1);
        Self(Rc::clone(worker))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.shared.connections.fetch_sub(1, Ordering::Relaxed);
        self.0.connections.set(self.0.connections.get() - 1);
        self.0.connection_ended.notify_waiters();
        // For the one waiter that may be about to wait.
        self.0.connection_ended.notify_one();
    }
}

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Whether connections on a published port are passed on as they are. A port that has just left
/// the table has nothing any more: that is for TCP to close, which needs no words.
fn is_tcp(worker: &Worker, published: SocketAddr) -> bool {
    worker.served().table.published(published).is_none_or(|published| published.is_tcp)
}

/// Sends what is written at once, and has the kernel notice when the other side is gone.
pub(crate) fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_TIME).with_interval(KEEPALIVE_INTERVAL);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

async fn connection(
    worker: &Rc<Worker>,
    stream: TcpStream,
    ip: IpAddr,
    published: Option<SocketAddr>,
) -> Result<(), Failure> {
    keep_alive(&stream)?;
    let ip = ip.to_canonical();
    let peer = Rc::new(Peer {
        forwarded_for: HeaderValue::from_str(&ip.to_string())?,
        trusted: ip.is_loopback(),
        port: stream.local_addr()?.port(),
        published,
    });
    let version = timeout(worker.limits().header_timeout, version(&stream)).await??;
    let io = TokioIo::new(ClientIo {
        stream,
        idle_timeout: worker.limits().idle_timeout,
        stalled: None,
        waiting: false,
    });
    let service = service_fn(move |request: Request<Incoming>| {
        let (worker, peer) = (Rc::clone(worker), Rc::clone(&peer));
        async move { Ok::<_, Infallible>(serve::handle(worker, peer, request).await) }
    });
    match version {
        Version::Http1 => {
            let connection = http1_builder(worker).serve_connection(io, service).with_upgrades();
            let mut connection = pin!(connection);
            let mut closing = worker.closing.subscribe();
            tokio::select! {
                biased;
                result = connection.as_mut() => return Ok(result?),
                _ = closing.wait_for(|closing| *closing) => connection.as_mut().graceful_shutdown(),
            }
            Ok(connection.await?)
        }
        Version::Http2 => {
            let connection = http2_builder(worker).serve_connection(io, service);
            let mut connection = pin!(connection);
            let mut closing = worker.closing.subscribe();
            tokio::select! {
                biased;
                result = connection.as_mut() => return Ok(result?),
                _ = closing.wait_for(|closing| *closing) => connection.as_mut().graceful_shutdown(),
            }
            Ok(connection.await?)
        }
        Version::Nothing => Ok(()),
    }
}

fn http1_builder(worker: &Worker) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(worker.limits().header_timeout)
        // Heads up to four times the limit are read, so that they can be answered with words.
        .max_buf_size((worker.limits().max_header_bytes * 4).max(MIN_BUFFER_BYTES));
    builder
}

fn http2_builder(worker: &Worker) -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(worker.limits().max_header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(KEEPALIVE_TIME);
    builder
}

/// Runs HTTP/2 streams on the core of their connection.
#[derive(Debug, Clone, Copy)]
struct LocalExecutor;

impl<F: Future<Output: 'static> + 'static> Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        // The connection owns its streams: they end when it does.
        spawn_local(future);
    }
}

enum Version {
    Http1,
    Http2,
    /// The client left without a word.
    Nothing,
}

/// Looks at the first bytes without taking them. HTTP/2 begins with `PRI * HTTP/2.0`, and no
/// HTTP/1 method begins with `PRI`.
async fn version(stream: &TcpStream) -> io::Result<Version> {
    const PREFACE: &[u8; 3] = b"PRI";
    let mut head = [0; 3];
    let mut seen = 0;
    loop {
        let length = stream.peek(&mut head).await?;
        if length == 0 {
            return Ok(Version::Nothing);
        }
        if head[..length] != PREFACE[..length] {
            return Ok(Version::Http1);
        }
        if length == PREFACE.len() {
            return Ok(Version::Http2);
        }
        if length == seen {
            // The same bytes again: peeking leaves the socket readable, so wait for time instead.
            sleep(Duration::from_millis(5)).await;
        }
        seen = length;
    }
}

/// A client's socket that gives up on a client who takes no byte for too long.
struct ClientIo {
    stream: TcpStream,
    idle_timeout: Duration,
    /// Kept for the next stall once it was needed.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Whether `stalled` is running.
    waiting: bool,
}

impl ClientIo {
    fn watch(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.waiting = false;
            return written;
        }
        let deadline = Instant::now() + self.idle_timeout;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if !std::mem::replace(&mut self.waiting, true) {
            timer.as_mut().reset(deadline);
        }
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buffer);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
