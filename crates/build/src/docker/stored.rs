//! The storage of layers: what is cleared after a builder was cut off, and what is pruned.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::ArtifactId;

use crate::error::Error;
use crate::run::blocking;

use super::child::{self, End, Limits, Start};
use super::command::{Call, Confinement};
use super::find::{Builder, find};
use super::{PID_FILE, Settings};

/// Repository of the names that built images have in the storage. A Dockerfile cannot guess the
/// rest of such a name: addresses are keyed.
const REPOSITORY: &str = "localhost/gable";
/// Is there while a builder works; what it left is cleared if the next one finds it.
const BEGUN: &str = "begun";
/// For everything that is no build.
const LIMITS: Limits = Limits { time: Duration::from_secs(30 * 60), output_bytes: 64 << 20 };

/// A storage that is locked, and how buildah is called on it.
#[derive(Clone, Copy)]
pub(crate) struct Storage<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) room: &'a Confinement,
    pub(crate) program: &'a Path,
}

/// The name that keeps an image's layers.
pub(crate) fn name_of(id: &ArtifactId) -> String {
    format!("{REPOSITORY}:{id}")
}

impl Storage<'_> {
    /// Makes a call and returns what it said.
    pub(crate) async fn call(&self, call: &Call, pid_file: &Path) -> Result<String, Error> {
        let launcher = &self.settings.launcher;
        match child::run(call, Start::quiet(launcher, pid_file, LIMITS)).await? {
            (end, said) if end.is_success() => Ok(said),
            (End::TooLong, _) => Err(refused("it takes too long")),
            (_, said) => Err(refused(said.trim())),
        }
    }

    /// Where it is.
    fn own(&self) -> &Path {
        &self.room.stores().own
    }

    /// Notes that a builder works now, and where its process is named.
    pub(crate) fn mark_begun(&self, pid_file: &Path) -> Result<(), Error> {
        let path = self.own().join(BEGUN);
        fs::write(&path, pid_file.as_os_str().as_encoded_bytes()).map_err(Error::at("write", &path))
    }

    /// Notes that it has cleaned up after itself.
    pub(crate) fn mark_done(&self) -> Result<(), Error> {
        let path = self.own().join(BEGUN);
        fs::remove_file(&path).map_err(Error::at("remove", &path))
    }

    /// Removes the working containers of a builder that was cut off. Its mounts are gone already,
    /// with its namespace; what the storage counted of them is forgotten.
    pub(crate) async fn clear_after_a_cut(&self, pid_file: &Path) -> Result<(), Error> {
        let storage = self.own();
        let begun = storage.join(BEGUN);
        let Ok(named) = fs::read(&begun) else { return Ok(()) };
        let theirs = PathBuf::from(OsString::from_vec(named));
        let run = storage.join("run");
        blocking(move || {
            child::end_stale(&theirs)?;
            crate::tree::remove(&run)?;
            fs::create_dir_all(&run).map_err(Error::at("make", &run))
        })
        .await?;
        let call = self.room.call(self.program, "rm", &[]).with(&["--all"]);
        self.call(&call, pid_file).await?;
        self.mark_done()
    }
}

/// Removes the layers of images that are not in `keep`, and that no kept image needs. Base images
/// stay, so that what was fetched once can be built upon without a network.
///
/// # Errors
/// When buildah or the disk refuses.
pub async fn prune(settings: &Settings, keep: &[ArtifactId]) -> Result<(), Error> {
    let projects = settings.projects_dir();
    if !projects.exists() {
        return Ok(());
    }
    let Ok(Builder::Buildah { program, .. }) = find().await else { return Ok(()) };
    let _turn = child::lock(&settings.storage_dir).await?;
    let keep: HashSet<String> = keep.iter().map(name_of).collect();
    let work = settings.storage_dir.join("prune");
    for entry in fs::read_dir(&projects).map_err(Error::at("read", &projects))?.flatten() {
        if entry.path().join("root").exists() {
            let room = Confinement::write(settings, &work, settings.stores_at(entry.path()))?;
            prune_one(&Storage { settings, room: &room, program: &program }, &keep).await?;
        }
    }
    crate::tree::remove(&work)
}

async fn prune_one(storage: &Storage<'_>, keep: &HashSet<String>) -> Result<(), Error> {
    let (room, program) = (storage.room, storage.program);
    let pid_file = storage.settings.storage_dir.join(PID_FILE);
    storage.clear_after_a_cut(&pid_file).await?;
    let call = room.call(program, "images", &[]);
    let call = call.with(&["--noheading", "--format", "{{.Name}}:{{.Tag}}"]);
    let said = storage.call(&call, &pid_file).await?;
    let is_ours = |name: &&str| name.split_once(':').is_some_and(|(name, _)| name == REPOSITORY);
    let doomed: Vec<&str> =
        said.lines().map(str::trim).filter(is_ours).filter(|name| !keep.contains(*name)).collect();
    for name in doomed {
        let call = room.call(program, "rmi", &[]).with(&[name]);
        storage.call(&call, &pid_file).await?;
    }
    Ok(())
}

fn refused(said: &str) -> Error {
    let last = said.lines().last().unwrap_or_default().to_owned();
    Error::io("keep the storage of images in order", std::io::Error::other(last))
}
