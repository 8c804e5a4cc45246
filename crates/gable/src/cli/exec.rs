//! `gable exec`: a command inside a running instance, on this terminal.

use std::io::{IsTerminal, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use engine::ExecRequest;
use model::InstanceId;
use rustix::fd::BorrowedFd;
use tokio::signal::unix::{SignalKind, signal};
use wire::{InstanceQuery, Problem, StatusQuery};

use super::args::ExecArgs;
use super::context::Context;
use super::run;
use super::selector::{self, Kind, Thing};
use super::stop::{COULD_NOT_RUN, Outcome, Stop};
use super::terminal::{self, OtherMode, Pty};

/// What is run when nothing is asked for: the friendliest shell that is there.
const SHELL: [&str; 3] = ["/bin/sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash; exec sh"];
/// Bytes that are copied at once.
const BUFFER_BYTES: usize = 16 * 1024;

/// Runs it.
pub(crate) async fn run(context: &Context, args: &ExecArgs) -> Outcome {
    exec(context, args).await.map_err(|stop| stop.exit(COULD_NOT_RUN))
}

async fn exec(context: &Context, args: &ExecArgs) -> Outcome {
    let connected = context.running().await?;
    let status = connected.client.status(&StatusQuery::default()).await?;
    let found = selector::find(&status, Kind::Any, &args.service, context.here().as_deref())?;
    let id = Some(found.thing.id().to_owned());
    let query = match found.thing {
        Thing::Service(_) => InstanceQuery { service: id, database: None },
        Thing::Database(_) => InstanceQuery { service: None, database: id },
    };
    let instance = connected.client.instance(&query).await?;
    let command = match args.command.as_slice() {
        [] => SHELL.map(ToOwned::to_owned).to_vec(),
        words => run::command(words),
    };
    let inside = Inside { context, instance: instance.instance_id, env: Vec::new() };
    inside.exec(command, !args.no_terminal).await
}

/// The inside of one instance.
pub(crate) struct Inside<'a> {
    pub(crate) context: &'a Context,
    pub(crate) instance: String,
    pub(crate) env: Vec<(String, String)>,
}

impl Inside<'_> {
    /// Runs a command on this terminal, if there is one and it may be used, or on this process's
    /// descriptors. Gives its exit code.
    pub(crate) async fn exec(&self, command: Vec<String>, may_use_terminal: bool) -> Outcome {
        let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let code = if is_terminal && may_use_terminal {
            self.on_terminal(command).await?
        } else {
            self.on_pipes(command).await?
        };
        Ok(u8::try_from(code).unwrap_or(COULD_NOT_RUN))
    }

    /// On the descriptors of this process.
    async fn on_pipes(&self, command: Vec<String>) -> Result<i32, Stop> {
        let copy = |descriptor: BorrowedFd<'static>| descriptor.try_clone_to_owned();
        let stdio = copy(rustix::stdio::stdin())
            .and_then(|stdin| {
                Ok([stdin, copy(rustix::stdio::stdout())?, copy(rustix::stdio::stderr())?])
            })
            .map_err(|error| host("the standard descriptors cannot be passed on", &error))?;
        let env = self.env.clone();
        self.run(ExecRequest { command, cwd: None, env, stdio, terminal: false, time: None }).await
    }

    /// On a terminal of its own, whose other side is the person's.
    async fn on_terminal(&self, command: Vec<String>) -> Result<i32, Stop> {
        let no_terminal = |error: &std::io::Error| host("no terminal can be made", error);
        let Pty { main, subordinate } = Pty::open().map_err(|error| no_terminal(&error))?;
        terminal::copy_size(&main);
        let copy = || subordinate.try_clone();
        let stdio = copy()
            .and_then(|stdin| Ok([stdin, copy()?, copy()?]))
            .map_err(|error| no_terminal(&error))?;
        drop(subordinate);
        let name = std::env::var("TERM").unwrap_or_else(|_| "xterm".to_owned());
        let mut env = self.env.clone();
        env.push(("TERM".to_owned(), name));
        let request = ExecRequest { command, cwd: None, env, stdio, terminal: true, time: None };
        let mode = OtherMode::raw(rustix::stdio::stdin()).map_err(|error| no_terminal(&error))?;
        let shown = show(&main).map_err(|error| no_terminal(&error))?;
        let result = tokio::select! {
            result = self.run(request) => result,
            () = follow_size(&main) => unreachable!("sizes are followed for ever"),
        };
        // What the command wrote last is still on its way.
        let _ = shown.await;
        drop(mode);
        result
    }

    /// Asks the process that holds the instance; the server has no part in it.
    async fn run(&self, request: ExecRequest) -> Result<i32, Stop> {
        let failed = |error: &dyn std::error::Error| {
            Stop::failed(
                Problem::new("exec-failed", "the command cannot be run there")
                    .detail(super::stop::chain(error))
                    .hint("`gable status` shows whether the instance still runs"),
            )
        };
        let id: InstanceId = self.instance.parse().map_err(|error| failed(&error))?;
        engine::exec(&self.context.paths.run_dir, &id, request)
            .await
            .map_err(|error| failed(&error))
    }
}

fn host(message: &str, error: &std::io::Error) -> Stop {
    Stop::failed(Problem::new("host-error", message).detail(error.to_string()))
}

/// Copies keys to the terminal and its text to the screen, on threads: both sides only block. The
/// result is ready when the command's side is closed. The thread for keys ends with the process.
fn show(main: &OwnedFd) -> std::io::Result<tokio::sync::oneshot::Receiver<()>> {
    let (done, is_done) = tokio::sync::oneshot::channel();
    let keys = std::fs::File::from(main.try_clone()?);
    std::thread::Builder::new().name("keys".to_owned()).spawn(move || {
        copy(std::io::stdin().lock(), keys);
    })?;
    let text = std::fs::File::from(main.try_clone()?);
    std::thread::Builder::new().name("text".to_owned()).spawn(move || {
        copy(text, std::io::stdout().lock());
        // Nobody waits any more when the process ends.
        let _ = done.send(());
    })?;
    Ok(is_done)
}

/// Copies until one side is closed. The end of a terminal is an error of its own kind (EIO).
fn copy(mut from: impl Read, mut to: impl Write) {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) if to.write_all(&buffer[..count]).and_then(|()| to.flush()).is_ok() => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// Passes on every new size of the person's terminal.
async fn follow_size(main: &OwnedFd) {
    let Ok(mut changes) = signal(SignalKind::window_change()) else {
        // It stays as large as it was.
        return std::future::pending().await;
    };
    while changes.recv().await.is_some() {
        terminal::copy_size(main.as_fd());
    }
    std::future::pending().await
}
