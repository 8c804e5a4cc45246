//! A repository's Blueprint: what it would change, and the change itself.
//!
//! `plan` and `apply` are one path: both take a snapshot of the working tree, read the file from
//! it, resolve every variable and compare with what is there. `plan` works on a picture of what
//! would be written down; `apply` writes it down and looks again.

mod asked;
mod compare;
mod facts;
mod https;
mod notes;
mod read;
mod wire_facts;

use std::path::PathBuf;

use jiff::Timestamp;
use model::{
    Commit, Deploy, DeployTrigger, EnvironmentId, Problem, Release, Runtime, Service, ServiceId,
};
use reconcile::service::Change as Decision;
use secrecy::SecretString;
use store::services::ServiceRow;

use crate::environments;
use crate::error::Error;
use crate::instances;
use crate::ops::deploys;
use crate::platform::Platform;

use asked::{check, check_only, given, keep_values, which_project};
use compare::Look;
pub use read::{Source, Twin};

/// The environment of resources that name none.
pub const DEFAULT_ENVIRONMENT: &str = "production";

/// What is asked.
#[derive(Clone)]
pub struct Request {
    /// A directory in the repository.
    pub path: PathBuf,
    /// The Blueprint's file, relative to the path.
    pub files: Vec<String>,
    /// Profiles of compose files.
    pub profiles: Vec<String>,
    /// Whether data images of compose files run as they are, never as managed stores.
    pub uses_images: bool,
    /// Whether compose files may mount paths of the host outside the project.
    pub allows_host_paths: bool,
    /// Whether to take Render's own verdict.
    pub is_strict: bool,
    /// The project's name, when it is not the directory's.
    pub project: Option<String>,
    /// Values given by a person.
    pub set: Vec<Assignment>,
    /// The operator's variables, in place of those there are.
    pub operator_env: Option<Vec<(String, String)>>,
    /// Services to deploy; all when empty.
    pub only: Vec<String>,
    /// Whether registries are asked what the names of images mean now.
    pub refreshes_images: bool,
    /// The environment that `only` speaks of; every one when there is none.
    pub environment: Option<EnvironmentId>,
    /// The commit to take in place of the working tree, by any name that git understands. Only
    /// the services of `only` are taken from it: everything else stays as it was declared last.
    pub commit: Option<String>,
}

/// A value given by a person.
#[derive(Clone)]
pub struct Assignment {
    /// The service; `None` sets it wherever the name is declared.
    pub service: Option<String>,
    /// The variable.
    pub key: String,
    /// The value.
    pub value: SecretString,
}

/// What an apply would do.
#[derive(Clone)]
pub struct Draft {
    /// The project.
    pub project: String,
    /// The Blueprint's file in the repository.
    pub blueprint_file: String,
    /// The texts of all files that were read, by path.
    pub texts: std::collections::BTreeMap<String, String>,
    /// Where it comes from.
    pub source: Source,
    /// What the reader has to say.
    pub findings: Vec<blueprint::Finding>,
    /// Another project that may be meant. Nothing is applied before somebody says which.
    pub twin: Option<Twin>,
    /// What would change.
    pub changes: Vec<Change>,
    /// Variables without a value.
    pub missing: Vec<Missing>,
    /// What a person should know besides.
    pub notes: Vec<String>,
    /// Whether the file cannot be run as it is.
    pub is_refused: bool,
}

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What would be done.
    pub action: ChangeAction,
    /// To what kind of thing.
    pub noun: Noun,
    /// More exactly: `web`, `postgres 16` …
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its environment.
    pub environment: String,
    /// Why, and what a person should know.
    pub details: Vec<String>,
}

/// What would be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "`wire::Action` explains them")]
pub enum ChangeAction {
    Create,
    Change,
    Start,
    Retry,
    Restart,
    Rebuild,
    Keep,
    Unmanaged,
    Later,
}

