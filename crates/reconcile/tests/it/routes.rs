//! What the edge is told about containers: names, paths of shared hosts, published ports.

use std::net::IpAddr;

use model::route::{ListenerBackend, TcpBackend};
use model::{
    Backend, BaseRoute, EnvironmentId, Generation, InstanceId, PortProtocol, PublishedPort,
    RouteTable, Service, ServiceId, ServiceKind, Target,
};
use reconcile::deploy::RouteState;
use reconcile::route::{NamedStore, NetworkOf, Routed, table};
use uuid::Uuid;

use crate::world::service;

const EDGE: u16 = 8080;
const ADDRESS: [u8; 4] = [10, 77, 0, 9];

fn environment() -> EnvironmentId {
    EnvironmentId::from_uuid(Uuid::from_u128(1))
}

fn port(target: u16, published: u16, protocol: PortProtocol) -> PublishedPort {
    PublishedPort { target, published: Some(published), host_address: None, protocol }
}

fn target(port: u16) -> Target {
    Target { id: InstanceId::from_uuid(Uuid::from_u128(2)), address: (ADDRESS, port).into() }
}

/// The table for one service that is live on port 3000.
fn table_of(service: &Service, stores: &[NamedStore]) -> RouteTable {
    let id = ServiceId::from_uuid(Uuid::from_u128(3));
    let state = RouteState::Targets(vec![target(3000)]);
    let routed = Routed {
        id: &id,
        environment_id: &environment(),
        service,
        slug: "web",
        public_host: Some("web.localhost"),
        state: Some(&state),
        static_root: None,
        addresses: &[],
    };
    let networks =
        [NetworkOf { environment_id: environment(), gateway: IpAddr::from([10, 77, 0, 1]) }];
    table(Generation(1), &[routed], stores, &networks, &[EDGE])
}

#[test]
fn a_published_port_leads_to_the_port_inside() {
    let mut web = service(ServiceKind::Web);
    web.container.ports =
        vec![port(3000, 3001, PortProtocol::Http), port(5432, 5433, PortProtocol::Tcp)];
    let listeners = table_of(&web, &[]).listeners;
    assert_eq!(listeners[0].address, ([127, 0, 0, 1], 3001).into());
    assert_eq!(listeners[0].backend, ListenerBackend::Http(Backend::Targets(vec![target(3000)])));
    assert_eq!(listeners[1].backend, ListenerBackend::Tcp(TcpBackend::Targets(vec![target(5432)])));
}

#[test]
fn nothing_is_published_beyond_loopback() {
    let mut web = service(ServiceKind::Web);
    web.container.ports = ["0.0.0.0", "192.0.2.1", "127.0.0.2", "::1"]
        .map(|address| PublishedPort {
            host_address: Some(address.to_owned()),
            ..port(3000, 3001, PortProtocol::Http)
        })
        .to_vec();
    for listener in table_of(&web, &[]).listeners {
        assert!(listener.address.ip().is_loopback(), "{listener:?}");
    }
}

#[test]
fn the_edges_own_port_answers_for_the_service_that_publishes_it() {
    let mut web = service(ServiceKind::Web);
    web.container.ports = vec![port(3000, EDGE, PortProtocol::Http)];
    let table = table_of(&web, &[]);
    assert!(table.listeners.is_empty());
    let hosts: Vec<_> = table.routes.iter().flat_map(|route| &route.hosts).collect();
    assert_eq!(hosts, ["web.localhost", "localhost", "127.0.0.1"]);
}

#[test]
fn services_may_share_a_host_by_paths() {
    let mut web = service(ServiceKind::Private);
    web.container.base_routes = vec![BaseRoute {
        host: Some("App.localhost".to_owned()),
        path: "/api".to_owned(),
        strip_prefix: true,
        port: Some(4000),
    }];
    let route = &table_of(&web, &[]).routes[0];
    assert_eq!(route.hosts, ["app.localhost"]);
    assert_eq!((route.path_prefix.as_str(), route.strip_prefix), ("/api", true));
    assert_eq!(route.backend, Backend::Targets(vec![target(4000)]));
}

#[test]
fn aliases_are_names_of_the_private_network() {
    let mut web = service(ServiceKind::Web);
    web.container.aliases = vec!["Front".to_owned()];
    let zone = &table_of(&web, &[]).zones[0];
    for name in ["web", "front", "web-discovery"] {
        assert_eq!(zone.names[name], [IpAddr::from(ADDRESS)], "{name}");
    }
}

#[test]
fn connections_to_a_published_data_store_wait_until_it_runs() {
    let store = |address| NamedStore {
        environment_id: environment(),
        names: vec!["db".to_owned()],
        address,
        port: 5432,
        published: vec![port(5432, 5433, PortProtocol::Tcp)],
        counted_as: Some(ServiceId::from_uuid(Uuid::from_u128(4))),
        instance_id: Some(InstanceId::from_uuid(Uuid::from_u128(2))),
    };
    let backend = |address| {
        let table = table_of(&service(ServiceKind::Worker), &[store(address)]);
        table.listeners[0].backend.clone()
    };
    let running = TcpBackend::Targets(vec![target(5432)]);
    assert_eq!(backend(Some(ADDRESS.into())), ListenerBackend::Tcp(running));
    assert!(matches!(backend(None), ListenerBackend::Tcp(TcpBackend::Hold { .. })));
}
