//! A route table, made ready for look-ups. Shared by all cores and never changed.

use std::borrow::Cow;
use std::collections::{HashMap, hash_map};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::InstanceId;
use model::route::{self, Listener, ListenerBackend, RouteTable, TcpBackend};
use tracing::warn;

use crate::counters;
use crate::files::Site;
use crate::rules;

/// A table that can be asked.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) routes: Vec<Route>,
    /// Host → routes, longest prefix first.
    hosts: HashMap<Box<str>, Vec<usize>>,
    /// The same for hosts that begin with `*`, by what follows it.
    wildcards: HashMap<Box<str>, Vec<usize>>,
    /// Ports that lead to one service each. Their routes have no hosts.
    published: HashMap<SocketAddr, Published>,
}

/// What is on a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) route: usize,
    /// Whether connections are passed on as they are; requests otherwise.
    pub(crate) is_tcp: bool,
}

/// One route, ready to serve.
#[derive(Debug)]
pub(crate) struct Route {
    /// Without a final slash, so empty for `/`.
    prefix: String,
    pub(crate) strip_prefix: bool,
    pub(crate) name: String,
    pub(crate) service: Arc<counters::Service>,
    pub(crate) headers: Vec<rules::Header>,
    pub(crate) rules: Vec<rules::Rule>,
    pub(crate) backend: Backend,
}

/// What answers.
#[derive(Debug)]
pub(crate) enum Backend {
    Targets(Vec<Target>),
    Hold(Duration),
    Static(Site),
    RedirectHost(String),
    Unavailable(String),
}

/// Where an instance listens, and its counters.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) id: InstanceId,
    pub(crate) address: SocketAddr,
    pub(crate) counters: Arc<counters::Target>,
}

impl Table {
    /// Compiles a table whose targets and services were admitted to the registry.
    pub(crate) fn new(table: &RouteTable, registry: &counters::Registry) -> Self {
        let mut routes = Vec::with_capacity(table.routes.len());
        let mut hosts: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        let mut wildcards: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        for route in &table.routes {
            let Some(service) = registry.service(&route.service_id) else { continue };
            let index = routes.len();
            for host in &route.hosts {
                let host = host_key(host);
                let (map, key) = match host.strip_prefix('*') {
                    Some(suffix) if suffix.starts_with('.') => (&mut wildcards, suffix),
                    _ => (&mut hosts, &*host),
                };
                map.entry(key.into()).or_default().push(index);
            }
            routes.push(Route::new(route, service, registry));
        }
        let mut published = HashMap::new();
        for listener in &table.listeners {
            let Some(service) = registry.service(&listener.service_id) else { continue };
            let is_tcp = matches!(listener.backend, ListenerBackend::Tcp(_));
            let entry = Published { route: routes.len(), is_tcp };
            if let hash_map::Entry::Vacant(vacant) = published.entry(listener.address) {
                vacant.insert(entry);
                routes.push(Route::published(listener, service, registry));
            }
        }
        for indices in hosts.values_mut().chain(wildcards.values_mut()) {
            // Stable: of two routes with the same prefix the first one counts.
            indices.sort_by_key(|index| std::cmp::Reverse(routes[*index].prefix.len()));
        }
        Self { routes, hosts, wildcards, published }
    }

    /// The route of a host (see [`host_key`]) and a path.
    pub(crate) fn find(&self, host: &str, path: &str) -> Option<usize> {
        let indices = self.of_host(host)?;
        indices.iter().copied().find(|index| self.routes[*index].matches(path))
    }

    /// What is on a published port.
    pub(crate) fn published(&self, address: SocketAddr) -> Option<Published> {
        self.published.get(&address).copied()
    }

    /// Whether any route has this host.
    pub(crate) fn has_host(&self, host: &str) -> bool {
        self.of_host(host).is_some()
    }

    /// The routes of a host: those that name it, or else those of the longest wildcard above it,
    /// which stands for one or more labels.
    fn of_host(&self, host: &str) -> Option<&[usize]> {
        let exact = self.hosts.get(host);
        let found = exact.or_else(|| {
            let dots = host.match_indices('.').map(|(at, _)| at);
            dots.filter(|at| *at > 0).find_map(|at| self.wildcards.get(&host[at..]))
        });
        found.map(Vec::as_slice)
    }

    /// Hosts below `.localhost`, sorted: the only ones that a stranger may be told.
    pub(crate) fn local_hosts(&self) -> Vec<&str> {
        let mut hosts: Vec<&str> = self
            .hosts
            .keys()
            .map(|host| &**host)
            .filter(|host| host.ends_with(".localhost"))
            .collect();
        hosts.sort_unstable();
        hosts
    }
}

impl Route {
    fn new(
        route: &route::Route,
        service: Arc<counters::Service>,
        registry: &counters::Registry,
    ) -> Self {
        let headers = route
            .headers
            .iter()
            .filter_map(|rule| {
                let header = rules::Header::new(rule);
                if header.is_none() {
                    warn!(header = rule.name, "a header rule cannot be sent and is left out");
                }
                header
            })
            .collect();
        Self {
            prefix: route.path_prefix.trim_end_matches('/').to_owned(),
            strip_prefix: route.strip_prefix,
            name: route.service_name.clone(),
            service,
            headers,
            rules: route.rules.iter().map(rules::Rule::new).collect(),
            backend: Backend::new(&route.backend, registry),
        }
    }

