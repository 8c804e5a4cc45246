//! Everything that could give a variable its value, lined up.

use std::collections::{BTreeMap, BTreeSet};

use model::{EnvGroup, EnvOwner, EnvSource, EnvVar, ServiceReference, TemplatePart, ValueOrigin};
use secrecy::{ExposeSecret, SecretString};

use super::facts::{DatabaseFacts, Facts, KeyValueFacts, ServiceFacts};
use super::platform::injected;
use super::reference::{self, Found};
use super::variable::{Origin, Phase};
use super::work;

/// Where a service lives: in the environment itself, or among what belongs to none.
pub(super) type ScopeIndex = usize;
/// The place of a candidate in [`Graph::nodes`].
pub(super) type NodeIndex = usize;

/// The environment that is resolved.
pub(super) const OWN: ScopeIndex = 0;

/// All candidates of all variables. Built in order of names, so that nothing depends on the order
/// in which services were given.
pub(super) struct Graph<'a> {
    pub(super) scopes: Vec<Scope<'a>>,
    pub(super) nodes: Vec<Node<'a>>,
    /// The candidates of each variable, the first that has a value wins.
    pub(super) variables: BTreeMap<(ScopeIndex, &'a str, &'a str), Vec<NodeIndex>>,
    /// Groups that are linked and known to nobody, as `(service, group)`.
    pub(super) unknown_groups: Vec<(&'a str, &'a str)>,
}

/// One set of facts.
pub(super) struct Scope<'a> {
    pub(super) facts: &'a Facts,
    pub(super) services: BTreeMap<&'a str, &'a ServiceFacts>,
    stored: BTreeMap<&'a EnvOwner, BTreeMap<&'a str, (&'a SecretString, ValueOrigin)>>,
    databases: BTreeMap<&'a str, &'a DatabaseFacts>,
    key_values: BTreeMap<&'a str, &'a KeyValueFacts>,
    /// With their ages; of two that share a name, the one created last.
    groups: BTreeMap<&'a str, (usize, &'a EnvGroup)>,
    given: BTreeSet<&'a str>,
    /// Those that are looked for inside of texts, too.
    given_parts: Vec<&'a str>,
}

/// Shorter values of a person's are part of many words.
const GIVEN_BYTES_MIN: usize = 4;
/// So many values of a person's are looked for inside of texts.
const GIVEN_PARTS_MAX: usize = 64;

/// One candidate.
pub(super) struct Node<'a> {
    pub(super) scope: ScopeIndex,
    pub(super) service: &'a str,
    pub(super) key: &'a str,
    pub(super) source: Source<'a>,
    pub(super) group: Option<&'a str>,
    pub(super) phase: Phase,
    /// Whether it is set, or only there to be referred to.
    pub(super) is_set: bool,
}

/// Where a candidate's value comes from.
pub(super) enum Source<'a> {
    /// A value that is there.
    Given(SecretString, Origin),
    /// `sync: false`.
    Ask,
    /// `generateValue: true`, and nobody has generated it yet.
    NotGenerated,
    /// A reference or template that has to be followed.
    Declared(&'a EnvSource),
}

impl<'a> Graph<'a> {
    pub(super) fn new(facts: &'a Facts) -> Self {
        let scopes = std::iter::once(facts).chain(facts.root.as_deref()).map(Scope::new).collect();
        let mut graph = Self {
            scopes,
            nodes: Vec::new(),
            variables: BTreeMap::new(),
            unknown_groups: Vec::new(),
        };
        let services: Vec<&'a ServiceFacts> =
            graph.scopes[OWN].services.values().copied().collect();
        for service in services {
            graph.add_service(OWN, service);
        }
        graph.add_copied();
        graph
    }

    /// Adds those services of no environment whose variables are copied, and those that they copy
    /// from: there may be many environments, and each asks for few.
    fn add_copied(&mut self) {
        let mut added: BTreeSet<&'a str> = BTreeSet::new();
        let mut seen = 0;
        while seen < self.nodes.len() {
            let node = &self.nodes[seen];
            seen += 1;
            let Source::Declared(EnvSource::FromService {
                name,
                reference: ServiceReference::EnvVar(_),
            }) = &node.source
            else {
                continue;
            };
            if let Found::Service(scope, service) = reference::find_service(self, node.scope, name)
                && scope != OWN
                && added.insert(&service.service.name)
            {
                self.add_service(scope, service);
            }
        }
    }

