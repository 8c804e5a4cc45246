//! Volumes that begin with what the image has.
//!
//! An empty volume is filled in steps that can be repeated, because the shim may be killed at any
//! of them: everything is copied beside the volume and synced, the copy gets its final name, and
//! then its entries are moved one by one into the volume. A volume whose copy has its final name is
//! finished by whoever starts next. The directory of the volume itself stays the same one: other
//! instances may have it mounted.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::{Mode, SFlag, mknod};

use crate::files;
use crate::shim::inside::{Inside, path_of};
use crate::sys;

/// Fills the volume at `volume` with what the root has at `target`, if it is empty.
pub(super) fn fill(root: &Path, target: &Path, volume: &Path) -> io::Result<()> {
    let parent = volume.parent().ok_or(io::ErrorKind::InvalidInput)?;
    // Instances that start at the same moment wait for each other.
    let _lock = Flock::lock(File::open(parent)?, FlockArg::LockExclusive)
        .map_err(|(_, error)| io::Error::from(error))?;
    let copied = beside(volume, "copied");
    if copied.exists() {
        return move_in(&copied, volume);
    }
    if fs::read_dir(volume)?.next().is_some() {
        return Ok(());
    }
    let Some(image) = Inside::of(root)?.directory(target)? else { return Ok(()) };
    let copying = beside(volume, "copying");
    files::remove_tree(&copying)?;
    Copy::default().directory(&path_of(&image), &copying)?;
    sys::sync_file_system(File::open(&copying)?)?;
    fs::rename(&copying, &copied)?;
    File::open(parent)?.sync_all()?;
    move_in(&copied, volume)
}

/// Makes a volume at `volume` that begins with a copy of the directory `from`, unless there is one. It
/// gets its name when all of it is on disk.
///
/// # Errors
/// When the disk refuses.
pub fn begin_volume(from: &Path, volume: &Path) -> io::Result<()> {
    let parent = volume.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let _lock = Flock::lock(File::open(parent)?, FlockArg::LockExclusive)
        .map_err(|(_, error)| io::Error::from(error))?;
    if volume.exists() {
        return Ok(());
    }
    let copying = beside(volume, "begins");
    files::remove_tree(&copying)?;
    Copy::default().directory(from, &copying)?;
    sys::sync_file_system(File::open(&copying)?)?;
    fs::rename(&copying, volume)?;
    File::open(parent)?.sync_all()
}

fn beside(volume: &Path, word: &str) -> PathBuf {
    let name = volume.file_name().unwrap_or_default().to_string_lossy();
    volume.with_file_name(format!(".{name}.{word}"))
}

fn move_in(copied: &Path, volume: &Path) -> io::Result<()> {
    for entry in fs::read_dir(copied)? {
        let entry = entry?;
        let target = volume.join(entry.file_name());
        if fs::symlink_metadata(&target).is_ok() {
            // Written meanwhile by one that had it mounted before: theirs is newer.
            if entry.file_type()?.is_dir() {
                files::remove_tree(&entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        } else {
            fs::rename(entry.path(), target)?;
        }
    }
    take_over(&fs::metadata(copied)?, volume)?;
    sys::sync_file_system(File::open(volume)?)?;
    fs::remove_dir(copied)
}

/// Owner and mode of the one for the other.
fn take_over(from: &fs::Metadata, to: &Path) -> io::Result<()> {
    chown(to, Some(from.uid()), Some(from.gid()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(from.mode() & 0o7777))
}

/// A copy that keeps owners, modes, times of files, and hard links among its own.
#[derive(Default)]
struct Copy {
    /// Where files with several names were copied to.
    linked: HashMap<u64, PathBuf>,
}

impl Copy {
    fn directory(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        fs::create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            self.entry(&entry.path(), &to.join(entry.file_name()))?;
        }
        // Last: it may be that nobody may write there.
        take_over(&fs::metadata(from)?, to)
    }

    fn entry(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let metadata = fs::symlink_metadata(from)?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            return self.directory(from, to);
        }
        if kind.is_symlink() {
            symlink(fs::read_link(from)?, to)?;
            return lchown(to, Some(metadata.uid()), Some(metadata.gid()));
        }
        if metadata.nlink() > 1
            && let Some(first) = self.linked.get(&metadata.ino())
        {
            return fs::hard_link(first, to);
        }
        if kind.is_file() {
            fs::copy(from, to)?;
            File::open(to)?.set_modified(metadata.modified()?)?;
        } else {
            use std::os::unix::fs::FileTypeExt;
            // Sockets are remade by whoever listens on them; devices are not for instances.
            if !kind.is_fifo() {
                return Ok(());
            }
            mknod(to, SFlag::S_IFIFO, Mode::from_bits_truncate(0o600), 0)?;
        }
        self.linked.insert(metadata.ino(), to.to_owned());
        take_over(&metadata, to)
    }
}
