//! Changes of the text that leave everything around them as it is.

use std::ops::Range;

use crate::finding::{Edit, Patch, Piece};
use crate::tree::Node;

use super::Checker;
use super::fields::Slot;

impl Checker<'_> {
    /// The line break that the file uses.
    pub(super) fn line_break(&self) -> &'static str {
        if self.source.text.contains("\r\n") { "\r\n" } else { "\n" }
    }

    /// Puts another text in place of a scalar on one line.
    pub(super) fn replace_value(&self, node: &Node, text: &str) -> Option<Patch> {
        let old = self.source.slice(&node.bytes);
        let is_single = !old.is_empty() && !old.contains('\n') && node.scalar().is_some();
        is_single.then(|| Patch::replace(node.bytes.clone(), text))
    }

    /// Puts a scalar on one line in double quotes.
    pub(super) fn quote_value(&self, node: &Node) -> Option<Patch> {
        let old = self.source.slice(&node.bytes);
        let is_simple = !old.is_empty() && !old.contains(['\n', '"', '\\']);
        is_simple.then(|| Patch::wrap(&node.bytes, "\""))
    }

    /// Gives a key another name.
    #[expect(clippy::unused_self, reason = "stands beside the other patches")]
    pub(super) fn rename_key(&self, slot: &Slot<'_>, name: &str) -> Patch {
        Patch::replace(slot.key_bytes.clone(), name)
    }

    /// Takes a pair out of a block mapping.
    pub(super) fn remove(&self, slot: &Slot<'_>) -> Option<Patch> {
        if slot.parent.is_flow || slot.is_merged {
            return None;
        }
        let line = self.source.line_at(slot.key_bytes.start);
        let start = self.source.line_bytes(line).start;
        let before = self.source.slice(&(start..slot.key_bytes.start));
        let last = self.source.line_at(self.end_of(slot));
        if before.trim().is_empty() {
            let end = self.source.line_end_with_break(last);
            return Some(Patch::replace(start..end, ""));
        }
        // Behind a dash: the next key takes its place.
        let siblings = slot.parent.map()?;
        let next = siblings
            .iter()
            .filter(|entry| !entry.is_merged)
            .map(|entry| entry.key_bytes.start)
            .filter(|start| *start > slot.key_bytes.start)
            .min()?;
        let is_below = self.source.line_at(next) == last + 1;
        is_below.then(|| Patch::replace(slot.key_bytes.start..next, ""))
    }

    /// Adds a pair behind another one.
    pub(super) fn insert_after(&self, slot: &Slot<'_>, pair: &str) -> Option<Patch> {
        if slot.is_merged {
            return None;
        }
        if slot.parent.is_flow {
            return Some(Patch::insert(slot.node.bytes.end, format!(", {pair}")));
        }
        let indent = self.column_of(slot.key_bytes.start);
        let end = self.source.line_bytes(self.source.line_at(self.end_of(slot))).end;
        Some(Patch::insert(end, format!("{}{}{pair}", self.line_break(), " ".repeat(indent))))
    }

    /// Moves the items of a second list behind those of the first one and removes its key.
    pub(super) fn join(&self, first: &Slot<'_>, second: &Slot<'_>) -> Option<Patch> {
        let is_block = |slot: &Slot<'_>| {
            !slot.node.is_flow && slot.node.list().is_some() && !slot.is_merged && !is_alias(slot)
        };
        if !is_block(first) || !is_block(second) || second.parent.is_flow {
            return None;
        }
        let key_line = self.source.line_at(second.key_bytes.start);
        let start = self.source.line_bytes(key_line).start;
        let lead = self.source.slice(&(start..second.key_bytes.start));
        let last = self.source.line_at(self.end_of(second));
        if last == key_line || !lead.trim().is_empty() {
            return None;
        }
        let items = self.source.line_end_with_break(key_line)..self.source.line_bytes(last).end;
        let shift = self.column_of(first.node.bytes.start).cast_signed()
            - self.column_of(second.node.bytes.start).cast_signed();
        let at = self.source.line_bytes(self.source.line_at(self.end_of(first))).end;
        Some(Patch {
            edits: vec![
                Edit {
                    bytes: at..at,
                    replacement: vec![
                        Piece::Text(self.line_break().to_owned()),
                        Piece::Lines { bytes: items, shift },
                    ],
                },
                Edit::replace(start..self.source.line_end_with_break(last), ""),
            ],
        })
    }

    /// Columns in front of a byte on its line.
    pub(super) fn column_of(&self, offset: usize) -> usize {
        offset - self.source.line_bytes(self.source.line_at(offset)).start.min(offset)
    }

    /// The last byte of a pair that is not blank.
    pub(super) fn end_of(&self, slot: &Slot<'_>) -> usize {
        let end = if is_alias(slot) || slot.node.is_null() {
            slot.key_bytes.end
        } else {
            self.without_blank_end(slot.node.bytes.clone()).end
        };
        end.max(slot.key_bytes.end).saturating_sub(1)
    }

    /// The whole lines of an item of a block list, from its dash on; with the comments directly
    /// above it.
    pub(super) fn item_lines(&self, item: &Node) -> Option<Range<usize>> {
        let first = self.source.line_at(item.bytes.start);
        let start = self.source.line_bytes(first).start;
        let lead = self.source.slice(&(start..item.bytes.start));
        if lead.trim() != "-" {
            return None;
        }
        let last = self
            .source
            .line_at(self.without_blank_end(item.bytes.clone()).end.max(item.bytes.start + 1) - 1);
        let mut top = first;
        while top > 0 && self.source.line(top - 1).trim_start().starts_with('#') {
            top -= 1;
        }
        Some(self.source.line_bytes(top).start..self.source.line_end_with_break(last))
    }
}

/// Whether the value stands elsewhere and is only named here.
pub(super) fn is_alias(slot: &Slot<'_>) -> bool {
    slot.node.bytes.start < slot.key_bytes.end
}
