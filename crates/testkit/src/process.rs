//! Processes of a test: found by a text that only they carry in their arguments, their environment
//! or the name of the file they complain to, ended by id.

use std::path::Path;
use std::time::{Duration, Instant};

pub use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;

/// Time between TERM and KILL.
const GRACE: Duration = Duration::from_secs(5);
const POLL_EVERY: Duration = Duration::from_millis(20);
/// A shorter text could stand in a stranger's arguments.
const MARK_BYTES_MIN: usize = 12;

/// Ids of processes that have `mark` in their arguments, in their environment or in the name of the
/// file that is their stderr, this one excepted. The mark is a path that a test made up, so nobody
/// else carries it.
#[must_use]
pub fn carrying(mark: &str) -> Vec<u32> {
    if mark.len() < MARK_BYTES_MIN {
        return Vec::new();
    }
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        *id != std::process::id()
            && (has(*id, "cmdline", mark) || has(*id, "environ", mark) || complains_to(*id, mark))
    })
    .collect()
}

fn has(id: u32, file: &str, mark: &str) -> bool {
    let bytes = std::fs::read(format!("/proc/{id}/{file}")).unwrap_or_default();
    bytes.windows(mark.len()).any(|window| window == mark.as_bytes())
}

fn complains_to(id: u32, mark: &str) -> bool {
    std::fs::read_link(format!("/proc/{id}/fd/2"))
        .is_ok_and(|path| path.display().to_string().contains(mark))
}

/// Unmounts what is mounted below a directory of a test, the innermost first.
pub fn unmount_below(directory: &Path) {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let mut places: Vec<_> =
        places.filter(|place| Path::new(place).starts_with(directory)).collect();
    places.reverse();
    for place in places {
        drop(std::process::Command::new("umount").arg(place).status());
    }
}

/// The arguments of a process, separated by spaces; `None` when it has ended.
#[must_use]
pub fn arguments(id: u32) -> Option<String> {
    let bytes = std::fs::read(format!("/proc/{id}/cmdline")).ok()?;
    let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Memory of a process in bytes; pages that several share count in parts.
#[must_use]
pub fn memory_bytes(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}

/// Sends a signal; a process that has ended already is no error.
pub fn send(id: u32, signal: Signal) {
    if let Ok(id) = i32::try_from(id) {
        let _already_ended = kill(Pid::from_raw(id), signal);
    }
}

/// TERM, and KILL to what is left after some seconds. Returns when all have ended.
pub fn end(ids: &[u32]) {
    for id in ids {
        send(*id, Signal::SIGTERM);
    }
    if wait_for_end(ids, GRACE) {
        return;
    }
    for id in ids {
        send(*id, Signal::SIGKILL);
    }
    let _all = wait_for_end(ids, GRACE);
}

/// Whether all of them have ended within this time.
#[must_use]
pub fn wait_for_end(ids: &[u32], time: Duration) -> bool {
    let until = Instant::now() + time;
    while Instant::now() < until {
        if ids.iter().all(|id| arguments(*id).is_none()) {
            return true;
        }
        std::thread::sleep(POLL_EVERY);
    }
    false
}
