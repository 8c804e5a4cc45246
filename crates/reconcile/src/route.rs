//! The whole route table from what every service wants to be reached by.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use model::route::{Listener, ListenerBackend, TcpBackend};
use model::{
    Backend, BaseRoute, EnvironmentId, Generation, InstanceId, PortProtocol, PublishedPort, Route,
    RouteTable, Service, ServiceId, ServiceKind, StaticSite, Target, route::Zone,
};

use crate::deploy::RouteState;

/// How long a request waits at the edge for an instance: longer than an ordinary restart, shorter
/// than a browser's patience.
pub const HOLD_TIMEOUT_MS: u64 = 60_000;

/// What follows a service's name in the host that Render gives it.
pub const RENDER_SUFFIX: &str = ".onrender.com";

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
    /// What its file calls it.
    pub name: String,
    /// Whether that file is a compose file.
    pub is_compose: bool,
    /// Names that are its own: the short one first, and its id.
    pub names: Vec<String>,
    /// Names that its file gives it beside its own.
    pub aliases: Vec<String>,
    /// Where it is; `None` while it is not running.
    pub address: Option<IpAddr>,
    /// The port that it listens on.
    pub port: u16,
    /// Ports of the host that lead to it.
    pub published: Vec<PublishedPort>,
    /// What its connections are counted under; nothing is published without.
    pub counted_as: Option<ServiceId>,
    /// The instance that runs it.
    pub instance_id: Option<InstanceId>,
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
    edge_ports: &[u16],
) -> RouteTable {
    let mut routes = Vec::new();
    let public: Vec<&Routed<'_>> =
        services.iter().filter(|routed| routed.service.is_public()).collect();
    let declared: BTreeSet<String> = public.iter().flat_map(|routed| domains_of(routed)).collect();
    for routed in public {
        routes.extend(routes_of(routed, &declared));
    }
    for routed in services.iter().filter(|routed| routed.service.has_port()) {
        routes.extend(base_routes(routed));
        routes.extend(plain_route(routed, edge_ports));
    }
    let listeners =
        services.iter().flat_map(listeners_of).chain(stores.iter().flat_map(store_listeners));
    let listeners =
        listeners.filter(|listener| !edge_ports.contains(&listener.address.port())).collect();
    let zones = networks.iter().map(|network| zone(network, services, stores)).collect();
    RouteTable { generation, routes, zones, listeners }
}

fn domains_of(routed: &Routed<'_>) -> Vec<String> {
    routed.service.domains.iter().map(|domain| domain.to_ascii_lowercase()).collect()
}

/// The routes of a service's hosts. `declared` is what any service has in its file: nothing that
/// is only derived takes a host from there.
fn routes_of(routed: &Routed<'_>, declared: &BTreeSet<String>) -> Vec<Route> {
    let mut hosts: Vec<String> = routed.public_host.iter().map(|host| (*host).to_owned()).collect();
    let domains = domains_of(routed);
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
        let Some(twin) = www_twin(domain) else { continue };
        if !declared.contains(&twin) {
            routes.push(route(vec![twin], Backend::RedirectHost(domain.clone())));
        }
    }
    routes
}

/// Paths of hosts that several services may share, as their file says.
fn base_routes(routed: &Routed<'_>) -> Vec<Route> {
    let own = routed.public_host.map(str::to_owned);
    let of = |base: &BaseRoute| {
        Some(Route {
            hosts: vec![shared_host(base).or_else(|| own.clone())?],
            path_prefix: base.path.clone(),
            strip_prefix: base.strip_prefix,
            service_id: routed.id.clone(),
            service_name: routed.service.name.clone(),
            headers: Vec::new(),
            rules: Vec::new(),
            backend: on_port(backend(routed), base.port),
        })
    };
    routed.service.container.base_routes.iter().filter_map(of).collect()
}

