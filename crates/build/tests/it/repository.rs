//! A repository of a user's, made for one test.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use build::Sources;
use tempfile::TempDir;

pub(crate) const PROJECT: &str = "prj-test";

pub(crate) struct Repository {
    pub(crate) dir: TempDir,
}

impl Repository {
    /// A plain directory with these files.
    pub(crate) fn plain(files: &[(&str, &str)]) -> Self {
        let repository = Self { dir: TempDir::new().unwrap() };
        repository.write(files);
        repository
    }

    /// A git repository whose only commit has these files.
    pub(crate) fn committed(files: &[(&str, &str)]) -> Self {
        let repository = Self::plain(files);
        repository.git(&["init", "--quiet", "--initial-branch=trunk"]);
        repository.commit("first");
        repository
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn write(&self, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = self.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git_in(self.path(), arguments)
    }

    /// Every byte of `.git`, and when it was last changed.
    pub(crate) fn git_state(&self) -> BTreeMap<PathBuf, (Vec<u8>, i64, i64)> {
        let mut state = BTreeMap::new();
        collect(&self.path().join(".git"), &mut state);
        state
    }
}

fn collect(directory: &Path, state: &mut BTreeMap<PathBuf, (Vec<u8>, i64, i64)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            collect(&path, state);
        } else {
            let bytes = fs::read(&path).unwrap();
            state.insert(path, (bytes, metadata.mtime_nsec(), metadata.ctime_nsec()));
        }
    }
}

pub(crate) fn git_in(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_NAME", "A")
        .env("GIT_AUTHOR_EMAIL", "a@example.com")
        .env("GIT_COMMITTER_NAME", "A")
        .env("GIT_COMMITTER_EMAIL", "a@example.com")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A store of sources in a directory of its own.
pub(crate) fn store() -> (TempDir, Sources) {
    let directory = TempDir::new().unwrap();
    let sources = Sources::new(directory.path().join("repos"));
    (directory, sources)
}
