//! What the control plane knows of environments and of names, ports and variables in them.

use std::path::PathBuf;

use model::{
    EnvSource, Environment, EnvironmentId, InstanceId, PortProtocol, ReleaseId, Service, ServiceId,
};
use reconcile::port;
use reconcile::wiring::Variable;
use secrecy::ExposeSecret;
use store::services::ServiceRow;

use crate::error::Error;
use crate::platform::Platform;

/// The ending of every public host: browsers take all of `.localhost` for this machine.
pub const PUBLIC_SUFFIX: &str = "localhost";

/// A variable without a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unset {
    /// The environment's name.
    pub environment: String,
    /// The service's name.
    pub service: String,
    /// The variable's name.
    pub key: String,
    /// Why it has no value.
    pub why: String,
}

/// Whether a person has stopped an environment.
///
/// # Errors
/// When the store cannot be read.
pub fn is_stopped(platform: &Platform, id: &EnvironmentId) -> Result<bool, Error> {
    Ok(store::environments::is_stopped(&platform.store, id)?)
}

/// Writes down that a person stops an environment, or starts it again.
///
/// # Errors
/// When the store cannot be written.
pub fn set_stopped(platform: &Platform, id: &EnvironmentId, is_stopped: bool) -> Result<(), Error> {
    Ok(store::environments::set_stopped(&platform.store, id, is_stopped)?)
}

/// The environment of these names, if there is one.
///
/// # Errors
/// When the store cannot be read.
pub fn by_names(
    platform: &Platform,
    project: &str,
    name: &str,
) -> Result<Option<Environment>, Error> {
    Ok(match store::projects::by_name(&platform.store, project)? {
        Some(project) => store::environments::by_name(&platform.store, &project.id, name)?,
        None => None,
    })
}

/// The name of the project that an environment belongs to.
///
/// # Errors
/// When the store cannot be read, or there is no such environment.
pub fn project_name(platform: &Platform, id: &EnvironmentId) -> Result<String, Error> {
    let environment = store::environments::get(&platform.store, id)?
        .ok_or_else(|| store::Error::NotFound { noun: "environment", id: id.to_string() })?;
    let project = store::projects::list(&platform.store)?
        .into_iter()
        .find(|project| project.id == environment.project_id)
        .ok_or_else(|| store::Error::NotFound {
            noun: "project",
            id: environment.project_id.to_string(),
        })?;
    Ok(project.name)
}

/// The port that a service was last seen on.
///
/// # Errors
/// When the store cannot be read.
pub fn seen_port(platform: &Platform, id: &ServiceId) -> Result<Option<u16>, Error> {
    Ok(store::services::seen_port(&platform.store, id)?)
}

/// Writes down the port that a service was seen on.
///
/// # Errors
/// When the store cannot be written.
pub fn set_seen_port(platform: &Platform, id: &ServiceId, port: u16) -> Result<(), Error> {
    if seen_port(platform, id)? != Some(port) {
        store::services::set_seen_port(&platform.store, id, port)?;
    }
    Ok(())
}

/// The port to expect of a service: where instances share the host's ports, one of its own.
///
/// # Errors
/// When the store cannot be read.
pub fn expected_port(
    platform: &Platform,
    row: &ServiceRow,
    service: &Service,
) -> Result<u16, Error> {
    if let Some(declared) = port::declared(service) {
        return Ok(declared);
    }
    if !platform.driver.isolates_network() {
        return Ok(row.port_hint);
    }
    Ok(seen_port(platform, &row.id)?.unwrap_or(port::DEFAULT_PORT))
}

/// The public host of a service, without port.
#[must_use]
pub fn public_host(row: &ServiceRow) -> Option<String> {
    row.public_host.as_ref().map(|label| format!("{label}.{PUBLIC_SUFFIX}"))
}

/// What health checks say they are asking for: a custom domain if there is one (Render:
/// health-checks page).
#[must_use]
pub fn probe_host(row: &ServiceRow, service: &Service) -> String {
    service
        .domains
        .iter()
        .find(|domain| !domain.starts_with('*'))
        .cloned()
        .or_else(|| public_host(row))
        .unwrap_or_else(|| row.slug.clone())
}

/// Addresses of a service for a browser on this machine, the usual one first.
#[must_use]
pub fn urls(platform: &Platform, row: &ServiceRow) -> Vec<String> {
    if !row.definition.is_public() {
        return Vec::new();
    }
    let hosts = public_host(row).into_iter().chain(
        row.definition
            .domains
            .iter()
            // A name of Render's leads to Render, or nowhere: it is for probes and whoever asks for it.
            .filter(|domain| !domain.ends_with(reconcile::route::RENDER_SUFFIX))
            // A wildcard is no address.
            .filter(|domain| !domain.starts_with('*'))
            .cloned(),
    );
    published_urls(platform, row)
        .into_iter()
        .chain(hosts.map(|host| platform.config.public_url(&host)))
        .collect()
}

