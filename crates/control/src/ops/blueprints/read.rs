//! From a directory to a Blueprint, or to what compose files declare.

pub(super) mod compose;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use blueprint::{Blueprint, Code, Finding, Mode, ReadOptions};
use model::{Commit, Problem};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::Request;
use crate::error::Error;
use crate::init_files::Raw;
use crate::platform::Platform;

/// Names that a Blueprint goes by, most usual first.
const NAMES: [&str; 2] = ["render.yaml", "render.yml"];
/// So many other files are named at most.
const OTHERS_MAX: usize = 4;

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
    #[serde(default)]
    pub(crate) files: Vec<String>,
    pub(crate) is_strict: bool,
    #[serde(default)]
    pub(crate) profiles: Vec<String>,
    #[serde(default)]
    pub(crate) uses_images: bool,
    #[serde(default)]
    pub(crate) allows_host_paths: bool,
    pub(crate) project: Option<String>,
    /// The name under which the source is kept, where it is not the project's.
    #[serde(default)]
    pub(crate) sources: Option<String>,
}

/// A project that this directory could be meant for: it has the name that the directory would
/// give its own, and was applied from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twin {
    /// Its name.
    pub project: String,
    /// Where it was applied from.
    pub source: String,
    /// Whether nothing is there any more: it was moved here, most likely.
    pub is_gone: bool,
}

/// A Blueprint that was read.
pub(super) struct Found {
    pub(super) project: String,
    /// Another project that may be meant; nobody has said yet which.
    pub(super) twin: Option<Twin>,
    pub(super) blueprint_file: String,
    pub(super) understood: Understood,
    pub(super) source: Source,
    /// By service name: the source of services that name another repository or branch.
    pub(super) others: BTreeMap<String, Commit>,
    pub(super) remembered: Remembered,
    /// Whether registries are asked what the names of images mean now.
    pub(super) refreshes_images: bool,
    /// Whether it was read from compose files.
    pub(super) is_compose: bool,
}

impl Found {
    /// The source of one service: the repository's own, or another one that it names.
    pub(super) fn commit_of(&self, service: &model::Service) -> &Commit {
        self.others.get(&service.name).unwrap_or(&self.source.commit)
    }

    /// The project to speak of: a file may name its projects, and then the directory's need not
    /// be one of them.
    pub(super) fn shown_project(&self) -> &str {
        let scopes = self.blueprint().map_or(&[][..], |blueprint| blueprint.scopes.as_slice());
        let own = self.project.as_str();
        let mut names = scopes.iter().map(|scope| scope.project.as_deref().unwrap_or(own));
        let first = names.clone().next().unwrap_or(own);
        if names.any(|name| name == own) { own } else { first }
    }

    /// Whether the file cannot be run as it is.
    pub(super) fn is_refused(&self) -> bool {
        self.blueprint().is_none()
    }

    pub(super) fn blueprint(&self) -> Option<&Blueprint> {
        self.understood.blueprint.as_ref()
    }
}

/// What the files say.
pub(super) struct Understood {
    /// What they declare; `None` when it cannot be run.
    pub(super) blueprint: Option<Blueprint>,
    /// What the reader has to say.
    pub(super) problems: Vec<Finding>,
    /// The texts, by path.
    pub(super) texts: BTreeMap<String, String>,
    /// Values that a person gave for variables of compose files.
    pub(super) given: Vec<SecretString>,
    /// By database: the files that fill it when it is new.
    pub(super) init: BTreeMap<String, Vec<Raw>>,
    /// By name of a volume: the directory of the working tree that a new one begins with.
    pub(super) seeds: BTreeMap<String, PathBuf>,
    /// Variables of compose files without a value.
    pub(super) missing: Vec<String>,
    /// What a person should know.
    pub(super) notes: Vec<String>,
}

