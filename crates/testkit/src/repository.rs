//! Git repositories made for a test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// A repository in a temporary directory, with a branch `main`.
#[derive(Debug)]
pub struct Repository {
    folder: TempDir,
}

impl Repository {
    /// An empty one.
    ///
    /// # Errors
    /// When git refuses.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("gable-repository-").tempdir()?;
        let repository = Self { folder };
        repository.git(&["init", "--quiet", "--initial-branch=main"])?;
        Ok(repository)
    }

    /// One with the files of a folder of this project (those that git knows or would add), in one
    /// commit.
    ///
    /// # Errors
    /// When files cannot be copied.
    pub fn copy_of(folder: &Path) -> Result<Self> {
        let repository = Self::new()?;
        let listed =
            git_in(folder, &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
        for path in listed.split('\0').filter(|path| !path.is_empty()) {
            let target = repository.path().join(path);
            fs::create_dir_all(target.parent().context("a file lies in a folder")?)?;
            fs::copy(folder.join(path), target).with_context(|| path.to_owned())?;
        }
        repository.commit("All files")?;
        Ok(repository)
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file, in folders as needed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &str, text: &str) -> Result<&Self> {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
        fs::write(path, text)?;
        Ok(self)
    }

    /// Writes a script that can be executed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_script(&self, path: &str, text: &str) -> Result<&Self> {
        self.write(path, text)?;
        fs::set_permissions(self.path().join(path), fs::Permissions::from_mode(0o755))?;
        Ok(self)
    }

    /// Replaces a text in a file.
    ///
    /// # Errors
    /// When the file does not hold it.
    pub fn replace(&self, path: &str, from: &str, to: &str) -> Result<&Self> {
        let text = fs::read_to_string(self.path().join(path))?;
        ensure!(text.contains(from), "{path} does not hold `{from}`");
        self.write(path, &text.replace(from, to))
    }

    /// Commits everything and returns the commit's id.
    ///
    /// # Errors
    /// When git refuses.
    pub fn commit(&self, subject: &str) -> Result<String> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--allow-empty", "--message", subject])?;
        Ok(self.git(&["rev-parse", "HEAD"])?.trim().to_owned())
    }

    /// Any git command.
    ///
    /// # Errors
    /// When git refuses.
    pub fn git(&self, arguments: &[&str]) -> Result<String> {
        git_in(self.path(), arguments)
    }
}

/// The user's own settings do not count.
fn git_in(folder: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.com"])
        .args(["-c", "commit.gpgsign=false", "-c", "gc.auto=0"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .context("failed to start git")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "git {} failed: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(text)
}
