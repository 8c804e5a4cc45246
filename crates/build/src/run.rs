//! One run of the build commands.
//!
//! What has been done is read from the disk and from the driver each time, never remembered: an
//! artifact that is there is the result; an instance that runs is waited for; one that has ended
//! is packed or is a failure; otherwise the build starts over from a fresh checkout. So the same
//! request may be given again after the control plane was killed at any line of this file.

mod docker;
mod prepare;

use std::path::Path;
use std::time::Duration;

use engine::{ContainerSpec, Driver, InstanceSpec, Limits, Mount, PROCESS_LIMIT, Root, User};
use model::{
    Artifact, ArtifactId, BuildId, Commit, EnvironmentId, Exit, InstanceId, InstanceState, Problem,
    Runtime, Service, ServiceId, ServiceKind,
};

use crate::caches::Trust;
use crate::causes;
use crate::config::Config;
use crate::container;
use crate::disk;
use crate::docker::Login;
use crate::error::Error;
use crate::inputs::FORMAT_VERSION;
use crate::layout::{self, Phase};
use crate::note::Note;
use crate::own_files;
use crate::pack;
use crate::publish;
use crate::sources::Sources;
use crate::store::{self, Manifest};
use crate::toolchain::Toolchain;
use crate::tree;

/// How many of the last lines of output a failure carries.
pub const TAIL_LINES: usize = 40;
/// A build that is cancelled has nothing to save.
const CANCEL_GRACE: Duration = Duration::from_secs(2);

/// What to build. Two requests with one build id are one build.
#[derive(Clone)]
pub struct BuildRequest {
    /// Names the build and its work directory.
    pub build_id: BuildId,
    /// The instance that runs the commands, chosen by the caller so that it is known before.
    pub instance_id: InstanceId,
    /// Address of the result: [`crate::artifact_id`] of the inputs.
    pub artifact_id: ArtifactId,
    /// Whose store of sources holds the commit.
    pub project: String,
    /// The source.
    pub commit: Commit,
    /// Whose log it is.
    pub service_id: ServiceId,
    /// The declaration.
    pub service: Service,
    /// Whose private network the build joins: its databases are reachable.
    pub environment_id: EnvironmentId,
    /// The resolved environment for the build phase.
    pub env: Vec<(String, String)>,
    /// The tools, as [`crate::toolchain::resolve`] found them.
    pub toolchain: Toolchain,
    /// Who owns the artifact afterwards: the service's user. Images are the server's own.
    pub owner_uid: u32,
    /// For private base images of a Dockerfile.
    pub logins: Vec<Login>,
    /// Whose code it runs, and so whether later builds use what it keeps.
    pub trust: Trust,
    /// Names of the environment's data stores and services: steps of a Dockerfile do not reach them,
    /// and are told so.
    pub private_names: Vec<String>,
}

/// How far a build is, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The artifact was there already; nothing is run.
    Reused,
    /// Something the person should know.
    Note(Note),
    /// The source is being checked out.
    CheckingOut,
    /// The commands run; their output goes to this file.
    Running {
        /// Log of the build's instance.
        log: std::path::PathBuf,
        /// Whether they ran already when this control plane began.
        resumed: bool,
    },
    /// An image comes, or is unpacked.
    Image(images::Progress),
    /// The result is being put away.
    Packing,
}

/// Why there is no artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For the person.
    pub problem: Problem,
    /// The last lines of output, oldest first.
    pub log_tail: Vec<String>,
    /// The earliest line that names a cause, when it is another one than the problem's.
    pub first_cause: Option<String>,
}

/// Whether instances see mounts, or are processes among the host's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Mounted,
    Plain,
}

impl Mode {
    fn of(driver: &dyn Driver) -> Self {
        if driver.isolates_network() { Self::Mounted } else { Self::Plain }
    }
}

/// Whether the commands may have run. A start that failed has done nothing, and is made again.
fn has_begun(state: &InstanceState) -> bool {
    !matches!(state, InstanceState::Exited(exit) if exit.start_error.is_some())
}