pub(super) async fn read(platform: &Platform, request: &Request) -> Result<Found, Error> {
    let path = request.path.canonicalize().map_err(|error| {
        Error::from(
            Problem::new("path-not-found", format!("cannot open {}", request.path.display()))
                .detail(error.to_string())
                .hint("give the directory of the repository: `gable up PATH`"),
        )
    })?;
    let (project, twin) = match &request.project {
        Some(name) => (name.clone(), None),
        None => project_name(platform, &path)?,
    };
    let snapshot = match &request.commit {
        Some(commit) => platform.sources.revision(&project, &path, commit).await?,
        None => platform.sources.snapshot(&project, &path).await?,
    };
    let files = find(platform, &project, &snapshot, request).await?;
    let blueprint_file = names(&files);
    let blueprint = understand(&project, request, &files);
    let is_compose = blueprint.is_none();
    let mut source = Source {
        path: path.display().to_string(),
        commit: snapshot.commit.clone(),
        origin: snapshot.origin.clone(),
        notes: snapshot.notes.iter().map(ToString::to_string).collect(),
    };
    let understood = match blueprint {
        Some(understood) => {
            let blueprint = understood.blueprint.as_ref();
            take_root(platform, &project, &snapshot.sub_path, blueprint, &mut source).await?;
            understood
        }
        None => {
            let place = compose::Place {
                project: &project,
                commit_id: &source.commit.id,
                source: &source.path,
                tree: request.commit.is_none().then(|| root_of(&path, &snapshot.sub_path)),
            };
            compose::read(platform, &place, request, files).await?
        }
    };
    source.notes.extend(understood.notes.iter().cloned());
    let own = sources::Own::of(&path, request, &snapshot, &source);
    let blueprint = understood.blueprint.as_ref();
    let others = sources::other_sources(platform, (&project, &own), blueprint, &mut source).await?;
    Ok(Found {
        source,
        others,
        remembered: Remembered {
            path,
            files: request.files.clone(),
            is_strict: request.is_strict,
            profiles: request.profiles.clone(),
            uses_images: request.uses_images,
            allows_host_paths: request.allows_host_paths,
            project: request.project.clone(),
            sources: Some(project.clone()),
        },
        project,
        twin,
        blueprint_file,
        is_compose,
        refreshes_images: request.refreshes_images,
        understood,
    })
}

/// The paths of the files, for a person.
fn names(files: &[(String, String)]) -> String {
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    names.join(" + ")
}

/// The working tree that a directory of it belongs to.
fn root_of(path: &Path, sub_path: &str) -> PathBuf {
    let depth = Path::new(sub_path).components().count();
    path.ancestors().nth(depth).unwrap_or(path).to_owned()
}

/// Reads a Blueprint; `None` when the files are compose files.
fn understand(project: &str, request: &Request, files: &[(String, String)]) -> Option<Understood> {
    let [(name, text)] = files else { return None };
    let base = name.rsplit('/').next().unwrap_or(name);
    if base.contains("compose") {
        return None;
    }
    let mode = if request.is_strict { Mode::Strict } else { Mode::Tolerant };
    let options = ReadOptions { mode, file_name: name.clone(), project_name: project.to_owned() };
    let reading = blueprint::read(text, &options);
    let is_compose = reading.problems.iter().any(|finding| finding.code == Code::ComposeFile);
    (!is_compose).then(|| Understood {
        blueprint: reading.blueprint,
        problems: reading.problems,
        texts: BTreeMap::from([(name.clone(), text.clone())]),
        init: BTreeMap::new(),
        given: Vec::new(),
        seeds: BTreeMap::new(),
        missing: Vec::new(),
        notes: Vec::new(),
    })
}

