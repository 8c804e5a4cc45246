//! One file that fills a database: what is taken, and how it reaches what runs it.

use std::collections::HashSet;
use std::io::Read as _;
use std::path::Path;

use model::Problem;

use crate::postgres::PostgresRequest;
use crate::{Error, files};

/// All files of one database together, unpacked.
const BYTES_MAX: usize = 64 << 20;
const NAME_BYTES_MAX: usize = 200;

/// A file that fills a database when it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitFile {
    /// Its path below the folder; a packed one is unpacked under its own name.
    pub name: String,
    /// What it holds, unpacked.
    pub bytes: Vec<u8>,
    /// What becomes of it.
    pub kind: InitKind,
}

/// What becomes of a file that fills a database: the rules of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitKind {
    /// `<name>.sql` and `<name>.sql.gz`: `psql` reads it.
    Statements,
    /// `<name>.sh` that can be run: it is run.
    Program,
    /// Any other `<name>.sh`: a shell reads it.
    Sourced,
    /// Anything else, and everything in folders: it lies beside those that name it.
    Beside,
}

impl InitFile {
    /// The file of this path below the folder, unpacked if its name says so. `is_executable` is the
    /// mode that it has in the project.
    ///
    /// # Errors
    /// A [`Problem`] when its name leads elsewhere, it is too large, damaged, or statements in
    /// another encoding than UTF-8.
    pub fn from_bytes(name: &str, bytes: &[u8], is_executable: bool) -> Result<Self, Problem> {
        check_name(name)?;
        let kind = kind_of(name, is_executable);
        let mut unpacked = Vec::new();
        // One byte more than allowed tells that there are too many.
        let limit = BYTES_MAX as u64 + 1;
        let read = if kind == InitKind::Statements && name.ends_with(".gz") {
            flate2::read::MultiGzDecoder::new(bytes).take(limit).read_to_end(&mut unpacked)
        } else {
            bytes.take(limit).read_to_end(&mut unpacked)
        };
        read.map_err(|error| refused(name, &format!("it cannot be unpacked: {error}")))?;
        if unpacked.len() > BYTES_MAX {
            return Err(too_large(name));
        }
        if kind == InitKind::Statements && std::str::from_utf8(&unpacked).is_err() {
            return Err(refused(name, "it is not UTF-8"));
        }
        Ok(Self { name: name.to_owned(), bytes: unpacked, kind })
    }

    /// Whether it is a script, which needs an instance with files and processes of its own.
    #[must_use]
    pub fn is_script(&self) -> bool {
        matches!(self.kind, InitKind::Program | InitKind::Sourced)
    }
}

fn kind_of(name: &str, is_executable: bool) -> InitKind {
    if name.contains('/') {
        InitKind::Beside
    } else if name.ends_with(".sql") || name.ends_with(".sql.gz") {
        InitKind::Statements
    } else if name.ends_with(".sh") {
        if is_executable { InitKind::Program } else { InitKind::Sourced }
    } else {
        InitKind::Beside
    }
}

/// Refuses what cannot be run, before anything is made. `has_own_root` says whether an instance has
/// files and processes of its own.
pub(in crate::postgres) fn check(
    request: &PostgresRequest<'_>,
    has_own_root: bool,
) -> Result<(), Problem> {
    let (mut names, mut bytes) = (HashSet::new(), 0_usize);
    for file in request.init {
        check_name(&file.name)?;
        if !names.insert(&file.name) {
            return Err(refused(&file.name, "there are two of this name"));
        }
        if file.is_script() && !has_own_root {
            let why =
                "a script needs an instance with files of its own, which Gable has as root only";
            return Err(refused(&file.name, why));
        }
        bytes = bytes.saturating_add(file.bytes.len());
        if bytes > BYTES_MAX {
            return Err(too_large(&file.name));
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), Problem> {
    let is_usual = |part: &str| !part.is_empty() && part != "." && part != "..";
    let has_odd = name.chars().any(char::is_control);
    if has_odd || name.len() > NAME_BYTES_MAX || !name.split('/').all(is_usual) {
        return Err(refused(name, "that is no usual name of a file"));
    }
    Ok(())
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
        let path = directory.join(&file.name);
        if let Some(folder) = path.parent() {
            files::create_dir(folder, 0o700)?;
        }
        let mode = if file.kind == InitKind::Program { 0o500 } else { 0o400 };
        files::replace(&path, &file.bytes, mode, Some(uid))?;
    }
    files::own_tree(directory, uid)
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
        let file = InitFile::from_bytes("01 data.sql.gz", &packed, false).expect("a good file");
        assert_eq!(file.bytes, b"SELECT 1;");
        assert_eq!(InitFile::from_bytes("a.sql", b"x", false).expect("a good file").bytes, b"x");
        let half = InitFile::from_bytes("a.sql.gz", &packed[..packed.len() / 2], false);
        assert!(half.is_err_and(|problem| problem.message.contains("unpacked")));
    }

    #[test]
    fn what_unpacks_to_too_much_is_refused() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(&vec![b' '; BYTES_MAX + 1]).expect("memory");
        let packed = packer.finish().expect("memory");
        let problem = InitFile::from_bytes("bomb.sql.gz", &packed, false).expect_err("too large");
        assert!(problem.message.contains("64 MiB"), "{}", problem.message);
    }

    #[test]
    fn names_lead_nowhere_else() {
        for name in ["../a.sql", "/a.sql", "a\n.sql", "a/../b.csv", "a//b", ".."] {
            assert!(InitFile::from_bytes(name, b"", false).is_err(), "{name}");
        }
        let long = format!("{}.sql", "x".repeat(NAME_BYTES_MAX));
        assert!(InitFile::from_bytes(&long, b"", false).is_err());
    }

    #[test]
    fn scripts_run_or_are_sourced_and_the_rest_lies_beside_them() {
        let kind = |name, is_executable| {
            InitFile::from_bytes(name, b"\xff", is_executable).expect("a good file").kind
        };
        assert_eq!(kind("02.sh", true), InitKind::Program);
        assert_eq!(kind("02.sh", false), InitKind::Sourced);
        assert_eq!(kind("rows.csv", true), InitKind::Beside);
        assert_eq!(kind("more/01.sql", false), InitKind::Beside);
        assert!(InitFile::from_bytes("a.sql", b"\xff", false).is_err());
    }
}
