//! Throwing old logs away.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};

use crate::Error;
use crate::read::instance_of;

/// What may stay.
pub struct Retention<'a> {
    /// The present.
    pub now: Timestamp,
    /// All logs together, in bytes; the oldest go first.
    pub max_bytes: u64,
    /// Time since the last line.
    pub max_age: SignedDuration,
    /// Whether an instance still writes, by its id: its present file stays, because what it says
    /// later would go nowhere.
    pub is_running: &'a dyn Fn(&str) -> bool,
}

/// What was thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Number of files.
    pub files: u64,
    /// Their size together.
    pub bytes: u64,
}

/// Throws away what is too old or too much, below `directory` (`logs/<owner id>/…`), and owners'
/// directories that have become empty.
///
/// # Errors
/// When a directory cannot be listed or a file cannot be removed.
pub fn retain(directory: &Path, retention: &Retention<'_>) -> Result<Removed, Error> {
    let mut removed = Removed::default();
    for (path, bytes) in doomed(directory, retention)? {
        remove(&path)?;
        removed.files += 1;
        removed.bytes += bytes;
    }
    for (owner, _) in list(directory)? {
        // Refused unless it is empty, which is all we want to know.
        let _ = std::fs::remove_dir(owner);
    }
    Ok(removed)
}

/// What [`retain`] would throw away, with the size of each.
///
/// # Errors
/// When a directory cannot be listed.
pub fn doomed(directory: &Path, retention: &Retention<'_>) -> Result<Vec<(PathBuf, u64)>, Error> {
    let mut logs = Vec::new();
    for (owner, metadata) in &list(directory)? {
        if metadata.is_dir() {
            logs.extend(list(owner)?.into_iter().filter(|(_, metadata)| metadata.is_file()));
        }
    }
    logs.sort_by_key(|(_, metadata)| metadata.modified().ok());
    let mut total: u64 = logs.iter().map(|(_, metadata)| metadata.len()).sum();
    let mut doomed = Vec::new();
    for (path, metadata) in logs {
        if total <= retention.max_bytes && !is_old(&metadata, retention)
            || is_in_use(&path, retention)
        {
            continue;
        }
        total -= metadata.len();
        doomed.push((path, metadata.len()));
    }
    Ok(doomed)
}

fn is_old(metadata: &Metadata, retention: &Retention<'_>) -> bool {
    let modified = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
    modified.is_some_and(|modified| retention.now.duration_since(modified) > retention.max_age)
}

fn is_in_use(path: &Path, retention: &Retention<'_>) -> bool {
    let is_present_file = path.extension().is_some_and(|extension| extension == "log");
    is_present_file && (retention.is_running)(&instance_of(path))
}

fn list(directory: &Path) -> Result<Vec<(PathBuf, Metadata)>, Error> {
    let failed = |source| Error::new("list logs in", directory, source);
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        // Another process may remove it at the same time.
        if let Ok(metadata) = entry.metadata() {
            found.push((entry.path(), metadata));
        }
    }
    Ok(found)
}

fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::new("remove log", path, error))
        }
        _ => Ok(()),
    }
}
