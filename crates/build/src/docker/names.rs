//! Names for a room without a way to the host: questions of its programs are passed on to the
//! servers that the host itself asks, which may be on the host's loopback.
//!
//! The answering threads begin while their process is still in the host's network, where they stay,
//! and get sockets of the room's when it has one. They end with the process.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// Where the host says whom it asks.
const SETTINGS: &str = "/etc/resolv.conf";
const PORT: u16 = 53;
/// Questions that wait for an answer at once; more are dropped, and asked again.
const WAITING_MAX: usize = 256;
/// How long a server may think about one question.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest question or answer in one packet.
const PACKET_BYTES_MAX: usize = 4096;
/// Where nothing else is said, a server of the host's own is asked, as the C library does.
const USUAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// Answers questions with the help of the host's servers.
pub(super) struct Names {
    servers: Vec<SocketAddr>,
    /// What else the host's settings say: where to search, and how.
    more: String,
    sockets: Sender<(UdpSocket, TcpListener)>,
}

impl Names {
    /// Reads the host's settings and begins to wait for sockets, in the host's network.
    pub(super) fn begin() -> io::Result<Self> {
        let text = fs::read_to_string(SETTINGS).unwrap_or_default();
        let (servers, more) = parse(&text);
        let (sockets, taken) = channel();
        let asked = servers.clone();
        thread::Builder::new().name("names".to_owned()).spawn(move || serve(&taken, &asked))?;
        Ok(Self { servers, more, sockets })
    }

    /// Answers on this address, in the calling thread's network, and returns settings for programs
    /// that shall ask there.
    pub(super) fn answer_at(&self, address: IpAddr) -> io::Result<String> {
        debug_assert!(!self.servers.is_empty(), "there is always a server to ask");
        let sockets = (UdpSocket::bind((address, PORT))?, TcpListener::bind((address, PORT))?);
        self.sockets.send(sockets).map_err(io::Error::other)?;
        Ok(format!("nameserver {address}\n{}", self.more))
    }
}

/// The file behind the settings' name, whatever links lead there; `None` where a host has none.
pub(super) fn settings_file() -> Option<PathBuf> {
    Path::new(SETTINGS).canonicalize().ok()
}

fn parse(text: &str) -> (Vec<SocketAddr>, String) {
    let mut servers = Vec::new();
    let mut more = String::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                servers.extend(address.map(|address| SocketAddr::new(address, PORT)));
            }
            Some("search" | "domain" | "options") => {
                more.push_str(line.trim());
                more.push('\n');
            }
            _ => {}
        }
    }
    if servers.is_empty() {
        servers.push(SocketAddr::new(USUAL, PORT));
    }
    (servers, more)
}

fn serve(sockets: &Receiver<(UdpSocket, TcpListener)>, servers: &[SocketAddr]) {
    let Ok((packets, connections)) = sockets.recv() else { return };
    let waiting = Arc::new(AtomicUsize::new(0));
    let (of_streams, servers_of_streams) = (Arc::clone(&waiting), servers.to_vec());
    thread::spawn(move || {
        for connection in connections.incoming().flatten() {
            let servers = servers_of_streams.clone();
            in_turn(&of_streams, move || {
                // Whoever asked sees the connection end, and asks again.
                let _ = relay(connection, &servers);
            });
        }
    });
    let packets = Arc::new(packets);
    let mut question = [0; PACKET_BYTES_MAX];
    while let Ok((length, from)) = packets.recv_from(&mut question) {
        let question = question[..length].to_vec();
        let (packets, servers) = (Arc::clone(&packets), servers.to_vec());
        in_turn(&waiting, move || {
            if let Some(answer) = servers.iter().find_map(|server| ask(&question, server).ok()) {
                let _ = packets.send_to(&answer, from);
            }
        });
    }
}

fn in_turn(waiting: &Arc<AtomicUsize>, work: impl FnOnce() + Send + 'static) {
    if waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
        waiting.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let counted = Arc::clone(waiting);
    let begun = thread::Builder::new().spawn(move || {
        work();
        counted.fetch_sub(1, Ordering::Relaxed);
    });
    if begun.is_err() {
        waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

fn ask(question: &[u8], server: &SocketAddr) -> io::Result<Vec<u8>> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(server)?;
    socket.send(question)?;
    let mut answer = vec![0; PACKET_BYTES_MAX];
    let length = socket.recv(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}

/// Long answers come in streams: each message after its length.
fn relay(mut asker: TcpStream, servers: &[SocketAddr]) -> io::Result<()> {
    let found = servers.iter().find_map(|one| TcpStream::connect_timeout(one, PATIENCE).ok());
    let mut server = found.ok_or(io::ErrorKind::NotConnected)?;
    for stream in [&asker, &server] {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
    }
    loop {
        pass(&mut asker, &mut server)?;
        pass(&mut server, &mut asker)?;
    }
}

fn pass(from: &mut TcpStream, to: &mut TcpStream) -> io::Result<()> {
    let mut length = [0; 2];
    from.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    from.read_exact(&mut message)?;
    to.write_all(&[&length[..], &message].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_servers_are_asked_and_its_other_settings_kept() {
        let text = "# made by\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\n nameserver ::1\n\
                    search example.com\noptions edns0\nsortlist x\n";
        let (servers, more) = parse(text);
        assert_eq!(servers, ["127.0.0.53:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
        assert_eq!(more, "search example.com\noptions edns0\n");
        assert_eq!(parse("").0, ["127.0.0.1:53".parse().unwrap()]);
    }

    #[test]
    fn questions_in_packets_and_in_streams_are_passed_on() {
        let packets = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = packets.local_addr().unwrap();
        let streams = TcpListener::bind(server).unwrap();
        thread::spawn(move || {
            let mut question = [0; 64];
            let (length, from) = packets.recv_from(&mut question).unwrap();
            packets.send_to(&[b"to ", &question[..length]].concat(), from).unwrap();
            let (mut stream, _) = streams.accept().unwrap();
            let mut message = [0; 5];
            stream.read_exact(&mut message).unwrap();
            stream.write_all(&message).unwrap();
        });
        let sockets =
            (UdpSocket::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let at = (sockets.0.local_addr().unwrap(), sockets.1.local_addr().unwrap());
        let (give, taken) = channel();
        give.send(sockets).unwrap();
        thread::spawn(move || serve(&taken, &[server]));
        assert_eq!(ask(b"you", &at.0).unwrap(), b"to you");
        let mut stream = TcpStream::connect(at.1).unwrap();
        stream.write_all(b"\0\x03abc").unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"\0\x03abc");
    }
}
