//! Files that fill a new database, as compose files mount them: kept from the apply that declares
//! the database until it is thrown away, because the database is made later, and perhaps again
//! after a crash.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use databases::InitFile;
use model::DatabaseId;

use rustix::fs::{CWD, RenameFlags};

use crate::error::Error;
use crate::platform::Platform;

/// Where the files of a database are.
pub(crate) fn directory(platform: &Platform, id: &DatabaseId) -> PathBuf {
    platform.config.state_dir.join("init").join(id.as_str())
}

/// A file as the project has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Raw {
    /// Its path below the folder that fills databases.
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_executable: bool,
}

/// Keeps the files of a database, in their order. Those of a database that is made have been run
/// and stay; of one that is not, the file as it is now counts.
pub(crate) fn keep(platform: &Platform, id: &DatabaseId, files: &[Raw]) -> Result<(), Error> {
    let place = directory(platform, id);
    let is_made = databases::data_version(&platform.databases, id).is_some();
    if files.is_empty() || is_made && place.exists() || kept(platform, id)? == files {
        return Ok(());
    }
    let part = place.with_extension("part");
    let write = || {
        // What a killed attempt left, or what was kept before.
        if part.exists() {
            std::fs::remove_dir_all(&part)?;
        }
        for (number, file) in files.iter().enumerate() {
            let path = part.join(format!("{number:04}")).join(&file.name);
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::write(&path, &file.bytes)?;
            let mode = if file.is_executable { 0o700 } else { 0o600 };
            std::fs::set_permissions(&path, Permissions::from_mode(mode))?;
            std::fs::File::open(&path)?.sync_all()?;
        }
        if place.exists() {
            // In one step: a database must never be made without its files.
            rustix::fs::renameat_with(CWD, &part, CWD, &place, RenameFlags::EXCHANGE)?;
            return std::fs::remove_dir_all(&part);
        }
        std::fs::rename(&part, &place)
    };
    write().map_err(Error::host(format!("keep files in {}", place.display())))
}

/// The kept files of a database.
pub(crate) fn load(platform: &Platform, id: &DatabaseId) -> Result<Vec<InitFile>, Error> {
    let mut files = Vec::new();
    for file in kept(platform, id)? {
        files.push(InitFile::from_bytes(&file.name, &file.bytes, file.is_executable)?);
    }
    Ok(files)
}

/// The kept files of a database as they are.
pub(crate) fn kept(platform: &Platform, id: &DatabaseId) -> Result<Vec<Raw>, Error> {
    let place = directory(platform, id);
    let read = || {
        let mut files = Vec::new();
        for numbered in listed(&place)? {
            files.extend(raw(&numbered)?);
        }
        Ok(files)
    };
    read().map_err(Error::host(format!("read {}", place.display())))
}

/// The one file below a number, perhaps in folders.
fn raw(numbered: &Path) -> std::io::Result<Option<Raw>> {
    let mut path = numbered.to_owned();
    while path.is_dir() {
        let Some(inside) = listed(&path)?.into_iter().next() else { return Ok(None) };
        path = inside;
    }
    let below = path.strip_prefix(numbered).ok().and_then(Path::to_str).unwrap_or_default();
    // Earlier versions kept statements only, as `0000-name.sql`.
    let old = || Some(numbered.file_name()?.to_str()?.split_once('-')?.1);
    let Some(name) = Some(below).filter(|name| !name.is_empty()).or_else(old) else {
        return Ok(None);
    };
    let bytes = std::fs::read(&path)?;
    let is_executable = path.metadata()?.permissions().mode() & 0o100 != 0;
    Ok(Some(Raw { name: name.to_owned(), bytes, is_executable }))
}

/// What is in a directory, sorted; nothing where there is none.
fn listed(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = match std::fs::read_dir(directory) {
        Ok(entries) => {
            entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use databases::InitKind;

    use super::*;
    use crate::testing;

    #[test]
    fn kept_files_come_back_in_their_order_with_their_kind_and_mended_ones_replace_them() {
        let directory = tempfile::tempdir().unwrap();
        let platform = testing::platform(directory.path());
        let environment = testing::environment(&platform, "shop");
        let id = testing::database(&platform, &environment, "db");
        assert!(load(&platform, &id).unwrap().is_empty());
        let file = |name: &str, is_executable| Raw {
            name: name.to_owned(),
            bytes: format!("-- {name}").into_bytes(),
            is_executable,
        };
        let files = [file("z.sql", false), file("a.sh", true), file("rows/1.csv", false)];
        keep(&platform, &id, &files).unwrap();
        let names = || -> Vec<_> {
            let files = load(&platform, &id).unwrap().into_iter();
            files.map(|file| (file.name, file.kind)).collect()
        };
        let expected = [
            ("z.sql".to_owned(), InitKind::Statements),
            ("a.sh".to_owned(), InitKind::Program),
            ("rows/1.csv".to_owned(), InitKind::Beside),
        ];
        assert_eq!(names(), expected);
        keep(&platform, &id, &[file("mended.sql", false)]).unwrap();
        let mended = [("mended.sql".to_owned(), InitKind::Statements)];
        assert_eq!(names(), mended, "the database is not made yet");
        let made = platform.databases.data_dir.join(id.as_str()).join("pgdata");
        std::fs::create_dir_all(&made).unwrap();
        std::fs::write(made.join("PG_VERSION"), "17\n").unwrap();
        keep(&platform, &id, &[file("too-late.sql", false)]).unwrap();
        assert_eq!(names(), mended, "they have been run");
    }
}
