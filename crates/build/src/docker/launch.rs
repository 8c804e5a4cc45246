//! The room that a builder works in: `gable builder`, a hidden subcommand of the one binary.
//!
//! A builder runs steps of strangers as root, and its own isolation shows them the host's devices
//! and processes. So it gets PID, mount, IPC and UTS namespaces of its own, with a `/dev` that
//! holds what every container has. Two processes see to that:
//!
//! - *outer* makes the namespaces and waits. It dies with the control plane's thread that started
//!   it.
//! - *inner* is process 1 of the PID namespace, and becomes the builder. It dies with *outer*, and
//!   the kernel ends everything else in the namespace with it, and takes down its mounts. Its number
//!   lies in the pid file: once it is gone, all are.
//!
//! Without root there is nothing to separate: the builder makes a user namespace itself.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use engine::Room;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::child;
use super::names::{self, Names};

const OUTER: &str = "outer";
const INNER: &str = "inner";
/// What a person gets who calls the hidden subcommand.
const USAGE_ERROR: i32 = 2;
/// The room could not be made, or the builder not be found.
const NO_ROOM: i32 = 126;
/// Builds end before anything else when the machine's memory does: the highest score is 1000.
const OUT_OF_MEMORY_SCORE: &str = "800";
/// Devices that every container has.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];
const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// A directory that is read, and to which nothing is written: what is lies in another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct View {
    /// What is there already.
    pub(crate) lower: PathBuf,
    /// Where it is seen; on a disk, beside what is written.
    pub(crate) target: PathBuf,
}

/// What both processes are told. Nothing in it is secret: it is an argument.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// Where the builder is named while it runs.
    pub(super) pid_file: PathBuf,
    /// Its network and limits. Without one, it has the host's network and no limits.
    pub(super) room: Option<Room>,
    /// What it sees a view of.
    pub(super) view: Option<View>,
}

impl Order {
    /// What follows the launcher's own words, so that it runs a program.
    pub(super) fn words(&self, program: &Path, arguments: &[OsString]) -> Vec<OsString> {
        let order = serde_json::to_string(self).expect("paths of ours can be written as JSON");
        let mut all = vec![OUTER.into(), order.into(), program.into()];
        all.extend_from_slice(arguments);
        all
    }
}

/// Runs the hidden `builder` subcommand and returns its exit code. `args` is what follows
/// `builder`: a role, what it needs, a program and its arguments.
pub fn builder_main(args: impl IntoIterator<Item = OsString>) -> i32 {
    let args: Vec<OsString> = args.into_iter().collect();
    let [role, order, program, arguments @ ..] = args.as_slice() else { return USAGE_ERROR };
    let Ok(order) = serde_json::from_slice::<Order>(order.as_encoded_bytes()) else {
        return USAGE_ERROR;
    };
    let done = match role.to_str() {
        Some(OUTER) => outer(&order, program, arguments),
        Some(INNER) => inner(&order, program, arguments),
        _ => return USAGE_ERROR,
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            say(&error);
            NO_ROOM
        }
    }
}

fn outer(order: &Order, program: &OsString, arguments: &[OsString]) -> io::Result<i32> {
    if !dies_with_its_parent()? {
        return Ok(NO_ROOM);
    }
    if !nix::unistd::geteuid().is_root() {
        child::write_pid(&order.pid_file, std::process::id())?;
        return Err(become_builder(program, arguments));
    }
    // Refused in machines that are containers themselves; then all have the same chance.
    let _ = fs::write("/proc/self/oom_score_adj", OUT_OF_MEMORY_SCORE);
    let settings = order.room.as_ref().map(enter).transpose()?;
    let own = CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    unshare(own).map_err(doing("make namespaces"))?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .map_err(doing("separate the mounts"))?;
    if let Some(settings) = settings {
        replace_settings(&settings)?;
    }
    // The same words again, with the other role.
    let mut words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(role) = words.iter_mut().find(|word| *word == OUTER) {
        *role = INNER.into();
    }
    // It is closed when this process ends, and not before.
    let (theirs, mut ours) = io::pipe()?;
    let mut child = Command::new(std::env::current_exe()?).args(words).stdin(theirs).spawn()?;
    child::write_pid(&order.pid_file, child.id())?;
    ours.write_all(&[1])?;
    let status = child.wait()?;
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()))
}

/// Enters a room, and returns settings for names in its network.
fn enter(room: &Room) -> io::Result<String> {
    room.keep_to_limits()?;
    let names = Names::begin()?;
    room.leave_host_network()?;
    names.answer_at(room.address().into())
}

