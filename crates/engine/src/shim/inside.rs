//! Paths that mean something only inside a directory: links in it cannot lead out of it.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode, mkdirat};

/// A directory that is taken for `/`.
pub(super) struct Inside {
    root: File,
}

impl Inside {
    pub(super) fn of(root: &Path) -> std::io::Result<Self> {
        Ok(Self { root: File::open(root)? })
    }

    /// A directory inside; `None` if there is nothing of that name, or no directory.
    pub(super) fn directory(&self, path: &Path) -> nix::Result<Option<OwnedFd>> {
        self.open(path, OFlag::O_DIRECTORY)
    }

    /// A directory or file inside; `None` if there is nothing of that name.
    pub(super) fn entry(&self, path: &Path) -> nix::Result<Option<OwnedFd>> {
        self.open(path, OFlag::empty())
    }

    fn open(&self, path: &Path, flags: OFlag) -> nix::Result<Option<OwnedFd>> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC | flags)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        match openat2(&self.root, path, how) {
            Ok(directory) => Ok(Some(directory)),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a directory and its parents, as far as they are missing.
    pub(super) fn make_directories(&self, path: &Path) -> nix::Result<()> {
        let mut made = PathBuf::from("/");
        for component in path.components().filter(|part| matches!(part, Component::Normal(_))) {
            let parent = self.directory(&made)?.ok_or(Errno::ENOTDIR)?;
            made.push(component);
            if self.directory(&made)?.is_none() {
                mkdirat(&parent, component.as_os_str(), Mode::from_bits_truncate(0o755))?;
            }
        }
        Ok(())
    }
}

/// A path by which this process reaches an open directory, whatever its name.
pub(super) fn path_of(directory: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()))
}
