//! References among the resources of a file, resolved once all of them are known.
//!
//! A name is looked for in the same environment, then among resources outside all environments.
//! What is not found is a note, not an error: the variable stays unset, as on Render, where it may
//! name a resource of the workspace.

use std::ops::Range;

use model::{EnvSource, ServiceReference};

use crate::blueprint::Noun;
use crate::catalog::{Place, normalized};
use crate::code::Code;
use crate::finding::Patch;
use crate::tree::{Node, Value};

use super::Checker;
use super::env::{DraftSource, DraftVar, Owner};
use super::fields::Fields;
use super::root::Draft;
use super::target::{Index, Target};

mod lints;
mod properties;
mod templates;

/// A text of a reference and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) text: String,
    bytes: Range<usize>,
    /// How the text would be replaced.
    is_replaceable: bool,
}

/// A `fromDatabase` or `fromService` that was not looked up.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    is_database: bool,
    name: Part,
    kind: Option<Part>,
    property: Option<Part>,
    env_key: Option<Part>,
    /// The key `fromDatabase` or `fromService`.
    bytes: Range<usize>,
    path: String,
    /// Takes the `type` out.
    without_kind: Option<Patch>,
    /// Adds a pair behind the name; `{}` stands for it.
    insert_at: Option<(usize, String)>,
}

/// Names that some `fromService` in the file calls a Key Value instance.
pub(super) fn key_value_names(node: &Node) -> Vec<String> {
    let mut names = Vec::new();
    let mut stack = vec![node];
    while let Some(node) = stack.pop() {
        match &node.value {
            Value::Scalar(_) => {}
            Value::List(items) => stack.extend(items.iter().map(AsRef::as_ref)),
            Value::Map(entries) => {
                for entry in entries {
                    let kind = entry.value.text_of("type").map(normalized).unwrap_or_default();
                    let is_key_value = matches!(kind.as_str(), "redis" | "keyvalue" | "valkey");
                    if entry.key == "fromService" && is_key_value {
                        names.extend(entry.value.text_of("name").map(str::to_owned));
                    }
                    stack.push(&entry.value);
                }
            }
        }
    }
    names
}

impl Checker<'_> {
    /// Reads the reference of a variable, if it has one.
    pub(super) fn reference(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        owner: Owner,
    ) -> Option<Reference> {
        let is_database = fields.has("fromDatabase");
        let slot = fields.get("fromDatabase").or_else(|| fields.get("fromService"))?;
        if owner == Owner::Group {
            let message = format!(
                "variable `{key}` of a group refers to another resource, which Render does not allow"
            );
            self.add(Code::EnvInGroup, slot.key_bytes.clone(), &slot.path, message)
                .hint("give the services that need it the reference themselves");
        }
        if let Some(scalar) = slot.node.scalar() {
            let message = format!(
                "`{}` has to be a mapping; its text was taken as the name",
                slot.field.name
            );
            self.add(Code::ReferenceShape, slot.node.bytes.clone(), &slot.path, message)
                .hint("write `name` and `property` under it");
            let name = Part {
                text: scalar.text.clone(),
                bytes: slot.node.bytes.clone(),
                is_replaceable: false,
            };
            return Some(Reference {
                is_database,
                name,
                kind: None,
                property: None,
                env_key: None,
                bytes: slot.key_bytes.clone(),
                path: slot.path.clone(),
                without_kind: None,
                insert_at: None,
            });
        }
        let place = if is_database { Place::FromDatabase } else { Place::FromService };
        let inner = self.fields(slot.node, &slot.path, place)?;
        let Some(name) = self.part(&inner, "name") else {
            let message = format!("`{}` names nothing; the variable stays unset", slot.field.name);
            self.add(Code::ReferenceShape, slot.key_bytes.clone(), &slot.path, message)
                .hint("write `name: …` under it");
            return None;
        };
        let insert_at = inner.get("name").and_then(|slot| {
            let patch = self.insert_after(slot, "{}")?;
            let edit = patch.edits.into_iter().next()?;
            Some((edit.bytes.start, edit.text("")))
        });
        Some(Reference {
            is_database,
            name,
            kind: self.part(&inner, "type"),
            property: self.part(&inner, "property"),
            env_key: self.part(&inner, "envVarKey"),
            bytes: slot.key_bytes.clone(),
            path: slot.path.clone(),
            without_kind: inner.get("type").and_then(|slot| self.remove(slot)),
            insert_at,
        })
    }

    fn part(&mut self, fields: &Fields<'_>, name: &str) -> Option<Part> {
        let slot = fields.get(name)?;
        let text = self.text(slot)?.trim().to_owned();
        let is_replaceable = self.replace_value(slot.node, "x").is_some();
        (!text.is_empty()).then(|| Part { text, bytes: slot.node.bytes.clone(), is_replaceable })
    }
}

impl Part {
    fn replace(&self, text: &str) -> Option<Patch> {
        self.is_replaceable.then(|| Patch::replace(self.bytes.clone(), text))
    }
}

