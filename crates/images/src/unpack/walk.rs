//! Finds directories of a layer, never outside of it.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, mkdirat, openat2, readlinkat, statat,
};
use rustix::io::Errno;

use super::{DEPTH_MAX, Trouble};

/// Symlinks on the way to one entry.
const LINKS_MAX: usize = 40;

/// Below the root, through nothing but directories.
pub(super) const STRICT: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// Opens a directory by the path that it really has.
pub(super) fn open_dir(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b".".as_slice() } else { path };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat2(root, path, flags, Mode::empty(), STRICT)
}

/// Opens a directory of the layer, following the layer's own symlinks as a process inside would,
/// as long as they stay inside; makes what is missing where `is_made` says so.
pub(super) fn open(
    root: BorrowedFd<'_>,
    parts: &[&[u8]],
    is_made: bool,
) -> Result<OwnedFd, Trouble> {
    match open_dir(root, &parts.join(&b'/')) {
        Ok(dir) => Ok(dir),
        // Not there, or a symlink or a file on the way: part by part.
        Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::XDEV) => walk(root, parts, is_made),
        Err(error) => Err(error.into()),
    }
}

fn walk(root: BorrowedFd<'_>, parts: &[&[u8]], is_made: bool) -> Result<OwnedFd, Trouble> {
    let mut ahead: VecDeque<Vec<u8>> = parts.iter().map(|part| part.to_vec()).collect();
    // The directories from the root to here, each with its descriptor.
    let mut behind: Vec<OwnedFd> = Vec::new();
    let mut links = 0;
    while let Some(part) = ahead.pop_front() {
        if part == b".." {
            if behind.pop().is_none() {
                return Err(Trouble::Refused("it lies below a link that leads out of the layer"));
            }
            continue;
        }
        let here = behind.last().map_or(root, AsFd::as_fd);
        match statat(here, part.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Trouble::Refused("it lies below links that lead in a circle"));
                }
                let target = readlinkat(here, part.as_slice(), Vec::new())?.into_bytes();
                // Absolute means the root of the image, which is the layer's.
                if target.starts_with(b"/") {
                    behind.clear();
                }
                let steps =
                    target.split(|byte| *byte == b'/').filter(|step| !matches!(*step, b"" | b"."));
                for step in steps.rev() {
                    ahead.push_front(step.to_vec());
                }
            }
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                behind.push(open_dir(here, &part)?);
            }
            Ok(stat) if is_whiteout(&stat) && is_made => {
                rustix::fs::unlinkat(here, part.as_slice(), AtFlags::empty())?;
                let made = make(here, &part)?;
                super::place::set_opaque(made.as_fd())?;
                behind.push(made);
            }
            Ok(_) => return Err(Trouble::Refused("it lies below something that is no directory")),
            Err(Errno::NOENT) if is_made => behind.push(make(here, &part)?),
            Err(Errno::NOENT) => {
                return Err(Trouble::Refused("it names something that is not there"));
            }
            Err(error) => return Err(error.into()),
        }
        if behind.len() > DEPTH_MAX {
            return Err(Trouble::Refused("it lies more than 256 directories deep"));
        }
    }
    match behind.pop() {
        Some(dir) => Ok(dir),
        None => Ok(open_dir(root, b"")?),
    }
}

fn make(here: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    mkdirat(here, name, Mode::from_raw_mode(0o755))?;
    let dir = open_dir(here, name)?;
    rustix::fs::fchmod(&dir, Mode::from_raw_mode(0o755))?;
    Ok(dir)
}

/// Whether this says that something of a lower layer is deleted.
pub(super) fn is_whiteout(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}
