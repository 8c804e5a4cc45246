//! The merged file to a Blueprint: what runs, and whether it fits together.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::{PortProtocol, Service, VolumeSource};

use crate::blueprint::{
    Blueprint, DatabaseSettings, KeyValueSettings, Noun, Previews, Scope, ServiceSettings,
};
use crate::code::Code;

use super::left_out::LeftOut;
use super::node::{At, Node, View};
use super::reader::Reader;
use super::stores::Store;

/// Most services of a project.
const SERVICE_LIMIT: usize = 4000;
/// Most names among which one that is near is looked for.
const NEAR_LIMIT: usize = 500;

/// The merged file, for those who look something up in it.
#[derive(Debug)]
pub(crate) struct Project<'n> {
    pub(crate) root: View<'n>,
    /// Services that run: profiles considered, in file order.
    pub(crate) active: Vec<(&'n str, View<'n>)>,
    /// Names of those that do not.
    inactive: BTreeSet<&'n str>,
    /// By section: what is declared, by name.
    declared: HashMap<&'n str, HashMap<&'n str, &'n Node>>,
    /// The host of all routes.
    pub(crate) host: Option<String>,
    /// Services that another waits for until they have done their work.
    pub(crate) awaited: BTreeSet<String>,
    /// Names that links give, by service.
    pub(crate) link_aliases: BTreeMap<String, Vec<String>>,
}

impl<'n> Project<'n> {
    /// What is declared under a name, if it is; `Some(None)` where it says nothing further.
    pub(crate) fn declared(&self, section: &str, name: &str) -> Option<Option<View<'n>>> {
        let node: &'n Node = self.declared.get(section)?.get(name)?;
        Some((!node.is_null()).then(|| View::new(node, format!("{section}.{name}"))))
    }

    /// All names of a section.
    pub(crate) fn names(&self, section: &str) -> Vec<&'n str> {
        let entries = self.root.node.get(section).and_then(Node::map).unwrap_or_default();
        entries.iter().map(|entry| entry.key.as_str()).collect()
    }

    pub(crate) fn is_active(&self, service: &str) -> bool {
        !self.inactive.contains(service)
            && self.declared.get("services").is_some_and(|known| known.contains_key(service))
    }

    pub(crate) fn is_inactive(&self, service: &str) -> bool {
        self.inactive.contains(service)
    }
}

