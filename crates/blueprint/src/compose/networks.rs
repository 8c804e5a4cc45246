//! `networks`, `links`, `depends_on`: names, and who waits for whom.

use std::collections::{BTreeMap, BTreeSet};

use model::{Dependency, DependencyCondition};

use crate::code::Code;

use super::compile::Project;
use super::merge;
use super::node::{Entry, View};
use super::reader::Reader;
use super::scalars::written;

impl Reader<'_> {
    /// More names of a service in the private network.
    pub(crate) fn aliases(
        &mut self,
        project: &Project<'_>,
        name: &str,
        view: &View<'_>,
    ) -> Vec<String> {
        let mut aliases: Vec<String> = Vec::new();
        if let Some(container) = view.get("container_name") {
            aliases.extend(self.text(&container));
        }
        aliases.extend(self.network_aliases(project, view));
        aliases.extend(project.link_aliases.get(name).into_iter().flatten().cloned());
        let mut known = BTreeSet::from([name.to_owned()]);
        aliases.retain(|alias| !alias.is_empty() && known.insert(alias.clone()));
        aliases
    }

    fn network_aliases(&mut self, project: &Project<'_>, view: &View<'_>) -> Vec<String> {
        let Some(networks) = view.get("networks") else { return Vec::new() };
        let mut aliases = Vec::new();
        let names: Vec<String> = match networks.node.map() {
            Some(entries) => entries.iter().map(|entry| entry.key.clone()).collect(),
            None => self.texts(&networks),
        };
        for name in names {
            if name != "default" && project.declared("networks", &name).is_none() {
                let known = project.names("networks");
                self.not_declared(
                    &networks.node.at,
                    &networks.path,
                    ("network", &name),
                    ("networks", &known),
                );
            }
        }
        for (_, connection) in networks.entries() {
            if let Some(view) = connection.get("aliases") {
                aliases.extend(self.texts(&view));
            }
        }
        aliases
    }

    /// Names that links give to the services that they lead to.
    pub(crate) fn link_aliases(
        &mut self,
        services: &[(&str, View<'_>)],
    ) -> BTreeMap<String, Vec<String>> {
        let mut aliases: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (_, service) in services {
            let Some(links) = service.get("links") else { continue };
            for link in self.texts(&links) {
                if let Some((target, alias)) = link.split_once(':') {
                    aliases.entry(target.to_owned()).or_default().push(alias.to_owned());
                }
            }
        }
        aliases
    }

    /// What has to be there before a service starts.
    pub(crate) fn dependencies(
        &mut self,
        project: &Project<'_>,
        name: &str,
        service: &View<'_>,
    ) -> Vec<Dependency> {
        let mut dependencies: Vec<Dependency> = Vec::new();
        if let Some(view) = service.get("depends_on") {
            let entries: Vec<Entry> = match view.node.map() {
                Some(entries) => entries.to_vec(),
                None => {
                    let items = view.node.list().map(<[_]>::to_vec);
                    let items = items.unwrap_or_else(|| vec![view.node.clone()]);
                    items.into_iter().filter_map(merge::pair).collect()
                }
            };
            let mut known: BTreeSet<&str> = BTreeSet::new();
            for entry in &entries {
                let inner = View::new(&entry.node, format!("{}.{}", view.path, entry.key));
                let dependency = self.dependency(entry, &inner);
                if self.is_there(project, name, entry, &dependency, &view.path)
                    && known.insert(entry.key.as_str())
                {
                    dependencies.push(dependency);
                }
            }
        }
        let mut names: BTreeSet<String> =
            dependencies.iter().map(|known| known.service.clone()).collect();
        for key in ["links", "volumes_from"] {
            let Some(view) = service.get(key) else { continue };
            for item in self.texts(&view) {
                let target = item.split(':').next().unwrap_or_default();
                if !project.is_active(target) {
                    let known = project.names("services");
                    if !target.eq("container") {
                        self.not_declared(
                            &view.node.at,
                            &view.path,
                            ("service", target),
                            ("services", &known),
                        );
                    }
                } else if names.insert(target.to_owned()) {
                    dependencies.push(Dependency {
                        service: target.to_owned(),
                        condition: DependencyCondition::ServiceStarted,
                        is_required: true,
                    });
                }
            }
        }
        dependencies
    }

    fn dependency(&mut self, entry: &Entry, view: &View<'_>) -> Dependency {
        let mut condition = DependencyCondition::ServiceStarted;
        if let Some(view) = view.get("condition")
            && let Some(text) = self.text(&view)
        {
            match text.parse() {
                Ok(known) => condition = known,
                Err(_) => {
                    let message = format!(
                        "there is no condition `{}`; read as `service_started`",
                        written(&view)
                    );
                    self.add(Code::UnknownValue, &view.node.at, &view.path, message)
                        .hint("write `service_started`, `service_healthy` or `service_completed_successfully`");
                }
            }
        }
        let required = view.get("required").and_then(|view| self.boolean(&view));
        Dependency { service: entry.key.clone(), condition, is_required: required.unwrap_or(true) }
    }

    /// Whether the other service runs; says so when it has to and does not.
    fn is_there(
        &mut self,
        project: &Project<'_>,
        name: &str,
        entry: &Entry,
        dependency: &Dependency,
        path: &str,
    ) -> bool {
        let other = dependency.service.as_str();
        if other == name {
            let message = format!("`{name}` waits for itself");
            self.add(Code::DependencyCircle, &entry.key_at, path, message);
            return false;
        }
        if project.is_active(other) || !dependency.is_required {
            return project.is_active(other);
        }
        if project.is_inactive(other) {
            let message = format!("`{name}` waits for `{other}`, whose profile was not asked for");
            self.add(Code::NotDeclared, &entry.key_at, path, message)
                .hint("ask for its profile with `--profile`, or write `required: false`");
        } else {
            let known = project.names("services");
            self.not_declared(&entry.key_at, path, ("service", other), ("services", &known));
        }
        false
    }
}
