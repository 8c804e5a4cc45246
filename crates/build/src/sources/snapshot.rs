//! Taking a working tree.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use model::{Commit, Problem};

use crate::error::Error;
use crate::note::Note;
use crate::tree;

use super::git::{self, Git};
use super::{SNAPSHOTS, Snapshot, Sources, remote, submodules};

/// Most bytes of new or changed files that one snapshot takes.
const MAX_NEW_BYTES: u64 = 4 << 30;
/// Most new or changed files that one snapshot takes.
const MAX_NEW_FILES: usize = 400_000;
/// Repositories whose objects are larger than this are taken without their old history.
const LARGE_KIB: u64 = 512 << 10;
const LARGE_DEPTH: u32 = 200;
const LFS_NAMES_SHOWN: usize = 3;
/// Time of commits that have no parent to take one from: equal files give equal commits.
const NO_TIME: &str = "946684800 +0000";

/// What is known of the repository that a path lies in.
pub(super) struct Origin {
    pub(super) top: PathBuf,
    pub(super) sub_path: String,
    pub(super) branch: String,
    head: Option<Head>,
    pub(super) object_format: String,
    pub(super) url: Option<String>,
    exclude: Option<PathBuf>,
}

struct Head {
    id: String,
    tree: String,
    subject: String,
    time: String,
}

pub(super) async fn take(sources: &Sources, project: &str, path: &Path) -> Result<Snapshot, Error> {
    let path = path.canonicalize().map_err(Error::at("find", path))?;
    let user = Git::new(sources.settings()).in_directory(&path);
    let origin = find_origin(&user, &path).await?;
    let format = origin.as_ref().map_or("sha1", |origin| origin.object_format.as_str());
    let ours = ensure_repository(sources, project, format).await?;

    let mut notes = Vec::new();
    let mut parent = None;
    let top = origin.as_ref().map_or(&path, |origin| &origin.top);
    if let Some(origin) = &origin
        && let Some(head) = &origin.head
    {
        parent = take_history(&user, &ours, origin, head, &mut notes).await?;
    }
    let index = sources.index(project);
    let work = ours
        .clone()
        .with_env("GIT_WORK_TREE", top)
        .with_env("GIT_INDEX_FILE", &index)
        .in_directory(top);
    copy_exclude(&ours, origin.as_ref())?;
    fill_index(&user, &work, &index, origin.as_ref(), parent).await?;
    let tree = work.text("write the snapshot", &["write-tree"]).await?;
    let commit = commit(&ours, origin.as_ref(), parent, tree, top).await?;
    notes.extend(submodules::take(sources, project, &commit, top).await?);
    notes.extend(notes_of(&work, top).await?);
    let name = format!("{SNAPSHOTS}{}", commit.id);
    ours.run("keep the snapshot", &["update-ref", &name, &commit.id]).await?;
    Ok(Snapshot {
        commit,
        sub_path: origin.as_ref().map(|origin| origin.sub_path.clone()).unwrap_or_default(),
        is_repository: origin.is_some(),
        origin: origin.and_then(|origin| origin.url),
        notes,
    })
}

pub(super) async fn find_origin(user: &Git, path: &Path) -> Result<Option<Origin>, Error> {
    let Some(top) = user.maybe_text(&["rev-parse", "--show-toplevel"]).await else {
        return Ok(None);
    };
    let top = PathBuf::from(top);
    let is_top = top == path;
    // A directory that an outer repository ignores (a home directory kept in git) is its own.
    if !is_top && user.succeeds(&["check-ignore", "--quiet", "."]).await {
        return Ok(None);
    }
    let prefix = user.maybe_text(&["rev-parse", "--show-prefix"]).await.unwrap_or_default();
    let exclude = user.maybe_text(&["rev-parse", "--git-path", "info/exclude"]).await;
    let url = user.maybe_text(&["config", "--local", "--get", "remote.origin.url"]).await;
    let branch = user.maybe_text(&["symbolic-ref", "--quiet", "--short", "HEAD"]).await;
    let format = user.maybe_text(&["rev-parse", "--show-object-format"]).await;
    let shown =
        ["log", "-1", "--no-show-signature", "--format=%H%x00%T%x00%ct +0000%x00%s", "HEAD", "--"];
    let head = user.maybe_text(&shown).await.and_then(|line| {
        let mut parts = line.split('\0').map(str::to_owned);
        Some(Head {
            id: parts.next()?,
            tree: parts.next()?,
            time: parts.next()?,
            subject: parts.next()?,
        })
    });
    Ok(Some(Origin {
        sub_path: prefix.trim_end_matches('/').to_owned(),
        branch: branch.unwrap_or_default(),
        head,
        object_format: format.unwrap_or_else(|| "sha1".to_owned()),
        url: url.map(|url| remote::without_credentials(&url)),
        exclude: exclude.map(|file| path.join(file)),
        top,
    }))
}

