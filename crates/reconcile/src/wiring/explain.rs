//! What came out, for those who start services and for those who ask why.

use std::collections::{BTreeMap, BTreeSet};

use model::Problem;

use super::candidates::{Graph, NodeIndex, OWN};
use super::facts::Facts;
use super::follow::{Outcome, Outcomes};
use super::variable::{ANY_KEY, Missing, Phase, Resolution, Variable, Why};

pub(super) fn resolution(graph: &Graph<'_>, outcomes: &Outcomes) -> Resolution {
    let mut resolution = Resolution::default();
    for name in graph.scopes[OWN].services.keys() {
        resolution.services.insert((*name).to_owned(), Vec::new());
    }
    for ((scope, service, key), candidates) in &graph.variables {
        if *scope != OWN {
            continue;
        }
        let chosen = choose(graph, outcomes, candidates);
        if let Some(missing) = missing(graph, outcomes, candidates, chosen.is_empty()) {
            resolution.missing.push(missing);
        }
        let variables = resolution.services.entry((*service).to_owned()).or_default();
        if chosen.is_empty() && candidates.iter().any(|candidate| graph.nodes[*candidate].is_set) {
            variables.push(variable(key, Phase::Both, &outcomes.nodes[candidates[0]]));
        }
        for (candidate, phase) in chosen {
            variables.push(variable(key, phase, &outcomes.nodes[candidate]));
            note_readers(graph, candidate, &mut resolution.readers);
        }
    }
    for (service, group) in &graph.unknown_groups {
        resolution.missing.push(missing_group(graph.scopes[OWN].facts, service, group));
    }
    resolution.missing.sort();
    resolution.missing.dedup();
    resolution.problems =
        outcomes.circles.iter().map(|circle| refused_circle(graph, circle)).collect();
    resolution
}

/// The candidates that count, each with the phases that those before it have left. A language may
/// say one thing for builds and the operator another for always.
fn choose(
    graph: &Graph<'_>,
    outcomes: &Outcomes,
    candidates: &[NodeIndex],
) -> Vec<(NodeIndex, Phase)> {
    let mut chosen = Vec::new();
    let (mut build, mut run) = (true, true);
    for candidate in candidates {
        let node = &graph.nodes[*candidate];
        if !node.is_set || outcomes.nodes[*candidate].value.is_err() {
            continue;
        }
        let (in_build, in_run) =
            (build && node.phase.includes_build(), run && node.phase.includes_run());
        let phase = match (in_build, in_run) {
            (true, true) => Phase::Both,
            (true, false) => Phase::Build,
            (false, true) => Phase::Run,
            (false, false) => continue,
        };
        chosen.push((*candidate, phase));
        build &= !in_build;
        run &= !in_run;
    }
    chosen
}

fn variable(key: &str, phase: Phase, outcome: &Outcome) -> Variable {
    Variable {
        key: key.to_owned(),
        value: outcome.value.as_ref().ok().cloned(),
        origin: outcome.origin.clone(),
        is_secret: outcome.is_secret,
        phase,
    }
}

fn note_readers(
    graph: &Graph<'_>,
    candidate: NodeIndex,
    readers: &mut BTreeMap<(String, String), BTreeSet<(String, String)>>,
) {
    let node = &graph.nodes[candidate];
    for reference in graph.references(candidate) {
        let source = (reference.service.to_owned(), reference.key.to_owned());
        let reader = (node.service.to_owned(), node.key.to_owned());
        if source != reader {
            readers.entry(source).or_default().insert(reader);
        }
    }
}

fn missing(
    graph: &Graph<'_>,
    outcomes: &Outcomes,
    candidates: &[NodeIndex],
    is_unset: bool,
) -> Option<Missing> {
    let first = *candidates.first()?;
    let node = &graph.nodes[first];
    let why = outcomes.nodes[first].value.as_ref().err()?;
    // Circles are refused in other words. What cannot be passed is named even when something
    // behind it takes its place.
    let is_worth_saying = match why {
        Why::InCircle => false,
        Why::NotPassable | Why::TooLong => true,
        _ => is_unset,
    };
    is_worth_saying.then(|| {
        let set_with = set_with(node.service, node.key);
        Missing {
            hint: hint(graph.scopes[OWN].facts, why, &set_with),
            service: node.service.to_owned(),
            key: node.key.to_owned(),
            why: why.clone(),
            set_with,
        }
    })
}

fn missing_group(facts: &Facts, service: &str, group: &str) -> Missing {
    let why = Why::UndeclaredGroup(group.to_owned());
    let set_with = set_with(service, "KEY");
    Missing {
        hint: format!(
            "{}give what it holds, one `{set_with}` for each variable",
            others(facts, group)
        ),
        service: service.to_owned(),
        key: ANY_KEY.to_owned(),
        why,
        set_with,
    }
}

/// The words that give a variable a value, as a shell takes them.
fn set_with(service: &str, key: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./:@%+,".contains(letter);
    match format!("{service}.{key}=…") {
        word if word.trim_end_matches("=…").chars().all(is_plain) => format!("--set {word}"),
        word => format!("--set '{}'", word.replace('\'', "'\\''")),
    }
}

fn hint(facts: &Facts, why: &Why, set_with: &str) -> String {
    let give = format!("give it with `{set_with}`; without a value it stays unset");
    match why {
        Why::UndeclaredService(name) | Why::UndeclaredDatabase(name) => {
            format!("{}declare `{name}`, or {give}", others(facts, name))
        }
        Why::CopyOfUnset { service, key } => {
            let other = self::set_with(service, key);
            format!("give that one with `{other}`, or this one with `{set_with}`")
        }
        Why::NotGeneratedYet => "nothing has to be done".to_owned(),
        Why::NotPassable => {
            "a name must not hold `=`, and neither name nor value a NUL character".to_owned()
        }
        Why::TooLong => "128 KiB are the most; put it into a file instead".to_owned(),
        _ => give,
    }
}

/// Says where else the name is known: authors of several environments mix them up.
fn others(facts: &Facts, name: &str) -> String {
    let environments = facts.elsewhere.of(name, facts.environment.as_deref());
    if environments.is_empty() {
        return String::new();
    }
    let list = environments.join("`, `");
    format!("there is one in `{list}`, which is kept apart from this environment; ")
}

fn refused_circle(graph: &Graph<'_>, circle: &[NodeIndex]) -> Problem {
    let name = |index: &NodeIndex| {
        let node = &graph.nodes[*index];
        format!("{}.{}", node.service, node.key)
    };
    let closed = circle.iter().chain(circle.first());
    let path = closed.map(name).collect::<Vec<_>>().join(" → ");
    let first = circle.first().map(|index| &graph.nodes[*index]);
    let first = first.map(|node| set_with(node.service, node.key)).unwrap_or_default();
    Problem::new("env-circle", format!("these variables copy each other in a circle: {path}"))
        .detail("each waits for the next, so none ever has a value")
        .hint(format!("give one of them a value of its own, for example with `{first}`"))
}
