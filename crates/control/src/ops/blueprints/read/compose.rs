//! From compose files to the same picture as from a Blueprint.
//!
//! The reader is pure and asks for files; they come from the commit that is deployed, and what git
//! does not know, as `.env` most often, from the working tree.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use blueprint::compose::{self, Input};
use blueprint::{Blueprint, Mode};
use model::{
    ContainerFile, EnvOwner, EnvSource, EnvVar, FileSource, Problem, Project, Service, ValueOrigin,
    Volume, VolumeSource,
};
use secrecy::{ExposeSecret, SecretString};

use super::{Request, Understood};
use crate::error::Error;
use crate::ops::blueprints::DEFAULT_ENVIRONMENT;
use crate::platform::Platform;

/// Files name files that name files, so often at most.
const ROUNDS_MAX: usize = 8;
/// Largest file of the working tree that is read: `.env` files, configurations, secrets.
const FILE_LIMIT_BYTES: u64 = 1 << 20;
/// Under this name the values are kept that a person gave for variables of compose files.
const VARIABLES: &str = "compose file";

/// Where compose files and what they name are looked up.
pub(super) struct Place<'a> {
    /// The project.
    pub(super) project: &'a str,
    /// The commit that is deployed.
    pub(super) commit_id: &'a str,
    /// The directory that was given.
    pub(super) source: &'a str,
    /// The working tree's root; `None` when a commit was asked for instead.
    pub(super) tree: Option<PathBuf>,
}

/// Reads compose files, given by their paths in the repository, in order.
pub(super) async fn read(
    platform: &Platform,
    place: &Place<'_>,
    request: &Request,
    files: Vec<(String, String)>,
) -> Result<Understood, Error> {
    let folder = files.first().map_or("", |(path, _)| parent(path)).to_owned();
    let kept = kept(platform, place, request)?;
    let given = given(request).map(|(_, value)| value).chain(kept.values().map(String::as_str));
    let given = given.map(SecretString::from).collect();
    let mut input = Input {
        variables: variables(platform, place, request, (&folder, kept)).await?,
        files,
        more_files: BTreeMap::new(),
        profiles: request.profiles.clone(),
        project_name: place.project.to_owned(),
        mode: if request.is_strict { Mode::Strict } else { Mode::Tolerant },
        use_images: request.uses_images,
        allow_host_paths: request.allows_host_paths,
        root_dir: place.tree.as_ref().map(|tree| tree.display().to_string()),
        home_dir: std::env::var("HOME").ok(),
    };
    let mut reading = compose::read(&input);
    for _ in 0..ROUNDS_MAX {
        if reading.needs.is_empty() {
            break;
        }
        for name in std::mem::take(&mut reading.needs) {
            let text = look_up(platform, place, &name).await?;
            input.more_files.insert(name, text);
        }
        reading = compose::read(&input);
    }
    let mut blueprint = reading.blueprint;
    let mut notes = Vec::new();
    let mut init = BTreeMap::new();
    if let Some(blueprint) = &mut blueprint {
        let listing = platform.sources.list_files(place.project, place.commit_id).await?;
        settle(blueprint, &listing, place, &mut notes);
        init = init_files(platform, place, blueprint, &listing).await?;
    }
    let texts = input.files.iter().map(|(path, text)| (path.clone(), text.clone()));
    let more = input.more_files.iter();
    let more = more.filter_map(|(path, text)| Some((path.clone(), text.clone()?)));
    Ok(Understood {
        blueprint,
        problems: reading.problems,
        init,
        given,
        texts: texts.chain(more).collect(),
        missing: reading.missing.into_iter().map(|missing| missing.name).collect(),
        notes,
    })
}

/// What is filled in where files name variables: kept values, then `.env`, then what is given now.
async fn variables(
    platform: &Platform,
    place: &Place<'_>,
    request: &Request,
    (folder, mut variables): (&str, BTreeMap<String, String>),
) -> Result<BTreeMap<String, String>, Error> {
    let name = if folder.is_empty() { ".env".to_owned() } else { format!("{folder}/.env") };
    if let Some(text) = look_up(platform, place, &name).await? {
        let known = variables.clone();
        variables.extend(compose::read_env_file(&text, &known));
    }
    variables.extend(given(request).map(|(key, value)| (key.to_owned(), value.to_owned())));
    Ok(variables)
}

/// Values of this request for variables of the files.
fn given(request: &Request) -> impl Iterator<Item = (&str, &str)> {
    let given = request.set.iter().filter(|assignment| assignment.service.is_none());
    given.map(|given| (given.key.as_str(), given.value.expose_secret()))
}

