//! What a name refers to, and what it says.

use model::{DatabaseProperty, ServiceKind, ServiceProperty};
use secrecy::ExposeSecret;

use super::candidates::{Graph, OWN, ScopeIndex};
use super::facts::{DatabaseFacts, KeyValueFacts, ServiceFacts};
use super::platform::port_of;
use super::template::escape;
use super::variable::Why;

/// What a name refers to.
pub(super) enum Found<'a> {
    Service(ScopeIndex, &'a ServiceFacts),
    KeyValue(&'a KeyValueFacts),
    Database(&'a DatabaseFacts),
    Nothing,
}

/// What a property says.
pub(super) struct Said {
    pub(super) text: String,
    pub(super) is_secret: bool,
}

impl Said {
    fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_secret: false }
    }
}

/// What `fromService` refers to. Authors name databases there, too.
pub(super) fn find_service<'a>(graph: &Graph<'a>, scope: ScopeIndex, name: &str) -> Found<'a> {
    find(graph, scope, |scope| {
        [
            service_in(graph, scope, name),
            key_value_in(graph, scope, name),
            database_in(graph, scope, name),
        ]
    })
}

/// What `fromDatabase` refers to. Authors declare Redis among databases.
pub(super) fn find_database<'a>(graph: &Graph<'a>, scope: ScopeIndex, name: &str) -> Found<'a> {
    find(graph, scope, |scope| {
        [database_in(graph, scope, name), key_value_in(graph, scope, name), Found::Nothing]
    })
}

/// A property that `fromService` asks for.
pub(super) fn service_property(
    graph: &Graph<'_>,
    scope: ScopeIndex,
    name: &str,
    property: ServiceProperty,
) -> Result<Said, Why> {
    let none = || no_such(name, &property.to_string());
    match find_service(graph, scope, name) {
        Found::Service(scope, service) => {
            let by_hand = graph.scopes[scope].port_by_hand(&service.service.name);
            of_service(service, port_of(service, by_hand), property).ok_or_else(none)
        }
        Found::KeyValue(key_value) => of_key_value(key_value, property).ok_or_else(none),
        Found::Database(database) => {
            let same = match property {
                ServiceProperty::ConnectionString | ServiceProperty::Url => {
                    DatabaseProperty::ConnectionString
                }
                ServiceProperty::Host => DatabaseProperty::Host,
                ServiceProperty::Port => DatabaseProperty::Port,
                ServiceProperty::HostPort => {
                    return Ok(Said::plain(format!("{}:{}", database.host, database.port)));
                }
            };
            Ok(of_database(database, same))
        }
        Found::Nothing => Err(Why::UndeclaredService(name.to_owned())),
    }
}

/// A property that `fromDatabase` asks for.
pub(super) fn database_property(
    graph: &Graph<'_>,
    scope: ScopeIndex,
    name: &str,
    property: DatabaseProperty,
) -> Result<Said, Why> {
    match find_database(graph, scope, name) {
        Found::Database(database) => Ok(of_database(database, property)),
        Found::KeyValue(key_value) => {
            let same = match property {
                DatabaseProperty::ConnectionString | DatabaseProperty::ConnectionPoolString => {
                    ServiceProperty::ConnectionString
                }
                DatabaseProperty::Host => ServiceProperty::Host,
                DatabaseProperty::Port => ServiceProperty::Port,
                _ => return Err(no_such(name, &property.to_string())),
            };
            of_key_value(key_value, same).ok_or_else(|| no_such(name, &property.to_string()))
        }
        _ => Err(Why::UndeclaredDatabase(name.to_owned())),
    }
}

pub(super) fn no_such(name: &str, property: &str) -> Why {
    Why::NoSuchProperty { name: name.to_owned(), property: property.to_owned() }
}

/// The same environment first, then what belongs to none.
fn find<'a, const N: usize>(
    graph: &Graph<'a>,
    scope: ScopeIndex,
    look: impl Fn(ScopeIndex) -> [Found<'a>; N],
) -> Found<'a> {
    let scopes = if scope == OWN { OWN..graph.scopes.len() } else { scope..scope + 1 };
    scopes.flat_map(look).find(|found| !matches!(found, Found::Nothing)).unwrap_or(Found::Nothing)
}

fn service_in<'a>(graph: &Graph<'a>, scope: ScopeIndex, name: &str) -> Found<'a> {
    let service = graph.scopes[scope].services.get(name);
    service.map_or(Found::Nothing, |service| Found::Service(scope, service))
}

fn key_value_in<'a>(graph: &Graph<'a>, scope: ScopeIndex, name: &str) -> Found<'a> {
    graph.scopes[scope].key_value(name).map_or(Found::Nothing, Found::KeyValue)
}

fn database_in<'a>(graph: &Graph<'a>, scope: ScopeIndex, name: &str) -> Found<'a> {
    graph.scopes[scope].database(name).map_or(Found::Nothing, Found::Database)
}

fn of_service(service: &ServiceFacts, port: u16, property: ServiceProperty) -> Option<Said> {
    let kind = service.service.kind;
    // A static site is only at its public address; a cron job is nowhere.
    let private = match kind {
        ServiceKind::Static | ServiceKind::Cron => None,
        _ => Some(service.host.clone()),
    };
    let public = service.external.as_ref();
    let text = match property {
        ServiceProperty::Host => private.or_else(|| public.map(|it| it.host.clone()))?,
        ServiceProperty::Port => private.map(|_| port.to_string())?,
        ServiceProperty::HostPort => format!("{}:{port}", private?),
        ServiceProperty::Url => match public {
            Some(external) => external.url.clone(),
            None => format!("http://{}:{port}", private?),
        },
        ServiceProperty::ConnectionString => return None,
    };
    Some(Said::plain(text))
}

fn of_key_value(key_value: &KeyValueFacts, property: ServiceProperty) -> Option<Said> {
    let KeyValueFacts { host, port, password, .. } = key_value;
    Some(match (property, password) {
        (ServiceProperty::Host, _) => Said::plain(host.clone()),
        (ServiceProperty::Port, _) => Said::plain(port.to_string()),
        (ServiceProperty::HostPort, _) => Said::plain(format!("{host}:{port}")),
        (ServiceProperty::ConnectionString | ServiceProperty::Url, None) => {
            Said::plain(format!("redis://{host}:{port}"))
        }
        (ServiceProperty::ConnectionString | ServiceProperty::Url, Some(password)) => Said {
            text: format!("redis://default:{}@{host}:{port}", escape(password.expose_secret())),
            is_secret: true,
        },
    })
}

fn of_database(facts: &DatabaseFacts, property: DatabaseProperty) -> Said {
    let DatabaseFacts { database, host, port, password } = facts;
    let password = password.expose_secret();
    match property {
        DatabaseProperty::ConnectionString | DatabaseProperty::ConnectionPoolString => Said {
            text: format!(
                "postgresql://{}:{}@{host}:{port}/{}",
                escape(&database.user),
                escape(password),
                escape(&database.database_name)
            ),
            is_secret: true,
        },
        DatabaseProperty::Password => Said { text: password.to_owned(), is_secret: true },
        DatabaseProperty::Host => Said::plain(host.clone()),
        DatabaseProperty::Port => Said::plain(port.to_string()),
        DatabaseProperty::User => Said::plain(database.user.clone()),
        DatabaseProperty::Database => Said::plain(database.database_name.clone()),
    }
}
