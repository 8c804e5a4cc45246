//! What a shim leaves behind.

use std::os::fd::OwnedFd;
use std::time::Duration;

use jiff::Timestamp;
use model::Exit;
use nix::sys::wait::WaitStatus;

use crate::order::{EXIT, News};
use crate::shim::supervise::{Main, Start, Supervisor};
use crate::spec::PROCESS_LIMIT;
use crate::{files, seqpacket};

/// How often the removal of the cgroup is tried: the kernel lets go of dead processes a moment
/// after they were reaped.
const CGROUP_TRIES: u32 = 20;
const CGROUP_PAUSE: Duration = Duration::from_millis(2);

/// Writes how the instance ended, clears up, and returns the shim's exit code.
pub(super) fn record(supervisor: &mut Supervisor, reply: Option<OwnedFd>) -> i32 {
    let exit = exit(supervisor);
    let is_news = supervisor.parts.is_lasting && supervisor.stopping.is_none();
    // What it has said without an end of line comes before.
    supervisor.parts.log.flush();
    if is_news || exit.start_error.is_some() || exit.limit.is_some() || exit.out_of_memory {
        supervisor.parts.log.say(&format!("the instance {exit}"));
        supervisor.parts.log.flush();
    }
    let written = files::replace_json(&supervisor.parts.directory.join(EXIT), &exit);
    if let Some((cgroups, path)) = &supervisor.parts.cgroup {
        for _ in 0..CGROUP_TRIES {
            if cgroups.remove(path).is_ok() {
                break;
            }
            std::thread::sleep(CGROUP_PAUSE);
        }
    }
    if let Some(reply) = reply {
        let news = match &supervisor.start {
            Start::Refused { doing, why } => {
                News::Failed { doing: doing.clone(), why: why.clone() }
            }
            _ => News::Ended,
        };
        let _ = seqpacket::send(&reply, &news, &[]);
    }
    i32::from(written.is_err())
}

fn exit(supervisor: &Supervisor) -> Exit {
    let start_error = match &supervisor.start {
        Start::CannotBegin(why) => Some(why.clone()),
        Start::Refused { doing, why } => Some(format!("{doing}: {why}")),
        Start::UnderWay { .. } | Start::Done => None,
    };
    let (code, signal) = match supervisor.main {
        _ if start_error.is_some() => (None, None),
        Main::Ended(WaitStatus::Exited(_, code)) => (Some(code), None),
        Main::Ended(WaitStatus::Signaled(_, signal, _)) => (None, Some(signal as i32)),
        _ => (None, None),
    };
    // The kernel ends one process of the cgroup, which need not be the main one: that one then
    // fails by itself, and the reason is the memory all the same.
    let has_failed = start_error.is_none() && code != Some(0) && supervisor.stopping.is_none();
    let (kills, refused) = supervisor.parts.cgroup.as_ref().map_or((0, 0), |(cgroups, path)| {
        (cgroups.out_of_memory_kills(path), cgroups.refused_processes(path))
    });
    let crowded = (has_failed && refused > 0).then(|| PROCESS_LIMIT.to_owned());
    Exit {
        code,
        signal,
        out_of_memory: has_failed && kills > 0,
        limit: supervisor.limit.clone().or(crowded),
        start_error,
        at: Timestamp::now(),
    }
}
