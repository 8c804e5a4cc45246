//! Walks over directories that a build wrote: nothing in them is trusted, no link is followed.

use std::collections::VecDeque;
use std::fs::{self, DirEntry, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::Error;

/// What a walk has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

pub(crate) const REMOVED_SUFFIX: &str = ".removed";
/// The walk is bound by the kernel's directory locks, not by processors.
const WALKERS: usize = 4;
/// So many files are removed at a time: removing waits for the disk's journal.
const REMOVERS: usize = 8;
/// A tree is removed in at least so many parts, if it has them within [`PART_DEPTH`].
const ENOUGH_PARTS: usize = 64;
/// `tree/apps/web/node_modules/.pnpm/*`.
const PART_DEPTH: usize = 6;
const SPECIAL_BITS: u32 = 0o7000;
const STICKY: u32 = 0o1000;

/// Gives everything below `root` to `uid` (and the group of the same number), takes away setuid
/// and setgid bits and whatever is neither file, directory nor link, and counts the rest.
///
/// Regular files below a `.git/objects` that belong to the server stay the server's: they are
/// hard links into Gable's own store, which a build must never be able to change.
pub(crate) fn hand_over(root: &Path, uid: u32) -> Result<Totals, Error> {
    let own_uid = nix::unistd::geteuid().as_raw();
    let walk = Walk { uid, own_uid };
    walk.directory(root).map_err(Error::at("hand over", root))?;
    let queue = Queue::new(root.to_owned());
    let (mut totals, mut failure) = (Totals::default(), None);
    std::thread::scope(|scope| {
        let walkers: Vec<_> = (0..WALKERS).map(|_| scope.spawn(|| queue.work(&walk))).collect();
        for walker in walkers {
            match walker.join() {
                Ok(Ok(seen)) => {
                    totals.files += seen.files;
                    totals.bytes += seen.bytes;
                }
                Ok(Err(error)) => failure = Some(error),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    match failure {
        Some(error) => Err(Error::at("hand over", root)(error)),
        None => Ok(totals),
    }
}

/// Removes a directory and all below it, if it is there. It loses its name first, so that nobody
/// ever meets a half of it.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match doom(path)? {
        Some(doomed) => remove_all(&doomed),
        None => Ok(()),
    }
}

/// Takes a directory its name, if it is there, and returns what it is called now. Whatever is
/// found under such a name may be removed at any time.
pub(crate) fn doom(path: &Path) -> Result<Option<PathBuf>, Error> {
    if path.to_string_lossy().ends_with(REMOVED_SUFFIX) {
        return Ok(path.exists().then(|| path.to_owned()));
    }
    let mut doomed = path.as_os_str().to_owned();
    doomed.push(REMOVED_SUFFIX);
    let doomed = PathBuf::from(doomed);
    if !path.exists() {
        // An earlier removal may have been cut short.
        return Ok(doomed.exists().then_some(doomed));
    }
    remove_all(&doomed)?;
    match fs::rename(path, &doomed) {
        Ok(()) => Ok(Some(doomed)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::at("remove", path)(error)),
    }
}

/// Removes what was doomed.
pub(crate) fn remove_all(path: &Path) -> Result<(), Error> {
    loop {
        match empty(path).and_then(|()| fs::remove_dir_all(path)) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !path.exists() {
                    return Ok(());
                }
                // Somebody else removes it too.
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                // Without root, a directory that its build made unwritable.
                open_up(path).map_err(Error::at("remove", path))?;
                return fs::remove_dir_all(path).map_err(Error::at("remove", path));
            }
            Err(error) => return Err(Error::at("remove", path)(error)),
        }
    }
}

/// Removes most of what is below a directory, several parts at a time: each removal of a file
/// waits for the disk, and a tree of packages has tens of thousands.
fn empty(root: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(root)?.is_dir() {
        return Ok(());
    }
    let parts = parts(root)?;
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let removers: Vec<_> = (0..REMOVERS.min(parts.len()))
            .map(|_| {
                scope.spawn(|| {
                    while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
                        fs::remove_dir_all(part)?;
                    }
                    Ok::<(), io::Error>(())
                })
            })
            .collect();
        removers.into_iter().try_for_each(|remover| match remover.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// Directories of one depth below `root`, of the first depth that has enough of them.
fn parts(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut parts = vec![root.to_owned()];
    for _ in 0..PART_DEPTH {
        let mut deeper = Vec::new();
        for part in &parts {
            for entry in fs::read_dir(part)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    deeper.push(entry.path());
                }
            }
        }
        parts = deeper;
        if parts.len() >= ENOUGH_PARTS {
            break;
        }
    }
    Ok(parts)
}

