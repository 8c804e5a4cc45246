//! How much of the host's disk an instance takes, and when that is too much.
//!
//! The kernel limits memory and processes of an instance, but not what it writes to `/tmp`, to its
//! home or over its image: for that a file system would have to keep project quotas, which is said
//! when it is made, or every instance would need a file system of its own. So it is measured, as
//! Kubernetes does, and an instance that is over its limit is ended.
//!
//! Measuring is walking, and nobody walks without a cause: what an instance has written since the
//! last time cannot be more than what has become used on the whole file system, which is one question
//! to the kernel. A walk is done in small steps between which the shim does its other work.

use std::collections::HashSet;
use std::fs::{self, ReadDir};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::Exit;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::sys::statvfs::statvfs;

/// Between two questions to the kernel: the shortest, when little room is left, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// What no disk writes in a second: it says how soon what is left could be gone.
const BYTES_PER_SECOND: u64 = 4 << 30;
/// A walk takes at most this part of the time: its own time, so many times, passes before the next.
const WALK_REST: u32 = 20;
/// Without a cause it is walked so often: others may have freed what this one took.
const WALK_ANYWAY: Duration = Duration::from_secs(120);
/// Entries in one step of a walk.
const STEP: usize = 1000;
/// Deeper directories cannot be measured, because paths end there.
const DEPTH_MAX: usize = 128;
/// What every file takes, however small: its inode is not free either.
const FILE_BYTES_MIN: u64 = 4096;
/// What an instance may still write when the disk has no more than its reserve.
const MODEST_BYTES: u64 = 256 << 20;

/// Watches one instance.
pub(super) struct DiskWatch {
    scratch: PathBuf,
    limit: u64,
    reserve: u64,
    /// When it is looked again.
    pub(super) look_at: Instant,
    /// What the last walk found. Nothing is there at first.
    used: u64,
    /// What everybody on the disk has written since that walk began, at least.
    grown: u64,
    /// What was free when it was last looked: bytes, and files that may be made.
    free: Option<u64>,
    free_files: u64,
    /// What was used when the disk last had more than its reserve.
    in_plenty: u64,
    walk: Option<Walk>,
    /// No walk before the one, and one without a cause at the other.
    rest_until: Instant,
    walk_anyway_at: Instant,
}

impl DiskWatch {
    /// A watch over what is below `scratch`. `reserve` is what has to stay free for others.
    pub(super) fn new(scratch: &Path, limit: u64, reserve: u64) -> Self {
        let now = Instant::now();
        Self {
            scratch: scratch.to_owned(),
            limit,
            reserve,
            look_at: now,
            used: 0,
            grown: 0,
            free: None,
            free_files: 0,
            in_plenty: 0,
            walk: None,
            rest_until: now,
            walk_anyway_at: now + WALK_ANYWAY,
        }
    }

    /// Looks, if it is time, and says why the instance has to end, if it has.
    pub(super) fn look(&mut self, now: Instant) -> Option<String> {
        if now < self.look_at {
            return None;
        }
        // On with a walk at once, after whatever else there is to do.
        self.look_at = now;
        if let Some(walk) = &mut self.walk {
            self.used = walk.step()?;
            let time = walk.begun.elapsed();
            self.rest_until = now + time * WALK_REST;
            self.walk_anyway_at = now + WALK_ANYWAY.max(time * WALK_REST * 10);
            self.walk = None;
            if let Some(why) = self.judge() {
                return Some(why);
            }
        }
        let Some((free, free_files)) = free_room(&self.scratch) else {
            self.look_at = now + PAUSE_MAX;
            return None;
        };
        if let Some(before) = self.free {
            // Empty files fill a disk too: its room for files.
            let files = self.free_files.saturating_sub(free_files);
            self.grown += before.saturating_sub(free) + files.saturating_mul(FILE_BYTES_MIN);
        }
        (self.free, self.free_files) = (Some(free), free_files);
        let most = self.used.saturating_add(self.grown);
        let is_greedy = most.saturating_sub(self.in_plenty) > MODEST_BYTES;
        let has_cause =
            most > self.limit || (free < self.reserve && is_greedy) || now >= self.walk_anyway_at;
        if has_cause && now >= self.rest_until {
            self.walk = Some(Walk::begin(&self.scratch));
            self.grown = 0;
            return None;
        }
        let room = self.limit.saturating_sub(most).min(free.saturating_sub(self.reserve));
        let pause = Duration::from_millis(room.saturating_mul(1000) / BYTES_PER_SECOND);
        self.look_at = now + pause.clamp(PAUSE_MIN, PAUSE_MAX);
        None
    }

    /// What follows from what was measured.
    fn judge(&mut self) -> Option<String> {
        if self.used > self.limit {
            return Some(format!(
                "it wrote more than {} {} (/tmp, its home, over its image)",
                size(self.limit),
                Exit::DISK
            ));
        }
        if self.free.is_none_or(|free| free >= self.reserve) {
            self.in_plenty = self.used;
        } else if self.used.saturating_sub(self.in_plenty) > MODEST_BYTES {
            return Some(format!(
                "it wrote on {}, which had less than its reserve of {} left",
                Exit::DISK,
                size(self.reserve)
            ));
        }
        None
    }
}

/// Bytes that are free on the file system of `path`, and files that may still be made there. Some
/// file systems make room for files as they need it and say 0.
fn free_room(path: &Path) -> Option<(u64, u64)> {
    let found = statvfs(path).ok()?;
    // Without what only root may use: it is of no use to the databases.
    Some((found.blocks_available() * found.fragment_size(), found.files_available()))
}

