//! The file as a whole: root keys, projects, environments, and the resources in each.

use std::collections::BTreeMap;
use std::rc::Rc;

use model::EnvGroup;

use crate::blueprint::{Blueprint, Noun, PreviewGeneration, Previews, Scope};
use crate::catalog::Place;
use crate::code::Code;
use crate::finding::Patch;
use crate::tree::Node;

use super::env::{DraftVar, Links, Owner};
use super::fields::{Fields, Slot};
use super::service::Implied;
use super::values::Item;
use super::{Checker, reference};

/// A scope whose references are not resolved yet.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) scope: Scope,
    /// Variables of services and groups, by owner.
    pub(super) vars: BTreeMap<(Noun, String), Vec<DraftVar>>,
    /// Groups that services link.
    pub(super) links: Links,
}

/// Days that a preview may live at most; far more than anybody asks for.
const PREVIEW_DAYS: std::ops::RangeInclusive<u32> = 1..=3650;

/// Checks everything that a file declares.
pub(crate) fn root(checker: &mut Checker<'_>, roots: &[Rc<Node>]) -> Blueprint {
    let mut blueprint = Blueprint {
        scopes: Vec::new(),
        previews: Previews::default(),
        build_sources: Vec::new(),
        spans: BTreeMap::new(),
    };
    if roots.is_empty() {
        checker
            .add(Code::EmptyFile, 0..0, "", "the file is empty".to_owned())
            .hint("declare at least one service under `services:`");
        return blueprint;
    }
    if let Some(second) = roots.get(1) {
        let message = format!("the file holds {} documents; they were read as one", roots.len());
        checker
            .add(Code::SeveralDocuments, second.bytes.start..second.bytes.start, "", message)
            .hint("remove the lines that are only `---`");
    }
    checker.key_value_names =
        roots.iter().flat_map(|root| reference::key_value_names(root)).collect();
    let mut drafts = vec![Draft::default()];
    for root in roots {
        document(checker, root, &mut blueprint, &mut drafts);
    }
    name_root_scope(checker, &mut drafts);
    reference::resolve(checker, &mut drafts);
    blueprint.scopes = drafts.into_iter().map(|draft| draft.scope).collect();
    blueprint.scopes.retain(|scope| !scope.is_empty() || scope.environment.is_some());
    let declares_nothing = blueprint.scopes.iter().all(Scope::is_empty);
    if declares_nothing && checker.findings.iter().all(|finding| finding.code != Code::ComposeFile)
    {
        let bytes = roots[0].bytes.start..roots[0].bytes.start;
        checker
            .add(
                Code::EmptyFile,
                bytes,
                "",
                "the file declares no service and no database".to_owned(),
            )
            .hint("declare at least one service under `services:`");
    }
    blueprint
}

/// Resources at the root belong to the project that the caller named, unless the file has projects.
fn name_root_scope(checker: &Checker<'_>, drafts: &mut [Draft]) {
    let has_projects = drafts.iter().any(|draft| draft.scope.environment.is_some());
    if !has_projects {
        for draft in drafts {
            draft.scope.project = Some(checker.project_name.to_owned());
        }
    }
}

fn document(
    checker: &mut Checker<'_>,
    root: &Rc<Node>,
    blueprint: &mut Blueprint,
    drafts: &mut Vec<Draft>,
) {
    if root.list().is_some() {
        list_at_root(checker, root, drafts);
        return;
    }
    if is_compose(root) {
        let bytes = root.bytes.start..root.bytes.start;
        checker
            .add(Code::ComposeFile, bytes, "", "this is a Compose file, not a Blueprint".to_owned())
            .hint("Compose files are not read yet; a Blueprint lists its services with `type` and `runtime`");
        return;
    }
    let Some(fields) = checker.fields(root, "", Place::Root) else { return };
    resources(checker, &fields, &mut drafts[0]);
    root_lists(checker, &fields, &mut drafts[0]);
    previews(checker, &fields, &mut blueprint.previews);
    if let Some(slot) = fields.get("buildSources") {
        blueprint.build_sources = build_sources(slot);
    }
    if let Some(slot) = fields.get("version") {
        checker.choice(slot, &["1"], &[("1.0", "1"), ("v1", "1")]);
    }
    if let Some(slot) = fields.get("ungrouped")
        && let Some(inner) = checker.fields(slot.node, &slot.path, Place::Ungrouped)
    {
        let mut draft = Draft::default();
        resources(checker, &inner, &mut draft);
        drafts.push(draft);
    }
    let mut offset = 0;
    for slot in fields.all("projects") {
        let items = checker.items(&slot, offset);
        offset += items.len();
        for item in items {
            project(checker, &item, drafts);
        }
    }
}