    /// The candidates of a variable that another one refers to.
    fn candidates<'b>(
        &'b self,
        scope: ScopeIndex,
        service: &'b str,
        key: &'b str,
    ) -> &'b [NodeIndex] {
        self.variables.get(&(scope, service, key)).map(Vec::as_slice).unwrap_or_default()
    }

    /// What a node refers to, one list of candidates per reference.
    pub(super) fn references(&self, index: NodeIndex) -> Vec<Reference<'_>> {
        let node = &self.nodes[index];
        let Source::Declared(source) = &node.source else { return Vec::new() };
        match source {
            EnvSource::FromService { name, reference: ServiceReference::EnvVar(key) } => {
                match reference::find_service(self, node.scope, name) {
                    Found::Service(scope, service) => {
                        vec![self.reference(index, scope, &service.service.name, key)]
                    }
                    _ => Vec::new(),
                }
            }
            EnvSource::Template(parts) => parts
                .iter()
                .filter_map(|part| match part {
                    TemplatePart::Variable { key, .. } => {
                        Some(self.reference(index, node.scope, node.service, key))
                    }
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    fn reference<'b>(
        &'b self,
        from: NodeIndex,
        scope: ScopeIndex,
        service: &'b str,
        key: &'b str,
    ) -> Reference<'b> {
        let mut candidates = self.candidates(scope, service, key);
        // Its own name means what stands behind it.
        if let Some(own) = candidates.iter().position(|candidate| *candidate == from) {
            candidates = &candidates[own + 1..];
        }
        Reference { service, key, candidates }
    }

    fn add_service(&mut self, scope: ScopeIndex, service: &'a ServiceFacts) {
        let name = service.service.name.as_str();
        let owner = EnvOwner::Service(name.to_owned());
        let mut lined_up: BTreeMap<&'a str, Vec<Node<'a>>> = BTreeMap::new();
        let mut add = |node: Node<'a>| {
            let line = lined_up.entry(node.key).or_default();
            // Nothing behind a value that is there for certain can ever count.
            if !line.iter().any(|before| before.is_certain()) {
                line.push(node);
            }
        };
        let node = |key, source, phase| Node {
            scope,
            service: name,
            key,
            source,
            group: None,
            phase,
            is_set: true,
        };
        let by_hand = self.scopes[scope].by_hand(&owner);
        for (key, value) in by_hand {
            add(node(key, Source::Given(value.clone(), Origin::Operator), Phase::Both));
        }
        // A key that stands twice means the later one.
        for variable in service.service.env.iter().rev() {
            let source = self.scopes[scope].source(&owner, variable);
            add(node(&variable.key, source, Phase::Both));
        }
        for group in self.linked_groups(scope, service) {
            for (key, source) in group.variables {
                add(Node { group: Some(group.name), ..node(key, source, Phase::Both) });
            }
        }
        let facts = self.scopes[scope].facts;
        for variable in injected(facts, service) {
            let source = Source::Given(variable.value.into(), Origin::Platform);
            let is_set = variable.is_set;
            add(Node { is_set, ..node(variable.key, source, variable.phase) });
        }
        for default in &service.defaults {
            let value = SecretString::from(default.value.clone());
            let source = Source::Given(value, Origin::LanguageDefault);
            add(node(&default.key, source, default.phase));
        }
        for (key, value) in &facts.operator_env {
            let source = Source::Given(value.clone().into(), Origin::OperatorEnv);
            add(node(key, source, Phase::Both));
        }
        for (key, line) in lined_up {
            let first = self.nodes.len();
            self.nodes.extend(line);
            self.variables.insert((scope, name, key), (first..self.nodes.len()).collect());
        }
    }

    /// The groups of a service, the one that wins first. Notes those that nobody knows.
    fn linked_groups(&mut self, scope: ScopeIndex, service: &'a ServiceFacts) -> Vec<Linked<'a>> {
        let mut linked = Vec::new();
        for name in &service.service.groups {
            let found = [scope, self.scopes.len() - 1]
                .into_iter()
                .find_map(|scope| self.scopes[scope].group(name).map(|found| (scope, found)));
            match found {
                Some((scope, (age, variables))) => {
                    linked.push((scope == OWN, age, Linked { name, variables }));
                }
                None if scope == OWN => self.unknown_groups.push((&service.service.name, name)),
                None => {}
            }
        }
        linked.sort_by_key(|(is_own, age, _)| std::cmp::Reverse((*is_own, *age)));
        linked.into_iter().map(|(_, _, group)| group).collect()
    }
}

/// A variable that another one is made of.
pub(super) struct Reference<'a> {
    pub(super) service: &'a str,
    pub(super) key: &'a str,
    pub(super) candidates: &'a [NodeIndex],
}

