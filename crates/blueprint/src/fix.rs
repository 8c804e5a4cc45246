//! The smallest change of a file after which nothing has to be repaired.
//!
//! A patch is kept only if the file then reads with fewer findings and declares exactly the same.
//! Comments and layout stay, because patches replace words and move lines and nothing else.

use similar::TextDiff;

use crate::blueprint::Blueprint;
use crate::finding::{Code, Edit, Finding, Mode, Severity};
use crate::read::{ReadOptions, read};

/// Most rounds. Each takes at least one finding away; real files need three.
const ROUND_LIMIT: usize = 64;
/// Most readings of one call: a bound on the time that a hostile file can cost.
const READING_LIMIT: usize = 600;

/// A mended file.
#[derive(Debug, Clone)]
pub struct Fixed {
    /// The new text; equal to the old one where nothing could be mended.
    pub text: String,
    /// Findings that are gone, with positions in the text that each was found in.
    pub applied: Vec<Finding>,
    /// Findings that are left, with positions in the new text.
    pub remaining: Vec<Finding>,
}

/// Mends what can be mended without changing what the file means.
#[must_use]
pub fn fix(text: &str, options: &ReadOptions) -> Fixed {
    let options = ReadOptions { mode: Mode::Tolerant, ..options.clone() };
    let again = |text: &str| {
        let reading = read(text, &options);
        Some(Understood { blueprint: reading.blueprint, problems: reading.problems })
    };
    mend(text, &again)
}

/// Mends a text by its findings. `read` reads it again; `None` where that cannot be done.
pub(crate) fn mend(text: &str, read: &dyn Fn(&str) -> Option<Understood>) -> Fixed {
    let mut applied = Vec::new();
    let Some(reading) = read(text) else {
        return Fixed { text: text.to_owned(), applied, remaining: Vec::new() };
    };
    let mut mender = Mender { read, readings: 0 };
    let mut current = State { text: text.to_owned(), reading };
    for _ in 0..ROUND_LIMIT {
        let candidates = candidates(&current.reading);
        let before = applied.len();
        current = mender.apply(current, &candidates, &mut applied);
        if applied.len() == before {
            break;
        }
    }
    Fixed { text: current.text, applied, remaining: current.reading.problems }
}

/// The difference between two texts in the form that `patch` and `git apply` take.
#[must_use]
pub fn unified_diff(old: &str, new: &str, file_name: &str) -> String {
    TextDiff::from_lines(old, new)
        .unified_diff()
        .context_radius(3)
        .header(&format!("a/{file_name}"), &format!("b/{file_name}"))
        .to_string()
}

/// What a reading says of a text.
pub(crate) struct Understood {
    /// What it declares; `None` when it cannot be run.
    pub(crate) blueprint: Option<Blueprint>,
    /// All that was found.
    pub(crate) problems: Vec<Finding>,
}

impl Understood {
    fn errors(&self) -> usize {
        self.problems.iter().filter(|finding| finding.severity == Severity::Error).count()
    }
}

struct State {
    text: String,
    reading: Understood,
}

struct Mender<'r> {
    read: &'r dyn Fn(&str) -> Option<Understood>,
    readings: usize,
}

/// Findings with a patch. While the text is no YAML, only what makes it so.
fn candidates(reading: &Understood) -> Vec<Finding> {
    let is_layout = |finding: &&Finding| {
        matches!(finding.code, Code::Indentation | Code::Tabs | Code::Unquoted | Code::MissingSpace)
    };
    let patched = || reading.problems.iter().filter(|finding| finding.repair.is_some());
    let layout: Vec<Finding> = patched().filter(is_layout).cloned().collect();
    if layout.is_empty() { patched().cloned().collect() } else { layout }
}

impl Mender<'_> {
    /// Applies all patches together, or, where that does not help, each half on its own.
    fn apply(&mut self, state: State, findings: &[Finding], applied: &mut Vec<Finding>) -> State {
        if findings.is_empty() || self.readings >= READING_LIMIT {
            return state;
        }
        let (chosen, edits) = compatible(findings);
        let text = patched(&state.text, &edits);
        self.readings += 1;
        let reading = (self.read)(&text).filter(|reading| is_better(&state.reading, reading));
        if let Some(reading) = reading.filter(|_| text != state.text) {
            applied.extend(chosen.into_iter().cloned());
            return State { text, reading };
        }
        if findings.len() == 1 {
            return state;
        }
        let (left, right) = findings.split_at(findings.len() / 2);
        let before = applied.len();
        let state = self.apply(state, left, applied);
        // After a change the other half's positions are stale; the next round looks again.
        if applied.len() > before { state } else { self.apply(state, right, applied) }
    }
}

/// Fewer findings, no more errors, and the same meaning.
fn is_better(old: &Understood, new: &Understood) -> bool {
    let means_the_same = match (&old.blueprint, &new.blueprint) {
        (Some(old), Some(new)) => old.means_the_same_as(new),
        (Some(_), None) => false,
        (None, _) => true,
    };
    means_the_same && new.problems.len() < old.problems.len() && new.errors() <= old.errors()
}

/// The findings whose edits do not touch each other, in order.
fn compatible(findings: &[Finding]) -> (Vec<&Finding>, Vec<Edit>) {
    let mut chosen = Vec::new();
    let mut edits: Vec<Edit> = Vec::new();
    for finding in findings {
        let Some(patch) = &finding.repair else { continue };
        let touches = |edit: &Edit| {
            edits.iter().any(|known| {
                *known != *edit
                    && (edit.bytes.start < known.bytes.end && known.bytes.start < edit.bytes.end
                        || edit.bytes.start == known.bytes.start
                        || (edit.bytes.is_empty()
                            && known.bytes.end == edit.bytes.start
                            && !known.bytes.is_empty()
                            && known.replacement.is_empty()))
            })
        };
        if !patch.edits.iter().any(touches) {
            let new: Vec<Edit> =
                patch.edits.iter().filter(|edit| !edits.contains(edit)).cloned().collect();
            edits.extend(new);
            chosen.push(finding);
        }
    }
    (chosen, edits)
}

fn patched(text: &str, edits: &[Edit]) -> String {
    let mut edits: Vec<&Edit> = edits.iter().collect();
    edits.sort_by_key(|edit| (edit.bytes.start, edit.bytes.end));
    let mut result = String::with_capacity(text.len() + 64);
    let mut from = 0;
    for edit in edits {
        if edit.bytes.start < from {
            continue;
        }
        result.push_str(text.get(from..edit.bytes.start).unwrap_or_default());
        result.push_str(&edit.text(text));
        from = edit.bytes.end;
    }
    result.push_str(text.get(from..).unwrap_or_default());
    result
}
