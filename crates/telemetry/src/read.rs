//! The side that reads: from the end, or from an offset.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};

use crate::Error;
use crate::line::{LogLine, MAX_TEXT_BYTES};
use crate::writer::set_aside;

/// What one look backwards reads, in bytes.
const BLOCK_BYTES: u64 = 64 * 1024;
/// What one look forwards reads, in bytes.
pub(crate) const CHUNK_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes without an end of line that no writer can have made.
const MAX_LINE_BYTES: usize = MAX_TEXT_BYTES + 1024;
/// The kernel's time of change may be a little older than the time in the line.
const MTIME_SLACK: SignedDuration = SignedDuration::from_secs(1);

/// The logs of all instances in a directory, set-aside ones not counted, by name. A directory that
/// is not there has none.
///
/// # Errors
/// When it cannot be listed.
pub fn files(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::new("list logs in", directory, source);
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// The last `count` lines of several logs together, oldest first. Files that are not there have no
/// lines; set-aside files are read as far as needed.
///
/// # Errors
/// When a file cannot be read.
pub fn tail(paths: &[PathBuf], count: usize) -> Result<Vec<LogLine>, Error> {
    let mut by_age = BTreeMap::new();
    for path in paths {
        if let Some((file, length)) = open_at_end(path)? {
            let modified =
                modified_at(&file).map_err(|source| Error::new("read log", path, source))?;
            by_age.insert((modified, path), (file, length));
        }
    }
    let mut lines: Vec<LogLine> = Vec::new();
    for ((modified, path), (file, length)) in by_age.into_iter().rev() {
        let enough = lines.len() >= count;
        if enough && lines.first().is_none_or(|oldest| modified + MTIME_SLACK < oldest.at) {
            // Everything in this file, and in those after it, is older than what we have.
            break;
        }
        lines.append(&mut tail_of(path, &file, length, count)?);
        keep_newest(&mut lines, count);
    }
    Ok(lines)
}

/// What was read from an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Whole lines, in file order.
    pub lines: Vec<LogLine>,
    /// Where to go on.
    pub next_offset: u64,
    /// Whether there was nothing more at the time.
    pub is_end: bool,
}

/// Reads on from an offset that an earlier call gave, 0 at first; a few megabytes at a time. An
/// offset behind the end means that the file was set aside in the meantime: it starts again at 0.
/// A file that is not there is empty.
///
/// # Errors
/// When it cannot be read.
pub fn read_since(path: &Path, offset: u64) -> Result<Chunk, Error> {
    let failed = |source| Error::new("read log", path, source);
    let Some(file) = open(path)? else {
        return Ok(Chunk { lines: Vec::new(), next_offset: 0, is_end: true });
    };
    let length = file.metadata().map_err(failed)?.len();
    let offset = if offset > length { 0 } else { offset };
    read_forward(&file, &instance_of(path), offset).map_err(failed)
}

pub(crate) fn open(path: &Path) -> Result<Option<File>, Error> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::new("open log", path, error)),
    }
}

/// Opens a log and finds where its last whole line ends.
pub(crate) fn open_at_end(path: &Path) -> Result<Option<(File, u64)>, Error> {
    let failed = |source| Error::new("read log", path, source);
    let Some(file) = open(path)? else { return Ok(None) };
    let mut end = file.metadata().map_err(failed)?.len();
    let start = end.saturating_sub(MAX_LINE_BYTES as u64);
    let block = block_at(&file, start, end).map_err(failed)?;
    if let Some(last) = block.iter().rposition(|byte| *byte == b'\n') {
        end = start + last as u64 + 1;
    } else if start == 0 {
        end = 0;
    }
    Ok(Some((file, end)))
}

/// The last lines of one log, with the set-aside file before it.
pub(crate) fn tail_of(
    path: &Path,
    file: &File,
    end: u64,
    count: usize,
) -> Result<Vec<LogLine>, Error> {
    let instance = instance_of(path);
    let failed = |source| Error::new("read log", path, source);
    let newer = read_backward(file, &instance, end, count).map_err(failed)?;
    if newer.len() >= count {
        return Ok(newer);
    }
    let Some((older_file, older_end)) = open_at_end(&set_aside(path))? else { return Ok(newer) };
    if inode(&older_file).map_err(failed)? == inode(file).map_err(failed)? {
        // It was set aside just now, after we had opened it.
        return Ok(newer);
    }
    let mut lines =
        read_backward(&older_file, &instance, older_end, count - newer.len()).map_err(failed)?;
    lines.extend(newer);
    Ok(lines)
}

/// Reads whole lines from `offset` on, a few megabytes at most.
pub(crate) fn read_forward(file: &File, instance: &str, offset: u64) -> io::Result<Chunk> {
    let length = file.metadata()?.len();
    let end = length.min(offset.saturating_add(CHUNK_BYTES));
    let block = block_at(file, offset, end)?;
    let whole = match block.iter().rposition(|byte| *byte == b'\n') {
        Some(last) => last + 1,
        // So much without an end of line is no log; step over it.
        None if block.len() > MAX_LINE_BYTES => block.len(),
        None => 0,
    };
    let lines = block[..whole]
        .split(|byte| *byte == b'\n')
        .filter_map(|line| LogLine::parse(line, instance))
        .collect();
    Ok(Chunk { lines, next_offset: offset + whole as u64, is_end: end == length })
}

/// The name of a file without `.log` and `.1`.
pub(crate) fn instance_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(".1").unwrap_or(&name);
    name.strip_suffix(".log").unwrap_or(name).to_owned()
}

pub(crate) fn inode(file: &File) -> io::Result<(u64, u64)> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Puts lines of several files in order of time and drops the oldest.
pub(crate) fn keep_newest(lines: &mut Vec<LogLine>, count: usize) {
    lines.sort_by_key(|line| line.at);
    lines.drain(..lines.len().saturating_sub(count));
}

fn modified_at(file: &File) -> io::Result<Timestamp> {
    Timestamp::try_from(file.metadata()?.modified()?).map_err(io::Error::other)
}

fn read_backward(file: &File, instance: &str, end: u64, count: usize) -> io::Result<Vec<LogLine>> {
    let mut newest_first = Vec::new();
    let mut end = end;
    // The end of a line whose beginning lies in an earlier block.
    let mut rest = Vec::new();
    while end > 0 && newest_first.len() < count {
        let start = end.saturating_sub(BLOCK_BYTES);
        let mut block = block_at(file, start, end)?;
        block.append(&mut rest);
        let first_whole = match block.iter().position(|byte| *byte == b'\n') {
            _ if start == 0 => 0,
            Some(newline) => newline + 1,
            None => block.len(),
        };
        let lines = block[first_whole..].split(|byte| *byte == b'\n').rev();
        newest_first.extend(lines.filter_map(|line| LogLine::parse(line, instance)));
        block.truncate(first_whole);
        if block.len() <= 2 * MAX_LINE_BYTES {
            rest = block;
        }
        end = start;
    }
    newest_first.truncate(count);
    newest_first.reverse();
    Ok(newest_first)
}

/// The bytes from `start` to `end`, or to where the file ends by now.
fn block_at(file: &File, start: u64, end: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(end.saturating_sub(start)).map_err(io::Error::other)?;
    let mut block = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut block[filled..], start + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    block.truncate(filled);
    Ok(block)
}
