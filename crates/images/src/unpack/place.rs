//! Makes entries of a layer. A second entry of one name replaces the first.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags,
    chownat, fchmod, fchown, fsetxattr, futimens, linkat, mkdirat, mknodat, openat2, statat,
    symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::Trouble;
use super::walk::{self, STRICT, is_whiteout, open_dir};
use crate::archive::{Archive, Entry};

const COPY_BYTES: usize = 128 * 1024;
/// Paths of directories whose times are remembered; the times of more are not worth the memory.
const TIMES_LIMIT_BYTES: usize = 64 << 20;
const XATTRS_MAX: usize = 64;
pub(crate) const OPAQUE_XATTR: &str = "trusted.overlay.opaque";

/// The root of a layer under construction.
pub(super) struct Place {
    root: OwnedFd,
    /// The directory of the last entry: most entries have the same as the one before.
    last: Option<(Vec<u8>, OwnedFd)>,
    /// Times of directories, set at the end: making something in a directory changes its time.
    times: Vec<(Vec<u8>, Timestamps)>,
    times_bytes: usize,
    buffer: Vec<u8>,
}

impl Place {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self { root, last: None, times: Vec::new(), times_bytes: 0, buffer: vec![0; COPY_BYTES] }
    }

    pub(super) fn root(&mut self, entry: &Entry) -> Result<(), Trouble> {
        dress(self.root.as_fd(), entry)?;
        self.times.push((Vec::new(), times(entry)));
        Ok(())
    }

    pub(super) fn directory(
        &mut self,
        parent: &[&[u8]],
        name: &[u8],
        entry: &Entry,
    ) -> Result<(), Trouble> {
        let dir = self.parent(parent)?;
        let mut was_deleted = false;
        match statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
            Ok(stat) => {
                was_deleted = is_whiteout(&stat);
                unlinkat(&dir, name, AtFlags::empty())?;
                mkdirat(&dir, name, Mode::RWXU)?;
            }
            Err(Errno::NOENT) => mkdirat(&dir, name, Mode::RWXU)?,
            Err(error) => return Err(error.into()),
        }
        let made = open_dir(dir.as_fd(), name)?;
        if was_deleted {
            // Deleted and made again: nothing of the lower one shows.
            set_opaque(made.as_fd())?;
        }
        dress(made.as_fd(), entry)?;
        let mut path = parent.join(&b'/');
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        self.times_bytes += path.len();
        if self.times_bytes <= TIMES_LIMIT_BYTES {
            self.times.push((path, times(entry)));
        }
        Ok(())
    }

    pub(super) fn file<R: Read>(
        &mut self,
        parent: &[&[u8]],
        name: &[u8],
        entry: &Entry,
        data: &mut Archive<R>,
    ) -> Result<(), Trouble> {
        let dir = self.cleared(parent, name)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(openat2(&dir, name, flags, Mode::RUSR | Mode::WUSR, STRICT)?);
        loop {
            let count = match data.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            (&file).write_all(&self.buffer[..count])?;
        }
        dress(file.as_fd(), entry)?;
        futimens(&file, &times(entry))?;
        Ok(())
    }

    pub(super) fn symlink(
        &mut self,
        parent: &[&[u8]],
        name: &[u8],
        entry: &Entry,
    ) -> Result<(), Trouble> {
        let dir = self.cleared(parent, name)?;
        let (uid, gid) = owner(entry)?;
        match symlinkat(entry.link.as_slice(), &dir, name) {
            Err(Errno::NAMETOOLONG | Errno::INVAL) => {
                return Err(Trouble::Refused("it is a link that no file system holds"));
            }
            result => result?,
        }
        chownat(&dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        utimensat(&dir, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    pub(super) fn hard_link(
        &mut self,
        parent: &[&[u8]],
        name: &[u8],
        target: &[&[u8]],
    ) -> Result<(), Trouble> {
        let Some((target_name, target_parent)) = target.split_last() else {
            return Err(Trouble::Refused("it is a hard link to the root of the layer"));
        };
        let target_dir = walk::open(self.root.as_fd(), target_parent, false)?;
        let stat = match statat(&target_dir, *target_name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {
                return Err(Trouble::Refused("it is a hard link to a file that the layer lacks"));
            }
            result => result?,
        };
        if !matches!(
            FileType::from_raw_mode(stat.st_mode),
            FileType::RegularFile | FileType::Symlink
        ) {
            return Err(Trouble::Refused("it is a hard link to something that is no file"));
        }
        let dir = self.parent(parent)?;
        let same = statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|other| (other.st_ino, other.st_dev) == (stat.st_ino, stat.st_dev));
        if same {
            return Ok(());
        }
        let dir = self.cleared(parent, name)?;
        match linkat(&target_dir, *target_name, &dir, name, AtFlags::empty()) {
            Err(Errno::MLINK) => Err(Trouble::Refused("its file has too many names")),
            // Clearing the name may have removed the directory that the target was in.
            Err(Errno::NOENT) => Err(Trouble::Refused("it replaces what it is a hard link to")),
            result => Ok(result?),
        }
    }

    /// Says that `name` of lower layers is deleted.
    pub(super) fn whiteout(&mut self, parent: &[&[u8]], name: &[u8]) -> Result<(), Trouble> {
        let dir = self.parent(parent)?;
        match statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            // The layer brings a new one: only what lies below it is meant.
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                Ok(set_opaque(open_dir(dir.as_fd(), name)?.as_fd())?)
            }
            Ok(_) => Ok(()),
            Err(Errno::NOENT) => {
                Ok(mknodat(&dir, name, FileType::CharacterDevice, Mode::empty(), 0)?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Says that nothing of lower layers shows in this directory.
    pub(super) fn opaque(&mut self, dir: &[&[u8]]) -> Result<(), Trouble> {
        Ok(set_opaque(self.parent(dir)?.as_fd())?)
    }

    /// Sets the times of directories.
    pub(super) fn finish(self) -> io::Result<()> {
        for (path, times) in self.times.iter().rev() {
            match open_dir(self.root.as_fd(), path) {
                Ok(dir) => futimens(&dir, times)?,
                // Replaced by a later entry, or reached through a link.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The directory that an entry lies in, with those above it.
    fn parent(&mut self, parts: &[&[u8]]) -> Result<OwnedFd, Trouble> {
        let path = parts.join(&b'/');
        if let Some((last, dir)) = &self.last
            && *last == path
        {
            return Ok(dir.try_clone()?);
        }
        let dir = walk::open(self.root.as_fd(), parts, true)?;
        self.last = Some((path, dir.try_clone()?));
        Ok(dir)
    }

    /// The directory that an entry lies in, where nothing has its name any more.
    fn cleared(&mut self, parent: &[&[u8]], name: &[u8]) -> Result<OwnedFd, Trouble> {
        let dir = self.parent(parent)?;
        match unlinkat(&dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR | Errno::PERM) => {
                // The remembered directory may be below it.
                self.last = None;
                // Through the descriptor, so that no link on the way can matter.
                let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
                path.extend_from_slice(name);
                let path: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(&path);
                std::fs::remove_dir_all(path)?;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(dir)
    }
}

/// Owner, mode and extended attributes, in the order in which none takes another away again.
fn dress(file: BorrowedFd<'_>, entry: &Entry) -> Result<(), Trouble> {
    let (uid, gid) = owner(entry)?;
    fchown(file, Some(uid), Some(gid))?;
    fchmod(file, Mode::from_raw_mode(entry.mode & 0o7777))?;
    if entry.xattrs.len() > XATTRS_MAX {
        return Err(Trouble::Refused("it has too many extended attributes"));
    }
    for (name, value) in &entry.xattrs {
        let is_of_overlay = name.starts_with(b"user.overlay.");
        if name != b"security.capability" && (!name.starts_with(b"user.") || is_of_overlay) {
            continue;
        }
        match fsetxattr(file, name.as_slice(), value, XattrFlags::empty()) {
            // Not every file system has attributes of users; programs live without them.
            Err(Errno::OPNOTSUPP | Errno::PERM) if name.starts_with(b"user.") => {}
            Err(Errno::INVAL | Errno::RANGE | Errno::TOOBIG | Errno::NOSPC) => {
                return Err(Trouble::Refused("one of its extended attributes is not valid"));
            }
            result => result?,
        }
    }
    Ok(())
}

pub(super) fn set_opaque(dir: BorrowedFd<'_>) -> Result<(), Errno> {
    fsetxattr(dir, OPAQUE_XATTR, b"y", XattrFlags::empty())
}

fn owner(entry: &Entry) -> Result<(Uid, Gid), Trouble> {
    let checked = |id: u64| match u32::try_from(id) {
        Ok(id) if id != u32::MAX => Ok(id),
        _ => Err(Trouble::Refused("its owner is not a number that a system has")),
    };
    Ok((Uid::from_raw(checked(entry.uid)?), Gid::from_raw(checked(entry.gid)?)))
}

fn times(entry: &Entry) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT as _ },
        last_modification: Timespec { tv_sec: entry.seconds, tv_nsec: entry.nanoseconds.into() },
    }
}
