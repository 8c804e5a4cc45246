//! What is asked of a Blueprint: whether it makes sense, and the values that come with it.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use model::text::check_name;
use model::{EnvOwner, EnvironmentId, Problem, Service, ValueOrigin};
use store::values::Given;

use super::read::Found;
use super::{Assignment, Request, Twin};
use crate::error::Error;
use crate::ops::env_vars;
use crate::platform::Platform;

/// Declared names that are listed before the rest is only counted.
const NAMES_SHOWN_MAX: usize = 12;

/// That the names in a request can be names.
pub(super) fn check(request: &Request) -> Result<(), Error> {
    let operator = request.operator_env.iter().flatten().map(|(key, _)| key);
    for key in request.set.iter().map(|assignment| &assignment.key).chain(operator) {
        env_vars::check_variable(key)?;
    }
    match request.project.as_deref().map(check_name) {
        Some(Err(fault)) => {
            Err(Problem::new("bad-name", format!("this cannot be the name of a project: {fault}"))
                .hint("name it with letters, digits and hyphens: `--project shop`")
                .into())
        }
        _ => Ok(()),
    }
}

/// Another project of this name would get databases of its own, which nobody may have meant.
pub(super) fn which_project(twin: &Twin, name: &str) -> Problem {
    let Twin { project, source, is_gone } = twin;
    let why = if *is_gone { ", which is gone" } else { "" };
    Problem::new("project-exists", format!("`{project}` was applied from {source}{why}"))
        .detail(format!("this folder would become `{name}`, with databases and values of its own"))
        .hint(format!(
            "`--project {project}` goes on with that one and its data, `--project {name}` starts another one"
        ))
}

/// That everything a person named is declared.
pub(super) fn check_only(reading: &Found, request: &Request) -> Result<(), Error> {
    let Some(blueprint) = reading.blueprint() else { return Ok(()) };
    // Of a commit, or of one environment, the services that were there count as well.
    if request.only.is_empty() || request.commit.is_some() || request.environment.is_some() {
        return Ok(());
    }
    let scopes = || blueprint.scopes.iter();
    let names: BTreeSet<&str> = scopes()
        .flat_map(|scope| scope.services.iter().map(|service| service.name.as_str()))
        .chain(scopes().flat_map(|scope| scope.databases.iter().map(|one| one.name.as_str())))
        .chain(scopes().flat_map(|scope| scope.key_values.iter().map(|one| one.name.as_str())))
        .collect();
    let Some(unknown) = request.only.iter().find(|name| !names.contains(name.as_str())) else {
        return Ok(());
    };
    let shown: Vec<&str> = names.iter().copied().take(NAMES_SHOWN_MAX).collect();
    let more = match names.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let near = blueprint::nearest(unknown, names.iter().copied());
    Err(Problem::new(
        "service-not-found",
        format!("`--only`: {} declares no `{unknown}`", reading.blueprint_file),
    )
    .detail(format!("it declares {}{more}", shown.join(", ")))
    .hint(match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "name a service or a data store of the file".to_owned(),
    })
    .into())
}

/// Keeps values given by a person.
pub(super) fn keep_values(
    platform: &Platform,
    environment_id: &EnvironmentId,
    services: &[Service],
    set: &[Assignment],
) -> Result<(), Error> {
    let given = given(set, services);
    if given.is_empty() {
        return Ok(());
    }
    let how = (ValueOrigin::Operator, Timestamp::now());
    Ok(store::values::set_all(&platform.store, environment_id, &given, how)?)
}

/// The values that a person gives to these services. Services and keys may both hold dots: of
/// `a.b.c` the longest part that is a service is the service, and where there is none it is a key
/// as a whole. A value without a service is for each that declares the key.
pub(super) fn given(set: &[Assignment], services: &[Service]) -> Vec<Given> {
    if set.is_empty() {
        return Vec::new();
    }
    let names: HashSet<&str> = services.iter().map(|service| service.name.as_str()).collect();
    let mut by_key: HashMap<&str, BTreeSet<&str>> = HashMap::new();
    for service in services {
        for variable in &service.env {
            by_key.entry(&variable.key).or_default().insert(&service.name);
        }
    }
    let mut given = Vec::new();
    for Assignment { service, key, value } in set {
        let one = |service: &str, key: &str| Given {
            owner: EnvOwner::Service(service.to_owned()),
            key: key.to_owned(),
            value: value.clone(),
        };
        let whole = match service {
            Some(name) if names.contains(name.as_str()) => {
                given.push(one(name, key));
                continue;
            }
            Some(name) => format!("{name}.{key}"),
            None => key.clone(),
        };
        let mut declaring = by_key.get(whole.as_str()).into_iter().flatten().peekable();
        let parts = || whole.rmatch_indices('.').map(|(dot, _)| whole.split_at(dot));
        match parts().find(|(name, _)| names.contains(name)) {
            Some((name, key)) if declaring.peek().is_none() => given.push(one(name, &key[1..])),
            _ => given.extend(declaring.map(|service| one(service, &whole))),
        }
    }
    given
}
