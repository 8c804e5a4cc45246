//! What references can name: the resources of a file, by scope.

use std::collections::{BTreeMap, BTreeSet};

use model::ServiceKind;

use crate::blueprint::Noun;

use super::root::Draft;

/// Variables that exist without being declared (page "Environment variables").
const INJECTED: &[&str] = &[
    "RENDER",
    "IS_PULL_REQUEST",
    "RENDER_SERVICE_ID",
    "RENDER_SERVICE_NAME",
    "RENDER_SERVICE_TYPE",
    "RENDER_INSTANCE_ID",
    "RENDER_EXTERNAL_HOSTNAME",
    "RENDER_EXTERNAL_URL",
    "RENDER_DISCOVERY_SERVICE",
    "RENDER_GIT_BRANCH",
    "RENDER_GIT_COMMIT",
    "RENDER_GIT_REPO_SLUG",
    "RENDER_CPU_COUNT",
    "RENDER_WEB_CONCURRENCY",
    "WEB_CONCURRENCY",
    "PORT",
];

/// Names that are compared for a hint.
const NEAREST_LIMIT: usize = 200;

/// Whether the platform sets a variable.
pub(super) fn is_injected(key: &str) -> bool {
    INJECTED.contains(&key)
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Service(ServiceKind),
    Workflow,
    Database,
    KeyValue,
}

impl Target {
    /// The `type` that a `fromService` gives it.
    pub(super) fn type_word(self) -> &'static str {
        match self {
            Self::Service(ServiceKind::Private) => "pserv",
            Self::Service(ServiceKind::Worker) => "worker",
            Self::Service(ServiceKind::Cron) => "cron",
            Self::Service(ServiceKind::Web | ServiceKind::Static) => "web",
            Self::Workflow => "workflow",
            Self::Database => "database",
            Self::KeyValue => "keyvalue",
        }
    }

    /// Whether a `type` of a `fromService` fits.
    pub(super) fn fits(self, word: &str) -> bool {
        match self {
            Self::KeyValue => matches!(word, "keyvalue" | "redis"),
            Self::Service(ServiceKind::Static) => matches!(word, "web" | "static"),
            Self::Service(ServiceKind::Cron) => matches!(word, "cron" | "job"),
            _ => word == self.type_word(),
        }
    }
}

/// The names of one scope.
#[derive(Debug, Default)]
struct Names {
    /// A name may be shared by a service and a data store.
    targets: BTreeMap<String, Vec<Target>>,
    /// The same names without case and separators.
    alike: BTreeMap<String, BTreeSet<String>>,
    /// Keys of each service's own variables and of its groups.
    keys: BTreeMap<String, BTreeSet<String>>,
    groups: BTreeSet<String>,
    /// What it is called in messages.
    label: String,
    /// Whether every scope sees it.
    is_shared: bool,
}

/// The names of all scopes.
#[derive(Debug)]
pub(super) struct Index {
    scopes: Vec<Names>,
}

impl Index {
    pub(super) fn new(drafts: &[Draft]) -> Self {
        let mut index = Self { scopes: drafts.iter().map(names).collect() };
        for (position, draft) in drafts.iter().enumerate() {
            for service in draft.scope.services.iter().chain(&draft.scope.workflows) {
                let mut keys = keys_of(draft, Noun::Service, &service.name);
                for group in &service.groups {
                    let home = index
                        .visible(position)
                        .find(|home| index.scopes[*home].groups.contains(group));
                    if let Some(home) = home {
                        keys.extend(keys_of(&drafts[home], Noun::EnvGroup, group));
                    }
                }
                index.scopes[position].keys.insert(service.name.clone(), keys);
            }
        }
        index
    }

    /// The scope itself, then those that every scope sees.
    fn visible(&self, scope: usize) -> impl Iterator<Item = usize> {
        let shared = (0..self.scopes.len()).filter(move |other| *other != scope);
        std::iter::once(scope).chain(shared.filter(|other| self.scopes[*other].is_shared))
    }