fn open_up(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

/// How much lies below.
pub(crate) fn totals(root: &Path) -> Result<Totals, Error> {
    fn add(path: &Path, totals: &mut Totals) -> io::Result<()> {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                add(&entry.path(), totals)?;
            } else {
                totals.files += 1;
                totals.bytes += entry.metadata()?.len();
            }
        }
        Ok(())
    }
    let mut totals = Totals { files: 0, bytes: 0 };
    add(root, &mut totals).map_err(Error::at("measure", root))?;
    Ok(totals)
}

/// Gives one directory, and nothing below it, to `uid`.
pub(crate) fn give(path: &Path, uid: u32) -> Result<(), Error> {
    let walk = Walk { uid, own_uid: nix::unistd::geteuid().as_raw() };
    walk.directory(path).map_err(Error::at("hand over", path))
}

/// Copies what `to` does not have yet: files, directories and links; special files are left out.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    copy_all(from, to).map_err(Error::at("copy to", to))
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_all(&entry.path(), &target)?;
        } else if target.symlink_metadata().is_ok() {
            continue;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Lets everybody read what lies below, and look into its directories.
pub(crate) fn make_readable(path: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_symlink() {
        return Ok(());
    }
    let bits = if metadata.is_dir() || metadata.mode() & 0o100 != 0 { 0o555 } else { 0o444 };
    let mode = metadata.mode() & 0o7777;
    if mode & bits != bits {
        fs::set_permissions(path, Permissions::from_mode(mode | bits))?;
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            make_readable(&entry?.path())?;
        }
    }
    Ok(())
}

struct Walk {
    uid: u32,
    own_uid: u32,
}

impl Walk {
    fn entry(&self, entry: &DirEntry, totals: &mut Totals) -> io::Result<Option<PathBuf>> {
        let path = entry.path();
        let metadata = entry.metadata()?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            self.directory(&path)?;
            return Ok(Some(path));
        }
        if !kind.is_file() && !kind.is_symlink() {
            fs::remove_file(&path)?;
            return Ok(None);
        }
        totals.files += 1;
        totals.bytes += metadata.len();
        if kind.is_file() && self.is_shared_object(&path, &metadata) {
            return Ok(None);
        }
        self.take(&path, &metadata)?;
        if kind.is_file() && metadata.mode() & SPECIAL_BITS != 0 {
            fs::set_permissions(&path, Permissions::from_mode(metadata.mode() & 0o777))?;
        }
        Ok(None)
    }

    fn directory(&self, path: &Path) -> io::Result<()> {
        let metadata = fs::symlink_metadata(path)?;
        self.take(path, &metadata)?;
        let mode = metadata.mode() & 0o7777;
        // Its owner must always be able to look into it and to clean it up.
        let wanted = (mode & (0o777 | STICKY)) | 0o700;
        if wanted != mode {
            fs::set_permissions(path, Permissions::from_mode(wanted))?;
        }
        Ok(())
    }

    fn take(&self, path: &Path, metadata: &Metadata) -> io::Result<()> {
        if metadata.uid() == self.uid && metadata.gid() == self.uid {
            return Ok(());
        }
        if self.own_uid != 0 {
            // Without root everything is the server's own, and stays so.
            return Ok(());
        }
        lchown(path, Some(self.uid), Some(self.uid))
    }

    fn is_shared_object(&self, path: &Path, metadata: &Metadata) -> bool {
        self.own_uid == 0
            && metadata.uid() == 0
            && metadata.nlink() > 1
            && path.to_string_lossy().contains("/.git/objects/")
    }
}

