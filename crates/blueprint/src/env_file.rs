//! Files of variables: `.env`, `env_file`, `--env-file`. There is one reader for all of them.
//!
//! The rules are those that Docker documents for env files:
//! - A line is `NAME=value` or `NAME: value`, with `export` before it if one likes. A line of a name
//!   only takes its value from outside. Blanks around a value do not count.
//! - `#` begins a comment at the start of a line, and behind a blank; `#` inside a word is part of it.
//! - In single quotes everything is as it is, but `\'` is a quote. In double quotes `\n`, `\r`, `\t`,
//!   `\"`, `\\` and `\$` are known. Both may span lines; behind them comes nothing but a comment.
//! - Values that are not in single quotes may name variables, where the caller fills them in.
//!
//! What is none of this is a [`Mistake`] with line and column, and never left out. No mistake holds a
//! value.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::compose::interpolate::{Filled, fill};
use crate::finding::{Code, Finding, Mode};
use crate::source::Source;

/// Most variables of one file.
const COUNT_LIMIT: usize = 10_000;
/// Most mistakes that are told of one file; it is none of variables then.
const MISTAKE_LIMIT: usize = 50;

/// What a file says.
#[derive(Clone, Default)]
pub struct EnvFile {
    /// Its variables, in their order; a name may stand twice, and then the last one counts.
    pub lines: Vec<Line>,
    /// What is not understood.
    pub mistakes: Vec<Mistake>,
}

/// One variable of a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    /// Its name. Real files use names that are no identifiers.
    pub name: String,
    /// Its value; `None` where the line holds the name only: it comes from outside.
    pub value: Option<String>,
    /// Variables that the value names and that have neither value nor default, by name.
    pub unset: Vec<String>,
    /// Variables that the value cannot be without (`${NAME:?why}`), by name.
    pub required: Vec<String>,
}

/// A place that is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong there.
    pub message: &'static str,
    bytes: Range<usize>,
}

/// What becomes of variables that values name.
#[derive(Clone, Copy)]
pub enum Named<'a> {
    /// Nothing: a `$` is a `$`.
    AsWritten,
    /// Their values take their place: those from outside first, then those of lines above.
    Filled(&'a dyn Fn(&str) -> Option<String>),
}

/// Reads a file: all its lines, and all its mistakes.
#[must_use]
pub fn read(text: &str, named: Named<'_>) -> EnvFile {
    let mut reader =
        Reader { text, at: 0, named, file: EnvFile::default(), known: BTreeMap::new() };
    if text.starts_with('\u{feff}') {
        reader.at = '\u{feff}'.len_utf8();
    }
    while reader.at < text.len() && reader.file.mistakes.len() < MISTAKE_LIMIT {
        if reader.file.lines.len() == COUNT_LIMIT {
            reader.mistake(reader.at, "a file holds 10000 variables at most");
            break;
        }
        reader.statement();
    }
    reader.placed()
}

impl EnvFile {
    /// Each variable that has a value with the last one; or a finding for each mistake.
    ///
    /// # Errors
    /// The mistakes as findings in the file of this path.
    pub fn variables(self, path: &str) -> Result<BTreeMap<String, String>, Vec<Finding>> {
        if self.mistakes.is_empty() {
            return Ok(self
                .lines
                .into_iter()
                .filter_map(|it| Some((it.name, it.value?)))
                .collect());
        }
        Err(self.mistakes.iter().map(|mistake| mistake.finding(path)).collect())
    }
}

impl Mistake {
    fn finding(&self, path: &str) -> Finding {
        let code = Code::EnvFileLine;
        Finding {
            severity: code.severity(Mode::Tolerant),
            code,
            message: self.message.to_owned(),
            file: Some(path.to_owned()),
            span: crate::Span { bytes: self.bytes.clone(), line: self.line, column: self.column },
            path: String::new(),
            hint: Some(HINT.to_owned()),
            repair: None,
        }
    }

    /// The bytes that it is about.
    pub(crate) fn bytes(&self) -> Range<usize> {
        self.bytes.clone()
    }
}

/// What to do about a mistake.
pub(crate) const HINT: &str = "a line is `NAME=value`; a value with blanks, quotes or `#` stands in quotes as a whole, and `\\'` is a quote in them";

