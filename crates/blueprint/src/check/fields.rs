//! The pairs of a mapping, recognised.

use std::collections::HashSet;
use std::ops::Range;
use std::rc::Rc;

use crate::catalog::{self, Field, Kind, Match, Place, Shapes};
use crate::code::Code;
use crate::mask::{MASK, is_harmless};
use crate::tree::{Entry, Node, Value};

use super::{Checker, is_secret};

/// Lists that are joined when their key stands twice.
const JOINED: &[&str] = &["services", "databases", "envVarGroups", "projects", "envVars"];
/// Longest value that `explain` shows, in characters.
const SHOWN_CHARS: usize = 60;

/// One recognised pair.
#[derive(Debug, Clone)]
pub(super) struct Slot<'t> {
    pub(super) field: &'static Field,
    pub(super) key_bytes: Range<usize>,
    pub(super) node: &'t Rc<Node>,
    /// The mapping that it stands in.
    pub(super) parent: &'t Node,
    pub(super) path: String,
    pub(super) is_merged: bool,
}

/// The recognised pairs of one mapping.
#[derive(Debug)]
pub(super) struct Fields<'t> {
    pub(super) node: &'t Node,
    pub(super) path: String,
    slots: Vec<Slot<'t>>,
    unknown: Vec<&'t Entry>,
}

impl<'t> Fields<'t> {
    /// The pair of a name, if it is there.
    pub(super) fn get(&self, name: &str) -> Option<&Slot<'t>> {
        self.slots.iter().find(|slot| slot.field.name == name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All pairs of a name: lists may stand twice.
    pub(super) fn all(&self, name: &str) -> Vec<Slot<'t>> {
        self.slots.iter().filter(|slot| slot.field.name == name).cloned().collect()
    }

    pub(super) fn slots(&self) -> &[Slot<'t>] {
        &self.slots
    }

    /// Pairs whose key is no field.
    pub(super) fn unknown(&self) -> &[&'t Entry] {
        &self.unknown
    }

    /// The first pair, in the order of the text.
    pub(super) fn first(&self) -> Option<&Slot<'t>> {
        self.slots.iter().filter(|slot| !slot.is_merged).min_by_key(|slot| slot.key_bytes.start)
    }

    /// The pair behind which something missing can be added.
    pub(super) fn anchor_slot(&self) -> Option<&Slot<'t>> {
        self.get("name").filter(|slot| !slot.is_merged).or_else(|| self.first())
    }

    /// Where to point when something is missing: the name, else the first pair.
    pub(super) fn anchor(&self) -> Range<usize> {
        let slot = self.get("name").or_else(|| self.first());
        slot.map_or(self.node.bytes.start..self.node.bytes.start + 1, |slot| {
            let end = slot.node.bytes.end;
            slot.key_bytes.start..if slot.node.scalar().is_some() {
                end
            } else {
                slot.key_bytes.end
            }
        })
    }
}

