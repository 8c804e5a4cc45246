//! What is declared beside what is there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use build::toolchain::{Host, resolve_on};
use model::{ArtifactId, Problem, Runtime, Service, ServiceKind, VolumeSource};
use reconcile::filter::Filter;
use reconcile::service::{Change as Decision, Current, Standing, Wanted, decide};
use reconcile::wiring::{self, Variable};

use super::facts::Picture;
use super::read::Found;
use super::{Change, ChangeAction, Draft, Missing, Noun, Resolved, kind_of, notes};
use crate::environments;
use crate::error::Error;
use crate::platform::Platform;

/// What the key of artifact addresses is derived under.
const ARTIFACT_KEY: &str = "artifact-addresses/1";

/// What was asked of the host and of registries for one plan: each question once, however many
/// services need its answer.
#[derive(Default)]
pub(super) struct Look {
    host: Host,
    /// By the image as it is declared: its digest, or why there is none.
    images: Mutex<HashMap<String, Result<String, String>>>,
}

/// The plan, and every service with what its release needs.
pub(super) async fn draft(
    platform: &Platform,
    found: &Found,
    picture: &Picture,
    look: &Look,
) -> Result<(Draft, Vec<Resolved>), Error> {
    read_ahead(platform, found, picture).await?;
    let mut draft = Draft {
        project: found.shown_project().to_owned(),
        blueprint_file: found.blueprint_file.clone(),
        texts: found.understood.texts.clone(),
        source: found.source.clone(),
        findings: found.understood.problems.clone(),
        twin: found.twin.clone(),
        changes: Vec::new(),
        missing: Vec::new(),
        notes: Vec::new(),
        is_refused: found.blueprint().is_none(),
    };
    draft.missing.extend(found.understood.missing.iter().map(|key| Missing {
        environment: super::DEFAULT_ENVIRONMENT.to_owned(),
        service: String::new(),
        key: key.clone(),
        why: "the file names it, and nothing gives it a value".to_owned(),
        hint: Some(format!("write it into `.env` beside the file, or give `--set {key}=…`")),
    }));
    let mut resolved = Vec::new();
    for scope in &picture.scopes {
        draft.changes.extend(scope.changes.iter().cloned());
        draft.notes.extend(scope.notes.iter().cloned());
        let mut resolution = wiring::resolve(&scope.wiring);
        if let Some(problem) = resolution.problems.first() {
            return Err(problem.clone().into());
        }
        for missing in &resolution.missing {
            // The apply that follows makes it.
            if missing.why == wiring::Why::NotGeneratedYet {
                continue;
            }
            draft.missing.push(Missing {
                environment: scope.environment.name.clone(),
                service: missing.service.clone(),
                key: missing.key.clone(),
                why: if found.is_compose && missing.why == wiring::Why::AskedFor {
                    "the file leaves it open".to_owned()
                } else {
                    missing.why.to_string()
                },
                hint: Some(missing.hint.clone()),
            });
        }
        for service in &scope.services {
            let variables =
                resolution.services.remove(&service.row.definition.name).unwrap_or_default();
            let place = Place { platform, found, look, environment: &scope.environment.name };
            let one = compare_service(&place, service, variables).await?;
            draft.notes.extend(one.notes);
            draft.changes.push(one.change);
            resolved.push(one.resolved);
        }
    }
    draft.notes.extend(notes::without_effect(found));
    let scopes = found.blueprint().map_or(&[][..], |blueprint| blueprint.scopes.as_slice());
    draft
        .notes
        .extend(scopes.iter().flat_map(|one| &one.services).flat_map(notes::refused_capabilities));
    draft.notes.extend(super::https::wanted(platform, &resolved).await);
    draft.notes.dedup();
    Ok((draft, resolved))
}

/// Reads the files that decide about tools and Dockerfiles of all services in one go.
async fn read_ahead(platform: &Platform, found: &Found, picture: &Picture) -> Result<(), Error> {
    let mut wanted: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for service in picture.scopes.iter().flat_map(|scope| &scope.services) {
        let files = build::toolchain::deciding_files(&service.row.definition);
        let files = files.into_iter().chain(package_path(&service.row.definition));
        wanted.entry(&service.commit.id).or_default().extend(files);
    }
    for (commit_id, files) in wanted {
        let files: Vec<String> = files.into_iter().collect();
        platform.sources.read_files(&found.project, commit_id, &files).await?;
    }
    Ok(())
}

