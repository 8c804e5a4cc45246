//! Environment variables: every way in which real files write them (page "Environment variables").

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use model::text::check_variable_name;
use model::{EnvSource, EnvVar};

use crate::catalog::Place;
use crate::code::Code;
use crate::finding::{Edit, Patch};
use crate::tree::{Node, Scalar};

use super::Checker;
use super::fields::{Fields, Slot, child};
use super::reference::Reference;
use super::scalars::is_bare_number;

/// Whose variables they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Service,
    Group,
}

/// A variable whose source may still name something that was not looked up.
#[derive(Debug, Clone)]
pub(super) struct DraftVar {
    pub(super) key: String,
    pub(super) key_bytes: Range<usize>,
    pub(super) path: String,
    pub(super) source: DraftSource,
    pub(super) preview_value: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) enum DraftSource {
    Ready(EnvSource),
    /// A text of the file, with where it stands.
    Text {
        text: String,
        bytes: Range<usize>,
    },
    Reference(Box<Reference>),
}

impl DraftVar {
    pub(super) fn finish(self, source: EnvSource) -> EnvVar {
        EnvVar { key: self.key, source, preview_value: self.preview_value }
    }
}

/// Links of groups: name, path and place.
pub(super) type Links = Vec<(String, String, Range<usize>)>;

/// A variable with a text that stands elsewhere in the service.
pub(super) fn literal(key: &str, text: String, slot: &Slot<'_>) -> DraftVar {
    DraftVar {
        key: key.to_owned(),
        key_bytes: slot.key_bytes.clone(),
        path: slot.path.clone(),
        source: DraftSource::Ready(EnvSource::Literal(text)),
        preview_value: None,
    }
}