/// Values that were kept for this project. A compose file may give itself another name than its
/// directory has, which is not known yet: then the project is the one that came from there.
fn kept(
    platform: &Platform,
    place: &Place<'_>,
    request: &Request,
) -> Result<BTreeMap<String, String>, Error> {
    let is_own = |project: &Project| project.name == place.project;
    let mut projects = store::projects::list(&platform.store)?;
    projects.retain(|project| {
        is_own(project) || (request.project.is_none() && project.source == place.source)
    });
    // What is said last counts.
    projects.sort_by_key(is_own);
    let owner = EnvOwner::Group(VARIABLES.to_owned());
    let mut kept = BTreeMap::new();
    for project in projects {
        let name = DEFAULT_ENVIRONMENT;
        let Some(environment) = store::environments::by_name(&platform.store, &project.id, name)?
        else {
            continue;
        };
        let values = store::values::list(&platform.store, &environment.id)?.into_iter();
        let values = values.filter(|value| value.owner == owner);
        kept.extend(values.map(|value| (value.key, value.value.expose_secret().to_owned())));
    }
    Ok(kept)
}

/// Keeps values that a person gave for variables of compose files, for the next time.
pub(crate) fn keep(
    platform: &Platform,
    environment_id: &model::EnvironmentId,
    request: &Request,
) -> Result<(), Error> {
    let owner = EnvOwner::Group(VARIABLES.to_owned());
    for given in request.set.iter().filter(|given| given.service.is_none()) {
        let slot = store::values::Slot { environment_id, owner: &owner, key: &given.key };
        let now = jiff::Timestamp::now();
        store::values::set(&platform.store, slot, &given.value, ValueOrigin::Operator, now)?;
    }
    Ok(())
}

/// The files that fill new databases, in the order of their names, as the images run them.
async fn init_files(
    platform: &Platform,
    place: &Place<'_>,
    blueprint: &Blueprint,
    listing: &[String],
) -> Result<BTreeMap<String, Vec<(String, Vec<u8>)>>, Error> {
    let mut all = BTreeMap::new();
    for (name, settings) in blueprint.scopes.iter().flat_map(|scope| &scope.database_settings) {
        let declared = settings.compose.iter().flat_map(|origin| &origin.init_files);
        let paths: Vec<String> =
            declared.flat_map(|path| files_at(&build::container::plain(path), listing)).collect();
        let mut found = platform.sources.read_files(place.project, place.commit_id, &paths).await?;
        let files = paths.into_iter().filter_map(|path| {
            let bytes = found.remove(&path)?;
            Some((path.rsplit('/').next().unwrap_or(&path).to_owned(), bytes))
        });
        all.insert(name.clone(), files.collect());
    }
    Ok(all)
}

/// A file, or what a directory holds of statements.
fn files_at(path: &str, listing: &[String]) -> Vec<String> {
    let is_init = |file: &&String| file.ends_with(".sql") || file.ends_with(".sql.gz");
    let inside = listing.iter().filter(|file| parent(file) == path).filter(is_init);
    let itself = listing.iter().filter(|file| *file == path);
    itself.chain(inside).cloned().collect()
}

/// A file of the commit, or of the working tree where git does not know it.
async fn look_up(
    platform: &Platform,
    place: &Place<'_>,
    name: &str,
) -> Result<Option<String>, Error> {
    let known = platform.sources.read_file(place.project, place.commit_id, name).await?;
    let bytes = match known {
        Some(bytes) => bytes,
        None => match place.tree.as_deref().and_then(|tree| on_disk(tree, name)) {
            Some(bytes) => bytes,
            None => return Ok(None),
        },
    };
    String::from_utf8(bytes).map(Some).map_err(|_| {
        Problem::new("blueprint-not-text", format!("{name} is not UTF-8 text"))
            .hint("save it as UTF-8")
            .into()
    })
}

