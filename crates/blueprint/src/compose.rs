//! Compose files to the same [`Blueprint`] as a `render.yaml`, with all problems at once.
//!
//! # How it works
//! 1. Each file becomes a tree whose variables are filled in (`load`, `interpolate`). A table of
//!    every field (`fields`) renames misspelled keys and names what has no meaning here.
//! 2. `extends` and `include` are followed and the files merged (`project`, `merge`).
//! 3. The merged tree is compiled (`compile`): services, managed stores, references, circles.
//!
//! Files that are named by others are not read here: [`Reading::needs`] lists them, the caller looks
//! them up and calls again.
//!
//! # Limits
//! Pure: no files, no network, no clock. Size, number and nesting of files, of what aliases,
//! `extends` and variables make of them, and of ranges of ports are bounded. No finding holds the
//! value of a variable: findings show what the author wrote.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::blueprint::Blueprint;
use crate::env_file::{self, Named};
use crate::explain::Explanation;
use crate::finding::{Finding, Mode, Severity, Span};
use crate::source::Source;

mod build;
mod compile;
mod container;
mod deploy;
mod environment;
mod extension;
mod fields;
mod files;
mod fix;
mod health;
pub(crate) mod interpolate;
mod left_out;
mod load;
mod merge;
mod networks;
mod node;
mod paths;
mod ports;
mod pre_start;
mod project;
mod reader;
mod scalars;
mod service;
mod stores;
mod volumes;

pub use fix::{Fixed, fix};

use node::{At, View};
use reader::Reader;

/// Names of compose files, in the order in which they are looked for.
const DEFAULT_NAMES: [&str; 4] =
    ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];

/// What a reading is made of.
#[derive(Clone)]
pub struct Input {
    /// Compose files, each with its path relative to the project's root, in the order of `-f`.
    pub files: Vec<(String, String)>,
    /// Files that [`Reading::needs`] asked for; `None` where there is none.
    pub more_files: BTreeMap<String, Option<String>>,
    /// Variables that are filled in: those of `.env`, and given ones.
    pub variables: BTreeMap<String, String>,
    /// Profiles that are asked for; `*` is all of them.
    pub profiles: Vec<String>,
    /// The project's name where the files give none.
    pub project_name: String,
    /// Which verdict is asked for.
    pub mode: Mode,
    /// Whether data images run as they are, never as managed stores.
    pub use_images: bool,
    /// Whether paths of the host outside the project may be mounted.
    pub allow_host_paths: bool,
    /// The project's root on the host, absolute; absolute paths below it are the project's.
    pub root_dir: Option<String>,
    /// What `~` means.
    pub home_dir: Option<String>,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.files.iter().map(|(path, _)| path.as_str()).collect();
        formatter
            .debug_struct("Input")
            .field("files", &names)
            .field("more_files", &self.more_files.keys())
            .field("variables", &self.variables.keys())
            .field("profiles", &self.profiles)
            .field("project_name", &self.project_name)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl Input {
    /// One file, read tolerantly, with nothing else given.
    #[must_use]
    pub fn of(path: &str, text: &str) -> Self {
        Self {
            files: vec![(path.to_owned(), text.to_owned())],
            more_files: BTreeMap::new(),
            variables: BTreeMap::new(),
            profiles: Vec::new(),
            project_name: "project".to_owned(),
            mode: Mode::Tolerant,
            use_images: false,
            allow_host_paths: false,
            root_dir: None,
            home_dir: None,
        }
    }

    /// The text of a file, by its path; empty where there is none.
    #[must_use]
    pub fn text(&self, path: &str) -> &str {
        let own = self.files.iter().find(|(known, _)| known == path);
        let other = || self.more_files.get(path).and_then(Option::as_deref);
        own.map(|(_, text)| text.as_str()).or_else(other).unwrap_or_default()
    }
}

/// What reading gave.
#[derive(Debug, Clone, Serialize)]
pub struct Reading {
    /// What the files declare; `None` when there is an error, or files are needed.
    pub blueprint: Option<Blueprint>,
    /// All that was found, by file and place; empty while files are needed.
    pub problems: Vec<Finding>,
    /// Files to look up and put into [`Input::more_files`], relative to the project's root.
    pub needs: Vec<String>,
    /// Variables that have neither value nor default, by name.
    pub missing: Vec<Missing>,
}

/// A variable without a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Its name.
    pub name: String,
    /// Whether the file says that nothing runs without it (`${NAME:?}`).
    pub is_required: bool,
    /// The file that names it first.
    pub file: String,
    /// Where it does so.
    pub span: Span,
}

