//! Dockerfiles, without a daemon.
//!
//! A build fetches its base images in the host's network, where registries may be on the loopback.
//! Then one call of buildah runs the steps, in a room of its own ([`builder_main`]) with limits and a
//! network that has a way out and nothing else, and one puts the image out, which becomes an OCI
//! layout. Base images stay in a storage of Gable's own, and layers in one of their project's, so
//! that the next build begins where the Dockerfile has changed: what a step of one project has made
//! is never another's. One builder at a time works: buildah counts its mounts in a storage, and each
//! room has its own.
//!
//! Where there is no buildah but the socket of a Docker engine, the `docker` client builds, and the
//! result is the archive that `docker save` writes.
//!
//! A builder is a child of the control plane and never outlives it. What a build that was cut off
//! has begun is removed before the next one, which repeats it with the layers that are done.
//!
//! Limits: images are built for this machine's architecture. Without root, steps share the host's
//! network.

mod bases;
mod child;
mod command;
mod daemon;
mod dialect;
mod doctor;
mod failure;
mod fetch;
mod file;
mod find;
mod image;
mod inputs;
mod launch;
mod names;
mod parents;
mod places;
mod registries;
mod scope;
mod secrets;
mod stored;
mod words;
mod written;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::Driver;
use images::Registries;
use model::{ArtifactId, Problem, Service};
use telemetry::LogWriter;

use crate::caches::Trust;
use crate::disk;
use crate::error::Error;
use crate::limits::BuildLimits;
use crate::pack;
use crate::run::{Failure, blocking};
use crate::tree;

pub use doctor::{Check, doctor};
pub use file::declared_args;
pub use find::{Builder, find};
pub use inputs::{build_args, inputs};
pub use launch::builder_main;
pub(crate) use places::candidates;
pub use stored::prune;

use child::{End, Limits, Start};
use command::{Confinement, Stores};
use failure::About;
use file::Dockerfile;
use launch::View;
use places::Places;
use secrets::Secret;
use written::Written;

/// Pid file of a builder in a build's work directory.
const PID_FILE: &str = "builder.pid";

/// Where images are built, and with what.
#[derive(Clone)]
pub struct Settings {
    /// Base images, and for each project layers and caches of `RUN --mount=type=cache`; on a disk.
    pub storage_dir: PathBuf,
    /// Logins of registries lie here while a build runs; in memory, and not below `/dev`, which
    /// the builder sees its own of.
    pub secrets_dir: PathBuf,
    /// Program and first words that end up in [`builder_main`].
    pub launcher: Vec<OsString>,
    /// Mirrors of registries, and which of them speak HTTP without TLS.
    pub registries: Registries,
}

impl Settings {
    /// The usual places of a state directory. Who builds says what launches a builder, and where
    /// secrets may lie: without that, nothing is built.
    #[must_use]
    pub fn in_state_dir(state_dir: &Path) -> Self {
        Self {
            storage_dir: state_dir.join("images/build"),
            secrets_dir: state_dir.join("logins"),
            launcher: Vec::new(),
            registries: Registries::default(),
        }
    }

    /// Where the storages of projects are.
    pub(crate) fn projects_dir(&self) -> PathBuf {
        self.storage_dir.join("projects")
    }

    /// Where the layers and the step caches of a project's images are.
    pub(crate) fn project_storage(&self, project: &str) -> PathBuf {
        self.projects_dir().join(crate::sources::file_name(project))
    }

    /// The storage of base images, in which no step ever runs.
    fn base_stores(&self) -> Stores {
        let own = self.storage_dir.join("base");
        Stores { temporary: own.join("tmp"), own, read: Vec::new() }
    }

    /// A storage that builds upon base images.
    fn stores_at(&self, own: PathBuf) -> Stores {
        Stores { temporary: own.join("caches"), own, read: vec![self.base_stores().root()] }
    }
}

/// A login for a registry of base images.
#[derive(Clone)]
pub struct Login {
    /// Its host, with a port where it is unusual: `ghcr.io`.
    pub registry: String,
    /// Who.
    pub username: String,
    /// The secret.
    pub password: String,
}