impl Checker<'_> {
    /// Recognises the pairs of a mapping. `None`, with an error, when it is none.
    pub(super) fn fields<'t>(
        &mut self,
        node: &'t Node,
        path: &str,
        place: Place,
    ) -> Option<Fields<'t>> {
        self.place(path, node.bytes.clone());
        let Some(entries) = node.map() else {
            let what = if path.is_empty() { "the file" } else { path };
            let message = format!("{what} has to be a mapping, and is {}", node.noun());
            self.add(Code::WrongShape, node.bytes.clone(), path, message)
                .hint("write `key: value` pairs, one on each line");
            return None;
        };
        let mut fields =
            Fields { node, path: path.to_owned(), slots: Vec::new(), unknown: Vec::new() };
        let keys: HashSet<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
        for entry in entries {
            self.recognise(&mut fields, entry, place, &keys);
        }
        Some(fields)
    }

    fn recognise<'t>(
        &mut self,
        fields: &mut Fields<'t>,
        entry: &'t Entry,
        place: Place,
        keys: &HashSet<&str>,
    ) {
        let path = child(&fields.path, &entry.key);
        let found = match catalog::find(place, &entry.key) {
            // What stands in the place of a field that is missing, and looks like it, is it.
            Match::Unknown(Some(near))
                if place != Place::EnvVar && stands_for(fields, entry, near, (place, keys)) =>
            {
                Match::Close(near)
            }
            // A key that looks like a field, and holds what the field never does, is another one.
            Match::Close(field) if !may_hold(field, &entry.value) => Match::Unknown(Some(field)),
            found => found,
        };
        let (Match::Exact(field) | Match::Spelled(field) | Match::Close(field)) = found else {
            fields.unknown.push(entry);
            if place != Place::EnvVar {
                self.unknown_field(fields, entry, found);
            }
            return;
        };
        if !matches!(found, Match::Exact(_)) && keys.contains(field.name) {
            // Both spellings are there: the right one counts.
            fields.unknown.push(entry);
            self.unknown_field(fields, entry, Match::Unknown(Some(field)));
            return;
        }
        let slot = Slot {
            field,
            key_bytes: entry.key_bytes.clone(),
            node: &entry.value,
            parent: fields.node,
            path: child(&fields.path, field.name),
            is_merged: entry.is_merged,
        };
        if !matches!(found, Match::Exact(_)) {
            let patch = self.rename_key(&slot, field.name);
            let message = format!("there is no field `{}`; read as `{}`", entry.key, field.name);
            self.add(Code::FieldSpelling, entry.key_bytes.clone(), &path, message)
                .hint(format!("write `{}`", field.name))
                .patch(patch);
        } else if field.is_invented() && place != Place::Service && place != Place::Database {
            let patch = if place == Place::EnvVar { self.remove(&slot) } else { None };
            let message = format!("there is no field `{}`: {}", field.name, field.why);
            self.add(Code::UnknownField, entry.key_bytes.clone(), &path, message).patch(patch);
        }
        self.place(&slot.path, entry.value.bytes.clone());
        self.saw(
            &slot.path,
            entry.key_bytes.clone(),
            shown(&entry.value, place, field.name),
            Some(field),
        );
        if entry.value.is_null() && !is_secret(place, field.name) {
            self.empty_field(&slot);
            return;
        }
        self.keep(fields, slot);
    }

    /// Adds a pair; of two with one key, lists are joined and of others the last counts.
    fn keep<'t>(&mut self, fields: &mut Fields<'t>, slot: Slot<'t>) {
        let name = slot.field.name;
        let Some(index) = fields.slots.iter().position(|known| known.field.name == name) else {
            fields.slots.push(slot);
            return;
        };
        let line = self.source.span(fields.slots[index].key_bytes.clone()).line;
        let first = fields.slots[index].clone();
        if JOINED.contains(&name) && slot.node.list().is_some() {
            let patch = self.join(&first, &slot);
            let message =
                format!("`{name}` stands twice (first in line {line}); both lists are read");
            self.add(Code::DuplicateKey, slot.key_bytes.clone(), &slot.path, message)
                .hint("put everything under one key")
                .patch(patch);
            fields.slots.push(slot);
        } else {
            let patch = self.remove(&first);
            let message = format!("`{name}` stands twice (first in line {line}); this one counts");
            self.add(Code::DuplicateKey, slot.key_bytes.clone(), &slot.path, message)
                .hint("remove one of the two")
                .patch(patch);
            fields.slots[index] = slot;
        }
    }

    fn unknown_field(&mut self, fields: &Fields<'_>, entry: &Entry, found: Match) {
        let path = child(&fields.path, &entry.key);
        // Secrets are found in the strangest places: nothing of an unknown field is shown.
        self.saw(&path, entry.key_bytes.clone(), "…".to_owned(), None);
        let placeholder = catalog::known_fields().next();
        let patch = placeholder.and_then(|field| {
            let slot = Slot {
                field,
                key_bytes: entry.key_bytes.clone(),
                node: &entry.value,
                parent: fields.node,
                path: path.clone(),
                is_merged: entry.is_merged,
            };
            self.remove(&slot)
        });
        let hint = match found {
            Match::Unknown(Some(near)) => format!("did you mean `{}`?", near.name),
            _ => "remove it, or look for its name in Render's Blueprint reference".to_owned(),
        };
        let message = format!("there is no field `{}` here; it was ignored", entry.key);
        self.add(Code::UnknownField, entry.key_bytes.clone(), &path, message)
            .hint(hint)
            .patch(patch);
    }

    fn empty_field(&mut self, slot: &Slot<'_>) {
        let patch = self.remove(slot);
        let message = format!("`{}` has no value; it counts as absent", slot.field.name);
        self.add(Code::EmptyField, slot.key_bytes.clone(), &slot.path, message)
            .hint("give it a value or remove it")
            .patch(patch);
    }

    /// Reports fields that the type of a service does not have.
    /// What has no meaning for the type is dropped.
    pub(super) fn check_shapes(&mut self, fields: &mut Fields<'_>, shape: Shapes, what: &str) {
        let is_kept = |field: &Field| {
            let is_edge = matches!(field.name, "headers" | "routes") && shape == Shapes::SERVER;
            let is_read = matches!(
                field.name,
                "port"
                    | "nodeVersion"
                    | "pythonVersion"
                    | "rubyVersion"
                    | "goVersion"
                    | "previewsEnabled"
            );
            is_edge || (is_read && shape != Shapes::KEY_VALUE)
        };
        let (known, others): (Vec<_>, Vec<_>) = std::mem::take(&mut fields.slots)
            .into_iter()
            .partition(|slot| slot.field.shapes.has(shape));
        fields.slots = known;
        for slot in others {
            let field = slot.field;
            let patch = self.remove(&slot);
            let is_kept = is_kept(field);
            let code = if field.is_invented() { Code::UnknownField } else { Code::FieldPlace };
            let message = if field.is_invented() {
                format!("there is no field `{}`: {}", field.name, field.why)
            } else if is_kept {
                format!("{what} has no `{}` on Render; it was applied all the same", field.name)
            } else {
                format!("{what} has no `{}`; it was ignored", field.name)
            };
            let finding = self.add(code, slot.key_bytes.clone(), &slot.path, message);
            finding.hint("remove it");
            if is_kept {
                fields.slots.push(slot);
            } else {
                finding.patch(patch);
            }
        }
    }
}

