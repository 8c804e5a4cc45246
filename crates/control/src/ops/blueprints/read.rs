//! From a directory to a Blueprint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use blueprint::{Blueprint, Mode, ReadOptions, Reading};
use model::{Commit, Problem};
use serde::{Deserialize, Serialize};

use super::Request;
use crate::error::Error;
use crate::platform::Platform;

/// Names that a Blueprint goes by, most usual first.
const NAMES: [&str; 2] = ["render.yaml", "render.yml"];

/// Where a Blueprint comes from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The directory that was given.
    pub path: String,
    /// The state of it.
    pub commit: Commit,
    /// URL of its `origin`.
    pub origin: Option<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// What a project was last applied with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Remembered {
    pub(crate) path: PathBuf,
    pub(crate) blueprint_file: Option<String>,
    pub(crate) is_strict: bool,
    pub(crate) project: Option<String>,
    /// The name under which the source is kept, where it is not the project's.
    #[serde(default)]
    pub(crate) sources: Option<String>,
}

/// A Blueprint that was read.
pub(super) struct Found {
    pub(super) project: String,
    pub(super) blueprint_file: String,
    pub(super) text: String,
    pub(super) source: Source,
    pub(super) reading: Reading,
    /// By service name: the source of services that name another repository or branch.
    pub(super) others: BTreeMap<String, Commit>,
    pub(super) remembered: Remembered,
    /// Whether registries are asked what the names of images mean now.
    pub(super) refreshes_images: bool,
}

impl Found {
    /// The source of one service: the repository's own, or another one that it names.
    pub(super) fn commit_of(&self, service: &model::Service) -> &Commit {
        self.others.get(&service.name).unwrap_or(&self.source.commit)
    }

    /// Whether the file cannot be run as it is.
    pub(super) fn is_refused(&self) -> bool {
        self.blueprint().is_none()
    }

    pub(super) fn blueprint(&self) -> Option<&Blueprint> {
        self.reading.blueprint.as_ref()
    }
}

pub(super) async fn read(platform: &Platform, request: &Request) -> Result<Found, Error> {
    let path = request.path.canonicalize().map_err(|error| {
        Error::from(
            Problem::new("path-not-found", format!("cannot open {}", request.path.display()))
                .detail(error.to_string())
                .hint("give the directory of the repository: `gable up PATH`"),
        )
    })?;
    let project = match &request.project {
        Some(name) => name.clone(),
        None => project_name(platform, &path)?,
    };
    let snapshot = match &request.commit {
        Some(commit) => platform.sources.revision(&project, &path, commit).await?,
        None => platform.sources.snapshot(&project, &path).await?,
    };
    let (file, bytes) = find(platform, &project, &snapshot, request).await?;
    let text = String::from_utf8(bytes).map_err(|_| {
        Error::from(
            Problem::new("blueprint-not-text", format!("{file} is not UTF-8 text"))
                .hint("save it as UTF-8"),
        )
    })?;
    let mode = if request.is_strict { Mode::Strict } else { Mode::Tolerant };
    let options = ReadOptions { mode, file_name: file.clone(), project_name: project.clone() };
    let reading = blueprint::read(&text, &options);
    let mut source = Source {
        path: path.display().to_string(),
        commit: snapshot.commit,
        origin: snapshot.origin,
        notes: snapshot.notes.iter().map(ToString::to_string).collect(),
    };
    take_root(platform, &project, &snapshot.sub_path, &reading, &mut source).await?;
    let others = others(platform, &project, &reading, &mut source).await?;
    Ok(Found {
        source,
        others,
        remembered: Remembered {
            path,
            blueprint_file: request.blueprint_file.clone(),
            is_strict: request.is_strict,
            project: request.project.clone(),
            sources: Some(project.clone()),
        },
        project,
        blueprint_file: file,
        refreshes_images: request.refreshes_images,
        text,
        reading,
    })
}

