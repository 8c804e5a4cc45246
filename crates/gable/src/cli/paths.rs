//! Where state and sockets lie. The one place that derives it; the other roles get it by flags.

use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

/// Only the owner may look: there are secrets below.
const PRIVATE: u32 = 0o700;
/// Hexadecimal digits of the hash that names a run directory.
const HASH_DIGITS: usize = 8;

/// Where state and sockets lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Paths {
    /// What lasts: database, logs, artifacts, data.
    pub(crate) state_dir: PathBuf,
    /// What must not touch a disk: sockets, and the secrets of instances.
    pub(crate) run_dir: PathBuf,
}

/// What of this process's surroundings decides.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    /// Whether it is root.
    pub(crate) is_root: bool,
    /// Its user.
    pub(crate) uid: u32,
    /// `$XDG_STATE_HOME`.
    pub(crate) state_home: Option<PathBuf>,
    /// `$XDG_RUNTIME_DIR`.
    pub(crate) runtime_dir: Option<PathBuf>,
    /// `$HOME`.
    pub(crate) home: Option<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    pub(crate) fn here() -> Self {
        let directory = |name: &str| {
            std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
        };
        let user = rustix::process::geteuid();
        Self {
            is_root: user.is_root(),
            uid: user.as_raw(),
            state_home: directory("XDG_STATE_HOME"),
            runtime_dir: directory("XDG_RUNTIME_DIR"),
            home: directory("HOME"),
        }
    }

    fn default_state_dir(&self) -> PathBuf {
        if self.is_root {
            return PathBuf::from("/var/lib/gable");
        }
        let home = self.home.clone().unwrap_or_else(|| PathBuf::from("/"));
        self.state_home.clone().unwrap_or_else(|| home.join(".local/state")).join("gable")
    }

    fn run_root(&self) -> PathBuf {
        match (&self.runtime_dir, self.is_root) {
            (_, true) => PathBuf::from("/run/gable"),
            (Some(directory), false) => directory.join("gable"),
            // Without a session there is no runtime directory; this is a tmpfs everywhere.
            (None, false) => PathBuf::from(format!("/dev/shm/gable-{}", self.uid)),
        }
    }
}

impl Paths {
    /// The paths for a state directory, or for the default one.
    ///
    /// # Errors
    /// When the working directory is gone.
    pub(crate) fn new(state_dir: Option<&Path>, surroundings: &Surroundings) -> io::Result<Self> {
        let asked = state_dir.map_or_else(|| surroundings.default_state_dir(), Path::to_owned);
        let state_dir = canonical(&asked)?;
        let hash = Sha256::digest(state_dir.as_os_str().as_encoded_bytes());
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let run_dir = surroundings.run_root().join(&hash[..HASH_DIGITS]);
        Ok(Self { state_dir, run_dir })
    }

    /// Where the server listens.
    pub(crate) fn api_socket(&self) -> PathBuf {
        self.run_dir.join("api.sock")
    }

    /// Where a server that was started in the background writes.
    pub(crate) fn server_log(&self) -> PathBuf {
        self.state_dir.join("server.log")
    }

    /// Makes both directories, for the owner's eyes only.
    ///
    /// # Errors
    /// When they cannot be made, or belong to somebody else.
    pub(crate) fn make(&self) -> io::Result<()> {
        if let Some(root) = self.run_dir.parent() {
            make_private(root)?;
        }
        make_private(&self.run_dir)?;
        make_private(&self.state_dir)
    }
}

fn make_private(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(PRIVATE).create(path)?;
    let metadata = std::fs::metadata(path)?;
    let user = rustix::process::geteuid();
    if metadata.uid() != user.as_raw() {
        let message = format!("{} belongs to another user", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    if metadata.mode() & 0o077 != 0 && !is_shared(path) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(PRIVATE))?;
    }
    Ok(())
}

/// The directory above the run directories holds no secret, and other things may lie in it.
fn is_shared(path: &Path) -> bool {
    path.ends_with("run/gable")
}

/// The canonical path, also of what is not there yet.
fn canonical(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    let mut missing = Vec::new();
    let mut existing = absolute.as_path();
    loop {
        if let Ok(found) = existing.canonicalize() {
            return Ok(missing.iter().rev().fold(found, |path, part| path.join(part)));
        }
        match (existing.parent(), existing.components().next_back()) {
            (Some(parent), Some(Component::Normal(part))) => {
                missing.push(part.to_owned());
                existing = parent;
            }
            _ => return Ok(absolute),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_the_same_sockets_before_and_after_it_is_made() {
        let temporary = tempfile::tempdir().unwrap();
        let link = temporary.path().join("link");
        std::os::unix::fs::symlink(temporary.path(), &link).unwrap();
        let surroundings = Surroundings { is_root: true, ..Surroundings::default() };
        let paths = |path: &Path| Paths::new(Some(path), &surroundings).unwrap();
        let before = paths(&link.join("a/b"));
        std::fs::create_dir_all(temporary.path().join("a/b")).unwrap();
        assert_eq!(before, paths(&temporary.path().join("a/b")));
        assert_ne!(before, paths(&temporary.path().join("a")));
        assert!(before.run_dir.starts_with("/run/gable"));
        assert_eq!(before.run_dir.file_name().unwrap().len(), HASH_DIGITS);
    }

    #[test]
    fn each_kind_of_user_has_a_place_of_its_own() {
        let user = Surroundings {
            uid: 1000,
            home: Some("/home/ann".into()),
            runtime_dir: Some("/run/user/1000".into()),
            ..Surroundings::default()
        };
        let paths = Paths::new(None, &user).unwrap();
        assert!(paths.state_dir.ends_with(".local/state/gable"));
        assert!(paths.run_dir.starts_with("/run/user/1000/gable"));
        let without_session = Surroundings { runtime_dir: None, ..user };
        let paths = Paths::new(None, &without_session).unwrap();
        assert!(paths.run_dir.starts_with("/dev/shm/gable-1000"));
        assert!(paths.api_socket().as_os_str().len() < 108);
    }
}