/// One build of a Dockerfile.
pub struct DockerBuild<'a> {
    /// What builds.
    pub builder: &'a Builder,
    /// Where.
    pub settings: &'a Settings,
    /// Address of the result, under which layers are kept.
    pub artifact_id: &'a ArtifactId,
    /// Whose layers and caches of `RUN --mount=type=cache` are used.
    pub project: &'a str,
    /// Whether it may add to them.
    pub trust: Trust,
    /// Makes rooms.
    pub driver: &'a dyn Driver,
    /// How much of the machine it may use.
    pub limits: BuildLimits,
    /// Names of the environment's data stores and services, which its steps do not reach.
    pub private_names: &'a [String],
    /// A checkout that nobody else needs.
    pub checkout: &'a Path,
    /// The declaration.
    pub service: &'a Service,
    /// The resolved environment of the build; see [`build_args`].
    pub env: &'a [(String, String)],
    /// Variables of the machine's operator: proxies, certificates.
    pub operator_env: &'a [(String, String)],
    /// For private base images.
    pub logins: &'a [Login],
    /// Where the output goes, in the form of every other log.
    pub log: &'a Path,
    /// Wall time of the builder.
    pub time_limit: Duration,
    /// Bytes of output.
    pub output_limit_bytes: u64,
    /// A directory for what is needed meanwhile; a builder that was left behind is found by it.
    pub work_dir: &'a Path,
    /// Where the result comes to be; on the file system of `work_dir`.
    pub result_dir: &'a Path,
}

/// A finished image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Its form and place.
    pub image: Image,
    /// Digest of its manifest: `sha256:…`; of the archive's file for an archive.
    pub digest: String,
    /// Bytes of all its parts.
    pub size_bytes: u64,
    /// Files of all its parts.
    pub files: u64,
}

/// The form of a finished image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// A directory that is an OCI layout with one manifest.
    Layout(PathBuf),
    /// A file as `docker save` writes it.
    Archive(PathBuf),
}

/// What is known before the builder starts.
struct Prepared {
    places: Places,
    file: Dockerfile,
    /// As the author wrote it.
    text: String,
    args: Vec<(String, String)>,
    secrets: Vec<Secret>,
}

/// Ends the builder that a control plane which was killed may have left in a work directory.
pub(crate) fn end_stale(work_dir: &Path) -> Result<(), Error> {
    child::end_stale(&work_dir.join(PID_FILE))
}

/// Builds. Dropping the future ends the builder; the same build may be given again at any time.
///
/// # Errors
/// When the Dockerfile, its context or one of its steps is at fault, when the limits are reached,
/// and when the host refuses.
pub async fn build(build: &DockerBuild<'_>) -> Result<Built, Failure> {
    let prepared = prepare(build)?;
    match build.builder {
        Builder::Buildah { program, version } => {
            with_buildah(build, &prepared, program, version).await
        }
        Builder::Docker { program, socket, .. } => {
            daemon::build(build, &prepared, program, socket).await
        }
    }
}

fn prepare(build: &DockerBuild<'_>) -> Result<Prepared, Error> {
    let refused = Error::Refused;
    let docker = places::settings_of(build.service);
    let places = places::find(build.service, build.checkout).map_err(refused)?;
    let text = match (&places.dockerfile, &docker.dockerfile_inline) {
        (None, Some(text)) => text.clone(),
        (Some(path), _) => read_dockerfile(path)?,
        (None, None) => String::new(),
    };
    let file = Dockerfile::parse(&text);
    let args = build_args(build.service, build.env, &file.declared_args());
    let name = places.dockerfile_name.as_str();
    dialect::check(&file, name, &args, docker.target.as_deref()).map_err(refused)?;
    let secrets = secrets::of(build, &docker).map_err(refused)?;
    Ok(Prepared { places, file, text, args, secrets })
}

