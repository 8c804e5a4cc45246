//! Finished artifacts on the disk.
//!
//! An artifact is made in the work directory, manifest included, and comes to be by one rename:
//! it exists if and only if it is complete. After a crash of the whole machine its bytes may
//! still be missing, so an artifact carries the boot's id in `unsynced` until they are on the
//! disk.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use model::{Artifact, ArtifactId, BuildId, Runtime};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::Error;
use crate::inputs::FORMAT_VERSION;
use crate::toolchain::Toolchain;
use crate::tree;

/// What an artifact says about itself: `artifact.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    pub(crate) id: ArtifactId,
    pub(crate) runtime: Runtime,
    pub(crate) size_bytes: u64,
    pub(crate) files: u64,
    pub(crate) toolchain: Toolchain,
}

const MANIFEST: &str = "artifact.json";
const UNSYNCED: &str = "unsynced";

/// The artifact with this address, if it was made.
///
/// # Errors
/// When the disk cannot be read.
pub fn find_artifact(config: &Config, id: &ArtifactId) -> Result<Option<Artifact>, Error> {
    let path = path_of(config, id);
    if !path.exists() {
        return Ok(None);
    }
    let lost = match fs::read_to_string(path.join(UNSYNCED)) {
        Ok(boot) => boot != boot_id(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(Error::at("read", &path)(error)),
    };
    match read_manifest(&path) {
        Ok(manifest) if !lost && manifest.format == FORMAT_VERSION => {
            Ok(Some(described(&path, &manifest)))
        }
        // Made before the machine lost power, or by another version: it is made again.
        _ => {
            tree::remove(&path)?;
            Ok(None)
        }
    }
}

/// Removes the artifacts that are not in `keep`, and says which those were.
///
/// # Errors
/// When the disk refuses.
pub fn collect_garbage(config: &Config, keep: &[ArtifactId]) -> Result<Vec<ArtifactId>, Error> {
    let keep: HashSet<&ArtifactId> = keep.iter().collect();
    let mut removed = Vec::new();
    for name in names_in(&config.artifacts_dir)? {
        let path = config.artifacts_dir.join(&name);
        match name.parse::<ArtifactId>() {
            Ok(id) if keep.contains(&id) => {}
            Ok(id) => {
                tree::remove(&path)?;
                removed.push(id);
            }
            // Half of a removal that was cut short.
            Err(_) if name.ends_with(tree::REMOVED_SUFFIX) => tree::remove(&path)?,
            Err(_) => {}
        }
    }
    Ok(removed)
}

/// Removes work directories of builds that are not `alive`, and what earlier versions kept for all
/// projects together; called when the control plane starts.
///
/// # Errors
/// When the disk refuses.
pub fn remove_dead_work(config: &Config, alive: &[BuildId]) -> Result<(), Error> {
    crate::caches::remove_shared(config)?;
    for name in names_in(&config.work_dir)? {
        if !alive.iter().any(|id| id.as_str() == name) {
            let work = config.work_dir.join(name);
            crate::docker::end_stale(&work)?;
            tree::remove(&work)?;
        }
    }
    Ok(())
}

pub(crate) fn path_of(config: &Config, id: &ArtifactId) -> PathBuf {
    config.artifacts_dir.join(id.as_str())
}

pub(crate) fn read_manifest(artifact: &Path) -> Result<Manifest, Error> {
    let path = artifact.join(MANIFEST);
    let text = fs::read(&path).map_err(Error::at("read", &path))?;
    serde_json::from_slice(&text).map_err(|error| Error::at("read", &path)(error.into()))
}

/// Makes the work directory the artifact, in one step.
pub(crate) fn publish(
    config: &Config,
    work: &Path,
    manifest: &Manifest,
) -> Result<Artifact, Error> {
    let path = path_of(config, &manifest.id);
    let text = serde_json::to_vec_pretty(manifest)
        .expect("a manifest holds nothing that JSON cannot hold");
    write_synced(&work.join(MANIFEST), &text)?;
    write_synced(&work.join(UNSYNCED), boot_id().as_bytes())?;
    fs::create_dir_all(&config.artifacts_dir).map_err(Error::at("make", &config.artifacts_dir))?;
    match fs::rename(work, &path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            // Two builds with one address: the first one's bytes are as good.
            if let Some(artifact) = find_artifact(config, &manifest.id)? {
                tree::remove(work)?;
                return Ok(artifact);
            }
            fs::rename(work, &path).map_err(Error::at("make", &path))?;
        }
        Err(error) => return Err(Error::at("make", &path)(error)),
    }
    Ok(described(&path, manifest))
}

/// Brings an artifact's bytes to the disk. It is usable before; see the module's text.
pub(crate) fn sync(path: &Path) -> Result<(), Error> {
    let directory = fs::File::open(path).map_err(Error::at("open", path))?;
    nix::unistd::syncfs(&directory).map_err(|error| Error::at("sync", path)(error.into()))?;
    match fs::remove_file(path.join(UNSYNCED)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::at("sync", path)(error))
        }
        _ => Ok(()),
    }
}

pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let part = path.with_extension("part");
    let write = || {
        let mut file = fs::File::create(&part)?;
        io::Write::write_all(&mut file, bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().map_err(Error::at("write", path))
}

fn described(path: &Path, manifest: &Manifest) -> Artifact {
    Artifact {
        id: manifest.id.clone(),
        path: path.to_string_lossy().into_owned(),
        size_bytes: manifest.size_bytes,
        files: manifest.files,
    }
}

fn names_in(directory: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::at("read", directory)(error)),
    };
    entries
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, _>>()
        .map_err(Error::at("read", directory))
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}