/// What a change is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Noun {
    Service,
    Database,
    KeyValue,
    Group,
}

/// A variable without a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its environment.
    pub environment: String,
    /// The service that declares it.
    pub service: String,
    /// Its name.
    pub key: String,
    /// Why it has none.
    pub why: String,
    /// What to do.
    pub hint: Option<String>,
}

/// What an apply did.
pub struct Applied {
    /// What was found and decided.
    pub draft: Draft,
    /// The deploys that it asked for.
    pub deploys: Vec<Deploy>,
}

/// What [`apply`] would do.
///
/// # Errors
/// When the source cannot be read, or there is no Blueprint in it.
pub async fn plan(platform: &Platform, request: &Request) -> Result<Draft, Error> {
    check(request)?;
    aside(platform, request, async |platform: &Platform, request: &Request| {
        // It takes a snapshot, as an apply does.
        platform.disk.check()?;
        let reading = read::read(platform, request).await?;
        check_only(&reading, request)?;
        let picture = facts::Picture::imagined(platform, &reading, request)?;
        let (draft, _) = compare::draft(platform, &reading, &picture, &Look::default()).await?;
        Ok(draft)
    })
    .await
}

/// Makes the Blueprint what is wanted. Nothing is written down when it is refused.
///
/// # Errors
/// When the source cannot be read, there is no Blueprint in it, or the store refuses.
pub async fn apply(platform: &Platform, request: &Request) -> Result<Applied, Error> {
    check(request)?;
    aside(platform, request, apply_here).await
}

/// Plans and applies on a thread of its own, few at once: what is asked meanwhile is answered by
/// the others. What was begun goes on when nobody waits for it any more.
async fn aside<T: Send + 'static>(
    platform: &Platform,
    request: &Request,
    work: impl AsyncFnOnce(&Platform, &Request) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let turn = platform.planners.clone().acquire_owned().await;
    let (platform, request) = (platform.clone(), request.clone());
    let runtime = tokio::runtime::Handle::current();
    let done = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        runtime.block_on(work(&platform, &request))
    });
    match done.await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Problem::new("server-ending", "the server ends before the plan is made")
            .hint("repeat it: `gable up` starts the server again")
            .into()),
    }
}

async fn apply_here(platform: &Platform, request: &Request) -> Result<Applied, Error> {
    platform.disk.check()?;
    // What it finds on the disk must be there when it has written down that it is needed.
    let _applying = platform.applying.read().await;
    if let Some(env) = &request.operator_env {
        let mut merged = platform.config.operator_env.clone();
        merged.retain(|(key, _)| !env.iter().any(|(given, _)| given == key));
        merged.extend(env.iter().cloned());
        platform.set_operator_env(merged);
    }
    let reading = read::read(platform, request).await?;
    if let Some(twin) = &reading.twin {
        return Err(which_project(twin, &reading.project).into());
    }
    check_only(&reading, request)?;
    let imagined = facts::Picture::imagined(platform, &reading, request)?;
    if request.commit.is_some() && !reading.is_refused() && !imagined.has_wanted(request) {
        return Err(not_in_commit(&reading.source.commit, &request.only).into());
    }
    let look = Look::default();
    let (draft, looked) = compare::draft(platform, &reading, &imagined, &look).await?;
    if draft.is_refused {
        return Ok(Applied { draft, deploys: Vec::new() });
    }
    let picture = facts::Picture::written(platform, &reading, request)?;
    let (written, resolved) = match imagined.is_imagined {
        // Nothing has become another thing by being written down.
        false => (draft.clone(), looked),
        true => compare::draft(platform, &reading, &picture, &look).await?,
    };
    if written.is_refused {
        return Ok(Applied { draft: written, deploys: Vec::new() });
    }
    if platform.driver.isolates_network() {
        for scope in &picture.scopes {
            for (name, from) in &reading.understood.seeds {
                let id = &scope.environment.id;
                instances::begin_volume(platform, id, name, from.clone()).await?;
            }
        }
    }
    let mut deploys = Vec::new();
    for service in &resolved {
        if !is_wanted(request, &service.row) {
            continue;
        }
        // A commit that was asked for is deployed, whether it changes anything or not.
        if service.decision != Decision::Keep || request.commit.is_some() {
            deploys.push(release(platform, service)?);
        } else if let Some(latest) = store::deploys::latest(&platform.store, &service.row.id)?
            && latest.status.is_in_progress()
        {
            // Asked for before and still under way: whoever asks again waits for it too.
            deploys.push(latest);
        }
    }
    platform.wake();
    // Names and hosts of what is new are known to the edge before anything answers there.
    platform.publisher.publish(platform).await?;
    let mut notes = written.notes;
    notes.extend(taken_ports(platform, &resolved));
    notes.extend(https::missing(platform).await);
    Ok(Applied { draft: Draft { changes: draft.changes, notes, ..written }, deploys })
}

