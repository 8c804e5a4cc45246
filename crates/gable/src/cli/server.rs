//! `gable server`: the control plane, started by `up` or by a service manager; and the words to
//! start, end and look at it.

use std::io::IsTerminal;
use std::time::Duration;

use reconcile::deploy::Timeouts;
use tracing_subscriber::EnvFilter;
use wire::{Problem, ServerInfo, ShutdownRequest};

use super::args::{LogFormat, ServerArgs, ServerCommand, ServerStartArgs};
use super::connect::{self, Launch};
use super::context::Context;
use super::interrupts::Interrupts;
use super::keep::Keep;
use super::paths::Paths;
use super::restore;
use super::settings::{Settings, inherited_env};
use super::size::Size;
use super::source;
use super::stop::{DONE, FAILED, Outcome, Stop};
use super::up;

/// What is under way when the server ends gets this long.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(2);
/// A server that was asked to end gets this long: requests under way are answered first.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// Runs it until it is asked to end.
pub(crate) fn run(mut paths: Paths, args: &ServerArgs) -> Outcome {
    if let Some(run_dir) = &args.run_dir {
        paths.run_dir.clone_from(run_dir);
    }
    if args.detached {
        // Fails only for the leader of a group, which has left the terminal's session already.
        let _ = rustix::process::setsid();
    }
    start_logging(&args.log, args.log_format)?;
    paths.make().map_err(|error| failed("the directories cannot be made", &error))?;
    let settings = Settings::remembered(&paths.state_dir).with(args);
    let mut operator_env = inherited_env();
    if let Some(file) = &settings.operator_env {
        operator_env.extend(source::read_pairs(file)?);
    }
    let executable = std::env::current_exe()
        .map_err(|error| failed("the path of this program is not known", &error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("server")
        .build()
        .map_err(|error| failed("the runtime cannot be started", &error))?;
    let is_root = rustix::process::geteuid().is_root();
    let concurrent_builds = std::thread::available_parallelism().map_or(2, usize::from);
    let mut build_limits = settings.build.limits(&paths.state_dir, concurrent_builds);
    if let Some(bytes) = settings.disk_reserve.and_then(Size::bytes) {
        build_limits.disk.reserve_bytes = bytes;
    }
    let config = control::Config {
        state_dir: paths.state_dir.clone(),
        run_dir: paths.run_dir.clone(),
        executable: vec![executable.into()],
        instance_disk_bytes: settings.instance_disk_bytes(),
        disk_reserve_bytes: settings.disk_reserve.and_then(|size| size.bytes()),
        listen: settings.listen.clone(),
        edge: settings.edge.clone(),
        is_https: settings.is_https,
        operator_env,
        registries: registries(&paths.state_dir)?,
        timeouts: Timeouts {
            health: Duration::from_secs(args.health_timeout),
            watch: Duration::from_secs(args.worker_watch),
            refusal: Duration::from_secs(args.refusal_timeout),
            ..Timeouts::standard()
        },
        concurrent_builds,
        build_limits,
        disk_floor_bytes: settings.disk_floor_bytes(),
        keep: settings.keep(),
        is_plain: args.plain || !is_root,
    };
    let keep = match args.supervised {
        true => None,
        false => Some(
            Keep::this(&paths, &again(args))
                .map_err(|error| failed("the path of this program is not known", &error))?,
        ),
    };
    let outcome = runtime.block_on(serve(Start { config, settings, keep }));
    // Work under way is not waited for: each piece of it can be repeated.
    runtime.shutdown_timeout(SHUTDOWN_LIMIT);
    outcome
}

/// What of the arguments a server needs that takes the place of this one; the rest is remembered.
fn again(args: &ServerArgs) -> Vec<String> {
    let mut again = vec![
        format!("--health-timeout={}", args.health_timeout),
        format!("--worker-watch={}", args.worker_watch),
        format!("--refusal-timeout={}", args.refusal_timeout),
        format!("--log={}", args.log),
        format!("--log-format={}", args.log_format.name()),
    ];
    if args.plain {
        again.push("--plain".to_owned());
    }
    again
}

/// What the operator says of registries of images: `registries.json` in the state directory, if it
/// is there.
fn registries(state_dir: &std::path::Path) -> Result<images::Registries, Stop> {
    let path = state_dir.join("registries.json");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(images::Registries::default());
        }
        Err(error) => return Err(failed("registries.json cannot be read", &error)),
    };
    // The reason that serde gives names the place and the field, and no value.
    serde_json::from_str(&text).map_err(|error| {
        Stop::failed(
            Problem::new("registries-malformed", format!("{} is malformed", path.display()))
                .detail(error.to_string())
                .hint("`gable explain registries-malformed` shows an example"),
        )
    })
}

/// What a server is started with.
struct Start {
    config: control::Config,
    /// What is remembered for the next one.
    settings: Settings,
    /// How it is started again when it is lost; `None` when somebody else does that.
    keep: Option<Keep>,
}

