//! Signals to every process of an instance.

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process;
use crate::shim::nursery::own_pid;

/// Sends a signal to every process of the instance but the shim. In a PID namespace that is one
/// call, and none can be missed. Without one, descendants are looked up, so that one that is being
/// forked at that moment can be missed: callers that kill repeat it.
pub(super) fn signal_all(is_isolated: bool, signal: Signal) {
    if is_isolated {
        match kill(Pid::from_raw(-1), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            // Nothing else is possible for process 1 of a namespace.
            Err(_) => {}
        }
        return;
    }
    for pid in process::descendants(own_pid().as_raw()) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Kills a command that was started beside the main process, and what it started. What is being
/// forked at that moment can be missed: callers repeat it while the command is there.
pub(super) fn kill_tree(command: Pid) {
    for pid in process::descendants(command.as_raw()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    // Its group too: what it left behind is nobody's descendant.
    let _ = kill(Pid::from_raw(-command.as_raw()), Signal::SIGKILL);
}
