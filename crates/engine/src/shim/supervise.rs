//! What a shim does while its instance runs: one loop over everything that can wake it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use telemetry::Stream;

use crate::order::{Answer, News, RUNNING, Request, RunningRecord};
use crate::shim::instance::{Parts, Said};
use crate::shim::stop::Stopping;
use crate::shim::{end, extra, reach};
use crate::{files, seqpacket};

/// Between TERM and KILL when a limit has been passed.
const GRACE_OF_LIMITS: Duration = Duration::from_secs(2);
/// Between TERM and KILL when the machine itself asks the shim to end.
const GRACE_OF_SHUTDOWN: Duration = Duration::from_secs(10);
/// Between two rounds of KILL while processes remain.
const KILL_ROUND: Duration = Duration::from_millis(20);
/// Output taken in one go.
const READ_BYTES: usize = 16 * 1024;
/// Most conversations at a time; further ones wait in the socket's queue.
const CONVERSATIONS_MAX: usize = 64;
/// How long the writing end of the input is kept for whoever asks. Then the input is at its end.
const INPUT_TIME: Duration = Duration::from_secs(60);

/// The main process, as far as the shim knows it.
pub(super) enum Main {
    /// Being made. What was reaped meanwhile may have been it.
    Unknown {
        reaped: Vec<WaitStatus>,
    },
    Known(Pid),
    Ended(WaitStatus),
}

/// How far the start is.
pub(super) enum Start {
    /// The status pipe is open; what was said on it so far.
    UnderWay {
        status: OwnedFd,
        said: Vec<u8>,
    },
    Done,
    CannotBegin(String),
    Refused {
        doing: String,
        why: String,
    },
}

/// A connection to somebody who asks.
struct Conversation {
    peer: OwnedFd,
    /// The command that was started for it.
    child: Option<Pid>,
    /// When that is killed.
    kill_at: Option<Instant>,
}

/// Everything that can wake a shim.
#[derive(Debug, Clone, Copy)]
enum Source {
    Signals,
    Control,
    Status,
    Output(usize),
    Conversation(usize),
    /// An application that was asked to end has.
    Awaited(usize),
}

/// One instance, from the moment its main process is being made.
pub(super) struct Supervisor {
    pub(super) parts: Parts,
    pub(super) main: Main,
    pub(super) start: Start,
    conversations: Vec<Conversation>,
    /// Asked for before the main process was there.
    pub(super) early_stop: Option<Duration>,
    pub(super) kill_at: Option<Instant>,
    time_is_up_at: Option<Instant>,
    /// When an input that nobody has taken ends.
    input_ends_at: Option<Instant>,
    output_left: Option<u64>,
    pub(super) limit: Option<String>,
    /// Since it was asked to end.
    pub(super) stopping: Option<Stopping>,
}

impl Supervisor {
    pub(super) fn new(parts: Parts, main: Main, status: OwnedFd) -> Self {
        Self {
            main,
            start: Start::UnderWay { status, said: Vec::new() },
            conversations: Vec::new(),
            early_stop: None,
            kill_at: None,
            time_is_up_at: None,
            input_ends_at: None,
            output_left: parts.limits.output_bytes,
            limit: None,
            stopping: None,
            parts,
        }
    }

    /// Supervises until nothing of the instance runs any more, and returns the shim's exit code.
    pub(super) fn run(mut self, reply: OwnedFd) -> i32 {
        let mut reply = Some(reply);
        while !self.has_ended() {
            self.pass(self.next_deadline());
            if matches!(self.start, Start::Done)
                && let Some(reply) = reply.take()
            {
                self.report_running(&reply);
            }
        }
        while self.kill_rest() {
            self.pass(Some(Instant::now() + KILL_ROUND));
        }
        for index in 0..self.parts.outputs.len() {
            while self.take_output(index) {}
        }
        end::record(&mut self, reply)
    }

    /// The start came to nothing, or the main process has ended and all that was said before is
    /// known. What it leaves behind when it was asked to end has the rest of the grace.
    fn has_ended(&self) -> bool {
        match &self.start {
            Start::UnderWay { .. } => false,
            Start::Refused { .. } => true,
            // It may never have been made.
            Start::CannotBegin(_) => !matches!(self.main, Main::Known(_)),
            Start::Done => {
                matches!(self.main, Main::Ended(_)) && (self.stopping.is_none() || !self.has_rest())
            }
        }
    }

