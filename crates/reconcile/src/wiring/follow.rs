//! The values, by following what refers to what.

use std::collections::BTreeSet;

use model::{EnvSource, ServiceReference, TemplatePart};
use secrecy::{ExposeSecret, SecretString};

use super::candidates::{Graph, Node, NodeIndex, Reference, Source};
use super::reference::{self, Found, Said, database_property, service_property};
use super::secret::looks_secret;
use super::template::slice;
use super::variable::{Origin, Why};
use super::work;

/// Longest `KEY=value` that Linux passes to a process, with its end (`MAX_ARG_STRLEN`: 32 pages of
/// 4096 bytes).
const MAX_VARIABLE_BYTES: usize = 32 * 4096;

/// What became of all candidates.
pub(super) struct Outcomes {
    pub(super) nodes: Vec<Outcome>,
    /// Each circle once, its smallest member first.
    pub(super) circles: BTreeSet<Vec<NodeIndex>>,
}

/// What became of one candidate.
#[derive(Clone)]
pub(super) struct Outcome {
    pub(super) value: Result<SecretString, Why>,
    pub(super) origin: Origin,
    pub(super) is_secret: bool,
}

/// The outcomes so far.
type Done = Vec<Option<Outcome>>;

/// How far a candidate is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    /// Waits for what it refers to.
    Open,
    Done,
}

/// Depth first, with a stack of our own: a chain of copies may be as long as a file.
pub(super) fn follow(graph: &Graph<'_>) -> Outcomes {
    let count = graph.nodes.len();
    let mut marks = vec![Mark::New; count];
    let mut done: Done = Vec::new();
    done.resize_with(count, || None);
    let mut circles = BTreeSet::new();
    let mut in_circle = BTreeSet::new();
    for start in 0..count {
        // What waits, and what of its references it still has to look at.
        let mut path: Vec<(NodeIndex, Vec<NodeIndex>)> = Vec::new();
        if marks[start] == Mark::New {
            marks[start] = Mark::Open;
            path.push((start, wanted(graph, start)));
        }
        while let Some((node, rest)) = path.last_mut() {
            let node = *node;
            work::step();
            let Some(next) = rest.pop() else {
                let outcome = evaluate(graph, node, &done, in_circle.contains(&node));
                done[node] = Some(outcome);
                marks[node] = Mark::Done;
                path.pop();
                continue;
            };
            match marks[next] {
                Mark::Done => {}
                Mark::New => {
                    marks[next] = Mark::Open;
                    path.push((next, wanted(graph, next)));
                }
                Mark::Open => {
                    let begin = path.iter().position(|(open, _)| *open == next).unwrap_or(0);
                    let mut circle: Vec<NodeIndex> =
                        path[begin..].iter().map(|(node, _)| *node).collect();
                    in_circle.extend(circle.iter().copied());
                    let smallest = (0..circle.len()).min_by_key(|position| circle[*position]);
                    circle.rotate_left(smallest.unwrap_or(0));
                    circles.insert(circle);
                }
            }
        }
    }
    // Each start is followed to its end, so none is left out.
    Outcomes { nodes: done.into_iter().flatten().collect(), circles }
}

/// The candidate of a variable that counts for those who copy it: what instances see, if they see
/// anything.
pub(super) fn effective<'o>(
    graph: &Graph<'_>,
    candidates: &[NodeIndex],
    outcome: impl Fn(NodeIndex) -> Option<&'o Outcome>,
) -> Option<&'o Outcome> {
    let with_value = || {
        candidates.iter().filter_map(|candidate| {
            let outcome = outcome(*candidate)?;
            outcome.value.is_ok().then_some((*candidate, outcome))
        })
    };
    with_value()
        .find(|(candidate, _)| graph.nodes[*candidate].phase.includes_run())
        .or_else(|| with_value().next())
        .map(|(_, outcome)| outcome)
}

fn wanted(graph: &Graph<'_>, node: NodeIndex) -> Vec<NodeIndex> {
    let mut wanted: Vec<NodeIndex> = graph
        .references(node)
        .iter()
        .flat_map(|reference| reference.candidates.iter().copied())
        .collect();
    wanted.sort_unstable();
    wanted.dedup();
    // They are taken from the end.
    wanted.reverse();
    wanted
}

fn evaluate(graph: &Graph<'_>, index: NodeIndex, done: &Done, is_in_circle: bool) -> Outcome {
    let node = &graph.nodes[index];
    let mut outcome = match &node.source {
        Source::Given(value, origin) => Outcome {
            value: Ok(value.clone()),
            // What a person gives may be anything; only they can say that it is no secret.
            is_secret: matches!(origin, Origin::Generated | Origin::Operator)
                || looks_secret(node.key, value.expose_secret())
                || graph.scopes[node.scope].holds_given(value.expose_secret()),
            origin: origin.clone(),
        },
        Source::Ask => {
            Outcome { value: Err(Why::AskedFor), origin: Origin::Asked, is_secret: true }
        }
        Source::NotGenerated => {
            Outcome { value: Err(Why::NotGeneratedYet), origin: Origin::Generated, is_secret: true }
        }
        Source::Declared(source) => declared(graph, index, source, done),
    };
    if is_in_circle {
        outcome.value = Err(Why::InCircle);
    }
    if let Ok(value) = &outcome.value
        && let Some(why) = refusal(node, value.expose_secret())
    {
        outcome.value = Err(why);
    }
    if let Some(name) = node.group {
        outcome.origin = Origin::Group { name: name.to_owned(), from: Box::new(outcome.origin) };
    }
    outcome
}

