//! Everything that is declared, with the ids, hosts and secrets that it has or would have.

mod data_stores;

use blueprint::Scope;
use jiff::Timestamp;
use model::{
    Commit, Environment, EnvironmentId, Project, ProjectId, Service, ServiceId, ValueOrigin,
};
use reconcile::wiring;
use store::databases::DatabaseRow;
use store::key_values::KeyValueRow;
use store::services::ServiceRow;
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
    let mut root: Option<wiring::Facts> = None;
    for index in order {
        let picture = &scopes[index];
        let mut facts =
            wire_facts::facts(platform, found, &declared[index], picture, &request.set)?;
        facts.elsewhere = wire_facts::elsewhere(declared, index);
        if is_root(&declared[index]) {
            facts.elsewhere.clear();
        } else {
            facts.root = root.clone().map(Box::new);
        }
        let pen = pen_of(pen, request, &picture.environment);
        let picture = &mut scopes[index];
        picture.wiring = facts;
        generate_secrets(platform, pen, picture)?;
        if is_root(&declared[index]) {
            wire_facts::join(root.get_or_insert_default(), picture.wiring.clone());
        } else if let Some(root) = &root {
            picture.notes = wire_facts::out_of_reach(platform, &declared[index], picture, root);
        }
    }
    Ok(Picture { scopes })
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
    let known = environment(platform, Pen::Imagine, found, scope)?;
    let pen = pen_of(pen, request, &known);
    let environment = environment(platform, pen, found, scope)?;
    // Of a commit that was asked for, only the services that are meant are written down; of
    // everything else, only what they need and nobody has made yet.
    let keeps_others = request.commit.is_some();
    let was_stopped = environments::is_stopped(platform, &environment.id)?;
    // Services first: of a service and a data store of one name, the service has the plain one.
    let mut services = Vec::new();
    for service in &scope.services {
        let is_other = keeps_others && !request.only.contains(&service.name);
        let known = store::services::by_name(&platform.store, &environment.id, &service.name)?;
        let row = match known {
            Some(row) if is_other => row,
            _ if is_other => service_row(platform, Pen::Imagine, &environment.id, service)?,
            _ => service_row(platform, pen, &environment.id, service)?,
        };
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
    changes.extend(unmanaged(platform, scope, &environment)?);
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
    })
}

fn environment(
    platform: &Platform,
    pen: Pen,
    found: &Found,
    scope: &Scope,
) -> Result<Environment, Error> {
    let project_name = scope.project.as_deref().unwrap_or(&found.project);
    let name = scope.environment.as_deref().unwrap_or(DEFAULT_ENVIRONMENT);
    if pen == Pen::Write {
        let project = store::projects::upsert(&platform.store, project_name, &found.source.path)?;
        return Ok(store::environments::upsert(&platform.store, &project.id, name)?);
    }
    let project = store::projects::by_name(&platform.store, project_name)?;
    let known = match &project {
        Some(project) => store::environments::by_name(&platform.store, &project.id, name)?,
        None => None,
    };
    Ok(known.unwrap_or_else(|| Environment {
        id: EnvironmentId::from_uuid(Uuid::now_v7()),
        project_id: project
            .map_or_else(|| ProjectId::from_uuid(Uuid::now_v7()), |project: Project| project.id),
        name: name.to_owned(),
    }))
}

fn service_row(
    platform: &Platform,
    pen: Pen,
    environment_id: &EnvironmentId,
    service: &Service,
) -> Result<ServiceRow, Error> {
    let now = Timestamp::now();
    if pen == Pen::Write {
        return Ok(store::services::upsert(&platform.store, environment_id, service, now)?);
    }
    let known = store::services::by_name(&platform.store, environment_id, &service.name)?;
    let slug = store::slug::slug(&service.name);
    Ok(match known {
        Some(row) => ServiceRow { definition: service.clone(), ..row },
        None => ServiceRow {
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
            created_at: now,
        },
    })
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
    environment: &Environment,
) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    let mut note = |noun, kind: &str, name: &str| {
        let mut change = change(noun, kind.to_owned(), name, environment);
        change.action = ChangeAction::Unmanaged;
        change.details.push("no longer in the file; it goes on as it is".to_owned());
        changes.push(change);
    };
    for row in store::services::list(&platform.store, &environment.id)? {
        if !scope.services.iter().any(|service| service.name == row.definition.name) {
            note(Noun::Service, &super::kind_of(&row.definition), &row.definition.name);
        }
    }
    for row in store::databases::list(&platform.store, &environment.id)? {
        if !scope.databases.iter().any(|database| database.name == row.definition.name) {
            note(Noun::Database, "postgres", &row.definition.name);
        }
    }
    for row in store::key_values::list(&platform.store, &environment.id)? {
        if !scope.key_values.iter().any(|key_value| key_value.name == row.definition.name) {
            note(Noun::KeyValue, "key value", &row.definition.name);
        }
    }
    Ok(changes)
}

/// Values of `generateValue: true`: made once, kept for ever. An imagined one is any text.
fn generate_secrets(
    platform: &Platform,
    pen: Pen,
    picture: &mut ScopePicture,
) -> Result<(), Error> {
    for (owner, key) in wiring::wanted_secrets(&picture.wiring) {
        let value = store::secrets::generate_value();
        let value = match pen {
            Pen::Imagine => value,
            Pen::Write => store::values::set_if_absent(
                &platform.store,
                store::values::Slot {
                    environment_id: &picture.environment.id,
                    owner: &owner,
                    key: &key,
                },
                &value,
                ValueOrigin::Generated,
                Timestamp::now(),
            )?,
        };
        wire_facts::add_value(&mut picture.wiring, owner, key, &value);
    }
    Ok(())
}