impl Checker<'_> {
    /// Reads a list of variables, with the groups that it links.
    pub(super) fn env_vars(&mut self, slot: &Slot<'_>, owner: Owner) -> (Vec<DraftVar>, Links) {
        let (mut vars, mut links) = (Vec::new(), Links::new());
        if slot.node.map().is_some() {
            self.env_mapping(slot, &mut vars);
            return (vars, links);
        }
        if slot.node.scalar().is_some() {
            self.wrong_shape(slot, "a list of variables");
            return (vars, links);
        }
        for (node, path) in self.list(slot) {
            if let Some(scalar) = node.scalar() {
                self.env_text(node, scalar, &path, &mut vars);
            } else if node.map().is_some() {
                self.env_item(node, &path, owner, &mut vars, &mut links);
            } else {
                let message =
                    "a variable has to be a mapping with `key`; this list was ignored".to_owned();
                self.add(Code::EnvItem, node.bytes.clone(), &path, message);
            }
        }
        (vars, links)
    }

    /// Names that no process can be given, or that would steer a terminal, are refused.
    fn check_names(&mut self, vars: &[DraftVar]) {
        for var in vars {
            if let Err(fault) = check_variable_name(&var.key) {
                let message = format!("this cannot be the name of a variable: {fault}");
                self.add(Code::BadName, var.key_bytes.clone(), &var.path, message)
                    .hint("names of variables hold no blank, no line break, no quote and no `=`");
            }
        }
    }

    /// Of two variables with one key, the last counts.
    pub(super) fn last_counts(&mut self, vars: &mut Vec<DraftVar>) {
        self.check_names(vars);
        let mut last: HashMap<String, (Range<usize>, String)> = HashMap::new();
        let mut kept = Vec::with_capacity(vars.len());
        for var in std::mem::take(vars).into_iter().rev() {
            if let Some((bytes, path)) = last.get(&var.key) {
                let line = self.source.span(var.key_bytes.clone()).line;
                let message = format!(
                    "variable `{}` stands twice (first in line {line}); this one counts",
                    var.key
                );
                self.add(Code::EnvTwice, bytes.clone(), path, message)
                    .hint("remove one of the two");
                continue;
            }
            last.insert(var.key.clone(), (var.key_bytes.clone(), var.path.clone()));
            kept.push(var);
        }
        kept.reverse();
        *vars = kept;
    }

    /// `envVars: {KEY: value}`.
    fn env_mapping(&mut self, slot: &Slot<'_>, vars: &mut Vec<DraftVar>) {
        let entries = slot.node.map().unwrap_or_default();
        let patch = self.mapping_to_list(slot);
        let message = "`envVars` has to be a list, and is a mapping; its keys were read as names of variables".to_owned();
        self.add(Code::EnvMapping, slot.key_bytes.clone(), &slot.path, message)
            .hint("write `- key: NAME` and `value: …` for each")
            .patch(patch);
        for entry in entries {
            let path = child(&slot.path, &entry.key);
            self.place(&path, entry.value.bytes.clone());
            let source = match self.value(&entry.value, &path, entry.key_bytes.clone()) {
                Some((text, bytes)) => DraftSource::Text { text, bytes },
                None => DraftSource::Ready(EnvSource::Ask),
            };
            vars.push(DraftVar {
                key: entry.key.clone(),
                key_bytes: entry.key_bytes.clone(),
                path,
                source,
                preview_value: None,
            });
        }
    }

    fn mapping_to_list(&self, slot: &Slot<'_>) -> Option<Patch> {
        if slot.node.is_flow || slot.is_merged || super::patch::is_alias(slot) {
            return None;
        }
        let newline = self.line_break();
        let mut edits = Vec::new();
        for entry in slot.node.map().unwrap_or_default() {
            let column = self.column_of(entry.key_bytes.start);
            let line = self.source.line_at(entry.key_bytes.start);
            let is_single = entry.value.scalar().is_some_and(|scalar| !scalar.is_null())
                && self.source.line_at(entry.value.bytes.start) == line
                && !self.source.slice(&entry.value.bytes).contains('\n');
            if !is_single || entry.is_merged {
                return None;
            }
            edits.push(Edit::replace(entry.key_bytes.start..entry.key_bytes.start, "- key: "));
            let lead = format!("{newline}{}value: ", " ".repeat(column + 2));
            edits.push(Edit::replace(entry.key_bytes.end..entry.value.bytes.start, lead));
        }
        (!edits.is_empty()).then_some(Patch { edits })
    }

    /// `- KEY=value`, or only `- KEY`.
    fn env_text(&mut self, node: &Node, scalar: &Scalar, path: &str, vars: &mut Vec<DraftVar>) {
        let (key, value) = match scalar.text.split_once('=') {
            Some((key, value)) => (key.trim(), Some(value)),
            None => (scalar.text.trim(), None),
        };
        let is_name = !key.is_empty() && !key.contains(char::is_whitespace);
        if !is_name {
            let message =
                "a variable has to be a mapping with `key`; this text was ignored".to_owned();
            self.add(Code::EnvItem, node.bytes.clone(), path, message);
            return;
        }
        let message = format!("variable `{key}` is written as a text; read as `key` and `value`");
        let end =
            node.bytes.start + self.source.slice(&node.bytes).find('=').unwrap_or(node.bytes.len());
        self.add(Code::EnvItem, node.bytes.start..end, path, message)
            .hint("write `- key: NAME` and `value: …`");
        let source = match value {
            Some(value) => DraftSource::Text { text: value.to_owned(), bytes: node.bytes.clone() },
            None => DraftSource::Ready(EnvSource::Ask),
        };
        vars.push(DraftVar {
            key: key.to_owned(),
            key_bytes: node.bytes.start..end,
            path: path.to_owned(),
            source,
            preview_value: None,
        });
    }

    fn env_item(
        &mut self,
        node: &Node,
        path: &str,
        owner: Owner,
        vars: &mut Vec<DraftVar>,
        links: &mut Links,
    ) {
        let Some(fields) = self.fields(node, path, Place::EnvVar) else { return };
        if let Some(slot) = fields.get("fromGroup") {
            self.link(slot, &fields, links);
            return;
        }
        let key = self.env_key(&fields, vars);
        self.unknown_in_item(&fields, key.is_some(), vars);
        let Some((key, key_bytes)) = key else { return };
        let source = self.env_source(&fields, &key, &key_bytes, owner);
        let preview_value = fields
            .get("previewValue")
            .and_then(|slot| self.value(slot.node, &slot.path, slot.key_bytes.clone()))
            .map(|(text, _)| text);
        vars.push(DraftVar { key, key_bytes, path: path.to_owned(), source, preview_value });
    }

    /// `fromGroup` stands alone; a `key` beside it has no meaning.
    fn link(&mut self, slot: &Slot<'_>, fields: &Fields<'_>, links: &mut Links) {
        for other in fields
            .slots()
            .iter()
            .filter(|other| other.field.name != "fromGroup" && !other.field.is_invented())
        {
            let patch = self.remove(other);
            let message =
                format!("`{}` has no meaning beside `fromGroup`; it was ignored", other.field.name);
            self.add(Code::EnvConflict, other.key_bytes.clone(), &other.path, message)
                .hint("`fromGroup` links all variables of the group")
                .patch(patch);
        }
        let name = match slot.node.text_of("name") {
            Some(name) => {
                let message =
                    "`fromGroup` has to be the name of a group; the `name` under it was taken"
                        .to_owned();
                self.add(Code::EnvItem, slot.key_bytes.clone(), &slot.path, message);
                Some(name.to_owned())
            }
            None => self.text(slot),
        };
        links.extend(name.map(|name| (name, slot.path.clone(), slot.node.bytes.clone())));
    }

    /// The name of a variable. An item without one may be the other half of the item above.
    fn env_key(
        &mut self,
        fields: &Fields<'_>,
        vars: &mut [DraftVar],
    ) -> Option<(String, Range<usize>)> {
        if let Some(slot) = fields.get("key") {
            let key = self.text(slot)?;
            return Some((key.trim().to_owned(), slot.node.bytes.clone()));
        }
        let halves = |var: &&mut DraftVar| matches!(var.source, DraftSource::Ready(EnvSource::Ask));
        if let Some(slot) = fields.get("value")
            && let Some(var) = vars.last_mut().filter(halves)
        {
            let key = var.key.clone();
            let (text, bytes) = self.value(slot.node, &slot.path, slot.key_bytes.clone())?;
            if let Some(var) = vars.last_mut() {
                var.source = DraftSource::Text { text, bytes };
            }
            // Known now: the half above is no variable without a value.
            self.findings.pop_if(|finding| {
                finding.code == Code::KeyOnly && finding.message.contains(&format!("`{key}`"))
            });
            let message =
                format!("the value of `{key}` stands in an item of its own; the two were joined");
            self.add(Code::EnvItem, slot.key_bytes.clone(), &slot.path, message)
                .hint("remove the dash in front of `value`");
        }
        None
    }

    /// Pairs that are no field: `- NAME: value`, or something to ignore.
    fn unknown_in_item(&mut self, fields: &Fields<'_>, has_key: bool, vars: &mut Vec<DraftVar>) {
        for entry in fields.unknown() {
            let path = child(&fields.path, &entry.key);
            let is_variable = !has_key
                && entry.value.scalar().is_some()
                && entry
                    .key
                    .chars()
                    .all(|letter| letter.is_ascii_alphanumeric() || "_.".contains(letter));
            if is_variable {
                let message = format!(
                    "variable `{}` is written as a pair; read as `key` and `value`",
                    entry.key
                );
                self.add(Code::EnvItem, entry.key_bytes.clone(), &path, message)
                    .hint("write `- key: NAME` and `value: …`");
                let source = match self.value(&entry.value, &path, entry.key_bytes.clone()) {
                    Some((text, bytes)) => DraftSource::Text { text, bytes },
                    None => DraftSource::Ready(EnvSource::Ask),
                };
                vars.push(DraftVar {
                    key: entry.key.clone(),
                    key_bytes: entry.key_bytes.clone(),
                    path,
                    source,
                    preview_value: None,
                });
            } else {
                let message = format!("a variable has no field `{}`; it was ignored", entry.key);
                self.add(Code::UnknownField, entry.key_bytes.clone(), &path, message)
                    .hint("a variable has `key` and one of value, sync, generateValue, fromDatabase, fromService");
            }
        }
        let is_known = has_key || fields.has("value") || !fields.unknown().is_empty();
        if !is_known {
            let message = "a variable has no `key`; it was ignored".to_owned();
            self.add(Code::EnvItem, fields.anchor(), &fields.path, message)
                .hint("write `key: NAME`");
        } else if !has_key && fields.has("value") && vars.is_empty() {
            let message = "a value has no `key`; it was ignored".to_owned();
            self.add(Code::EnvItem, fields.anchor(), &fields.path, message)
                .hint("write `key: NAME`");
        }
    }

    /// Where the value comes from. With two sources, the more definite one counts.
    fn env_source(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        key_bytes: &Range<usize>,
        owner: Owner,
    ) -> DraftSource {
        let generates = match fields.get("generateValue") {
            Some(slot) => self.boolean(slot).unwrap_or_default(),
            None => false,
        };
        let asks = match fields.get("sync") {
            Some(slot) => self.boolean(slot) == Some(false),
            None => false,
        };
        let reference = self.reference(fields, key, owner);
        let value = fields.get("value").filter(|slot| !slot.node.is_null());
        let mut given: Vec<&str> = Vec::new();
        given.extend(reference.as_ref().map(|_| "the reference"));
        given.extend(value.map(|_| "`value`"));
        given.extend(generates.then_some("`generateValue`"));
        given.extend(asks.then_some("`sync: false`"));
        if given.len() > 1 {
            let message = format!(
                "variable `{key}` says in {} ways where its value comes from; {} counts",
                given.len(),
                given[0]
            );
            let patch = fields
                .get("sync")
                .filter(|_| asks && given.len() == 2)
                .and_then(|slot| self.remove(slot));
            self.add(Code::EnvConflict, key_bytes.clone(), &fields.path, message)
                .hint("keep one of them")
                .patch(patch);
        }
        if let Some(reference) = reference {
            return DraftSource::Reference(Box::new(reference));
        }
        if let Some(slot) = value {
            return match self.value(slot.node, &slot.path, slot.key_bytes.clone()) {
                Some((text, bytes)) => DraftSource::Text { text, bytes },
                None => DraftSource::Ready(EnvSource::Ask),
            };
        }
        if generates {
            return DraftSource::Ready(EnvSource::Generate);
        }
        if asks && owner == Owner::Group {
            let message = format!(
                "Render ignores `sync: false` in groups; here `{key}` can be given a value"
            );
            self.add(Code::SyncInGroup, key_bytes.clone(), &fields.path, message);
        } else if !asks {
            let message = format!("variable `{key}` has no value; it stays unset until it has one");
            self.add(Code::KeyOnly, key_bytes.clone(), &fields.path, message)
                .hint("write `value:`, or `sync: false` for a value that is given later");
        }
        DraftSource::Ready(EnvSource::Ask)
    }

    /// The text of a value, exactly as it is written.
    fn value(
        &mut self,
        node: &Rc<Node>,
        path: &str,
        key_bytes: Range<usize>,
    ) -> Option<(String, Range<usize>)> {
        let Some(scalar) = node.scalar() else {
            let source = self.source.slice(&node.bytes);
            let message = "a value has to be a text; the source text was taken".to_owned();
            if node.is_flow && !source.is_empty() {
                self.add(Code::EnvItem, key_bytes, path, message).hint("put it in single quotes");
                return Some((source.to_owned(), node.bytes.clone()));
            }
            let message = format!("a value has to be a text, and is {}", node.noun());
            self.add(Code::WrongShape, key_bytes, path, message)
                .hint("put it in quotes, or behind `|` on lines of its own");
            return None;
        };
        if scalar.is_null() {
            return None;
        }
        if scalar.boolean().is_some() && !is_bare_number(node) {
            let patch = self.quote_value(node);
            self.add(
                Code::BooleanValue,
                node.bytes.clone(),
                path,
                "a value has to be a text, and is true or false; its text was taken".to_owned(),
            )
            .hint("put it in quotes")
            .patch(patch);
        }
        Some((scalar.text.clone(), node.bytes.clone()))
    }
}
