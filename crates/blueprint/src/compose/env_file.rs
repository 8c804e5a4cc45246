//! `.env` files: `NAME=value`, one on each line.

use std::collections::BTreeMap;

use super::interpolate::{Lookup, fill};

/// Most variables of one file.
const COUNT_LIMIT: usize = 10_000;

/// One variable of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// `None` where the line holds the name only: the value comes from outside.
    pub(crate) value: Option<String>,
}

/// The variables of an `.env` file, those of `known` filled in where it names them.
///
/// Values in single quotes are taken as they are; others know `$NAME` and `${NAME:-default}`, and
/// those in double quotes know `\n` and its kin and may span lines. Lines that are none of this
/// are left out.
#[must_use]
pub fn read_env_file(text: &str, known: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let lines = lines(text, &|name| known.get(name).cloned());
    lines.into_iter().filter_map(|line| Some((line.name, line.value?))).collect()
}

/// The lines of an `.env` file; a later line sees the values of earlier ones.
pub(crate) fn lines(text: &str, outside: &Lookup<'_>) -> Vec<Line> {
    let mut found: Vec<Line> = Vec::new();
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    while !rest.is_empty() && found.len() < COUNT_LIMIT {
        let (line, behind) = rest.split_once('\n').unwrap_or((rest, ""));
        let body = line.trim();
        let body = body.strip_prefix("export ").unwrap_or(body).trim_start();
        if body.is_empty() || body.starts_with('#') {
            rest = behind;
            continue;
        }
        let Some(sign) = body.find(['=', ':']) else {
            if is_name(body) {
                found.push(Line { name: body.to_owned(), value: None });
            }
            rest = behind;
            continue;
        };
        let name = body[..sign].trim();
        let start = body[sign + 1..].trim_start_matches([' ', '\t']);
        // The value may go on over the end of the line.
        let from = start.as_ptr() as usize - rest.as_ptr() as usize;
        let (raw, used) = value(&rest[from..]);
        rest = rest[from + used..].split_once('\n').map_or("", |(_, behind)| behind);
        if !is_name(name) {
            continue;
        }
        let text = match raw {
            Raw::Exact(text) => text.to_owned(),
            Raw::Text(text) => filled(&text, &known, outside),
        };
        known.insert(name.to_owned(), text.clone());
        found.push(Line { name: name.to_owned(), value: Some(text) });
    }
    found
}

enum Raw<'t> {
    Exact(&'t str),
    Text(String),
}

/// The value that a text begins with, and how many bytes it takes.
fn value(text: &str) -> (Raw<'_>, usize) {
    if let Some(inner) = text.strip_prefix('\'')
        && let Some(end) = inner.find('\'')
    {
        return (Raw::Exact(&inner[..end]), end + 2);
    }
    if let Some(inner) = text.strip_prefix('"')
        && let Some((value, end)) = quoted(inner)
    {
        return (Raw::Text(value), end + 2);
    }
    let end = text.find('\n').unwrap_or(text.len());
    let line = &text[..end];
    let comment = line.find(" #").or_else(|| line.find("\t#"));
    let comment = if line.starts_with('#') { Some(0) } else { comment };
    (Raw::Text(line[..comment.unwrap_or(end)].trim().to_owned()), end)
}

/// A text up to its closing quote, with escapes resolved.
fn quoted(text: &str) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, at)),
            '\\' => match letters.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                '$' => value.push_str("$$"),
                other @ ('"' | '\\') => value.push(other),
                other => value.extend(['\\', other]),
            },
            other => value.push(other),
        }
    }
    None
}

fn filled(text: &str, known: &BTreeMap<String, String>, outside: &Lookup<'_>) -> String {
    let lookup = |name: &str| outside(name).or_else(|| known.get(name).cloned());
    fill(text, &lookup).map_or_else(|_| text.to_owned(), |filled| filled.text)
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::{BTreeMap, lines, read_env_file};

    #[test]
    fn lines_of_env_files_are_understood() {
        let text = "\u{feff}# remark\nexport A=1 # one\nB = 'two $A # as is'\r\nC=\"x\\n$A \\$A\"\nD=\nE\nF: yaml\nG=${A}-${NONE:-d}\nH=a#b\n bad name=x\nI=\"two\nlines\"\nJ=end";
        let shown: Vec<String> = lines(text, &|_| None)
            .into_iter()
            .map(|line| format!("{}={:?}", line.name, line.value))
            .collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        A=Some("1")
        B=Some("two $A # as is")
        C=Some("x\n1 $A")
        D=Some("")
        E=None
        F=Some("yaml")
        G=Some("1-d")
        H=Some("a#b")
        I=Some("two\nlines")
        J=Some("end")
        "#);
        let known = BTreeMap::from([("A".to_owned(), "given".to_owned())]);
        assert_eq!(read_env_file("X=$A", &known)["X"], "given");
    }
}
