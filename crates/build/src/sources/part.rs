//! Parts of a commit: a directory of it as a source of its own, and the digest of some files.

use model::Commit;
use sha2::{Digest, Sha256};

use super::{SNAPSHOTS, Sources};
use crate::error::Error;

impl Sources {
    /// A directory of a commit as a commit of its own, whose root it is. The history stays.
    ///
    /// # Errors
    /// When there is no such directory, or git refuses.
    pub async fn part(
        &self,
        project: &str,
        commit: &Commit,
        directory: &str,
    ) -> Result<Commit, Error> {
        let _lock = self.lock(project).await?;
        let git = self.bare(project);
        let doing = "take a directory of the repository";
        let whole = self.whole(project, &commit.id).await;
        let object = format!("{whole}:{}", directory.trim_matches('/'));
        let tree = git.text(doing, &["rev-parse", "--verify", "--end-of-options", &object]).await?;
        let time = git.text(doing, &["show", "-s", "--format=%ct", &commit.id]).await?;
        // The time of the whole commit: equal parts of equal commits are equal.
        let time = format!("@{time} +0000");
        let author = self
            .bare(project)
            .with_env("GIT_AUTHOR_DATE", &time)
            .with_env("GIT_COMMITTER_DATE", &time);
        let arguments = ["commit-tree", &tree, "-m", &commit.subject, "-p", &commit.id];
        let id = author.text(doing, &arguments).await?;
        let reference = format!("{SNAPSHOTS}{id}");
        git.run(doing, &["update-ref", &reference, &id]).await?;
        Ok(Commit { id, tree, ..commit.clone() })
    }

    /// A digest of the paths, modes and contents of those files of a commit that matter: equal
    /// when nothing that matters has changed. Only files at some paths and below them are looked
    /// at; the empty path is all of them.
    ///
    /// # Errors
    /// When git refuses.
    pub async fn digest(
        &self,
        project: &str,
        commit_id: &str,
        (places, matters): (&[String], impl Fn(&str) -> bool),
    ) -> Result<String, Error> {
        let listing = self.listing(project, commit_id).await?;
        let mut digest = Sha256::new();
        for (entry, path) in listing.within(places) {
            if matters(&String::from_utf8_lossy(path)) {
                digest.update(entry);
                digest.update([0]);
            }
        }
        Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}