/// Our bare repository, made or found; one of another object format is made anew.
pub(super) async fn ensure_repository(
    sources: &Sources,
    project: &str,
    format: &str,
) -> Result<Git, Error> {
    let ours = sources.bare(project);
    if ours.dir().exists() {
        let known = ours.maybe_text(&["rev-parse", "--show-object-format"]).await;
        if known.as_deref() == Some(format) {
            return Ok(ours);
        }
        tree::remove(ours.dir())?;
        let _ = fs::remove_file(sources.index(project));
    }
    let part = ours.dir().with_extension("new");
    tree::remove(&part)?;
    let format = format!("--object-format={format}");
    let arguments = ["init", "--quiet", "--bare", "--template=", &format, &part.to_string_lossy()];
    Git::new(sources.settings()).run("make a repository", &arguments).await?;
    fs::create_dir_all(part.join("info")).map_err(Error::at("make", &part))?;
    fs::rename(&part, ours.dir()).map_err(Error::at("make", ours.dir()))?;
    Ok(ours)
}

/// Brings the user's commits and tags into our repository; `None` with a note when that fails.
async fn take_history<'a>(
    user: &Git,
    ours: &Git,
    origin: &Origin,
    head: &'a Head,
    notes: &mut Vec<Note>,
) -> Result<Option<&'a Head>, Error> {
    let list = ["for-each-ref", "--format=%(objectname) %(refname)", "refs/tags"];
    let wanted = user.maybe_text(&list).await;
    let commit = format!("{}^{{commit}}", head.id);
    if ours.succeeds(&["cat-file", "-e", &commit]).await && ours.maybe_text(&list).await == wanted {
        return Ok(Some(head));
    }
    let depth = format!("--depth={LARGE_DEPTH}");
    let is_large = size_kib(user).await > LARGE_KIB;
    // A path is cloned by copying, a URL is served: only that can be cut short.
    let place = if is_large {
        format!("file://{}", origin.top.display())
    } else {
        origin.top.to_string_lossy().into_owned()
    };
    let mut arguments =
        vec!["fetch", "--quiet", "--no-auto-maintenance", "--no-write-fetch-head", "--prune"];
    arguments.push(if is_large { depth.as_str() } else { "--update-shallow" });
    let target = "+HEAD:refs/gable/head";
    arguments.extend(["--", &place, target, "+refs/tags/*:refs/tags/*"]);
    match ours.run("take the history", &arguments).await {
        Ok(_) => {}
        Err(Error::Git { message, .. }) => {
            notes.push(why_no_history(message));
            // What a clone lacks is mostly old: its newest commit can be had by itself.
            let place = format!("file://{}", origin.top.display());
            let newest = ["fetch", "--quiet", "--no-auto-maintenance", "--no-write-fetch-head"];
            let newest = [&newest[..], &["--no-tags", "--depth=1", "--", &place, target]].concat();
            if !ours.succeeds(&newest).await {
                return Ok(None);
            }
        }
        Err(error) => return Err(error),
    }
    if is_large {
        notes.push(Note::ShallowHistory { depth: LARGE_DEPTH });
    }
    // The user may have committed meanwhile: then the next snapshot has it.
    Ok(ours.succeeds(&["cat-file", "-e", &commit]).await.then_some(head))
}

