//! Patches that move a data store into the list where it belongs.

use std::ops::Range;

use crate::finding::{Edit, Patch, Piece};

use super::super::Checker;
use super::super::fields::{Fields, Slot};
use super::super::values::Item;

/// Fields of a service-like database that mean the same under `databases`.
const KEPT: &[&str] = &[
    "plan",
    "region",
    "databaseName",
    "user",
    "diskSizeGB",
    "postgresMajorVersion",
    "ipAllowList",
];

impl Checker<'_> {
    /// Moves an item of `databases` behind the last service and gives it its type.
    pub(super) fn move_key_value(
        &self,
        fields: &Fields<'_>,
        item: &Item<'_>,
        around: &Fields<'_>,
    ) -> Option<Patch> {
        let services = around.get("services")?;
        let list = services.node.list().filter(|list| !list.is_empty())?;
        let lines = self.item_lines(item.node)?;
        let name = fields.get("name").filter(|slot| !slot.is_merged)?;
        let dash = |offset: usize| {
            let line = self.source.line(self.source.line_at(offset));
            line.find('-').unwrap_or_default().cast_signed()
        };
        let shift = dash(list[0].bytes.start) - dash(item.node.bytes.start);
        let at = self.source.line_bytes(self.source.line_at(self.end_of(services))).end;
        if services.node.is_flow || (lines.start..lines.end).contains(&at) {
            return None;
        }
        let name_end = self.source.line_bytes(self.source.line_at(self.end_of(name))).end;
        let column = self.column_of(name.key_bytes.start).cast_signed() + shift;
        let indent = " ".repeat(usize::try_from(column).ok()?);
        let rest =
            name_end..self.source.line_bytes(self.source.line_at(lines.end.saturating_sub(1))).end;
        let lacks = |name: &str| !fields.has(name);
        let mut replacement = vec![
            Piece::Text(self.line_break().to_owned()),
            Piece::Lines { bytes: lines.start..name_end, shift },
        ];
        for (name, pair) in [("type", "type: keyvalue"), ("ipAllowList", "ipAllowList: []")] {
            if lacks(name) {
                replacement.push(Piece::Text(format!("{}{indent}{pair}", self.line_break())));
            }
        }
        // What follows begins with the line break behind the name, so that only whole lines move.
        let skip = self
            .source
            .line_end_with_break(self.source.line_at(name_end))
            .min(rest.end.max(name_end));
        if skip < rest.end {
            replacement.push(Piece::Text(self.line_break().to_owned()));
            replacement.push(Piece::Lines { bytes: skip..rest.end, shift });
        }
        Some(Patch { edits: vec![Edit { bytes: at..at, replacement }, Edit::replace(lines, "")] })
    }

    /// Moves a database from `services` to `databases` at the root, which is made if need be.
    pub(super) fn move_database(
        &self,
        fields: &Fields<'_>,
        item: &Item<'_>,
        name: &str,
    ) -> Option<Patch> {
        let is_plain = |letter: char| letter.is_alphanumeric() || "-_.".contains(letter);
        let is_simple = !name.is_empty() && name.chars().all(is_plain);
        if !is_simple || !item.path.starts_with("services[") || item.node.is_flow {
            return None;
        }
        let lines = self.item_lines(item.node)?;
        let (at, dash, is_new) = self.end_of_databases()?;
        let newline = self.line_break();
        let indent = " ".repeat(dash);
        let mut replacement = Vec::new();
        if is_new {
            let end = if lines.end == at { lines.start } else { at };
            let before = self.source.text.get(..end).unwrap_or_default();
            let breaks = before.len() - before.trim_end_matches(['\r', '\n']).len();
            let lead = newline.repeat(2_usize.saturating_sub(breaks / newline.len()));
            replacement.push(Piece::Text(format!("{lead}databases:{newline}")));
        } else if self.source.text.get(..at).is_some_and(|text| !text.ends_with('\n')) {
            replacement.push(Piece::Text(newline.to_owned()));
        }
        replacement.extend(self.comments(&lines, item, dash));
        replacement.push(Piece::Text(format!("{indent}- name: {name}")));
        replacement.extend(self.kept(fields, &lines, dash + 2)?);
        if at <= lines.start || at >= lines.end {
            let edits = vec![Edit { bytes: at..at, replacement }, Edit::replace(lines.clone(), "")];
            if at == lines.end || at == lines.start {
                // The item is the end of the file: what is written takes its place.
                let replacement = edits.into_iter().next().map(|edit| edit.replacement);
                return Some(Patch {
                    edits: vec![Edit { bytes: lines, replacement: replacement? }],
                });
            }
            return Some(Patch { edits });
        }
        None
    }

    /// Where another database can be added: the end of the list, or of the file.
    fn end_of_databases(&self) -> Option<(usize, usize, bool)> {
        let count = self.source.line_count();
        let Some(key) = (0..count).find(|line| self.source.line(*line).starts_with("databases:"))
        else {
            return Some((self.source.text.len(), 2, true));
        };
        let mut dash = None;
        let mut last = key;
        for line in key + 1..count {
            let text = self.source.line(line);
            let body = text.trim_start();
            if body.is_empty() || body.starts_with('#') {
                continue;
            }
            if !text.starts_with([' ', '-']) {
                break;
            }
            if dash.is_none() {
                dash = body.starts_with("- ").then(|| text.len() - body.len());
                dash?;
            }
            last = line;
        }
        Some((self.source.line_end_with_break(last), dash?, false))
    }

    /// The comments directly above an item.
    fn comments(&self, lines: &Range<usize>, item: &Item<'_>, dash: usize) -> Vec<Piece> {
        let first = self.source.line_at(lines.start);
        let own = self.source.line_at(item.node.bytes.start);
        (first..own)
            .map(|line| {
                let text = self.source.line(line);
                let indent = text.len() - text.trim_start().len();
                let bytes =
                    self.source.line_bytes(line).start..self.source.line_end_with_break(line);
                Piece::Lines { bytes, shift: dash.cast_signed() - indent.cast_signed() }
            })
            .collect()
    }

    /// The lines of an item that go on to mean the same, behind the one with its name. `None` when a
    /// comment would be lost.
    fn kept(&self, fields: &Fields<'_>, lines: &Range<usize>, column: usize) -> Option<Vec<Piece>> {
        let source = self.source;
        let newline = self.line_break();
        let name = fields.get("name")?;
        let lines_of = |slot: &Slot<'_>| {
            source.line_at(slot.key_bytes.start)..=source.line_at(self.end_of(slot))
        };
        let tail = source.line_bytes(source.line_at(self.end_of(name))).end;
        let mut pieces = vec![
            Piece::Lines { bytes: name.node.bytes.end.min(tail)..tail, shift: 0 },
            Piece::Text(newline.to_owned()),
        ];
        let mut kept: Vec<&Slot<'_>> =
            fields.slots().iter().filter(|slot| KEPT.contains(&slot.field.name)).collect();
        kept.sort_by_key(|slot| slot.key_bytes.start);
        let mut known: Vec<usize> = lines_of(name).collect();
        for slot in kept {
            known.extend(lines_of(slot));
            let key = source.line_at(slot.key_bytes.start);
            let last = source.line_at(self.end_of(slot));
            // Behind the dash of the item only the words themselves move.
            let shift = column.cast_signed() - self.column_of(slot.key_bytes.start).cast_signed();
            let first = slot.key_bytes.start..source.line_bytes(key).end;
            pieces.push(Piece::Text(" ".repeat(column)));
            pieces.push(Piece::Lines { bytes: first, shift: 0 });
            pieces.push(Piece::Text(newline.to_owned()));
            for line in key + 1..=last {
                pieces.push(Piece::Lines { bytes: source.line_bytes(line), shift });
                pieces.push(Piece::Text(newline.to_owned()));
            }
        }
        if let Some(size) = fields.get("disk").and_then(|slot| slot.node.text_of("sizeGB"))
            && size.bytes().all(|byte| byte.is_ascii_digit())
            && !fields.has("diskSizeGB")
        {
            pieces.push(Piece::Text(format!("{}diskSizeGB: {size}{newline}", " ".repeat(column))));
        }
        let own =
            source.line_at(fields.node.bytes.start)..=source.line_at(lines.end.saturating_sub(1));
        let is_lost = |line: usize| !known.contains(&line) && source.line(line).contains('#');
        (!own.into_iter().any(is_lost)).then_some(pieces)
    }
}