/// Where services are compared, and with what.
struct Place<'a> {
    platform: &'a Platform,
    found: &'a Found,
    look: &'a Look,
    environment: &'a str,
}

const PACKAGE: &str = "package.json";

struct Compared {
    change: Change,
    resolved: Resolved,
    notes: Vec<String>,
}

async fn compare_service(
    place: &Place<'_>,
    service: &super::facts::ServicePicture,
    variables: Vec<Variable>,
) -> Result<Compared, Error> {
    let platform = place.platform;
    let definition = &service.row.definition;
    let mut change = Change {
        action: ChangeAction::Later,
        noun: Noun::Service,
        kind: kind_of(definition),
        name: definition.name.clone(),
        environment: place.environment.to_owned(),
        details: Vec::new(),
    };
    let mut resolved = Resolved {
        row: service.row.clone(),
        commit: service.commit.clone(),
        variables,
        artifact_id: None,
        decision: Decision::Create,
    };
    let mut told: Vec<String> = own_host(&mut resolved).into_iter().collect();
    told.extend(tell_adapter(place, &mut resolved).await?);
    let mut notes = pin_image(place, &mut resolved).await;
    let (artifact_id, more) = artifact(place, &resolved).await?;
    notes.extend(more);
    notes.extend(told);
    resolved.artifact_id = Some(artifact_id);
    let (decision, reasons) = decision(platform, service, &resolved)?;
    change.action = match decision {
        Decision::Create => ChangeAction::Create,
        Decision::Rebuild => ChangeAction::Rebuild,
        Decision::Restart | Decision::Retry => not_rebuilt(platform, service, decision)?,
        Decision::Keep => ChangeAction::Keep,
    };
    change.details = reasons;
    resolved.decision = decision;
    Ok(Compared { change, resolved, notes })
}

/// A service that answers for its host on Render and no other is asked for by that one. Whoever
/// reads the plan is told.
fn own_host(resolved: &mut Resolved) -> Option<String> {
    let service = &mut resolved.row.definition;
    if !service.is_public() {
        return None;
    }
    let host = reconcile::hosts::own_render_host(&service.name, &resolved.variables)?;
    if !service.domains.contains(&host) {
        service.domains.insert(0, host.clone());
    }
    Some(format!(
        "{}: it allows the host {host}, which is one of its hosts here: health checks ask for it, \
         and the edge answers for it; for a browser allow its .localhost host too",
        service.name
    ))
}

/// Where a service says which packages it is made of, if that matters for its variables.
fn package_path(service: &Service) -> Option<String> {
    let is_told = !service.container.without_platform_env && service.is_public();
    if !is_told || !matches!(service.runtime, Runtime::Node | Runtime::Docker) {
        return None;
    }
    let root = service.root_dir.trim_start_matches("./").trim_matches('/');
    Some(if matches!(root, "" | ".") { PACKAGE.to_owned() } else { format!("{root}/{PACKAGE}") })
}

/// Tells SvelteKit's node adapter the headers by which it knows the scheme. Whoever reads the plan
/// is told.
async fn tell_adapter(place: &Place<'_>, resolved: &mut Resolved) -> Result<Option<String>, Error> {
    let service = &resolved.row.definition;
    let Some(path) = package_path(service) else { return Ok(None) };
    let sources = &place.platform.sources;
    let package = sources.read_file(&place.found.project, &resolved.commit.id, &path).await?;
    let added = reconcile::svelte::variables(&package.unwrap_or_default(), &resolved.variables);
    if added.is_empty() {
        return Ok(None);
    }
    let names: Vec<&str> = added.iter().map(|variable| variable.key.as_str()).collect();
    let note = format!(
        "{}: SvelteKit's node adapter takes https for granted; {} tell it the scheme, so that \
         forms work over http too",
        service.name,
        names.join(" and ")
    );
    resolved.variables.extend(added);
    Ok(Some(note))
}

