//! Files that fill a new database, as compose files mount them: kept from the apply that declares
//! the database until it is thrown away, because the database is made later, and perhaps again
//! after a crash.

use std::path::PathBuf;

use databases::InitFile;
use model::DatabaseId;

use crate::error::Error;
use crate::platform::Platform;

/// Where the files of a database are.
pub(crate) fn directory(platform: &Platform, id: &DatabaseId) -> PathBuf {
    platform.config.state_dir.join("init").join(id.as_str())
}

/// Keeps the files of a database, in their order. Once kept they stay: they have been run, or will
/// be.
pub(crate) fn keep(
    platform: &Platform,
    id: &DatabaseId,
    files: &[(String, Vec<u8>)],
) -> Result<(), Error> {
    let place = directory(platform, id);
    if files.is_empty() || place.exists() {
        return Ok(());
    }
    let part = place.with_extension("part");
    let write = || {
        std::fs::create_dir_all(&part)?;
        for (number, (name, bytes)) in files.iter().enumerate() {
            let file = part.join(format!("{number:04}-{name}"));
            std::fs::write(&file, bytes)?;
            std::fs::File::open(&file)?.sync_all()?;
        }
        std::fs::rename(&part, &place)
    };
    write().map_err(Error::host(format!("keep files in {}", place.display())))
}

/// The kept files of a database.
pub(crate) fn load(platform: &Platform, id: &DatabaseId) -> Result<Vec<InitFile>, Error> {
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
        let plain = name.split_once('-').map_or(name.as_str(), |(_, plain)| plain);
        files.push(InitFile::from_bytes(plain, &bytes)?);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn kept_files_come_back_in_their_order_and_stay() {
        let directory = tempfile::tempdir().unwrap();
        let platform = testing::platform(directory.path());
        let environment = testing::environment(&platform, "shop");
        let id = testing::database(&platform, &environment, "db");
        assert!(load(&platform, &id).unwrap().is_empty());
        let file = |name: &str| (name.to_owned(), format!("-- {name}").into_bytes());
        keep(&platform, &id, &[file("z.sql"), file("a.sql")]).unwrap();
        keep(&platform, &id, &[file("other.sql")]).unwrap();
        let names: Vec<_> =
            load(&platform, &id).unwrap().into_iter().map(|file| file.name).collect();
        assert_eq!(names, ["z.sql", "a.sql"]);
    }
}
