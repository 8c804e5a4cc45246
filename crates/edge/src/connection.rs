//! Speaking HTTP on a connection.

mod activity;
mod io;
mod target;

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout};

pub(crate) use activity::{Activity, Busy};
use io::ClientIo;

use crate::body::{Body, BodyError};
use crate::listen::{Entrance, Failure};
use crate::serve;
use crate::tls::HTTP2;
use crate::worker::{Accepts, Worker};

/// How often an HTTP/2 client that is silent is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(60);
/// hyper refuses a smaller read buffer.
const MIN_BUFFER_BYTES: usize = 8 * 1024;
/// What a client may have open at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;

/// Who sent the requests of one connection.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The other end of the connection.
    pub(crate) address: IpAddr,
    /// Whether it is a proxy that is believed what it says about its clients.
    pub(crate) trusted: bool,
    /// The port that the client connected to.
    pub(crate) port: u16,
    /// Whether the client speaks TLS.
    pub(crate) is_secure: bool,
    /// The published port that it came in on, whose service answers whatever the host is.
    pub(crate) published: Option<SocketAddr>,
    pub(crate) activity: Arc<Activity>,
}

impl Peer {
    /// The scheme of what it asks for.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.is_secure { "https" } else { "http" }
    }
}

/// Answers what comes on a connection until it ends.
pub(crate) async fn serve(
    worker: &Rc<Worker>,
    stream: TcpStream,
    entrance: Entrance,
    activity: &Arc<Activity>,
) -> Result<(), Failure> {
    let address = stream.peer_addr()?.ip().to_canonical();
    let peer = Rc::new(Peer {
        address,
        trusted: worker.is_trusted(address),
        port: stream.local_addr()?.port(),
        is_secure: entrance.accepts == Accepts::Secure,
        published: (entrance.accepts == Accepts::Published).then_some(entrance.address),
        activity: Arc::clone(activity),
    });
    let patience = worker.limits().first_request_timeout;
    let seat = activity.seat();
    if let (Accepts::Secure, Some(tls)) = (entrance.accepts, &worker.shared.tls) {
        let secure = tokio::select! {
            secure = timeout(patience, tls.accept(stream)) => secure??,
            () = seat.asked_to_leave() => return Ok(()),
        };
        let Some(secure) = secure else { return Ok(()) };
        let version = match secure.get_ref().1.alpn_protocol() {
            Some(HTTP2) => Version::Http2,
            _ => Version::Http1,
        };
        return speak(worker, &peer, secure, version).await;
    }
    let version = tokio::select! {
        version = timeout(patience, version(&stream)) => version??,
        () = seat.asked_to_leave() => return Ok(()),
    };
    speak(worker, &peer, stream, version).await
}

/// Speaks HTTP of this version until the connection ends.
async fn speak<S>(
    worker: &Rc<Worker>,
    peer: &Rc<Peer>,
    stream: S,
    version: Version,
) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = worker.limits();
    let activity = &peer.activity;
    let is_http1 = matches!(version, Version::Http1);
    let io = TokioIo::new(ClientIo::new(stream, activity, limits.idle_timeout, is_http1));
    let service = service_fn(|request: Request<Incoming>| {
        let (worker, peer) = (Rc::clone(worker), Rc::clone(peer));
        let busy = peer.activity.begin();
        async move {
            let response = serve::handle(worker, peer, request).await;
            Ok::<_, Infallible>(response.map(|body| ClientBody { body, _busy: busy }))
        }
    });
    match version {
        Version::Http1 => {
            let connection = http1_builder(worker).serve_connection(io, service).with_upgrades();
            let mut connection = pin!(connection);
            let end = limits_reached(worker, activity);
            tokio::select! {
                biased;
                result = connection.as_mut() => return Ok(result?),
                end = end => match end {
                    End::Now => return Ok(()),
                    End::AfterRequest => connection.as_mut().graceful_shutdown(),
                },
            }
            Ok(connection.await?)
        }
        Version::Http2 => {
            let connection = http2_builder(worker).serve_connection(io, service);
            let mut connection = pin!(connection);
            let end = limits_reached(worker, activity);
            tokio::select! {
                biased;
                result = connection.as_mut() => return Ok(result?),
                end = end => match end {
                    End::Now => return Ok(()),
                    End::AfterRequest => connection.as_mut().graceful_shutdown(),
                },
            }
            Ok(connection.await?)
        }
        Version::Nothing => Ok(()),
    }
}

/// How a connection has to end.
enum End {
    /// Nothing is under way.
    Now,
    /// Once what is under way is answered.
    AfterRequest,
}

/// Returns when a connection has to end: it was unused for too long, its place goes to somebody
/// else, or the edge ends.
async fn limits_reached(worker: &Worker, activity: &Activity) -> End {
    let limits = worker.limits();
    // No deadline is nearer than this to the moment in which it arises.
    let period =
        limits.header_timeout.min(limits.first_request_timeout).min(limits.keep_alive_timeout);
    let seat = activity.seat();
    let mut closing = worker.closing.subscribe();
    let mut timer = pin!(sleep(period));
    loop {
        tokio::select! {
            // Whoever is just asking for something still gets it when the edge ends.
            _ = closing.wait_for(|closing| *closing) => {
                return if activity.is_waiting() { End::Now } else { End::AfterRequest };
            }
            () = seat.asked_to_leave() => {
                return if activity.is_unused() { End::Now } else { End::AfterRequest };
            }
            () = timer.as_mut() => {
                let now = Instant::now();
                match activity.deadline(limits) {
                    Some(deadline) if deadline <= now => return End::Now,
                    Some(deadline) => timer.as_mut().reset(deadline.min(now + period)),
                    None => timer.as_mut().reset(now + period),
                }
            }
        }
    }
}

fn http1_builder(worker: &Worker) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // The time for a head is limited together with that without one.
        .header_read_timeout(None)
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
        .keep_alive_interval(PING_INTERVAL);
    builder
}

/// An answer on its way to a client, whose connection is in use until its end.
struct ClientBody {
    body: Body,
    _busy: Busy,
}

impl http_body::Body for ClientBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
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
async fn version(stream: &TcpStream) -> std::io::Result<Version> {
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
