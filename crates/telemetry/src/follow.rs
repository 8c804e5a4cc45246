//! Reading on while logs grow, are set aside, appear and disappear.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::line::LogLine;
use crate::read::{
    files, inode, instance_of, keep_newest, open, open_at_end, read_forward, tail_of,
};
use crate::writer::set_aside;

/// Follows logs: files, and directories of them, with files that appear later. Ask it again and
/// again; one call is a few system calls per file, and returns at once.
#[derive(Debug)]
pub struct Follower {
    places: Vec<PathBuf>,
    followed: BTreeMap<PathBuf, Followed>,
}

#[derive(Debug)]
struct Followed {
    file: File,
    inode: (u64, u64),
    offset: u64,
}

impl Follower {
    /// Follows from the very beginning of what is there. A place is a directory of logs or the
    /// path of one; it need not exist yet.
    #[must_use]
    pub fn from_start(places: Vec<PathBuf>) -> Self {
        Self { places, followed: BTreeMap::new() }
    }

    /// The last `count` lines of what is there, and a follower that goes on exactly behind them.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn from_tail(places: Vec<PathBuf>, count: usize) -> Result<(Vec<LogLine>, Self), Error> {
        let mut follower = Self::from_start(places);
        let mut lines = Vec::new();
        for path in follower.paths()? {
            let Some((file, offset)) = open_at_end(&path)? else { continue };
            lines.append(&mut tail_of(&path, &file, offset, count)?);
            keep_newest(&mut lines, count);
            follower.follow(path, file, offset)?;
        }
        Ok((lines, follower))
    }

    /// What was written since the last call, in order of time; a few megabytes per file at most,
    /// the next call has the rest. Files that cannot be read are left for the next call.
    pub fn poll(&mut self) -> Vec<LogLine> {
        let mut lines = Vec::new();
        let Ok(paths) = self.paths() else { return lines };
        self.followed.retain(|path, followed| {
            let there = paths.contains(path);
            if !there {
                followed.read_on(path, &mut lines);
            }
            there
        });
        for path in paths {
            self.read_on(&path, &mut lines);
        }
        lines.sort_by_key(|line| line.at);
        lines
    }

    fn read_on(&mut self, path: &Path, lines: &mut Vec<LogLine>) {
        let Ok(Some(file)) = open(path) else { return };
        let Ok(present) = inode(&file) else { return };
        match self.followed.get_mut(path) {
            Some(followed) if followed.inode == present => {
                followed.read_on(path, lines);
                return;
            }
            Some(followed) => {
                // Set aside: first what was appended to it before that.
                if !followed.read_on(path, lines) {
                    return;
                }
                let old = followed.inode;
                read_missed(path, old, lines);
            }
            None => {}
        }
        if self.follow(path.to_owned(), file, 0).is_ok()
            && let Some(followed) = self.followed.get_mut(path)
        {
            followed.read_on(path, lines);
        }
    }

    fn follow(&mut self, path: PathBuf, file: File, offset: u64) -> Result<(), Error> {
        let inode = inode(&file).map_err(|source| Error::new("read log", &path, source))?;
        self.followed.insert(path, Followed { file, inode, offset });
        Ok(())
    }

    fn paths(&self) -> Result<Vec<PathBuf>, Error> {
        let mut paths = Vec::new();
        for place in &self.places {
            if place.is_dir() {
                paths.extend(files(place)?);
            } else if place.exists() {
                paths.push(place.clone());
            }
        }
        paths.sort();
        paths.dedup();
        Ok(paths)
    }
}

impl Followed {
    /// Whether the end was reached.
    fn read_on(&mut self, path: &Path, lines: &mut Vec<LogLine>) -> bool {
        let Ok(mut chunk) = read_forward(&self.file, &instance_of(path), self.offset) else {
            return true;
        };
        lines.append(&mut chunk.lines);
        self.offset = chunk.next_offset;
        chunk.is_end
    }
}

/// When a log was set aside twice between two calls, the file in the middle was never seen.
fn read_missed(path: &Path, old: (u64, u64), lines: &mut Vec<LogLine>) {
    let Ok(Some(file)) = open(&set_aside(path)) else { return };
    let Ok(inode) = inode(&file) else { return };
    if inode != old {
        let mut missed = Followed { file, inode, offset: 0 };
        while !missed.read_on(path, lines) {}
    }
}
