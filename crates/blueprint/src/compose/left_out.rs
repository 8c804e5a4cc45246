//! Services that ask for what no instance is given: they are left out, and the rest of the file runs.

use std::collections::{BTreeMap, BTreeSet};

use crate::blueprint::{Noun, Scope};
use crate::code::Code;

use super::compile::Project;
use super::reader::Reader;

/// Services that do not run, each with the reason.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    why: BTreeMap<String, String>,
}

impl LeftOut {
    pub(crate) fn add(&mut self, name: &str, why: String) {
        self.why.insert(name.to_owned(), why);
    }

    /// Adds what cannot be without one that is left out.
    fn add_dependents(&mut self, scope: &Scope) {
        let mut dependents: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for service in &scope.services {
            for need in service.container.depends_on.iter().filter(|need| need.is_required) {
                dependents.entry(&need.service).or_default().push(&service.name);
            }
        }
        let mut waiting: Vec<String> = self.why.keys().cloned().collect();
        while let Some(name) = waiting.pop() {
            for dependent in dependents.get(name.as_str()).into_iter().flatten() {
                if !self.why.contains_key(*dependent) {
                    self.add(dependent, format!("it waits for `{name}`, which does not run"));
                    waiting.push((*dependent).to_owned());
                }
            }
        }
    }
}

impl Reader<'_> {
    /// Takes out of the scope what cannot be without those that are left out, and names them all.
    /// Where nothing else would run, they are errors.
    pub(crate) fn leave_out(
        &mut self,
        mut left_out: LeftOut,
        project: &Project<'_>,
        scope: &mut Scope,
    ) {
        if left_out.why.is_empty() {
            return;
        }
        left_out.add_dependents(scope);
        // What runs before a service has its origin, and goes with it.
        let gone: BTreeSet<&str> = project
            .active
            .iter()
            .filter(|(name, _)| left_out.why.contains_key(*name))
            .map(|(_, view)| view.path.as_str())
            .collect();
        let origins = std::mem::take(&mut scope.origins);
        let (gone, kept): (BTreeMap<_, _>, BTreeMap<_, _>) = origins
            .into_iter()
            .partition(|((noun, _), path)| *noun == Noun::Service && gone.contains(path.as_str()));
        let gone: BTreeSet<String> = gone.into_keys().map(|(_, name)| name).collect();
        scope.origins = kept;
        scope.services.retain(|service| !gone.contains(&service.name));
        scope.service_settings.retain(|name, _| !gone.contains(name));
        for service in &mut scope.services {
            let needs = &mut service.container.depends_on;
            needs.retain(|need| {
                !gone.contains(&need.service) && !left_out.why.contains_key(&need.service)
            });
        }
        self.nothing_is_left =
            scope.services.is_empty() && scope.databases.is_empty() && scope.key_values.is_empty();
        for (name, view) in &project.active {
            let Some(why) = left_out.why.get(*name) else { continue };
            let message = match self.nothing_is_left {
                true => format!("`{name}` cannot run: {why}"),
                false => format!("`{name}` is left out, the rest runs: {why}"),
            };
            let at = view.node.at.clone();
            self.add(Code::ServiceLeftOut, &at, &view.path, message)
                .hint("take the field away that it is left out for, or the service if it is of no use here");
        }
    }
}