/// Writes down what the name of a service's image means now. Where nobody can say, the deploy says
/// why; a plan goes on.
async fn pin_image(place: &Place<'_>, resolved: &mut Resolved) -> Vec<String> {
    let mut notes = pin_mounted(place, resolved).await;
    let service = &resolved.row.definition;
    if service.runtime != Runtime::Image {
        return notes;
    }
    match digest(place, service).await {
        Ok(digest) => {
            if let Some(image) = &mut resolved.row.definition.image {
                image.digest = Some(digest);
            }
        }
        Err(why) => notes.push(format!("{}: {why}", service.name)),
    }
    notes
}

/// The same for images that are mounted.
async fn pin_mounted(place: &Place<'_>, resolved: &mut Resolved) -> Vec<String> {
    let mut notes = Vec::new();
    let (config, is_fresh) = (&place.platform.build, place.found.refreshes_images);
    let service = &mut resolved.row.definition;
    for volume in &mut service.container.volumes {
        let VolumeSource::Image(image) = &mut volume.source else { continue };
        match build::container::resolve_mounted(config, image, is_fresh).await {
            Ok(digest) => image.digest = Some(digest.to_string()),
            Err(error) => notes.push(format!("{}: {}", service.name, error.problem().message)),
        }
    }
    notes
}

/// What the name of an image means, asked once for all services that run it.
async fn digest(place: &Place<'_>, service: &Service) -> Result<String, String> {
    let images = || place.look.images.lock().unwrap_or_else(PoisonError::into_inner);
    let key = format!("{:?}", service.image);
    if let Some(known) = images().get(&key) {
        return known.clone();
    }
    let is_fresh = place.found.refreshes_images;
    let digest = build::container::resolve(&place.platform.build, service, is_fresh).await;
    let digest = digest.map(|digest| digest.to_string()).map_err(|error| error.problem().message);
    images().insert(key, digest.clone());
    digest
}

/// The artifact that a service would run, and what its tools have to say.
async fn artifact(
    place: &Place<'_>,
    resolved: &Resolved,
) -> Result<(ArtifactId, Vec<String>), Error> {
    let Place { platform, found, look, .. } = place;
    let service = &resolved.row.definition;
    if service.runtime == Runtime::Image {
        let id = image_artifact(platform, found, resolved).await?;
        return Ok((id, Vec::new()));
    }
    let env: Vec<(String, String)> = resolved
        .variables
        .iter()
        .filter(|variable| environments::is_for(variable, build::Phase::Build))
        .filter(|variable| !variable.key.starts_with("RENDER_GIT_"))
        .filter_map(|variable| Some((variable.key.clone(), environments::plain_value(variable)?)))
        .collect();
    if service.runtime == Runtime::Docker {
        let tree = tree_of(platform, found, resolved).await?;
        let declaration = (service, env.as_slice());
        let inputs = build::docker::inputs(
            &platform.sources,
            &found.project,
            &resolved.commit,
            tree,
            declaration,
        );
        return Ok((address(platform, &inputs.await?), Vec::new()));
    }
    let request = build::toolchain::Request {
        project: &found.project,
        commit: &resolved.commit,
        service,
        env: &env,
    };
    let (versions, notes) =
        match resolve_on(&look.host, &platform.build, &platform.sources, &request).await {
            Ok(toolchain) => {
                let notes = toolchain
                    .notes
                    .iter()
                    .map(|note| format!("{}: {note}", service.name))
                    .collect();
                (toolchain.versions, notes)
            }
            // The build says it again, with its hint; a plan goes on.
            Err(error) => {
                (Vec::new(), vec![format!("{}: {}", service.name, error.problem().message)])
            }
        };
    let inputs = build::Inputs {
        runtime: service.runtime,
        tree: tree_of(platform, found, resolved).await?,
        history: String::new(),
        root_dir: service.root_dir.clone(),
        build_command: build_command(service),
        env,
        toolchain: versions,
        image: String::new(),
        owner_uid: resolved.row.uid,
        docker: None,
    };
    Ok((address(platform, &inputs), notes))
}

fn address(platform: &Platform, inputs: &build::Inputs) -> ArtifactId {
    build::artifact_id(inputs, &store::secrets::derive_key(&platform.store, ARTIFACT_KEY))
}

/// What of the source concerns a service: the rest does not make it another artifact.
async fn tree_of(platform: &Platform, found: &Found, resolved: &Resolved) -> Result<String, Error> {
    let filter = Filter::of(&resolved.row.definition);
    if filter.is_everything() {
        return Ok(resolved.commit.tree.clone());
    }
    let places = [filter.directory().to_owned()];
    let concerns = (places.as_slice(), |path: &str| filter.concerns(path));
    Ok(platform.sources.digest(&found.project, &resolved.commit.id, concerns).await?)
}

