//! What is asked of the process that holds a running instance, besides its end.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use model::InstanceId;
use tokio::io::unix::AsyncFd;

use crate::driver::{Error, ExecRequest};
use crate::fleet::messages;
use crate::order::{Answer, CONTROL, Request, directory};
use crate::seqpacket;

/// Runs a command inside an instance that some other process has started, by asking its shim:
/// `run_dir` is that process's. The same as [`crate::Driver::exec`] otherwise.
///
/// # Errors
/// When the instance does not run, the command cannot be started, or the run directory is another
/// user's.
pub async fn exec(run_dir: &Path, id: &InstanceId, request: ExecRequest) -> Result<i32, Error> {
    let place = directory(run_dir, id.as_str());
    if !place.exists() {
        return Err(Error::NotFound(id.clone()));
    }
    exec_in(&place, id, request).await
}

pub(super) async fn exec_in(
    directory: &Path,
    id: &InstanceId,
    request: ExecRequest,
) -> Result<i32, Error> {
    let ExecRequest { command, cwd, env, stdio, terminal, time } = request;
    let time_ms = time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let message = Request::Exec { command, cwd, env, terminal, time_ms };
    let numbers = stdio.each_ref().map(AsRawFd::as_raw_fd);
    let failed =
        |why: String| Error::Refused { doing: format!("run a command in instance {id}"), why };
    let connection =
        ask_in(directory, &message, &numbers).map_err(|error| failed(error.to_string()))?;
    drop(stdio);
    match messages::next::<Answer>(&connection).await.map_err(|e| failed(e.to_string()))? {
        Some((Answer::Exited(code), _)) => Ok(code),
        Some((Answer::Refused(why), _)) => Err(failed(why)),
        Some((Answer::Input, _)) | None => Err(Error::NotRunning(id.clone())),
    }
}

pub(super) fn ask_in(
    directory: &Path,
    request: &Request,
    descriptors: &[i32],
) -> io::Result<AsyncFd<OwnedFd>> {
    // Connecting to a local socket does not block: the queue is longer than callers are many.
    let connection = seqpacket::connect_in(directory, CONTROL)?;
    seqpacket::send(&connection, request, descriptors)?;
    messages::listen(connection)
}

/// Takes the writing end of an instance's standard input.
pub(super) async fn input_of(directory: &Path, id: &InstanceId) -> Result<OwnedFd, Error> {
    let failed = |why| Error::Refused { doing: format!("open the input of {id}"), why };
    let connection =
        ask_in(directory, &Request::Input, &[]).map_err(|error| failed(error.to_string()))?;
    match messages::next::<Answer>(&connection).await {
        Ok(Some((Answer::Input, mut descriptors))) => {
            descriptors.pop().ok_or_else(|| failed("it did not come".to_owned()))
        }
        Ok(Some((Answer::Refused(why), _))) => Err(failed(why)),
        Ok(_) => Err(Error::NotRunning(id.clone())),
        Err(error) => Err(failed(error.to_string())),
    }
}
