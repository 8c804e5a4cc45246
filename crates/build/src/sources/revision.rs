//! A commit of the user's repository, by whatever name it has there.

use std::path::Path;

use model::{Commit, Problem};

use super::git::Git;
use super::snapshot::{Origin, ensure_repository, find_origin};
use super::{SNAPSHOTS, Snapshot, Sources, submodules};
use crate::error::Error;

/// Longest text that is taken for a revision.
const REVISION_BYTES_MAX: usize = 256;

pub(super) async fn take(
    sources: &Sources,
    project: &str,
    path: &Path,
    revision: &str,
) -> Result<Snapshot, Error> {
    let path = path.canonicalize().map_err(Error::at("find", path))?;
    let user = Git::new(sources.settings()).in_directory(&path);
    let Some(origin) = find_origin(&user, &path).await? else {
        return Err(Error::Refused(unknown(
            revision,
            format!("{} is in no git repository", path.display()),
        )));
    };
    let id = resolve(&user, &origin, revision).await?;
    let ours = ensure_repository(sources, project, &origin.object_format).await?;
    let name = format!("{SNAPSHOTS}{id}");
    let tree = format!("{id}^{{tree}}");
    if !ours.succeeds(&["cat-file", "-e", &tree]).await {
        let arguments = [
            "fetch",
            "--quiet",
            "--no-auto-maintenance",
            "--no-write-fetch-head",
            "--no-tags",
            "--update-shallow",
            "--",
            &origin.top.to_string_lossy(),
            &format!("+{id}:{name}"),
        ];
        ours.run("take a commit", &arguments).await?;
    }
    ours.run("keep the commit", &["update-ref", &name, &id]).await?;
    let branch = branch_of(&user, revision).await.unwrap_or(origin.branch);
    let shown = ["log", "-1", "--no-show-signature", "--format=%T%x00%s", &id, "--"];
    let line = ours.text("read a commit", &shown).await?;
    let (tree, subject) = line.split_once('\0').unwrap_or((&line, ""));
    let commit =
        Commit { id, tree: tree.to_owned(), branch, subject: subject.to_owned(), is_dirty: false };
    let notes = submodules::take(sources, project, &commit, &origin.top).await?;
    Ok(Snapshot {
        commit,
        sub_path: origin.sub_path,
        is_repository: true,
        origin: origin.url,
        notes,
    })
}

/// Where a branch may be, in the order in which to look.
const PLACES: [&str; 2] = ["refs/heads/", "refs/remotes/origin/"];

pub(super) async fn take_branch(
    sources: &Sources,
    project: &str,
    path: &Path,
    branch: &str,
) -> Result<Option<Snapshot>, Error> {
    let user = Git::new(sources.settings()).in_directory(path);
    for place in PLACES {
        let reference = format!("{place}{branch}");
        if object_id(&user, &reference).await.is_some() {
            let mut taken = take(sources, project, path, &reference).await?;
            branch.clone_into(&mut taken.commit.branch);
            return Ok(Some(taken));
        }
    }
    Ok(None)
}

/// The full id of the commit that is meant in the user's repository.
async fn resolve(user: &Git, origin: &Origin, revision: &str) -> Result<String, Error> {
    let top = origin.top.display();
    let is_text = !revision.is_empty()
        && revision.len() <= REVISION_BYTES_MAX
        && !revision.chars().any(char::is_control);
    let mut found = None;
    if is_text && let Some(object) = object_id(user, revision).await {
        // A tag of its own is an object that points at a commit. Asked for in a second step: what
        // follows `:/` is text to search for, to its end.
        found = object_id(user, &format!("{object}^{{commit}}")).await;
    }
    found.ok_or_else(|| Error::Refused(unknown(revision, format!("it was looked for in {top}"))))
}

/// The full id of what a name stands for.
async fn object_id(user: &Git, name: &str) -> Option<String> {
    let arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", name];
    let text = user.maybe_text(&arguments).await?;
    // `--end-of-options` is printed by some versions of git.
    let id = text.lines().last()?.to_owned();
    (id.len() >= 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

/// The branch, where the revision is the name of one.
async fn branch_of(user: &Git, revision: &str) -> Option<String> {
    let reference = format!("refs/heads/{}", revision.trim_start_matches("refs/heads/"));
    let arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", &reference];
    user.succeeds(&arguments).await.then(|| reference.trim_start_matches("refs/heads/").to_owned())
}

fn unknown(revision: &str, detail: String) -> Problem {
    let shown: String =
        revision.chars().filter(|letter| !letter.is_control()).take(REVISION_BYTES_MAX).collect();
    Problem::new("revision-not-found", format!("there is no commit `{shown}`")).detail(detail).hint(
        "name a commit, a branch or a tag that `git log` knows there; a shallow clone gets \
             older ones with `git fetch --unshallow`",
    )
}
