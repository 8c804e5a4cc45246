//! The driver's end of the nursery.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::order::Birth;
use crate::{seqpacket, shim};

/// Starts the nursery when it is first needed, and again if it is gone.
#[derive(Debug)]
pub(super) struct Nursery {
    command: Vec<OsString>,
    /// What shims say when they panic.
    log: PathBuf,
    process: Option<(Child, OwnedFd)>,
}

impl Nursery {
    pub(super) fn new(command: Vec<OsString>, log: PathBuf) -> Self {
        Self { command, log, process: None }
    }

    /// Asks for a shim that tells its news on `reply`.
    pub(super) fn ask(&mut self, birth: &Birth, reply: OwnedFd) -> io::Result<()> {
        if let Some((_, socket)) = &self.process
            && seqpacket::send(socket, birth, &[reply.as_raw_fd()]).is_ok()
        {
            return Ok(());
        }
        self.end();
        let started = self.start()?;
        let (_, socket) = self.process.insert(started);
        seqpacket::send(socket, birth, &[reply.as_raw_fd()])
    }

    fn start(&self) -> io::Result<(Child, OwnedFd)> {
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| io::Error::other("no shim command is configured"))?;
        let (ours, theirs) = seqpacket::pair()?;
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.log)?;
        let child = Command::new(program)
            .args(arguments)
            .arg(shim::NURSERY)
            // Nothing of the server's environment may be seen from an instance.
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::from(log))
            .spawn()?;
        Ok((child, ours))
    }

    /// The nursery ends when its socket closes; the shims do not care.
    fn end(&mut self) {
        if let Some((mut child, socket)) = self.process.take() {
            drop(socket);
            let _ = child.wait();
        }
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        self.end();
    }
}
