//! `.env` files, and values given on the command line.
//!
//! A line is `KEY=value`, with `export` before it if one likes. Values may be quoted: single quotes
//! take everything as it is, double quotes know `\n`, `\r`, `\t`, `\"`, `\\` and `\$`, and both may span
//! lines. `#` begins a comment at the start of a line or after a blank. Nothing is expanded: a `$`
//! is a `$`. No message ever holds a value.

use model::text::{NameFault, check_name, check_variable_name};
use wire::Assignment;

/// A line that is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// From 1.
    pub(crate) line: usize,
    /// What is wrong with it.
    pub(crate) message: String,
}

/// Reads a file: all its pairs, or all its mistakes.
pub(crate) fn parse(text: &str) -> Result<Vec<(String, String)>, Vec<Mistake>> {
    let mut pairs = Vec::new();
    let mut mistakes = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mistake = |message: String| Mistake { line: index + 1, message };
        let line = strip_export(line);
        let Some((key, rest)) = line.split_once('=') else {
            mistakes.push(mistake("there is no `=`".to_owned()));
            continue;
        };
        let key = key.trim_end();
        if let Err(message) = check_key(key) {
            mistakes.push(mistake(message));
            continue;
        }
        match value(rest.trim_start(), &mut lines) {
            Ok(value) => pairs.push((key.to_owned(), value)),
            Err(message) => mistakes.push(mistake(message.to_owned())),
        }
    }
    if mistakes.is_empty() { Ok(pairs) } else { Err(mistakes) }
}

fn strip_export(line: &str) -> &str {
    match line.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
        _ => line,
    }
}

/// A variable's name, with a service before it if one likes; services may have blanks in theirs.
fn check_key(key: &str) -> Result<(), String> {
    let (service, own) = key.rsplit_once('.').unwrap_or(("", key));
    let checked = match service {
        "" => check_variable_name(own),
        service => check_name(service).and_then(|()| check_variable_name(own)),
    };
    match checked {
        Err(NameFault::Empty) if key.is_empty() => {
            Err("there is no name before the `=`".to_owned())
        }
        // Positions are those of the whole word that the person wrote.
        Err(NameFault::Letter { letter, position }) if check_name(service).is_ok() => {
            let before = if service.is_empty() { 0 } else { service.chars().count() + 1 };
            let fault = NameFault::Letter { letter, position: before + position };
            Err(format!("the name before the `=` is none: {fault}"))
        }
        Err(fault) => Err(format!("the name before the `=` is none: {fault}")),
        Ok(()) => Ok(()),
    }
}

fn value<'a>(
    start: &str,
    lines: &mut impl Iterator<Item = (usize, &'a str)>,
) -> Result<String, &'static str> {
    match start.chars().next() {
        Some(quote @ ('"' | '\'')) => quoted(quote, &start[1..], lines),
        _ => Ok(unquoted(start)),
    }
}

fn unquoted(text: &str) -> String {
    let comment = text.char_indices().find(|(index, letter)| {
        *letter == '#' && (*index == 0 || text[..*index].ends_with([' ', '\t']))
    });
    let end = comment.map_or(text.len(), |(index, _)| index);
    text[..end].trim_end().to_owned()
}

fn quoted<'a>(
    quote: char,
    start: &str,
    lines: &mut impl Iterator<Item = (usize, &'a str)>,
) -> Result<String, &'static str> {
    let mut value = String::new();
    let mut line = start.to_owned();
    loop {
        let mut letters = line.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '\\' if quote == '"' => value.push_str(&escape(letters.next())),
                letter if letter == quote => return end(letters.as_str(), value),
                letter => value.push(letter),
            }
        }
        line = match lines.next() {
            Some((_, next)) => next.to_owned(),
            None => return Err("the quote is never closed"),
        };
        value.push('\n');
    }
}

fn end(rest: &str, value: String) -> Result<String, &'static str> {
    let rest = rest.trim();
    if rest.is_empty() || rest.starts_with('#') {
        Ok(value)
    } else {
        Err("there is something after the closing quote")
    }
}

