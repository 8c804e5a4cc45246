//! Files and directories that are either whole or not there.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Error;

/// How often a directory that fills again while it is removed is removed anew, and after what time.
const REMOVE_ATTEMPTS: u32 = 100;
const REMOVE_INTERVAL: Duration = Duration::from_millis(20);

/// A lock of the host on a file, given back when it is dropped.
pub(crate) struct Lock(#[expect(dead_code, reason = "closing the file gives the lock back")] File);

/// Waits for the lock of this name in `directory`: two servers, or two tasks of one, never
/// download the same thing at once.
pub(crate) async fn lock(directory: &Path, name: &str) -> Result<Lock, Error> {
    let directory = directory.to_owned();
    let path = directory.join(format!(".{name}.lock"));
    blocking(move || {
        create_dir(&directory, 0o755)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::file("open", &path))?;
        file.lock().map_err(Error::file("lock", &path))?;
        Ok(Lock(file))
    })
    .await
}

/// Runs work that blocks where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(Error::Host {
            doing: "work with files".to_owned(),
            source: std::io::Error::other(error),
        })
    })
}

/// Makes a directory with its parents; the last one gets `mode`, whatever the umask.
pub(crate) fn create_dir(path: &Path, mode: u32) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(Error::file("create", path))?;
    let metadata = fs::metadata(path).map_err(Error::file("look at", path))?;
    if metadata.mode() & 0o7777 != mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .map_err(Error::file("set the mode of", path))?;
    }
    Ok(())
}

/// Replaces a file by write, fsync, rename, unless it already holds this.
pub(crate) fn replace(
    path: &Path,
    text: &(impl AsRef<[u8]> + ?Sized),
    mode: u32,
    uid: Option<u32>,
) -> Result<(), Error> {
    let text = text.as_ref();
    let same = fs::read(path).is_ok_and(|now| now == text);
    if same && uid.is_none_or(|uid| is_owned(path, uid)) {
        return Ok(());
    }
    let temporary = path.with_extension("new");
    remove_file(&temporary)?;
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(mode)
        .open(&temporary)
        .map_err(Error::file("create", &temporary))?;
    file.write_all(text).map_err(Error::file("write", &temporary))?;
    fs::set_permissions(&temporary, fs::Permissions::from_mode(mode))
        .map_err(Error::file("set the mode of", &temporary))?;
    if let Some(uid) = uid {
        own(&temporary, uid)?;
    }
    file.sync_all().map_err(Error::file("sync", &temporary))?;
    rename(&temporary, path)
}

/// Renames, and makes it last.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(Error::file("rename", from))?;
    if let Some(parent) = to.parent() {
        File::open(parent)
            .and_then(|directory| directory.sync_all())
            .map_err(Error::file("sync", parent))?;
    }
    Ok(())
}

/// Removes a file, if it is there.
pub(crate) fn remove_file(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Removes a directory with everything in it, if it is there. What a server that was killed has left
/// behind may write there for a moment: then it is removed again.
pub(crate) fn remove_dir(path: &Path) -> Result<(), Error> {
    let mut attempts = REMOVE_ATTEMPTS;
    loop {
        match fs::remove_dir_all(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty && attempts > 0 => {
                attempts -= 1;
                std::thread::sleep(REMOVE_INTERVAL);
            }
            Err(error) => return Err(Error::file("remove", path)(error)),
        }
    }
}

/// Gives one file or directory to a user. Without root only our own can be asked for, and then
/// there is nothing to do.
pub(crate) fn own(path: &Path, uid: u32) -> Result<(), Error> {
    if is_owned(path, uid) {
        return Ok(());
    }
    lchown(path, Some(uid), Some(uid)).map_err(Error::file("change the owner of", path))
}

/// Gives a whole tree to a user, unless its root is theirs already.
pub(crate) fn own_tree(path: &Path, uid: u32) -> Result<(), Error> {
    if is_owned(path, uid) {
        return Ok(());
    }
    walk(path, &mut |entry, _| own(entry, uid))?;
    own(path, uid)
}

fn is_owned(path: &Path, uid: u32) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.uid() == uid)
}

/// Lets every user read a tree, and run what its owner can run.
pub(crate) fn make_readable(path: &Path) -> Result<(), Error> {
    let open = |entry: &Path, metadata: &fs::Metadata| {
        if metadata.is_symlink() {
            return Ok(());
        }
        let runnable = metadata.is_dir() || metadata.mode() & 0o100 != 0;
        let mode = if runnable { 0o755 } else { 0o644 };
        fs::set_permissions(entry, fs::Permissions::from_mode(mode))
            .map_err(Error::file("set the mode of", entry))
    };
    let metadata = fs::symlink_metadata(path).map_err(Error::file("look at", path))?;
    open(path, &metadata)?;
    walk(path, &mut |entry, metadata| open(entry, metadata))
}

/// Calls `visit` for everything below `path`, directories before what is in them. Does not follow
/// symbolic links.
pub(crate) fn walk(
    path: &Path,
    visit: &mut dyn FnMut(&Path, &fs::Metadata) -> Result<(), Error>,
) -> Result<(), Error> {
    for entry in list(path)? {
        let metadata = fs::symlink_metadata(&entry).map_err(Error::file("look at", &entry))?;
        visit(&entry, &metadata)?;
        if metadata.is_dir() {
            walk(&entry, visit)?;
        }
    }
    Ok(())
}

/// What is in a directory, sorted.
pub(crate) fn list(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut entries = fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>())
        .map_err(Error::file("list", path))?;
    entries.sort();
    Ok(entries)
}