impl Reading {
    /// Whether the files can be run as they were understood.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.blueprint.is_some()
    }

    /// The same, refused for what was found before: in the `.env` that the variables come from.
    #[must_use]
    pub fn refused_by(mut self, mut findings: Vec<Finding>) -> Self {
        if !findings.is_empty() {
            self.blueprint = None;
            findings.append(&mut self.problems);
            self.problems = findings;
        }
        self
    }

    /// How many findings have a severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Whether nothing had to be repaired and nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems.iter().all(|finding| finding.severity == Severity::Note)
    }
}

/// The compose files of a directory when none are named: the first of the usual names, and the
/// override beside it. `listing` holds the names in the directory.
#[must_use]
pub fn default_files(listing: &[&str]) -> Vec<String> {
    let Some(main) = DEFAULT_NAMES.iter().find(|name| listing.contains(name)) else {
        return Vec::new();
    };
    let (stem, _) = main.rsplit_once('.').unwrap_or((main, ""));
    let others = ["yml", "yaml"].map(|end| format!("{stem}.override.{end}"));
    let other = others.into_iter().find(|name| listing.contains(&name.as_str()));
    std::iter::once((*main).to_owned()).chain(other).collect()
}

/// The variables of a project's `.env` of this path, those of `known` filled in where it names them.
///
/// # Errors
/// A finding for each line that is not understood.
pub fn read_env_file(
    path: &str,
    text: &str,
    known: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Vec<Finding>> {
    env_file::read(text, Named::Filled(&|name| known.get(name).cloned())).variables(path)
}

/// Reads compose files. Never panics, whatever their texts, and reports every problem at once.
#[must_use]
pub fn read(input: &Input) -> Reading {
    let (reading, _) = run(input);
    reading
}

/// Files name files that name files, so often at most: each time the reader asks for more of them.
pub const ROUNDS_MAX: usize = 8;

/// What is wrong when the reader still asks for files after [`ROUNDS_MAX`] times.
#[must_use]
pub fn too_deep(input: &Input, needs: &[String]) -> Finding {
    let (file, text) = input.files.first().map_or(("", ""), |(file, text)| (file, text));
    let needed = needs.first().map_or("a file", String::as_str);
    Finding {
        severity: Severity::Error,
        code: crate::Code::TooMuch,
        message: format!("`{needed}` is named over more than {ROUNDS_MAX} other files"),
        file: Some(file.to_owned()),
        span: Source::new(text).span(0..0),
        path: String::new(),
        hint: Some("let the compose files include it directly".to_owned()),
        repair: None,
    }
}

/// How every field of the files is treated, and why, in their order.
#[must_use]
pub fn explain(input: &Input) -> Vec<Explanation> {
    let (_, explanations) = run(input);
    explanations
}

/// Shows a finding with its line; see [`crate::render`].
#[must_use]
pub fn render(finding: &Finding, input: &Input, style: Option<&str>) -> String {
    let file = finding.file.as_deref().unwrap_or_default();
    crate::render(finding, input.text(file), file, style)
}

fn run(input: &Input) -> (Reading, Vec<Explanation>) {
    let mut reader = Reader::new(input);
    let root = reader.project();
    let blueprint = root.as_ref().map(|root| {
        let mut blueprint = reader.compile(root);
        blueprint.spans = spans(&reader, root);
        blueprint
    });
    let is_broken = root.is_none() && reader.needs.is_empty();
    if is_broken && !reader.has_error() {
        let start = At { file: 0, start: 0, end: 0 };
        let message = "there is no compose file to read".to_owned();
        reader.add(crate::Code::EmptyFile, &start, "", message);
    }
    let needs: Vec<String> = reader.needs.iter().cloned().collect();
    let is_waiting = !needs.is_empty();
    let problems = if is_waiting { Vec::new() } else { reader.findings() };
    let is_refused = problems.iter().any(|finding| finding.severity == Severity::Error);
    let explanations = reader.fields().into_iter().map(|seen| explanation(&reader, seen)).collect();
    let reading = Reading {
        blueprint: blueprint.filter(|_| !is_refused && !is_waiting),
        problems,
        needs,
        missing: reader.missing.into_values().collect(),
    };
    (reading, explanations)
}

fn explanation(reader: &Reader<'_>, seen: &reader::Seen) -> Explanation {
    let file = &reader.files[seen.at.file];
    Explanation {
        path: seen.path.clone(),
        file: Some(file.path.clone()),
        span: file.source.span(seen.at.start..seen.at.end),
        value: seen.value.clone(),
        treatment: seen.treatment,
        why: seen.why.to_owned(),
    }
}

/// Where the services stand.
fn spans(reader: &Reader<'_>, root: &node::Node) -> BTreeMap<String, Span> {
    let Some(services) = root.get("services") else { return BTreeMap::new() };
    View::new(services, "services")
        .entries()
        .filter_map(|(entry, view)| {
            let at = &entry.key_at;
            Some((view.path, reader.files.get(at.file)?.source.span(at.start..at.end)))
        })
        .collect()
}
