//! Lists, sizes and other values that several resources have.

use std::rc::Rc;

use model::InstanceType;

use crate::blueprint::IpRule;
use crate::catalog::Place;
use crate::code::Code;
use crate::sizes::{self, Family, Found};
use crate::tree::Node;

use super::Checker;
use super::fields::{Fields, Slot};

/// One item of a list of resources.
#[derive(Debug, Clone)]
pub(super) struct Item<'t> {
    pub(super) node: &'t Rc<Node>,
    pub(super) path: String,
    /// The key, where resources stand in a mapping by name.
    pub(super) name: Option<&'t str>,
}

impl Checker<'_> {
    /// The items of a list. A single value counts as a list of one, empty items do not count.
    pub(super) fn list<'t>(&mut self, slot: &Slot<'t>) -> Vec<(&'t Rc<Node>, String)> {
        let Some(items) = slot.node.list() else {
            let name = slot.field.name;
            let message = format!(
                "`{name}` has to be a list, and is {}; read as a list of one",
                slot.node.noun()
            );
            self.add(Code::NotAList, slot.key_bytes.clone(), &slot.path, message)
                .hint("begin each item with a dash");
            return vec![(slot.node, slot.path.clone())];
        };
        let mut found = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{}[{index}]", slot.path);
            if item.is_null() {
                let message = format!("an item of `{}` is empty; it was ignored", slot.field.name);
                self.add(Code::EmptyField, item.bytes.clone(), &path, message);
            } else {
                found.push((item, path));
            }
        }
        found
    }

    /// The items of a list of resources; a mapping by name is understood too.
    pub(super) fn items<'t>(&mut self, slot: &Slot<'t>, offset: usize) -> Vec<Item<'t>> {
        let is_named = |entries: &[crate::tree::Entry]| {
            !entries.is_empty() && entries.iter().all(|entry| entry.value.map().is_some())
        };
        if let Some(entries) = slot.node.map().filter(|entries| is_named(entries)) {
            let name = slot.field.name;
            let message =
                format!("`{name}` has to be a list, and is a mapping; its keys were read as names");
            self.add(Code::NotAList, slot.key_bytes.clone(), &slot.path, message)
                .hint("write `- name: …` instead of a key for each");
            return entries
                .iter()
                .map(|entry| Item {
                    node: &entry.value,
                    path: format!("{}.{}", slot.path, entry.key),
                    name: Some(entry.key.as_str()),
                })
                .collect();
        }
        if slot.node.scalar().is_some() {
            self.wrong_shape(slot, "a list");
            return Vec::new();
        }
        let items = self.list(slot);
        let count_from = |path: String, index: usize| {
            if offset == 0 { path } else { format!("{}[{}]", slot.path, offset + index) }
        };
        items
            .into_iter()
            .enumerate()
            .map(|(index, (node, path))| Item { node, path: count_from(path, index), name: None })
            .collect()
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, slot: &Slot<'_>) -> Vec<String> {
        let mut texts = Vec::new();
        for (node, path) in self.list(slot) {
            match node.scalar() {
                Some(scalar) => texts.push(scalar.text.clone()),
                None => {
                    let message = format!(
                        "an item of `{}` has to be a text, and is {}; it was ignored",
                        slot.field.name,
                        node.noun()
                    );
                    self.add(Code::UnknownValue, node.bytes.clone(), &path, message);
                }
            }
        }
        texts
    }

    /// A text of a field, if it is there.
    pub(super) fn text_of(&mut self, fields: &Fields<'_>, name: &str) -> Option<String> {
        let slot = fields.get(name)?;
        self.text(slot)
    }

    /// A command: an empty one is none.
    pub(super) fn command(&mut self, fields: &Fields<'_>, name: &str) -> Option<String> {
        self.text_of(fields, name).filter(|text| !text.trim().is_empty())
    }

    /// The size that a `plan` stands for, or the default.
    pub(super) fn size(
        &mut self,
        fields: &Fields<'_>,
        name: &str,
        family: Family,
    ) -> Option<InstanceType> {
        let slot = fields.get(name)?;
        let text = match slot.node.scalar() {
            Some(scalar) => scalar.text.trim().to_owned(),
            None => {
                self.wrong_shape(slot, "a text");
                return None;
            }
        };
        match sizes::find(family, &text) {
            Found::Exact(size) => Some(size),
            Found::Spelled(size) => {
                let patch = self.replace_value(slot.node, &size.name);
                let message = format!("`{name}` has no value `{text}`; read as `{}`", size.name);
                self.add(Code::ValueSpelling, slot.node.bytes.clone(), &slot.path, message)
                    .hint(format!("write `{name}: {}`", size.name))
                    .patch(patch);
                Some(size)
            }
            Found::Unknown => {
                let fallback = family.default_plan();
                let message = format!(
                    "`{name}` has no value `{text}`; the default `{}` was taken",
                    fallback.name
                );
                self.add(Code::UnknownValue, slot.node.bytes.clone(), &slot.path, message)
                    .hint(format!("write {}", family.examples()));
                None
            }
        }
    }

    /// Where Render would run it.
    pub(super) fn region(&mut self, fields: &Fields<'_>) -> Option<String> {
        let slot = fields.get("region")?;
        let regions = ["oregon", "ohio", "virginia", "frankfurt", "singapore"];
        self.choice(
            slot,
            &regions,
            &[("us-west", "oregon"), ("us-east", "virginia"), ("eu", "frankfurt")],
        )
        .map(str::to_owned)
    }

    /// Who may come in from outside.
    pub(super) fn ip_allow_list(&mut self, fields: &Fields<'_>) -> Option<Vec<IpRule>> {
        let slot = fields.get("ipAllowList")?;
        let mut rules = Vec::new();
        for (node, path) in self.list(slot) {
            if let Some(scalar) = node.scalar() {
                let message = "an item of `ipAllowList` has to be a mapping with `source`; its text was taken as that".to_owned();
                let patch = crate::finding::Patch::insert(node.bytes.start, "source: ");
                self.add(Code::WrongScalar, node.bytes.clone(), &path, message).patch(patch);
                rules.push(IpRule { source: scalar.text.clone(), description: None });
                continue;
            }
            let Some(inner) = self.fields(node, &path, Place::IpRule) else { continue };
            let source = self.text_of(&inner, "source");
            let description = self.text_of(&inner, "description");
            match source {
                Some(source) => rules.push(IpRule { source, description }),
                None => {
                    let message =
                        "an item of `ipAllowList` has no `source`; it was ignored".to_owned();
                    self.add(Code::MissingField, inner.anchor(), &path, message)
                        .hint("write `source: 0.0.0.0/0` for everyone");
                }
            }
        }
        Some(rules)
    }
}
