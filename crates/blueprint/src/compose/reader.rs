//! What the parts of the reader share: the files, and everything found so far.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::Treatment;
use crate::code::Code;
use crate::finding::{Finding, Severity};
use crate::source::Source;

use super::node::{At, Node};
use super::{Input, Missing};

/// Most values of all files together, aliases and `extends` followed.
const NODE_LIMIT: usize = 400_000;
/// Shortest value of a variable that is kept out of messages; shorter ones are part of many words.
const SECRET_BYTES: usize = 4;
/// Most text of all values together.
const TEXT_LIMIT_BYTES: usize = 32 * 1024 * 1024;
/// Most files of one project, each reading of one counted.
pub(crate) const FILE_LIMIT: usize = 256;

/// Most findings that are kept while reading.
const STORED_LIMIT: usize = 20_000;
/// Most findings of one reading; nobody reads more.
const FINDING_LIMIT: usize = 500;
/// Names that one note lists.
const SHOWN_NAMES: usize = 12;

/// A file that was read.
#[derive(Debug)]
pub(crate) struct File<'a> {
    /// Its path relative to the project's root.
    pub(crate) path: String,
    /// The directory that paths in it are relative to.
    pub(crate) base_dir: String,
    pub(crate) source: Source<'a>,
}

/// A field that a file has.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) at: At,
    pub(crate) value: String,
    pub(crate) treatment: Treatment,
    pub(crate) why: &'static str,
}

/// Findings that say the same in several places.
#[derive(Debug)]
struct Group {
    path: String,
    places: BTreeSet<At>,
    hint: Option<&'static str>,
}

