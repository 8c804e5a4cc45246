//! The way from text to [`Blueprint`].

use serde::Serialize;

use crate::blueprint::Blueprint;
use crate::check::{self, Checker, Seen};
use crate::code::Code;
use crate::finding::{Finding, Mode, Patch, Severity};
use crate::mend;
use crate::source::Source;
use crate::tree::{self, Documents, SyntaxError};

/// Largest text that is read: the limit of Render's validation.
pub const SIZE_LIMIT_BYTES: usize = 10 * 1024 * 1024;

/// How a text is to be read.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Which verdict is asked for.
    pub mode: Mode,
    /// What the file is called, for messages.
    pub file_name: String,
    /// The project of a file that declares none.
    pub project_name: String,
}

/// What reading gave.
#[derive(Debug, Clone, Serialize)]
pub struct Reading {
    /// What the file declares; `None` when there is an error.
    pub blueprint: Option<Blueprint>,
    /// All that was found, in the order of the text.
    pub problems: Vec<Finding>,
    #[serde(skip)]
    pub(crate) seen: Vec<Seen>,
}

impl Reading {
    /// Whether the file can be run as it was understood.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.blueprint.is_some()
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

/// Reads a Blueprint. Never panics, whatever the text, and reports every problem at once.
#[must_use]
pub fn read(text: &str, options: &ReadOptions) -> Reading {
    let source = Source::new(text);
    let mut checker = Checker::new(&source, options);
    if text.len() > SIZE_LIMIT_BYTES {
        checker
            .add(Code::TooLarge, 0..0, "", "the file is larger than 10 MB".to_owned())
            .hint("a Blueprint names what is to run; data belongs elsewhere");
        return finish(checker, None);
    }
    let documents = match tree::parse(text, &|offset| offset) {
        Ok(documents) => documents,
        Err(error) => match mended(&mut checker, &error) {
            Some(documents) => documents,
            None => return finish(checker, None),
        },
    };
    for (name, bytes) in &documents.unknown_aliases {
        checker
            .add(Code::UnknownAlias, bytes.clone(), "", format!("there is no anchor `&{name}`"))
            .hint("an anchor has to stand above its aliases; a text that begins with `*` needs quotes");
    }
    let blueprint = check::root(&mut checker, &documents.roots);
    finish(checker, Some(blueprint))
}

/// Mends the text, or says why it is no YAML.
fn mended(checker: &mut Checker<'_>, error: &SyntaxError) -> Option<Documents> {
    let Some(mended) = mend::mend(checker.source, error) else {
        let end = checker.source.line_bytes(checker.source.line_at(error.offset)).end;
        let bytes = error.offset..end.max(error.offset);
        let message = match error.code {
            Code::NotYaml => format!("this is not YAML: {}", error.message),
            _ => error.message.clone(),
        };
        let hint = hint_for(checker.source, error);
        checker.add(error.code, bytes, "", message).hint(hint);
        return None;
    };
    for mend in mended.mends {
        checker
            .add(mend.code, mend.bytes, "", mend.message)
            .hint(mend.hint)
            .patch(Patch { edits: mend.edits });
    }
    Some(mended.documents)
}

fn hint_for(source: &Source<'_>, error: &SyntaxError) -> &'static str {
    let line = source.line(source.line_at(error.offset)).trim_start();
    if line.starts_with("<<<<<<<") || line.starts_with("=======") || line.starts_with(">>>>>>>") {
        "a merge conflict was left in the file: resolve it"
    } else if line.starts_with("```") {
        "this is Markdown: keep only what stands between the fences"
    } else if line.starts_with('{') || line.starts_with('[') {
        "check that every bracket and brace is closed"
    } else {
        "check the indentation and the quotes of this line and of the one above"
    }
}

fn finish(checker: Checker<'_>, blueprint: Option<Blueprint>) -> Reading {
    let (mut problems, seen, spans) = checker.into_parts();
    problems.sort_by_key(|finding| (finding.span.bytes.start, finding.severity));
    // An alias is checked wherever it is used; what is wrong with it is said once.
    let mut known = std::collections::BTreeSet::new();
    problems.retain(|finding| {
        let span = &finding.span.bytes;
        known.insert((finding.code, span.start, span.end, finding.message.clone()))
    });
    let is_refused = problems.iter().any(|finding| finding.severity == Severity::Error);
    let blueprint =
        blueprint.filter(|_| !is_refused).map(|blueprint| Blueprint { spans, ..blueprint });
    Reading { blueprint, problems, seen }
}