/// Ports of its own, which are what a compose file's author knows it by.
fn published_urls(platform: &Platform, row: &ServiceRow) -> Vec<String> {
    let failing = platform.publisher.failing_listeners();
    let ports = row.definition.container.ports.iter();
    let http = ports.filter(|port| port.protocol == PortProtocol::Http);
    http.filter_map(|port| port.published)
        .filter(|port| !failing.iter().any(|listener| listener.address.port() == *port))
        .map(|port| format!("http://localhost:{port}"))
        .collect()
}

/// Address of a service in the private network.
///
/// # Errors
/// When the store cannot be read.
pub fn internal_address(platform: &Platform, row: &ServiceRow) -> Result<Option<String>, Error> {
    if !row.definition.has_port() {
        return Ok(None);
    }
    let port = match seen_port(platform, &row.id)? {
        Some(port) => port,
        None => expected_port(platform, row, &row.definition)?,
    };
    Ok(Some(format!("{}:{port}", private_host(platform, row))))
}

/// The name under which others in the environment reach a service.
#[must_use]
pub fn private_host(platform: &Platform, row: &ServiceRow) -> String {
    if platform.driver.isolates_network() { row.slug.clone() } else { "127.0.0.1".to_owned() }
}

/// The names that data stores and services have in an environment's private network.
///
/// # Errors
/// When the store cannot be read.
pub fn private_names(platform: &Platform, id: &EnvironmentId) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for row in store::databases::list(&platform.store, id)? {
        names.extend([row.slug.clone(), row.id.to_string()]);
        names.extend(row.definition.compose.aliases.iter().cloned());
    }
    for row in store::key_values::list(&platform.store, id)? {
        names.extend([row.slug.clone(), row.id.to_string()]);
        names.extend(row.definition.compose.aliases.iter().cloned());
    }
    names.extend(store::services::list(&platform.store, id)?.into_iter().map(|row| row.slug));
    Ok(names)
}

/// The resolved variables that belong to a release.
///
/// # Errors
/// When the store cannot be read.
pub fn variables_of(platform: &Platform, id: &ReleaseId) -> Result<Vec<Variable>, Error> {
    let text = store::releases::env(&platform.store, id)?;
    serde_json::from_str(text.expose_secret()).map_err(|source| {
        store::Error::Malformed { what: "the environment of a release", source }.into()
    })
}

/// Variables of a service that have no value.
///
/// # Errors
/// When the store cannot be read.
pub fn unset_of(
    platform: &Platform,
    environment: &Environment,
    row: &ServiceRow,
) -> Result<Vec<Unset>, Error> {
    let Some(deploy) = store::deploys::latest(&platform.store, &row.id)? else {
        return Ok(Vec::new());
    };
    Ok(variables_of(platform, &deploy.release_id)?
        .into_iter()
        .filter(|variable| variable.value.is_none())
        .map(|variable| Unset {
            environment: environment.name.clone(),
            service: row.definition.name.clone(),
            why: why_unset(&row.definition, &variable.key),
            key: variable.key,
        })
        .collect())
}

/// Why a declared variable has no value, in words.
#[must_use]
pub fn why_unset(service: &Service, key: &str) -> String {
    let declared = service.env.iter().rev().find(|variable| variable.key == key);
    match declared.map(|variable| &variable.source) {
        Some(EnvSource::Ask) => {
            "the file leaves it open, and nobody has given a value yet".to_owned()
        }
        Some(EnvSource::FromService { name, .. }) => {
            format!("it refers to `{name}`, which has no such value")
        }
        Some(EnvSource::FromDatabase { name, .. }) => {
            format!("it refers to the database `{name}`, which is not declared")
        }
        _ => "nothing gives it a value".to_owned(),
    }
}

/// The log of one instance.
#[must_use]
pub fn log_path(platform: &Platform, service_id: &ServiceId, instance_id: &InstanceId) -> PathBuf {
    platform.config.logs_dir().join(service_id.as_str()).join(format!("{instance_id}.log"))
}

/// Whether a variable is there in a phase.
#[must_use]
pub fn is_for(variable: &Variable, phase: build::Phase) -> bool {
    match phase {
        build::Phase::Build => variable.phase.includes_build(),
        build::Phase::Run => variable.phase.includes_run(),
    }
}

/// The value of a variable, if it has one.
#[must_use]
pub fn plain_value(variable: &Variable) -> Option<String> {
    variable.value.as_ref().map(|value| value.expose_secret().to_owned())
}
