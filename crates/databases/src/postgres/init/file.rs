//! One file that fills a database: what is taken, and how it reaches `psql`.

use std::collections::HashSet;
use std::io::Read as _;
use std::path::Path;

use model::Problem;

use crate::postgres::PostgresRequest;
use crate::{Error, files};

/// All files of one database together, unpacked.
const BYTES_MAX: usize = 64 << 20;
const NAME_BYTES_MAX: usize = 200;

/// A file of statements that fills a database when it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitFile {
    /// Its name, without directories: `<name>.sql`, or `<name>.sql.gz` before it was unpacked.
    pub name: String,
    /// What `psql` reads.
    pub text: String,
}

impl InitFile {
    /// The file of this name, unpacked if its name says so.
    ///
    /// # Errors
    /// A [`Problem`] when it is neither `.sql` nor `.sql.gz`, too large, damaged, or not UTF-8.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, Problem> {
        let is_packed = check_name(name)?;
        let mut text = Vec::new();
        // One byte more than allowed tells that there are too many.
        let limit = BYTES_MAX as u64 + 1;
        let read = if is_packed {
            flate2::read::MultiGzDecoder::new(bytes).take(limit).read_to_end(&mut text)
        } else {
            bytes.take(limit).read_to_end(&mut text)
        };
        read.map_err(|error| refused(name, &format!("it cannot be unpacked: {error}")))?;
        if text.len() > BYTES_MAX {
            return Err(too_large(name));
        }
        let text = String::from_utf8(text).map_err(|_| refused(name, "it is not UTF-8"))?;
        Ok(Self { name: name.to_owned(), text })
    }
}

/// Refuses what cannot be run, before anything is made.
pub(in crate::postgres) fn check(request: &PostgresRequest<'_>) -> Result<(), Problem> {
    let (mut names, mut bytes) = (HashSet::new(), 0_usize);
    for file in request.init {
        check_name(&file.name)?;
        if !names.insert(&file.name) {
            return Err(refused(&file.name, "there are two of this name"));
        }
        bytes = bytes.saturating_add(file.text.len());
        if bytes > BYTES_MAX {
            return Err(too_large(&file.name));
        }
    }
    Ok(())
}

/// Whether the name is that of a packed file.
fn check_name(name: &str) -> Result<bool, Problem> {
    let is_packed = name.ends_with(".sql.gz");
    if !is_packed && !name.ends_with(".sql") {
        return Err(refused(name, "only `.sql` and `.sql.gz` are run"));
    }
    let has_odd = name.chars().any(|c| c == '/' || c.is_control());
    if has_odd || name.starts_with('.') || name.len() > NAME_BYTES_MAX {
        return Err(refused(name, "that is no usual name of a file"));
    }
    Ok(is_packed)
}

fn too_large(name: &str) -> Problem {
    refused(name, &format!("all files together may have {} MiB", BYTES_MAX >> 20))
}

fn refused(name: &str, why: &str) -> Problem {
    let name: String =
        name.chars().take(NAME_BYTES_MAX).map(|c| c.escape_debug().to_string()).collect();
    Problem::new("database-init-file-refused", format!("the init file {name} cannot be run: {why}"))
        .hint("fill the database by hand with `gable psql`, or run the image: `x-gable: {managed: false}`")
}

/// Puts the files where the store's user, and nobody else, can read them.
pub(super) fn write(directory: &Path, init: &[InitFile], uid: u32) -> Result<(), Error> {
    files::remove_dir(directory)?;
    files::create_dir(directory, 0o700)?;
    for file in init {
        files::replace(&directory.join(&file.name), &file.text, 0o400, Some(uid))?;
    }
    files::own(directory, uid)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn packed_and_plain_files_are_taken() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(b"SELECT 1;").expect("memory");
        let packed = packer.finish().expect("memory");
        let file = InitFile::from_bytes("01 data.sql.gz", &packed).expect("a good file");
        assert_eq!(file.text, "SELECT 1;");
        assert_eq!(InitFile::from_bytes("a.sql", b"x").expect("a good file").text, "x");
        let half = InitFile::from_bytes("a.sql.gz", &packed[..packed.len() / 2]);
        assert!(half.is_err_and(|problem| problem.message.contains("unpacked")));
    }

    #[test]
    fn what_unpacks_to_too_much_is_refused() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(&vec![b' '; BYTES_MAX + 1]).expect("memory");
        let packed = packer.finish().expect("memory");
        let problem = InitFile::from_bytes("bomb.sql.gz", &packed).expect_err("too large");
        assert!(problem.message.contains("64 MiB"), "{}", problem.message);
    }

    #[test]
    fn names_lead_nowhere_else() {
        for name in ["a.sh", "../a.sql", "/a.sql", ".sql", "a\n.sql", "..sql.gz"] {
            assert!(InitFile::from_bytes(name, b"").is_err(), "{name}");
        }
    }
}