    /// Waits for something to happen, and deals with all that has.
    fn pass(&mut self, deadline: Option<Instant>) {
        let ready = self.wait(deadline);
        // Those that end are removed, so the last are dealt with first.
        for source in ready.into_iter().rev() {
            match source {
                Source::Signals => self.take_signals(),
                Source::Control => self.accept(),
                Source::Status => self.take_status(),
                Source::Output(index) => {
                    self.take_output(index);
                }
                Source::Conversation(index) => self.take_request(index),
                Source::Awaited(index) => {
                    if let Some(stopping) = &mut self.stopping {
                        stopping.awaited.remove(index);
                    }
                }
            }
        }
        self.reap();
        self.enforce(Instant::now());
    }

    fn wait(&self, deadline: Option<Instant>) -> Vec<Source> {
        let mut sources: Vec<(Source, BorrowedFd<'_>)> =
            vec![(Source::Signals, self.parts.signals.as_fd())];
        if self.conversations.len() < CONVERSATIONS_MAX {
            sources.push((Source::Control, self.parts.control.as_fd()));
        }
        if let Start::UnderWay { status, .. } = &self.start {
            sources.push((Source::Status, status.as_fd()));
        }
        for (index, output) in self.parts.outputs.iter().enumerate() {
            if let Some(output) = output {
                sources.push((Source::Output(index), output.as_fd()));
            }
        }
        for (index, conversation) in self.conversations.iter().enumerate() {
            sources.push((Source::Conversation(index), conversation.peer.as_fd()));
        }
        let awaited = self.stopping.iter().flat_map(|stopping| &stopping.awaited);
        for (index, application) in awaited.enumerate() {
            sources.push((Source::Awaited(index), application.as_fd()));
        }
        let mut polled: Vec<_> =
            sources.iter().map(|(_, fd)| PollFd::new(*fd, PollFlags::POLLIN)).collect();
        let timeout = deadline.map_or(PollTimeout::NONE, |deadline| {
            // Rounded up: to wake a moment too early would be to spin.
            let left =
                deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        if poll(&mut polled, timeout).is_err() {
            return Vec::new();
        }
        let is_ready = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
        sources.iter().zip(&polled).filter(|(_, fd)| is_ready(fd)).map(|((s, _), _)| *s).collect()
    }

    fn next_deadline(&self) -> Option<Instant> {
        let of_commands = self.conversations.iter().filter_map(|one| one.kill_at);
        let of_disk = self.parts.disk.as_ref().map(|disk| disk.look_at);
        let of_stop = self.stopping.as_ref().and_then(Stopping::next_deadline);
        let of_limits = self.kill_at.into_iter().chain(self.time_is_up_at).chain(of_disk);
        let of_limits = of_limits.chain(self.input_ends_at);
        of_limits.chain(of_commands).chain(of_stop).min()
    }

    fn take_signals(&mut self) {
        while let Ok(Some(signal)) = self.parts.signals.read_signal() {
            // SIGCHLD needs nothing: every pass reaps.
            if signal.ssi_signo == Signal::SIGCHLD as u32 {
                continue;
            }
            // A driver that cannot reach the socket sends its grace with the signal.
            let told = (signal.ssi_code == nix::libc::SI_QUEUE).then_some(signal.ssi_int);
            let grace = told.and_then(|millis| u64::try_from(millis).ok());
            self.stop(grace.map_or(GRACE_OF_SHUTDOWN, Duration::from_millis));
        }
    }

    fn accept(&mut self) {
        if let Ok(peer) = seqpacket::accept(&self.parts.control) {
            self.conversations.push(Conversation { peer, child: None, kill_at: None });
        }
    }

    fn take_request(&mut self, index: usize) {
        let request = seqpacket::receive::<Request>(&self.conversations[index].peer);
        match request {
            Ok(Some((Request::Stop { grace_ms }, _))) => self.stop(Duration::from_millis(grace_ms)),
            Ok(Some((Request::Input, _))) => {
                let peer = &self.conversations[index].peer;
                let _ = match self.parts.input.take() {
                    Some(input) => seqpacket::send(peer, &Answer::Input, &[input.as_raw_fd()]),
                    None => {
                        let why = "it has none, or somebody has taken it".to_owned();
                        seqpacket::send(peer, &Answer::Refused(why), &[])
                    }
                };
                self.conversations.remove(index);
            }
            Ok(Some((Request::Exec { command, cwd, env, terminal, time_ms }, stdio))) => {
                let request = extra::Extra { command, cwd, env, terminal, stdio };
                let child = match (&self.main, &self.start) {
                    (Main::Known(main), Start::Done) => extra::start(&self.parts, *main, request),
                    _ => Err("the instance does not run".to_owned()),
                };
                let conversation = &mut self.conversations[index];
                match child {
                    Ok(child) => {
                        conversation.child = Some(child);
                        conversation.kill_at =
                            time_ms.map(|time| Instant::now() + Duration::from_millis(time));
                    }
                    Err(why) => {
                        let _ = seqpacket::send(&conversation.peer, &Answer::Refused(why), &[]);
                        self.conversations.remove(index);
                    }
                }
            }
            Ok(None) | Err(_) => {
                // Whoever had the command started is gone, and with them its terminal.
                let conversation = self.conversations.remove(index);
                if let Some(child) = conversation.child {
                    if conversation.kill_at.is_some() {
                        // Nobody keeps its time any more.
                        reach::kill_tree(child);
                    }
                    let group = Pid::from_raw(-child.as_raw());
                    let _ = nix::sys::signal::kill(group, Signal::SIGHUP);
                }
            }
        }
    }

    fn take_status(&mut self) {
        let Start::UnderWay { status, said } = &mut self.start else { return };
        let mut buffer = [0; 4096];
        match nix::unistd::read(&*status, &mut buffer) {
            Ok(0) => {}
            Ok(length) => {
                said.extend_from_slice(&buffer[..length]);
                return;
            }
            Err(Errno::EAGAIN | Errno::EINTR) => return,
            Err(_) => {}
        }
        // Closed by all who had it: the main process is the user's program now, or is gone.
        let said = std::mem::take(said);
        self.start = Start::Done;
        let mut pid = None;
        for line in said.split(|byte| *byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(Said::Pid(number)) => pid = Some(Pid::from_raw(number)),
                Ok(Said::CannotBegin(why)) => self.start = Start::CannotBegin(why),
                Ok(Said::Refused { doing, why }) => self.start = Start::Refused { doing, why },
                Err(_) => {}
            }
        }
        self.know_main(pid);
    }

    /// The main process is known from here on, or will never be.
    fn know_main(&mut self, pid: Option<Pid>) {
        let Main::Unknown { reaped } = &mut self.main else { return };
        let Some(pid) = pid else {
            if matches!(self.start, Start::Done) {
                self.start = Start::Refused {
                    doing: "make the instance's container".to_owned(),
                    why: "the process that made it was ended".to_owned(),
                };
            }
            return;
        };
        let ended = reaped.iter().copied().find(|status| status.pid() == Some(pid));
        self.main = ended.map_or(Main::Known(pid), Main::Ended);
    }

    fn report_running(&mut self, reply: &OwnedFd) {
        let started_at = Timestamp::now();
        let pid = if let Main::Known(pid) = self.main { pid.as_raw() } else { 0 };
        let record = RunningRecord { started_at, pid };
        let _ = files::replace_json(&self.parts.directory.join(RUNNING), &record);
        let _ = seqpacket::send(reply, &News::Running { started_at }, &[]);
        self.input_ends_at = self.parts.input.as_ref().map(|_| Instant::now() + INPUT_TIME);
        self.time_is_up_at = self.parts.limits.time.map(|time| Instant::now() + time);
        if let Some(grace) = self.early_stop.take() {
            self.stop(grace);
        }
    }

    /// Takes some output and says whether there may be more at once.
    fn take_output(&mut self, index: usize) -> bool {
        let Some(output) = &self.parts.outputs[index] else { return false };
        let mut buffer = [0; READ_BYTES];
        let length = match nix::unistd::read(output, &mut buffer) {
            Err(Errno::EINTR) => return true,
            Err(Errno::EAGAIN) => return false,
            Ok(0) | Err(_) => {
                self.parts.outputs[index] = None;
                return false;
            }
            Ok(length) => length,
        };
        let stream = if index == 0 { Stream::Stdout } else { Stream::Stderr };
        let mut taken = length;
        if let Some(left) = &mut self.output_left {
            taken = usize::try_from(*left).unwrap_or(usize::MAX).min(length);
            *left -= taken as u64;
        }
        self.parts.log.write(stream, &buffer[..taken]);
        if taken < length && self.limit.is_none() {
            let bytes = self.parts.limits.output_bytes.unwrap_or_default();
            self.limit = Some(format!("it wrote more than {} of output", size(bytes)));
            self.kill_at = Some(Instant::now());
        }
        true
    }

    fn reap(&mut self) {
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            let Some(pid) = status.pid() else { break };
            match &mut self.main {
                Main::Unknown { reaped } => reaped.push(status),
                Main::Known(main) if *main == pid => self.main = Main::Ended(status),
                _ => {}
            }
            let asked = self.conversations.iter().position(|one| one.child == Some(pid));
            if let Some(index) = asked {
                let conversation = self.conversations.remove(index);
                let _ = seqpacket::send(&conversation.peer, &Answer::Exited(code(status)), &[]);
            }
        }
    }

    fn enforce(&mut self, now: Instant) {
        if self.input_ends_at.is_some_and(|at| at <= now) {
            self.input_ends_at = None;
            self.parts.input = None;
        }
        if self.time_is_up_at.is_some_and(|at| at <= now) {
            self.time_is_up_at = None;
            let time = self.parts.limits.time.unwrap_or_default();
            self.limit.get_or_insert_with(|| format!("it took longer than {}", span(time)));
            self.stop(GRACE_OF_LIMITS);
        }
        if let Some(why) = self.parts.disk.as_mut().and_then(|disk| disk.look(now)) {
            self.parts.disk = None;
            self.limit.get_or_insert(why);
            // At once: in a grace it could write as much again.
            self.kill_at = Some(now);
        }
        for conversation in &mut self.conversations {
            if conversation.kill_at.is_some_and(|at| at <= now) {
                conversation.kill_at = Some(now + KILL_ROUND);
                conversation.child.into_iter().for_each(reach::kill_tree);
            }
        }
        self.go_on_stopping(now);
        if self.kill_at.is_some_and(|at| at <= now) {
            // Again after a while: a process that was being forked may have been missed.
            self.kill_at = Some(now + KILL_ROUND);
            reach::signal_all(self.parts.isolated, Signal::SIGKILL);
        }
    }

    /// Commands that were started beside the main process and run.
    pub(super) fn commands(&self) -> impl Iterator<Item = Pid> {
        self.conversations.iter().filter_map(|one| one.child)
    }

    /// Kills whatever the main process left behind, and says whether there was something.
    fn kill_rest(&mut self) -> bool {
        self.reap();
        if matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Err(Errno::ECHILD)) {
            return false;
        }
        reach::signal_all(self.parts.isolated, Signal::SIGKILL);
        true
    }
}

/// An exit code as shells have it.
fn code(status: WaitStatus) -> i32 {
    match status {
        WaitStatus::Exited(_, code) => code,
        WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
        _ => 255,
    }
}

/// `90 min`, `2 s`, `150 ms`.
fn span(time: Duration) -> String {
    match (time.as_secs(), time.subsec_millis()) {
        (0, millis) => format!("{millis} ms"),
        (seconds, _) if seconds >= 120 && seconds % 60 == 0 => format!("{} min", seconds / 60),
        (seconds, _) => format!("{seconds} s"),
    }
}

/// `50 MB`, `900 bytes`.
fn size(bytes: u64) -> String {
    const MEGABYTE: u64 = 1_000_000;
    match bytes {
        bytes if bytes >= MEGABYTE => format!("{} MB", bytes / MEGABYTE),
        bytes => format!("{bytes} bytes"),
    }
}