/// Words of git's for objects that a repository should have and has not.
const INCOMPLETE: &[&str] =
    &["pack-objects died", "repository corruption", "missing", "unable to read", "bad object"];

fn why_no_history(reason: String) -> Note {
    if INCOMPLETE.iter().any(|words| reason.contains(words)) {
        Note::Incomplete { reason }
    } else {
        Note::NoHistory { reason }
    }
}

async fn size_kib(user: &Git) -> u64 {
    let text = user.maybe_text(&["count-objects", "-v"]).await.unwrap_or_default();
    text.lines()
        .filter_map(|line| line.strip_prefix("size: ").or_else(|| line.strip_prefix("size-pack: ")))
        .filter_map(|number| number.parse::<u64>().ok())
        .sum()
}

fn copy_exclude(ours: &Git, origin: Option<&Origin>) -> Result<(), Error> {
    let patterns = origin
        .and_then(|origin| origin.exclude.as_ref())
        .and_then(|path| fs::read(path).ok())
        .unwrap_or_default();
    let path = ours.dir().join("info/exclude");
    fs::write(&path, patterns).map_err(Error::at("write", &path))
}

async fn fill_index(
    user: &Git,
    work: &Git,
    index: &Path,
    origin: Option<&Origin>,
    parent: Option<&Head>,
) -> Result<(), Error> {
    let doing = "read the working tree";
    let stale = PathBuf::from(format!("{}.lock", index.display()));
    // We hold the project's lock: whoever made it is dead.
    let _ = fs::remove_file(stale);
    if let Some(head) = parent {
        // Files that are tracked stay tracked even where they are ignored.
        if work.run(doing, &["read-tree", "-m", &head.id]).await.is_err() {
            let _ = fs::remove_file(index);
            work.run(doing, &["read-tree", &head.id]).await?;
        }
    }
    refuse_too_much(work).await?;
    // Straight into packs: a thousand new files are not a thousand new objects on the disk.
    let packing = work.clone().with_setting("core.bigFileThreshold=1");
    let added = packing.run(doing, &["add", "--all", "--", ":/"]).await;
    if let Err(Error::Git { message, .. }) = added {
        return Err(Error::Refused(
            Problem::new("source-unreadable", "the working tree could not be read")
                .detail(message)
                .hint("make the file readable, or add it to .gitignore"),
        ));
    }
    added?;
    if origin.is_some() {
        add_forced(user, work, parent.is_some()).await?;
    }
    Ok(())
}

/// Ignored files that the user has added by force and not committed yet.
async fn add_forced(user: &Git, work: &Git, has_parent: bool) -> Result<(), Error> {
    let doing = "read the user's index";
    let arguments: &[&str] = if has_parent {
        &["diff-index", "--cached", "--name-only", "-z", "--diff-filter=A", "--no-ext-diff", "HEAD"]
    } else {
        &["ls-files", "--cached", "-z", "--full-name", ":/"]
    };
    let Ok(output) = user.run(doing, arguments).await else { return Ok(()) };
    let names: Vec<String> = git::split_nul(&output)
        .into_iter()
        .filter(|name| work.work_tree_has(name))
        .map(|name| format!(":(top,literal){name}\0"))
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    let arguments = ["add", "--force", "--pathspec-from-file=-", "--pathspec-file-nul"];
    work.run_with_input(doing, &arguments, names.concat().into_bytes()).await.map(drop)
}

impl Git {
    fn work_tree_has(&self, name: &str) -> bool {
        self.cwd().join(name).symlink_metadata().is_ok()
    }
}

