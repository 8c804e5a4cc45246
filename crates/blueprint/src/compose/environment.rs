//! `environment` and `env_file`.

use std::collections::HashMap;

use model::text::{NameFault, check_variable_name};
use model::{EnvSource, EnvVar};

use crate::code::Code;
use crate::env_file::{self, EnvFile, Named};
use crate::source::Source;

use super::node::{At, View};
use super::project::Text;
use super::reader::{File, Reader};

impl<'a> Reader<'a> {
    /// The variables of a service: those of its files, then its own, which win.
    pub(crate) fn environment(&mut self, service: &View<'_>) -> Vec<EnvVar> {
        let mut variables = Variables::default();
        if let Some(files) = service.get("env_file") {
            for (key, value) in self.env_files(&files) {
                if let Err(fault) = check_variable_name(&key) {
                    self.bad_variable(fault, &files.node.at, &files.path);
                    continue;
                }
                let source = self.given(&key, value, false, (&files.node.at, &files.path));
                variables.set(key, source);
            }
        }
        if let Some(own) = service.get("environment") {
            for pair in self.pairs(&own) {
                if let Err(fault) = check_variable_name(&pair.key) {
                    self.bad_variable(fault, &pair.key_at, &own.path);
                    continue;
                }
                let place = (&own.node.at, own.path.as_str());
                let source = self.given(&pair.key, pair.value, pair.is_unset, place);
                variables.set(pair.key, source);
            }
        }
        variables.env
    }

    fn bad_variable(&mut self, fault: NameFault, at: &At, path: &str) {
        let message = format!("this cannot be the name of a variable: {fault}");
        self.add(Code::BadName, at, path, message)
            .hint("names of variables hold no blank, no line break, no quote and no `=`");
    }

    /// A value, or where it comes from when the file has none.
    fn given(
        &mut self,
        key: &str,
        value: Option<String>,
        is_unset: bool,
        (at, path): (&At, &str),
    ) -> EnvSource {
        match value {
            Some(_) if is_unset => EnvSource::Ask,
            Some(value) => EnvSource::Literal(value),
            None => match self.input.variables.get(key) {
                Some(value) => EnvSource::Literal(value.clone()),
                None => {
                    let message = format!(
                        "the variable `{key}` has no value; it stays unset until it is given one"
                    );
                    self.group(Code::KeyOnly, at, path, message);
                    EnvSource::Ask
                }
            },
        }
    }

    fn env_files(&mut self, view: &View<'_>) -> Vec<(String, Option<String>)> {
        let items: Vec<View<'_>> = match view.node.list() {
            Some(_) => view.items().collect(),
            None => vec![view.clone()],
        };
        let mut found = Vec::new();
        for item in items {
            let path = match item.get("path") {
                Some(path) => self.text(&path),
                None => self.text(&item),
            };
            let Some(path) = path.filter(|path| !path.is_empty()) else { continue };
            let required = item.get("required").and_then(|view| self.boolean(&view));
            let Some(path) = self.inside(&item, &path, "an `env_file`") else { continue };
            let is_raw = item.get("format").and_then(|view| self.text(&view));
            let is_raw = is_raw.is_some_and(|format| format == "raw");
            match self.text_of(&path) {
                Text::Here(text) => found.extend(self.env_lines((&path, text), is_raw, &item)),
                Text::NotThere if required == Some(false) => {}
                Text::NotThere => {
                    let message = format!("there is no file `{path}`");
                    self.add(Code::FileNotThere, &item.node.at, &item.path, message)
                        .hint("make it (often by copying an `.env.example`), or write `{path: …, required: false}`");
                }
                Text::Unknown => {}
            }
        }
        found
    }

    fn env_lines(
        &mut self,
        (path, text): (&str, &'a str),
        is_raw: bool,
        view: &View<'_>,
    ) -> Vec<(String, Option<String>)> {
        if !self.afford(&view.node.at, text.lines().count(), text.len()) {
            return Vec::new();
        }
        if is_raw {
            let pairs = text.lines().filter(|line| !line.trim_start().starts_with('#'));
            return pairs
                .filter_map(|line| line.split_once('='))
                .map(|(name, value)| (name.trim().to_owned(), Some(value.to_owned())))
                .collect();
        }
        let variables = &self.input.variables;
        let file = env_file::read(text, Named::Filled(&|name| variables.get(name).cloned()));
        self.env_mistakes((path, text), &file);
        for line in &file.lines {
            for name in &line.unset {
                self.miss(name, false, &view.node.at);
            }
            for name in &line.required {
                self.needs_value(name, "", &view.node.at);
            }
        }
        file.lines.into_iter().map(|line| (line.name, line.value)).collect()
    }

    /// Names what is not understood in a file of variables.
    pub(crate) fn env_mistakes(&mut self, (path, text): (&str, &'a str), file: &EnvFile) {
        if file.mistakes.is_empty() {
            return;
        }
        let index = self.files.len();
        self.files.push(File {
            path: path.to_owned(),
            base_dir: String::new(),
            source: Source::new(text),
        });
        for mistake in &file.mistakes {
            let at = At::new(index, &mistake.bytes());
            self.add(Code::EnvFileLine, &at, "", mistake.message.to_owned()).hint(env_file::HINT);
        }
    }
}

/// Variables in the order of their first mention; the last value of each counts.
#[derive(Default)]
pub(crate) struct Variables {
    pub(crate) env: Vec<EnvVar>,
    index: HashMap<String, usize>,
}

impl Variables {
    pub(crate) fn set(&mut self, key: String, source: EnvSource) {
        match self.index.get(&key) {
            Some(at) => self.env[*at].source = source,
            None => {
                self.index.insert(key.clone(), self.env.len());
                self.env.push(EnvVar { key, source, preview_value: None });
            }
        }
    }
}