/// A service that publishes the very port that the edge has answers there to whoever asks for this
/// machine and not for a service by name.
fn plain_route(routed: &Routed<'_>, edge_ports: &[u16]) -> Option<Route> {
    let mut ports = routed.service.container.ports.iter();
    let port = ports.find(|port| {
        port.protocol == PortProtocol::Http
            && port.published.is_some_and(|number| edge_ports.contains(&number))
    })?;
    Some(Route {
        hosts: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
        path_prefix: "/".to_owned(),
        strip_prefix: false,
        service_id: routed.id.clone(),
        service_name: routed.service.name.clone(),
        headers: Vec::new(),
        rules: Vec::new(),
        backend: on_port(backend(routed), Some(port.target)),
    })
}

/// The host that a route names; one without a dot is a name of this machine's.
fn shared_host(base: &BaseRoute) -> Option<String> {
    let host = base.host.as_ref()?.to_ascii_lowercase();
    Some(if host.contains('.') { host } else { format!("{host}.localhost") })
}

/// The same on another port of the same instances.
fn on_port(backend: Backend, port: Option<u16>) -> Backend {
    match (backend, port) {
        (Backend::Targets(targets), Some(port)) => Backend::Targets(moved(&targets, port)),
        (backend, _) => backend,
    }
}

fn moved(targets: &[Target], port: u16) -> Vec<Target> {
    let to = |target: &Target| Target {
        id: target.id.clone(),
        address: SocketAddr::new(target.address.ip(), port),
    };
    targets.iter().map(to).collect()
}

/// Ports of a service that are reachable from the host.
fn listeners_of(routed: &Routed<'_>) -> Vec<Listener> {
    let ports = &routed.service.container.ports;
    let of = |port: &PublishedPort| {
        let backend = match port.protocol {
            PortProtocol::Udp => return None,
            PortProtocol::Http => {
                ListenerBackend::Http(on_port(backend(routed), Some(port.target)))
            }
            PortProtocol::Tcp => ListenerBackend::Tcp(tcp_backend(routed, port.target)),
        };
        Some(Listener {
            address: published_at(port)?,
            service_id: routed.id.clone(),
            service_name: routed.service.name.clone(),
            backend,
        })
    };
    ports.iter().filter_map(of).collect()
}

fn tcp_backend(routed: &Routed<'_>, port: u16) -> TcpBackend {
    match backend(routed) {
        Backend::Targets(targets) => TcpBackend::Targets(moved(&targets, port)),
        Backend::Hold { timeout_ms } => TcpBackend::Hold { timeout_ms },
        _ => TcpBackend::Unavailable,
    }
}

/// Ports of a data store that are reachable from the host.
fn store_listeners(store: &NamedStore) -> Vec<Listener> {
    let of = |port: &PublishedPort| {
        let target = store
            .address
            .zip(store.instance_id.clone())
            .map(|(address, id)| Target { id, address: SocketAddr::new(address, store.port) });
        let targets: Vec<Target> = target.into_iter().collect();
        Some(Listener {
            address: published_at(port)?,
            service_id: store.counted_as.clone()?,
            service_name: store.names.first()?.clone(),
            backend: ListenerBackend::Tcp(if targets.is_empty() {
                TcpBackend::Hold { timeout_ms: HOLD_TIMEOUT_MS }
            } else {
                TcpBackend::Targets(targets)
            }),
        })
    };
    store.published.iter().filter_map(of).collect()
}

/// Where the edge listens for a published port: on loopback, whatever address the file says,
/// because nothing is opened to the network unless the operator says so.
fn published_at(port: &PublishedPort) -> Option<SocketAddr> {
    let address = port.host_address.as_deref().and_then(|text| text.parse::<IpAddr>().ok());
    let address = address.filter(IpAddr::is_loopback).unwrap_or(Ipv4Addr::LOCALHOST.into());
    port.published.map(|port| SocketAddr::new(address, port))
}