impl Failure {
    pub(crate) fn without_log(problem: Problem) -> Self {
        Self { problem, log_tail: Vec::new(), first_cause: None }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::without_log(error.problem())
    }
}

impl From<engine::Error> for Failure {
    fn from(error: engine::Error) -> Self {
        let problem = Problem::new("engine-failed", format!("the build could not be run: {error}"));
        let source = std::error::Error::source(&error).map(ToString::to_string);
        Self::without_log(match source {
            Some(source) => problem.detail(source),
            None => problem,
        })
    }
}

/// Builds, or finds that it was built.
///
/// Dropping the future leaves the commands running, for the next call with the same request to
/// find; [`cancel`] ends them.
///
/// # Errors
/// When the commands fail, run too long or print too much, when a static site's files are not
/// where they should be, and when the host refuses.
pub async fn run(
    config: &Config,
    sources: &Sources,
    driver: &dyn Driver,
    request: &BuildRequest,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Artifact, Failure> {
    let result = find_or_build(config, sources, driver, request, progress).await;
    // Whatever became of it, and wherever it ended.
    tidy(config, driver, request).await;
    result
}

async fn find_or_build(
    config: &Config,
    sources: &Sources,
    driver: &dyn Driver,
    request: &BuildRequest,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Artifact, Failure> {
    if let Some(artifact) = store::find_artifact(config, &request.artifact_id)? {
        progress(Progress::Reused);
        return Ok(artifact);
    }
    match request.service.runtime {
        Runtime::Image => container::pull(config, sources, request, progress).await,
        Runtime::Docker => docker::run(config, sources, driver, request, progress).await,
        _ => natively(config, sources, driver, request, progress).await,
    }
}

async fn natively(
    config: &Config,
    sources: &Sources,
    driver: &dyn Driver,
    request: &BuildRequest,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Artifact, Failure> {
    for note in &request.toolchain.notes {
        progress(Progress::Note(note.clone()));
    }
    let log = config.log_path(&request.service_id, &request.instance_id);
    let has_command = command_text(&request.service).is_some();
    let mode = Mode::of(driver);
    let seen = driver.observe(&request.instance_id).await;
    let work = config.work_of(&request.build_id);
    let is_under_way = work.exists() && seen.as_ref().is_some_and(has_begun);
    if !is_under_way {
        end(driver, &request.instance_id).await?;
        progress(Progress::CheckingOut);
        prepare::prepare(config, sources, request, mode).await?;
    }
    if has_command {
        progress(Progress::Running { log: log.clone(), resumed: is_under_way });
        let ended = execute(config, driver, request).await?;
        if !matches!(&ended, Ended::Exited(exit) if exit.is_success()) {
            return Err(explain(config, request, &ended, &log));
        }
    }
    progress(Progress::Packing);
    finish(config, request, mode).await
}

/// Ends a build and removes what it left, its log apart. Safe to repeat.
///
/// # Errors
/// When its processes survive, or the disk refuses.
pub async fn cancel(
    config: &Config,
    driver: &dyn Driver,
    request: &BuildRequest,
) -> Result<(), Failure> {
    forget(config, driver, request).await
}

async fn forget(
    config: &Config,
    driver: &dyn Driver,
    request: &BuildRequest,
) -> Result<(), Failure> {
    end(driver, &request.instance_id).await?;
    let work = config.work_of(&request.build_id);
    let removed = blocking(move || {
        crate::docker::end_stale(&work)?;
        tree::remove(&work)
    });
    Ok(removed.await?)
}

/// What is left over here is removed when the control plane begins the next time; it must not
/// hide how the build went.
async fn tidy(config: &Config, driver: &dyn Driver, request: &BuildRequest) {
    if let Err(failure) = forget(config, driver, request).await {
        let problem = failure.problem;
        tracing::warn!(build.id = %request.build_id, ?problem, "a build could not be tidied up");
    }
}

async fn end(driver: &dyn Driver, id: &InstanceId) -> Result<(), engine::Error> {
    match driver.observe(id).await {
        None => return Ok(()),
        Some(InstanceState::Exited(_)) => {}
        Some(InstanceState::Starting | InstanceState::Running { .. }) => {
            driver.stop(id, CANCEL_GRACE).await?;
        }
    }
    match driver.remove(id).await {
        Err(engine::Error::NotFound(_)) => Ok(()),
        other => other,
    }
}

/// How the commands came to an end.
enum Ended {
    Exited(Exit),
    /// They wrote too much.
    Overrun(disk::Overrun),
}

async fn execute(
    config: &Config,
    driver: &dyn Driver,
    request: &BuildRequest,
) -> Result<Ended, Failure> {
    let places = vec![config.work_of(&request.build_id), config.project_caches(&request.project)];
    let watch = disk::Watch::begin(config.limits.disk, places).await?;
    if driver.observe(&request.instance_id).await.is_none() {
        driver.ensure_network(&request.environment_id).await?;
        let spec = spec(config, request, Mode::of(driver));
        if let InstanceState::Exited(exit) = driver.start(&spec).await? {
            return Ok(Ended::Exited(exit));
        }
    }
    tokio::select! {
        exit = driver.wait(&request.instance_id) => Ok(Ended::Exited(exit?)),
        overrun = watch.overrun() => {
            driver.stop(&request.instance_id, Duration::ZERO).await?;
            Ok(Ended::Overrun(overrun))
        }
    }
}

async fn finish(config: &Config, request: &BuildRequest, mode: Mode) -> Result<Artifact, Failure> {
    let work = config.work_of(&request.build_id);
    if request.service.kind == ServiceKind::Static {
        publish::check(&request.service, &work.join("tree")).map_err(Failure::without_log)?;
    }
    let (config, request) = (config.clone(), request.clone());
    let artifact = blocking(move || {
        if mode == Mode::Plain {
            pack::make_movable(&work)?;
        }
        prepare::keep(&config, &request)?;
        let totals = pack::hand_over(&work, request.owner_uid)?;
        let manifest = Manifest {
            format: FORMAT_VERSION,
            id: request.artifact_id,
            runtime: request.service.runtime,
            size_bytes: totals.bytes,
            files: totals.files,
            toolchain: request.toolchain,
        };
        store::publish(&config, &work, &manifest)
    })
    .await?;
    sync_later(&artifact);
    Ok(artifact)
}

/// It is complete for everybody who asks; only a power cut would still hurt it.
pub(crate) fn sync_later(artifact: &Artifact) {
    let path = Path::new(&artifact.path).to_owned();
    tokio::task::spawn_blocking(move || {
        if let Err(error) = store::sync(&path) {
            tracing::warn!(%error, "the artifact could not be brought to the disk");
        }
    });
}

fn spec(config: &Config, request: &BuildRequest, mode: Mode) -> InstanceSpec {
    let service = &request.service;
    let mut env = environment(config, request);
    if mode == Mode::Plain {
        let work = config.work_of(&request.build_id);
        env = layout::env_on_host(&env, &|inside| match inside.to_str() {
            Some(layout::SOURCE) => work.join("tree"),
            Some(layout::NODE) => request.toolchain.node.clone().unwrap_or_default(),
            _ => work.join("home"),
        });
    }
    let cwd = layout::source_dir(&service.root_dir);
    InstanceSpec {
        id: request.instance_id.clone(),
        hostname: "build".to_owned(),
        environment_id: request.environment_id.clone(),
        root: Root::HostUserland,
        user: User::alone(config.builder_uid, "render", layout::HOME),
        command: prepare::command(config, request, mode),
        cwd,
        env,
        mounts: mounts(config, request),
        files: Vec::new(),
        limits: Limits {
            time: Some(config.time_limit),
            output_bytes: Some(config.output_limit_bytes),
            ..config.limits.of_engine()
        },
        log: config.log_path(&request.service_id, &request.instance_id),
        is_lasting: false,
        has_input: false,
        port_hint: None,
        label: format!("build of {}", service.name),
        container: ContainerSpec::default(),
    }
}

fn environment(config: &Config, request: &BuildRequest) -> Vec<(String, String)> {
    let runtime = request.service.runtime;
    let own = layout::merge_env([
        layout::base_env(runtime, &request.toolchain),
        layout::cache_env(),
        layout::language_env(runtime, Phase::Build),
    ]);
    let own = layout::env_under(&own, &config.operator_env);
    layout::env_under(&own, &request.env)
}

fn mounts(config: &Config, request: &BuildRequest) -> Vec<Mount> {
    let work = config.work_of(&request.build_id);
    let bind =
        |source, target: std::path::PathBuf| Mount::Bind { source, target, read_only: false };
    let mut mounts = vec![
        bind(work.join("home"), layout::HOME.into()),
        bind(work.join("tree"), layout::SOURCE.into()),
    ];
    // What is written there counts as the build's, and goes with its directory.
    mounts.extend(
        prepare::TEMPORARY.iter().map(|(name, target)| bind(work.join(name), target.into())),
    );
    let (home, caches) = (Path::new(layout::HOME), config.project_caches(&request.project));
    mounts.extend(layout::CACHES.iter().filter_map(|(name, path)| {
        let (cache, target) = (caches.join(name), home.join(path));
        match request.trust {
            Trust::Full => Some(bind(cache, target)),
            Trust::ReadOnly if cache.is_dir() => Some(Mount::Overlay { lower: cache, target }),
            Trust::ReadOnly => None,
        }
    }));
    mounts.extend(layout::node_mount(&request.toolchain));
    mounts
}

/// The user's text, if there is anything to run. Python services without one still get their
/// virtual environment.
pub(crate) fn command_text(service: &Service) -> Option<&str> {
    let text = service.build_command.as_deref().unwrap_or_default();
    (!text.trim().is_empty() || service.runtime == Runtime::Python).then_some(text)
}

fn explain(config: &Config, request: &BuildRequest, ended: &Ended, log: &Path) -> Failure {
    let lines = pack::log_lines(log);
    let found = causes::diagnose(&lines);
    let name = request.service.name.as_str();
    let limits = &config.limits;
    let mut problem = match ended {
        Ended::Overrun(overrun) => overrun.problem(name),
        Ended::Exited(exit) if exit.out_of_memory => limits.out_of_memory(name),
        Ended::Exited(exit) => match &exit.limit {
            Some(limit) if limit == PROCESS_LIMIT => limits.too_many_processes(name),
            Some(limit) => Problem::new("build-failed", format!("the build of {name} {exit}"))
                .detail(limit.clone())
                .hint(
                    "build again; a command that waits for ever, or prints without end, is ended \
                     every time",
                ),
            None => Problem::new("build-failed", format!("the build of {name} {exit}")),
        },
    };
    let is_of_limit = problem.code != "build-failed";
    if is_of_limit {
        // What programs say of it names everything but the limit.
    } else if let Some(decisive) = &found.decisive {
        problem.code.clone_from(&decisive.code);
        let last =
            found.last.filter(|last| last.line != decisive.line && last.index > decisive.index);
        let detail = match last {
            Some(last) => format!("{}\nand in the end: {}", decisive.line, last.line),
            None => decisive.line.clone(),
        };
        problem.detail.get_or_insert(detail);
        let own = || {
            own_files::names(
                &config.work_of(&request.build_id).join("tree").join(&request.service.root_dir),
            )
        };
        let own_hint = (decisive.code == "module-missing")
            .then(|| reconcile::diagnosis::own_module_hint(&decisive.line, &own()))
            .flatten();
        problem.hint.get_or_insert_with(|| own_hint.unwrap_or_else(|| decisive.hint.clone()));
    } else if let Some(last) = lines.iter().rev().find(|line| !line.trim().is_empty()) {
        problem.detail.get_or_insert_with(|| last.clone());
    }
    let decisive = found.decisive.map(|decisive| decisive.line);
    let first_cause =
        found.first.map(|first| first.line).filter(|line| Some(line) != decisive.as_ref());
    let tail = lines.len().saturating_sub(TAIL_LINES);
    Failure { problem, log_tail: lines[tail..].to_vec(), first_cause }
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Error::io("do a file operation", std::io::Error::other(error))))
}