struct Linked<'a> {
    name: &'a str,
    variables: Vec<(&'a str, Source<'a>)>,
}

impl<'a> Scope<'a> {
    fn new(facts: &'a Facts) -> Self {
        let services =
            facts.services.iter().map(|service| (service.service.name.as_str(), service)).collect();
        let mut stored: BTreeMap<&EnvOwner, BTreeMap<&str, _>> = BTreeMap::new();
        for value in &facts.values {
            let own = stored.entry(&value.owner).or_default();
            own.insert(&value.key, (&value.value, value.origin));
        }
        // Of two with one name the first counts, as everywhere that they are looked for.
        let databases = facts.databases.iter().rev();
        let key_values = facts.key_values.iter().rev();
        let groups = facts.groups.iter().enumerate();
        let given = facts.given.iter().map(|given| given.expose_secret());
        let given: BTreeSet<&str> = given.filter(|given| !given.is_empty()).collect();
        let parts = given.iter().copied().filter(|given| given.len() >= GIVEN_BYTES_MIN);
        Self {
            given_parts: parts.take(GIVEN_PARTS_MAX).collect(),
            given,
            facts,
            services,
            stored,
            databases: databases.map(|one| (one.database.name.as_str(), one)).collect(),
            key_values: key_values.map(|one| (one.key_value.name.as_str(), one)).collect(),
            groups: groups.map(|(at, one)| (one.name.as_str(), (at + 1, one))).collect(),
        }
    }

    /// Whether a text is or holds a value that a person gave.
    pub(super) fn holds_given(&self, text: &str) -> bool {
        self.given.contains(text) || self.given_parts.iter().any(|given| text.contains(given))
    }

    pub(super) fn database(&self, name: &str) -> Option<&'a DatabaseFacts> {
        work::step();
        self.databases.get(name).copied()
    }

    pub(super) fn key_value(&self, name: &str) -> Option<&'a KeyValueFacts> {
        work::step();
        self.key_values.get(name).copied()
    }

    fn stored(&self, owner: &EnvOwner, key: &str) -> Option<(&'a SecretString, ValueOrigin)> {
        work::step();
        self.stored.get(owner)?.get(key).copied()
    }

    /// A `PORT` that a person set for a service.
    pub(super) fn port_by_hand(&self, service: &str) -> Option<u16> {
        let owner = EnvOwner::Service(service.to_owned());
        let (value, origin) = self.stored(&owner, "PORT")?;
        (origin == ValueOrigin::Operator).then(|| value.expose_secret().trim().parse().ok())?
    }

    fn by_hand(&self, owner: &EnvOwner) -> Vec<(&'a str, &'a SecretString)> {
        let values = self.stored.get(owner).into_iter().flatten().inspect(|_| work::step());
        let values = values.filter(|(_, (_, origin))| *origin == ValueOrigin::Operator);
        values.map(|(key, (value, _))| (*key, *value)).collect()
    }

    fn source(&self, owner: &EnvOwner, variable: &'a EnvVar) -> Source<'a> {
        if let (true, Some(preview)) = (self.facts.is_pull_request, &variable.preview_value) {
            return Source::Given(preview.clone().into(), Origin::Literal);
        }
        match &variable.source {
            EnvSource::Literal(text) => Source::Given(text.clone().into(), Origin::Literal),
            EnvSource::Ask => Source::Ask,
            EnvSource::Generate => match self.stored(owner, &variable.key) {
                Some((value, _)) => Source::Given(value.clone(), Origin::Generated),
                None => Source::NotGenerated,
            },
            declared => Source::Declared(declared),
        }
    }

    /// A group's age and variables, if it is declared, or if a person gave it values.
    fn group(&self, name: &str) -> Option<(usize, Vec<(&'a str, Source<'a>)>)> {
        let owner = EnvOwner::Group(name.to_owned());
        let mut variables: Vec<(&'a str, Source<'a>)> = self
            .by_hand(&owner)
            .into_iter()
            .map(|(key, value)| (key, Source::Given(value.clone(), Origin::Operator)))
            .collect();
        let declared = self.groups.get(name).copied();
        if let Some((_, group)) = declared {
            let own = group.env.iter().rev().inspect(|_| work::step());
            variables.extend(own.map(|var| (var.key.as_str(), self.source(&owner, var))));
        } else if variables.is_empty() {
            return None;
        }
        Some((declared.map_or(0, |(age, _)| age), variables))
    }
}

impl Node<'_> {
    /// Whether it has a value for certain, at all times.
    fn is_certain(&self) -> bool {
        matches!(self.source, Source::Given(..)) && self.phase == Phase::Both
    }
}
