//! `gable server`: the control plane, started by `up` or by a service manager.

use std::io::IsTerminal;
use std::time::Duration;

use reconcile::deploy::Timeouts;
use tracing_subscriber::EnvFilter;
use wire::Problem;

use super::args::{LogFormat, ServerArgs};
use super::interrupts::Interrupts;
use super::paths::Paths;
use super::settings::{Settings, inherited_env};
use super::source;
use super::stop::{DONE, Outcome, Stop};

/// What is under way when the server ends gets this long.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(2);

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
    let settings = Settings::remembered(&paths.state_dir)
        .with(args)
        .remember(&paths.state_dir)
        .map_err(|error| failed("the settings cannot be written down", &error))?;
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
    let config = control::Config {
        state_dir: paths.state_dir.clone(),
        run_dir: paths.run_dir.clone(),
        executable: vec![executable.into()],
        instance_disk_bytes: settings.instance_disk_bytes(),
        disk_reserve_bytes: settings.disk_reserve.and_then(|size| size.bytes()),
        listen: settings.listen,
        edge: settings.edge,
        operator_env,
        registries: registries(&paths.state_dir)?,
        timeouts: Timeouts {
            health: Duration::from_secs(args.health_timeout),
            watch: Duration::from_secs(args.worker_watch),
            refusal: Duration::from_secs(args.refusal_timeout),
            ..Timeouts::standard()
        },
        concurrent_builds,
        build_limits: settings.build.limits(&paths.state_dir, concurrent_builds),
        is_plain: args.plain || !is_root,
    };
    let outcome = runtime.block_on(serve(config));
    // Work under way is not waited for: each piece of it can be repeated.
    runtime.shutdown_timeout(SHUTDOWN_LIMIT);
    outcome
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

/// Starts the control plane and answers requests until it is asked to end.
async fn serve(config: control::Config) -> Outcome {
    let socket = config.api_socket();
    let run_dir = config.run_dir.clone();
    let server = control::server::start(config).await.map_err(|error| refused(&error))?;
    let mut interrupts = Interrupts::listen()
        .map_err(|error| failed("the signals cannot be listened for", &error))?;
    let ended = async move {
        interrupts.next().await;
    };
    web::serve(server.platform.clone(), &socket, ended)
        .await
        .map_err(|error| failed("the API cannot be served", &error))?;
    drop(server);
    // Nothing runs any more after an orderly end of everything: nothing is left behind either.
    engine::leave(&run_dir);
    Ok(DONE)
}

fn refused(error: &control::Error) -> Stop {
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
