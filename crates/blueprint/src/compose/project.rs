//! Several files into one: `-f` files, `include` and `extends`.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use crate::code::Code;
use crate::env_file::{self, Named};

use super::load::Role;
use super::merge::{merge, without_resets};
use super::node::{At, Entry, Node, Value, View};
use super::paths::{Location, parent};
use super::reader::Reader;

/// Deepest nesting of `include`, and longest chain of `extends`.
const DEPTH_LIMIT: usize = 24;
/// What can be imported from an included file.
const SECTIONS: &[&str] = &["services", "networks", "volumes", "secrets", "configs"];

/// A text that was asked for.
pub(crate) enum Text<'a> {
    Here(&'a str),
    NotThere,
    /// The caller has to look it up first.
    Unknown,
}

/// A service of a file that is resolved.
struct Base<'r> {
    file: &'r str,
    services: Rc<Node>,
    role: Role<'r>,
}

impl<'a> Reader<'a> {
    /// All files merged. `None` when one of them cannot be read.
    pub(crate) fn project(&mut self) -> Option<Node> {
        let input = self.input;
        let base_dir = input.files.first().map_or("", |(path, _)| parent(path));
        let role = |path| Role { path, base_dir, variables: &input.variables };
        let mut whole: Option<Node> = None;
        let mut is_broken = false;
        for (path, text) in &input.files {
            let Some(node) = self.whole_file(text, &role(path), &mut vec![path.clone()]) else {
                is_broken = true;
                continue;
            };
            whole = Some(match whole {
                Some(earlier) => merge(earlier, node, &[]),
                None => node,
            });
        }
        whole.filter(|_| !is_broken).map(without_resets)
    }

