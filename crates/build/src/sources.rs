//! The user's source, taken into repositories of Gable's own.
//!
//! Each project has one bare repository, `repos/PROJECT.git`. A working tree is read into it with
//! an index of Gable's own, so that the user's repository is only ever read, and nothing that it
//! configures (hooks, filters, monitors, aliases) is run. Equal files on an equal commit give an
//! equal snapshot: the commits that Gable makes take their time from their parent.
//!
//! Limits: submodules that are not checked out and Git LFS objects that were not fetched are not part
//! of a snapshot; both are reported as notes.

mod checkout;
mod git;
mod memory;
mod part;
mod remote;
mod revision;
mod snapshot;
mod submodules;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Commit;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::note::Note;
use crate::tree;

use git::Git;
use memory::{Listing, Memory};
pub use remote::{names_same_repository, repo_slug};

/// The largest file that [`Sources::read_file`] returns.
pub const MAX_FILE_BYTES: u64 = 16 << 20;
const SNAPSHOTS: &str = "refs/gable/snapshots/";

/// The store of sources.
#[derive(Clone)]
pub struct Sources {
    repos_dir: PathBuf,
    operator_env: Vec<(String, String)>,
    memory: Arc<Memory>,
}

/// A working tree as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The commit that holds it: the user's own when nothing was changed since.
    pub commit: Commit,
    /// Where the given path lies in the repository; empty for its root.
    pub sub_path: String,
    /// URL of the user's `origin` without credentials, if there is one.
    pub origin: Option<String>,
    /// Whether it is a repository of the user's, and not a plain directory.
    pub is_repository: bool,
    /// What the person should know.
    pub notes: Vec<Note>,
}

impl Sources {
    /// A store in this directory, which need not exist yet.
    #[must_use]
    pub fn new(repos_dir: impl Into<PathBuf>) -> Self {
        Self { repos_dir: repos_dir.into(), operator_env: Vec::new(), memory: Arc::default() }
    }

    /// The same store with variables for fetching: proxies, certificates.
    #[must_use]
    pub fn with_env(mut self, operator_env: Vec<(String, String)>) -> Self {
        self.operator_env = operator_env;
        self
    }

    /// Takes the working tree that `path` lies in: the whole repository, whatever directory of it
    /// is named, or the directory itself where there is no repository. `.gitignore` files and
    /// `.git/info/exclude` are respected.
    ///
    /// # Errors
    /// When the path does not exist, the files are too many, or git refuses.
    pub async fn snapshot(&self, project: &str, path: &Path) -> Result<Snapshot, Error> {
        let _lock = self.lock(project).await?;
        // What submodules of a commit hold may be other files by now.
        self.memory.forget(project);
        snapshot::take(self, project, path).await
    }

    /// Takes a commit of the repository that `path` lies in: whatever git understands there, such
    /// as an id, a branch, a tag or `HEAD~2`. The working tree plays no part.
    ///
    /// # Errors
    /// When the path is in no repository, the repository has no such commit, or git refuses.
    pub async fn revision(
        &self,
        project: &str,
        path: &Path,
        revision: &str,
    ) -> Result<Snapshot, Error> {
        let _lock = self.lock(project).await?;
        revision::take(self, project, path, revision).await
    }

    /// Takes the newest commit of a branch of the repository that `path` lies in: its own, or else what
    /// it knows of its origin's. `None` where there is no such branch.
    ///
    /// # Errors
    /// When git refuses.
    pub async fn branch(
        &self,
        project: &str,
        path: &Path,
        branch: &str,
    ) -> Result<Option<Snapshot>, Error> {
        let _lock = self.lock(project).await?;
        revision::take_branch(self, project, path, branch).await
    }

    /// Takes a branch of another repository (its default branch for `None`) from an `http`,
    /// `https`, `ssh` or `file` URL.
    ///
    /// # Errors
    /// When it cannot be reached, does not exist or wants a login; the problem says which.
    pub async fn fetch_remote(
        &self,
        project: &str,
        url: &str,
        branch: Option<&str>,
    ) -> Result<Commit, Error> {
        let _lock = self.lock(project).await?;
        remote::fetch(self, project, url, branch).await
    }

