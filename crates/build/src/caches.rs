//! What builds keep for later builds, and whose builds see it.
//!
//! Everything here belongs to one project: `caches/projects/PROJECT/NAME`, and layers of Dockerfiles
//! likewise ([`crate::docker`]). What one project's build leaves would otherwise run in another's
//! build, and in its instances. A build of strangers' code reads its project's caches and leaves
//! nothing in them ([`Trust`]).
//!
//! Nothing of package managers is shared between projects, not even what they downloaded. Such a
//! cache might be shared if the tool verified all that it reads there, and each of them trusts some
//! of it:
//!
//! - npm, yarn and bun verify packages by the digests of a lockfile. Without one they take versions
//!   and digests from metadata, which lies in the same cache and is believed when the registry says
//!   that nothing has changed. What lifecycle scripts download and unpack is verified by nobody.
//! - pnpm's store is made of unpacked files. Their digests lie beside them.
//! - pip believes its HTTP cache, and takes wheels that were built here as they are. uv keeps
//!   unpacked wheels; poetry verifies by the lockfile's digests, if it has one.
//! - Go verifies modules against `go.sum` when they are downloaded and not when they are used, and
//!   its build cache holds object code. Cargo verifies archives when it unpacks them; the unpacked
//!   sources are believed.
//! - Prisma, node-gyp and corepack keep programs, and a virtual environment is one.
//!
//! The one thing that projects share is what Gable itself has fetched and no build can write to:
//! other versions of Node.js (`caches/toolchains`), and base images.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::error::Error;
use crate::layout;
use crate::tree;

/// Below the caches' directory: what belongs to projects.
const PROJECTS: &str = "projects";
/// Below the caches' directory: tools that Gable fetched.
pub(crate) const TOOLCHAINS: &str = "toolchains";
/// Package managers that corepack fetched lie so deep: `v1/pnpm/9.1.0`.
const MANAGER_DEPTH: usize = 3;

/// Whose code a build runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust {
    /// Of people who may change the project. Later builds use what it keeps.
    #[default]
    Full,
    /// Of a stranger, such as the author of a fork: it reads what the project's builds have kept,
    /// and what it keeps itself ends with it.
    ReadOnly,
}

impl Config {
    /// Where the caches of a project's builds are, one directory for each of some names.
    #[must_use]
    pub fn project_caches(&self, project: &str) -> PathBuf {
        self.caches_dir.join(PROJECTS).join(crate::sources::file_name(project))
    }
}

/// Makes the directories of a project's caches, for the user that builds run as.
pub(crate) fn make(config: &Config, project: &str) -> Result<(), Error> {
    let caches = config.project_caches(project);
    for (name, _) in layout::CACHES {
        let path = caches.join(name);
        fs::create_dir_all(&path).map_err(Error::at("make", &path))?;
        tree::give(&path, config.builder_uid)?;
    }
    Ok(())
}

/// Removes all that is kept for a project's builds: caches, and layers of its Dockerfiles.
///
/// # Errors
/// When the disk refuses.
pub fn remove_project(config: &Config, project: &str) -> Result<(), Error> {
    tree::remove(&config.project_caches(project))?;
    tree::remove(&config.docker.project_storage(project))
}

/// Where each cache of each project is. Tools that Gable fetched are none: releases run with them.
///
/// # Errors
/// When the disk refuses.
pub fn list(config: &Config) -> Result<Vec<PathBuf>, Error> {
    let mut caches = Vec::new();
    for project in entries_of(&config.caches_dir.join(PROJECTS))? {
        caches.extend(entries_of(&project)?);
    }
    Ok(caches)
}

/// Removes one cache of those; the next build begins it anew. No build may run.
///
/// # Errors
/// When the disk refuses.
pub fn remove(cache: &Path) -> Result<(), Error> {
    tree::remove(cache)
}

fn entries_of(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    match fs::read_dir(directory) {
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::at("read", directory)(error)),
    }
}

/// Removes what earlier versions of Gable kept for all projects together.
pub(crate) fn remove_shared(config: &Config) -> Result<(), Error> {
    let entries = match fs::read_dir(&config.caches_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::at("read", &config.caches_dir)(error)),
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name != *PROJECTS && name != *TOOLCHAINS {
            tree::remove(&entry.path())?;
        }
    }
    let storage = &config.docker.storage_dir;
    ["root", "run", "home", "caches"].iter().try_for_each(|name| tree::remove(&storage.join(name)))
}