/// A walk through everything below a directory.
struct Walk {
    /// The directories that are being read, outermost first.
    reading: Vec<ReadDir>,
    /// Files with several names that were counted.
    linked: HashSet<(u64, u64)>,
    used: u64,
    begun: Instant,
}

impl Walk {
    fn begin(directory: &Path) -> Self {
        Self {
            reading: fs::read_dir(directory).into_iter().collect(),
            linked: HashSet::new(),
            used: 0,
            begun: Instant::now(),
        }
    }

    /// Goes on for a while; what is used, when it is at the end.
    fn step(&mut self) -> Option<u64> {
        for _ in 0..STEP {
            let Some(reading) = self.reading.last_mut() else {
                return Some(self.used + self.nameless());
            };
            match reading.next() {
                None | Some(Err(_)) => {
                    self.reading.pop();
                }
                // What is gone by now takes nothing.
                Some(Ok(entry)) => {
                    let Ok(metadata) = entry.metadata() else { continue };
                    self.count(&metadata);
                    if metadata.is_dir() {
                        if self.reading.len() == DEPTH_MAX {
                            return Some(u64::MAX);
                        }
                        self.reading.extend(fs::read_dir(entry.path()));
                    }
                }
            }
        }
        None
    }

    fn count(&mut self, metadata: &fs::Metadata) {
        let is_first = metadata.nlink() < 2
            || metadata.is_dir()
            || self.linked.insert((metadata.dev(), metadata.ino()));
        if is_first {
            self.used += (metadata.blocks() * 512).max(FILE_BYTES_MIN);
        }
    }

    /// What open files take that have no name any more. The shim's `/proc` is of its instance.
    fn nameless(&self) -> u64 {
        let mut seen = HashSet::new();
        let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
        let of_processes = numbers
            .filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit))
            .filter(|entry| entry.file_name() != "1")
            .filter_map(|entry| fs::read_dir(entry.path().join("fd")).ok())
            .flat_map(Iterator::flatten);
        let mut used = 0;
        for descriptor in of_processes {
            let path = descriptor.path();
            let Ok(metadata) = fs::metadata(&path) else { continue };
            let is_nameless = metadata.is_file() && metadata.nlink() == 0;
            if is_nameless
                && seen.insert((metadata.dev(), metadata.ino()))
                // Memory is the business of the memory limit.
                && statfs(&path).is_ok_and(|found| found.filesystem_type() != TMPFS_MAGIC)
            {
                used += metadata.blocks() * 512;
            }
        }
        used
    }
}

/// `10 GB`, `512 MB`, as people say it.
fn size(bytes: u64) -> String {
    const MEGABYTE: u64 = 1 << 20;
    const GIGABYTE: u64 = 1 << 30;
    match bytes {
        bytes if bytes >= GIGABYTE && bytes.is_multiple_of(GIGABYTE) => {
            format!("{} GB", bytes / GIGABYTE)
        }
        bytes => format!("{} MB", bytes / MEGABYTE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(directory: &Path) -> u64 {
        let mut walk = Walk::begin(directory);
        loop {
            if let Some(used) = walk.step() {
                return used;
            }
        }
    }

    #[test]
    fn files_count_once_and_never_as_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        fs::create_dir(path.join("deep")).unwrap();
        fs::write(path.join("deep/large"), vec![1; 1 << 20]).unwrap();
        fs::hard_link(path.join("deep/large"), path.join("again")).unwrap();
        let before = walked(path);
        assert!((1 << 20..(1 << 20) + (64 << 10)).contains(&before), "{before}");
        for number in 0..3000 {
            fs::write(path.join(format!("empty-{number}")), "").unwrap();
        }
        let more = walked(path) - before;
        let least = 3000 * FILE_BYTES_MIN;
        assert!((least..least + (64 << 10)).contains(&more), "{more}");
    }

    #[test]
    fn what_is_too_deep_to_be_measured_is_too_much() {
        let directory = tempfile::tempdir().unwrap();
        let mut path = directory.path().to_owned();
        path.extend(std::iter::repeat_n("d", DEPTH_MAX + 1));
        fs::create_dir_all(path).unwrap();
        assert_eq!(walked(directory.path()), u64::MAX);
    }

    #[test]
    fn nothing_is_walked_while_the_disk_has_not_become_fuller() {
        let directory = tempfile::tempdir().unwrap();
        let mut watch = DiskWatch::new(directory.path(), u64::MAX / 2, 0);
        for _ in 0..20 {
            let now = watch.look_at;
            assert_eq!(watch.look(now), None);
            assert!(watch.walk.is_none() && watch.look_at >= now + PAUSE_MIN);
        }
    }

    #[test]
    fn the_reserve_ends_who_writes_on_and_nobody_else() {
        let directory = tempfile::tempdir().unwrap();
        let mut watch = DiskWatch::new(directory.path(), u64::MAX, 1000);
        let mut judge = |used, free| {
            (watch.used, watch.free) = (used, Some(free));
            watch.judge()
        };
        assert_eq!(judge(10 << 30, 2000), None);
        assert_eq!(judge((10 << 30) + MODEST_BYTES, 500), None, "others filled it");
        let why = judge((10 << 30) + MODEST_BYTES + 1, 500).unwrap();
        assert!(why.contains("reserve"), "{why}");
    }
}
