//! Everything that is declared, with the ids, hosts and secrets that it has or would have.

mod data_stores;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use blueprint::Scope;
use jiff::Timestamp;
use model::{
    Commit, Environment, EnvironmentId, Project, ProjectId, Service, ServiceId, ValueOrigin,
};
use reconcile::wiring;
use store::databases::DatabaseRow;
use store::key_values::KeyValueRow;
use store::services::ServiceRow;
use store::values::Given;
use uuid::Uuid;

use super::read::{Found, compose};
use super::{
    Change, ChangeAction, DEFAULT_ENVIRONMENT, Noun, Request, is_wanted, keep_values, wire_facts,
};
use crate::environments;
use crate::error::Error;
use crate::platform::Platform;

use data_stores::Drawing;

/// Whether rows are made or only imagined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pen {
    /// What is new gets ids that end with this picture.
    Imagine,
    /// What is new is written down.
    Write,
}

/// A Blueprint with everything its parts have or would have.
pub(super) struct Picture {
    pub(super) scopes: Vec<ScopePicture>,
    /// Whether something in it is not written down yet, or only as it was.
    pub(super) is_imagined: bool,
}

/// One environment.
pub(super) struct ScopePicture {
    pub(super) environment: Environment,
    pub(super) services: Vec<ServicePicture>,
    pub(super) databases: Vec<DatabaseRow>,
    pub(super) key_values: Vec<KeyValueRow>,
    /// What happens to data stores and groups, and what is there and no longer declared.
    pub(super) changes: Vec<Change>,
    /// What a person should know of its references.
    pub(super) notes: Vec<String>,
    pub(super) wiring: wiring::Facts,
    /// Whether something in it is not written down yet.
    is_imagined: bool,
}

pub(super) struct ServicePicture {
    pub(super) row: ServiceRow,
    /// Whether a person had stopped its environment before this request.
    pub(super) was_stopped: bool,
    pub(super) commit: Commit,
}

impl Picture {
    /// What would be there.
    pub(super) fn imagined(
        platform: &Platform,
        found: &Found,
        request: &Request,
    ) -> Result<Self, Error> {
        draw(platform, Pen::Imagine, found, request)
    }

    /// What is there after everything was written down.
    pub(super) fn written(
        platform: &Platform,
        found: &Found,
        request: &Request,
    ) -> Result<Self, Error> {
        let picture = draw(platform, Pen::Write, found, request)?;
        if request.commit.is_some() {
            // What the working tree is applied with stays as it is.
            return Ok(picture);
        }
        // A file may declare several projects: each can be asked for again.
        let mut projects: Vec<&ProjectId> =
            picture.scopes.iter().map(|scope| &scope.environment.project_id).collect();
        projects.dedup();
        for project in projects {
            store::projects::set_applied(&platform.store, project, &found.remembered)?;
        }
        Ok(picture)
    }

    /// Whether a service that is to be deployed is declared.
    pub(super) fn has_wanted(&self, request: &Request) -> bool {
        let mut services = self.scopes.iter().flat_map(|scope| &scope.services);
        services.any(|service| is_wanted(request, &service.row))
    }
}

fn draw(platform: &Platform, pen: Pen, found: &Found, request: &Request) -> Result<Picture, Error> {
    let declared = found.blueprint().map_or(&[][..], |blueprint| blueprint.scopes.as_slice());
    let mut scopes = Vec::new();
    for scope in declared {
        scopes.push(draw_scope(platform, pen, found, request, scope)?);
    }
    let has_environments = declared.iter().any(|scope| scope.environment.is_some());
    let is_root = |scope: &Scope| has_environments && scope.environment.is_none();
    // What belongs to no environment comes first: the others may refer to its secrets.
    let mut order: Vec<usize> = (0..declared.len()).collect();
    order.sort_by_key(|index| !is_root(&declared[*index]));
    let elsewhere = Arc::new(wire_facts::elsewhere(declared));
    let mut root: Option<wiring::Facts> = None;
    let mut shared: Option<Arc<wiring::Facts>> = None;
    let mut is_imagined = false;
    for index in order {
        let picture = &scopes[index];
        let mut facts =
            wire_facts::facts(platform, found, &declared[index], picture, &request.set)?;
        if !is_root(&declared[index]) {
            facts.environment.clone_from(&declared[index].environment);
            facts.elsewhere = Arc::clone(&elsewhere);
            shared = shared.or_else(|| root.take().map(Arc::new));
            facts.root.clone_from(&shared);
        }
        let pen = pen_of(pen, request, &picture.environment);
        let picture = &mut scopes[index];
        picture.wiring = facts;
        is_imagined |= picture.is_imagined | generate_secrets(platform, pen, picture)?;
        if is_root(&declared[index]) {
            wire_facts::join(root.get_or_insert_default(), picture.wiring.clone());
        } else if let Some(root) = &shared {
            picture.notes = wire_facts::out_of_reach(platform, &declared[index], picture, root);
        }
    }
    Ok(Picture { scopes, is_imagined })
}

