//! What the reader has to say about a file, and how it would mend it.

use std::ops::Range;

use serde::Serialize;

pub use crate::code::Code;

/// Which verdict is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Understand what the author evidently meant, and name each repair.
    Tolerant,
    /// What Render says.
    Strict,
}

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Severity {
    /// The file cannot be run as it is understood.
    Error,
    /// Understood, although it is not what the format says.
    Repair,
    /// Worth knowing; nothing was changed.
    Note,
}

/// A piece of the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Byte offsets into the text that was read.
    pub bytes: Range<usize>,
    /// Line of the first byte, from 1.
    pub line: usize,
    /// Column of the first byte in characters, from 1.
    pub column: usize,
}

/// One thing that the reader found.
///
/// No message, hint or patch ever holds the value of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it weighs in the mode that was asked for.
    pub severity: Severity,
    /// Its stable name.
    pub code: Code,
    /// A lower-case sentence without a full stop.
    pub message: String,
    /// The file that it is in, where several were read; `None` for a Blueprint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Where it is.
    pub span: Span,
    /// Where it is in the tree, such as `services[0].envVars[2].value`; empty for the whole file.
    pub path: String,
    /// What to do next.
    pub hint: Option<String>,
    /// How `fix` would change the text.
    pub repair: Option<Patch>,
}

impl Finding {
    /// Adds what to do next.
    pub(crate) fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds how the text would be mended.
    pub(crate) fn patch(&mut self, patch: impl Into<Option<Patch>>) -> &mut Self {
        self.repair = patch.into();
        self
    }
}

/// A change of the text: edits that do not touch each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Patch {
    /// The edits, by position.
    pub edits: Vec<Edit>,
}

/// One replaced piece of the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Edit {
    /// What is replaced; empty where something is inserted.
    pub bytes: Range<usize>,
    /// What stands there afterwards.
    pub replacement: Vec<Piece>,
}

/// A piece of a replacement. Text of the file is named, not copied, so that a patch holds no value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Piece {
    /// New text.
    Text(String),
    /// Lines of the file, moved to the right (or to the left, when negative) by some columns.
    Lines {
        /// Which bytes of the file.
        bytes: Range<usize>,
        /// Columns to add in front of each line that is not blank.
        shift: isize,
    },
}

impl Patch {
    /// Replaces some bytes.
    pub(crate) fn replace(bytes: Range<usize>, text: impl Into<String>) -> Self {
        Self { edits: vec![Edit::replace(bytes, text)] }
    }

    /// Inserts at one place.
    pub(crate) fn insert(at: usize, text: impl Into<String>) -> Self {
        Self::replace(at..at, text)
    }

    /// Puts a text before and another one behind some bytes.
    pub(crate) fn wrap(bytes: &Range<usize>, text: &str) -> Self {
        Self {
            edits: vec![
                Edit::replace(bytes.start..bytes.start, text),
                Edit::replace(bytes.end..bytes.end, text),
            ],
        }
    }
}

impl Edit {
    pub(crate) fn replace(bytes: Range<usize>, text: impl Into<String>) -> Self {
        let text = text.into();
        let replacement = if text.is_empty() { Vec::new() } else { vec![Piece::Text(text)] };
        Self { bytes, replacement }
    }

    /// The text that stands there afterwards.
    pub(crate) fn text(&self, source: &str) -> String {
        self.replacement.iter().map(|piece| piece.text(source)).collect()
    }
}

impl Piece {
    fn text(&self, source: &str) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Lines { bytes, shift } => {
                shifted(source.get(bytes.clone()).unwrap_or(""), *shift)
            }
        }
    }
}

/// A text whose lines are moved; a line never loses more than its own leading spaces.
fn shifted(text: &str, shift: isize) -> String {
    let mut result = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let blank = line.trim().is_empty();
        if shift >= 0 {
            if !blank {
                result.extend(std::iter::repeat_n(' ', shift.unsigned_abs()));
            }
            result.push_str(line);
        } else {
            let spaces = line.bytes().take_while(|byte| *byte == b' ').count();
            result.push_str(&line[spaces.min(shift.unsigned_abs())..]);
        }
    }
    result
}
