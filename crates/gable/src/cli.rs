//! The command line: words to calls, replies to texts. One file for each command.

mod args;
mod blueprint;
mod board;
mod completions;
mod connect;
mod context;
mod deploys;
mod disk;
mod doctor;
mod down;
mod edge;
mod env;
mod env_file;
mod escape;
mod exec;
mod explain;
mod install;
mod interrupts;
mod keep;
mod logs;
mod paint;
mod paths;
mod plan;
mod printer;
mod psql;
mod render;
mod restore;
mod run;
mod selector;
mod server;
mod settings;
mod size;
mod source;
mod stage;
mod status;
mod stop;
mod terminal;
mod trust;
mod up;
mod watch;

#[cfg(test)]
mod fixtures;

use std::cell::Cell;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use wire::Problem;

use args::{Cli, Command};
use context::Context;
use paths::{Paths, Surroundings};
use printer::Printer;
use stop::{Outcome, Stop, USAGE};

/// The hidden command that holds instances.
const SHIM: &str = "shim";
/// The hidden command that makes room for a builder of images.
const BUILDER: &str = "builder";

/// Runs the command that the command line names.
pub(crate) fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // It forks, so it comes before anything that could start a thread.
    if arguments.get(1).is_some_and(|role| role == SHIM) {
        let code = ::engine::shim_main(arguments.into_iter().skip(2));
        return ExitCode::from(u8::try_from(code).unwrap_or(USAGE));
    }
    if arguments.get(1).is_some_and(|role| role == BUILDER) {
        let code = build::docker::builder_main(arguments.into_iter().skip(2));
        return ExitCode::from(u8::try_from(code).unwrap_or(USAGE));
    }
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody listens if it cannot be told.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
        }
    };
    let printer = Printer::new(cli.global.color, cli.global.json);
    match dispatch(cli, printer) {
        Ok(code) => ExitCode::from(code),
        Err(Stop { problem, exit }) => {
            if let Some(problem) = problem {
                tell(printer, &problem);
            }
            ExitCode::from(exit)
        }
    }
}

/// To people on stderr, and to programs on stdout as well.
fn tell(printer: Printer, problem: &Problem) {
    printer.say(&stop::render_problem(problem, printer.err()));
    if printer.json {
        // Nobody listens if it cannot be told.
        let _ = printer.json(&serde_json::json!({ "ok": false, "problem": problem }));
    }
}

fn dispatch(cli: Cli, printer: Printer) -> Outcome {
    let paths = Paths::new(cli.global.state_dir.as_deref(), &Surroundings::here())
        .map_err(|error| Stop::usage(format!("`--state-dir` cannot be used: {error}")))?;
    match cli.command {
        // These have runtimes of their own, or none.
        Command::Server(args) if args.command.is_none() => server::run(paths, &args.run),
        Command::Edge(args) => edge::run(args),
        Command::Blueprint(args) => blueprint::run(printer, &args),
        Command::Completions(args) => completions::run(printer, &args),
        Command::Explain(args) => explain::run(printer, &args),
        Command::Trust(args) => trust::run(&paths, printer, &args),
        command => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| {
                    let problem = Problem::new("host-error", "the runtime cannot be started");
                    Stop::failed(problem.detail(error.to_string()))
                })?;
            let context = Context { paths, printer, started: Cell::new(false) };
            runtime.block_on(async {
                let outcome = call(&context, command).await;
                context.leave().await;
                outcome
            })
        }
    }
}

/// The commands that talk to the server.
async fn call(context: &Context, command: Command) -> Outcome {
    match command {
        Command::Up(args) => up::run(context, &args).await,
        Command::Plan(args) => plan::run(context, &args).await,
        Command::Status(args) => status::run(context, &args).await,
        Command::Logs(args) => logs::run(context, &args).await,
        Command::Exec(args) => exec::run(context, &args).await,
        Command::Run(args) => run::run(context, &args).await,
        Command::Restart(args) => deploys::restart(context, &args).await,
        Command::Deploy(args) => deploys::deploy(context, &args).await,
        Command::Rollback(args) => deploys::rollback(context, &args).await,
        Command::Cancel(args) => deploys::cancel(context, &args).await,
        Command::Env(args) => env::run(context, &args).await,
        Command::Psql(args) => psql::run(context, &args).await,
        Command::Down(args) => down::run(context, &args).await,
        Command::Doctor => doctor::run(context).await,
        Command::Disk(args) => disk::run(context, &args).await,
        Command::Server(args) => server::command(context, args.command.as_ref()).await,
        Command::Install(args) => install::install(context, &args).await,
        Command::Uninstall(args) => install::uninstall(context, &args),
        Command::Edge(_)
        | Command::Shim
        | Command::Builder
        | Command::Blueprint(_)
        | Command::Completions(_)
        | Command::Explain(_)
        | Command::Trust(_) => Err(Stop::usage("this command has no business with the server")),
    }
}
