//! The directory of a static site's files.

use std::fs;
use std::path::{Component, Path, PathBuf};

use model::{Artifact, Problem, Service};

/// The most names of existing directories that a problem lists.
const NAMES_SHOWN: usize = 8;
/// Where builds of static sites usually put their files.
const USUAL: &[&str] = &["dist", "build", "out", "public", "_site", "www", "site", "output"];

/// The directory that the edge serves for a static site, on this machine.
///
/// # Errors
/// When it is missing, empty, or not inside the checkout; the problem names what is there instead.
pub fn published_dir(service: &Service, artifact: &Artifact) -> Result<PathBuf, Problem> {
    check(service, &Path::new(&artifact.path).join("tree"))
}

pub(crate) fn check(service: &Service, tree: &Path) -> Result<PathBuf, Problem> {
    let wanted = service.publish_path.as_deref().unwrap_or_default();
    let relative = relative_path(&service.root_dir)
        .and_then(|root| Some(root.join(relative_path(wanted)?)))
        .ok_or_else(|| outside(wanted))?;
    let path = tree.join(&relative);
    let Ok(real) = path.canonicalize() else {
        return Err(missing(service, tree, &relative, "does not exist after the build"));
    };
    let inside = tree.canonicalize().is_ok_and(|tree| real.starts_with(tree));
    if !inside {
        return Err(outside(wanted));
    }
    if !real.is_dir() {
        return Err(missing(service, tree, &relative, "is not a directory"));
    }
    match fs::read_dir(&real).map(|mut entries| entries.next().is_none()) {
        Ok(false) => Ok(real),
        _ => Err(missing(service, tree, &relative, "is empty after the build")),
    }
}

fn outside(wanted: &str) -> Problem {
    Problem::new(
        "publish-path-outside",
        format!("the publish path `{wanted}` leads out of the repository"),
    )
    .hint("give a directory below the service's root directory, such as `./dist`")
}

fn missing(service: &Service, tree: &Path, relative: &Path, what: &str) -> Problem {
    let wanted = service.publish_path.as_deref().unwrap_or_default();
    let problem =
        Problem::new("publish-path-missing", format!("the publish path `{wanted}` {what}"));
    let parent = nearest_existing(tree, relative);
    let shown = parent.strip_prefix(tree).unwrap_or(&parent).display().to_string();
    let place =
        if shown.is_empty() { "the repository's root".to_owned() } else { format!("`{shown}`") };
    let directories = directories_in(&parent);
    let problem = if directories.is_empty() {
        problem.detail(format!("there is no directory in {place}"))
    } else {
        problem.detail(format!("directories in {place}: {}", directories.join(", ")))
    };
    let root = relative_path(&service.root_dir).map(|root| tree.join(root)).unwrap_or_default();
    let guess = USUAL.iter().find(|name| **name != wanted && has_files(&root.join(name)));
    match guess {
        Some(name) => problem
            .hint(format!("the build seems to write to `{name}`: set `staticPublishPath: {name}`")),
        None => problem
            .hint("set `staticPublishPath` to the directory that the build command writes to"),
    }
}

/// `None` when the path leaves the directory it is relative to.
fn relative_path(text: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for component in Path::new(text).components() {
        match component {
            Component::Normal(part) => path.push(part),
            // Real files write `/dist` and mean `./dist`.
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

fn nearest_existing(tree: &Path, relative: &Path) -> PathBuf {
    relative
        .ancestors()
        .skip(1)
        .map(|ancestor| tree.join(ancestor))
        .find(|path| path.is_dir())
        .unwrap_or_else(|| tree.to_owned())
}

fn directories_in(path: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name != ".git")
        .collect();
    names.sort();
    names.truncate(NAMES_SHOWN);
    names
}

fn has_files(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
}
