//! Messages with descriptors between the driver, the nursery and the shims: sequenced-packet
//! sockets keep message boundaries and order, and tell when the other side is gone.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::cmsg_space;
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType,
    UnixAddr, accept4, bind, connect, listen, recvmsg, sendmsg, socket, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::sys;

/// Longest message. The kernel's default socket buffer takes a little more.
const MESSAGE_BYTES_MAX: usize = 160 * 1024;
/// Most descriptors in one message.
const DESCRIPTORS_MAX: usize = 4;

/// Two connected sockets.
pub(crate) fn pair() -> nix::Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
}

/// Listens on `name` in the current directory: the path may be longer than socket addresses are.
pub(crate) fn listen_here(name: &str) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let listener = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    let _ = std::fs::remove_file(name);
    bind(listener.as_raw_fd(), &UnixAddr::new(name)?)?;
    listen(&listener, Backlog::new(16)?)?;
    Ok(listener)
}

/// Takes a waiting connection.
pub(crate) fn accept(listener: impl AsFd) -> nix::Result<OwnedFd> {
    accept4(listener.as_fd().as_raw_fd(), SockFlag::SOCK_CLOEXEC).map(sys::own)
}

/// Connects to a socket in `directory`, whatever the length of its path.
pub(crate) fn connect_in(directory: &Path, name: &str) -> std::io::Result<OwnedFd> {
    let directory = std::fs::File::open(directory)?;
    let path = format!("/proc/self/fd/{}/{name}", directory.as_raw_fd());
    let connection =
        socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
    connect(connection.as_raw_fd(), &UnixAddr::new(path.as_str())?)?;
    Ok(connection)
}

/// Sends one message.
pub(crate) fn send<T: Serialize>(
    to: impl AsFd,
    message: &T,
    descriptors: &[RawFd],
) -> std::io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let control = [ControlMessage::ScmRights(descriptors)];
    let control = if descriptors.is_empty() { &control[..0] } else { &control[..] };
    sendmsg::<()>(
        to.as_fd().as_raw_fd(),
        &[IoSlice::new(&bytes)],
        control,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    Ok(())
}

/// Receives one message; `None` when the other side has closed.
pub(crate) fn receive<T: DeserializeOwned>(
    from: impl AsFd,
) -> std::io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; MESSAGE_BYTES_MAX];
    let mut space = cmsg_space!([RawFd; DESCRIPTORS_MAX]);
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let received = recvmsg::<()>(
        from.as_fd().as_raw_fd(),
        &mut slices,
        Some(&mut space),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )?;
    let length = received.bytes;
    let mut descriptors = Vec::new();
    for message in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = message {
            descriptors.extend(numbers.into_iter().map(sys::own));
        }
    }
    if length == 0 {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(&bytes[..length])?, descriptors)))
}