struct Reader<'t> {
    text: &'t str,
    at: usize,
    named: Named<'t>,
    file: EnvFile,
    /// Values of the lines above.
    known: BTreeMap<String, String>,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// The end of the line that the reader is in.
    fn line_end(&self) -> usize {
        self.rest().find('\n').map_or(self.text.len(), |length| self.at + length)
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\u{b}', '\u{c}']).len();
    }

    fn next_line(&mut self) {
        self.at = (self.line_end() + 1).min(self.text.len());
    }

    /// Line and column follow when all are known, so that long files cost little.
    fn mistake(&mut self, at: usize, message: &'static str) {
        let letter = self.text[at..].chars().next().map_or(0, char::len_utf8);
        let bytes = at..at + letter;
        self.file.mistakes.push(Mistake { line: 0, column: 0, message, bytes });
    }

    fn placed(mut self) -> EnvFile {
        let source = Source::new(self.text);
        for mistake in &mut self.file.mistakes {
            let span = source.span(mistake.bytes.clone());
            (mistake.line, mistake.column) = (span.line, span.column);
        }
        self.file
    }

    /// One line, or several when a value in quotes spans them.
    fn statement(&mut self) {
        self.skip_blanks();
        if let Some(rest) = self.rest().strip_prefix("export")
            && rest.starts_with([' ', '\t'])
        {
            self.at += "export".len();
            self.skip_blanks();
        }
        let line = &self.text[self.at..self.line_end()];
        if line.trim().is_empty() || line.starts_with('#') {
            return self.next_line();
        }
        let Some(sign) = uncommented(line).find(['=', ':']) else {
            let name = uncommented(line);
            match check_name(name) {
                Ok(()) => self.push(name, None),
                Err((offset, _)) => self.mistake(self.at + offset, "there is no `=`"),
            }
            return self.next_line();
        };
        let name = line[..sign].trim_end();
        if let Err((offset, message)) = check_name(name) {
            self.mistake(self.at + offset, message);
            return self.next_line();
        }
        self.at += sign + 1;
        let Some(value) = self.value() else { return self.next_line() };
        self.push(name, Some(value));
        self.next_line();
    }

    fn push(&mut self, name: &str, value: Option<Value>) {
        let mut filled = Filled::default();
        let value = value.map(|value| match value {
            Value::Exact(text) => text,
            Value::Open { text, at } => {
                filled = self.filled(text, at);
                std::mem::take(&mut filled.text)
            }
        });
        if let Some(value) = &value {
            self.known.insert(name.to_owned(), value.clone());
        }
        self.file.lines.push(Line {
            name: name.to_owned(),
            value,
            unset: filled.unset,
            required: filled.required.into_iter().map(|(name, _)| name).collect(),
        });
    }

    /// A text with the variables in it filled in.
    fn filled(&mut self, text: String, at: usize) -> Filled {
        let Named::Filled(outside) = self.named else {
            return Filled::as_written(text);
        };
        let lookup = |name: &str| outside(name).or_else(|| self.known.get(name).cloned());
        match fill(&text, &lookup) {
            Ok(filled) => filled,
            Err(_) => {
                self.mistake(
                    at,
                    "`${…}` is not closed, or holds something else than a name and a default; in single quotes it stays as it is",
                );
                Filled::default()
            }
        }
    }

    /// The value behind the sign; `None` after a mistake.
    fn value(&mut self) -> Option<Value> {
        let begin = self.at;
        self.skip_blanks();
        let at = self.at;
        match self.rest().chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let value = self.quoted(quote)?;
                self.end_of_quoted()?;
                Some(match quote {
                    '"' => Value::Open { text: value, at },
                    _ => Value::Exact(value),
                })
            }
            // `A= # why` has a comment; `A=#fff` has not, as no blank stands before it.
            _ => {
                let line = &self.text[begin..self.line_end()];
                Some(Value::Open { text: uncommented(line).to_owned(), at })
            }
        }
    }

    /// A text up to its closing quote, and behind it. `None` when there is none, with the reader at
    /// the line where it was opened.
    fn quoted(&mut self, quote: char) -> Option<String> {
        let begin = self.at;
        let mut value = String::new();
        let mut letters = self.text[begin + 1..].char_indices().peekable();
        while let Some((offset, letter)) = letters.next() {
            match letter {
                '\\' => {
                    let next = letters.next_if(|(_, next)| is_escape(quote, *next));
                    self.escape(quote, next.map(|(_, next)| next), &mut value);
                }
                '\r' if letters.peek().is_some_and(|(_, next)| *next == '\n') => {}
                letter if letter == quote => {
                    self.at = begin + 1 + offset + 1;
                    return Some(value);
                }
                letter => value.push(letter),
            }
        }
        self.mistake(begin, "the quote is never closed");
        None
    }

    fn escape(&self, quote: char, letter: Option<char>, value: &mut String) {
        match letter {
            None => value.push('\\'),
            Some('\\') if quote == '\'' => value.push_str("\\\\"),
            Some('n') => value.push('\n'),
            Some('r') => value.push('\r'),
            Some('t') => value.push('\t'),
            // Two of them are one when variables are filled in.
            Some('$') if matches!(self.named, Named::Filled(_)) => value.push_str("$$"),
            Some(letter) => value.push(letter),
        }
    }

    /// Behind a closing quote there is a comment at most.
    fn end_of_quoted(&mut self) -> Option<()> {
        self.skip_blanks();
        if matches!(self.rest().chars().next(), None | Some('\n' | '#')) {
            return Some(());
        }
        self.mistake(self.at, "there is something after the closing quote");
        None
    }
}

/// A value as it was read.
enum Value {
    /// As it is to be.
    Exact(String),
    /// Variables in it may be filled in; with the byte where it begins.
    Open { text: String, at: usize },
}

/// What may follow a backslash in a quoted text.
fn is_escape(quote: char, letter: char) -> bool {
    match quote {
        '\'' => matches!(letter, '\'' | '\\'),
        _ => matches!(letter, 'n' | 'r' | 't' | '"' | '\\' | '$'),
    }
}

/// A line without quotes, up to its comment.
fn uncommented(line: &str) -> &str {
    let comment =
        line.match_indices('#').map(|(at, _)| at).find(|at| line[..*at].ends_with([' ', '\t']));
    line[..comment.unwrap_or(line.len())].trim()
}

/// Real files use names that are no identifiers, and with `SERVICE.KEY` the service may have
/// blanks; so only what would be ambiguous is refused. The mistake has its offset.
fn check_name(name: &str) -> Result<(), (usize, &'static str)> {
    if name.is_empty() {
        return Err((0, "there is no name before the `=`"));
    }
    let is_odd = |letter: char| matches!(letter, '"' | '\'' | '#') || letter.is_control();
    if let Some(at) = name.find(is_odd) {
        return Err((at, "the name before the `=` holds a quote, a `#` or a control character"));
    }
    let key = name.rfind('.').map_or(0, |dot| dot + 1);
    match name[key..].find(char::is_whitespace) {
        Some(at) => Err((key + at, "the name before the `=` holds a blank")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
