//! Files of submodules, at the commits that the repository records.
//!
//! A commit names a submodule by a commit of another repository. What of them is checked out in the
//! user's tree is fetched beside the user's own commits, and a commit of ours holds the files of all
//! together: `refs/gable/whole/ID` for the commit ID. Whoever reads the source reads that one; what
//! a person sees, and the history that a build sees, stay the user's.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use model::Commit;

use super::git::{self, Git};
use super::{Sources, file_name};
use crate::error::Error;
use crate::note::Note;

/// References to commits with the files of submodules, by the commits that they stand for.
pub(super) const WHOLE: &str = "refs/gable/whole/";
/// References that keep commits of submodules.
const PARTS: &str = "refs/gable/submodules/";
/// Submodules of submodules are taken so deep.
const DEPTH_MAX: usize = 8;
const SUBMODULE_MODE: &str = "160000";

/// A submodule in an index.
struct Link {
    path: String,
    id: String,
}

impl Sources {
    /// The commit that holds all files of a commit, those of submodules too.
    pub(super) async fn whole(&self, project: &str, commit_id: &str) -> String {
        let name = format!("{WHOLE}{commit_id}");
        let arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", &name];
        let found = self.bare(project).maybe_text(&arguments).await;
        let id = found.and_then(|text| text.lines().last().map(str::to_owned));
        id.filter(|id| !id.starts_with('-')).unwrap_or_else(|| commit_id.to_owned())
    }

    fn whole_index(&self, project: &str) -> std::path::PathBuf {
        self.repos_dir.join(format!("{}.whole-index", file_name(project)))
    }
}

/// Takes the submodules of a commit that are checked out below `top`, and returns a note for each
/// other. The project's lock is held.
pub(super) async fn take(
    sources: &Sources,
    project: &str,
    commit: &Commit,
    top: &Path,
) -> Result<Vec<Note>, Error> {
    let doing = "take the files of submodules";
    let ours = sources.bare(project);
    let listed = ours.run(doing, &["ls-tree", "-r", "-z", "--full-tree", &commit.id]).await?;
    if !git::split_nul(&listed).iter().any(|entry| entry.starts_with(SUBMODULE_MODE)) {
        return Ok(Vec::new());
    }
    let index = sources.whole_index(project);
    for path in [index.clone(), index.with_extension("whole-index.lock")] {
        let _ = fs::remove_file(path);
    }
    // Nothing is written there; git takes entries out of an index in a work tree only.
    let work = ours
        .clone()
        .with_env("GIT_INDEX_FILE", &index)
        .with_env("GIT_WORK_TREE", top)
        .in_directory(top);
    work.run(doing, &["read-tree", &commit.id]).await?;
    let mut left: BTreeSet<String> = BTreeSet::new();
    let mut has_any = false;
    for _ in 0..DEPTH_MAX {
        let links = links(&work).await?;
        let fresh: Vec<&Link> = links.iter().filter(|link| !left.contains(&link.path)).collect();
        if fresh.is_empty() {
            break;
        }
        for link in fresh {
            if is_here(&ours, link).await || fetch(&ours, link, top).await {
                let prefix = format!("--prefix={}/", link.path);
                work.run(doing, &["update-index", "--force-remove", "--", &link.path]).await?;
                work.run(doing, &["read-tree", &prefix, &link.id]).await?;
                has_any = true;
            } else {
                left.insert(link.path.clone());
            }
        }
    }
    if has_any {
        let tree = work.text(doing, &["write-tree"]).await?;
        let time = ours.text(doing, &["show", "-s", "--format=%ct", &commit.id]).await?;
        let time = format!("@{time} +0000");
        let author =
            ours.clone().with_env("GIT_AUTHOR_DATE", &time).with_env("GIT_COMMITTER_DATE", &time);
        let arguments = ["commit-tree", &tree, "-m", &commit.subject, "-p", &commit.id];
        let id = author.text(doing, &arguments).await?;
        ours.run(doing, &["update-ref", &format!("{WHOLE}{}", commit.id), &id]).await?;
    }
    let _ = fs::remove_file(index);
    Ok(links_left(left))
}

fn links_left(left: BTreeSet<String>) -> Vec<Note> {
    left.into_iter().map(|path| Note::Submodule { path }).collect()
}

async fn links(work: &Git) -> Result<Vec<Link>, Error> {
    let listing = work.run("list the submodules", &["ls-files", "-s", "-z"]).await?;
    let entries = git::split_nul(&listing);
    let link = |entry: &String| {
        // `<mode> <id> <stage>\t<path>`
        let (header, path) = entry.split_once('\t')?;
        let mut words = header.split(' ');
        let is_link = words.next() == Some(SUBMODULE_MODE);
        is_link.then(|| Some(Link { path: path.to_owned(), id: words.next()?.to_owned() }))?
    };
    Ok(entries.iter().filter_map(link).collect())
}

async fn is_here(ours: &Git, link: &Link) -> bool {
    ours.succeeds(&["cat-file", "-e", &format!("{PARTS}{}^{{tree}}", link.id)]).await
}

/// Takes the commit from the submodule's own repository; whether that went well.
async fn fetch(ours: &Git, link: &Link, top: &Path) -> bool {
    let place = top.join(&link.path);
    // Without a repository of its own, git would take the one around it.
    if place.join(".git").symlink_metadata().is_err() {
        return false;
    }
    let reference = format!("+{0}:{PARTS}{0}", link.id);
    let arguments = [
        "fetch",
        "--quiet",
        "--no-auto-maintenance",
        "--no-write-fetch-head",
        "--no-tags",
        "--update-shallow",
        "--",
        &place.to_string_lossy(),
        &reference,
    ];
    ours.succeeds(&arguments).await
}
