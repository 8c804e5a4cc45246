//! Fetches the images that a build is built upon, before any of its steps run.

use std::path::Path;

use telemetry::{LogWriter, Stream};

use crate::error::Error;
use crate::pack;
use crate::run::Failure;

use super::bases::{self, BaseImage, Given};
use super::child::{self, Limits, Start};
use super::command::Confinement;
use super::failure::{self, About};
use super::{DockerBuild, Login, PID_FILE, Prepared, dialect, places, scope, stored};

type Pairs = Vec<(String, String)>;

/// What fetches, and for what.
pub(super) struct Fetch<'a> {
    pub(super) build: &'a DockerBuild<'a>,
    pub(super) prepared: &'a Prepared,
    /// The storage that the build will write to.
    pub(super) storage: &'a stored::Storage<'a>,
    pub(super) auth_file: Option<&'a Path>,
}

impl Fetch<'_> {
    /// Fetches all of them. What is here and cannot be had anew is taken as it is. Returns the
    /// environments of those whose variables stand in documents that the builder cannot read.
    pub(super) async fn all(
        &self,
        contexts: &[(String, String)],
        log: &mut LogWriter,
    ) -> Result<Vec<(String, Pairs)>, Failure> {
        let docker = places::settings_of(self.build.service);
        let target = docker.target.as_deref();
        let given = Given { args: &self.prepared.args, target, contexts };
        let images = bases::of(&self.prepared.file, &given);
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let base = Confinement::write(
            self.build.settings,
            &self.build.work_dir.join("fetch"),
            self.build.settings.base_stores(),
        )?;
        for image in &images {
            log.say(&format!("fetching {}", image.name));
            // What was had with a login is nobody else's.
            let is_private = self.build.logins.iter().any(|login| is_for(login, &image.name));
            let room = if is_private { self.storage.room } else { &base };
            let Err(said) = self.pull(room, image, "ifnewer").await? else { continue };
            if self.pull(self.storage.room, image, "never").await?.is_ok() {
                continue;
            }
            for line in said.lines() {
                log.write(Stream::Stderr, format!("{line}\n").as_bytes());
            }
            log.flush();
            return Err(self.explain(image));
        }
        self.environments().await
    }

    async fn environments(&self) -> Result<Vec<(String, Pairs)>, Failure> {
        let (prepared, build) = (self.prepared, self.build);
        let mut found: Vec<(String, Pairs)> = Vec::new();
        for copying in dialect::copies_variables(&prepared.file, build.builder.dialect()) {
            let image = scope::image_of(&prepared.file, copying.line, &prepared.args);
            let Some(name) = image.filter(|name| found.iter().all(|(known, _)| known != name))
            else {
                continue;
            };
            let call = self.storage.room.call(self.storage.program, "inspect", &[]);
            let format = "{{json .OCIv1.Config.Env}}";
            let call = call.with(&["--type", "image", "--format", format, &name]);
            let said = self.storage.call(&call, &build.work_dir.join(PID_FILE)).await?;
            let lines: Option<Vec<String>> = serde_json::from_str(said.trim()).unwrap_or_default();
            let pairs = lines.into_iter().flatten().filter_map(|line| {
                line.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()))
            });
            found.push((name, pairs.collect()));
        }
        Ok(found)
    }

    /// What the builder said, if it has no such image afterwards.
    async fn pull(
        &self,
        room: &Confinement,
        image: &BaseImage,
        policy: &str,
    ) -> Result<Result<(), String>, Error> {
        let build = self.build;
        let call = room.call(self.storage.program, "pull", build.operator_env);
        let call = call.pull(image, policy, self.auth_file);
        let limits = Limits { time: build.time_limit, output_bytes: build.output_limit_bytes };
        let pid_file = build.work_dir.join(PID_FILE);
        let start = Start::quiet(&build.settings.launcher, &pid_file, limits);
        let (end, said) = child::run(&call, start).await?;
        Ok(if end.is_success() { Ok(()) } else { Err(said) })
    }

    fn explain(&self, image: &BaseImage) -> Failure {
        let lines = pack::log_lines(self.build.log);
        let about = About {
            service: &self.build.service.name,
            file: &self.prepared.file,
            name: &self.prepared.places.dockerfile_name,
            end: "could not be fetched",
            line: Some(image.line),
            private_names: &[],
        };
        failure::explain(&about, &lines)
    }
}

/// Whether a login is for the registry of an image.
fn is_for(login: &Login, image: &str) -> bool {
    const HUB: &str = "docker.io";
    let first = image.split_once('/').map_or("", |(first, _)| first);
    let is_host = first.contains(['.', ':']) || first == "localhost";
    let host = if is_host { first } else { HUB };
    login.registry == host || (host == HUB && login.registry.contains(HUB))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_for_the_images_of_its_registry() {
        let login = |registry: &str| Login {
            registry: registry.to_owned(),
            username: String::new(),
            password: String::new(),
        };
        assert!(is_for(&login("ghcr.io"), "ghcr.io/team/base:1"));
        assert!(!is_for(&login("ghcr.io"), "ghcr.io.evil.example/base"));
        assert!(is_for(&login("127.0.0.1:5000"), "127.0.0.1:5000/base"));
        assert!(is_for(&login("https://index.docker.io/v1/"), "node:22"));
        assert!(is_for(&login("docker.io"), "team/base"));
        assert!(!is_for(&login("docker.io"), "ghcr.io/team/base"));
    }
}
