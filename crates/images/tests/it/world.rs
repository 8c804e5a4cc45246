//! Images in a directory of their own, and what can be seen of them.

use std::fs;
use std::path::{Path, PathBuf};

use images::{Config, Image, Images, Progress};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) images: Images,
}

impl World {
    /// `None` without root: nothing can be unpacked then.
    pub(crate) fn new() -> Option<Self> {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path().join("images"));
        change(&mut config);
        let images = Images::open(config).unwrap();
        Some(Self { dir, images })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("images")
    }

    /// What lies unfinished, unpacked and as blobs.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        counts(&self.path())
    }
}

pub(crate) fn counts(dir: &Path) -> (usize, usize, usize) {
    let count = |name: &str| fs::read_dir(dir.join(name)).unwrap().count();
    (count("tmp"), count("l"), count("blobs/sha256"))
}

pub(crate) fn silent(_: Progress) {}

/// An image as a process would see it: a real overlay.
pub(crate) struct Mounted {
    dir: TempDir,
}

impl Mounted {
    pub(crate) fn new(image: &Image) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["upper", "work", "root"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let layers: Vec<String> =
            image.layers.iter().rev().map(|layer| layer.display().to_string()).collect();
        let path = dir.path().display();
        let options =
            format!("lowerdir={},upperdir={path}/upper,workdir={path}/work", layers.join(":"));
        let options = std::ffi::CString::new(options).unwrap();
        let root = dir.path().join("root");
        mount("overlay", &root, "overlay", MountFlags::empty(), Some(options.as_c_str())).unwrap();
        Self { dir }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join("root").join(path)
    }

    pub(crate) fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(path)).ok()
    }

    /// Names in a directory, sorted.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(path)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = unmount(self.dir.path().join("root"), UnmountFlags::DETACH);
    }
}