/// Lets every program of the room ask where names are answered.
fn replace_settings(text: &str) -> io::Result<()> {
    let Some(path) = names::settings_file() else { return Ok(()) };
    let own = temporary().join("resolv.conf");
    fs::write(&own, text)?;
    mount(Some(&own), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .map_err(doing("say where names are answered"))
}

/// A directory of the build's own.
fn temporary() -> PathBuf {
    std::env::var_os("TMPDIR").unwrap_or_else(|| "/tmp".into()).into()
}

fn inner(order: &Order, program: &OsString, arguments: &[OsString]) -> io::Result<i32> {
    // Nothing begins before it can be found by its pid file.
    let is_named = io::stdin().lock().read_exact(&mut [0]).is_ok();
    if !is_named || !dies_with_its_parent()? {
        return Ok(NO_ROOM);
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>)
        .map_err(doing("mount /proc"))?;
    if let Some(view) = &order.view {
        show(view)?;
    }
    devices()?;
    // Root may write to the cgroups of the host, and to other machines' settings of short names.
    // What is not mounted here needs not be taken down.
    let _ = umount2("/sys/fs/cgroup", MntFlags::MNT_DETACH);
    let aliases = "/etc/containers/registries.conf.d";
    if Path::new(aliases).is_dir() {
        mount(Some("tmpfs"), aliases, Some("tmpfs"), flags, Some("size=64k"))
            .map_err(doing("hide short names of images"))?;
    }
    Err(become_builder(program, arguments))
}

/// Mounts a view: what is written through it lies beside its target.
fn show(view: &View) -> io::Result<()> {
    let beside = |name: &str| view.target.with_extension(name);
    let (upper, work) = (beside("written"), beside("overlay"));
    for path in [&upper, &work, &view.target, &view.lower] {
        fs::create_dir_all(path)?;
    }
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        view.lower.display(),
        upper.display(),
        work.display()
    );
    let kind = Some("overlay");
    mount(kind, &view.target, kind, MsFlags::empty(), Some(options.as_str()))
        .map_err(doing("show the caches of the project"))
}

/// Whether the parent was still there when this process began to depend on it. The parent holds
/// the other end of this process's standard input.
fn dies_with_its_parent() -> io::Result<bool> {
    set_pdeathsig(Signal::SIGKILL)?;
    let input = io::stdin();
    let mut ends = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
    poll(&mut ends, PollTimeout::ZERO)?;
    Ok(!ends[0].revents().is_some_and(|seen| seen.contains(PollFlags::POLLHUP)))
}

/// A `/dev` without disks: a builder's steps are root, and root may read a disk's device.
fn devices() -> io::Result<()> {
    let new = temporary().join("dev");
    fs::create_dir_all(&new)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), &new, Some("tmpfs"), flags, Some("mode=755,size=64k"))
        .map_err(doing("make /dev"))?;
    for name in DEVICES {
        let (from, to) = (Path::new("/dev").join(name), new.join(name));
        if from.exists() {
            File::create(&to)?;
            mount(Some(&from), &to, None::<&str>, MsFlags::MS_BIND, None::<&str>)
                .map_err(doing("fill /dev"))?;
        }
    }
    for (name, target) in LINKS {
        symlink(target, new.join(name))?;
    }
    for (name, kind, options) in
        [("pts", "devpts", "newinstance,ptmxmode=0666,mode=620"), ("shm", "tmpfs", "mode=1777")]
    {
        let path = new.join(name);
        fs::create_dir(&path)?;
        let flags = flags | if name == "shm" { MsFlags::MS_NODEV } else { MsFlags::empty() };
        mount(Some(kind), &path, Some(kind), flags, Some(options)).map_err(doing("fill /dev"))?;
    }
    mount(Some(&new), "/dev", None::<&str>, MsFlags::MS_MOVE, None::<&str>)
        .map_err(doing("put /dev into its place"))?;
    Ok(())
}

fn become_builder(program: &OsString, arguments: &[OsString]) -> io::Error {
    Command::new(program).args(arguments).stdin(Stdio::null()).exec()
}

fn doing(what: &'static str) -> impl Fn(nix::Error) -> io::Error {
    move |error| io::Error::other(format!("cannot {what}: {error}"))
}

/// The log of the build is where this goes.
fn say(error: &io::Error) {
    let _ = writeln!(io::stderr(), "gable: {error}");
}
