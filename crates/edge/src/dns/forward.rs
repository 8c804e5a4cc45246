//! Asking the machine's own name servers.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::answer::Transport;

/// How long one name server may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Name servers that are asked, one after the other; as in `resolv.conf(5)`.
const MAX_SERVERS: usize = 3;
/// Questions under way at once; more are answered SERVFAIL.
const MAX_IN_FLIGHT: usize = 512;
const MAX_UDP_BYTES: usize = 4096;
const HEADER_BYTES: usize = 12;

/// Where questions go that are not private.
#[derive(Debug)]
pub(crate) struct Forwarder {
    source: Source,
    port: u16,
    /// Our own name servers: asking those would go round in a circle.
    own: RefCell<Vec<IpAddr>>,
    in_flight: Semaphore,
    ids: RandomState,
    next_id: Cell<u64>,
}

#[derive(Debug)]
enum Source {
    Fixed(Vec<SocketAddr>),
    File { path: PathBuf, read: RefCell<(Option<SystemTime>, Vec<SocketAddr>)> },
}

impl Forwarder {
    /// `None` means the name servers of `/etc/resolv.conf`. `port` is that of our own servers.
    pub(crate) fn new(servers: Option<Vec<SocketAddr>>, port: u16) -> Self {
        let source = match servers {
            Some(servers) => Source::Fixed(servers),
            None => Source::File { path: "/etc/resolv.conf".into(), read: RefCell::default() },
        };
        Self {
            source,
            port,
            own: RefCell::default(),
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
            ids: RandomState::new(),
            next_id: Cell::new(0),
        }
    }

    pub(super) fn set_own_addresses(&self, own: Vec<IpAddr>) {
        *self.own.borrow_mut() = own;
    }

    /// A name server's answer, as it came. `None` when none answered, or when too many questions
    /// are under way.
    pub(super) async fn ask(&self, question: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let _place = self.in_flight.try_acquire().ok()?;
        for server in self.servers() {
            let asked = match transport {
                Transport::Udp => timeout(TIMEOUT, self.ask_udp(server, question)).await,
                Transport::Tcp => timeout(TIMEOUT, ask_tcp(server, question)).await,
            };
            if let Ok(Ok(answer)) = asked {
                return Some(answer);
            }
        }
        None
    }

    /// From a new port each time and with an id of our own: an answer must be hard to forge.
    async fn ask_udp(&self, server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
        let any: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(server).await?;
        let id = self.random_id();
        let mut sent = question.to_vec();
        sent[..2].copy_from_slice(&id);
        socket.send(&sent).await?;
        let mut buffer = vec![0; MAX_UDP_BYTES];
        loop {
            let length = socket.recv(&mut buffer).await?;
            let answer = &mut buffer[..length];
            if is_answer(answer, &sent) {
                answer[..2].copy_from_slice(&question[..2]);
                return Ok(answer.to_vec());
            }
        }
    }

    fn random_id(&self) -> [u8; 2] {
        let number = self.next_id.get();
        self.next_id.set(number.wrapping_add(1));
        let [first, second, ..] = self.ids.hash_one(number).to_be_bytes();
        [first, second]
    }

    fn servers(&self) -> Vec<SocketAddr> {
        let servers = match &self.source {
            Source::Fixed(servers) => servers.clone(),
            Source::File { path, read } => {
                let changed = std::fs::metadata(path).and_then(|file| file.modified()).ok();
                let mut read = read.borrow_mut();
                if read.0 != changed || changed.is_none() {
                    let text = std::fs::read_to_string(path).unwrap_or_default();
                    *read = (changed, name_servers(&text));
                }
                read.1.clone()
            }
        };
        let own = self.own.borrow();
        servers
            .into_iter()
            .filter(|server| !(server.port() == self.port && own.contains(&server.ip())))
            .take(MAX_SERVERS)
            .collect()
    }
}

async fn ask_tcp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    if is_answer(&answer, question) { Ok(answer) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Whether this answers that question: same id, an answer, and the question repeated in it. Servers
/// may change the case of letters, and leave the question out of errors.
fn is_answer(answer: &[u8], question: &[u8]) -> bool {
    if answer.len() < HEADER_BYTES || answer[..2] != question[..2] || answer[2] & 0x80 == 0 {
        return false;
    }
    let repeats = u16::from_be_bytes([answer[4], answer[5]]);
    let Some(asked) = question_bytes(question) else { return true };
    repeats == 0
        || answer
            .get(HEADER_BYTES..HEADER_BYTES + asked.len())
            .is_some_and(|repeated| repeated.eq_ignore_ascii_case(asked))
}

/// Name, type and class of the first question.
fn question_bytes(message: &[u8]) -> Option<&[u8]> {
    let mut at = HEADER_BYTES;
    loop {
        let label = usize::from(*message.get(at)?);
        at += 1;
        if label == 0 {
            return message.get(HEADER_BYTES..at + 4);
        }
        at += label;
    }
}

/// The `nameserver` lines of a `resolv.conf`.
fn name_servers(text: &str) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next())?
        })
        .filter_map(|address| Some(SocketAddr::new(address.parse().ok()?, 53)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read_from_resolv_conf() {
        let text = "# comment\nsearch example.com\nnameserver 10.0.0.2\n nameserver  ::1 # x\nnameserver fe80::1%eth0\n";
        let expect: Vec<SocketAddr> =
            vec!["10.0.0.2:53".parse().unwrap(), "[::1]:53".parse().unwrap()];
        assert_eq!(name_servers(text), expect);
    }

    #[test]
    fn our_own_name_servers_are_not_asked() {
        let own: SocketAddr = "10.77.1.1:53".parse().unwrap();
        let other: SocketAddr = "10.0.0.2:53".parse().unwrap();
        let forwarder = Forwarder::new(Some(vec![own, other]), 53);
        forwarder.set_own_addresses(vec![own.ip()]);
        assert_eq!(forwarder.servers(), vec![other]);
    }
}
