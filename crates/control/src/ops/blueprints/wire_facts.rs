//! What the wiring is told.

use blueprint::Scope;
use model::{EnvOwner, ValueOrigin};
use reconcile::wiring::{
    DatabaseFacts, External, Facts, GitFacts, KeyValueFacts, ServiceFacts, StoredValue,
};
use secrecy::SecretString;
use store::services::ServiceRow;

use super::facts::{ScopePicture, ServicePicture};
use super::read::Found;
use super::{Assignment, meant};
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
    let key_values = picture
        .key_values
        .iter()
        .map(|row| KeyValueFacts {
            key_value: row.definition.clone(),
            host: store_host(platform, &row.slug),
            port: store_port(platform, databases::KEY_VALUE_PORT, row.port_hint),
            password: None,
        })
        .collect();
    let mut facts = Facts {
        services,
        databases,
        key_values,
        groups: scope.env_groups.clone(),
        values: stored_values(platform, picture)?,
        root: None,
        elsewhere: Vec::new(),
        operator_env: platform.operator_env(),
        cpu_count: std::thread::available_parallelism()
            .map_or(0, |count| u32::try_from(count.get()).unwrap_or(0)),
        is_pull_request: false,
    };
    add_assignments(&mut facts, scope, set);
    Ok(facts)
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
    for assignment in set {
        for (service, key) in meant(assignment, &scope.services) {
            let owner = EnvOwner::Service(service.name.clone());
            facts.values.retain(|value| value.owner != owner || value.key != key);
            facts.values.push(StoredValue {
                owner,
                key,
                value: assignment.value.clone(),
                origin: ValueOrigin::Operator,
            });
        }
    }
}

pub(super) fn add_value(facts: &mut Facts, owner: EnvOwner, key: String, value: &SecretString) {
    facts.values.push(StoredValue {
        owner,
        key,
        value: value.clone(),
        origin: ValueOrigin::Generated,
    });
}