    /// A text of the project by its path.
    pub(crate) fn text_of(&mut self, path: &str) -> Text<'a> {
        let input = self.input;
        if let Some((_, text)) = input.files.iter().find(|(known, _)| known == path) {
            return Text::Here(text);
        }
        match input.more_files.get(path) {
            Some(Some(text)) => Text::Here(text),
            Some(None) => Text::NotThere,
            None => {
                self.needs.insert(path.to_owned());
                Text::Unknown
            }
        }
    }

    fn whole_file(
        &mut self,
        text: &'a str,
        role: &Role<'_>,
        chain: &mut Vec<String>,
    ) -> Option<Node> {
        let node = self.load(text, role)?;
        let node = self.extended(node, role);
        self.included(node, role, chain)
    }

    /// Resolves `extends` of every service.
    fn extended(&mut self, mut root: Node, role: &Role<'_>) -> Node {
        let Value::Map(entries) = &mut root.value else { return root };
        let Some(entry) = entries.iter_mut().find(|entry| entry.key == "services") else {
            return root;
        };
        let extends = |entry: &Entry| entry.node.get("extends").is_some();
        if !entry.node.map().unwrap_or_default().iter().any(extends) {
            return root;
        }
        let services = Rc::new(entry.node.clone());
        let base = Base { file: role.path, services: Rc::clone(&services), role: role.clone() };
        if let Value::Map(services) = &mut entry.node.value {
            for service in services.iter_mut().filter(|entry| extends(entry)) {
                let at = service.key_at.clone();
                if let Some(node) = self.resolved(&base, &service.key, &at, &mut Vec::new()) {
                    service.node = node;
                }
            }
        }
        root
    }

    /// A service with everything that it extends.
    fn resolved(
        &mut self,
        base: &Base<'_>,
        name: &str,
        at: &At,
        chain: &mut Vec<(String, String)>,
    ) -> Option<Node> {
        let path = format!("services.{name}");
        let Some(service) = base.services.get(name) else {
            let message = format!("there is no service `{name}` to extend in `{}`", base.file);
            self.add(Code::NotDeclared, at, &path, message);
            return None;
        };
        if !self.afford(at, service.weight(), 0) {
            return None;
        }
        let mut own = service.clone();
        let Some(extends) = service.get("extends") else { return Some(own) };
        if let Value::Map(entries) = &mut own.value {
            entries.retain(|entry| entry.key != "extends");
        }
        let link = (base.file.to_owned(), name.to_owned());
        if chain.contains(&link) || chain.len() >= DEPTH_LIMIT {
            let names: Vec<&str> = chain.iter().map(|(_, name)| name.as_str()).collect();
            let message = format!("services extend each other: {} → {name}", names.join(" → "));
            self.add(Code::FileCircle, &extends.at, &path, message)
                .hint("put what they share into one service that extends nothing");
            return Some(own);
        }
        chain.push(link);
        let view = View::new(extends, format!("{path}.extends"));
        let parent = self.parent_of(base, &view, chain);
        chain.pop();
        self.lacks_parents |= parent.is_none();
        Some(match parent {
            Some(parent) => merge(parent, own, &["services", name]),
            None => own,
        })
    }

    fn parent_of(
        &mut self,
        base: &Base<'_>,
        extends: &View<'_>,
        chain: &mut Vec<(String, String)>,
    ) -> Option<Node> {
        let at = &extends.node.at;
        let file = extends.get("file");
        let service = match extends.node.scalar() {
            Some(scalar) => Some(scalar.text.clone()),
            None => extends.get("service").and_then(|view| self.text(&view)),
        };
        let Some(service) = service else {
            let message = "`extends` names no service".to_owned();
            self.add(Code::BadValue, at, &extends.path, message);
            return None;
        };
        let Some(file) = file else { return self.resolved(base, &service, at, chain) };
        let written = self.text(&file)?;
        let path = self.inside(&file, &written, "the file that is extended")?;
        let variables = base.role.variables;
        let role = Role { path: &path, base_dir: parent(&path), variables };
        let services = self.services_of(&role, &file)?;
        let other = Base { file: &path, services, role: role.clone() };
        self.resolved(&other, &service, at, chain)
    }

    /// The services of a file that others extend; read once.
    fn services_of(&mut self, role: &Role<'_>, view: &View<'_>) -> Option<Rc<Node>> {
        if let Some(known) = self.bases.get(role.path) {
            return known.clone();
        }
        let text = self.required_text(role.path, view)?;
        let services = self.load(text, role).and_then(|root| root.get("services").cloned());
        let services = services.map(Rc::new);
        self.bases.insert(role.path.to_owned(), services.clone());
        services
    }

    /// A text that has to be there.
    pub(crate) fn required_text(&mut self, path: &str, view: &View<'_>) -> Option<&'a str> {
        match self.text_of(path) {
            Text::Here(text) => Some(text),
            Text::Unknown => None,
            Text::NotThere => {
                let message = format!("there is no file `{path}`");
                self.add(Code::FileNotThere, &view.node.at, &view.path, message)
                    .hint("paths are relative to the file that names them; is it committed?");
                None
            }
        }
    }

    /// Takes in what `include` names.
    fn included(
        &mut self,
        mut root: Node,
        role: &Role<'_>,
        chain: &mut Vec<String>,
    ) -> Option<Node> {
        let Some(include) = root.get("include").cloned() else { return Some(root) };
        if let Value::Map(entries) = &mut root.value {
            entries.retain(|entry| entry.key != "include");
        }
        let items: Vec<Node> = match include.value {
            Value::List(items) => items,
            _ => vec![include],
        };
        let mut imported = Node::of_map(root.at.clone(), Vec::new());
        for (index, item) in items.iter().enumerate() {
            let view = View::new(item, format!("include[{index}]"));
            if let Some(other) = self.include(&view, role, chain) {
                self.import(&mut imported, other, Twice::Conflict);
            }
        }
        self.import(&mut root, imported, Twice::Override);
        Some(root)
    }

    fn include(
        &mut self,
        view: &View<'_>,
        role: &Role<'_>,
        chain: &mut Vec<String>,
    ) -> Option<Node> {
        let paths = match view.get("path") {
            Some(path) => self.texts(&path),
            None => self.texts(view),
        };
        let mut files = Vec::new();
        for path in paths {
            files.push(self.inside(view, &path, "an included file")?);
        }
        let first = files.first()?.clone();
        let base_dir = match view.get("project_directory") {
            Some(directory) => {
                let written = self.text(&directory)?;
                self.inside(&directory, &written, "`project_directory`")?
            }
            None => parent(&first).to_owned(),
        };
        let variables = self.include_variables(view, &base_dir, role.variables)?;
        let mut whole: Option<Node> = None;
        for path in &files {
            if chain.contains(path) || chain.len() >= DEPTH_LIMIT {
                let message = format!("files include each other: {} → {path}", chain.join(" → "));
                self.add(Code::FileCircle, &view.node.at, &view.path, message);
                return None;
            }
            let text = self.required_text(path, view)?;
            chain.push(path.clone());
            let role = Role { path, base_dir: &base_dir, variables: &variables };
            let node = self.whole_file(text, &role, chain);
            chain.pop();
            let node = node?;
            whole = Some(match whole {
                Some(earlier) => merge(earlier, node, &[]),
                None => node,
            });
        }
        whole
    }

    /// Variables for an included file: those of the whole, then those of its own files.
    fn include_variables(
        &mut self,
        view: &View<'_>,
        base_dir: &str,
        outer: &BTreeMap<String, String>,
    ) -> Option<BTreeMap<String, String>> {
        let mut variables = outer.clone();
        let mut files: Vec<(String, &'a str)> = Vec::new();
        match view.get("env_file") {
            Some(named) => {
                for path in self.texts(&named) {
                    // The way to say that there is none, not even the `.env` beside the file.
                    if path == "/dev/null" {
                        continue;
                    }
                    let path = self.inside(&named, &path, "an `env_file`")?;
                    let text = self.required_text(&path, &named)?;
                    files.push((path, text));
                }
            }
            None => {
                if let Location::Inside(path) = self.locate_from(base_dir, ".env") {
                    match self.text_of(&path) {
                        Text::Here(text) => files.push((path, text)),
                        Text::NotThere => {}
                        Text::Unknown => return None,
                    }
                }
            }
        }
        for (path, text) in files {
            let file = env_file::read(text, Named::Filled(&|name| variables.get(name).cloned()));
            self.env_mistakes((&path, text), &file);
            for line in file.lines {
                let Some(value) = line.value else { continue };
                variables.entry(line.name).or_insert(value);
            }
        }
        Some(variables)
    }

    /// Adds the resources of an included file to those of others.
    fn import(&mut self, root: &mut Node, other: Node, twice: Twice) {
        let at = root.at.clone();
        let Value::Map(sections) = &mut root.value else { return };
        let Value::Map(imported) = other.value else { return };
        for section in imported {
            if !SECTIONS.contains(&section.key.as_str()) {
                continue;
            }
            let Some(own) = sections.iter_mut().find(|entry| entry.key == section.key) else {
                sections.push(section);
                continue;
            };
            if own.node.is_null() {
                own.node = Node::of_map(at.clone(), Vec::new());
            }
            let Value::Map(own) = &mut own.node.value else { continue };
            let Value::Map(resources) = section.node.value else { continue };
            let names = own.iter().enumerate().map(|(index, entry)| (entry.key.clone(), index));
            let names: HashMap<String, usize> = names.collect();
            for resource in resources {
                let known = names.get(&resource.key).map(|index| &mut own[*index]);
                match known {
                    None => own.push(resource),
                    Some(known) if is_same(&known.node, &resource.node) => {}
                    Some(known) if twice == Twice::Override => {
                        let empty = Node::of_map(known.node.at.clone(), Vec::new());
                        let over = std::mem::replace(&mut known.node, empty);
                        let path = [section.key.as_str(), resource.key.as_str()];
                        known.node = merge(resource.node, over, &path);
                    }
                    Some(known) => {
                        let path = format!("{}.{}", section.key, resource.key);
                        let message =
                            format!("`{}` is declared in two included files", resource.key);
                        let at = known.key_at.clone();
                        self.add(Code::Conflict, &at, &path, message)
                            .hint("give one of them another name, or include them as one (`include: [{path: [a.yaml, override.yaml]}]`): then the later one overrides");
                    }
                }
            }
        }
    }
}

/// What is right when a resource is declared twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Twice {
    /// Neither of two included files has the last word.
    Conflict,
    /// The file that includes another one overrides parts of what that one declares.
    Override,
}

/// Whether two values say the same.
fn is_same(one: &Node, two: &Node) -> bool {
    match (&one.value, &two.value) {
        (Value::Scalar(one), Value::Scalar(two)) => one.text == two.text,
        (Value::List(one), Value::List(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| is_same(one, two))
        }
        (Value::Map(one), Value::Map(two)) => {
            one.len() == two.len()
                && one
                    .iter()
                    .zip(two)
                    .all(|(one, two)| one.key == two.key && is_same(&one.node, &two.node))
        }
        _ => false,
    }
}
