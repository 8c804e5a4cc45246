//! Lines of a file that can be shown: the values of environment variables are hidden.
//!
//! The file may be no YAML at all, so this works on lines. When in doubt, it hides.

use std::ops::Range;

use crate::catalog::normalized;
use crate::source::Source;

mod compose;

/// Whose format a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Blueprint,
    Compose,
    /// A file of variables: a line may belong to a value that began above it.
    Variables,
}

/// What stands in place of a value.
pub(crate) const MASK: &str = "••••••";
/// How far above the start of a block of variables is looked for.
const LOOK_BACK_LINES: usize = 2000;

/// A line that can be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) text: String,
    /// Bytes of the line that are hidden.
    hidden: Option<Range<usize>>,
}

impl Shown {
    /// Where a piece of the line is in the shown text.
    pub(crate) fn columns(&self, start: usize, end: usize) -> (usize, usize) {
        let (Some(hidden), end) = (&self.hidden, end.max(start)) else {
            return (self.floor(start), self.floor(end.max(start)));
        };
        let behind = hidden.start + MASK.len();
        let moved = |offset: usize, inside: usize| {
            if offset >= hidden.end {
                behind + (offset - hidden.end)
            } else if offset > hidden.start {
                inside
            } else {
                offset
            }
        };
        let start = moved(start, hidden.start);
        (self.floor(start), self.floor(moved(end, behind).max(start)))
    }

    fn floor(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

/// Where the scan is.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// Column of the `envVars` whose block this is.
    block: Option<usize>,
    /// Column of the `value` whose text goes on.
    value: Option<usize>,
}

/// A line by index from 0, with values hidden.
pub(crate) fn line(source: &Source<'_>, index: usize, dialect: Dialect) -> Shown {
    let mut state = State::default();
    let mut hidden = (dialect == Dialect::Variables).then(|| 0..source.line(index).len());
    for line in index.saturating_sub(LOOK_BACK_LINES)..=index {
        let text = source.line(line);
        (state, hidden) = match dialect {
            Dialect::Blueprint => step(state, text),
            Dialect::Compose => compose::step(state, text),
            Dialect::Variables => break,
        };
    }
    let text = source.line(index);
    match hidden {
        Some(hidden) if hidden.start < hidden.end => {
            let text = format!("{}{MASK}{}", &text[..hidden.start], &text[hidden.end..]);
            Shown { text, hidden: Some(hidden) }
        }
        _ => Shown { text: text.to_owned(), hidden: None },
    }
}

fn step(mut state: State, text: &str) -> (State, Option<Range<usize>>) {
    let body = text.trim_start();
    let indent = text.len() - body.len();
    let whole = indent..indent + body.trim_end().len();
    if body.is_empty() {
        return (state, None);
    }
    if state.value.is_some_and(|column| indent > column) {
        return (state, Some(whole));
    }
    state.value = None;
    if body.starts_with('#') {
        // A comment may be a value that was switched off.
        let hides = state.block.is_some() || body.contains("value:");
        return (state, colon(body).filter(|_| hides).map(|at| indent + at..whole.end));
    }
    if state
        .block
        .is_some_and(|column| indent < column || (indent == column && !body.starts_with('-')))
    {
        state.block = None;
    }
    let inner = body.trim_start_matches(['-', ' ']);
    let column = indent + (body.len() - inner.len());
    let key_end = colon(inner);
    let key = key_end.map(|end| normalized(&inner[..end - 1])).unwrap_or_default();
    let rest = |at: usize| Some(column + at..whole.end);
    if is_block(&key) {
        state.block = Some(indent);
        return (
            state,
            key_end.and_then(|end| inner[end..].find(['{', '=']).map(|at| end + at)).and_then(rest),
        );
    }
    if matches!(key.as_str(), "value" | "previewvalue" | "val") {
        state.value = Some(column);
        return (state, key_end.and_then(rest));
    }
    if let Some(at) = flow_value(inner) {
        return (state, rest(at));
    }
    if state.block.is_some()
        && let Some(end) = key_end
        && !is_harmless(&key, &inner[end..])
    {
        return (state, rest(end));
    }
    if state.block.is_none() || is_safe(&key) {
        return (state, None);
    }
    match (key_end, inner.find('=')) {
        (Some(end), _) => {
            state.value = Some(column);
            (state, rest(end))
        }
        (None, Some(at)) => (state, rest(at + 1)),
        (None, None) => (state, Some(whole)),
    }
}

/// Behind the colon of a key and the blanks that follow.
fn colon(text: &str) -> Option<usize> {
    let at = text.find(':')? + 1;
    let blanks = text[at..].len() - text[at..].trim_start().len();
    Some(at + blanks)
}

/// Behind the first `value:` between braces, or a `property:` that is none of the known ones.
fn flow_value(text: &str) -> Option<usize> {
    let inner = text.find('{')?;
    let lower = text.to_ascii_lowercase();
    let hidden = |key: &'static str| {
        lower.match_indices(key).map(|(at, _)| at).filter(|at| *at > inner).find_map(|at| {
            let behind = at + key.len();
            let value = text[behind..].split([',', '}']).next().unwrap_or_default();
            let hides = match key {
                "property:" => !is_harmless("property", value),
                _ => !lower[..at].ends_with("generate"),
            };
            let blanks = text[behind..].len() - text[behind..].trim_start().len();
            hides.then_some(behind + blanks)
        })
    };
    [hidden("value:"), hidden("property:")].into_iter().flatten().min()
}

