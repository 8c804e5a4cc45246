//! The `docker` client, for machines that have an engine and no buildah.
//!
//! Steps run where the engine runs them: in a container on its own bridge. They reach neither the
//! host's loopback nor Gable's private networks, whose rules drop what comes from other bridges; they
//! do reach what the host offers on its other addresses. Limits of memory and processes are the
//! engine's, as is its cache of layers, which all projects share.

use std::fs;
use std::path::Path;
use std::time::Duration;

use model::Problem;
use sha2::{Digest as _, Sha256};
use telemetry::LogWriter;

use crate::error::Error;
use crate::layout::HOST_PATH;
use crate::run::{Failure, blocking};

use super::child::{self, Limits, Start};
use super::command::{self, Call};
use super::secrets::{self, SecretText};
use super::written::Written;
use super::{Built, DockerBuild, Image, PID_FILE, Prepared, explain, failure, places, stored};

/// Where the client looks for its plugins.
const BUILDX: &[&str] = &[
    "/usr/lib/docker/cli-plugins/docker-buildx",
    "/usr/libexec/docker/cli-plugins/docker-buildx",
    "/usr/local/lib/docker/cli-plugins/docker-buildx",
    "/usr/local/libexec/docker/cli-plugins/docker-buildx",
];

/// Builds with the engine and saves the image into an archive.
pub(super) async fn build(
    build: &DockerBuild<'_>,
    prepared: &Prepared,
    program: &Path,
    socket: &Path,
) -> Result<Built, Failure> {
    let work = build.work_dir.join("builder");
    fs::create_dir_all(&work).map_err(Error::at("make", &work))?;
    let written = Written::write(build, prepared, &work, &[])?;
    let mut log = LogWriter::open(build.log)
        .map_err(|error| Error::io("open the log", std::io::Error::new(error.kind(), error)))?;
    log.say(&format!("{} of {} with docker", failure::BEGINS, build.service.name));
    let has_buildx = BUILDX.iter().any(|path| Path::new(path).exists());
    let logins = command::write_logins(
        build.logins,
        &build.settings.secrets_dir.join(build.artifact_id.as_str()).join("config.json"),
    )?;
    let config = logins.as_ref().and_then(|logins| logins.path.parent()).map(Path::to_owned);
    let tag = stored::name_of(build.artifact_id);
    let base =
        Base { program, socket, work: &work, config: config.as_deref(), env: build.operator_env };
    let call = building(build, prepared, &written, &base, has_buildx, &tag);
    let pid_file = build.work_dir.join(PID_FILE);
    let limits = Limits { time: build.time_limit, output_bytes: build.output_limit_bytes };
    let launcher = &build.settings.launcher;
    let start = Start { log: Some(log), ..Start::quiet(launcher, &pid_file, limits) };
    let (end, _) = child::run(&call, start).await?;
    if !end.is_success() {
        return Err(explain(build, prepared, end));
    }
    let archive = build.work_dir.join("image.tar");
    // The image is there: nobody has to be asked for it.
    let base = Base { config: None, ..base };
    drop(logins);
    let mut call = base.call(&["image", "save", "--output"]);
    call.arguments.extend([archive.clone().into(), tag.into()]);
    let limits = Limits { time: Duration::from_secs(30 * 60), output_bytes: 1 << 20 };
    let (end, said) = child::run(&call, Start::quiet(launcher, &pid_file, limits)).await?;
    if !end.is_success() {
        let problem = Problem::new("docker-build-failed", "the image could not be saved");
        return Err(Failure::without_log(problem.detail(said.trim())));
    }
    let place = build.result_dir.with_extension("tar");
    let result = place.clone();
    let (digest, size_bytes) = blocking(move || {
        let error = Error::at("read", &archive);
        let mut file = fs::File::open(&archive).map_err(error)?;
        let mut hasher = Sha256::new();
        let size = std::io::copy(&mut file, &mut hasher).map_err(Error::at("read", &archive))?;
        fs::rename(&archive, &place).map_err(Error::at("make", &place))?;
        let hex: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok((format!("sha256:{hex}"), size))
    })
    .await?;
    Ok(Built { image: Image::Archive(result), digest, size_bytes, files: 1 })
}

struct Base<'a> {
    program: &'a Path,
    socket: &'a Path,
    work: &'a Path,
    config: Option<&'a Path>,
    env: &'a [(String, String)],
}

impl Base<'_> {
    fn call(&self, arguments: &[&str]) -> Call {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut env = vec![("PATH".to_owned(), HOST_PATH.to_owned())];
        env.extend(self.env.iter().filter(|(name, _)| name != "PATH").cloned());
        env.push(("HOME".to_owned(), text(self.work)));
        env.push(("TMPDIR".to_owned(), text(self.work)));
        let mut all = vec!["--host".into(), format!("unix://{}", self.socket.display()).into()];
        if let Some(config) = self.config {
            all.extend(["--config".into(), config.into()]);
        }
        all.extend(arguments.iter().map(Into::into));
        Call { program: self.program.to_owned(), arguments: all, env }
    }
}

fn building(
    build: &DockerBuild<'_>,
    prepared: &Prepared,
    written: &Written,
    base: &Base<'_>,
    has_buildx: bool,
    tag: &str,
) -> Call {
    let mut call = base.call(&["build", "--tag", tag, "--file"]);
    call.env.push(("DOCKER_BUILDKIT".to_owned(), u8::from(has_buildx).to_string()));
    call.arguments.push(written.dockerfile.clone().into());
    if has_buildx {
        call.arguments.extend(["--progress".into(), "plain".into()]);
    }
    for (name, place) in &written.more_contexts {
        call.arguments.extend(["--build-context".into(), format!("{name}={place}").into()]);
    }
    if let Some(target) = &places::settings_of(build.service).target {
        call.arguments.extend(["--target".into(), target.into()]);
    }
    for (number, secret) in prepared.secrets.iter().enumerate() {
        let source = match &secret.text {
            SecretText::Value(value) => {
                let key = secrets::key_of(number);
                call.env.push((key.clone(), value.clone()));
                format!("env={key}")
            }
            SecretText::File(path) => format!("src={}", path.display()),
        };
        call.arguments.extend(["--secret".into(), format!("id={},{source}", secret.id).into()]);
    }
    for (name, value) in &prepared.args {
        if command::steers(name) {
            call.arguments.extend(["--build-arg".into(), format!("{name}={value}").into()]);
        } else {
            call.arguments.extend(["--build-arg".into(), name.into()]);
            call.env.retain(|(known, _)| known != name);
            call.env.push((name.clone(), value.clone()));
        }
    }
    call.arguments.extend(["--".into(), prepared.places.context.clone().into()]);
    call
}