/// Why a process cannot be given this variable.
fn refusal(node: &Node<'_>, value: &str) -> Option<Why> {
    let is_name = !node.key.is_empty() && !node.key.contains(['=', '\0']);
    if !is_name || value.contains('\0') {
        return Some(Why::NotPassable);
    }
    (node.key.len() + value.len() + 2 > MAX_VARIABLE_BYTES).then_some(Why::TooLong)
}

fn declared(graph: &Graph<'_>, index: NodeIndex, source: &EnvSource, done: &Done) -> Outcome {
    let node = &graph.nodes[index];
    let said = |said: Result<Said, Why>, origin| {
        let is_secret =
            said.as_ref().is_ok_and(|said| said.is_secret || looks_secret(node.key, &said.text));
        Outcome { value: said.map(|said| said.text.into()), origin, is_secret }
    };
    match source {
        EnvSource::FromDatabase { name, property } => said(
            database_property(graph, node.scope, name, *property),
            Origin::Database { name: name.clone(), property: *property },
        ),
        EnvSource::FromService { name, reference: ServiceReference::Property(property) } => said(
            service_property(graph, node.scope, name, *property),
            Origin::Service { name: name.clone(), property: *property },
        ),
        EnvSource::FromService { name, reference: ServiceReference::EnvVar(key) } => Outcome {
            origin: Origin::Copy { service: name.clone(), key: key.clone() },
            ..copied(graph, index, (name, key), done)
        },
        EnvSource::Template(parts) => {
            let references = graph.references(index);
            let text = put_together(graph, node, parts, (&references, done));
            said(text, Origin::Template)
        }
        // The other sources never come here: see `Scope::source`.
        EnvSource::Literal(text) => {
            said(Ok(Said { text: text.clone(), is_secret: false }), Origin::Literal)
        }
        EnvSource::Generate | EnvSource::Ask => said(Err(Why::AskedFor), Origin::Asked),
    }
}

fn copied(graph: &Graph<'_>, index: NodeIndex, (name, key): (&str, &str), done: &Done) -> Outcome {
    let node = &graph.nodes[index];
    let nothing = |why| Outcome { value: Err(why), origin: Origin::Literal, is_secret: false };
    match reference::find_service(graph, node.scope, name) {
        Found::Service(..) => {}
        Found::Nothing => return nothing(Why::UndeclaredService(name.to_owned())),
        _ => return nothing(reference::no_such(name, key)),
    }
    let references = graph.references(index);
    let candidates = references.first().map_or(&[][..], |reference| reference.candidates);
    match effective(graph, candidates, |candidate| done[candidate].as_ref()) {
        Some(outcome) => Outcome {
            is_secret: outcome.is_secret
                || outcome
                    .value
                    .as_ref()
                    .is_ok_and(|value| looks_secret(node.key, value.expose_secret())),
            ..outcome.clone()
        },
        None => nothing(Why::CopyOfUnset { service: name.to_owned(), key: key.to_owned() }),
    }
}

/// A reference for each variable of the template, in order, and what became of all candidates.
type Known<'a> = (&'a [Reference<'a>], &'a Done);

fn put_together(
    graph: &Graph<'_>,
    node: &Node<'_>,
    parts: &[TemplatePart],
    (references, done): Known<'_>,
) -> Result<Said, Why> {
    let mut all = Said { text: String::new(), is_secret: false };
    let mut references = references.iter();
    for part in parts {
        let said = match part {
            TemplatePart::Text(text) => Said { text: text.clone(), is_secret: false },
            TemplatePart::Service { name, property } => {
                service_property(graph, node.scope, name, *property)?
            }
            TemplatePart::Database { name, property } => {
                database_property(graph, node.scope, name, *property)?
            }
            TemplatePart::Variable { key, default, slice: cut } => {
                let candidates = references.next().map_or(&[][..], |found| found.candidates);
                let outcome = effective(graph, candidates, |candidate| done[candidate].as_ref());
                let is_secret = outcome.is_some_and(|outcome| outcome.is_secret);
                let value = outcome
                    .and_then(|outcome| outcome.value.as_ref().ok())
                    .map(ExposeSecret::expose_secret);
                let text = match (value, default) {
                    (None | Some(""), Some(default)) => default.clone(),
                    (Some(value), _) => {
                        cut.map_or_else(|| value.to_owned(), |cut| slice(value, cut))
                    }
                    (None, None) => {
                        return Err(Why::CopyOfUnset {
                            service: node.service.to_owned(),
                            key: key.clone(),
                        });
                    }
                };
                Said { text, is_secret }
            }
        };
        all.text.push_str(&said.text);
        all.is_secret |= said.is_secret;
        // Templates of templates grow without bound.
        if all.text.len() > MAX_VARIABLE_BYTES {
            return Err(Why::TooLong);
        }
    }
    Ok(all)
}
