//! What could be meant by a line that the parser stumbles over, the likeliest first.

use crate::code::Code;
use crate::finding::{Edit, Piece};
use crate::source::Source;

use super::Mend;

/// How many lines above are looked at for the indentation that was meant.
const LOOK_BACK_LINES: usize = 400;
/// Most indentations that are tried for one line.
const INDENTATION_LIMIT: usize = 8;

/// Candidates for the line where the parser stopped and for the one before it.
pub(super) fn around(source: &Source<'_>, line: usize) -> Vec<Mend> {
    let mut mends = Vec::new();
    mends.extend([2, 4, 8].into_iter().filter_map(|width| tabs(source, width)));
    let before = (0..line).rev().find(|line| Line::of(source, *line).is_content());
    for line in [Some(line), before].into_iter().flatten() {
        mends.extend(space(source, line));
        mends.extend(indentations(source, line));
        mends.extend(quotes(source, line));
    }
    mends
}

/// A line taken apart.
struct Line<'a> {
    /// Columns before the first character that is no space.
    indent: usize,
    /// The rest, without trailing blanks.
    rest: &'a str,
}

impl<'a> Line<'a> {
    fn of(source: &Source<'a>, line: usize) -> Self {
        let text = source.line(line);
        let rest = text.trim_start_matches(' ');
        Self { indent: text.len() - rest.len(), rest: rest.trim_end() }
    }

    fn is_content(&self) -> bool {
        !self.rest.is_empty() && !self.rest.starts_with('#')
    }

    fn is_item(&self) -> bool {
        self.rest == "-" || self.rest.starts_with("- ")
    }

    /// The first key on the line, behind a dash if there is one.
    fn key(&self) -> Option<&'a str> {
        let text = self.rest.strip_prefix("- ").unwrap_or(self.rest).trim_start();
        let key = text.split(':').next().filter(|key| key.len() < text.len())?;
        let is_key = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.');
        (!key.is_empty() && key.chars().all(is_key)).then_some(key)
    }
}

/// Tabs at the beginning of lines, each read as some columns.
fn tabs(source: &Source<'_>, width: usize) -> Option<Mend> {
    let mut edits = Vec::new();
    for line in 0..source.line_count() {
        let bytes = source.line_bytes(line);
        let text = source.line(line);
        let blank = text.len() - text.trim_start_matches([' ', '\t']).len();
        if text[..blank].contains('\t') && blank < text.len() {
            let spaces = text[..blank].replace('\t', &" ".repeat(width));
            edits.push(Edit::replace(bytes.start..bytes.start + blank, spaces));
        }
    }
    let first = edits.first()?.bytes.clone();
    let plural = if edits.len() == 1 { "line is" } else { "lines are" };
    Some(Mend {
        code: Code::Tabs,
        bytes: first,
        message: format!("{} {plural} indented with tabs, which YAML forbids", edits.len()),
        hint: "write spaces",
        edits,
    })
}

/// `key:value` and `-item` without the space that YAML needs.
fn space(source: &Source<'_>, index: usize) -> Option<Mend> {
    let line = Line::of(source, index);
    let start = source.line_bytes(index).start + line.indent;
    let (at, what) = if line.rest.starts_with('-')
        && line.rest[1..].starts_with(|letter: char| letter.is_ascii_alphabetic())
    {
        (start + 1, "dash")
    } else {
        let key = line.key()?;
        let end = line.rest.find(key)? + key.len() + 1;
        let next = line.rest.get(end..)?.chars().next()?;
        if next.is_whitespace() || next == '/' {
            return None;
        }
        (start + end, "colon")
    };
    Some(Mend {
        code: Code::MissingSpace,
        bytes: at - 1..at,
        message: format!("this {what} has no space behind it"),
        hint: "put a space there",
        edits: vec![Edit::replace(at..at, " ")],
    })
}

