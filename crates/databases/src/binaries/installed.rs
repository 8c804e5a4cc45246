//! A tree of our own for a PostgreSQL that the system's packages installed.
//!
//! PostgreSQL finds its libraries and shared files relative to where its program really is, if
//! the directories keep their places to one another. Debian's places are
//! `/usr/lib/postgresql/N/{bin,lib}` and `/usr/share/postgresql/N`; the tree has the same below
//! its own root.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::binaries::{PostgresBinaries, Staging};
use crate::{Config, Error, files};

/// Programs that look for files beside themselves: a link would lead them back to the system's.
const COPIED: [&str; 2] = ["postgres", "initdb"];

/// Whether the system has this major.
pub(super) fn has_major(config: &Config, major: u8) -> bool {
    let prefix = prefix(config, major);
    prefix.join("bin/postgres").exists()
        && prefix.join("bin/initdb").exists()
        && share(&prefix, major).is_some_and(|share| share.join("postgres.bki").exists())
}

/// The tree for the system's present build of this major, if it was made already.
pub(super) fn tree(config: &Config, major: u8) -> Option<PostgresBinaries> {
    let binaries = place(config, major).ok()?;
    binaries.root.join("bin/postgres").exists().then_some(binaries)
}

/// Makes the tree, under the lock of the major.
pub(super) fn make_tree(
    config: &Config,
    major: u8,
    _lock: files::Lock,
) -> Result<PostgresBinaries, Error> {
    let binaries = place(config, major)?;
    let system = prefix(config, major);
    let system_share = share(&system, major).unwrap_or_else(|| system.join("share"));
    let staging = Staging::new(&binaries.root)?;
    let root = staging.path().join("tree");
    let programs = root.join(format!("lib/postgresql/{major}/bin"));
    let modules = root.join(&binaries.modules);
    let extensions = root.join(&binaries.extensions);
    for directory in [&programs, &modules, &extensions] {
        files::create_dir(directory, 0o755)?;
    }
    link_all(&system.join("bin"), &programs, &COPIED)?;
    for name in COPIED {
        let (from, to) = (system.join("bin").join(name), programs.join(name));
        fs::copy(&from, &to).map_err(Error::file("copy", &from))?;
    }
    link_all(&system.join("lib"), &modules, &[])?;
    link_all(&system_share, &root.join(format!("share/postgresql/{major}")), &["extension"])?;
    link_all(&system_share.join("extension"), &extensions, &[])?;
    link(Path::new(&format!("lib/postgresql/{major}/bin")), &root.join("bin"))?;
    files::make_readable(&root)?;
    files::rename(&root, &binaries.root)?;
    Ok(binaries)
}

/// Where the tree of the system's present build belongs: another build is another directory.
fn place(config: &Config, major: u8) -> Result<PostgresBinaries, Error> {
    let program = prefix(config, major).join("bin/postgres");
    let metadata = fs::metadata(&program).map_err(Error::file("look at", &program))?;
    let name = format!("{major}-installed-{}-{}", metadata.mtime(), metadata.len());
    Ok(PostgresBinaries {
        root: config.binaries_dir.join("postgres").join(name),
        major,
        modules: format!("lib/postgresql/{major}/lib").into(),
        extensions: format!("share/postgresql/{major}/extension").into(),
    })
}

fn prefix(config: &Config, major: u8) -> PathBuf {
    config.installed_postgres.join(major.to_string())
}

/// `<x>/lib/postgresql/N` has its shared files in `<x>/share/postgresql/N`.
fn share(prefix: &Path, major: u8) -> Option<PathBuf> {
    let base = prefix.ancestors().nth(3)?;
    Some(base.join("share/postgresql").join(major.to_string()))
}

fn link_all(from: &Path, to: &Path, except: &[&str]) -> Result<(), Error> {
    for entry in files::list(from)? {
        let Some(name) = entry.file_name() else { continue };
        if !except.iter().any(|skipped| name == *skipped) {
            link(&entry, &to.join(name))?;
        }
    }
    Ok(())
}

fn link(target: &Path, at: &Path) -> Result<(), Error> {
    symlink(target, at).map_err(Error::file("make the link", at))
}