/// Services that another waits for until they have done their work.
fn awaited(services: &[(&str, View<'_>)]) -> BTreeSet<String> {
    let needs = services.iter().filter_map(|(_, view)| view.node.get("depends_on")?.map());
    let is_awaited_to_end = |need: &Node| {
        let condition = need.get("condition").and_then(Node::scalar);
        condition.is_some_and(|scalar| scalar.text == "service_completed_successfully")
    };
    needs
        .flatten()
        .filter(|entry| is_awaited_to_end(&entry.node))
        .map(|entry| entry.key.clone())
        .collect()
}

/// What an entry of `services` is. A service that cannot be read is none.
enum Resource {
    Store(Box<Store>),
    /// With what runs before it.
    Services(Vec<(Service, ServiceSettings)>),
}

impl Scope {
    /// Takes in what an entry of `services` is.
    fn take(&mut self, name: &str, view: &View<'_>, resource: Resource) {
        let noun = match resource {
            Resource::Store(store) => match *store {
                Store::Postgres(database, compose) => {
                    let settings =
                        DatabaseSettings { compose: Some(compose), ..Default::default() };
                    self.database_settings.insert(name.to_owned(), settings);
                    self.databases.push(database);
                    Noun::Database
                }
                Store::KeyValue(key_value, compose) => {
                    let settings =
                        KeyValueSettings { compose: Some(compose), ..Default::default() };
                    self.key_value_settings.insert(name.to_owned(), settings);
                    self.key_values.push(key_value);
                    Noun::KeyValue
                }
            },
            Resource::Services(services) => {
                for (service, settings) in services {
                    let name = service.name.clone();
                    self.origins.insert((Noun::Service, name.clone()), view.path.clone());
                    self.service_settings.insert(name, settings);
                    self.services.push(service);
                }
                return;
            }
        };
        self.origins.insert((noun, name.to_owned()), view.path.clone());
    }
}

/// A port of the host that somebody wants.
#[derive(Debug)]
struct Wanted {
    service: String,
    address: Option<String>,
}

impl Reader<'_> {
    /// What the merged file declares.
    pub(crate) fn compile(&mut self, root: &Node) -> Blueprint {
        let root = View::new(root, "");
        let name = root.get("name").and_then(|view| {
            let view = View::new(view.node, "name");
            self.text(&view)
        });
        let project_name =
            name.filter(|name| !name.is_empty()).unwrap_or_else(|| self.input.project_name.clone());
        let mut scope = Scope { project: Some(project_name), ..Scope::default() };
        let project = self.project_of(root);
        self.unused_sections(&project);
        let mut left_out = LeftOut::default();
        for (name, view) in &project.active {
            let before = self.refusals.len();
            let resource = self.resource(&project, name, view);
            match self.refusals.get(before) {
                Some(why) => left_out.add(name, why.clone()),
                None => scope.take(name, view, resource),
            }
        }
        self.leave_out(left_out, &project, &mut scope);
        self.shared_volumes(&scope, &project);
        self.circles(&scope, &project);
        self.published_twice(&scope, &project);
        if project.active.is_empty() {
            self.nothing_runs(&project);
        }
        Blueprint {
            scopes: vec![scope],
            previews: Previews::default(),
            build_sources: Vec::new(),
            spans: BTreeMap::new(),
        }
    }

    fn project_of<'n>(&mut self, root: View<'n>) -> Project<'n> {
        let host = self.root_host(&root);
        let sections = root.node.map().unwrap_or_default().iter().map(|section| {
            let entries = section.node.map().unwrap_or_default().iter();
            (section.key.as_str(), entries.map(|entry| (entry.key.as_str(), &entry.node)).collect())
        });
        let declared = sections.collect();
        let mut project = Project {
            root,
            active: Vec::new(),
            inactive: BTreeSet::new(),
            declared,
            host,
            awaited: BTreeSet::new(),
            link_aliases: BTreeMap::new(),
        };
        let Some(services) = project.root.node.get("services") else { return project };
        let services = View::new(services, "services");
        if services.node.map().is_none() {
            self.shape(&services, "a mapping of services");
        }
        for (entry, view) in services.entries() {
            if project.active.len() == SERVICE_LIMIT {
                let message = format!("there are more than {SERVICE_LIMIT} services");
                self.add(Code::TooMuch, &entry.key_at, &view.path, message);
                break;
            }
            if view.node.map().is_none() {
                self.shape(&view, "a mapping");
            } else if !is_name(&entry.key) {
                let message = format!("`{}` is no name of a service", entry.key);
                self.add(Code::BadValue, &entry.key_at, &view.path, message)
                    .hint("names consist of letters, digits, `.`, `_` and `-`");
            } else if self.has_profile(&view) {
                project.active.push((entry.key.as_str(), view));
            } else {
                let message = format!("`{}` waits for a profile that was not asked for", entry.key);
                self.add(Code::ProfileOff, view.key_at("profiles"), &view.path, message)
                    .hint("ask for it with `--profile`");
                project.inactive.insert(entry.key.as_str());
            }
        }
        project.awaited = awaited(&project.active);
        project.link_aliases = self.link_aliases(&project.active);
        project
    }

    /// Whether a service has no profile, or one that was asked for.
    fn has_profile(&mut self, service: &View<'_>) -> bool {
        let Some(view) = service.get("profiles") else { return true };
        let profiles = self.texts(&view);
        let asked = &self.input.profiles;
        profiles.is_empty()
            || profiles.iter().any(|profile| asked.contains(profile))
            || asked.iter().any(|profile| profile == "*")
    }

    fn resource(&mut self, project: &Project<'_>, name: &str, view: &View<'_>) -> Resource {
        match self.store(project, name, view) {
            Some(store) => Resource::Store(Box::new(store)),
            None => {
                let Some((mut service, settings)) = self.service(project, name, view) else {
                    return Resource::Services(Vec::new());
                };
                let mut services = self.pre_start(project, view, &mut service);
                services.push((service, settings));
                Resource::Services(services)
            }
        }
    }

    /// Sections that have to be mappings.
    fn unused_sections(&mut self, project: &Project<'_>) {
        for section in ["networks", "volumes", "secrets", "configs"] {
            if let Some(node) = project.root.node.get(section)
                && node.map().is_none()
            {
                self.shape(&View::new(node, section), "a mapping");
            }
        }
    }

    fn nothing_runs(&mut self, project: &Project<'_>) {
        let at = project.root.node.at.clone();
        let (message, hint) = if project.inactive.is_empty() {
            ("the file declares no service", "name under `services` what is to run")
        } else {
            ("all services wait for a profile", "ask for one with `--profile`")
        };
        if !self.has_error() {
            self.add(Code::EmptyFile, &at, "", message.to_owned()).hint(hint);
        }
    }

    /// Volumes that several instances of one service write to.
    fn shared_volumes(&mut self, scope: &Scope, project: &Project<'_>) {
        let views: HashMap<&str, &View<'_>> =
            project.active.iter().map(|(name, view)| (*name, view)).collect();
        for service in scope.services.iter().filter(|service| service.instances > 1) {
            let Some(view) = views.get(service.name.as_str()) else { continue };
            for volume in service.container.volumes.iter().filter(|volume| !volume.is_read_only) {
                let name = match &volume.source {
                    VolumeSource::Named(name) => format!("the volume `{name}`"),
                    VolumeSource::Anonymous => format!("one volume at `{}`", volume.target),
                    _ => continue,
                };
                let message = format!(
                    "the {} instances of `{}` write to {name} at once",
                    service.instances, service.name
                );
                let at = view.key_at("volumes").clone();
                self.add(Code::SharedVolume, &at, &format!("{}.volumes", view.path), message)
                    .hint("`x-per-replica: true` of the volume gives each its own; leave it if the program is made for it");
            }
        }
    }

    /// Services that wait for each other.
    fn circles(&mut self, scope: &Scope, project: &Project<'_>) {
        let edges: BTreeMap<&str, Vec<&str>> = scope
            .services
            .iter()
            .map(|service| {
                let needs = service.container.depends_on.iter();
                (service.name.as_str(), needs.map(|need| need.service.as_str()).collect())
            })
            .collect();
        let mut done: BTreeSet<&str> = BTreeSet::new();
        for start in edges.keys() {
            let Some(circle) = circle(&edges, start, &mut done) else { continue };
            let Some((_, view)) = project.active.iter().find(|(name, _)| name == start) else {
                continue;
            };
            let at = view.key_at("depends_on").clone();
            let message = format!("services wait for each other: {}", circle.join(" → "));
            self.add(Code::DependencyCircle, &at, &view.path, message).hint(
                "take one of these dependencies away; services find each other by name at any time",
            );
        }
    }

    fn published_twice(&mut self, scope: &Scope, project: &Project<'_>) {
        let services =
            scope.services.iter().map(|service| (service.name.as_str(), &service.container.ports));
        let databases = scope.database_settings.iter().filter_map(|(name, settings)| {
            Some((name.as_str(), &settings.compose.as_ref()?.published))
        });
        let key_values = scope.key_value_settings.iter().filter_map(|(name, settings)| {
            Some((name.as_str(), &settings.compose.as_ref()?.published))
        });
        let all: BTreeMap<&str, _> = services.chain(databases).chain(key_values).collect();
        let mut wanted: BTreeMap<(u16, bool), Vec<Wanted>> = BTreeMap::new();
        for (name, view) in &project.active {
            for port in all.get(name).into_iter().flat_map(|ports| ports.iter()) {
                let Some(published) = port.published else { continue };
                let address = port.host_address.clone();
                let at = view.key_at("ports").clone();
                let others =
                    wanted.entry((published, port.protocol == PortProtocol::Udp)).or_default();
                if let Some(other) = others.iter().find(|other| overlap(&other.address, &address)) {
                    let message = if other.service == *name {
                        format!("`{name}` publishes port {published} twice")
                    } else {
                        format!("`{name}` and `{}` both publish port {published}", other.service)
                    };
                    self.add(Code::PortTwice, &at, &format!("{}.ports", view.path), message)
                        .hint("give one of them another port of the host: `\"8081:80\"`");
                    break;
                }
                others.push(Wanted { service: (*name).to_owned(), address });
            }
        }
    }

    /// Says that something is not declared, with a name that is near.
    pub(crate) fn not_declared(
        &mut self,
        at: &At,
        path: &str,
        (noun, name): (&str, &str),
        (section, known): (&str, &[&str]),
    ) {
        let near = known
            .iter()
            .take(NEAR_LIMIT)
            .map(|other| (strsim::osa_distance(other, name), other))
            .min()
            .filter(|(distance, _)| distance * 3 <= name.len());
        let hint = match near {
            Some((_, other)) => format!("did you mean `{other}`?"),
            None => format!("declare `{name}` under `{section}`"),
        };
        let message = format!("there is no {noun} `{name}`");
        self.add(Code::NotDeclared, at, path, message).hint(hint);
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Whether two addresses of the host cannot both be listened on.
fn overlap(one: &Option<String>, two: &Option<String>) -> bool {
    let is_any = |address: &Option<String>| {
        address.as_deref().is_none_or(|address| matches!(address, "0.0.0.0" | "::" | "*"))
    };
    is_any(one) || is_any(two) || one == two
}

/// A way from a service back to itself; services that have none are marked as done.
fn circle<'e>(
    edges: &BTreeMap<&'e str, Vec<&'e str>>,
    start: &'e str,
    done: &mut BTreeSet<&'e str>,
) -> Option<Vec<&'e str>> {
    // An explicit stack: a hostile file may have chains of any length.
    let mut way: Vec<(&str, usize)> = vec![(start, 0)];
    let mut on_way: BTreeSet<&str> = BTreeSet::from([start]);
    if done.contains(start) {
        return None;
    }
    while let Some((name, index)) = way.last_mut() {
        let next = edges.get(name).and_then(|needs| needs.get(*index)).copied();
        *index += 1;
        match next {
            None => {
                done.insert(name);
                on_way.remove(*name);
                way.pop();
            }
            Some(next) if on_way.contains(next) => {
                let names = way.iter().map(|(name, _)| *name);
                let mut circle: Vec<&str> = names.skip_while(|name| *name != next).collect();
                circle.push(next);
                done.extend(way.iter().map(|(name, _)| *name));
                return Some(circle);
            }
            Some(next) if done.contains(next) => {}
            Some(next) => {
                on_way.insert(next);
                way.push((next, 0));
            }
        }
    }
    None
}
