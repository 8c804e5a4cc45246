//! Throw-away clones.

use std::fs;
use std::io;
use std::path::Path;

use model::Commit;

use crate::error::Error;

use super::Sources;
use super::git::Git;

/// Name of the branch when the snapshot has none.
const NO_BRANCH: &str = "main";

pub(super) async fn make(
    sources: &Sources,
    project: &str,
    commit: &Commit,
    into: &Path,
) -> Result<(), Error> {
    let doing = "check out the source";
    let ours = sources.bare(project);
    fs::create_dir_all(into).map_err(Error::at("make", into))?;
    let format = ours.text(doing, &["rev-parse", "--show-object-format"]).await?;
    let format = format!("--object-format={format}");
    let clone = Git::new(sources.settings()).in_directory(into);
    clone.run(doing, &["init", "--quiet", "--template=", &format, "."]).await?;
    let dir = into.join(".git");
    let clone = Git::new(sources.settings())
        .in_repository(dir.clone())
        .in_directory(into)
        .with_env("GIT_WORK_TREE", into);

    // Where the server is root, the links stay root's and a build cannot write to them.
    let may_link = nix::unistd::geteuid().is_root();
    let (from, to) = (ours.dir().to_owned(), dir.clone());
    tokio::task::spawn_blocking(move || take_objects(&from, &to, may_link))
        .await
        .unwrap_or_else(|_| Err(io::Error::other("the copying thread ended")))
        .map_err(Error::at("copy the history to", into))?;
    take_tags(&ours, &dir).await?;

    let branch = if is_branch_name(&commit.branch) { &commit.branch } else { NO_BRANCH };
    let name = format!("refs/heads/{branch}");
    clone.run(doing, &["update-ref", &name, &commit.id]).await?;
    clone.run(doing, &["symbolic-ref", "HEAD", &name]).await?;
    clone.run(doing, &["reset", "--quiet", "--hard"]).await?;
    let whole = sources.whole(project, &commit.id).await;
    if whole != commit.id {
        // The history and its index stay the user's; the files of submodules come besides.
        let index = dir.join("whole-index");
        let besides = clone.clone().with_env("GIT_INDEX_FILE", &index);
        besides.run(doing, &["read-tree", &whole]).await?;
        besides.run(doing, &["checkout-index", "--all", "--force", "--quiet"]).await?;
        fs::remove_file(&index).map_err(Error::at("remove", &index))?;
    }
    // The files change their owner next, which would make all of them look changed.
    for (key, value) in [("core.checkStat", "minimal"), ("core.trustctime", "false")] {
        clone.run(doing, &["config", key, value]).await?;
    }
    Ok(())
}

fn is_branch_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('-')
}

fn take_objects(from: &Path, to: &Path, may_link: bool) -> io::Result<()> {
    let objects = from.join("objects");
    for entry in fs::read_dir(&objects)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() || entry.file_name() == "info" {
            continue;
        }
        let target = to.join("objects").join(entry.file_name());
        fs::create_dir_all(&target)?;
        for object in fs::read_dir(entry.path())? {
            let object = object?;
            let name = object.file_name();
            if !name.to_string_lossy().starts_with("tmp_") {
                take_file(&object.path(), &target.join(name), may_link)?;
            }
        }
    }
    match fs::copy(from.join("shallow"), to.join("shallow")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn take_file(from: &Path, to: &Path, may_link: bool) -> io::Result<()> {
    if may_link && fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    match fs::copy(from, to) {
        // It was repacked while we were looking.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map(drop),
    }
}

/// One file with all tags is quicker than a command for each.
async fn take_tags(ours: &Git, dir: &Path) -> Result<(), Error> {
    let format = "--format=%(objectname) %(refname)";
    let tags = ours.text("list the tags", &["for-each-ref", format, "refs/tags"]).await?;
    if tags.is_empty() {
        return Ok(());
    }
    let path = dir.join("packed-refs");
    // Without the word `peeled` in it git looks at each tag itself.
    fs::write(&path, format!("# pack-refs with: sorted \n{tags}\n"))
        .map_err(Error::at("write", &path))
}