/// A thing that a build made at one place of its work directory, and that the next build begins
/// with at another: it is whole or not there, whatever cut the build off.
pub(crate) struct Kept<'a> {
    pub(crate) caches: &'a Path,
    pub(crate) name: &'a str,
}

impl Kept<'_> {
    fn path(&self) -> PathBuf {
        self.caches.join(self.name)
    }

    /// Copies it to a place where nothing is; returns whether it was kept.
    pub(crate) fn copy_to(&self, place: &Path) -> Result<bool, Error> {
        if !self.path().is_dir() {
            return Ok(false);
        }
        tree::copy(&self.path(), place)?;
        Ok(true)
    }

    /// Keeps what lies at a place of this file system, and takes it away from there. Whoever is
    /// first has kept it; another's of the same name is as good.
    pub(crate) fn take(&self, place: &Path) -> Result<(), Error> {
        let path = self.path();
        fs::create_dir_all(self.caches).map_err(Error::at("make", self.caches))?;
        if path.exists() || !place.is_dir() {
            return Ok(());
        }
        match fs::rename(place, &path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            other => other.map_err(Error::at("keep", &path)),
        }
    }
}

/// Keeps those package managers of corepack's that are not kept yet, each of them whole: they are
/// copied below `part`, a directory of the build's own, and renamed.
pub(crate) fn keep_managers(fetched: &Path, kept: &Path, part: &Path) -> Result<(), Error> {
    for manager in at_depth(fetched, MANAGER_DEPTH) {
        let relative = manager.strip_prefix(fetched).unwrap_or(&manager);
        let target = kept.join(relative);
        if target.exists() {
            continue;
        }
        tree::remove(part)?;
        tree::copy(&manager, part)?;
        let (parent, name) = (target.parent(), target.file_name());
        let (Some(parent), Some(name)) = (parent, name.and_then(|name| name.to_str())) else {
            continue;
        };
        Kept { caches: parent, name }.take(part)?;
    }
    Ok(())
}

/// Directories so many levels below another.
fn at_depth(root: &Path, depth: usize) -> Vec<PathBuf> {
    let mut found = vec![root.to_owned()];
    for _ in 0..depth {
        let entries = found.iter().filter_map(|path| fs::read_dir(path).ok()).flatten().flatten();
        let is_directory = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        found = entries.filter(is_directory).map(|entry| entry.path()).collect();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_whole_or_not_there_and_whoever_is_first_has_kept_it() {
        let directory = tempfile::tempdir().unwrap();
        let (caches, work) = (directory.path().join("caches"), directory.path().join("work"));
        let kept = Kept { caches: &caches, name: "venv" };
        assert!(!kept.copy_to(&work.join("a")).unwrap());
        for text in ["first", "second"] {
            fs::create_dir_all(work.join(text)).unwrap();
            fs::write(work.join(text).join("text"), text).unwrap();
            kept.take(&work.join(text)).unwrap();
        }
        assert!(kept.copy_to(&work.join("b")).unwrap());
        assert_eq!(fs::read_to_string(work.join("b/text")).unwrap(), "first");
        assert_eq!(fs::read_dir(&caches).unwrap().count(), 1);
    }

    #[test]
    fn a_package_manager_of_a_cut_off_build_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        fs::create_dir_all(place("fetched/v1/pnpm/9/bin")).unwrap();
        fs::write(place("fetched/v1/pnpm/9/bin/pnpm"), "whole").unwrap();
        // What a copy that was cut off has left.
        fs::create_dir_all(place("part/bin")).unwrap();
        fs::write(place("part/bin/pnpm"), "ha").unwrap();
        keep_managers(&place("fetched"), &place("kept"), &place("part")).unwrap();
        let text = fs::read_to_string(place("kept/v1/pnpm/9/bin/pnpm")).unwrap();
        assert_eq!(text, "whole");
        assert!(!place("part").exists());
    }

    #[test]
    fn caches_that_all_projects_shared_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::in_state_dir(directory.path(), 0);
        for name in ["npm/_cacache", "gable/venv-3.11.2", "projects/prj-a/npm", "toolchains/node-1"]
        {
            fs::create_dir_all(config.caches_dir.join(name)).unwrap();
        }
        remove_shared(&config).unwrap();
        let mut left: Vec<_> = fs::read_dir(&config.caches_dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["projects", "toolchains"]);
        assert!(config.project_caches("prj-a").join("npm").is_dir());
    }
}
