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

/// Names and last bytes of addresses, in the network of services that are called so.
fn names_of(services: &[(&str, &str, Service)]) -> Vec<(String, Vec<u8>)> {
    let states: Vec<RouteState> = (9..)
        .zip(services)
        .map(|(last, _)| {
            RouteState::Targets(vec![Target {
                address: ([10, 77, 0, last], 3000).into(),
                ..target(3000)
            }])
        })
        .collect();
    let id = ServiceId::from_uuid(Uuid::from_u128(3));
    let environment_id = environment();
    let routed: Vec<Routed<'_>> = services
        .iter()
        .zip(&states)
        .map(|((slug, _, service), state)| Routed {
            id: &id,
            environment_id: &environment_id,
            service,
            slug,
            public_host: None,
            state: Some(state),
            static_root: None,
            addresses: &[],
        })
        .collect();
    let networks = [NetworkOf { environment_id: environment(), gateway: [10, 77, 0, 1].into() }];
    let table = table(Generation(1), &routed, &[], &networks, &[EDGE]);
    let last = |address: &IpAddr| match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(_) => 0,
    };
    let names = table.zones[0].names.iter();
    names
        .filter(|(name, _)| !name.ends_with("-discovery"))
        .map(|(name, to)| (name.clone(), to.iter().map(last).collect()))
        .collect()
}

fn named(
    slug: &'static str,
    name: &'static str,
    aliases: &[&str],
) -> (&'static str, &'static str, Service) {
    let mut service = service(ServiceKind::Worker);
    service.name = name.to_owned();
    service.container.aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
    service.container.without_platform_env = true;
    (slug, name, service)
}

#[test]
fn a_compose_service_is_reached_under_its_exact_name_and_capitals_do_not_count() {
    let names = names_of(&[named("order-service", "Order_Service", &[])]);
    assert_eq!(
        names,
        [("order-service".to_owned(), vec![9]), ("order_service".to_owned(), vec![9])]
    );
}

#[test]
fn an_exact_name_counts_more_than_a_short_one_made_of_another_and_shared_aliases_lead_to_all() {
    let names =
        names_of(&[named("a-b", "a_b", &["both", "a-b"]), named("a-b-2", "a-b", &["Both", "a_b"])]);
    let expected =
        [("a-b", vec![10]), ("a-b-2", vec![10]), ("a_b", vec![9]), ("both", vec![9, 10])];
    assert_eq!(names, expected.map(|(name, to)| (name.to_owned(), to)));
}

#[test]
fn the_name_of_a_blueprints_service_never_hides_a_short_name() {
    let mut services = [named("api", "my_api", &[]), named("api-2", "API", &[])];
    for (_, _, service) in &mut services {
        service.container.without_platform_env = false;
    }
    let expected = [("api", vec![9]), ("api-2", vec![10]), ("my_api", vec![9])];
    assert_eq!(names_of(&services), expected.map(|(name, to)| (name.to_owned(), to)));
}

#[test]
fn a_data_store_of_a_compose_file_is_reached_under_its_exact_name() {
    let store = NamedStore {
        environment_id: environment(),
        name: "Main_DB".to_owned(),
        is_compose: true,
        names: vec!["main-db".to_owned()],
        aliases: vec!["Postgres_1".to_owned()],
        address: Some(ADDRESS.into()),
        port: 5432,
        published: Vec::new(),
        counted_as: None,
        instance_id: None,
    };
    let zone = &table_of(&service(ServiceKind::Worker), &[store]).zones[0];
    for name in ["main_db", "main-db", "postgres_1"] {
        assert_eq!(zone.names[name], [IpAddr::from(ADDRESS)], "{name}");
    }
}

#[test]
fn connections_to_a_published_data_store_wait_until_it_runs() {
    let store = |address| NamedStore {
        environment_id: environment(),
        name: "Main_DB".to_owned(),
        is_compose: true,
        names: vec!["main-db".to_owned()],
        aliases: Vec::new(),
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