/// Starts the control plane and answers requests until it is asked to end.
async fn serve(start: Start) -> Outcome {
    let Start { config, settings, keep } = start;
    let socket = config.api_socket();
    let (state_dir, run_dir) = (config.state_dir.clone(), config.run_dir.clone());
    // Nothing of a server that runs may change before this is had.
    let turn = control::server::take(&state_dir).map_err(|error| refused(&error))?;
    let edge_socket = config.edge_socket();
    let server = match control::server::start(config, turn).await {
        Ok(server) => server,
        Err(error) => {
            // What an edge serves goes on; without one nothing of a start that failed is needed.
            if std::os::unix::net::UnixStream::connect(&edge_socket).is_err() {
                engine::leave(&run_dir);
            }
            return Err(refused(&error));
        }
    };
    // Only what worked is done again next time.
    settings
        .remember(&state_dir)
        .map_err(|error| failed("the settings cannot be written down", &error))?;
    let mut interrupts = Interrupts::listen()
        .map_err(|error| failed("the signals cannot be listened for", &error))?;
    let ended = async move {
        interrupts.next().await;
    };
    if let Some(keep) = &keep {
        keep.write(&run_dir)
            .map_err(|error| failed("the run directory cannot be written", &error))?;
    }
    let keeping = keep.map(|keep| tokio::spawn(keep.stand(run_dir.clone())));
    web::serve(server.platform.clone(), &socket, ended)
        .await
        .map_err(|error| failed("the API cannot be served", &error))?;
    if let Some(keeping) = keeping {
        keeping.abort();
        // Ends with an error, as it was told to.
        let _ = keeping.await;
    }
    Keep::remove(&run_dir);
    let is_needed = control::server::something_is_up(&server.platform).unwrap_or(true);
    if !is_needed {
        // The edge has nothing to serve. It may have been asked already, and be gone.
        let _ = server.platform.publisher.shutdown().await;
    }
    drop(server);
    if !is_needed {
        // Nothing runs any more after an orderly end of everything: nothing is left behind either.
        engine::leave(&run_dir);
    }
    Ok(DONE)
}

/// The words about the server.
pub(crate) async fn command(context: &Context, command: Option<&ServerCommand>) -> Outcome {
    match command {
        Some(ServerCommand::Start(args)) => begin(context, args).await,
        Some(ServerCommand::Stop) => end(context).await,
        Some(ServerCommand::Restore(args)) => restore::run(context, args).await,
        Some(ServerCommand::Status) | None => status(context).await,
    }
}

async fn begin(context: &Context, args: &ServerStartArgs) -> Outcome {
    let asked = args.listen.asked();
    let operator_env = args.operator_env.as_deref().map(source::canonical).transpose()?;
    let launch = Launch {
        paths: context.paths.clone(),
        listen: asked.clone(),
        operator_env,
        more: args.keep.words(),
    };
    let connected = connect::ensure(&launch).await?;
    if !connected.is_new {
        up::check_listen(&asked, &connected.info)?;
    }
    tell(context, &connected.info, if connected.is_new { "started" } else { "runs already" })
}

async fn end(context: &Context) -> Outcome {
    let connected = match connect::find(&context.paths).await {
        Ok(connected) => connected,
        Err(stop) if stop.is_not("server-not-running") => return Err(stop),
        Err(_) => {
            // One that is about to be started again is not wanted any more either.
            Keep::remove(&context.paths.run_dir);
            context.printer.say("there is no server");
            return Ok(DONE);
        }
    };
    let reply = connected.client.shutdown(&ShutdownRequest { only_if_idle: false }).await?;
    gone(context, connected.info.pid).await?;
    context.printer.say(&match reply.projects.as_slice() {
        [] => "the server is stopped".to_owned(),
        projects => format!(
            "the server is stopped; {} goes on, and nobody looks after it until `gable server start`",
            projects.join(", ")
        ),
    });
    Ok(DONE)
}

/// Waits until the server has given its state directory back.
async fn gone(context: &Context, pid: u32) -> Result<(), Stop> {
    let alive = control::server::alive_file(&context.paths.state_dir);
    let wait = tokio::task::spawn_blocking(move || {
        std::fs::File::open(alive).and_then(|file| file.lock_shared())
    });
    match tokio::time::timeout(STOP_LIMIT, wait).await {
        Ok(_) => Ok(()),
        Err(_) => Err(Stop::failed(Problem::new(
            "stop-failed",
            format!("the server (pid {pid}) has not ended after {} s", STOP_LIMIT.as_secs()),
        ))),
    }
}

async fn status(context: &Context) -> Outcome {
    match connect::find(&context.paths).await {
        Ok(connected) => tell(context, &connected.info, "runs"),
        Err(stop) if stop.is_not("server-not-running") => Err(stop),
        Err(_) => {
            let printer = context.printer;
            if printer.json {
                printer.json(&serde_json::json!({ "running": false }))?;
            } else {
                printer.data(&format!(
                    "no server runs for {}; `gable server start` starts it",
                    context.paths.state_dir.display()
                ))?;
            }
            Ok(FAILED)
        }
    }
}

fn tell(context: &Context, info: &ServerInfo, verb: &str) -> Outcome {
    let printer = context.printer;
    if printer.json {
        printer.json_pretty(&serde_json::json!({ "running": true, "server": info }))?;
        return Ok(DONE);
    }
    printer.data(&format!(
        "the server {verb}: pid {}, since {}, listens on {}",
        info.pid,
        info.started_at.round(jiff::Unit::Second).unwrap_or(info.started_at),
        info.listen.join(", ")
    ))?;
    Ok(DONE)
}

/// A refusal of the control plane's, for the log and for the person.
pub(crate) fn refused(error: &control::Error) -> Stop {
    let problem = error.problem();
    tracing::error!(detail = problem.detail, code = problem.code, "{}", problem.message);
    Stop::failed(Problem {
        code: problem.code,
        message: problem.message,
        detail: problem.detail,
        hint: problem.hint,
    })
}

/// Logs go to stderr: the file that `up` made, or the service manager's journal.
pub(crate) fn start_logging(filter: &str, format: LogFormat) -> Result<(), Stop> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Stop::usage(format!("`--log` cannot be understood: {error}"))
            .hint("`info`, or a filter such as `info,edge=debug`")
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

fn failed(message: &str, error: &std::io::Error) -> Stop {
    Stop::failed(Problem::new("server-start-failed", message).detail(error.to_string()))
}
