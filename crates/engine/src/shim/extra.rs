//! One more command inside a running instance.
//!
//! The shim forks it: so it is in the instance's PID and network namespaces from the start, the
//! shim reaps it, and it ends with the instance at the latest.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;
use nix::sys::signal::SigSet;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Pid, Uid, pipe2, setgroups, setresgid, setresuid, setsid};

use crate::order::{ORDER, Order};
use crate::shim::instance::Parts;
use crate::shim::launch::Program;
use crate::{files, spec, sys};

/// What was asked.
pub(super) struct Extra {
    pub(super) command: Vec<String>,
    pub(super) cwd: Option<PathBuf>,
    pub(super) env: Vec<(String, String)>,
    pub(super) terminal: bool,
    pub(super) stdio: Vec<OwnedFd>,
}

/// Starts it. The error is a sentence for a person.
pub(super) fn start(parts: &Parts, main: Pid, extra: Extra) -> Result<Pid, String> {
    let order: Order = files::read_json(&parts.directory.join(ORDER))
        .map_err(|error| error.to_string())?
        .ok_or("what the instance was started with is not there")?;
    if extra.stdio.len() != 3 {
        return Err("three descriptors are needed".to_owned());
    }
    let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(|error| error.to_string())?;
    match sys::fork().map_err(|error| error.to_string())? {
        ForkResult::Parent { child } => {
            drop(write);
            let why = read_all(&read);
            if why.is_empty() { Ok(child) } else { Err(why) }
        }
        ForkResult::Child => {
            let entered = enter(parts, main, &order, &extra);
            let why = match entered.and_then(|()| step_down(parts, &order, &write)) {
                Ok(()) => program(parts, order, extra).become_it(),
                Err(error) => format!("enter the instance: {}", error.desc()),
            };
            let _ = nix::unistd::write(&write, why.as_bytes());
            sys::exit_now(127)
        }
    }
}

fn program(parts: &Parts, order: Order, extra: Extra) -> Program {
    let calls = parts.isolated.then(|| spec::bits(&order.spec));
    let mut env = order.spec.env;
    env.retain(|(key, _)| !extra.env.iter().any(|(other, _)| other == key));
    env.extend(extra.env);
    Program { command: extra.command, cwd: extra.cwd.unwrap_or(order.spec.cwd), env, calls }
}

/// Becomes a process like the main one in everything but the program.
fn enter(parts: &Parts, main: Pid, order: &Order, extra: &Extra) -> nix::Result<()> {
    setsid()?;
    let [input, output, error] = &extra.stdio[..] else { return Err(Errno::EINVAL) };
    nix::unistd::dup2_stdin(input)?;
    nix::unistd::dup2_stdout(output)?;
    nix::unistd::dup2_stderr(error)?;
    let uid = order.spec.user.uid;
    if extra.terminal {
        // The instance's user must be able to open what it has: `/dev/tty` and its own name.
        let _ = nix::unistd::fchown(input, Some(Uid::from_raw(uid)), None);
        sys::take_terminal()?;
    }
    if !parts.isolated {
        return prctl::set_dumpable(true);
    }
    if let Some((cgroups, path)) = &parts.cgroup {
        cgroups.join(path).map_err(|_| Errno::EBUSY)?;
    }
    join_namespaces(main, order.spec.is_first_process())?;
    for ulimit in &order.spec.container.ulimits {
        let resource = spec::resource_number(&ulimit.name).ok_or(Errno::EINVAL)?;
        sys::set_limit(resource, ulimit.soft, ulimit.hard)?;
    }
    prctl::set_no_new_privs()?;
    let capabilities = spec::bits(&order.spec);
    sys::limit_capabilities(capabilities)?;
    let groups: Vec<Gid> = order.spec.user.groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups)?;
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(order.spec.user.gid));
    setresgid(group, group, group)?;
    setresuid(user, user, user)?;
    sys::hold_capabilities(if uid == 0 { capabilities } else { 0 })
}

/// Where the main process has a PID namespace of its own, only a child can be in it. This process
/// then waits for it, ends as it does, and never returns from here.
fn step_down(parts: &Parts, order: &Order, pipe: &OwnedFd) -> nix::Result<()> {
    if !parts.isolated || !order.spec.is_first_process() {
        return Ok(());
    }
    match sys::fork()? {
        ForkResult::Child => Ok(()),
        ForkResult::Parent { child } => {
            // The pipe says by its end that the program has begun; Ctrl-C is for the program.
            sys::close(pipe);
            let _ = SigSet::all().thread_block();
            loop {
                match waitpid(child, None) {
                    Ok(WaitStatus::Exited(_, code)) => sys::exit_now(code),
                    Ok(WaitStatus::Signaled(_, signal, _)) => sys::exit_now(128 + signal as i32),
                    Err(Errno::EINTR) | Ok(_) => {}
                    Err(_) => sys::exit_now(255),
                }
            }
        }
    }
}

fn join_namespaces(main: Pid, with_processes: bool) -> nix::Result<()> {
    let namespaces = Path::new("/proc").join(main.to_string()).join("ns");
    let open = |name: &str| File::open(namespaces.join(name)).map_err(|_| Errno::ESRCH);
    if with_processes {
        setns(open("pid")?, CloneFlags::CLONE_NEWPID)?;
    }
    let all = [
        (open("ipc")?, CloneFlags::CLONE_NEWIPC),
        (open("uts")?, CloneFlags::CLONE_NEWUTS),
        (open("cgroup")?, CloneFlags::CLONE_NEWCGROUP),
        // Last: it changes what the paths before it mean.
        (open("mnt")?, CloneFlags::CLONE_NEWNS),
    ];
    all.iter().try_for_each(|(file, kind)| setns(file, *kind))
}

/// Everything until the pipe is closed, which it is when the program begins.
fn read_all(pipe: &OwnedFd) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 512];
    loop {
        match nix::unistd::read(pipe, &mut buffer) {
            Ok(0) => break,
            Ok(length) => bytes.extend_from_slice(&buffer[..length]),
            Err(Errno::EINTR) => {}
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
