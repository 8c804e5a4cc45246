//! The process that forks shims.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{ForkResult, Pid, geteuid, setgroups, setsid};

use crate::cgroup::{self, Cgroups};
use crate::order::{Birth, EXIT, LOCK, News, SHIM, ShimRecord};
use crate::shim::instance;
use crate::{files, process, seqpacket, sys};

/// Open files that an instance may have.
const OPEN_FILES: u64 = 65_536;

/// Forks a shim for each message on standard input, until the other side closes.
pub(super) fn run() -> i32 {
    prepare();
    let socket = sys::lend(0);
    loop {
        // Those that have done their work since the last time. There are as many as were asked for
        // in one burst, and nobody waits for them.
        while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(ended) if ended.pid().is_some())
        {
        }
        match seqpacket::receive::<Birth>(socket) {
            Ok(Some((birth, mut descriptors))) => {
                if let Some(reply) = descriptors.pop() {
                    deliver(&birth, reply);
                }
            }
            Ok(None) => return 0,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return 1,
        }
    }
}

/// What all instances inherit, done once.
fn prepare() {
    // Whatever the server, or whoever started it, had open: no instance may keep it open.
    sys::close_from(3);
    // Refused when it leads a session already, which is as good.
    let _ = setsid();
    let _ = std::env::set_current_dir("/");
    let _ = nix::sys::prctl::set_name(c"gable-nursery");
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    sys::limit_open_files(OPEN_FILES);
    if geteuid().is_root() {
        // Groups of the root user would stay with every instance.
        let _ = setgroups(&[]);
    }
    // A server that protects itself from the kernel's out-of-memory choice does not protect what
    // it runs. Raising the score is allowed to everybody.
    let is_protected = std::fs::read_to_string("/proc/self/oom_score_adj")
        .is_ok_and(|score| score.trim_start().starts_with('-'));
    if is_protected {
        let _ = std::fs::write("/proc/self/oom_score_adj", "0");
    }
}

/// Forks the process that forks the shim: a PID namespace begins with the next child.
fn deliver(birth: &Birth, reply: OwnedFd) {
    match sys::fork() {
        Ok(ForkResult::Parent { .. }) => {}
        Ok(ForkResult::Child) => {
            if let Err(error) = midwife(birth, &reply) {
                let news = News::Failed {
                    doing: "start the process that holds the instance".to_owned(),
                    why: error.to_string(),
                };
                let _ = seqpacket::send(&reply, &news, &[]);
            }
            sys::exit_now(0);
        }
        Err(error) => {
            let news = News::Failed { doing: "fork".to_owned(), why: error.to_string() };
            let _ = seqpacket::send(&reply, &news, &[]);
        }
    }
}

fn midwife(birth: &Birth, reply: &OwnedFd) -> io::Result<()> {
    let lock = take_lock(&birth.directory)?;
    if birth.directory.join(EXIT).exists() {
        return Err(io::Error::other("it was given up before its turn came"));
    }
    if birth.isolated {
        unshare(CloneFlags::CLONE_NEWPID)?;
    }
    let (gate_out, gate_in) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    match sys::fork()? {
        ForkResult::Parent { child } => {
            drop(gate_out);
            let pidfd = sys::pidfd_open(child)?;
            let started_ticks = process::started_ticks(child.as_raw())?;
            let record = ShimRecord { pid: child.as_raw(), started_ticks };
            files::replace_json(&birth.directory.join(SHIM), &record)?;
            seqpacket::send(reply, &News::Born { pid: child.as_raw() }, &[pidfd.as_raw_fd()])?;
            nix::unistd::write(&gate_in, b"g")?;
            // The lock is the shim's from here on. Dropping it would unlock it for both: a lock
            // belongs to the open file, and a fork shares that.
            std::mem::forget(lock);
            if birth.isolated {
                // While the shim makes network and root, so that its cgroup comes at once.
                Cgroups::find(Path::new(cgroup::ROOT)).prepare_move();
            }
            Ok(())
        }
        ForkResult::Child => {
            drop(gate_in);
            // Nothing is done before the record of who does it is written.
            let mut go = [0];
            if !matches!(nix::unistd::read(&gate_out, &mut go), Ok(1)) {
                sys::exit_now(1);
            }
            drop(gate_out);
            let reply = reply.try_clone()?;
            let code = instance::run(&birth.directory, birth.isolated, reply, lock);
            sys::exit_now(code)
        }
    }
}

fn take_lock(directory: &Path) -> io::Result<Flock<File>> {
    let file =
        File::options().write(true).create(true).truncate(false).open(directory.join(LOCK))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| error.into())
}

/// The process itself, in its own PID namespace.
pub(super) fn own_pid() -> Pid {
    nix::unistd::getpid()
}

/// Standard input, which was the socket to the driver, becomes empty.
pub(super) fn leave_socket() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    Ok(())
}