fn is_block(key: &str) -> bool {
    matches!(
        key,
        "envvars" | "environmentvariables" | "environment" | "envs" | "variables" | "vars"
    )
}

/// Whether the value of a key that takes one of a few words is one of them: secrets were found in
/// `property`.
pub(crate) fn is_harmless(key: &str, value: &str) -> bool {
    let value = value.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'', '}']);
    let word = normalized(value);
    match key {
        "sync" | "generatevalue" => {
            matches!(word.as_str(), "" | "true" | "false" | "yes" | "no" | "on" | "off" | "null")
        }
        "property" => matches!(
            word.as_str(),
            "" | "connectionstring"
                | "connectionpoolstring"
                | "connectionuri"
                | "connectionurl"
                | "host"
                | "hostname"
                | "port"
                | "hostport"
                | "user"
                | "username"
                | "password"
                | "database"
                | "databasename"
                | "url"
                | "uri"
                | "slug"
                | "name"
                | "externalurl"
        ),
        _ => true,
    }
}

fn is_safe(key: &str) -> bool {
    matches!(
        key,
        "key"
            | "name"
            | "fromdatabase"
            | "fromservice"
            | "fromgroup"
            | "property"
            | "type"
            | "envvarkey"
            | "sync"
            | "generatevalue"
            | "description"
            | "displayname"
    )
}

#[cfg(test)]
mod tests {
    use super::{Dialect, line};
    use crate::source::Source;

    #[test]
    fn values_are_hidden_and_everything_else_is_shown() {
        let text = "services:\n  - type: web\n    startCommand: a b\n    envVars:\n      - key: A\n        value: hunter2\n      - key: B\n        value: |\n          line one\n          line two\n      - {key: C, value: hunter2}\n      - D=hunter2\n      - E: hunter2\n      - key: F\n        sycn: hunter2\n        # value: hunter2\n      - key: G\n        fromService:\n          name: api\n    plan: free\n";
        let source = Source::new(text);
        let shown: Vec<String> = (0..source.line_count())
            .map(|index| line(&source, index, Dialect::Blueprint).text)
            .collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        services:
          - type: web
            startCommand: a b
            envVars:
              - key: A
                value: ••••••
              - key: B
                value: ••••••
                  ••••••
                  ••••••
              - {key: C, value: ••••••
              - D=••••••
              - E: ••••••
              - key: F
                sycn: ••••••
                # value: ••••••
              - key: G
                fromService:
                  name: api
            plan: free
        "#);
    }

    #[test]
    fn mappings_of_variables_are_hidden_too() {
        let text = "envVars:\n  A: hunter2\n  B: >\n    hunter2\nother:\n  C: shown\n";
        let source = Source::new(text);
        let shown: Vec<String> = (0..source.line_count())
            .map(|index| line(&source, index, Dialect::Blueprint).text)
            .collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        envVars:
          A: ••••••
          B: ••••••
            ••••••
        other:
          C: shown
        "#);
    }
}
