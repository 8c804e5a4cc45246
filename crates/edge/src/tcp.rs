//! Connections on published ports, passed on as they are.
//!
//! A connection chooses its target once, when it comes in, and stays there; the target counts it as
//! in flight until both sides have closed it. Each side may close its half alone. A side that reads
//! slowly slows the other one down, and one that is silent may stay so: only the kernel's keepalive
//! ends a connection whose other side is gone. Their number is limited together with that of HTTP
//! connections ([`crate::Limits::max_connections`]).

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use crate::listen::{Failure, keep_alive};
use crate::proxy::{InFlight, SUSPICION, Upstream};
use crate::serve::{UNREACHED_HOLD, UNREACHED_RETRY};
use crate::table::Backend;
use crate::worker::{Served, Worker};

/// Taken from one side before it is given to the other.
const BUFFER_BYTES: usize = 16 * 1024;
/// When the edge ends, a connection ends that was silent for this long.
const QUIET_AT_END: Duration = Duration::from_secs(1);

/// Passes one connection on until it ends.
pub(crate) async fn pass_on(
    worker: &Rc<Worker>,
    client: TcpStream,
    published: SocketAddr,
) -> Result<(), Failure> {
    keep_alive(&client)?;
    let chosen = choose(worker, published).await;
    let Some((target, in_flight)) = chosen else { return Ok(()) };
    keep_alive(&target)?;
    let copied = copy(worker, client, target).await;
    drop(in_flight);
    copied?;
    Ok(())
}

/// A connection to a target whose turn it is; `None` when there is none to be had.
async fn choose(worker: &Rc<Worker>, published: SocketAddr) -> Option<(TcpStream, Rc<InFlight>)> {
    let began = Instant::now();
    let mut unreached_since = None;
    let mut is_counted = false;
    let mut is_held = false;
    loop {
        let served = worker.served();
        let index = served.table.published(published)?.route;
        let route = &served.table.routes[index];
        if !std::mem::replace(&mut is_counted, true) {
            route.service.request(worker.index);
        }
        // When it is worth another look, and when it was long enough.
        let now = Instant::now();
        let (again, until) = match &route.backend {
            Backend::Targets(_) => {
                if let Some(connected) = connect(worker, &served, index).await {
                    return Some(connected);
                }
                // The one that just died may be about to be replaced.
                let since = *unreached_since.get_or_insert(now);
                (Instant::now() + UNREACHED_RETRY, since + UNREACHED_HOLD)
            }
            Backend::Hold(limit) => {
                unreached_since = None;
                (began + *limit, began + *limit)
            }
            Backend::Static(_) | Backend::RedirectHost(_) | Backend::Unavailable(_) => (now, now),
        };
        if until <= Instant::now() {
            route.service.failed(worker.index);
            return None;
        }
        if !std::mem::replace(&mut is_held, true) {
            route.service.held(worker.index);
        }
        // Only this thread changes the table: between this look and the wait nothing is missed.
        let mut changed = pin!(worker.changed.notified());
        changed.as_mut().enable();
        if !Rc::ptr_eq(&served, &worker.served()) {
            continue;
        }
        tokio::select! {
            () = changed => {}
            () = sleep_until(again.min(until)) => {}
        }
    }
}

async fn connect(
    worker: &Worker,
    served: &Served,
    index: usize,
) -> Option<(TcpStream, Rc<InFlight>)> {
    let upstreams: &[Rc<Upstream>] = &served.upstreams[index];
    let turn = served.turns[index].get();
    served.turns[index].set(turn.wrapping_add(1));
    for suspects in [false, true] {
        for offset in 0..upstreams.len() {
            let upstream = &upstreams[(turn + offset) % upstreams.len()];
            if upstream.is_retired() || upstream.is_suspect(Instant::now()) != suspects {
                continue;
            }
            // From here on the target's drain waits for this connection.
            let in_flight = upstream.begin(worker.index);
            match upstream.connect_bare().await {
                // One that left the table meanwhile gets none that could stay for long.
                Ok(_) if upstream.is_retired() => {}
                Ok(stream) => return Some((stream, in_flight)),
                Err(_) => upstream.suspect(Instant::now() + SUSPICION),
            }
        }
    }
    None
}

/// Copies both ways until both sides are done. When the edge ends, a connection ends once it is
/// silent: only those who speak on it know where something ends.
async fn copy(worker: &Worker, client: TcpStream, target: TcpStream) -> io::Result<()> {
    let heard = Rc::new(Cell::new(Instant::now()));
    let mut client = Heard { stream: client, at: Rc::clone(&heard) };
    let mut target = Heard { stream: target, at: Rc::clone(&heard) };
    let copied =
        copy_bidirectional_with_sizes(&mut client, &mut target, BUFFER_BYTES, BUFFER_BYTES);
    let mut closing = worker.closing.subscribe();
    let silent_at_end = async {
        let _ = closing.wait_for(|closing| *closing).await;
        while heard.get() + QUIET_AT_END > Instant::now() {
            sleep_until(heard.get() + QUIET_AT_END).await;
        }
    };
    tokio::select! {
        copied = copied => copied.map(drop),
        () = silent_at_end => Ok(()),
    }
}

/// A side of a connection that remembers when it was last heard.
struct Heard {
    stream: TcpStream,
    at: Rc<Cell<Instant>>,
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.at.set(Instant::now());
        }
        read
    }
}

impl AsyncWrite for Heard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
