//! The whole route table from what every service wants to be reached by.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::{
    Backend, EnvironmentId, Generation, Route, RouteTable, Service, ServiceId, ServiceKind,
    StaticSite, Target, route::Zone,
};

use crate::deploy::RouteState;

/// How long a request waits at the edge for an instance: longer than an ordinary restart, shorter
/// than a browser's patience.
pub const HOLD_TIMEOUT_MS: u64 = 60_000;

/// One service, with what answers for it now.
#[derive(Debug, Clone)]
pub struct Routed<'a> {
    /// Its id.
    pub id: &'a ServiceId,
    /// Where it lives.
    pub environment_id: &'a EnvironmentId,
    /// Its declaration in force.
    pub service: &'a Service,
    /// Its short name in the private network.
    pub slug: &'a str,
    /// Its host name for browsers, without port.
    pub public_host: Option<&'a str>,
    /// What answers.
    pub state: Option<&'a RouteState>,
    /// The published directory, when the state is [`RouteState::Static`].
    pub static_root: Option<String>,
    /// Addresses of running instances that take no routes: workers, and the like.
    pub addresses: &'a [IpAddr],
}

/// A data store that can be reached by name.
#[derive(Debug, Clone)]
pub struct NamedStore {
    /// Where it lives.
    pub environment_id: EnvironmentId,
    /// Every name it has.
    pub names: Vec<String>,
    /// Where it is; `None` while it is not running.
    pub address: Option<IpAddr>,
}

/// A private network.
#[derive(Debug, Clone)]
pub struct NetworkOf {
    /// Whose it is.
    pub environment_id: EnvironmentId,
    /// Where its instances ask for names, and where the edge listens for them.
    pub gateway: IpAddr,
}

/// The route table that makes all of it true.
#[must_use]
pub fn table(
    generation: Generation,
    services: &[Routed<'_>],
    stores: &[NamedStore],
    networks: &[NetworkOf],
) -> RouteTable {
    let mut routes = Vec::new();
    for routed in services.iter().filter(|routed| routed.service.is_public()) {
        routes.extend(routes_of(routed));
    }
    let zones = networks.iter().map(|network| zone(network, services, stores)).collect();
    RouteTable { generation, routes, zones, listeners: Vec::new() }
}

fn routes_of(routed: &Routed<'_>) -> Vec<Route> {
    let mut hosts: Vec<String> = routed.public_host.iter().map(|host| (*host).to_owned()).collect();
    let domains: Vec<String> =
        routed.service.domains.iter().map(|domain| domain.to_ascii_lowercase()).collect();
    hosts.extend(domains.iter().cloned());
    let route = |hosts, backend| Route {
        hosts,
        path_prefix: "/".to_owned(),
        strip_prefix: false,
        service_id: routed.id.clone(),
        service_name: routed.service.name.clone(),
        headers: routed.service.headers.clone(),
        rules: routed.service.routes.clone(),
        backend,
    };
    let mut routes = vec![route(hosts, backend(routed))];
    for domain in &domains {
        let twin = www_twin(domain);
        if !domains.contains(&twin) {
            routes.push(route(vec![twin], Backend::RedirectHost(domain.clone())));
        }
    }
    routes
}

/// A root domain is redirected to from its `www`, and the other way round (Render: custom domains).
fn www_twin(domain: &str) -> String {
    domain.strip_prefix("www.").map_or_else(|| format!("www.{domain}"), str::to_owned)
}

fn backend(routed: &Routed<'_>) -> Backend {
    let name = &routed.service.name;
    match routed.state {
        Some(RouteState::Targets(targets)) => Backend::Targets(targets.clone()),
        Some(RouteState::Static(_)) => match &routed.static_root {
            Some(root) => Backend::Static(StaticSite { root: root.clone() }),
            None => Backend::Unavailable(format!("the files of {name} are gone")),
        },
        Some(RouteState::Hold) => Backend::Hold { timeout_ms: HOLD_TIMEOUT_MS },
        Some(RouteState::Unavailable(why)) => Backend::Unavailable(why.clone()),
        None => Backend::Unavailable(format!("{name} has not been deployed yet")),
    }
}

fn zone(network: &NetworkOf, services: &[Routed<'_>], stores: &[NamedStore]) -> Zone {
    let mut names: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for routed in services {
        if let Some(host) = routed.public_host {
            names.insert(host.to_owned(), vec![network.gateway]);
        }
        if routed.environment_id != &network.environment_id {
            continue;
        }
        let addresses = private_addresses(routed);
        if routed.service.kind != ServiceKind::Static && !addresses.is_empty() {
            names.insert(format!("{}-discovery", routed.slug), addresses.clone());
            names.insert(routed.slug.to_owned(), addresses);
        }
    }
    for store in stores.iter().filter(|store| store.environment_id == network.environment_id) {
        for name in &store.names {
            // A name whose owner is not running is known all the same: nobody outside is asked.
            names.insert(name.clone(), store.address.into_iter().collect());
        }
    }
    Zone { environment_id: network.environment_id.clone(), gateway: network.gateway, names }
}

fn private_addresses(routed: &Routed<'_>) -> Vec<IpAddr> {
    match routed.state {
        Some(RouteState::Targets(targets)) => targets.iter().map(target_address).collect(),
        _ => routed.addresses.to_vec(),
    }
}

fn target_address(target: &Target) -> IpAddr {
    target.address.ip()
}