/// A regular file of the working tree; nothing that a link leads to outside of it.
fn on_disk(tree: &Path, name: &str) -> Option<Vec<u8>> {
    let is_plain = Path::new(name)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let path = tree.join(name).canonicalize().ok().filter(|_| is_plain)?;
    let metadata = path.metadata().ok()?;
    let is_inside = path.starts_with(tree.canonicalize().ok()?);
    if !is_inside || !metadata.is_file() || metadata.len() > FILE_LIMIT_BYTES {
        return None;
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(FILE_LIMIT_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// What a path of the project is.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// Part of the source: it comes with the release.
    Source,
    /// A small file that git does not know: its text is sealed with the variables.
    Small(String),
    /// Anything else: a directory for data, kept like a volume.
    Kept,
}

/// Says of every path that a container sees where its bytes come from.
fn settle(
    blueprint: &mut Blueprint,
    listing: &[String],
    place: &Place<'_>,
    notes: &mut Vec<String>,
) {
    let mut said = BTreeSet::new();
    for service in blueprint.scopes.iter_mut().flat_map(|scope| &mut scope.services) {
        settle_service(
            service,
            &|path| kind_of(path, listing, place.tree.as_deref()),
            &mut |note| {
                if said.insert(note.clone()) {
                    notes.push(note);
                }
            },
        );
    }
}

fn kind_of(path: &str, listing: &[String], tree: Option<&Path>) -> Kind {
    let plain = build::container::plain(path);
    let is_known =
        plain.is_empty() || listing.iter().any(|file| Path::new(file).starts_with(&plain));
    if is_known {
        return Kind::Source;
    }
    let text = tree.and_then(|tree| on_disk(tree, &plain)).map(String::from_utf8);
    match text {
        Some(Ok(text)) => Kind::Small(text),
        _ => Kind::Kept,
    }
}

fn settle_service(
    service: &mut Service,
    kind_of: &dyn Fn(&str) -> Kind,
    note: &mut dyn FnMut(String),
) {
    let mut files = Vec::new();
    let mut values = Vec::new();
    let mut seal = |text: String, number: usize| {
        let key = format!("GABLE_SECRET_FILE_{number}");
        values.push(EnvVar {
            key: key.clone(),
            source: EnvSource::Literal(text),
            preview_value: None,
        });
        FileSource::Variable(key)
    };
    let mut number = 0;
    service.container.volumes.retain_mut(|volume: &mut Volume| {
        let VolumeSource::Project(path) = &volume.source else { return true };
        match kind_of(path) {
            Kind::Source => true,
            Kind::Kept => {
                let name = format!("./{}", build::container::plain(path));
                note(format!("{name} is not part of the source: it is kept as a volume"));
                volume.source = VolumeSource::Named(name);
                true
            }
            Kind::Small(text) => {
                number += 1;
                files.push(ContainerFile {
                    target: volume.target.clone(),
                    source: seal(text, number),
                    mode: 0o444,
                });
                false
            }
        }
    });
    for file in &mut service.container.files {
        let FileSource::Project(path) = &file.source else { continue };
        if let Kind::Small(text) = kind_of(path) {
            number += 1;
            file.source = seal(text, number);
        }
    }
    for secret in service.docker.iter_mut().flat_map(|docker| &mut docker.secrets) {
        let FileSource::Project(path) = &secret.source else { continue };
        if let Kind::Small(text) = kind_of(path) {
            number += 1;
            secret.source = seal(text, number);
        }
    }
    service.container.files.extend(files);
    service.env.extend(values);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_path_is_source_a_sealed_file_or_kept_data() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::write(tree.path().join("secret.txt"), "s3cret").unwrap();
        std::fs::create_dir(tree.path().join("data")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", tree.path().join("leads-out")).unwrap();
        let listing = ["conf/nginx.conf".to_owned()];
        let kind = |path| kind_of(path, &listing, Some(tree.path()));
        assert_eq!(kind("./conf"), Kind::Source);
        assert_eq!(kind("conf/nginx.conf"), Kind::Source);
        assert_eq!(kind("."), Kind::Source);
        assert_eq!(kind("./secret.txt"), Kind::Small("s3cret".to_owned()));
        assert_eq!(kind("./data"), Kind::Kept);
        assert_eq!(kind("./not-there"), Kind::Kept);
        assert_eq!(kind("./leads-out"), Kind::Kept);
    }

    #[test]
    fn what_git_does_not_know_is_sealed_or_kept() {
        let mut service = testing::definition("web");
        let volume = |path: &str, target: &str| Volume {
            source: VolumeSource::Project(path.to_owned()),
            target: target.to_owned(),
            is_read_only: false,
            subpath: None,
        };
        service.container.volumes =
            vec![volume("./src", "/app"), volume("./data", "/data"), volume("./key", "/key")];
        let kind = |path: &str| match path {
            "./src" => Kind::Source,
            "./data" => Kind::Kept,
            _ => Kind::Small("text".to_owned()),
        };
        let mut notes = Vec::new();
        settle_service(&mut service, &kind, &mut |note| notes.push(note));
        let sources: Vec<_> =
            service.container.volumes.iter().map(|volume| volume.source.clone()).collect();
        assert_eq!(
            sources,
            [VolumeSource::Project("./src".to_owned()), VolumeSource::Named("./data".to_owned())]
        );
        assert_eq!(service.container.files.len(), 1);
        assert_eq!(service.env.len(), 1);
        assert_eq!(notes, ["./data is not part of the source: it is kept as a volume"]);
    }
}
