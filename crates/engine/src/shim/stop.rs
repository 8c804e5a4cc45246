//! How a shim ends its instance: the application is asked first, then everybody, then nobody.
//!
//! Whom is decided by [`crate::stop`]. What is left when the application has ended gets a moment to
//! end by itself, as a wrapper does with the application's exit code, and then TERM and the rest of
//! the grace. Then comes KILL.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::shim::nursery::own_pid;
use crate::shim::reach;
use crate::shim::supervise::{Main, Start, Supervisor};
use crate::{process, stop, sys};

/// How long the others have to end by themselves when the application has ended. npm takes a while
/// to write its own log.
const MOMENT: Duration = Duration::from_secs(2);
/// Part of the grace after which what a shell waits for in the foreground is asked as well: its
/// trap cannot run before, and it may be a job that the trap was meant to let finish.
const LATER_PART: u32 = 2;
/// Most applications of an instance whose ends are awaited; further ones are asked all the same.
const AWAITED_MAX: usize = 256;

/// How far a stop is.
#[derive(Default)]
pub(super) struct Stopping {
    /// Stand for the applications that were asked and still run.
    pub(super) awaited: Vec<OwnedFd>,
    /// When what shells wait for in the foreground is asked.
    later_at: Option<Instant>,
    /// When everybody is asked; counted from the end of the application.
    rest_at: Option<Instant>,
    is_rest_asked: bool,
}

impl Stopping {
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.later_at.into_iter().chain(self.rest_at).min()
    }
}

impl Supervisor {
    /// Asks the application to end, or the main process with the declared signal, and kills after
    /// the grace. The shortest grace of several counts.
    pub(super) fn stop(&mut self, grace: Duration) {
        if matches!(self.start, Start::UnderWay { .. }) {
            // What runs now is Gable's own; it must finish before anything can be told.
            self.early_stop = Some(self.early_stop.map_or(grace, |earlier| earlier.min(grace)));
            return;
        }
        let now = Instant::now();
        let kill_at = now + grace;
        self.kill_at = Some(self.kill_at.map_or(kill_at, |earlier| earlier.min(kill_at)));
        if self.stopping.is_some() {
            return;
        }
        let mut stopping = Stopping::default();
        if let (Main::Known(main), false) = (&self.main, grace.is_zero()) {
            match self.parts.stop_signal {
                Some(signal) => {
                    stopping.awaited.extend(sys::pidfd_open(*main));
                    let _ = sys::kill_number(*main, signal);
                }
                None => {
                    let asked = stop::asked(&process::family(own_pid().as_raw()), main.as_raw());
                    let has_later = !asked.later.is_empty();
                    stopping.later_at = has_later.then(|| now + grace / LATER_PART);
                    stopping.awaited.extend(ask(&asked.first));
                }
            }
            // A process that was halted would otherwise never see it.
            reach::signal_all(self.parts.isolated, Signal::SIGCONT);
        }
        self.stopping = Some(stopping);
    }

    /// Goes on with a stop: asks those whose turn has come.
    pub(super) fn go_on_stopping(&mut self, now: Instant) {
        let Some(stopping) = &mut self.stopping else { return };
        if stopping.later_at.is_some_and(|at| at <= now) {
            stopping.later_at = None;
            if let Main::Known(main) = &self.main {
                let asked = stop::asked(&process::family(own_pid().as_raw()), main.as_raw());
                ask(&asked.later);
            }
        }
        if stopping.is_rest_asked || !stopping.awaited.is_empty() {
            return;
        }
        if now >= *stopping.rest_at.get_or_insert(now + MOMENT) {
            stopping.rest_at = None;
            stopping.is_rest_asked = true;
            reach::signal_all(self.parts.isolated, Signal::SIGTERM);
        }
    }

    /// Whether something of the instance runs besides commands that were started beside it: these
    /// end with it.
    pub(super) fn has_rest(&self) -> bool {
        let mut left = process::family(own_pid().as_raw());
        for command in self.commands() {
            let of_command = process::descendants(command.as_raw());
            left.retain(|one| one.pid != command.as_raw() && !of_command.contains(&one.pid));
        }
        !left.is_empty()
    }
}

/// TERM to each of these, and what their ends are seen by.
fn ask(pids: &[i32]) -> Vec<OwnedFd> {
    let mut awaited = Vec::new();
    for pid in pids.iter().copied().map(Pid::from_raw) {
        // Opened before, so that it stands for the process that the signal is for.
        let ended = sys::pidfd_open(pid);
        if kill(pid, Signal::SIGTERM).is_ok() && awaited.len() < AWAITED_MAX {
            awaited.extend(ended);
        }
    }
    awaited
}