/// A root domain is redirected to from its `www`, and the other way round (Render: custom domains).
/// A wildcard has its `www` among its hosts, and a name of the platform's has none.
fn www_twin(domain: &str) -> Option<String> {
    if domain.starts_with("*.") || domain.ends_with(RENDER_SUFFIX) {
        return None;
    }
    Some(domain.strip_prefix("www.").map_or_else(|| format!("www.{domain}"), str::to_owned))
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

/// How strong a claim to a name is. Of two, the stronger one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    /// What a Blueprint calls it: references give short names, which are made of it.
    Name,
    /// Its short name, which nobody else of the environment has, and hosts that lead to the edge.
    Slug,
    /// A name that a file gives it beside its own. Several services may share one.
    Alias,
    /// What a compose file calls it: others reach it under exactly that.
    ComposeName,
}

fn zone(network: &NetworkOf, services: &[Routed<'_>], stores: &[NamedStore]) -> Zone {
    let mut claims: Vec<(Claim, String, Vec<IpAddr>)> = Vec::new();
    let mut claim = |claim: Claim, name: &str, to: &[IpAddr]| {
        claims.push((claim, name.to_ascii_lowercase(), to.to_vec()));
    };
    for routed in services {
        if let Some(host) = routed.public_host {
            claim(Claim::Slug, host, &[network.gateway]);
        }
        if routed.environment_id != &network.environment_id {
            continue;
        }
        for host in routed.service.container.base_routes.iter().filter_map(shared_host) {
            claim(Claim::Slug, &host, &[network.gateway]);
        }
        let addresses = private_addresses(routed);
        if routed.service.kind == ServiceKind::Static || addresses.is_empty() {
            continue;
        }
        claim(Claim::Slug, routed.slug, &addresses);
        claim(Claim::Slug, &format!("{}-discovery", routed.slug), &addresses);
        for alias in &routed.service.container.aliases {
            claim(Claim::Alias, alias, &addresses);
        }
        let is_compose = routed.service.container.without_platform_env;
        let own = if is_compose { Claim::ComposeName } else { Claim::Name };
        claim(own, &routed.service.name, &addresses);
    }
    for store in stores.iter().filter(|store| store.environment_id == network.environment_id) {
        // A name whose owner is not running is known all the same: nobody outside is asked.
        let addresses: Vec<IpAddr> = store.address.into_iter().collect();
        for name in &store.names {
            claim(Claim::Slug, name, &addresses);
        }
        for alias in &store.aliases {
            claim(Claim::Alias, alias, &addresses);
        }
        let own = if store.is_compose { Claim::ComposeName } else { Claim::Name };
        claim(own, &store.name, &addresses);
    }
    claims.sort_by_key(|(claim, ..)| *claim);
    let mut names: BTreeMap<String, (Claim, Vec<IpAddr>)> = BTreeMap::new();
    for (claim, name, to) in claims {
        match names.get_mut(&name) {
            Some((Claim::Alias, known)) if claim == Claim::Alias => known.extend(to),
            _ => drop(names.insert(name, (claim, to))),
        }
    }
    let names = names.into_iter().map(|(name, (_, to))| (name, to)).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_a_dot_is_this_machines() {
        let check = |host: Option<&str>, expected: Option<&str>| {
            let base = BaseRoute {
                host: host.map(str::to_owned),
                path: "/".to_owned(),
                strip_prefix: false,
                port: None,
            };
            assert_eq!(shared_host(&base).as_deref(), expected);
        };
        check(Some("Shop"), Some("shop.localhost"));
        check(Some("shop.example.com"), Some("shop.example.com"));
        check(None, None);
    }

    #[test]
    fn only_a_plain_custom_domain_is_redirected_to_from_its_twin() {
        assert_eq!(www_twin("example.test").as_deref(), Some("www.example.test"));
        assert_eq!(www_twin("www.example.test").as_deref(), Some("example.test"));
        assert_eq!(www_twin("*.example.test"), None);
        assert_eq!(www_twin("shop.onrender.com"), None);
    }
}