/// The block that begins on a line, moved to an indentation that occurs above.
fn indentations(source: &Source<'_>, index: usize) -> Vec<Mend> {
    let line = Line::of(source, index);
    if !line.is_content() || (line.key().is_none() && !line.is_item()) {
        return Vec::new();
    }
    let end = block_end(source, index);
    let bytes = source.line_bytes(index).start..source.line_bytes(end).end;
    let from = line.indent;
    indents_above(source, index)
        .into_iter()
        .map(|to| {
            let shift = to.cast_signed() - from.cast_signed();
            let lines = if end == index {
                format!("line {} stands", index + 1)
            } else {
                format!("lines {} to {} stand", index + 1, end + 1)
            };
            Mend {
                code: Code::Indentation,
                bytes: bytes.start + from..source.line_bytes(index).end,
                message: format!(
                    "{lines} at column {}, where what they belong to is at column {}",
                    from + 1,
                    to + 1
                ),
                hint: "indent all items of a list, and all keys of a mapping, by the same number of spaces",
                edits: vec![Edit {
                    bytes: bytes.clone(),
                    replacement: vec![Piece::Lines { bytes: bytes.clone(), shift }],
                }],
            }
        })
        .collect()
}

/// The last line with content of the block that begins on a line: all that is indented deeper, and
/// siblings at the same column.
fn block_end(source: &Source<'_>, index: usize) -> usize {
    let first = Line::of(source, index);
    let mut end = index;
    for next in index + 1..source.line_count() {
        let line = Line::of(source, next);
        if !line.is_content() {
            continue;
        }
        let is_sibling = line.indent == first.indent && line.is_item() == first.is_item();
        if line.indent <= first.indent && !is_sibling {
            break;
        }
        end = next;
    }
    end
}

/// Columns at which similar lines above begin: those with the same first key first, then by distance.
fn indents_above(source: &Source<'_>, index: usize) -> Vec<usize> {
    let line = Line::of(source, index);
    let mut found: Vec<(bool, usize, usize)> = Vec::new();
    for above in (index.saturating_sub(LOOK_BACK_LINES)..index).rev() {
        let other = Line::of(source, above);
        if !other.is_content() {
            continue;
        }
        let is_twin = other.is_item() == line.is_item() && other.key() == line.key();
        let mut columns = vec![other.indent];
        if !line.is_item() && other.is_item() {
            columns = vec![other.indent + 2];
        }
        for column in columns.into_iter().filter(|column| *column != line.indent) {
            if found.iter().all(|(_, _, known)| *known != column) {
                found.push((!is_twin, column.abs_diff(line.indent), column));
            } else if is_twin {
                found
                    .iter_mut()
                    .filter(|known| known.2 == column)
                    .for_each(|known| known.0 = false);
            }
        }
    }
    found.sort_unstable();
    found.into_iter().take(INDENTATION_LIMIT).map(|(_, _, column)| column).collect()
}

/// Quotes around the value on a line.
fn quotes(source: &Source<'_>, index: usize) -> Option<Mend> {
    let line = Line::of(source, index);
    let key = line.key()?;
    let start = line.rest.find(key)? + key.len() + 1;
    let rest = line.rest.get(start..)?;
    let value = rest.trim_start();
    let value = value.split(" #").next()?.trim_end();
    if value.is_empty() || rest.len() == rest.trim_start().len() || value.starts_with(['|', '>']) {
        return None;
    }
    let offset = source.line_bytes(index).start + line.indent + start;
    let from = offset + (rest.len() - rest.trim_start().len());
    let to = from + value.len();
    // A quote inside is written twice; the one at the very beginning shares its place with ours.
    let opening = if value.starts_with('\'') { "''" } else { "'" };
    let mut edits = vec![Edit::replace(from..from, opening)];
    for (inside, _) in value.match_indices('\'').filter(|(inside, _)| *inside > 0) {
        edits.push(Edit::replace(from + inside..from + inside, "'"));
    }
    edits.push(Edit::replace(to..to, "'"));
    Some(Mend {
        code: Code::Unquoted,
        bytes: from..to,
        message: format!(
            "the value of `{key}` needs quotes: it holds characters that mean something in YAML"
        ),
        hint: "put it in single quotes",
        edits,
    })
}
