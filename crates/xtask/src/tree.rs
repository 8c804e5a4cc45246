//! The files of the project, as git sees them: what is ignored does not count.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// One text file.
#[derive(Debug)]
pub struct File {
    /// Path relative to the root, with `/`.
    pub path: String,
    /// What it holds.
    pub text: String,
}

/// All text files.
#[derive(Debug)]
pub struct Tree {
    /// Where they lie.
    pub root: PathBuf,
    /// Sorted by path. Files that are not UTF-8 are left out.
    pub files: Vec<File>,
}

impl Tree {
    /// Reads the tree at `root`.
    ///
    /// # Errors
    /// When git cannot list it.
    pub fn read(root: &Path) -> Result<Self> {
        let output = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .context("failed to start git")?;
        ensure!(output.status.success(), "git cannot list {}", root.display());
        let mut paths: Vec<String> = String::from_utf8_lossy(&output.stdout)
            .split('\0')
            .filter(|path| !path.is_empty())
            .map(ToOwned::to_owned)
            .collect();
        paths.sort();
        paths.dedup();
        // A file that was removed but not yet from the index has no text, and no findings.
        let files = paths
            .into_iter()
            .filter_map(|path| {
                let text = std::fs::read_to_string(root.join(&path)).ok()?;
                Some(File { path, text })
            })
            .collect();
        Ok(Self { root: root.to_owned(), files })
    }

    /// The Rust files.
    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    /// Whether there is a text file at `path`.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.path == path)
    }
}
