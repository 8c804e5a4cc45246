//! Where a byte of the text stands for a person: line and column.

use std::ops::Range;

use crate::finding::Span;

/// A text with an index of its lines.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    /// The whole text.
    pub(crate) text: &'a str,
    starts: Vec<usize>,
    /// Characters in front of each piece of `PIECE_BYTES`, so that columns of very long lines cost little.
    counts: Vec<usize>,
    /// Whether each character is one byte, as in most files: then there is nothing to count.
    is_ascii: bool,
}

/// Bytes between two counts.
const PIECE_BYTES: usize = 256;

impl<'a> Source<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let mut starts = vec![0];
        starts.extend(text.match_indices('\n').map(|(offset, _)| offset + 1));
        let mut counts = vec![0];
        for piece in text.as_bytes().chunks(PIECE_BYTES) {
            let before = counts.last().copied().unwrap_or_default();
            counts.push(before + characters(piece));
        }
        Self { text, starts, counts, is_ascii: text.is_ascii() }
    }

    /// Number of lines; a final line break does not begin another.
    pub(crate) fn line_count(&self) -> usize {
        self.starts.len()
    }

    /// Index of the line, from 0, that holds the byte.
    pub(crate) fn line_at(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    /// The bytes of a line without its line break, by index from 0.
    pub(crate) fn line_bytes(&self, line: usize) -> Range<usize> {
        let start = self.starts.get(line).copied().unwrap_or(self.text.len());
        let end = self.starts.get(line + 1).map_or(self.text.len(), |next| next - 1);
        let end = end.max(start);
        let has_return = end > start && self.text.as_bytes().get(end - 1) == Some(&b'\r');
        start..if has_return { end - 1 } else { end }
    }

    /// The text of a line, by index from 0.
    pub(crate) fn line(&self, line: usize) -> &'a str {
        self.text.get(self.line_bytes(line)).unwrap_or_default()
    }

    /// Where the next line begins, by index from 0.
    pub(crate) fn line_end_with_break(&self, line: usize) -> usize {
        self.starts.get(line + 1).copied().unwrap_or(self.text.len())
    }

    /// The span of some bytes, with line and column counted from 1. The column counts characters.
    pub(crate) fn span(&self, bytes: Range<usize>) -> Span {
        let start = self.floor(bytes.start);
        let end = self.floor(bytes.end).max(start);
        let line = self.line_at(start);
        let begin = self.line_bytes(line).start.min(start);
        let mark = usize::from(begin == 0 && start > 0 && self.text.starts_with('\u{feff}'));
        let column = self.characters_before(start) - self.characters_before(begin) - mark + 1;
        Span { bytes: start..end, line: line + 1, column }
    }

    /// The text of some bytes; empty where they are none.
    pub(crate) fn slice(&self, bytes: &Range<usize>) -> &'a str {
        self.text.get(bytes.clone()).unwrap_or_default()
    }

    fn characters_before(&self, offset: usize) -> usize {
        if self.is_ascii {
            return offset;
        }
        let piece = offset / PIECE_BYTES;
        self.counts[piece] + characters(&self.text.as_bytes()[piece * PIECE_BYTES..offset])
    }

    fn floor(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

/// Characters that begin in some bytes of UTF-8.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| !matches!(byte, 0x80..=0xBF)).count()
}
