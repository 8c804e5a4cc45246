//! The sockets of one zone.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::answer::{self, Transport, Verdict};
use super::{Forwarder, Names};
use crate::bind;

/// How often listening is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// TCP connections at once.
const MAX_CONNECTIONS: usize = 64;
/// Silence on a TCP connection.
const TCP_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_UDP_BYTES: usize = 4096;
const ERROR_PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Zone {
    pub(super) address: SocketAddr,
    pub(super) names: Rc<RefCell<Names>>,
    pub(super) forwarder: Rc<Forwarder>,
}

/// Listens, as soon as that is possible, and answers until the task is aborted.
pub(super) async fn run(zone: Zone, state: watch::Sender<Option<Result<(), String>>>) {
    let zone = Rc::new(zone);
    let (udp, tcp) = loop {
        match listen(zone.address) {
            Ok(sockets) => break sockets,
            Err(cause) => {
                if state.borrow().is_none() {
                    warn!(
                        address = %zone.address,
                        error = &cause as &dyn std::error::Error,
                        "private names cannot be served yet"
                    );
                }
                state.send_replace(Some(Err(cause.to_string())));
                sleep(RETRY_INTERVAL).await;
            }
        }
    };
    info!(address = %zone.address, "private names are served");
    state.send_replace(Some(Ok(())));
    tokio::join!(serve_udp(&zone, Rc::new(udp)), serve_tcp(&zone, tcp));
}

fn listen(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let (udp, tcp) = bind::dns(address)?;
    Ok((UdpSocket::from_std(udp)?, TcpListener::from_std(tcp)?))
}

async fn serve_udp(zone: &Rc<Zone>, socket: Rc<UdpSocket>) {
    let mut buffer = vec![0; MAX_UDP_BYTES];
    // Owns the questions that were passed on; the forwarder bounds their number.
    let mut forwarded = JoinSet::new();
    loop {
        let (length, client) = tokio::select! {
            received = socket.recv_from(&mut buffer) => match received {
                Ok(received) => received,
                Err(cause) => {
                    // Mostly an earlier answer that its asker did not wait for.
                    warn!(error = &cause as &dyn std::error::Error, "cannot receive a DNS question");
                    sleep(ERROR_PAUSE).await;
                    continue;
                }
            },
            Some(_) = forwarded.join_next() => continue,
        };
        let packet = &buffer[..length];
        match zone.answer(packet, Transport::Udp) {
            Verdict::Drop => {}
            Verdict::Reply(reply) => {
                // An asker that is gone does not matter.
                let _ = socket.send_to(&reply, client).await;
            }
            Verdict::Forward => {
                let (zone, socket, packet) = (Rc::clone(zone), Rc::clone(&socket), packet.to_vec());
                forwarded.spawn_local(async move {
                    if let Some(reply) = zone.forward(&packet, Transport::Udp).await {
                        let _ = socket.send_to(&reply, client).await;
                    }
                });
            }
        }
    }
}

async fn serve_tcp(zone: &Rc<Zone>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    sleep(ERROR_PAUSE).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        let zone = Rc::clone(zone);
        connections.spawn_local(async move {
            // Ends by silence, by the asker's leave or by nonsense; nobody needs to know which.
            let _ = converse(&zone, stream).await;
            drop(place);
        });
    }
}

async fn converse(zone: &Zone, mut stream: TcpStream) -> io::Result<()> {
    loop {
        let length = timeout(TCP_TIMEOUT, stream.read_u16()).await??;
        let mut packet = vec![0; usize::from(length)];
        timeout(TCP_TIMEOUT, stream.read_exact(&mut packet)).await??;
        let reply = match zone.answer(&packet, Transport::Tcp) {
            Verdict::Reply(reply) => Some(reply),
            Verdict::Forward => zone.forward(&packet, Transport::Tcp).await,
            Verdict::Drop => None,
        };
        let Some(reply) = reply else { return Ok(()) };
        let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
        timeout(TCP_TIMEOUT, stream.write_all(&[&length.to_be_bytes(), reply.as_slice()].concat()))
            .await??;
    }
}

impl Zone {
    fn answer(&self, packet: &[u8], transport: Transport) -> Verdict {
        answer::answer(packet, &mut self.names.borrow_mut(), self.address.ip(), transport)
    }

    async fn forward(&self, packet: &[u8], transport: Transport) -> Option<Vec<u8>> {
        match self.forwarder.ask(packet, transport).await {
            Some(reply) => Some(reply),
            None => answer::server_failure(packet),
        }
    }
}