/// The reader at work.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) input: &'a Input,
    pub(crate) files: Vec<File<'a>>,
    /// Files that the caller has to look up.
    pub(crate) needs: BTreeSet<String>,
    pub(crate) missing: BTreeMap<String, Missing>,
    /// Values that were filled in, with their variables: no finding shows them.
    filled: BTreeMap<String, String>,
    /// Whether a service could not be joined with what it extends: it lacks parts for that reason.
    pub(crate) lacks_parents: bool,
    /// Services of other files that were read for `extends`, by file.
    pub(crate) bases: BTreeMap<String, Option<std::rc::Rc<Node>>>,
    /// What services ask for and no instance is given, in the order in which it was found.
    pub(crate) refusals: Vec<String>,
    /// Whether nothing is left of the project without the services that are left out.
    pub(crate) nothing_is_left: bool,
    findings: Vec<Finding>,
    /// The last finding that there was no room for.
    surplus: Option<Finding>,
    groups: BTreeMap<(Code, String), Group>,
    seen: Vec<Seen>,
    nodes: usize,
    text_bytes: usize,
    is_exhausted: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(input: &'a Input) -> Self {
        Self {
            input,
            files: Vec::new(),
            needs: BTreeSet::new(),
            missing: BTreeMap::new(),
            filled: BTreeMap::new(),
            lacks_parents: false,
            bases: BTreeMap::new(),
            refusals: Vec::new(),
            nothing_is_left: false,
            findings: Vec::new(),
            surplus: None,
            groups: BTreeMap::new(),
            seen: Vec::new(),
            nodes: 0,
            text_bytes: 0,
            is_exhausted: false,
        }
    }

    /// The value of a variable, as texts of files see it.
    pub(crate) fn variable(
        &mut self,
        name: &str,
        variables: &BTreeMap<String, String>,
    ) -> Option<String> {
        let value = match (variables.get(name), name) {
            (Some(value), _) => value.clone(),
            (None, "COMPOSE_PROJECT_NAME") => self.input.project_name.clone(),
            (None, "HOME") => self.input.home_dir.clone()?,
            (None, "PWD") => self.input.root_dir.clone()?,
            (None, _) => return None,
        };
        if value.len() >= SECRET_BYTES {
            self.filled.insert(value.clone(), name.to_owned());
        }
        Some(value)
    }

    /// A message without the values of variables: what is quoted shows their names.
    fn without_values(&self, text: &str) -> String {
        if self.filled.is_empty() || !text.contains('`') {
            return text.to_owned();
        }
        let parts = text
            .split('`')
            .enumerate()
            .map(|(index, part)| if index % 2 == 0 { part.to_owned() } else { self.veiled(part) });
        parts.collect::<Vec<_>>().join("`")
    }

    /// A text with values replaced by the names of their variables, the longest first.
    fn veiled(&self, text: &str) -> String {
        let mut text = text.to_owned();
        let mut values: Vec<(&String, &String)> =
            self.filled.iter().filter(|(value, _)| text.contains(value.as_str())).collect();
        values.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        for (value, name) in values {
            text = text.replace(value.as_str(), &format!("${{{name}}}"));
        }
        text
    }

    /// Adds a finding; its weight follows from the mode.
    pub(crate) fn add(&mut self, code: Code, at: &At, path: &str, message: String) -> &mut Finding {
        if is_refusal(code) {
            self.refusals.push(message.clone());
        }
        let finding = self.finding(code, at, path, message);
        let index = self.findings.len();
        if index < STORED_LIMIT {
            self.findings.push(finding);
            return &mut self.findings[index];
        }
        if finding.severity == Severity::Error {
            self.findings[index - 1] = finding;
            return &mut self.findings[index - 1];
        }
        self.surplus.insert(finding)
    }

    /// Adds a finding that stands once for all places that it is made for.
    pub(crate) fn group(&mut self, code: Code, at: &At, path: &str, message: String) {
        self.group_with(code, at, path, message, None);
    }

    pub(crate) fn group_with(
        &mut self,
        code: Code,
        at: &At,
        path: &str,
        message: String,
        hint: Option<&'static str>,
    ) {
        let empty = || Group { path: path.to_owned(), places: BTreeSet::new(), hint };
        let group = self.groups.entry((code, message)).or_insert_with(empty);
        group.places.insert(at.clone());
    }

    fn finding(&self, code: Code, at: &At, path: &str, message: String) -> Finding {
        let (span, file) = match self.files.get(at.file) {
            Some(file) => {
                let text = file.source.slice(&(at.start..at.end));
                let end = at.start + text.trim_end().len();
                (file.source.span(at.start..end.max(at.start)), file.path.clone())
            }
            None => (Source::new("").span(0..0), String::new()),
        };
        Finding {
            severity: code.severity(self.input.mode),
            code,
            message: self.without_values(&message),
            file: Some(file),
            span,
            path: self.veiled(path),
            hint: None,
            repair: None,
        }
    }

    pub(crate) fn seen(&mut self, seen: Seen) {
        self.seen.push(seen);
    }

    /// Counts values and their text. `false` when there are too many; that is said once.
    pub(crate) fn afford(&mut self, at: &At, nodes: usize, text_bytes: usize) -> bool {
        self.nodes = self.nodes.saturating_add(nodes);
        self.text_bytes = self.text_bytes.saturating_add(text_bytes);
        if self.nodes <= NODE_LIMIT && self.text_bytes <= TEXT_LIMIT_BYTES {
            return true;
        }
        if !self.is_exhausted {
            self.is_exhausted = true;
            let message = "the files hold more than any real project, aliases, `extends` and variables followed";
            self.add(Code::TooMuch, at, "", message.to_owned())
                .hint("look for aliases of aliases, and services that extend each other");
        }
        false
    }

    /// Whether an error was found.
    pub(crate) fn has_error(&self) -> bool {
        let is_error = |code: Code| code.severity(self.input.mode) == Severity::Error;
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
            || self.groups.keys().any(|(code, _)| is_error(*code))
    }

    /// Everything found, by file and place.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let mut findings = self.findings.clone();
        findings.extend(self.unset());
        for ((code, message), group) in &self.groups {
            let Some(first) = group.places.first() else { continue };
            let message = match group.places.len() {
                1 => message.clone(),
                count => format!("{message} ({count} places)"),
            };
            let mut finding = self.finding(*code, first, &group.path, message);
            finding.hint = group.hint.map(str::to_owned);
            findings.push(finding);
        }
        let rank = |finding: &Finding| {
            let file = finding.file.as_deref();
            self.files.iter().position(|known| Some(known.path.as_str()) == file)
        };
        findings.sort_by_key(|finding| (rank(finding), finding.span.bytes.start, finding.severity));
        // A file may be read in several roles, and an alias in several places.
        let mut known = BTreeSet::new();
        findings.retain(|finding| {
            let span = &finding.span.bytes;
            let file = finding.file.clone();
            known.insert((finding.code, file, span.start, span.end, finding.message.clone()))
        });
        for finding in &mut findings {
            if self.nothing_is_left
                && (is_refusal(finding.code) || finding.code == Code::ServiceLeftOut)
            {
                finding.severity = Severity::Error;
            }
            finding.hint = finding.hint.take().map(|hint| self.without_values(&hint));
        }
        if findings.len() > FINDING_LIMIT {
            // What decides about the file stays.
            findings.sort_by_key(|finding| finding.severity);
            findings.truncate(FINDING_LIMIT);
        }
        findings
    }

    /// Variables without value and default, said once for all of them.
    fn unset(&self) -> Option<Finding> {
        let unset: Vec<&Missing> =
            self.missing.values().filter(|missing| !missing.is_required).collect();
        let first = unset.iter().min_by_key(|missing| {
            let file = self.files.iter().position(|file| file.path == missing.file);
            (file, missing.span.bytes.start)
        })?;
        let names: Vec<String> =
            unset.iter().take(SHOWN_NAMES).map(|missing| format!("`{}`", missing.name)).collect();
        let message = match unset.len() {
            1 => format!("the variable {} has no value and no default", names[0]),
            count if count > SHOWN_NAMES => {
                format!("{count} variables have no value and no default: {} …", names.join(", "))
            }
            count => {
                format!("{count} variables have no value and no default: {}", names.join(", "))
            }
        };
        Some(Finding {
            severity: Code::VariableUnset.severity(self.input.mode),
            code: Code::VariableUnset,
            message,
            file: Some(first.file.clone()),
            span: first.span.clone(),
            path: String::new(),
            hint: Some("write them into `.env` beside the compose file, or give defaults: `${NAME:-default}`".to_owned()),
            repair: None,
        })
    }

    /// The fields of all files, in their order.
    pub(crate) fn fields(&self) -> Vec<&Seen> {
        let mut seen: Vec<&Seen> = self.seen.iter().collect();
        seen.sort_by_key(|seen| &seen.at);
        seen.dedup_by(|one, two| one.at == two.at && one.path == two.path);
        seen
    }
}

/// Whether a finding leaves out the service that it is about.
fn is_refusal(code: Code) -> bool {
    matches!(code, Code::FieldRefused | Code::HostPath)
}
