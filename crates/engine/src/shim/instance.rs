//! How a shim begins: everything up to the moment when there is something to supervise.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use model::Exit;
use nix::fcntl::{FcntlArg, Flock, OFlag, fcntl};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{ForkResult, Pid, pipe2, setsid};
use serde::{Deserialize, Serialize};
use telemetry::LogWriter;

use crate::cgroup::{self, Cgroups};
use crate::order::{CONTROL, EXIT, Isolation, News, ORDER, Order};
use crate::shim::disk::DiskWatch;
use crate::shim::launch::Program;
use crate::shim::supervise::{Main, Supervisor};
use crate::shim::{Doing, Refusal, container, isolate, nursery, root};
use crate::{files, seqpacket, spec, sys};

/// What a child of the shim says on the status pipe before it becomes the user's program. The
/// kernel closes the pipe at that moment, which says that it did.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    /// The main process is there.
    Pid(i32),
    /// It could not become the user's program.
    CannotBegin(String),
    /// Something of the host's refused.
    Refused { doing: String, why: String },
}

/// Says something on a status pipe.
pub(super) fn say(pipe: impl AsFd, said: &Said) {
    if let Ok(mut line) = serde_json::to_vec(said) {
        line.push(b'\n');
        // A pipe whose reader is gone is the shim's end, and so the end of this process too.
        let _ = nix::unistd::write(pipe, &line);
    }
}

/// The life of a shim. Returns its exit code.
pub(super) fn run(directory: &Path, isolated: bool, reply: OwnedFd, _lock: Flock<File>) -> i32 {
    match begin(directory, isolated) {
        Ok(supervisor) => supervisor.run(reply),
        Err(Refusal { doing, why, .. }) => {
            let exit = Exit {
                code: None,
                signal: None,
                out_of_memory: false,
                limit: None,
                start_error: Some(format!("{doing}: {why}")),
                at: Timestamp::now(),
            };
            let _ = files::replace_json(&directory.join(EXIT), &exit);
            let _ = seqpacket::send(&reply, &News::Failed { doing, why }, &[]);
            1
        }
    }
}

fn begin(directory: &Path, isolated: bool) -> Result<Supervisor, Refusal> {
    let signals = detach().doing(|| "detach the instance's process".to_owned())?;
    let order: Order = files::read_json(&directory.join(ORDER))
        .doing(|| "read what to run".to_owned())?
        .ok_or_else(|| Refusal {
            doing: "read what to run".to_owned(),
            why: "it is not there".to_owned(),
            is_the_specs: false,
        })?;
    std::env::set_current_dir(directory).doing(|| "enter its directory".to_owned())?;
    let control = seqpacket::listen_here(CONTROL).doing(|| "listen for requests".to_owned())?;
    let _ = std::env::set_current_dir("/");
    let log = LogWriter::open(&order.spec.log)
        .doing(|| format!("open the log {}", order.spec.log.display()))?;
    let pipes = Pipes::make(order.spec.has_input).doing(|| "make pipes".to_owned())?;
    let (main, cgroup) = match &order.isolation {
        Isolation::Native { link, cgroup, etc } => {
            let outside = isolate::leave_host()?;
            // In a fork that ends: what it needs of memory must not stay with the shim.
            let work = |status: &OwnedFd| {
                isolate::join_network(&outside, link)?;
                isolate::set_up_network(&order.spec.container.sysctls)?;
                let root = root::prepare(directory, &order, link, etc)?;
                container::build(directory, &order, cgroup, &root, status)
            };
            fork_builder(&pipes, work).doing(|| "fork".to_owned())?;
            (Main::Unknown { reaped: Vec::new() }, Some(cgroup.clone()))
        }
        Isolation::Plain => {
            prctl::set_child_subreaper(true).doing(|| "adopt orphans".to_owned())?;
            (Main::Known(fork_plain(&pipes, &order).doing(|| "fork".to_owned())?), None)
        }
    };
    let Pipes { input, output: [(out, _), (err, _)], status: (status, _) } = pipes;
    let parts = Parts {
        directory: directory.to_owned(),
        isolated,
        cgroup: cgroup.map(|path| (Cgroups::find(Path::new(cgroup::ROOT)), path)),
        disk: order
            .spec
            .limits
            .disk_bytes
            .filter(|_| isolated)
            .map(|limit| DiskWatch::new(&order.scratch, limit, order.disk_reserve)),
        limits: order.spec.limits,
        is_lasting: order.spec.is_lasting,
        stop_signal: stop_signal(&order.spec),
        log,
        signals,
        control,
        outputs: [Some(out), Some(err)],
        input: input.map(|(_, write)| write),
    };
    Ok(Supervisor::new(parts, main, status))
}

