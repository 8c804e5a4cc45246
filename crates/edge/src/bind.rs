//! Listening sockets.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use crate::error::Error;

/// Connections that may wait to be accepted on each socket; the kernel caps it (`somaxconn`).
const BACKLOG: i32 = 4096;

/// One listening socket per core on the same address. The address returned has the real port.
///
/// `SO_REUSEPORT` would let a second edge of the same user bind the same port and take half of the
/// connections. So the first socket is bound without it, which the kernel refuses while anybody
/// listens there, and joins the group afterwards.
pub(crate) fn http(
    address: SocketAddr,
    cores: usize,
) -> Result<(SocketAddr, Vec<TcpListener>), Error> {
    // The bridge that carries a gateway's address may come after the edge.
    sockets(address, cores, Binds::Freely).map_err(|source| Error::Bind {
        address,
        hint: hint(address, &source),
        source,
    })
}

/// The same for the port of a service. The error is for the person who asked for that port.
pub(crate) fn published(address: SocketAddr, cores: usize) -> Result<Vec<TcpListener>, String> {
    if address.port() == 0 {
        return Err("a port has to be named".to_owned());
    }
    let bound = sockets(address, cores, Binds::Strictly);
    bound.map(|(_, listeners)| listeners).map_err(|cause| match cause.kind() {
        io::ErrorKind::AddrInUse => "another program listens there".to_owned(),
        io::ErrorKind::PermissionDenied if address.port() < 1024 => {
            "ports below 1024 need privileges".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        _ => cause.to_string(),
    })
}

/// Whether an address that the machine does not have (yet) may be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binds {
    Freely,
    Strictly,
}

fn sockets(
    address: SocketAddr,
    cores: usize,
    binds: Binds,
) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    let first = tcp_socket(address, binds)?;
    first.bind(&address.into())?;
    first.set_reuse_port(true)?;
    first.listen(BACKLOG)?;
    let first: TcpListener = first.into();
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..cores {
        let next = tcp_socket(address, binds)?;
        next.set_reuse_port(true)?;
        next.bind(&address.into())?;
        next.listen(BACKLOG)?;
        listeners.push(next.into());
    }
    Ok((address, listeners))
}

fn tcp_socket(address: SocketAddr, binds: Binds) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Connections of an earlier edge in TIME_WAIT must not keep this one from its port.
    socket.set_reuse_address(true)?;
    if binds == Binds::Freely {
        free_bind(&socket, address.ip())?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

fn free_bind(socket: &Socket, address: IpAddr) -> io::Result<()> {
    if address.is_loopback() || address.is_unspecified() {
        Ok(())
    } else if address.is_ipv6() {
        socket.set_freebind_v6(true)
    } else {
        socket.set_freebind_v4(true)
    }
}

/// The sockets of a name server.
pub(crate) fn dns(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let udp = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    udp.set_nonblocking(true)?;
    free_bind(&udp, address.ip())?;
    udp.bind(&address.into())?;
    let udp: UdpSocket = udp.into();
    let tcp = tcp_socket(SocketAddr::new(address.ip(), udp.local_addr()?.port()), Binds::Freely)?;
    tcp.bind(&SocketAddr::new(address.ip(), udp.local_addr()?.port()).into())?;
    tcp.listen(128)?;
    Ok((udp, tcp.into()))
}

fn hint(address: SocketAddr, error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program (or another edge) listens there (hint: stop it, or choose another port with `--port`)"
        }
        io::ErrorKind::PermissionDenied if address.port() < 1024 => {
            "ports below 1024 need privileges (hint: choose a higher one with `--port`)"
        }
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
        _ => "the kernel refused it",
    }
}
