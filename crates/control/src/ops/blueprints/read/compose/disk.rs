//! What git does not know, in the working tree. Nothing that a link leads to outside of it is read.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use crate::init_files::Raw;

/// Largest file that is read: `.env` files, configurations, secrets.
const FILE_LIMIT_BYTES: u64 = 1 << 20;
/// Largest file that fills a database, and most of them in one directory.
const INIT_LIMIT_BYTES: u64 = 64 << 20;
const INIT_FILES_MAX: usize = 1000;
/// What a volume begins with at most: more is brought by hand.
pub(super) const SEED_BYTES_MAX: u64 = 4 << 30;
pub(super) const SEED_ENTRIES_MAX: usize = 200_000;

/// A small regular file.
pub(super) fn file(tree: &Path, name: &str) -> Option<Vec<u8>> {
    let path = inside(tree, name)?;
    bytes(&path, FILE_LIMIT_BYTES)
}

/// A directory.
pub(super) fn directory(tree: &Path, name: &str) -> Option<PathBuf> {
    inside(tree, name).filter(|path| path.is_dir())
}

/// Whether a directory can be copied: neither too much nor too many.
pub(super) fn is_small(directory: &Path) -> bool {
    let (mut entries, mut bytes) = (0, 0);
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        let Ok(listed) = std::fs::read_dir(directory) else { return false };
        for entry in listed.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            entries += 1;
            bytes += metadata.len();
            if entries > SEED_ENTRIES_MAX || bytes > SEED_BYTES_MAX {
                return false;
            }
            if metadata.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    true
}

/// A file that fills a database, or those of a directory and below it, by name.
pub(super) fn init_files(tree: &Path, name: &str) -> Vec<Raw> {
    let Some(path) = inside(tree, name) else { return Vec::new() };
    let mut files = Vec::new();
    let mut waiting = vec![path.clone()];
    while let Some(next) = waiting.pop() {
        let Ok(metadata) = next.symlink_metadata() else { continue };
        if metadata.is_dir() {
            let listed = std::fs::read_dir(&next).into_iter().flatten().flatten();
            waiting.extend(listed.map(|entry| entry.path()));
        } else if let Some(bytes) = bytes(&next, INIT_LIMIT_BYTES).filter(|_| metadata.is_file()) {
            let below = next.strip_prefix(&path).ok().filter(|below| below.parent().is_some());
            let name = below.map_or(next.file_name().map(Path::new), Some);
            let Some(name) = name.and_then(Path::to_str) else { continue };
            let is_executable = metadata.permissions().mode() & 0o100 != 0;
            files.push(Raw { name: name.to_owned(), bytes, is_executable });
        }
        if files.len() + waiting.len() > INIT_FILES_MAX {
            break;
        }
    }
    files.sort_by(|one, two| one.name.cmp(&two.name));
    files
}

fn inside(tree: &Path, name: &str) -> Option<PathBuf> {
    let is_plain = Path::new(name)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let path = tree.join(name).canonicalize().ok().filter(|_| is_plain)?;
    path.starts_with(tree.canonicalize().ok()?).then_some(path)
}

fn bytes(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let metadata = path.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > limit {
        return None;
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