/// Directories that are still to be read, and how many walkers may yet find more.
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    waiting: VecDeque<PathBuf>,
    busy: usize,
    failed: bool,
}

impl Queue {
    fn new(first: PathBuf) -> Self {
        let waiting = VecDeque::from([first]);
        let state = State { waiting, busy: 0, failed: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, walk: &Walk) -> io::Result<Totals> {
        let mut totals = Totals::default();
        while let Some(directory) = self.next() {
            let found = read(&directory, walk, &mut totals);
            let mut state = self.lock();
            state.busy -= 1;
            match found {
                Ok(found) => state.waiting.extend(found),
                Err(error) => {
                    state.failed = true;
                    self.changed.notify_all();
                    return Err(error);
                }
            }
            self.changed.notify_all();
        }
        Ok(totals)
    }

    fn next(&self) -> Option<PathBuf> {
        let mut state = self.lock();
        loop {
            if state.failed {
                return None;
            }
            if let Some(directory) = state.waiting.pop_front() {
                state.busy += 1;
                return Some(directory);
            }
            if state.busy == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn read(directory: &Path, walk: &Walk, totals: &mut Totals) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        found.extend(walk.entry(&entry?, totals)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_counted_and_not_followed() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "12345").unwrap();
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("a")).unwrap();
        fs::write(root.path().join("a/file"), "123").unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("a/link")).unwrap();
        let before = fs::metadata(outside.path().join("secret")).unwrap();
        let totals = hand_over(root.path(), 900_123).unwrap();
        assert_eq!(totals.files, 2);
        let after = fs::metadata(outside.path().join("secret")).unwrap();
        assert_eq!((before.uid(), before.ctime_nsec()), (after.uid(), after.ctime_nsec()));
        if nix::unistd::geteuid().is_root() {
            assert_eq!(fs::metadata(root.path().join("a/file")).unwrap().uid(), 900_123);
        }
    }

    #[test]
    fn setuid_bits_and_sockets_do_not_survive() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("tool");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o6755)).unwrap();
        let socket = root.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        hand_over(root.path(), nix::unistd::geteuid().as_raw()).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o755);
        assert!(!socket.exists());
    }

    #[test]
    fn a_wide_tree_is_removed_without_what_its_links_lead_to() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("kept"), "").unwrap();
        let root = tempfile::tempdir().unwrap();
        let doomed = root.path().join("doomed");
        for number in 0..2 * ENOUGH_PARTS {
            let package = doomed.join(format!("tree/node_modules/{number}"));
            fs::create_dir_all(package.join("lib")).unwrap();
            fs::write(package.join("lib/index.js"), "").unwrap();
            std::os::unix::fs::symlink(outside.path(), package.join("link")).unwrap();
        }
        assert_eq!(parts(&doomed).unwrap().len(), 2 * ENOUGH_PARTS);
        let nameless = doom(&doomed).unwrap().unwrap();
        assert!(!doomed.exists() && nameless.exists());
        remove_all(&nameless).unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        assert!(outside.path().join("kept").exists());
        assert_eq!(doom(&doomed).unwrap(), None);
    }

    #[test]
    fn a_removed_directory_is_gone_with_everything_in_it() {
        let root = tempfile::tempdir().unwrap();
        let doomed = root.path().join("doomed");
        fs::create_dir_all(doomed.join("deep/er")).unwrap();
        fs::set_permissions(doomed.join("deep"), Permissions::from_mode(0o500)).unwrap();
        remove(&doomed).unwrap();
        remove(&doomed).unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