/// Takes the Blueprint's directory as the source, or the repository's root, whichever is meant.
async fn take_root(
    platform: &Platform,
    project: &str,
    sub_path: &str,
    blueprint: Option<&Blueprint>,
    source: &mut Source,
) -> Result<(), Error> {
    if sub_path.is_empty() {
        return Ok(());
    }
    let files = platform.sources.list_files(project, &source.commit.id).await?;
    let roots: Vec<&str> = blueprint
        .into_iter()
        .flat_map(Blueprint::services)
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

/// The name of the project that was applied from this directory, or else the directory's own; of
/// two directories with one name the second gets a number, and the first is its twin.
fn project_name(platform: &Platform, path: &Path) -> Result<(String, Option<Twin>), Error> {
    let source = path.display().to_string();
    let projects = store::projects::list(&platform.store)?;
    let mut own = BTreeSet::new();
    for project in projects.iter().filter(|project| project.source == source) {
        own.insert(super::sources_of_project(platform, project.name.clone())?);
    }
    if own.len() == 1 {
        return Ok((own.pop_first().unwrap_or_default(), None));
    }
    let base = path.file_name().map_or_else(|| "project".into(), |name| name.to_string_lossy());
    let base = slug(&base);
    let elsewhere: BTreeMap<&str, &str> = projects
        .iter()
        .filter(|project| project.source != source)
        .map(|project| (project.name.as_str(), project.source.as_str()))
        .collect();
    let Some(other) = elsewhere.get(base.as_str()) else { return Ok((base, None)) };
    let name = store::slug::numbered(&base).find(|name| !elsewhere.contains_key(name.as_str()));
    let name = name.unwrap_or_else(|| base.clone());
    let is_known = projects.iter().any(|project| project.name == name);
    let twin =
        Twin { project: base, source: (*other).to_owned(), is_gone: !Path::new(other).exists() };
    Ok((name, (!is_known).then_some(twin)))
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

/// The files that were asked for, or those with the usual names: first in the directory, then at
/// the repository's root.
async fn find(
    platform: &Platform,
    project: &str,
    snapshot: &build::Snapshot,
    request: &Request,
) -> Result<Vec<(String, String)>, Error> {
    let commit_id = &snapshot.commit.id;
    let below = |name: &str| join(&snapshot.sub_path, name);
    let mut wanted: Vec<String> = request.files.iter().map(|name| below(name)).collect();
    if wanted.is_empty() {
        let listing = platform.sources.list_files(project, commit_id).await?;
        wanted = [snapshot.sub_path.as_str(), ""]
            .into_iter()
            .map(|folder| usual(folder, &listing))
            .find(|names| !names.is_empty())
            .unwrap_or_else(|| vec![below(NAMES[0])]);
    }
    let mut found = platform.sources.read_files(project, commit_id, &wanted).await?;
    let mut files = Vec::new();
    for name in wanted {
        let Some(bytes) = found.remove(&name) else {
            let listing = platform.sources.list_files(project, commit_id).await?;
            return Err(not_found(request, &name, &listing).into());
        };
        let text = String::from_utf8(bytes).map_err(|_| {
            Error::from(
                Problem::new("blueprint-not-text", format!("{name} is not UTF-8 text"))
                    .hint("save it as UTF-8"),
            )
        })?;
        files.push((name, text));
    }
    Ok(files)
}

/// The files with the usual names in a folder of a commit.
fn usual(folder: &str, listing: &[String]) -> Vec<String> {
    let here: Vec<&str> = listing
        .iter()
        .filter_map(|file| {
            let name = if folder.is_empty() {
                file
            } else {
                file.strip_prefix(folder)?.strip_prefix('/')?
            };
            (!name.contains('/')).then_some(name)
        })
        .collect();
    match NAMES.iter().find(|name| here.contains(*name)) {
        Some(name) => vec![join(folder, name)],
        None => {
            let names = blueprint::compose::default_files(&here);
            names.iter().map(|name| join(folder, name)).collect()
        }
    }
}

fn join(folder: &str, name: &str) -> String {
    let name = name.trim_start_matches("./");
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

fn not_found(request: &Request, name: &str, listing: &[String]) -> Problem {
    let what = if request.files.is_empty() {
        format!("{} and no compose file", NAMES[0])
    } else {
        name.to_owned()
    };
    Problem::new(
        "blueprint-not-found",
        match &request.commit {
            Some(commit) => format!("there is no {what} in commit {commit}"),
            None => format!("there is no {what} in {}", request.path.display()),
        },
    )
    .hint(match others(name, listing).as_slice() {
        [] => "name another file with `--file`; a file that `.gitignore` excludes is not seen"
            .to_owned(),
        names => format!("there is {}: name it with `--file`", names.join(", ")),
    })
}

/// Files beside a missing one that may be meant.
fn others(missing: &str, listing: &[String]) -> Vec<String> {
    let folder = missing.rsplit_once('/').map_or("", |(folder, _)| folder);
    let beside = listing.iter().filter_map(|file| {
        let (place, name) = file.rsplit_once('/').unwrap_or(("", file));
        let is_yaml = Path::new(name)
            .extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("yml") || end.eq_ignore_ascii_case("yaml"));
        let is_meant = name.contains("compose") || name.starts_with("render");
        (place == folder && is_yaml && is_meant).then(|| name.to_owned())
    });
    beside.take(OTHERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blueprint_comes_before_compose_files_of_its_folder() {
        let listing =
            ["compose.yaml", "deploy/compose.override.yaml", "deploy/compose.yaml", "render.yaml"]
                .map(str::to_owned);
        assert_eq!(usual("", &listing), ["render.yaml"]);
        assert_eq!(
            usual("deploy", &listing),
            ["deploy/compose.yaml", "deploy/compose.override.yaml"]
        );
        assert!(usual("src", &listing).is_empty());
    }

    #[test]
    fn files_that_may_be_meant_are_named() {
        let listing = ["docker-compose.dev.yml", "deploy/render.prod.yaml", "notes.yml"];
        let listing = listing.map(str::to_owned);
        assert_eq!(others("render.yaml", &listing), ["docker-compose.dev.yml"]);
        assert_eq!(others("deploy/compose.yaml", &listing), ["render.prod.yaml"]);
        assert!(others("src/compose.yaml", &listing).is_empty());
    }

    #[test]
    fn the_root_of_a_tree_is_found_from_a_directory_in_it() {
        assert_eq!(
            root_of(Path::new("/code/shop/deploy/eu"), "deploy/eu"),
            Path::new("/code/shop")
        );
        assert_eq!(root_of(Path::new("/code/shop"), ""), Path::new("/code/shop"));
    }
}