/// Ports of these services that the edge could not take.
fn taken_ports(platform: &Platform, resolved: &[Resolved]) -> Vec<String> {
    let failing = platform.publisher.failing_listeners().into_iter();
    let of = |listener: edge::ListenerStatus| {
        let service = resolved.iter().find(|service| service.row.id == listener.service_id)?;
        let why = listener.error.unwrap_or_default();
        Some(format!("{} is not published at {}: {why}", service.row.name(), listener.address))
    };
    failing.filter_map(of).collect()
}

/// A service with everything that its release needs.
pub(crate) struct Resolved {
    pub(crate) row: ServiceRow,
    pub(crate) commit: Commit,
    pub(crate) variables: Vec<reconcile::wiring::Variable>,
    pub(crate) artifact_id: Option<model::ArtifactId>,
    pub(crate) decision: Decision,
}

/// Seals a release and asks for its deploy.
fn release(platform: &Platform, service: &Resolved) -> Result<Deploy, Error> {
    let now = Timestamp::now();
    let current = store::deploys::latest(&platform.store, &service.row.id)?;
    let reused = match (&service.decision, current) {
        // The same release again: what it needs is sealed already.
        (Decision::Retry, Some(deploy)) => {
            store::releases::get(&platform.store, &deploy.release_id)?
                .filter(|release| release.artifact_id == service.artifact_id)
        }
        _ => None,
    };
    let release = match reused {
        Some(release) => release,
        None => new_release(platform, service, now)?,
    };
    deploys::create(platform, &release, DeployTrigger::BlueprintSync)
}

fn new_release(platform: &Platform, service: &Resolved, now: Timestamp) -> Result<Release, Error> {
    let env = serde_json::to_string(&service.variables)
        .expect("variables have text keys and no failing parts");
    Ok(store::releases::insert(
        &platform.store,
        &store::releases::NewRelease {
            service_id: &service.row.id,
            commit: &service.commit,
            artifact_id: service.artifact_id.as_ref(),
            service: &service.row.definition,
            env: &SecretString::from(env),
            now,
        },
    )?)
}

/// How a service is deployed again.
#[derive(Debug, Clone, Default)]
pub struct Redeploy {
    /// Build again, without what was built before.
    pub clear_cache: bool,
    /// A commit of the project's repository in place of the working tree.
    pub commit: Option<String>,
}