fn list_at_root(checker: &mut Checker<'_>, root: &Rc<Node>, drafts: &mut [Draft]) {
    let line = checker.source.line_at(root.bytes.start);
    let start = checker.source.line_bytes(line).start;
    let lead = checker.source.slice(&(start..root.bytes.start));
    let key = format!("services:{}", checker.line_break());
    let patch = (!root.is_flow && lead.trim().is_empty()).then(|| Patch::insert(start, key));
    checker
        .add(
            Code::ListRoot,
            root.bytes.start..root.bytes.start + 1,
            "",
            "the file is a list; it was read as the list of services".to_owned(),
        )
        .hint("write `services:` above it")
        .patch(patch);
    for (index, node) in root.list().unwrap_or_default().iter().enumerate() {
        let item = Item { node, path: format!("services[{index}]"), name: None };
        checker.service(&item, Implied::default(), &mut drafts[0]);
    }
}

/// Compose files have services by name, with an image or a build, and no `type`.
fn is_compose(root: &Node) -> bool {
    let Some(services) = root.get("services").and_then(|services| services.map()) else {
        return false;
    };
    services.iter().any(|entry| {
        let has = |key| entry.value.get(key).is_some();
        (has("image") || has("build")) && !has("type") && !has("runtime") && !has("env")
    })
}

/// Services, databases and groups of one scope.
fn resources(checker: &mut Checker<'_>, fields: &Fields<'_>, draft: &mut Draft) {
    let mut offset = 0;
    for slot in fields.all("envVarGroups") {
        let items = checker.items(&slot, offset);
        offset += items.len();
        for item in items {
            group(checker, &item, draft);
        }
    }
    offset = 0;
    for slot in fields.all("databases") {
        let items = checker.items(&slot, offset);
        offset += items.len();
        for item in items {
            checker.database_item(&item, draft, fields);
        }
    }
    offset = 0;
    for slot in fields.all("services") {
        let items = checker.items(&slot, offset);
        offset += items.len();
        for item in items {
            checker.service(&item, Implied::default(), draft);
        }
    }
}

/// Lists that only exist at the root of files whose authors guessed their names.
fn root_lists(checker: &mut Checker<'_>, fields: &Fields<'_>, draft: &mut Draft) {
    let lists = [
        ("redis", Implied { service_type: Some("keyvalue"), runtime: None }),
        ("workers", Implied { service_type: Some("worker"), runtime: None }),
        ("cronJobs", Implied { service_type: Some("cron"), runtime: None }),
        ("staticSites", Implied { service_type: Some("web"), runtime: Some("static") }),
        ("webServices", Implied { service_type: Some("web"), runtime: None }),
        ("privateServices", Implied { service_type: Some("pserv"), runtime: None }),
    ];
    for (name, implied) in lists {
        if let Some(slot) = fields.get(name) {
            for item in checker.items(slot, 0) {
                checker.service(&item, implied, draft);
            }
        }
    }
}

/// Root previews, with their old spellings (page "Preview environments").
fn previews(checker: &mut Checker<'_>, fields: &Fields<'_>, previews: &mut Previews) {
    if let Some(slot) = fields.get("previewsEnabled") {
        let enabled = checker.boolean(slot).unwrap_or_default();
        if enabled {
            previews.generation = PreviewGeneration::Automatic;
        }
        deprecated(checker, slot, "previews.generation");
    }
    if let Some(slot) = fields.get("previewsExpireAfterDays") {
        previews.expire_after_days = checker.integer(slot, PREVIEW_DAYS);
        deprecated(checker, slot, "previews.expireAfterDays");
    }
    let Some(slot) = fields.get("previews") else { return };
    let Some(inner) = checker.fields(slot.node, &slot.path, Place::RootPreviews) else { return };
    if let Some(slot) = inner.get("generation") {
        // `generation: {expireAfterDays: 1}` was seen: the inner mapping is meant one level up.
        if slot.node.map().is_some() {
            let message =
                "`generation` has to be a text; its mapping was read one level up".to_owned();
            checker.add(Code::WrongScalar, slot.key_bytes.clone(), &slot.path, message);
            if let Some(nested) = checker.fields(slot.node, &slot.path, Place::RootPreviews)
                && let Some(days) = nested.get("expireAfterDays")
            {
                previews.expire_after_days = checker.integer(days, PREVIEW_DAYS);
            }
        } else if let Some(generation) = checker.generation(slot) {
            previews.generation = generation;
        }
    }
    if let Some(slot) = inner.get("expireAfterDays") {
        previews.expire_after_days = checker.integer(slot, PREVIEW_DAYS);
    }
}

