//! Copies of the database, whole and checked: what is put in its place when it is lost.
//!
//! A copy is made while others read and write, under another name, opened and checked, and only
//! then given its own: whatever has the name of a copy can be used. The key of sealed values is not
//! in it. [`restore`] puts one in the place of the database and keeps what stood there.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use model::Generation;
use rusqlite::{Connection, OpenFlags, params};

use crate::connection::{DATABASE_FILE, take_turn_in};
use crate::row::{Columns, all, first};
use crate::{Error, Store, generations, schema};

/// Name of the directory of copies in the state directory.
pub const COPIES_DIR: &str = "copies";

const PREFIX: &str = "gable-";
const SUFFIX: &str = ".db";
/// Before the time in the name of a database that a copy was put in the place of.
const REPLACED: &str = "replaced-";
/// What SQLite keeps beside a database.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// A copy that was whole when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Where it lies.
    pub path: PathBuf,
    /// When it was made.
    pub at: Timestamp,
    /// Its size.
    pub size_bytes: u64,
}

impl Copy {
    /// The name by which a person names it.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// What a database says about itself once it was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Names of its projects.
    pub projects: Vec<String>,
    /// The newest generation that it has given to the edge.
    pub generation: Generation,
}

/// Makes a copy, checks it, and returns it.
///
/// # Errors
/// Also when what was copied is damaged.
pub fn make(store: &Store, state_dir: &Path, now: Timestamp) -> Result<Copy, Error> {
    let directory = state_dir.join(COPIES_DIR);
    let failed = |source| Error::file("make a copy of the database in", &directory, source);
    fs::create_dir_all(&directory).map_err(failed)?;
    let path = directory.join(format!("{PREFIX}{}{SUFFIX}", now.as_microsecond()));
    let new = path.with_extension("new");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .map_err(failed)?;
    let written = copy_into(store, &new).and_then(|()| check(&new)).and_then(|_| {
        file.sync_all().and_then(|()| fs::rename(&new, &path)).map_err(failed)?;
        sync(&directory)
    });
    if written.is_err() {
        // What is not whole is no copy, and takes room.
        let _ = fs::remove_file(&new);
    }
    written?;
    let size_bytes = fs::metadata(&path).map_err(failed)?.len();
    Ok(Copy { path, at: now, size_bytes })
}

fn copy_into(store: &Store, new: &Path) -> Result<(), Error> {
    store.read("copy the database", |connection| {
        // Readers may not write their database; this writes another.
        connection.pragma_update(None, "query_only", false)?;
        let copied = connection.execute("VACUUM INTO ?1", params![new.to_string_lossy()]);
        connection.pragma_update(None, "query_only", true)?;
        copied?;
        Ok(())
    })
}

/// All copies, the newest first.
///
/// # Errors
/// When the directory cannot be read.
pub fn list(state_dir: &Path) -> Result<Vec<Copy>, Error> {
    let directory = state_dir.join(COPIES_DIR);
    let failed = |source| Error::file("list the copies in", &directory, source);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut copies = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let micros = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
        let at = micros
            .and_then(|micros| micros.parse().ok())
            .and_then(|micros| Timestamp::from_microsecond(micros).ok());
        if let Some(at) = at {
            let size_bytes = entry.metadata().map_err(failed)?.len();
            copies.push(Copy { path: entry.path(), at, size_bytes });
        }
    }
    copies.sort_by_key(|copy| std::cmp::Reverse(copy.at));
    Ok(copies)
}

/// Throws a copy away.
///
/// # Errors
/// When the disk refuses.
pub fn remove(copy: &Copy) -> Result<(), Error> {
    match fs::remove_file(&copy.path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::file("remove", &copy.path, error))
        }
        _ => Ok(()),
    }
}

/// Reads a whole database and finds it sound.
///
/// # Errors
/// When it is none of ours, damaged, or a newer Gable's.
pub fn check(path: &Path) -> Result<Contents, Error> {
    let checked = || -> Result<Contents, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        schema::check(&connection, path)?;
        let verdict: String =
            connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(Error::Damaged { path: path.to_owned(), verdict });
        }
        contents(&connection)
    };
    checked().map_err(|error| error.during("check a copy"))
}

/// What a store says about itself.
///
/// # Errors
/// When it cannot be read.
pub fn contents_of(store: &Store) -> Result<Contents, Error> {
    store.read("look at the state", contents)
}

fn contents(connection: &Connection) -> Result<Contents, Error> {
    let projects =
        all(connection, "SELECT name FROM projects ORDER BY name", [], |row| Ok(row.get(0)?))?;
    let generation = first(
        connection,
        "SELECT value FROM counters WHERE name = ?1",
        [generations::EDGE],
        |row| Ok(row.unsigned("value")?),
    )?;
    Ok(Contents { projects, generation: Generation(generation.unwrap_or_default()) })
}

/// Puts a copy in the place of the database, which is kept beside the copies, and says where.
/// Generations for the edge go on after `newest`. No store may have the database open.
///
/// # Errors
/// When the copy is not sound or the disk refuses. Repeating it goes on.
pub fn restore(
    state_dir: &Path,
    copy: &Path,
    newest: Generation,
    now: Timestamp,
) -> Result<Option<PathBuf>, Error> {
    check(copy)?;
    let _turn = take_turn_in(state_dir)?;
    let database = state_dir.join(DATABASE_FILE);
    let new = database.with_extension("db.new");
    let failed = |source| Error::file("put a copy in the place of", &database, source);
    // A copy of the copy: it can be used again.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(failed)?;
    File::open(copy).and_then(|mut from| io::copy(&mut from, &mut file)).map_err(failed)?;
    let connection = Connection::open(&new)?;
    generations::raise_in(&connection, newest)?;
    drop(connection);
    file.sync_all().map_err(failed)?;
    let kept = set_aside(state_dir, &database, now).map_err(failed)?;
    fs::rename(&new, &database).map_err(failed)?;
    sync(state_dir)?;
    Ok(kept)
}

/// Takes the database away, with what SQLite keeps beside it: that of one would damage another.
fn set_aside(state_dir: &Path, database: &Path, now: Timestamp) -> io::Result<Option<PathBuf>> {
    let directory = state_dir.join(COPIES_DIR);
    fs::create_dir_all(&directory)?;
    let kept = directory.join(format!("{REPLACED}{}{SUFFIX}", now.as_microsecond()));
    let move_away = |from: &Path, to: &Path| match fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    };
    let was_there = move_away(database, &kept)?;
    for companion in COMPANIONS {
        let beside = |path: &Path| {
            let mut name = path.as_os_str().to_owned();
            name.push(companion);
            PathBuf::from(name)
        };
        move_away(&beside(database), &beside(&kept))?;
    }
    Ok(was_there.then_some(kept))
}

fn sync(directory: &Path) -> Result<(), Error> {
    File::open(directory)
        .and_then(|file| file.sync_all())
        .map_err(|source| Error::file("sync", directory, source))
}