/// Applies the project of a service again, for this service only: the working tree as it is now,
/// or the commit that is named, and the values that were set since.
///
/// # Errors
/// As [`apply`]; also when there is no such commit, or it does not declare the service.
pub async fn redeploy(
    platform: &Platform,
    id: &ServiceId,
    asked: Redeploy,
) -> Result<Deploy, Error> {
    let row = deploys::service(platform, id)?;
    if asked.clear_cache {
        forget_artifact(platform, &row)?;
    }
    let request = Request { commit: asked.commit, ..request_of(platform, &row)? };
    let applied = apply(platform, &request).await?;
    if applied.draft.is_refused {
        let mut findings = applied.draft.findings.iter();
        let error = findings.find(|finding| finding.severity == blueprint::Severity::Error);
        let message = error.map_or("the file cannot be run", |error| error.message.as_str());
        return Err(Problem::new("blueprint-refused", message)
            .hint("`gable blueprint validate` shows all of it")
            .into());
    }
    match applied.deploys.into_iter().find(|deploy| deploy.service_id == *id) {
        Some(deploy) => Ok(deploy),
        None if request.commit.is_some() => {
            Err(not_in_commit(&applied.draft.source.commit, &request.only).into())
        }
        // Nothing changed: a deploy was asked for all the same.
        None => deploys::restart(platform, id),
    }
}

/// Whether a service is one of those to deploy.
fn is_wanted(request: &Request, row: &ServiceRow) -> bool {
    request.environment.as_ref().is_none_or(|id| *id == row.environment_id)
        && (request.only.is_empty() || request.only.contains(&row.definition.name))
}

fn not_in_commit(commit: &Commit, services: &[String]) -> Problem {
    let names = services.join(", ");
    Problem::new(
        "service-not-in-commit",
        format!("commit {:.10} does not declare {names} here", commit.id),
    )
    .detail(commit.subject.clone())
    .hint("`git show COMMIT:FILE` shows what it declares; the environment counts too")
}

/// The name under which the sources of an environment are kept: a file that names its projects
/// lies in one repository all the same.
///
/// # Errors
/// When the store cannot be read.
pub fn sources_of(platform: &Platform, id: &EnvironmentId) -> Result<String, Error> {
    sources_of_project(platform, environments::project_name(platform, id)?)
}

/// The same of a project.
///
/// # Errors
/// When the store cannot be read.
pub fn sources_of_project(platform: &Platform, project: String) -> Result<String, Error> {
    let remembered: Option<read::Remembered> = store::projects::applied(&platform.store, &project)?;
    Ok(remembered.and_then(|remembered| remembered.sources).unwrap_or(project))
}

/// The request that a service's project was last applied with.
pub(crate) fn request_of(platform: &Platform, row: &ServiceRow) -> Result<Request, Error> {
    let project = environments::project_name(platform, &row.environment_id)?;
    let remembered: Option<read::Remembered> = store::projects::applied(&platform.store, &project)?;
    let Some(remembered) = remembered else {
        return Err(Problem::new("never-applied", format!("{project} was never applied"))
            .hint("`gable up` in its directory")
            .into());
    };
    Ok(Request {
        path: remembered.path,
        files: remembered.files,
        profiles: remembered.profiles,
        uses_images: remembered.uses_images,
        allows_host_paths: remembered.allows_host_paths,
        is_strict: remembered.is_strict,
        project: remembered.project,
        set: Vec::new(),
        operator_env: None,
        only: vec![row.definition.name.clone()],
        refreshes_images: true,
        environment: Some(row.environment_id.clone()),
        commit: None,
    })
}

fn forget_artifact(platform: &Platform, row: &ServiceRow) -> Result<(), Error> {
    let live = store::deploys::live(&platform.store, &row.id)?;
    let live_release = match live {
        Some(deploy) => store::releases::get(&platform.store, &deploy.release_id)?,
        None => None,
    };
    let in_use = live_release.and_then(|release| release.artifact_id);
    for release in store::releases::list(&platform.store, &row.id)? {
        // What serves now must stay until its successor does.
        if let Some(id) = release.artifact_id.filter(|id| Some(id) != in_use.as_ref()) {
            store::artifacts::delete(&platform.store, &id)?;
        }
    }
    Ok(())
}

/// Words for a service's kind in a plan.
pub(crate) fn kind_of(service: &Service) -> String {
    match service.runtime {
        Runtime::Static => "static site".to_owned(),
        runtime => format!("{} · {runtime}", service.kind),
    }
}
