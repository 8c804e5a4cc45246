//! Small repairs of a text that is not YAML, made before it is read.
//!
//! Each repair changes the inside of lines only and never their number, so that every position can
//! be given in the text as the author wrote it. A repair is kept when the parser then gets past
//! the place that it stumbled over.

use std::ops::Range;

use crate::code::Code;
use crate::finding::{Edit, Piece};
use crate::source::Source;
use crate::tree::{self, Documents, SyntaxError};

mod candidates;

/// Larger texts are not mended: each attempt reads the whole text.
const SIZE_LIMIT_BYTES: usize = 256 * 1024;
/// Most repairs of one file.
const MEND_LIMIT: usize = 24;

/// One repair of the text.
#[derive(Debug, Clone)]
pub(crate) struct Mend {
    pub(crate) code: Code,
    /// Where to point.
    pub(crate) bytes: Range<usize>,
    pub(crate) message: String,
    pub(crate) hint: &'static str,
    /// In positions of the author's text.
    pub(crate) edits: Vec<Edit>,
}

/// A text that can be read, with what it took.
#[derive(Debug)]
pub(crate) struct Mended {
    pub(crate) documents: Documents,
    pub(crate) mends: Vec<Mend>,
}

/// Looks for repairs that make YAML of a text. `None` when there are none.
pub(crate) fn mend(source: &Source<'_>, first: &SyntaxError) -> Option<Mended> {
    if source.text.len() > SIZE_LIMIT_BYTES || first.code != Code::NotYaml {
        return None;
    }
    let mut mends: Vec<Mend> = Vec::new();
    let mut error = first.clone();
    while mends.len() < MEND_LIMIT {
        let (mend, next) = best(source, &mends, &error)?;
        mends.push(mend);
        match next {
            Ok(documents) => return Some(Mended { documents, mends }),
            Err(next) => error = next,
        }
    }
    None
}

type Attempt = Result<Documents, SyntaxError>;

/// The first candidate that makes YAML of the text, else the one that gets furthest.
fn best(source: &Source<'_>, mends: &[Mend], error: &SyntaxError) -> Option<(Mend, Attempt)> {
    let mut furthest: Option<(Mend, SyntaxError)> = None;
    for candidate in candidates::around(source, source.line_at(error.offset)) {
        let touches = |mend: &Mend| overlaps(&mend.edits, &candidate.edits);
        if mends.iter().any(touches) {
            continue;
        }
        let edits = mends.iter().chain([&candidate]).flat_map(|mend| &mend.edits);
        match attempt(source.text, edits) {
            Ok(documents) => return Some((candidate, Ok(documents))),
            Err(next) => {
                let first = candidate.edits.first().map(|edit| source.line_at(edit.bytes.start));
                let line = source.line_at(next.offset);
                let advances = line > source.line_at(error.offset) && Some(line) > first;
                let is_better =
                    furthest.as_ref().is_none_or(|(_, known)| next.offset > known.offset);
                if advances && is_better && next.code == Code::NotYaml {
                    furthest = Some((candidate, next));
                }
            }
        }
    }
    furthest.map(|(mend, error)| (mend, Err(error)))
}

fn overlaps(left: &[Edit], right: &[Edit]) -> bool {
    left.iter().any(|one| {
        right.iter().any(|two| one.bytes.start <= two.bytes.end && two.bytes.start <= one.bytes.end)
    })
}

/// Reads the text with some edits made; positions are those of the text without them.
fn attempt<'e>(text: &str, edits: impl Iterator<Item = &'e Edit>) -> Attempt {
    let mut edits: Vec<&Edit> = edits.collect();
    edits.sort_by_key(|edit| edit.bytes.start);
    let mut changed = Changed::default();
    let mut from = 0;
    for edit in edits {
        changed.copy(text, from..edit.bytes.start);
        for piece in &edit.replacement {
            match piece {
                Piece::Text(new) => changed.insert(new, edit.bytes.start),
                Piece::Lines { bytes, shift } => changed.lines(text, bytes, *shift),
            }
        }
        from = edit.bytes.end;
    }
    changed.copy(text, from..text.len());
    tree::parse(&changed.text, &|offset| changed.original(offset))
}

/// A changed text that knows where each of its bytes comes from.
#[derive(Debug, Default)]
struct Changed {
    text: String,
    /// By offset in the changed text: where a piece begins, and whether it is the author's.
    pieces: Vec<(usize, usize, bool)>,
}

impl Changed {
    fn copy(&mut self, text: &str, bytes: Range<usize>) {
        self.pieces.push((self.text.len(), bytes.start, true));
        self.text.push_str(text.get(bytes).unwrap_or_default());
    }

    fn insert(&mut self, new: &str, at: usize) {
        self.pieces.push((self.text.len(), at, false));
        self.text.push_str(new);
    }

    /// Lines moved sideways; each keeps its own way back.
    fn lines(&mut self, text: &str, bytes: &Range<usize>, shift: isize) {
        let mut start = bytes.start;
        for line in text.get(bytes.clone()).unwrap_or_default().split_inclusive('\n') {
            let end = start + line.len();
            let spaces = line.bytes().take_while(|byte| *byte == b' ').count();
            if shift < 0 {
                self.copy(text, start + spaces.min(shift.unsigned_abs())..end);
            } else {
                if !line.trim().is_empty() {
                    self.insert(&" ".repeat(shift.unsigned_abs()), start);
                }
                self.copy(text, start..end);
            }
            start = end;
        }
    }

    fn original(&self, offset: usize) -> usize {
        let index = self.pieces.partition_point(|(start, ..)| *start <= offset).saturating_sub(1);
        let Some((start, original, is_own)) = self.pieces.get(index).copied() else { return 0 };
        if is_own { original + (offset - start) } else { original }
    }
}