    /// A file of a commit, through links inside it; `None` if there is none.
    ///
    /// # Errors
    /// When git refuses, or the file is larger than [`MAX_FILE_BYTES`].
    pub async fn read_file(
        &self,
        project: &str,
        commit_id: &str,
        path: &str,
    ) -> Result<Option<Vec<u8>>, Error> {
        let mut found = self.read_files(project, commit_id, &[path.to_owned()]).await?;
        Ok(found.remove(path))
    }

    /// Those of some files that are there, in one go.
    ///
    /// # Errors
    /// As [`Sources::read_file`].
    pub async fn read_files(
        &self,
        project: &str,
        commit_id: &str,
        paths: &[String],
    ) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let place = (project, commit_id);
        let (mut known, mut unknown) = self.memory.files(place, paths);
        if unknown.is_empty() {
            return Ok(known);
        }
        let listing = self.listing(project, commit_id).await?;
        let asked = unknown.clone();
        unknown.retain(|path| inside(path).is_some_and(|path| !listing.is_absent(&path)));
        let found = self.ask_for_files(place, &unknown).await?;
        self.memory.keep_files(place, &asked, &found);
        known.extend(found);
        Ok(known)
    }

    /// Those of some files that are there, as git says.
    async fn ask_for_files(
        &self,
        (project, commit_id): (&str, &str),
        paths: &[&String],
    ) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        if paths.is_empty() {
            return Ok(BTreeMap::new());
        }
        self.memory.count();
        let git = self.bare(project);
        let inside: Vec<(&String, String)> =
            paths.iter().filter_map(|path| Some((*path, inside(path)?))).collect();
        let commit_id = self.whole(project, commit_id).await;
        let asked: String =
            inside.iter().map(|(_, path)| format!("{commit_id}:{path}\n")).collect();
        let paths: Vec<&String> = inside.iter().map(|(path, _)| *path).collect();
        let doing = "read files of a commit";
        let arguments = ["cat-file", "--batch", "--follow-symlinks"];
        let output = git.run_with_input(doing, &arguments, asked.into_bytes()).await?;
        git::parse_batch(&output, &paths).ok_or_else(|| Error::Git {
            doing: doing.to_owned(),
            message: "unknown answer".to_owned(),
        })
    }

    /// The paths of all files of a commit, sorted.
    ///
    /// # Errors
    /// When git refuses.
    pub async fn list_files(&self, project: &str, commit_id: &str) -> Result<Vec<String>, Error> {
        Ok(self.listing(project, commit_id).await?.paths())
    }

    async fn listing(&self, project: &str, commit_id: &str) -> Result<Arc<Listing>, Error> {
        if let Some(listing) = self.memory.listing(project, commit_id) {
            return Ok(listing);
        }
        self.memory.count();
        let whole = self.whole(project, commit_id).await;
        let arguments = ["ls-tree", "-r", "-z", "--full-tree", &whole];
        let output = self.bare(project).run("list the files of a commit", &arguments).await?;
        let listing = Arc::new(Listing::new(output));
        self.memory.keep_listing(project, commit_id, &listing);
        Ok(listing)
    }

    /// How often git was asked about the files of commits, for the test that a plan asks seldom.
    #[must_use]
    pub fn questions(&self) -> usize {
        self.memory.asked()
    }

    /// The paths of the files of a commit that can be run.
    ///
    /// # Errors
    /// When git refuses.
    pub async fn executable_files(
        &self,
        project: &str,
        commit_id: &str,
    ) -> Result<BTreeSet<String>, Error> {
        let arguments = ["ls-tree", "-r", "-z", "--full-tree", commit_id];
        let output = self.bare(project).run("list the files of a commit", &arguments).await?;
        // `<mode> <type> <id>\t<path>`
        let entries = git::split_nul(&output).into_iter();
        let executable = entries.filter(|entry| entry.starts_with("100755 "));
        Ok(executable.filter_map(|entry| Some(entry.split_once('\t')?.1.to_owned())).collect())
    }

    /// The paths whose content differs between two commits: for build filters.
    ///
    /// # Errors
    /// When git refuses, such as when one of them is not in the store any more.
    pub async fn changed_files(
        &self,
        project: &str,
        from: &str,
        to: &str,
    ) -> Result<Vec<String>, Error> {
        let arguments = ["diff-tree", "-r", "-z", "--name-only", "--no-ext-diff", from, to];
        let output = self.bare(project).run("compare two commits", &arguments).await?;
        Ok(git::split_nul(&output))
    }

    /// Makes a throw-away clone of a commit in the empty or missing directory `into`: with its
    /// branch, its tags and its history, and without a remote.
    ///
    /// # Errors
    /// When the commit is not in the store, or the disk refuses.
    pub async fn checkout(&self, project: &str, commit: &Commit, into: &Path) -> Result<(), Error> {
        checkout::make(self, project, commit, into).await
    }

    /// Whether the store holds a commit.
    pub async fn has_commit(&self, project: &str, commit_id: &str) -> bool {
        let object = format!("{commit_id}^{{tree}}");
        self.bare(project).succeeds(&["cat-file", "-e", &object]).await
    }

    /// Forgets every snapshot of a project but those of `keep`. The commits of branches stay.
    ///
    /// # Errors
    /// When git refuses.
    pub async fn collect_garbage(&self, project: &str, keep: &[String]) -> Result<(), Error> {
        let _lock = self.lock(project).await?;
        let git = self.bare(project);
        if !git.dir().exists() {
            return Ok(());
        }
        let keep: HashSet<&str> = keep.iter().map(String::as_str).collect();
        let doing = "forget old snapshots";
        let listing = ["for-each-ref", "--format=%(refname)", SNAPSHOTS, submodules::WHOLE];
        let refs = git.text(doing, &listing).await?;
        let commit_of = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
        let doomed: String = refs
            .lines()
            .filter(|name| !keep.contains(commit_of(name).as_str()))
            .map(|name| format!("delete {name}\n"))
            .collect();
        git.run_with_input(doing, &["update-ref", "--stdin"], doomed.into_bytes()).await?;
        git.run(doing, &["gc", "--quiet", "--prune=1.hour.ago"]).await.map(drop)
    }

    /// Removes everything that is kept of a project's source.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn remove_project(&self, project: &str) -> Result<(), Error> {
        let _lock = self.lock(project).await?;
        self.memory.forget(project);
        tree::remove(&self.repository(project))?;
        match fs::remove_file(self.index(project)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::at("remove", &self.index(project))(error))
            }
            _ => Ok(()),
        }
    }

    fn repository(&self, project: &str) -> PathBuf {
        self.repos_dir.join(format!("{}.git", file_name(project)))
    }

    fn index(&self, project: &str) -> PathBuf {
        self.repos_dir.join(format!("{}.index", file_name(project)))
    }

    fn settings(&self) -> PathBuf {
        self.repos_dir.join("gitconfig")
    }

    fn bare(&self, project: &str) -> Git {
        Git::new(self.settings()).in_repository(self.repository(project))
    }

    /// One writer per project, across processes; ends with the process whatever happens.
    async fn lock(&self, project: &str) -> Result<File, Error> {
        fs::create_dir_all(&self.repos_dir).map_err(Error::at("make", &self.repos_dir))?;
        git::write_settings(&self.settings())?;
        let path = self.repos_dir.join(format!("{}.lock", file_name(project)));
        let locked = tokio::task::spawn_blocking(move || {
            let file = File::options().create(true).append(true).open(&path)?;
            file.lock()?;
            Ok(file)
        });
        locked
            .await
            .unwrap_or_else(|_| Err(std::io::Error::other("the locking thread ended")))
            .map_err(|error| Error::io(format!("lock the repository of {project}"), error))
    }
}

/// A path without `.` and `..`; `None` for one that leads out of the source.
fn inside(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!path.contains('\n')).then(|| parts.join("/"))
}

/// A project's name as part of a file name; two names never become one.
pub(crate) fn file_name(project: &str) -> String {
    use sha2::{Digest, Sha256};
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    if !project.is_empty() && project.len() <= 64 && project.chars().all(is_plain) {
        return project.to_owned();
    }
    let plain: String = project.chars().filter(|letter| is_plain(*letter)).take(40).collect();
    let digest = Sha256::digest(project.as_bytes());
    let hex: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("{plain}.{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_projects_become_file_names_without_meeting() {
        assert_eq!(file_name("prj-0123"), "prj-0123");
        assert_ne!(file_name("a/b"), file_name("ab"));
        assert_ne!(file_name("a/b"), file_name("a.b"));
        assert!(!file_name("../../etc").contains('/'));
        assert!(!file_name("..").starts_with(".."));
    }
}