/// Looks up every reference and every template of a file.
pub(super) fn resolve(checker: &mut Checker<'_>, drafts: &mut [Draft]) {
    let index = Index::new(drafts);
    for (scope, draft) in drafts.iter_mut().enumerate() {
        let mut vars = std::mem::take(&mut draft.vars);
        let mut env = |noun, owner: &str| -> Vec<model::EnvVar> {
            let vars = vars.remove(&(noun, owner.to_owned())).unwrap_or_default();
            let mut resolver = Resolver { checker, index: &index, scope, noun, owner };
            vars.into_iter().map(|var| resolver.variable(var)).collect()
        };
        for group in &mut draft.scope.env_groups {
            group.env = env(Noun::EnvGroup, &group.name);
        }
        for service in draft.scope.services.iter_mut().chain(&mut draft.scope.workflows) {
            service.env = env(Noun::Service, &service.name);
        }
        groups_exist(checker, &index, scope, draft);
    }
}

fn groups_exist(checker: &mut Checker<'_>, index: &Index, scope: usize, draft: &mut Draft) {
    for (group, path, bytes) in std::mem::take(&mut draft.links) {
        if index.has_group(scope, &group) {
            continue;
        }
        let message = format!(
            "group `{group}` is not declared in the file; its variables stay unset until they have values"
        );
        checker
            .add(Code::GroupNowhere, bytes, &path, message)
            .hint("declare it under `envVarGroups`, or give its values with --env-file");
    }
}

/// What one variable is looked up with.
struct Resolver<'c, 'a> {
    checker: &'c mut Checker<'a>,
    index: &'c Index,
    scope: usize,
    noun: Noun,
    owner: &'c str,
}

impl Resolver<'_, '_> {
    fn variable(&mut self, var: DraftVar) -> model::EnvVar {
        let source = match &var.source {
            DraftSource::Ready(source) => source.clone(),
            DraftSource::Text { text, bytes } => self.literal(&var, text, bytes),
            DraftSource::Reference(reference) => self.reference(&var.key, reference),
        };
        self.lint_host(&var, &source);
        var.finish(source)
    }

    fn reference(&mut self, key: &str, reference: &Reference) -> EnvSource {
        let wanted = |target: Target| {
            if reference.is_database {
                return target == Target::Database;
            }
            reference.kind.as_ref().is_none_or(|kind| target.fits(&kind.text))
        };
        let mut name = reference.name.text.clone();
        let mut target = self.index.find(self.scope, &name, &wanted);
        if target.is_none()
            && let Some(alike) = self.index.alike(self.scope, &name)
        {
            let message = format!("nothing is named `{name}`; read as `{alike}`");
            self.checker
                .add(Code::ReferenceShape, reference.name.bytes.clone(), &reference.path, message)
                .hint(format!("write `name: {alike}`"))
                .patch(reference.name.replace(&alike));
            target = self.index.find(self.scope, &alike, &wanted);
            name = alike;
        }
        let is_service = matches!(target, Some(Target::Service(_)));
        if reference.is_database
            && is_service
            && let Some(only) = self.index.only_database(self.scope).map(str::to_owned)
        {
            let message = format!(
                "`{name}` is a service, not a database; read as `{only}`, the only database"
            );
            self.checker
                .add(Code::ReferenceKind, reference.name.bytes.clone(), &reference.path, message)
                .hint(format!("write `name: {only}`"))
                .patch(reference.name.replace(&only));
            return self.of_database(key, reference, only);
        }
        match target {
            None => self.nowhere(reference, &name),
            Some(Target::Database) => self.of_database(key, reference, name),
            Some(target) => self.of_service(key, reference, name, target),
        }
    }

    /// A name that the file does not declare.
    fn nowhere(&mut self, reference: &Reference, name: &str) -> EnvSource {
        let hint = if let Some(place) = self.index.elsewhere(name) {
            format!("it is declared in {place}, which is not visible from here")
        } else if let Some(near) = self.index.nearest(self.scope, name) {
            format!("did you mean `{near}`?")
        } else {
            "declare it in the file, or give the variable a value with --set".to_owned()
        };
        let noun = if reference.is_database { "database" } else { "service" };
        let message = format!(
            "{noun} `{name}` is not declared in the file; the variable stays unset until it has a value"
        );
        self.checker
            .add(Code::ReferenceNowhere, reference.name.bytes.clone(), &reference.path, message)
            .hint(hint);
        let property = reference.property.as_ref().map(|part| part.text.as_str());
        if reference.is_database {
            let property = property.and_then(|text| text.parse().ok());
            return property.map_or(EnvSource::Ask, |property| EnvSource::FromDatabase {
                name: name.to_owned(),
                property,
            });
        }
        let reference = match (&reference.env_key, property.and_then(|text| text.parse().ok())) {
            (Some(key), _) => Some(ServiceReference::EnvVar(key.text.clone())),
            (None, property) => property.map(ServiceReference::Property),
        };
        reference.map_or(EnvSource::Ask, |reference| EnvSource::FromService {
            name: name.to_owned(),
            reference,
        })
    }
}
