//! A finding for a terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::finding::{Code, Finding, Severity};
use crate::mask;
use crate::source::Source;

/// Longest piece of a line that is shown, in characters.
const WIDTH_CHARS: usize = 120;
/// What stays visible in front of the place in a longer line, in characters.
const LEAD_CHARS: usize = 40;

/// Columns that a tab is shown as.
const TAB: &str = "    ";

/// Shows a finding with its line: what, where, the snippet, and behind a blank line the hint.
/// Values of environment variables are hidden. `style` is what a style begins with, where there are
/// styles: `ESC [` on a terminal. The result ends without a line break.
#[must_use]
pub fn render(finding: &Finding, source: &str, file_name: &str, style: Option<&str>) -> String {
    Page::new(source).render(finding, file_name, style)
}

/// A text of which several findings are shown: its lines are counted once.
#[derive(Debug)]
pub struct Page<'a> {
    source: Source<'a>,
}

impl<'a> Page<'a> {
    /// The page of a text.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self { source: Source::new(text) }
    }

    /// Shows a finding in it; see [`render`].
    #[must_use]
    pub fn render(&self, finding: &Finding, file_name: &str, style: Option<&str>) -> String {
        shown(&self.source, finding, file_name, style)
    }
}

fn shown(source: &Source<'_>, finding: &Finding, file_name: &str, style: Option<&str>) -> String {
    let span = &finding.span;
    let index = span.line.saturating_sub(1);
    let line = source.line_bytes(index);
    let dialect = match &finding.file {
        _ if finding.code == Code::EnvFileLine => mask::Dialect::Variables,
        Some(_) => mask::Dialect::Compose,
        None => mask::Dialect::Blueprint,
    };
    let shown = mask::line(source, index, dialect);
    let (start, end) = shown.columns(
        span.bytes.start.saturating_sub(line.start),
        span.bytes.end.min(line.end).saturating_sub(line.start),
    );
    let window = window(&shown.text, start, end);
    let (word, code) = match finding.severity {
        Severity::Error => ("error", "31"),
        Severity::Repair => ("repaired", "33"),
        Severity::Note => ("note", "36"),
    };
    let paint = |code: &str, text: &str| match style {
        Some(begin) => format!("{begin}{code}m{text}{begin}0m"),
        None => text.to_owned(),
    };
    let title = paint(&format!("1;{code}"), &format!("{word}[{}]", finding.code));
    let mut text = format!("{title}: {}\n", finding.message);
    let number = span.line.to_string();
    let margin = " ".repeat(number.len());
    let arrow = paint("2", &format!("{margin}-->"));
    text.push_str(&format!("{arrow} {file_name}:{}:{}", span.line, span.column));
    if !window.before.is_empty() || !window.place.is_empty() || !window.after.is_empty() {
        let bar = paint("2", &format!("{margin} |"));
        let numbered = paint("2", &format!("{number} |"));
        let lead = " ".repeat(window.before.width());
        let marks = paint(&format!("1;{code}"), &"^".repeat(window.place.width().max(1)));
        let snippet = format!("{}{}{}", window.before, window.place, window.after);
        text.push_str(&format!("\n{bar}\n{numbered} {}\n{bar} {lead}{marks}", snippet.trim_end()));
    }
    if let Some(hint) = &finding.hint {
        text.push_str(&format!("\n\n{} {hint}", paint("1", "hint:")));
    }
    text
}

/// The piece of a line that is shown, in three parts.
#[derive(Debug, Default)]
struct Window {
    before: String,
    place: String,
    after: String,
}

fn window(line: &str, start: usize, end: usize) -> Window {
    let mut window = Window::default();
    let lead = line[..start].chars().count();
    let is_long = line.chars().count() > WIDTH_CHARS;
    let skip = if is_long { lead.saturating_sub(LEAD_CHARS) } else { 0 };
    if skip > 0 {
        window.before.push('…');
    }
    for (count, (offset, letter)) in line.char_indices().skip(skip).enumerate() {
        let part = if offset < start {
            &mut window.before
        } else if offset < end {
            &mut window.place
        } else {
            &mut window.after
        };
        if count == WIDTH_CHARS {
            part.push('…');
            break;
        }
        match letter {
            '\t' => part.push_str(TAB),
            // Control characters would move the cursor, and some letters have no width.
            letter if letter.width().is_none() => part.push('\u{fffd}'),
            letter => part.push(letter),
        }
    }
    window
}

#[cfg(test)]
mod tests {
    use super::render;
    use crate::finding::{Code, Finding, Severity};
    use crate::source::Source;

    fn check(text: &str, place: &str) -> String {
        let start = text.find(place).unwrap();
        let span = Source::new(text).span(start..start + place.len());
        let finding = Finding {
            severity: Severity::Repair,
            code: Code::UnknownField,
            message: "there is no such field".to_owned(),
            file: None,
            span,
            path: String::new(),
            hint: Some("remove it".to_owned()),
            repair: None,
        };
        render(&finding, text, "render.yaml", None)
    }

    #[test]
    fn a_finding_shows_its_line_with_a_caret_under_the_place() {
        insta::assert_snapshot!(check("services:\n  - type: web\n    plna: free\n", "plna"), @r#"
        repaired[unknown-field]: there is no such field
         --> render.yaml:3:5
          |
        3 |     plna: free
          |     ^^^^

        hint: remove it
        "#);
    }

    #[test]
    fn tabs_wide_letters_and_line_ends_of_windows_keep_the_caret_in_place() {
        insta::assert_snapshot!(check("a:\r\n\t名前: plna: 1\r\n", "plna"), @r#"
        repaired[unknown-field]: there is no such field
         --> render.yaml:2:6
          |
        2 |     名前: plna: 1
          |           ^^^^

        hint: remove it
        "#);
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let text = format!("{} plna {}", "a".repeat(300), "b".repeat(300));
        insta::assert_snapshot!(check(&text, "plna"), @r#"
        repaired[unknown-field]: there is no such field
         --> render.yaml:1:302
          |
        1 | …aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa plna bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb…
          |                                          ^^^^

        hint: remove it
        "#);
    }

    #[test]
    fn values_of_variables_are_never_shown() {
        let text = "envVars:\n  - key: A\n    value: hunter2 # and more\n";
        let shown = check(text, "hunter2");
        assert!(!shown.contains("hunter2"));
        insta::assert_snapshot!(shown, @r#"
        repaired[unknown-field]: there is no such field
         --> render.yaml:3:12
          |
        3 |     value: ••••••
          |            ^^^^^^

        hint: remove it
        "#);
    }

    #[test]
    fn colour_adds_escapes_and_changes_nothing_else() {
        let text = "plna: 1\n";
        let finding = crate::read(
            text,
            &crate::ReadOptions {
                mode: crate::Mode::Tolerant,
                file_name: "render.yaml".to_owned(),
                project_name: "test".to_owned(),
            },
        )
        .problems
        .remove(0);
        let coloured = render(&finding, text, "render.yaml", Some("\u{1b}["));
        let mut plain = String::new();
        let mut rest = coloured.as_str();
        while let Some(at) = rest.find('\u{1b}') {
            plain.push_str(&rest[..at]);
            rest = &rest[at + rest[at..].find('m').unwrap() + 1..];
        }
        plain.push_str(rest);
        assert_eq!(plain, render(&finding, text, "render.yaml", None));
    }
}
