//! Files that fill a new database, as compose files mount them: kept from the apply that declares
//! the database until it is thrown away, because the database is made later, and perhaps again
//! after a crash.

use std::path::PathBuf;

use databases::InitFile;
use model::DatabaseId;

use rustix::fs::{CWD, RenameFlags};

use crate::error::Error;
use crate::platform::Platform;

/// Where the files of a database are.
pub(crate) fn directory(platform: &Platform, id: &DatabaseId) -> PathBuf {
    platform.config.state_dir.join("init").join(id.as_str())
}

/// Keeps the files of a database, in their order. Those of a database that is made have been run
/// and stay; of one that is not, the file as it is now counts.
pub(crate) fn keep(
    platform: &Platform,
    id: &DatabaseId,
    files: &[(String, Vec<u8>)],
) -> Result<(), Error> {
    let place = directory(platform, id);
    let is_made = databases::data_version(&platform.databases, id).is_some();
    if files.is_empty() || is_made && place.exists() || kept(platform, id)? == numbered(files) {
        return Ok(());
    }
    let part = place.with_extension("part");
    let write = || {
        // What a killed attempt left, or what was kept before.
        if part.exists() {
            std::fs::remove_dir_all(&part)?;
        }
        std::fs::create_dir_all(&part)?;
        for (name, bytes) in numbered(files) {
            let file = part.join(name);
            std::fs::write(&file, bytes)?;
            std::fs::File::open(&file)?.sync_all()?;
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

/// The files under the names that keep their order.
fn numbered(files: &[(String, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    let files = files.iter().enumerate();
    files.map(|(number, (name, bytes))| (format!("{number:04}-{name}"), bytes.clone())).collect()
}

/// The kept files of a database.
pub(crate) fn load(platform: &Platform, id: &DatabaseId) -> Result<Vec<InitFile>, Error> {
    let mut files = Vec::new();
    for (name, bytes) in kept(platform, id)? {
        let plain = name.split_once('-').map_or(name.as_str(), |(_, plain)| plain);
        files.push(InitFile::from_bytes(plain, &bytes)?);
    }
    Ok(files)
}

/// The kept files of a database as they are, with the names that keep their order.
pub(crate) fn kept(platform: &Platform, id: &DatabaseId) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let place = directory(platform, id);
    let failed = || Error::host(format!("read {}", place.display()));
    let mut names = Vec::new();
    match std::fs::read_dir(&place) {
        Ok(entries) => {
            for entry in entries {
                names.extend(entry.map_err(failed())?.file_name().into_string());
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed()(error)),
    }
    names.sort();
    let mut files = Vec::new();
    for name in names {
        let bytes = std::fs::read(place.join(&name)).map_err(failed())?;
        files.push((name, bytes));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn kept_files_come_back_in_their_order_and_mended_ones_replace_them() {
        let directory = tempfile::tempdir().unwrap();
        let platform = testing::platform(directory.path());
        let environment = testing::environment(&platform, "shop");
        let id = testing::database(&platform, &environment, "db");
        assert!(load(&platform, &id).unwrap().is_empty());
        let file = |name: &str| (name.to_owned(), format!("-- {name}").into_bytes());
        keep(&platform, &id, &[file("z.sql"), file("a.sql")]).unwrap();
        let names = || -> Vec<_> {
            load(&platform, &id).unwrap().into_iter().map(|file| file.name).collect()
        };
        assert_eq!(names(), ["z.sql", "a.sql"]);
        keep(&platform, &id, &[file("mended.sql")]).unwrap();
        assert_eq!(names(), ["mended.sql"], "the database is not made yet");
        let made = platform.databases.data_dir.join(id.as_str()).join("pgdata");
        std::fs::create_dir_all(&made).unwrap();
        std::fs::write(made.join("PG_VERSION"), "17\n").unwrap();
        keep(&platform, &id, &[file("too-late.sql")]).unwrap();
        assert_eq!(names(), ["mended.sql"], "they have been run");
    }
}
