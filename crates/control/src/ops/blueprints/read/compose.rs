//! From compose files to the same picture as from a Blueprint.
//!
//! The reader is pure and asks for files; they come from the commit that is deployed, and what git
//! does not know, as `.env` most often, from the working tree.

mod disk;
mod init;
mod settle;

use std::collections::BTreeMap;
use std::path::PathBuf;

use blueprint::compose::{self, Input};
use blueprint::{Code, Finding, Mode};
use model::{EnvOwner, Problem, Project, ValueOrigin};
use secrecy::{ExposeSecret, SecretString};

use super::{Request, Understood};
use crate::error::Error;
use crate::ops::blueprints::DEFAULT_ENVIRONMENT;
use crate::platform::Platform;

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
    let mut more_files = BTreeMap::new();
    let (variables, mistakes) =
        variables(platform, place, request, (&folder, kept), &mut more_files).await?;
    let mut input = Input {
        variables,
        files,
        more_files,
        profiles: request.profiles.clone(),
        project_name: place.project.to_owned(),
        mode: if request.is_strict { Mode::Strict } else { Mode::Tolerant },
        use_images: request.uses_images,
        allow_host_paths: request.allows_host_paths,
        root_dir: place.tree.as_ref().map(|tree| tree.display().to_string()),
        home_dir: std::env::var("HOME").ok(),
    };
    let mut reading = compose::read(&input);
    for _ in 0..compose::ROUNDS_MAX {
        if reading.needs.is_empty() {
            break;
        }
        let needs = std::mem::take(&mut reading.needs);
        input.more_files.extend(look_up(platform, place, needs).await?);
        reading = compose::read(&input);
    }
    if !reading.needs.is_empty() {
        reading.problems.push(compose::too_deep(&input, &reading.needs));
    }
    let reading = reading.refused_by(mistakes);
    let is_told = |finding: &&Finding| finding.code == Code::SharedVolume;
    let told = reading.problems.iter().filter(is_told).map(|finding| finding.message.clone());
    let mut notes: Vec<String> = told.collect();
    let mut blueprint = reading.blueprint;
    let mut init = BTreeMap::new();
    let mut seeds = BTreeMap::new();
    if let Some(blueprint) = &mut blueprint {
        let listing = platform.sources.list_files(place.project, place.commit_id).await?;
        let ground = settle::Ground { listing: &listing, tree: place.tree.as_deref() };
        seeds = ground.settle(blueprint, &mut notes);
        init = init::files(platform, place, blueprint, &listing, &mut notes).await?;
    }
    let texts = input.files.iter().map(|(path, text)| (path.clone(), text.clone()));
    let more = input.more_files.iter();
    let more = more.filter_map(|(path, text)| Some((path.clone(), text.clone()?)));
    Ok(Understood {
        blueprint,
        problems: reading.problems,
        init,
        given,
        seeds,
        texts: texts.chain(more).collect(),
        missing: reading.missing.into_iter().map(|missing| missing.name).collect(),
        notes,
    })
}

/// What is filled in where files name variables: kept values, then `.env`, then what is given now.
/// What is wrong in `.env` is found with it.
async fn variables(
    platform: &Platform,
    place: &Place<'_>,
    request: &Request,
    (folder, mut variables): (&str, BTreeMap<String, String>),
    more_files: &mut BTreeMap<String, Option<String>>,
) -> Result<(BTreeMap<String, String>, Vec<Finding>), Error> {
    let mut mistakes = Vec::new();
    let name = if folder.is_empty() { ".env".to_owned() } else { format!("{folder}/.env") };
    let mut found = look_up(platform, place, vec![name.clone()]).await?;
    let text = found.remove(&name).flatten();
    if let Some(text) = &text {
        match compose::read_env_file(&name, text, &variables) {
            Ok(own) => variables.extend(own),
            Err(found) => mistakes = found,
        }
    }
    more_files.insert(name, text);
    variables.extend(given(request).map(|(key, value)| (key.to_owned(), value.to_owned())));
    Ok((variables, mistakes))
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

/// Files of the commit, or of the working tree where git does not know them; `None` for those that
/// are not there.
async fn look_up(
    platform: &Platform,
    place: &Place<'_>,
    names: Vec<String>,
) -> Result<BTreeMap<String, Option<String>>, Error> {
    let mut known = platform.sources.read_files(place.project, place.commit_id, &names).await?;
    let mut found = BTreeMap::new();
    for name in names {
        let on_disk = || place.tree.as_deref().and_then(|tree| disk::file(tree, &name));
        let text = known.remove(&name).or_else(on_disk).map(String::from_utf8);
        let text = text.transpose().map_err(|_| {
            Problem::new("blueprint-not-text", format!("{name} is not UTF-8 text"))
                .hint("save it as UTF-8")
        })?;
        found.insert(name, text);
    }
    Ok(found)
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