/// A commit that was asked for is taken for one environment; the others are only looked at.
fn pen_of(pen: Pen, request: &Request, environment: &Environment) -> Pen {
    let is_meant = request.environment.as_ref().is_none_or(|id| *id == environment.id);
    if request.commit.is_some() && !is_meant { Pen::Imagine } else { pen }
}

fn draw_scope(
    platform: &Platform,
    pen: Pen,
    found: &Found,
    request: &Request,
    scope: &Scope,
) -> Result<ScopePicture, Error> {
    let (known, is_new) = environment(platform, Pen::Imagine, found, scope)?;
    let pen = pen_of(pen, request, &known);
    let (environment, _) = environment(platform, pen, found, scope)?;
    // Of a commit that was asked for, only the services that are meant are written down; of
    // everything else, only what they need and nobody has made yet.
    let keeps_others = request.commit.is_some();
    let was_stopped = environments::is_stopped(platform, &environment.id)?;
    // Services first: of a service and a data store of one name, the service has the plain one.
    let before = store::services::list(&platform.store, &environment.id)?;
    let is_other = |service: &Service| keeps_others && !request.only.contains(&service.name);
    let own = scope.services.iter().filter(|service| !is_other(service));
    let written = match pen {
        Pen::Imagine => Vec::new(),
        Pen::Write => {
            let own: Vec<&Service> = own.collect();
            store::services::upsert_all(&platform.store, &environment.id, &own, Timestamp::now())?
        }
    };
    let known: HashMap<&str, &ServiceRow> =
        before.iter().chain(&written).map(|row| (row.name(), row)).collect();
    let mut is_imagined = is_new;
    let mut services = Vec::new();
    for service in &scope.services {
        let row = match known.get(service.name.as_str()) {
            Some(row) if is_other(service) => (*row).clone(),
            Some(row) => ServiceRow { definition: service.clone(), ..(*row).clone() },
            None => {
                is_imagined = true;
                imagined_service(&environment.id, service)
            }
        };
        is_imagined |= row.public_host.is_none() && service.is_public();
        let commit = found.commit_of(service).clone();
        services.push(ServicePicture { row, was_stopped, commit });
    }
    let mut changes = Vec::new();
    let drawing = Drawing { platform, pen, found, scope, environment: &environment, keeps_others };
    let databases = drawing.databases(&mut changes)?;
    let key_values = drawing.key_values(&mut changes)?;
    for workflow in &scope.workflows {
        let mut later = change(Noun::Service, "workflow".to_owned(), &workflow.name, &environment);
        later.action = ChangeAction::Later;
        later.details.push("workflows come with a later version".to_owned());
        changes.push(later);
    }
    // A data store that is new, or asked for with another password.
    let is_kept = |change: &Change| {
        change.action == ChangeAction::Keep || change.action == ChangeAction::Unmanaged
    };
    is_imagined |= !changes.iter().all(is_kept) || data_stores::has_passwords(scope);
    changes.extend(unmanaged(platform, scope, &before, &environment)?);
    if pen == Pen::Write && found.is_compose {
        compose::keep(platform, &environment.id, request)?;
    }
    if pen == Pen::Write {
        keep_values(platform, &environment.id, &scope.services, &request.set)?;
        environments::set_stopped(platform, &environment.id, false)?;
    }
    Ok(ScopePicture {
        // Drawn once all scopes are there.
        wiring: wiring::Facts::default(),
        notes: Vec::new(),
        environment,
        services,
        databases,
        key_values,
        changes,
        is_imagined,
    })
}