/// The signal for the main process alone, if it is to end the others. One that is process 1 does
/// that, as an init: what it looks like from outside says nothing about what it looks after.
fn stop_signal(spec: &spec::InstanceSpec) -> Option<i32> {
    match &spec.container.stop_signal {
        Some(declared) => spec::signal_number(declared),
        None => spec.is_first_process().then_some(Signal::SIGTERM as i32),
    }
}

/// What a [`Supervisor`] is made of.
pub(super) struct Parts {
    pub(super) directory: PathBuf,
    pub(super) isolated: bool,
    pub(super) cgroup: Option<(Cgroups, PathBuf)>,
    pub(super) limits: spec::Limits,
    pub(super) disk: Option<DiskWatch>,
    /// Whether an end that nobody asked for is worth a line.
    pub(super) is_lasting: bool,
    /// For the main process alone; TERM for the application where `None`.
    pub(super) stop_signal: Option<i32>,
    pub(super) log: LogWriter,
    pub(super) signals: SignalFd,
    pub(super) control: OwnedFd,
    /// Reading ends of standard output and standard error, until they are closed.
    pub(super) outputs: [Option<OwnedFd>; 2],
    /// Writing end of standard input, until somebody takes it.
    pub(super) input: Option<OwnedFd>,
}

/// Own session, no descriptor of the nursery's, signals as messages, nothing to see for others.
fn detach() -> std::io::Result<SignalFd> {
    let _ = setsid();
    nursery::leave_socket()?;
    let _ = prctl::set_name(c"gable-shim");
    // Programs of the instance must not look into this process.
    let _ = prctl::set_dumpable(false);
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block()?;
    Ok(SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

/// Pipes between the main process and the shim; the shim's reading ends do not block.
struct Pipes {
    /// To the main process, if it has an input.
    input: Option<(OwnedFd, OwnedFd)>,
    output: [(OwnedFd, OwnedFd); 2],
    status: (OwnedFd, OwnedFd),
}

impl Pipes {
    fn make(has_input: bool) -> nix::Result<Self> {
        let make = || {
            let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
            fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            Ok::<_, nix::Error>((read, write))
        };
        let input = has_input.then(|| pipe2(OFlag::O_CLOEXEC)).transpose()?;
        Ok(Self { input, output: [make()?, make()?], status: make()? })
    }

    /// Standard input of an instance is empty unless there is a pipe for it; output goes into the
    /// pipes.
    fn become_stdio(&self) -> nix::Result<()> {
        if let Some((read, _)) = &self.input {
            nix::unistd::dup2_stdin(read)?;
        }
        nix::unistd::dup2_stdout(&self.output[0].1)?;
        nix::unistd::dup2_stderr(&self.output[1].1)
    }
}

fn fork_builder(
    pipes: &Pipes,
    work: impl FnOnce(&OwnedFd) -> Result<(), Refusal>,
) -> nix::Result<Pid> {
    match sys::fork()? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let status = &pipes.status.1;
            let done = pipes.become_stdio().doing(|| "connect the output".to_owned());
            match done.and_then(|()| work(status)) {
                Ok(()) => {}
                Err(Refusal { doing, why, is_the_specs: true }) => {
                    say(status, &Said::CannotBegin(format!("{doing}: {why}")));
                }
                Err(Refusal { doing, why, .. }) => say(status, &Said::Refused { doing, why }),
            }
            sys::exit_now(0)
        }
    }
}

fn fork_plain(pipes: &Pipes, order: &Order) -> nix::Result<Pid> {
    match sys::fork()? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let _ = setsid();
            let _ = prctl::set_pdeathsig(Signal::SIGKILL);
            let _ = prctl::set_dumpable(true);
            let spec = &order.spec;
            let program = Program {
                command: spec.command.clone(),
                cwd: spec.cwd.clone(),
                env: spec.env.clone(),
                calls: None,
            };
            let why = match pipes.become_stdio() {
                Ok(()) => program.become_it(),
                Err(error) => error.to_string(),
            };
            say(&pipes.status.1, &Said::CannotBegin(why));
            sys::exit_now(127)
        }
    }
}
