//! A target as one core sees it: a pool of connections.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustix::net::RecvFlags;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout};

use crate::body::RequestBody;
use crate::counters;

/// How long an unused connection is kept when the target does not say. Some servers close theirs
/// after 2 s: to be first is what matters, a new connection costs little.
const DEFAULT_KEEP: Duration = Duration::from_millis(1500);
const MAX_KEEP: Duration = Duration::from_secs(30);
/// Distance to the time at which the target said it would close.
const KEEP_MARGIN: Duration = Duration::from_secs(1);
/// Unused connections that a core keeps to one target.
const MAX_IDLE: usize = 256;
/// How often unused connections are looked through while there are any.
const SWEEP_INTERVAL: Duration = Duration::from_millis(500);

/// One target's connections on one core.
#[derive(Debug)]
pub(crate) struct Upstream {
    address: SocketAddr,
    /// Time in which it must accept a connection.
    connect_timeout: Duration,
    counters: Arc<counters::Target>,
    idle: RefCell<Vec<Idle>>,
    /// It left the table: no request may begin, no connection is kept.
    retired: Cell<bool>,
    /// Told when it leaves the table.
    left: Notify,
    suspect_until: Cell<Option<Instant>>,
    sweeping: Cell<bool>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    expires: Instant,
}

/// A connection that can take a request.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: SendRequest<RequestBody>,
    /// The socket belongs to hyper; when it is gone, the connection is.
    socket: Weak<TcpStream>,
}

impl Upstream {
    pub(crate) fn new(
        address: SocketAddr,
        connect_timeout: Duration,
        counters: Arc<counters::Target>,
    ) -> Self {
        Self {
            address,
            connect_timeout,
            counters,
            idle: RefCell::default(),
            retired: Cell::new(false),
            left: Notify::new(),
            suspect_until: Cell::new(None),
            sweeping: Cell::new(false),
        }
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.get()
    }

    pub(crate) fn retire(&self) {
        self.retired.set(true);
        self.idle.borrow_mut().clear();
        self.left.notify_waiters();
    }

    pub(crate) fn is_suspect(&self, now: Instant) -> bool {
        self.suspect_until.get().is_some_and(|until| now < until)
    }

    pub(crate) fn suspect(&self, until: Instant) {
        self.suspect_until.set(Some(until));
    }

    pub(crate) fn begin(&self, core: usize) -> Rc<InFlight> {
        self.counters.begin(core);
        Rc::new(InFlight { core, counters: Arc::clone(&self.counters) })
    }

    /// A used connection. With `quiet_only`, one that the kernel says is neither closed nor has
    /// anything to read.
    pub(super) fn used(&self, quiet_only: bool) -> Option<Connection> {
        let now = Instant::now();
        let mut idle = self.idle.borrow_mut();
        // The newest is last, and the one that its target closes last.
        let mut position = idle.len();
        while position > 0 {
            position -= 1;
            let candidate = &idle[position].connection;
            if candidate.sender.is_closed() || idle[position].expires <= now {
                idle.remove(position);
            } else if candidate.sender.is_ready() {
                let connection = idle.remove(position).connection;
                if !quiet_only || connection.is_quiet() {
                    return Some(connection);
                }
            }
        }
        None
    }

    /// A new connection, bare. Whoever still waits for one when the target leaves the table is free
    /// to follow the new table at once.
    pub(crate) async fn connect_bare(&self) -> io::Result<TcpStream> {
        let connecting = timeout(self.connect_timeout, TcpStream::connect(self.address));
        let stream = tokio::select! {
            biased;
            connected = connecting => {
                connected.map_err(|_| io::Error::other("it does not answer"))??
            }
            () = self.left.notified() => return Err(io::Error::other("it was replaced")),
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    pub(super) async fn connect(&self) -> io::Result<Connection> {
        let stream = self.connect_bare().await?;
        let stream = Arc::new(stream);
        let socket = Arc::downgrade(&stream);
        let (sender, connection) = http1::Builder::new()
            .handshake(TokioIo::new(Socket(stream)))
            .await
            .map_err(io::Error::other)?;
        // It ends when its sender and its answer are dropped, or when the target closes it; what
        // went wrong is told to whoever waits for the answer.
        spawn_local(async move {
            let _ = connection.with_upgrades().await;
        });
        Ok(Connection { sender, socket })
    }

    fn keep(self: &Rc<Self>, connection: Connection, keep: Duration) {
        if self.retired.get() || keep.is_zero() || connection.sender.is_closed() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= MAX_IDLE {
            idle.remove(0);
        }
        idle.push(Idle { connection, expires: Instant::now() + keep });
        drop(idle);
        if !self.sweeping.replace(true) {
            spawn_local(Rc::clone(self).sweep());
        }
    }

    /// Closes what was unused for too long, until nothing is left.
    async fn sweep(self: Rc<Self>) {
        loop {
            sleep(SWEEP_INTERVAL).await;
            let now = Instant::now();
            let mut idle = self.idle.borrow_mut();
            idle.retain(|idle| idle.expires > now && !idle.connection.sender.is_closed());
            if idle.is_empty() {
                idle.shrink_to_fit();
                self.sweeping.set(false);
                return;
            }
        }
    }
}

impl Connection {
    fn is_quiet(&self) -> bool {
        let Some(socket) = self.socket.upgrade() else { return false };
        let mut byte = [0; 1];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        matches!(rustix::net::recv(&*socket, &mut byte[..], flags), Err(rustix::io::Errno::AGAIN))
    }
}

/// A connection with the answer on it; after that, one for the next request.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(super) connection: Connection,
    pub(super) upstream: Rc<Upstream>,
    /// How long it may be unused.
    pub(super) keep: Duration,
}

impl Lease {
    pub(super) fn give_back(self) {
        self.upstream.keep(self.connection, self.keep);
    }
}

/// How long an unused connection may be kept, by the target's `Keep-Alive: timeout=5`.
pub(super) fn keep_time(headers: &http::HeaderMap) -> Duration {
    let seconds =
        headers.get("keep-alive").and_then(|value| value.to_str().ok()).and_then(|text| {
            text.split(',')
                .find_map(|part| part.trim().strip_prefix("timeout=")?.trim().parse().ok())
        });
    match seconds.map(Duration::from_secs) {
        None => DEFAULT_KEEP,
        Some(timeout) if timeout > KEEP_MARGIN => (timeout - KEEP_MARGIN).min(MAX_KEEP),
        Some(timeout) => timeout / 4,
    }
}

/// Counts a request for as long as its target works for it.
#[derive(Debug)]
pub(crate) struct InFlight {
    core: usize,
    counters: Arc<counters::Target>,
}

impl InFlight {
    pub(super) fn core(&self) -> usize {
        self.core
    }

    pub(super) fn failed(&self) {
        self.counters.failed(self.core);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.counters.end(self.core);
    }
}

/// A socket that can be looked at while hyper owns it.
struct Socket(Arc<TcpStream>);

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(context))?;
            match self.0.try_read_buf(buffer) {
                Ok(_) => return Poll::Ready(Ok(())),
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {}
                Err(cause) => return Poll::Ready(Err(cause)),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            match self.0.try_write(buffer) {
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            match self.0.try_write_vectored(buffers) {
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match SockRef::from(&*self.0).shutdown(std::net::Shutdown::Write) {
            Err(cause) if cause.kind() != io::ErrorKind::NotConnected => Poll::Ready(Err(cause)),
            _ => Poll::Ready(Ok(())),
        }
    }
}