fn image_name(service: &Service) -> String {
    let Some(image) = service.image.as_ref().filter(|_| service.runtime == Runtime::Image) else {
        return String::new();
    };
    match &image.digest {
        Some(digest) => format!("{}@{digest}", image.url),
        None => image.url.clone(),
    }
}

/// The artifact of a service that runs an image: the image, and what it sees of the project.
async fn image_artifact(
    platform: &Platform,
    found: &Found,
    resolved: &Resolved,
) -> Result<ArtifactId, Error> {
    let service = &resolved.row.definition;
    let inputs = build::Inputs {
        runtime: service.runtime,
        tree: project_files(platform, found, resolved).await?,
        history: String::new(),
        root_dir: String::new(),
        build_command: String::new(),
        env: Vec::new(),
        toolchain: Vec::new(),
        image: image_name(service),
        owner_uid: 0,
        docker: None,
    };
    Ok(address(platform, &inputs))
}

/// What a container sees of the project, as one text; empty when that is nothing.
async fn project_files(
    platform: &Platform,
    found: &Found,
    resolved: &Resolved,
) -> Result<String, Error> {
    let paths = build::project_paths(&resolved.row.definition);
    if paths.is_empty() {
        return Ok(String::new());
    }
    let is_seen = (paths.as_slice(), |_: &str| true);
    Ok(platform.sources.digest(&found.project, &resolved.commit.id, is_seen).await?)
}

/// A static site's publish path is checked after its build, so it is part of what is built.
fn build_command(service: &Service) -> String {
    let command = service.build_command.clone().unwrap_or_default();
    match (&service.publish_path, service.kind) {
        (Some(path), ServiceKind::Static) => format!("{command}\n# publishes {path}"),
        _ => command,
    }
}

/// The word for a change without a build: what does not run is not started *again*.
fn not_rebuilt(
    platform: &Platform,
    service: &super::facts::ServicePicture,
    decision: Decision,
) -> Result<ChangeAction, Error> {
    let is_live = store::deploys::live(&platform.store, &service.row.id)?.is_some();
    Ok(match decision {
        _ if is_stopped(platform, service)? => ChangeAction::Start,
        Decision::Retry => ChangeAction::Retry,
        _ if is_live => ChangeAction::Restart,
        _ => ChangeAction::Start,
    })
}

/// Whether a person had stopped it before this request.
fn is_stopped(platform: &Platform, service: &super::facts::ServicePicture) -> Result<bool, Error> {
    Ok(service.was_stopped || environments::is_stopped(platform, &service.row.environment_id)?)
}

fn decision(
    platform: &Platform,
    service: &super::facts::ServicePicture,
    resolved: &Resolved,
) -> Result<(Decision, Vec<String>), Error> {
    let wanted_env = comparable(&resolved.variables);
    let wanted = Wanted {
        service: &resolved.row.definition,
        artifact_id: resolved.artifact_id.as_ref(),
        env: &wanted_env,
    };
    let latest = store::deploys::latest(&platform.store, &resolved.row.id)?;
    let Some(latest) = latest else { return Ok(decide(&wanted, None)) };
    let release = store::releases::get(&platform.store, &latest.release_id)?.ok_or_else(|| {
        Error::from(Problem::new("release-not-found", "the newest release is gone"))
    })?;
    let current_env = comparable(&environments::variables_of(platform, &release.id)?);
    let current = Current {
        service: &release.service,
        artifact_id: release.artifact_id.as_ref(),
        env: &current_env,
        standing: if is_stopped(platform, service)? {
            Standing::Stopped
        } else if latest.status.is_failed() {
            Standing::Failed
        } else {
            Standing::Good
        },
    };
    Ok(decide(&wanted, Some(&current)))
}

/// What a commit's id does to a variable is told by the source already.
fn comparable(variables: &[Variable]) -> Vec<(String, String)> {
    variables
        .iter()
        .filter(|variable| !variable.key.starts_with("RENDER_GIT_"))
        .filter_map(|variable| Some((variable.key.clone(), environments::plain_value(variable)?)))
        .collect()
}
