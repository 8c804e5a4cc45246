//! What the wiring is told.

use std::collections::HashSet;
use std::sync::Arc;

use blueprint::Scope;
use model::{EnvSource, ServiceReference, ValueOrigin};
use reconcile::wiring::{
    DatabaseFacts, Elsewhere, External, Facts, GitFacts, KeyValueFacts, ServiceFacts, StoredValue,
};
use secrecy::SecretString;
use store::services::ServiceRow;
use store::values::Given;

use super::facts::{ScopePicture, ServicePicture};
use super::read::Found;
use super::{Assignment, given};
use crate::environments;
use crate::error::Error;
use crate::platform::Platform;
use crate::tasks::data_stores::store_port;

pub(super) fn facts(
    platform: &Platform,
    found: &Found,
    scope: &Scope,
    picture: &ScopePicture,
    set: &[Assignment],
) -> Result<Facts, Error> {
    let mut services = Vec::new();
    for service in &picture.services {
        services.push(service_facts(platform, found, service)?);
    }
    let mut databases = Vec::new();
    for row in &picture.databases {
        databases.push(DatabaseFacts {
            database: row.definition.clone(),
            host: store_host(platform, &row.slug),
            port: store_port(platform, databases::POSTGRES_PORT, row.port_hint),
            // One that is only imagined has no password yet.
            password: match store::databases::credentials(&platform.store, &row.id) {
                Ok(credentials) => credentials.app,
                Err(store::Error::NotFound { .. }) => SecretString::from("not-made-yet"),
                Err(error) => return Err(error.into()),
            },
        });
    }
    let mut key_values = Vec::new();
    for row in &picture.key_values {
        // What a compose file says of a password, its services know from the file.
        let is_told =
            row.definition.compose.has_password && row.definition.compose.image.is_empty();
        key_values.push(KeyValueFacts {
            key_value: row.definition.clone(),
            host: store_host(platform, &row.slug),
            port: store_port(platform, databases::KEY_VALUE_PORT, row.port_hint),
            password: match store::key_values::credentials(&platform.store, &row.id) {
                Ok(credentials) => is_told.then_some(credentials.app),
                Err(store::Error::NotFound { .. }) => {
                    is_told.then(|| SecretString::from("not-made-yet"))
                }
                Err(error) => return Err(error.into()),
            },
        });
    }
    let mut facts = Facts {
        services,
        databases,
        key_values,
        groups: scope.env_groups.clone(),
        values: stored_values(platform, picture)?,
        root: None,
        environment: None,
        elsewhere: Arc::default(),
        given: found.understood.given.clone(),
        operator_env: platform.operator_env(),
        cpu_count: std::thread::available_parallelism()
            .map_or(0, |count| u32::try_from(count.get()).unwrap_or(0)),
        is_pull_request: false,
    };
    add_assignments(&mut facts, scope, set);
    Ok(facts)
}

/// What the environments of the file have.
pub(super) fn elsewhere(scopes: &[Scope]) -> Elsewhere {
    let mut all = Elsewhere::default();
    for scope in scopes {
        if let Some(environment) = &scope.environment {
            names_of(scope).for_each(|name| all.note(environment, name));
        }
    }
    all
}

fn names_of(scope: &Scope) -> impl Iterator<Item = &str> {
    let services = scope.services.iter().map(|service| service.name.as_str());
    let databases = scope.databases.iter().map(|database| database.name.as_str());
    let key_values = scope.key_values.iter().map(|key_value| key_value.name.as_str());
    let groups = scope.env_groups.iter().map(|group| group.name.as_str());
    services.chain(databases).chain(key_values).chain(groups)
}

/// Adds the resources of one scope to those of another: the root of a file and its `ungrouped`
/// are one.
pub(super) fn join(into: &mut Facts, more: Facts) {
    into.services.extend(more.services);
    into.databases.extend(more.databases);
    into.key_values.extend(more.key_values);
    into.groups.extend(more.groups);
    into.values.extend(more.values);
    into.operator_env = more.operator_env;
    into.cpu_count = more.cpu_count;
}

/// References to what belongs to no environment and is not on this environment's network.
pub(super) fn out_of_reach(
    platform: &Platform,
    scope: &Scope,
    picture: &ScopePicture,
    root: &Facts,
) -> Vec<String> {
    if !platform.driver.isolates_network() {
        return Vec::new();
    }
    let own: HashSet<&str> = names_of(scope).collect();
    let databases = root.databases.iter().map(|facts| facts.database.name.as_str());
    let key_values = root.key_values.iter().map(|facts| facts.key_value.name.as_str());
    let services = root.services.iter().map(|facts| facts.service.name.as_str());
    let in_root: HashSet<&str> = databases.chain(key_values).chain(services).collect();
    let mut notes = Vec::new();
    for service in &scope.services {
        for variable in &service.env {
            let name = match &variable.source {
                EnvSource::FromDatabase { name, .. } => name,
                EnvSource::FromService { name, reference: ServiceReference::Property(_) } => name,
                _ => continue,
            };
            if !own.contains(name.as_str()) && in_root.contains(name.as_str()) {
                notes.push(format!(
                    "{}: {} leads to {name}, which belongs to no environment; each environment has \
                     a network of its own here, so {} gets its address and cannot reach it: \
                     declare {name} in the environment",
                    service.name, variable.key, picture.environment.name,
                ));
            }
        }
    }
    notes
}

fn store_host(platform: &Platform, slug: &str) -> String {
    if platform.driver.isolates_network() { slug.to_owned() } else { "127.0.0.1".to_owned() }
}

fn service_facts(
    platform: &Platform,
    found: &Found,
    service: &ServicePicture,
) -> Result<ServiceFacts, Error> {
    let row: &ServiceRow = &service.row;
    let is_isolated = platform.driver.isolates_network();
    Ok(ServiceFacts {
        service: row.definition.clone(),
        id: row.id.clone(),
        host: environments::private_host(platform, row),
        discovery_host: if is_isolated {
            format!("{}-discovery", row.slug)
        } else {
            "127.0.0.1".to_owned()
        },
        seen_port: environments::seen_port(platform, &row.id)?,
        assigned_port: (!is_isolated).then_some(row.port_hint),
        external: environments::public_host(row)
            .map(|host| External { url: platform.config.public_url(&host), host }),
        git: Some(GitFacts {
            branch: service.commit.branch.clone(),
            commit: service.commit.id.clone(),
            repo_slug: found.source.origin.as_deref().and_then(build::sources::repo_slug),
            tag: None,
        }),
        defaults: Vec::new(),
    })
}

fn stored_values(platform: &Platform, picture: &ScopePicture) -> Result<Vec<StoredValue>, Error> {
    Ok(store::values::list(&platform.store, &picture.environment.id)?
        .into_iter()
        .map(|value| StoredValue {
            owner: value.owner,
            key: value.key,
            value: value.value,
            origin: value.origin,
        })
        .collect())
}

/// Values that came with the request: written down by then, or only imagined.
fn add_assignments(facts: &mut Facts, scope: &Scope, set: &[Assignment]) {
    // The wiring takes the last of two values for one variable.
    for value in given(set, &scope.services) {
        add_value(facts, value, ValueOrigin::Operator);
    }
}

pub(super) fn add_value(facts: &mut Facts, given: Given, origin: ValueOrigin) {
    let Given { owner, key, value } = given;
    facts.values.push(StoredValue { owner, key, value, origin });
}