/// The path of a key in a mapping.
pub(super) fn child(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Whether an unknown pair can be taken for the field that its key looks like: the mapping has no
/// other pair for that field, and the value is of its kind.
fn stands_for(
    fields: &Fields<'_>,
    entry: &Entry,
    near: &'static Field,
    (place, keys): (Place, &HashSet<&str>),
) -> bool {
    let means_it = |key: &&str| match catalog::find(place, key) {
        Match::Exact(field)
        | Match::Spelled(field)
        | Match::Close(field)
        | Match::Unknown(Some(field)) => field.name == near.name,
        Match::Unknown(None) => false,
    };
    let others = keys.iter().filter(|key| **key != entry.key);
    !fields.has(near.name) && !others.clone().any(means_it) && fits(near, &entry.value)
}

/// Whether a field could hold a value: what is repaired elsewhere counts, such as a single text in
/// place of a list of texts.
fn may_hold(field: &Field, node: &Node) -> bool {
    match (catalog::kind_of(field), &node.value) {
        (_, Value::Scalar(scalar)) if scalar.is_null() => true,
        (Some(Kind::List), Value::Map(_)) => true,
        (Some(Kind::List), Value::Scalar(_)) => {
            matches!(field.name, "domains" | "paths" | "ignoredPaths" | "ipAllowList")
        }
        (None, _) => true,
        _ => fits(field, node),
    }
}

fn fits(field: &Field, node: &Node) -> bool {
    match (catalog::kind_of(field), &node.value) {
        (Some(Kind::List), Value::List(_)) | (Some(Kind::Map), Value::Map(_)) => true,
        (Some(kind), Value::Scalar(scalar)) if !scalar.is_null() => match kind {
            Kind::Number => scalar.text.trim().parse::<f64>().is_ok(),
            Kind::Switch => matches!(
                scalar.text.trim().to_ascii_lowercase().as_str(),
                "true" | "false" | "yes" | "no"
            ),
            Kind::Text => true,
            Kind::List | Kind::Map => false,
        },
        _ => false,
    }
}

/// A value for a person.
fn shown(node: &Node, place: Place, name: &str) -> String {
    match &node.value {
        Value::Scalar(scalar) if scalar.is_null() => String::new(),
        Value::Scalar(scalar)
            if is_secret(place, name) || !is_harmless(&catalog::normalized(name), &scalar.text) =>
        {
            MASK.to_owned()
        }
        Value::Scalar(scalar) => {
            let line = scalar.text.trim().lines().next().unwrap_or_default();
            let mut text: String = line.chars().take(SHOWN_CHARS).collect();
            if text.len() < scalar.text.trim().len() {
                text.push('…');
            }
            text
        }
        Value::List(items) if items.len() == 1 => "1 item".to_owned(),
        Value::List(items) => format!("{} items", items.len()),
        Value::Map(_) => "…".to_owned(),
    }
}