/// Notes that a field has a newer spelling.
pub(super) fn deprecated(checker: &mut Checker<'_>, slot: &Slot<'_>, new: &str) {
    let message = format!("`{}` is the old spelling of `{new}`", slot.field.name);
    checker
        .add(Code::Deprecated, slot.key_bytes.clone(), &slot.path, message)
        .hint(format!("write `{new}`"));
}

fn build_sources(slot: &Slot<'_>) -> Vec<String> {
    let items = slot.node.list().unwrap_or_default();
    items.iter().filter_map(|item| item.text_of("name")).map(str::to_owned).collect()
}

fn project(checker: &mut Checker<'_>, item: &Item<'_>, drafts: &mut Vec<Draft>) {
    let Some(fields) = checker.fields(item.node, &item.path, Place::Project) else { return };
    let name = checker.name(&fields, item.name, "a project").unwrap_or_default();
    let Some(slot) = fields.get("environments") else {
        let message = format!("project `{name}` has no environments; it was ignored");
        checker
            .add(Code::MissingField, fields.anchor(), &item.path, message)
            .hint("list its environments under `environments:`");
        return;
    };
    for item in checker.items(slot, 0) {
        let Some(fields) = checker.fields(item.node, &item.path, Place::Environment) else {
            continue;
        };
        let mut draft = Draft::default();
        draft.scope.project = Some(name.clone());
        draft.scope.environment = checker.name(&fields, item.name, "an environment");
        if let Some(slot) = fields.get("networking")
            && let Some(inner) = checker.fields(slot.node, &slot.path, Place::Networking)
            && let Some(slot) = inner.get("isolation")
        {
            draft.scope.isolation = checker.switch(slot).unwrap_or_default();
        }
        if let Some(slot) = fields.get("permissions")
            && let Some(inner) = checker.fields(slot.node, &slot.path, Place::Permissions)
            && let Some(slot) = inner.get("protection")
        {
            draft.scope.protection = checker.switch(slot).unwrap_or_default();
        }
        resources(checker, &fields, &mut draft);
        drafts.push(draft);
    }
}

fn group(checker: &mut Checker<'_>, item: &Item<'_>, draft: &mut Draft) {
    let Some(fields) = checker.fields(item.node, &item.path, Place::Group) else { return };
    let Some(name) = checker.name(&fields, item.name, "a group") else { return };
    let mut vars = Vec::new();
    for slot in fields.all("envVars") {
        let (own, groups) = checker.env_vars(&slot, Owner::Group);
        vars.extend(own);
        for (_, path, bytes) in groups {
            let message = "a group cannot link another group; it was ignored".to_owned();
            checker.add(Code::EnvInGroup, bytes, &path, message);
        }
    }
    checker.last_counts(&mut vars);
    if !fields.has("envVars")
        && !item.node.map().unwrap_or_default().iter().any(|entry| entry.key == "envVars")
    {
        let message = format!("group `{name}` has no `envVars`; it is empty");
        let patch = fields.get("name").and_then(|slot| checker.insert_after(slot, "envVars: []"));
        checker
            .add(Code::MissingField, fields.anchor(), &item.path, message)
            .hint("write `envVars: []`")
            .patch(patch);
    }
    let name = checker.unique_name(draft, Noun::EnvGroup, name, &fields, item);
    draft.scope.env_groups.push(EnvGroup { name: name.clone(), env: Vec::new() });
    draft.scope.origins.insert((Noun::EnvGroup, name.clone()), item.path.clone());
    draft.vars.insert((Noun::EnvGroup, name), vars);
}