/// Takes the Blueprint's directory as the source, or the repository's root, whichever is meant.
async fn take_root(
    platform: &Platform,
    project: &str,
    sub_path: &str,
    reading: &Reading,
    source: &mut Source,
) -> Result<(), Error> {
    if sub_path.is_empty() {
        return Ok(());
    }
    let files = platform.sources.list_files(project, &source.commit.id).await?;
    let roots: Vec<&str> = reading
        .blueprint
        .iter()
        .flat_map(|blueprint| blueprint.services())
        .map(|service| service.root_dir.as_str())
        .collect();
    if reconcile::source::is_directory_the_source(&files, sub_path, &roots) {
        source.commit = platform.sources.part(project, &source.commit, sub_path).await?;
    } else {
        source.notes.push(format!(
            "the paths of the Blueprint in {sub_path} are taken from the repository's root"
        ));
    }
    Ok(())
}

/// Fetches what services take from elsewhere. A `repo` that is this very repository means the
/// working tree; so does one that cannot be told from it by its name.
async fn others(
    platform: &Platform,
    project: &str,
    reading: &Reading,
    source: &mut Source,
) -> Result<BTreeMap<String, Commit>, Error> {
    let mut others = BTreeMap::new();
    let services = reading.blueprint.iter().flat_map(|blueprint| blueprint.services());
    for service in services {
        let Some(repo) = &service.repo else { continue };
        let is_this = match &source.origin {
            Some(origin) => {
                build::sources::names_same_repository(repo, origin)
                    || last_part(repo) == last_part(origin)
            }
            None => true,
        };
        if is_this {
            let note = format!("{}: `repo` is taken to be this directory", service.name);
            if source
                .origin
                .as_ref()
                .is_none_or(|origin| !build::sources::names_same_repository(repo, origin))
            {
                source.notes.push(note);
            }
            continue;
        }
        let branch = service.branch.as_deref();
        let commit = platform.sources.fetch_remote(project, repo, branch).await?;
        others.insert(service.name.clone(), commit);
    }
    Ok(others)
}

/// `name` of `https://host/owner/name.git`.
fn last_part(url: &str) -> &str {
    let url = url.trim_end_matches('/').trim_end_matches(".git");
    url.rsplit(['/', ':']).next().unwrap_or(url)
}

/// The directory's name; of two directories with one name the second gets a number.
fn project_name(platform: &Platform, path: &Path) -> Result<String, Error> {
    let base = path.file_name().map_or_else(|| "project".into(), |name| name.to_string_lossy());
    let base = slug(&base);
    let source = path.display().to_string();
    for number in 1.. {
        let name = if number == 1 { base.clone() } else { format!("{base}-{number}") };
        match store::projects::by_name(&platform.store, &name)? {
            Some(project) if project.source != source => {}
            _ => return Ok(name),
        }
    }
    Ok(base)
}

/// Letters, digits and hyphens only.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for character in text.chars() {
        match character.to_ascii_lowercase() {
            character if character.is_ascii_alphanumeric() => slug.push(character),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    let slug: String = slug.trim_end_matches('-').chars().take(40).collect();
    if slug.is_empty() { "project".to_owned() } else { slug }
}

async fn find(
    platform: &Platform,
    project: &str,
    snapshot: &build::Snapshot,
    request: &Request,
) -> Result<(String, Vec<u8>), Error> {
    let below = |name: &str| {
        let name = name.trim_start_matches("./");
        if snapshot.sub_path.is_empty() {
            name.to_owned()
        } else {
            format!("{}/{name}", snapshot.sub_path)
        }
    };
    let names: Vec<String> = match &request.blueprint_file {
        Some(name) => vec![below(name)],
        None => NAMES
            .iter()
            .map(|name| below(name))
            .chain(NAMES.iter().map(|name| (*name).to_owned()))
            .collect(),
    };
    let mut files = platform.sources.read_files(project, &snapshot.commit.id, &names).await?;
    for name in &names {
        if let Some(bytes) = files.remove(name) {
            return Ok((name.clone(), bytes));
        }
    }
    let what = request.blueprint_file.as_deref().unwrap_or(NAMES[0]);
    Err(Problem::new(
        "blueprint-not-found",
        match &request.commit {
            Some(commit) => format!("there is no {what} in commit {commit}"),
            None => format!("there is no {what} in {}", request.path.display()),
        },
    )
    .hint("name another file with `--file`; a file that `.gitignore` excludes is not seen")
    .into())
}
