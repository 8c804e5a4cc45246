//! From declared variables to the environment of each service.
//!
//! Nothing is looked up here: [`Facts`] holds all that there is to know, hosts and addresses
//! before anything was built. In phases:
//!
//! 1. Hosts, ports and URLs are facts; [`wanted_secrets`] names the generated values that do not
//!    exist yet. The caller makes and keeps them, once and for ever, and adds them to the facts.
//! 2. [`resolve`] lines up, for each key of each service, everything that could give it a value.
//!    The first that has one wins:
//!    what a person set by hand; the service's own declaration; its groups, where a group that
//!    stands later in the file wins over an earlier one (Render: the one created last); what the
//!    platform says of itself (`RENDER_*`, `PORT`); the defaults of the language; the operator's
//!    own environment.
//! 3. Copies and templates are followed as a graph. Services may refer to one another in circles
//!    as long as their variables do not: both may read the other's `RENDER_EXTERNAL_URL`. A true
//!    circle is refused, with its path. A variable that refers to its own name means what stands
//!    behind it, such as the platform's value.
//!
//! What nobody gives stays unset, as on Render; it is listed in [`Resolution::missing`], with what
//! to do about it.
//!
//! References are looked up in the service's own environment first, then among the resources that
//! belong to no environment ([`Facts::root`]), and nowhere else.

mod candidates;
mod explain;
mod facts;
mod follow;
mod platform;
mod reference;
mod secret;
mod template;
mod variable;

use std::collections::BTreeSet;

use model::{EnvOwner, EnvSource};

pub use facts::{
    DatabaseFacts, Elsewhere, External, Facts, GitFacts, KeyValueFacts, LanguageDefault,
    ServiceFacts, StoredValue,
};
pub use secret::{looks_secret, mask};
pub use variable::{ANY_KEY, Missing, Origin, Phase, Resolution, Variable, Why};

/// Generated values that are declared and do not exist yet, sorted.
#[must_use]
pub fn wanted_secrets(facts: &Facts) -> Vec<(EnvOwner, String)> {
    let services = facts.services.iter().map(|service| {
        (EnvOwner::Service(service.service.name.clone()), service.service.env.as_slice())
    });
    let groups = facts
        .groups
        .iter()
        .map(|group| (EnvOwner::Group(group.name.clone()), group.env.as_slice()));
    let mut wanted = BTreeSet::new();
    let stored: BTreeSet<(&EnvOwner, &str)> =
        facts.values.iter().map(|value| (&value.owner, value.key.as_str())).collect();
    for (owner, env) in services.chain(groups) {
        for variable in env.iter().filter(|variable| variable.source == EnvSource::Generate) {
            work::step();
            if !stored.contains(&(&owner, variable.key.as_str())) {
                wanted.insert((owner.clone(), variable.key.clone()));
            }
        }
    }
    wanted.into_iter().collect()
}

/// The environment of each service.
#[must_use]
pub fn resolve(facts: &Facts) -> Resolution {
    let graph = candidates::Graph::new(facts);
    let outcomes = follow::follow(&graph);
    explain::resolution(&graph, &outcomes)
}

/// Who reads a variable, as `(service, key)`, sorted.
#[must_use]
pub fn readers(resolution: &Resolution, service: &str, key: &str) -> Vec<(String, String)> {
    let source = (service.to_owned(), key.to_owned());
    resolution.readers.get(&source).into_iter().flatten().cloned().collect()
}

/// Counts what the work grows with, for the test that it grows no faster than the file.
mod work {
    #[cfg(test)]
    thread_local! {
        pub(super) static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    /// One value was looked at.
    pub(super) fn step() {
        #[cfg(test)]
        STEPS.with(|steps| steps.set(steps.get() + 1));
    }
}

#[cfg(test)]
mod tests;