fn environment(
    platform: &Platform,
    pen: Pen,
    found: &Found,
    scope: &Scope,
) -> Result<(Environment, bool), Error> {
    let project_name = scope.project.as_deref().unwrap_or(&found.project);
    let name = scope.environment.as_deref().unwrap_or(DEFAULT_ENVIRONMENT);
    if pen == Pen::Write {
        let project = store::projects::upsert(&platform.store, project_name, &found.source.path)?;
        return Ok((store::environments::upsert(&platform.store, &project.id, name)?, false));
    }
    let project = store::projects::by_name(&platform.store, project_name)?;
    let known = match &project {
        Some(project) => store::environments::by_name(&platform.store, &project.id, name)?,
        None => None,
    };
    let is_new = known.is_none();
    let environment = known.unwrap_or_else(|| Environment {
        id: EnvironmentId::from_uuid(Uuid::now_v7()),
        project_id: project
            .map_or_else(|| ProjectId::from_uuid(Uuid::now_v7()), |project: Project| project.id),
        name: name.to_owned(),
    });
    Ok((environment, is_new))
}

fn imagined_service(environment_id: &EnvironmentId, service: &Service) -> ServiceRow {
    let slug = store::slug::slug(&service.name);
    ServiceRow {
        id: ServiceId::from_uuid(Uuid::now_v7()),
        environment_id: environment_id.clone(),
        definition: service.clone(),
        public_host: service.is_public().then(|| slug.clone()),
        slug,
        uid: 0,
        port_hint: 0,
        hook_done: false,
        suspended: false,
        blueprint_hash: None,
        created_at: Timestamp::now(),
    }
}

fn change(noun: Noun, kind: String, name: &str, environment: &Environment) -> Change {
    Change {
        action: ChangeAction::Create,
        noun,
        kind,
        name: name.to_owned(),
        environment: environment.name.clone(),
        details: Vec::new(),
    }
}

/// Render never deletes what leaves the file, and neither do we.
fn unmanaged(
    platform: &Platform,
    scope: &Scope,
    before: &[ServiceRow],
    environment: &Environment,
) -> Result<Vec<Change>, Error> {
    let names = |names: &mut dyn Iterator<Item = &str>| -> HashSet<String> {
        names.map(str::to_owned).collect()
    };
    let services = names(&mut scope.services.iter().map(|service| service.name.as_str()));
    let databases = names(&mut scope.databases.iter().map(|database| database.name.as_str()));
    let key_values = names(&mut scope.key_values.iter().map(|key_value| key_value.name.as_str()));
    let mut changes = Vec::new();
    let mut note = |noun, kind: &str, name: &str| {
        let mut change = change(noun, kind.to_owned(), name, environment);
        change.action = ChangeAction::Unmanaged;
        change.details.push("no longer in the file; it goes on as it is".to_owned());
        changes.push(change);
    };
    for row in before {
        if !services.contains(row.name()) {
            note(Noun::Service, &super::kind_of(&row.definition), &row.definition.name);
        }
    }
    for row in store::databases::list(&platform.store, &environment.id)? {
        if !databases.contains(row.name()) {
            note(Noun::Database, "postgres", &row.definition.name);
        }
    }
    for row in store::key_values::list(&platform.store, &environment.id)? {
        if !key_values.contains(row.name()) {
            note(Noun::KeyValue, "key value", &row.definition.name);
        }
    }
    Ok(changes)
}

/// Values of `generateValue: true`: made once, kept for ever. An imagined one is any text. Says
/// whether there are imagined ones.
fn generate_secrets(
    platform: &Platform,
    pen: Pen,
    picture: &mut ScopePicture,
) -> Result<bool, Error> {
    let wanted = wiring::wanted_secrets(&picture.wiring).into_iter();
    let made = |(owner, key)| Given { owner, key, value: store::secrets::generate_value() };
    let mut values: Vec<Given> = wanted.map(made).collect();
    let is_imagined = pen == Pen::Imagine && !values.is_empty();
    if pen == Pen::Write && !values.is_empty() {
        let (environment_id, how) =
            (&picture.environment.id, (ValueOrigin::Generated, Timestamp::now()));
        values = store::values::set_absent(&platform.store, environment_id, values, how)?;
    }
    for value in values {
        wire_facts::add_value(&mut picture.wiring, value, ValueOrigin::Generated);
    }
    Ok(is_imagined)
}