fn read_dockerfile(path: &Path) -> Result<String, Error> {
    let length = fs::metadata(path).map_err(Error::at("read", path))?.len();
    if length > file::MAX_BYTES {
        let problem = Problem::new("dockerfile-invalid", "the Dockerfile is larger than 1 MiB");
        return Err(Error::Refused(problem.hint("look at what was committed under this name")));
    }
    let bytes = fs::read(path).map_err(Error::at("read", path))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

async fn with_buildah(
    build: &DockerBuild<'_>,
    prepared: &Prepared,
    program: &Path,
    version: &str,
) -> Result<Built, Failure> {
    let pid_file = build.work_dir.join(PID_FILE);
    fs::create_dir_all(build.work_dir).map_err(Error::at("make", build.work_dir))?;
    let _turn = child::lock(&build.settings.storage_dir).await?;
    let stale = pid_file.clone();
    blocking(move || child::end_stale(&stale)).await?;
    let work = build.work_dir.join("builder");
    let (stores, view) = stores_of(build);
    let room = Confinement::write(build.settings, &work, stores)?;
    let storage = stored::Storage { settings: build.settings, room: &room, program };
    storage.clear_after_a_cut(&pid_file).await?;
    let logins = command::write_logins(
        build.logins,
        &build.settings.secrets_dir.join(format!("{}.json", build.artifact_id)),
    )?;
    let mut log = open_log(build)?;
    log.say(&format!("{} of {} with buildah {version}", failure::BEGINS, build.service.name));
    for note in &prepared.places.notes {
        log.say(note);
    }
    let auth_file = logins.as_ref().map(|logins| logins.path.as_path());
    let fetch = fetch::Fetch { build, prepared, storage: &storage, auth_file };
    let images = fetch.all(&written::more_contexts(build)?, &mut log).await?;
    let written = Written::write(build, prepared, &work, &images)?;
    let tag = stored::name_of(build.artifact_id);
    let docker = places::settings_of(build.service);
    let id_file = work.join("image-id");
    let call = room.call(program, "build", build.operator_env).build(&command::Build {
        docker: &docker,
        dockerfile: &written.dockerfile,
        context: &prepared.places.context,
        ignore_file: written.ignore_file.as_deref(),
        more_contexts: &written.more_contexts,
        documents: written.documents.as_deref(),
        args: &prepared.args,
        secrets: &prepared.secrets,
        tag: &tag,
        id_file: &id_file,
        auth_file,
    });
    let limits = Limits { time: build.time_limit, output_bytes: build.output_limit_bytes };
    let launcher = &build.settings.launcher;
    let places = vec![build.work_dir.to_owned(), room.stores().own.clone()];
    let disk = Some(disk::Watch::begin(build.limits.disk, places).await?);
    let room = build.driver.open_room(&build.limits.of_engine()).await?;
    storage.mark_begun(&pid_file)?;
    let start = Start { launcher, pid_file: &pid_file, room, view, disk, log: Some(log), limits };
    let (end, _) = child::run(&call, start).await?;
    drop(logins);
    if end.is_success() {
        storage.mark_done()?;
    } else {
        storage.clear_after_a_cut(&pid_file).await?;
        return Err(explain(build, prepared, end));
    }
    put_out(build, &storage, &id_file).await
}

/// Where a build's layers are written, and what it sees of its project's caches. Those of a stranger
/// lie in the build's own directory and end with it.
fn stores_of(build: &DockerBuild<'_>) -> (Stores, Option<View>) {
    let of_project = build.settings.stores_at(build.settings.project_storage(build.project));
    if build.trust == Trust::Full {
        return (of_project, None);
    }
    let mut own = build.settings.stores_at(build.work_dir.join("storage"));
    own.read.insert(0, of_project.root());
    let view = View { lower: of_project.temporary, target: own.temporary.clone() };
    (own, Some(view))
}

fn open_log(build: &DockerBuild<'_>) -> Result<LogWriter, Error> {
    LogWriter::open(build.log)
        .map_err(|error| Error::io("open the log", std::io::Error::new(error.kind(), error)))
}

/// Takes the image out of the storage, as an OCI layout.
async fn put_out(
    build: &DockerBuild<'_>,
    storage: &stored::Storage<'_>,
    id_file: &Path,
) -> Result<Built, Failure> {
    let id = fs::read_to_string(id_file).map_err(Error::at("read", id_file))?;
    let pushed = build.work_dir.join("pushed");
    let part = build.work_dir.join("layout");
    for path in [&pushed, &part] {
        tree::remove(path)?;
    }
    let call = storage.room.call(storage.program, "push", &[]).push(id.trim(), &pushed);
    let said = storage.call(&call, &build.work_dir.join(PID_FILE)).await?;
    if !pushed.join("manifest.json").exists() {
        let problem = Problem::new("docker-build-failed", "the image could not be put out");
        return Err(Failure::without_log(problem.detail(said.trim())));
    }
    let result = build.result_dir.to_owned();
    let made = blocking(move || {
        let made = image::make_layout(&pushed, &part)?;
        tree::remove(&pushed)?;
        tree::remove(&result)?;
        fs::rename(&part, &result).map_err(Error::at("make", &result))?;
        Ok(made)
    })
    .await?;
    let image = Image::Layout(build.result_dir.to_owned());
    Ok(Built { image, digest: made.digest, size_bytes: made.size_bytes, files: made.files })
}

fn explain(build: &DockerBuild<'_>, prepared: &Prepared, end: End) -> Failure {
    let lines = pack::log_lines(build.log);
    let about = About {
        service: &build.service.name,
        file: &prepared.file,
        name: &prepared.places.dockerfile_name,
        end: &end.to_string(),
        line: None,
        private_names: build.private_names,
    };
    let failure = failure::explain(&about, &lines);
    let problem = match end {
        End::Exited(_) => return failure,
        End::TooMuchOnDisk(overrun) => overrun.problem(about.service),
        End::OutOfMemory => build.limits.out_of_memory(about.service),
        End::TooManyProcesses => build.limits.too_many_processes(about.service),
        End::TooLong | End::TooMuchOutput => {
            let message = format!("the build of {} {end}", about.service);
            Problem::new("build-failed", message).hint(
                "build again; a step that waits for ever, or prints without end, is ended every \
                 time",
            )
        }
    };
    // Which step it was.
    let is_of_step = failure.problem.code == "docker-step-failed";
    let problem = if is_of_step { problem.detail(failure.problem.message) } else { problem };
    Failure { problem, ..failure }
}
