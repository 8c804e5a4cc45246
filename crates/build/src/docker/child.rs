//! A builder as a child of the control plane.
//!
//! It is started by a thread of its own, which stays until the child has ended: the child dies with
//! the thread that started it, and threads of the runtime come and go. Whoever waits for it and is
//! dropped ends it. What a killed control plane might leave for a moment is found by its pid file.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::OpenRoom;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
use telemetry::{LogWriter, Stream};
use tokio::sync::oneshot;

use crate::disk::{self, Overrun};
use crate::error::Error;
use crate::store::write_synced;

use super::command::Call;
use super::launch::{Order, View};

/// How much of the output is kept of calls that have no log.
const KEPT_OUTPUT_BYTES: usize = 256 << 10;
/// How long a builder that was ended may take to be gone.
const END_PATIENCE: Duration = Duration::from_secs(20);

/// How far a builder may go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) time: Duration,
    pub(crate) output_bytes: u64,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Exited(ExitStatus),
    TooLong,
    TooMuchOutput,
    TooMuchOnDisk(Overrun),
    /// It failed after the kernel had ended a process of it for want of memory.
    OutOfMemory,
    /// It failed after it was refused a process.
    TooManyProcesses,
}

impl End {
    pub(crate) fn is_success(self) -> bool {
        matches!(self, Self::Exited(status) if status.success())
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(status) => match (status.code(), status.signal()) {
                (Some(code), _) => write!(formatter, "exited with status {code}"),
                (None, Some(signal)) => write!(formatter, "was ended by signal {signal}"),
                (None, None) => write!(formatter, "ended in an unknown way"),
            },
            Self::TooLong => write!(formatter, "took too long"),
            Self::TooMuchOutput => write!(formatter, "printed too much"),
            Self::TooMuchOnDisk(overrun) => write!(formatter, "{overrun}"),
            Self::OutOfMemory => write!(formatter, "ran out of memory"),
            Self::TooManyProcesses => write!(formatter, "wanted too many processes"),
        }
    }
}

/// What a builder is started with besides its call.
pub(crate) struct Start<'a> {
    /// The words of `gable builder`.
    pub(crate) launcher: &'a [std::ffi::OsString],
    /// Where its process is named while it runs.
    pub(crate) pid_file: &'a Path,
    /// Where steps run. Without one, it is in the host's network and without limits: for calls that
    /// run nothing of anybody's.
    pub(crate) room: Option<OpenRoom>,
    /// A directory that it sees a view of.
    pub(crate) view: Option<View>,
    /// Ends it when it writes too much.
    pub(crate) disk: Option<disk::Watch>,
    /// Where its output goes; where there is none, the output is returned.
    pub(crate) log: Option<LogWriter>,
    pub(crate) limits: Limits,
}

impl<'a> Start<'a> {
    /// For a call that runs nothing of anybody's.
    pub(crate) fn quiet(
        launcher: &'a [std::ffi::OsString],
        pid_file: &'a Path,
        limits: Limits,
    ) -> Self {
        Self { launcher, pid_file, room: None, view: None, disk: None, log: None, limits }
    }
}

