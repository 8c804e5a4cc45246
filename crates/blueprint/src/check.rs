//! The checks: a tree against the format, everything that is wrong collected.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::catalog::{Field, Place};
use crate::finding::{Code, Finding, Mode, Span};
use crate::read::ReadOptions;
use crate::source::Source;

mod env;
mod fields;
mod patch;
mod reference;
mod root;
mod scalars;
mod server;
mod server_parts;
mod service;
mod stores;
mod target;
mod values;

pub(crate) use root::root;

/// A field that a file has.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) span: Span,
    /// Its value for a person; masked if it may be a secret.
    pub(crate) value: String,
    /// `None` for a field that does not exist.
    pub(crate) field: Option<&'static Field>,
}

/// What the checks share: the text, and everything found so far.
#[derive(Debug)]
pub(crate) struct Checker<'a> {
    pub(crate) source: &'a Source<'a>,
    mode: Mode,
    project_name: &'a str,
    findings: Vec<Finding>,
    seen: Vec<Seen>,
    spans: BTreeMap<String, Span>,
    /// Names that some `fromService` refers to as a Key Value instance.
    key_value_names: BTreeSet<String>,
    /// Names of workflows: a workspace has each once.
    workflows: BTreeSet<String>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(source: &'a Source<'a>, options: &'a ReadOptions) -> Self {
        Self {
            source,
            mode: options.mode,
            project_name: &options.project_name,
            findings: Vec::new(),
            seen: Vec::new(),
            spans: BTreeMap::new(),
            key_value_names: BTreeSet::new(),
            workflows: BTreeSet::new(),
        }
    }

    /// Adds a finding; its weight follows from the mode.
    pub(crate) fn add(
        &mut self,
        code: Code,
        bytes: Range<usize>,
        path: &str,
        message: String,
    ) -> &mut Finding {
        let bytes = self.without_blank_end(bytes);
        let index = self.findings.len();
        self.findings.push(Finding {
            severity: code.severity(self.mode),
            code,
            message,
            file: None,
            span: self.source.span(bytes),
            path: path.to_owned(),
            hint: None,
            repair: None,
        });
        &mut self.findings[index]
    }

    pub(crate) fn into_parts(self) -> (Vec<Finding>, Vec<Seen>, BTreeMap<String, Span>) {
        (self.findings, self.seen, self.spans)
    }

    fn is_strict(&self) -> bool {
        self.mode == Mode::Strict
    }

    /// Remembers where something stands.
    fn place(&mut self, path: &str, bytes: Range<usize>) {
        let span = self.source.span(self.without_blank_end(bytes));
        self.spans.insert(path.to_owned(), span);
    }

    /// Remembers a field for `explain`.
    fn saw(
        &mut self,
        path: &str,
        bytes: Range<usize>,
        value: String,
        field: Option<&'static Field>,
    ) {
        let span = self.source.span(bytes);
        self.seen.push(Seen { path: path.to_owned(), span, value, field });
    }

    /// Block scalars end where the next thing begins; people mean the end of the text.
    fn without_blank_end(&self, bytes: Range<usize>) -> Range<usize> {
        let text = self.source.slice(&bytes);
        bytes.start..bytes.start + text.trim_end().len()
    }
}

/// Whether a place holds values that may be secret.
fn is_secret(place: Place, name: &str) -> bool {
    place == Place::EnvVar && matches!(name, "value" | "previewValue")
}

/// `a, b or c`, each in backticks.
fn alternatives(options: &[&str]) -> String {
    let quoted: Vec<String> = options.iter().map(|option| format!("`{option}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}