async fn refuse_too_much(work: &Git) -> Result<(), Error> {
    let arguments = ["ls-files", "-z", "--others", "--modified", "--exclude-standard"];
    let output = work.run("list the working tree", &arguments).await?;
    let top = work.cwd().to_owned();
    let counted = tokio::task::spawn_blocking(move || measure(&top, &output)).await;
    let Ok((files, bytes, largest)) = counted else { return Ok(()) };
    if files <= MAX_NEW_FILES && bytes <= MAX_NEW_BYTES {
        return Ok(());
    }
    let message = format!("the working tree has {files} new files of {} MiB together", bytes >> 20);
    let problem = Problem::new("source-too-large", message)
        .hint("name what is no source in .gitignore: dependencies, data, build output");
    Err(Error::Refused(match largest {
        Some((name, bytes)) => {
            problem.detail(format!("most of it is in `{name}` ({} MiB)", bytes >> 20))
        }
        None => problem,
    }))
}

/// Number and size of files, and the first path segment that holds most of them.
fn measure(top: &Path, names: &[u8]) -> (usize, u64, Option<(String, u64)>) {
    let mut by_name: std::collections::HashMap<&[u8], u64> = std::collections::HashMap::new();
    let (mut files, mut total) = (0, 0);
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let path = top.join(std::ffi::OsStr::from_bytes(name));
        let Ok(metadata) = path.symlink_metadata() else { continue };
        files += 1;
        total += metadata.len();
        let first = name.split(|byte| *byte == b'/').next().unwrap_or(name);
        *by_name.entry(first).or_default() += metadata.len();
    }
    let largest = by_name.into_iter().max_by_key(|(_, bytes)| *bytes);
    (files, total, largest.map(|(name, bytes)| (String::from_utf8_lossy(name).into_owned(), bytes)))
}

async fn notes_of(work: &Git, top: &Path) -> Result<Vec<Note>, Error> {
    let mut notes = Vec::new();
    let has_lfs = fs::read_to_string(top.join(".gitattributes"))
        .is_ok_and(|text| text.contains("filter=lfs"));
    if has_lfs {
        let named =
            work.run("list LFS files", &["ls-files", "-z", "--", ":(attr:filter=lfs)"]).await?;
        let pointers: Vec<String> = git::split_nul(&named)
            .into_iter()
            .filter(|name| is_lfs_pointer(&top.join(name)))
            .collect();
        if !pointers.is_empty() {
            let count = pointers.len();
            let paths = pointers.into_iter().take(LFS_NAMES_SHOWN).collect();
            notes.push(Note::LfsPointers { paths, count });
        }
    }
    Ok(notes)
}

fn is_lfs_pointer(path: &Path) -> bool {
    let is_small = path.symlink_metadata().is_ok_and(|data| data.is_file() && data.len() < 1024);
    is_small
        && fs::read(path)
            .is_ok_and(|text| text.starts_with(b"version https://git-lfs.github.com/spec/"))
}

async fn commit(
    ours: &Git,
    origin: Option<&Origin>,
    parent: Option<&Head>,
    tree: String,
    top: &Path,
) -> Result<Commit, Error> {
    let head = origin.and_then(|origin| origin.head.as_ref());
    let branch = origin.map(|origin| origin.branch.clone()).unwrap_or_default();
    let is_dirty = head.is_none_or(|head| head.tree != tree);
    if let Some(head) = parent
        && !is_dirty
    {
        return Ok(Commit {
            id: head.id.clone(),
            tree,
            branch,
            subject: head.subject.clone(),
            is_dirty,
        });
    }
    let subject = match head {
        Some(head) if is_dirty => format!("changes on top of: {}", head.subject),
        Some(head) => head.subject.clone(),
        None => format!("files of {}", top.file_name().unwrap_or_default().to_string_lossy()),
    };
    let time = head.map_or(NO_TIME, |head| head.time.as_str());
    let time = format!("@{time}");
    let author =
        ours.clone().with_env("GIT_AUTHOR_DATE", &time).with_env("GIT_COMMITTER_DATE", &time);
    let mut arguments = vec!["commit-tree", &tree, "-m", &subject];
    if let Some(head) = parent {
        arguments.extend(["-p", &head.id]);
    }
    let id = author.text("write the snapshot", &arguments).await?;
    Ok(Commit { id, tree, branch, subject, is_dirty })
}
