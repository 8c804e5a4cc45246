//! Messages of shims, awaited.

use std::io;
use std::os::fd::OwnedFd;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use serde::de::DeserializeOwned;
use tokio::io::unix::AsyncFd;

use crate::{seqpacket, sys};

/// Makes a socket one that can be awaited.
pub(super) fn listen(socket: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    sys::watch(socket)
}

/// The next message with its descriptors; `None` when the other side is gone.
pub(super) async fn next<T: DeserializeOwned>(
    socket: &AsyncFd<OwnedFd>,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    loop {
        let mut guard = socket.readable().await?;
        match guard.try_io(|socket| seqpacket::receive(socket.get_ref())) {
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            Ok(result) => return result,
            Err(_would_block) => {}
        }
    }
}
