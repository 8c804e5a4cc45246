//! Accepting connections.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::connection::{self, Activity};
use crate::sources::{Place, Share, is_out_of_files};
use crate::tcp;
use crate::worker::{Accepts, Worker};

/// Pause after the kernel refused a connection for a reason that is not the client's.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a connection that was asked to make room may take for it.
const SHED_PAUSE: Duration = Duration::from_millis(5);
/// How many connections make room, one after the other, for one that cannot be accepted.
const MAX_SHEDS: usize = 8;
/// After this silence the kernel asks whether the client is still there.
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// What a client is told for whom there is no place.
const NO_PLACE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; \
    charset=utf-8\r\ncontent-length: 52\r\nretry-after: 5\r\nconnection: close\r\n\r\n\
    Too many connections are open. Please try it again.\n";

/// Where connections come in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entrance {
    /// What it leads to.
    pub(crate) accepts: Accepts,
    /// The address that the table knows it by.
    pub(crate) address: SocketAddr,
}

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Accepts connections until the task is aborted. Nothing that clients do keeps the next one
/// waiting: those for whom there is no place are sent away.
pub(crate) async fn accept(worker: Rc<Worker>, listener: TcpListener, entrance: Entrance) {
    let mut reserve = Reserve::new();
    let mut sheds = 0;
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                sheds = 0;
                let share = match worker.is_trusted(address.ip()) {
                    true => Share::Any,
                    false => Share::One,
                };
                let Some(place) = worker.shared.sources.admit(address.ip(), share) else {
                    send_away(&worker, entrance, &stream);
                    continue;
                };
                let worker = Rc::clone(&worker);
                spawn_local(async move {
                    if let Err(cause) = serve(&worker, stream, entrance, place).await {
                        tell(&worker, address.ip(), &*cause);
                    }
                });
            }
            Err(cause) if is_out_of_files(&cause) => {
                if worker.may_complain() {
                    warn!(error = &cause as &dyn std::error::Error, "out of file descriptors");
                }
                sheds += 1;
                if sheds <= MAX_SHEDS && worker.shared.sources.shed() {
                    sleep(SHED_PAUSE).await;
                } else {
                    sheds = 0;
                    reserve.send_one_away(&listener).await;
                }
            }
            Err(cause) => {
                warn!(error = &cause as &dyn std::error::Error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(
    worker: &Rc<Worker>,
    stream: TcpStream,
    entrance: Entrance,
    place: Place,
) -> Result<(), Failure> {
    let _open = Open::new(worker);
    keep_alive(&stream)?;
    if is_tcp(worker, entrance) {
        place.used();
        return tcp::pass_on(worker, stream, entrance.address).await;
    }
    let activity = Activity::new(place);
    connection::serve(worker, stream, entrance, &activity).await
}

/// Logs why a connection ended. What was refused before it became a request is in no service's log,
/// so it is told here, but not more often than a person reads.
fn tell(worker: &Worker, client: IpAddr, cause: &(dyn std::error::Error + Send + Sync + 'static)) {
    let is_refused = cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse);
    if is_refused && worker.may_complain() {
        warn!(%client, error = cause as &dyn std::error::Error, "refused what is no HTTP request");
    } else {
        debug!(%client, error = cause as &dyn std::error::Error, "a connection ended with an error");
    }
}

/// Whether connections are passed on as they are. A port that has just left the table has nothing
/// any more: that is for TCP to close, which needs no words.
fn is_tcp(worker: &Worker, entrance: Entrance) -> bool {
    entrance.accepts == Accepts::Published
        && worker
            .served()
            .table
            .published(entrance.address)
            .is_none_or(|published| published.is_tcp)
}

fn send_away(worker: &Worker, entrance: Entrance, stream: &TcpStream) {
    debug!("no place for a connection: all of them are in use");
    if !is_tcp(worker, entrance) {
        // It is closed whether or not this can be said.
        let _ = stream.try_write(NO_PLACE);
    }
}

/// A file descriptor that is given up for a moment when there are no more: so that a connection
/// which cannot be served is at least taken from the queue and closed.
struct Reserve(Option<File>);

impl Reserve {
    fn new() -> Self {
        Self(File::open("/dev/null").ok())
    }

    async fn send_one_away(&mut self, listener: &TcpListener) {
        self.0 = None;
        let sent_away = timeout(Duration::ZERO, listener.accept()).await;
        let has_failed = matches!(sent_away, Ok(Err(_)));
        drop(sent_away);
        *self = Self::new();
        if has_failed || self.0.is_none() {
            sleep(ACCEPT_PAUSE).await;
        }
    }
}

/// Counts a connection for as long as its core has to serve it.
struct Open(Rc<Worker>);

impl Open {
    fn new(worker: &Rc<Worker>) -> Self {
        worker.connections.set(worker.connections.get() + 1);
        Self(Rc::clone(worker))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() - 1);
        self.0.connection_ended.notify_one();
    }
}

/// Sends what is written at once, and has the kernel notice when the other side is gone.
pub(crate) fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_TIME).with_interval(KEEPALIVE_INTERVAL);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