    /// A port that leads to one service is a route without hosts that takes every path.
    fn published(
        listener: &Listener,
        service: Arc<counters::Service>,
        registry: &counters::Registry,
    ) -> Self {
        let backend = match &listener.backend {
            ListenerBackend::Http(backend) => Backend::new(backend, registry),
            ListenerBackend::Tcp(TcpBackend::Targets(_)) => {
                Backend::targets(listener.targets(), registry)
            }
            ListenerBackend::Tcp(TcpBackend::Hold { timeout_ms }) => {
                Backend::Hold(Duration::from_millis(*timeout_ms))
            }
            ListenerBackend::Tcp(TcpBackend::Unavailable) => Backend::Unavailable(String::new()),
        };
        Self {
            prefix: String::new(),
            strip_prefix: false,
            name: listener.service_name.clone(),
            service,
            headers: Vec::new(),
            rules: Vec::new(),
            backend,
        }
    }

    /// The part of the path that is taken off, if there is one.
    pub(crate) fn stripped_prefix(&self) -> Option<&str> {
        (self.strip_prefix && !self.prefix.is_empty()).then_some(&self.prefix)
    }

    fn matches(&self, path: &str) -> bool {
        path.strip_prefix(self.prefix.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The path without the prefix, if that is wanted.
    pub(crate) fn stripped<'p>(&self, path: &'p str) -> &'p str {
        if !self.strip_prefix {
            return path;
        }
        match path.strip_prefix(self.prefix.as_str()) {
            Some("") | None => "/",
            Some(rest) => rest,
        }
    }
}

impl Backend {
    fn new(backend: &route::Backend, registry: &counters::Registry) -> Self {
        match backend {
            route::Backend::Targets(targets) => Self::targets(targets, registry),
            route::Backend::Hold { timeout_ms } => Self::Hold(Duration::from_millis(*timeout_ms)),
            route::Backend::Static(site) => Self::Static(Site::new(&site.root)),
            route::Backend::RedirectHost(host) => Self::RedirectHost(host.clone()),
            route::Backend::Unavailable(sentence) => Self::Unavailable(sentence.clone()),
        }
    }

    fn targets(targets: &[route::Target], registry: &counters::Registry) -> Self {
        let admitted = targets.iter().filter_map(|target| {
            Some(Target {
                id: target.id.clone(),
                address: target.address,
                counters: registry.target(&target.id)?,
            })
        });
        Self::Targets(admitted.collect())
    }
}

/// A host as routes know it: lower case, without port and final dot.
pub(crate) fn host_key(authority: &str) -> Cow<'_, str> {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = if host.starts_with('[') {
        host.split_inclusive(']').next().unwrap_or(host)
    } else {
        host.split(':').next().unwrap_or(host)
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

#[cfg(test)]
mod tests {
    use model::ServiceId;
    use model::route::Backend as Answer;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn table(prefixes: &[String]) -> Table {
        let table = RouteTable {
            routes: prefixes
                .iter()
                .map(|prefix| route::Route {
                    hosts: vec!["shop.localhost".into()],
                    path_prefix: prefix.clone(),
                    strip_prefix: true,
                    service_id: ServiceId::from_uuid(Uuid::from_u128(1)),
                    service_name: prefix.clone(),
                    headers: vec![],
                    rules: vec![],
                    backend: Answer::Unavailable(String::new()),
                })
                .collect(),
            ..RouteTable::default()
        };
        let mut registry = counters::Registry::new(1);
        registry.admit(&table);
        Table::new(&table, &registry)
    }

    #[test]
    fn hosts_are_compared_without_port_case_and_final_dot() {
        for host in
            ["Shop.Localhost", "shop.localhost:8080", "shop.localhost.", "shop.localhost.:80"]
        {
            assert_eq!(host_key(host), "shop.localhost");
        }
        assert_eq!(host_key("[::1]:8080"), "[::1]");
    }

    #[test]
    fn a_prefix_ends_at_a_slash() {
        let table = table(&["/api".into()]);
        assert!(table.find("shop.localhost", "/api").is_some());
        assert!(table.find("shop.localhost", "/api/x").is_some());
        assert!(table.find("shop.localhost", "/apix").is_none());
        assert_eq!(table.routes[0].stripped("/api"), "/");
        assert_eq!(table.routes[0].stripped("/api/x"), "/x");
    }

    proptest! {
        #[test]
        fn the_longest_prefix_wins_whatever_the_order(
            prefixes in prop::collection::hash_set("(/[a-c]{1,2}){0,3}/?", 1..6),
            path in "(/[a-c]{1,2}){0,5}/?",
        ) {
            let prefixes: Vec<String> = prefixes.into_iter().collect();
            let path = if path.is_empty() { "/".to_owned() } else { path };
            let table = table(&prefixes);
            let expect = prefixes
                .iter()
                .map(|prefix| prefix.trim_end_matches('/'))
                .filter(|prefix| path == **prefix || path.starts_with(&format!("{prefix}/")))
                .map(str::len)
                .max();
            let found = table.find("shop.localhost", &path).map(|index| table.routes[index].prefix.len());
            prop_assert_eq!(found, expect);
        }
    }
}