    /// What a name stands for, seen from a scope. `wanted` decides between things of one name.
    pub(super) fn find(
        &self,
        scope: usize,
        name: &str,
        wanted: &dyn Fn(Target) -> bool,
    ) -> Option<Target> {
        self.visible(scope).find_map(|scope| {
            let found = self.scopes[scope].targets.get(name)?;
            found.iter().find(|target| wanted(**target)).or_else(|| found.first()).copied()
        })
    }

    /// The only name that is equal but for case and separators.
    pub(super) fn alike(&self, scope: usize, name: &str) -> Option<String> {
        let plain = crate::catalog::normalized(name);
        let mut found =
            self.visible(scope).filter_map(|scope| self.scopes[scope].alike.get(&plain)).flatten();
        let only = found.next().filter(|_| !plain.is_empty())?;
        found.next().is_none().then(|| only.clone())
    }

    /// The only database that is visible.
    pub(super) fn only_database(&self, scope: usize) -> Option<&str> {
        let mut databases = self
            .visible(scope)
            .flat_map(|scope| &self.scopes[scope].targets)
            .filter(|(_, targets)| targets.contains(&Target::Database));
        let (name, _) = databases.next()?;
        databases.next().is_none().then_some(name)
    }

    /// A name that looks a little like it, for a hint.
    pub(super) fn nearest(&self, scope: usize, name: &str) -> Option<String> {
        self.visible(scope)
            .flat_map(|scope| &self.scopes[scope].targets)
            .take(NEAREST_LIMIT)
            .map(|(known, _)| (strsim::osa_distance(known, name), known))
            .filter(|(distance, _)| distance * 3 <= name.len())
            .min()
            .map(|(_, known)| known.clone())
    }

    /// Where else a name is declared.
    pub(super) fn elsewhere(&self, name: &str) -> Option<&str> {
        let has = |names: &&Names| names.targets.contains_key(name);
        self.scopes.iter().find(has).map(|names| names.label.as_str())
    }

    pub(super) fn has_group(&self, scope: usize, name: &str) -> bool {
        self.visible(scope).any(|scope| self.scopes[scope].groups.contains(name))
    }

    /// Whether a service declares a variable, itself or by its groups.
    pub(super) fn has_key(&self, scope: usize, service: &str, key: &str) -> bool {
        self.visible(scope)
            .find_map(|scope| self.scopes[scope].keys.get(service))
            .is_some_and(|keys| keys.contains(key))
    }
}

fn names(draft: &Draft) -> Names {
    let scope = &draft.scope;
    let mut targets: BTreeMap<String, Vec<Target>> = BTreeMap::new();
    let mut alike: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut add = |name: &String, target| {
        targets.entry(name.clone()).or_default().push(target);
        alike.entry(crate::catalog::normalized(name)).or_default().insert(name.clone());
    };
    scope.services.iter().for_each(|service| add(&service.name, Target::Service(service.kind)));
    scope.workflows.iter().for_each(|service| add(&service.name, Target::Workflow));
    scope.databases.iter().for_each(|database| add(&database.name, Target::Database));
    scope.key_values.iter().for_each(|key_value| add(&key_value.name, Target::KeyValue));
    let label = match (&scope.project, &scope.environment) {
        (Some(project), Some(environment)) => {
            format!("environment `{environment}` of project `{project}`")
        }
        _ => "the root of the file".to_owned(),
    };
    Names {
        targets,
        alike,
        keys: BTreeMap::new(),
        groups: scope.env_groups.iter().map(|group| group.name.clone()).collect(),
        label,
        is_shared: scope.environment.is_none(),
    }
}

fn keys_of(draft: &Draft, noun: Noun, name: &str) -> BTreeSet<String> {
    let vars = draft.vars.get(&(noun, name.to_owned()));
    vars.into_iter().flatten().map(|var| var.key.clone()).collect()
}