/// Runs a call to its end. Dropping the future ends the builder and everything it started.
pub(crate) async fn run(call: &Call, start: Start<'_>) -> Result<(End, String), Error> {
    let doing = || format!("run {}", call.program.display());
    let Some((first, rest)) = start.launcher.split_first() else {
        return Err(Error::io(doing(), io::Error::from(io::ErrorKind::NotFound)));
    };
    let order = Order {
        pid_file: start.pid_file.to_owned(),
        room: start.room.as_ref().map(|open| open.room().clone()),
        view: start.view,
    };
    let mut command = Command::new(first);
    command
        .args(rest)
        .args(order.words(&call.program, &call.arguments))
        .env_clear()
        .envs(call.env.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .process_group(0);
    let time = start.limits.time;
    let shared = Arc::new(Shared::new(start.pid_file));
    let (tell, told) = oneshot::channel();
    let thread = Work {
        command,
        log: start.log,
        room: start.room,
        output_limit: start.limits.output_bytes,
        shared: Arc::clone(&shared),
    };
    std::thread::Builder::new()
        .name("builder".to_owned())
        .spawn(move || {
            // Nobody listens any more when the build was cancelled.
            let _ = tell.send(thread.run());
        })
        .map_err(|error| Error::io("start a thread for the builder", error))?;
    let guard = EndOnDrop(shared);
    let mut told = told;
    let overrun = async {
        match &start.disk {
            Some(watch) => watch.overrun().await,
            None => std::future::pending().await,
        }
    };
    let result = tokio::select! {
        result = &mut told => result,
        () = tokio::time::sleep(time) => {
            guard.0.end(End::TooLong);
            told.await
        }
        overrun = overrun => {
            guard.0.end(End::TooMuchOnDisk(overrun));
            told.await
        }
    };
    let result = result.unwrap_or_else(|_| Err(io::Error::other("the builder's thread has ended")));
    result.map_err(|error| Error::io(doing(), error))
}

/// The child, for whoever may want to end it.
struct Shared {
    pid_file: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    child: Option<Child>,
    ended_for: Option<End>,
}

impl Shared {
    fn new(pid_file: &Path) -> Self {
        Self { pid_file: pid_file.to_owned(), state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the builder, unless it has ended. Whoever is named in the pid file takes everything
    /// with it, and the child, which waits for that, ends last. A child that has not come so far
    /// has started nothing. Its number cannot be another's: it is reaped only after it was taken
    /// out of here.
    fn end(&self, why: End) {
        let mut state = self.lock();
        state.ended_for.get_or_insert(why);
        if let Some(child) = &state.child
            && end_named(&self.pid_file).is_none()
        {
            let _ = killpg(pid_of(child), Signal::SIGKILL);
        }
    }
}

struct EndOnDrop(Arc<Shared>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end(End::TooLong);
    }
}

struct Work {
    command: Command,
    log: Option<LogWriter>,
    /// Closed when the child has ended.
    room: Option<OpenRoom>,
    output_limit: u64,
    shared: Arc<Shared>,
}

impl Work {
    fn run(mut self) -> io::Result<(End, String)> {
        let (mut output, theirs) = io::pipe()?;
        // The child finds out by it whether this process still lives.
        let (input, _ours) = io::pipe()?;
        self.command.stdin(input).stdout(theirs.try_clone()?).stderr(theirs);
        let pid = {
            let mut state = self.shared.lock();
            if state.ended_for.is_some() {
                return Ok((End::TooLong, String::new()));
            }
            let child = self.command.spawn()?;
            let pid = pid_of(&child);
            state.child = Some(child);
            pid
        };
        // The command holds the writing end; without this the output would never end.
        self.command = Command::new("/");
        let text = self.read(&mut output)?;
        let ended = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
        let (child, ended_for) = {
            let mut state = self.shared.lock();
            (state.child.take(), state.ended_for)
        };
        ended?;
        let mut child = child.ok_or_else(|| io::Error::other("the builder was never started"))?;
        let status = child.wait()?;
        if let Some(log) = &mut self.log {
            log.flush();
        }
        let end = ended_for.unwrap_or_else(|| self.judge(status));
        Ok((end, text))
    }

    /// Builders tell what a step said and not why it ended.
    fn judge(&self, status: ExitStatus) -> End {
        match self.room.as_ref().map(OpenRoom::room) {
            Some(room) if !status.success() && room.out_of_memory_kills() > 0 => End::OutOfMemory,
            Some(room) if !status.success() && room.refused_processes() > 0 => {
                End::TooManyProcesses
            }
            _ => End::Exited(status),
        }
    }

    fn read(&mut self, output: &mut impl Read) -> io::Result<String> {
        let mut buffer = vec![0; 64 << 10];
        let mut kept = Vec::new();
        let mut seen: u64 = 0;
        loop {
            let count = match output.read(&mut buffer) {
                Ok(0) => return Ok(String::from_utf8_lossy(&kept).into_owned()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            seen += count as u64;
            if seen > self.output_limit {
                self.shared.end(End::TooMuchOutput);
                continue;
            }
            match &mut self.log {
                Some(log) => log.write(Stream::Stdout, &buffer[..count]),
                None if kept.len() < KEPT_OUTPUT_BYTES => kept.extend_from_slice(&buffer[..count]),
                None => {}
            }
        }
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX))
}

/// Names a process in a pid file.
pub(super) fn write_pid(path: &Path, pid: u32) -> io::Result<()> {
    let started = start_time(pid).unwrap_or_default();
    write_synced(path, format!("{pid} {started}").as_bytes()).map_err(io::Error::other)
}

/// When a process began, in ticks since the machine did: with its number, a name that no other
/// process has.
fn start_time(pid: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = text.rsplit_once(')')?.1;
    after_name.split_whitespace().nth(19).map(str::to_owned)
}

/// Ends the process that a pid file names, if it still runs, and returns what tells of its end.
/// That of a namespace's first process comes after the end of all the others.
fn end_named(pid_file: &Path) -> Option<OwnedFd> {
    let text = fs::read_to_string(pid_file).ok()?;
    let (number, started) = text.split_once(' ')?;
    let number: u32 = number.parse().ok()?;
    let pid = i32::try_from(number).ok()?;
    let handle = pidfd_open(rustix::process::Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    // Only now is it sure to be the same process as long as the handle is open.
    if start_time(number)? != started {
        return None;
    }
    pidfd_send_signal(&handle, rustix::process::Signal::KILL).ok()?;
    // Without namespaces it leads a group.
    let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    Some(handle)
}

/// Ends the builder that a pid file names, if it still runs, and waits until it is gone.
pub(crate) fn end_stale(pid_file: &Path) -> Result<(), Error> {
    if let Some(handle) = end_named(pid_file) {
        let patience = PollTimeout::try_from(END_PATIENCE).unwrap_or(PollTimeout::MAX);
        let mut ends = [PollFd::new(handle.as_fd(), PollFlags::POLLIN)];
        poll(&mut ends, patience)
            .map_err(|error| Error::io("wait for an old builder", error.into()))?;
    }
    match fs::remove_file(pid_file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::at("remove", pid_file)(error))
        }
        _ => Ok(()),
    }
}

/// One builder at a time in a storage, across processes; ends with the process whatever happens.
pub(crate) async fn lock(storage: &Path) -> Result<File, Error> {
    fs::create_dir_all(storage).map_err(Error::at("make", storage))?;
    let path = storage.join("lock");
    let locked = tokio::task::spawn_blocking(move || {
        let file = File::options().create(true).append(true).open(&path)?;
        file.lock()?;
        Ok(file)
    });
    locked
        .await
        .unwrap_or_else(|_| Err(io::Error::other("the locking thread ended")))
        .map_err(|error| Error::io("lock the storage of images", error))
}