fn escape(letter: Option<char>) -> String {
    match letter {
        Some('n') => "\n".to_owned(),
        Some('r') => "\r".to_owned(),
        Some('t') => "\t".to_owned(),
        Some(letter @ ('"' | '\\' | '$')) => letter.to_string(),
        Some(other) => format!("\\{other}"),
        None => "\\".to_owned(),
    }
}

/// Reads `[SERVICE.]KEY=VALUE` from the command line.
///
/// # Errors
/// What is wrong with it, without the value.
pub(crate) fn parse_assignment(text: &str) -> Result<Assignment, String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err("there is no `=`".to_owned());
    };
    check_key(name)?;
    Ok(assignment(name, value.to_owned()))
}

/// Takes `SERVICE.KEY` apart. Services and keys may both hold dots; a key that follows a service is
/// an identifier. Whether there is such a service is for the server to say.
pub(crate) fn assignment(name: &str, value: String) -> Assignment {
    match name.rsplit_once('.') {
        Some((service, key)) if !service.is_empty() && is_identifier(key) => {
            Assignment { service: Some(service.to_owned()), key: key.to_owned(), value }
        }
        _ => Assignment { service: None, key: name.to_owned(), value },
    }
}

fn is_identifier(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &[(&str, &str)]) {
        let expect: Vec<_> =
            expect.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert_eq!(parse(text), Ok(expect));
    }

    #[test]
    fn plain_lines_comments_and_export_are_understood() {
        check(
            "# a comment\n\nA=1\nexport B = two words # why\r\nC=\nD=a#b\nE= # nothing\n",
            &[("A", "1"), ("B", "two words"), ("C", ""), ("D", "a#b"), ("E", "")],
        );
    }

    #[test]
    fn quotes_keep_blanks_and_lines() {
        check(
            "A=\"a # b\\n\\\"c\\\" \\$d \\x\" # why\nB='$x \\n'\nC=\"-----BEGIN\nabc\n-----END\"\nD=1",
            &[
                ("A", "a # b\n\"c\" $d \\x"),
                ("B", "$x \\n"),
                ("C", "-----BEGIN\nabc\n-----END"),
                ("D", "1"),
            ],
        );
    }

    #[test]
    fn nothing_is_expanded_and_odd_names_are_kept() {
        check(
            "URL=postgres://u:p$w@h/d?x=1\ndiscovery.type=single-node\nmy api.KEY=1",
            &[
                ("URL", "postgres://u:p$w@h/d?x=1"),
                ("discovery.type", "single-node"),
                ("my api.KEY", "1"),
            ],
        );
    }

    #[test]
    fn all_mistakes_are_told_with_their_lines_and_without_values() {
        let text = "A=1\nhunter2\n=hunter3\nB='x' hunter4\nthe key=hunter5\nC=\"hunter6\n";
        let mistakes = parse(text).unwrap_err();
        let told: Vec<_> = mistakes
            .iter()
            .map(|mistake| format!("{}: {}", mistake.line, mistake.message))
            .collect();
        insta::assert_snapshot!(told.join("\n"), @r"
        2: there is no `=`
        3: there is no name before the `=`
        4: there is something after the closing quote
        5: the name before the `=` is none: it holds a blank at position 4
        6: the quote is never closed
        ");
        assert!(!told.join("").contains("hunter"));
    }

    #[test]
    fn the_service_is_what_stands_before_the_last_dot() {
        let parts = |text: &str| {
            let assignment = parse_assignment(text).unwrap();
            (assignment.service, assignment.key, assignment.value)
        };
        assert_eq!(parts("KEY=a=b"), (None, "KEY".into(), "a=b".into()));
        assert_eq!(parts("api.KEY="), (Some("api".into()), "KEY".into(), String::new()));
        assert_eq!(parts("my.api.KEY=1"), (Some("my.api".into()), "KEY".into(), "1".into()));
        assert_eq!(parts("a.b-c=1"), (None, "a.b-c".into(), "1".into()));
        assert_eq!(parse_assignment("hunter2").unwrap_err(), "there is no `=`");
    }
}
