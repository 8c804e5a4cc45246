//! How much a build writes, and what has to stay free for everybody else.
//!
//! The kernel has no limit for a directory that every file system knows, so what lies there is
//! counted. Counting reads every directory; it is done only when the file system has lost as many
//! free bytes as the build could have taken of them to come half of the way to its limit.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Problem;

use crate::error::Error;

/// How often the free bytes are looked at. At 2 GB a second, a build takes as much of the reserve
/// as that many seconds give it.
const PERIOD: Duration = Duration::from_millis(250);
/// Files that are removed elsewhere hide what a build writes: it is counted this often at least.
const COUNT_PERIODS: u32 = 120;
/// Less is not worth counting for.
const STEP_BYTES: u64 = 16 << 20;
/// One in so many of the file system's inodes is kept free.
const RESERVED_INODES_SHARE: u64 = 100;

/// How far a build may go on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskLimits {
    /// Bytes that it may add.
    pub written_bytes: u64,
    /// Bytes of the file system that stay free for databases and for Gable itself.
    pub reserve_bytes: u64,
}

/// Why a build is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overrun {
    /// It wrote more than this many bytes.
    Limit(u64),
    /// Fewer than this many bytes are free.
    Reserve(u64),
}

impl Overrun {
    /// What a person is told of the build of a service.
    pub(crate) fn problem(self, service: &str) -> Problem {
        let problem = Problem::new("build-disk-limit", format!("the build of {service} {self}"));
        match self {
            Self::Limit(_) => problem.hint(
                "let it write less, or give builds more with `gable server --build-disk`; caches \
                 and layers count as well",
            ),
            Self::Reserve(_) => problem.hint(
                "free some space: the rest of the disk is kept for databases; `gable doctor` shows \
                 what Gable itself uses",
            ),
        }
    }
}

impl std::fmt::Display for Overrun {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Limit(bytes) => {
                write!(formatter, "was ended: it wrote more than {}", in_words(*bytes))
            }
            Self::Reserve(bytes) => {
                write!(formatter, "was ended: the disk has less than {} free", in_words(*bytes))
            }
        }
    }
}

fn in_words(bytes: u64) -> String {
    match bytes >> 30 {
        0 => format!("{} MiB", bytes >> 20),
        gibibytes => format!("{gibibytes} GiB"),
    }
}

/// Watches what a build adds to some directories of one file system.
#[derive(Debug)]
pub(crate) struct Watch {
    places: Vec<PathBuf>,
    limits: DiskLimits,
    /// What lay there before.
    before: u64,
}

impl Watch {
    /// Begins: what lies in the places now does not count. The first of them is there.
    pub(crate) async fn begin(limits: DiskLimits, places: Vec<PathBuf>) -> Result<Self, Error> {
        let (counted, before) = crate::run::blocking(move || {
            let before = total(&places);
            Ok((places, before))
        })
        .await?;
        Ok(Self { places: counted, limits, before })
    }

    /// Returns when the build has to be ended, and never otherwise.
    pub(crate) async fn overrun(&self) -> Overrun {
        let mut at_count = free(&self.places[0]).unwrap_or(u64::MAX);
        let mut written = 0;
        let mut periods = 0;
        loop {
            tokio::time::sleep(PERIOD).await;
            // What cannot be read now can be a moment later.
            let Ok(free) = free(&self.places[0]) else { continue };
            if free < self.limits.reserve_bytes {
                return Overrun::Reserve(self.limits.reserve_bytes);
            }
            periods += 1;
            let left = self.limits.written_bytes.saturating_sub(written);
            let is_due = at_count.saturating_sub(free) >= (left / 2).max(STEP_BYTES);
            if !is_due && periods < COUNT_PERIODS {
                continue;
            }
            let places = self.places.clone();
            let counted = crate::run::blocking(move || Ok(total(&places))).await;
            written = counted.map_or(written, |total| total.saturating_sub(self.before));
            if written > self.limits.written_bytes {
                return Overrun::Limit(self.limits.written_bytes);
            }
            (at_count, periods) = (free, 0);
        }
    }
}

/// Free bytes of a file system; none when its inodes are about to end.
fn free(path: &Path) -> io::Result<u64> {
    let seen = rustix::fs::statvfs(path)?;
    let has_inodes = seen.f_files == 0 || seen.f_favail >= seen.f_files / RESERVED_INODES_SHARE;
    Ok(if has_inodes { seen.f_bavail * seen.f_frsize } else { 0 })
}

/// Bytes on the disk below some directories. What vanishes meanwhile counts nothing.
fn total(places: &[PathBuf]) -> u64 {
    let mut bytes = 0;
    let mut waiting = places.to_vec();
    while let Some(directory) = waiting.pop() {
        let Ok(entries) = fs::read_dir(directory) else { continue };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                waiting.push(entry.path());
                bytes += metadata.blocks() * 512;
            } else {
                // Names of one file share it, such as the history with Gable's own store.
                bytes += metadata.blocks() * 512 / metadata.nlink().max(1);
            }
        }
    }
    bytes
}

/// The limits that suit a machine: 20 GiB for one build, and a twentieth of the file system kept
/// free, at most 1 GiB.
pub(crate) fn suiting(path: &Path) -> DiskLimits {
    const WRITTEN_BYTES: u64 = 20 << 30;
    const RESERVE_BYTES_MAX: u64 = 1 << 30;
    let existing = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let size = rustix::fs::statvfs(existing).map_or(0, |seen| seen.f_blocks * seen.f_frsize);
    DiskLimits { written_bytes: WRITTEN_BYTES, reserve_bytes: (size / 20).min(RESERVE_BYTES_MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_build_that_writes_more_than_it_may_is_ended_and_one_that_did_before_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("work");
        fs::create_dir(&place).unwrap();
        fs::write(place.join("before"), vec![1; 40 << 20]).unwrap();
        let limits = DiskLimits { written_bytes: 32 << 20, reserve_bytes: 0 };
        let watch = Watch::begin(limits, vec![place.clone()]).await.unwrap();
        assert_eq!(total(std::slice::from_ref(&place)) - watch.before, 0);
        fs::write(place.join("sparse"), "").unwrap();
        fs::File::options()
            .write(true)
            .open(place.join("sparse"))
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
        assert!(total(std::slice::from_ref(&place)) - watch.before < 1 << 20);
        fs::write(place.join("after"), vec![1; 40 << 20]).unwrap();
        assert!(total(&[place]) - watch.before > 32 << 20);
    }

    #[tokio::test]
    async fn a_build_is_ended_before_it_takes_what_is_kept_for_databases() {
        let directory = tempfile::tempdir().unwrap();
        let limits = DiskLimits { written_bytes: u64::MAX, reserve_bytes: u64::MAX };
        let watch = Watch::begin(limits, vec![directory.path().to_owned()]).await.unwrap();
        assert_eq!(watch.overrun().await, Overrun::Reserve(u64::MAX));
        let problem = Overrun::Reserve(1 << 30).problem("web");
        assert_eq!(problem.code, "build-disk-limit");
        assert_eq!(
            problem.message,
            "the build of web was ended: the disk has less than 1 GiB free"
        );
    }
}
