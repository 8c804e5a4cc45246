//! One line, and its form in a file.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Longest text of one line, in bytes; what is longer is split.
pub const MAX_TEXT_BYTES: usize = 16 * 1024;

/// Who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// The instance, on its standard output.
    Stdout,
    /// The instance, on its standard error.
    Stderr,
    /// Gable, about the instance.
    Gable,
}

impl Stream {
    pub(crate) const ALL: [Self; 3] = [Self::Stdout, Self::Stderr, Self::Gable];

    pub(crate) fn letter(self) -> u8 {
        match self {
            Self::Stdout => b'o',
            Self::Stderr => b'e',
            Self::Gable => b's',
        }
    }
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When its end was seen.
    pub at: Timestamp,
    /// Who said it.
    pub stream: Stream,
    /// The id of the instance, which is the name of the file.
    pub instance: String,
    /// What was said.
    pub text: String,
}

impl LogLine {
    /// Reads one line of a file, without its end; `None` if it is not one that a writer made.
    #[must_use]
    pub fn parse(bytes: &[u8], instance: &str) -> Option<Self> {
        let mut parts = bytes.splitn(3, |byte| *byte == b' ');
        let micros = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
        let at = Timestamp::from_microsecond(micros).ok()?;
        let letter = match parts.next()? {
            [letter] => *letter,
            _ => return None,
        };
        let stream = Stream::ALL.into_iter().find(|stream| stream.letter() == letter)?;
        let text = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        Some(Self { at, stream, instance: instance.to_owned(), text })
    }
}

/// Appends the lines that `raw` makes (one, or more if it is long), and says how many.
pub(crate) fn encode(micros: i64, stream: Stream, raw: &[u8], out: &mut Vec<u8>) -> u64 {
    let lossy = String::from_utf8_lossy(raw);
    let clean: String =
        lossy.chars().filter(|c| !c.is_control() || matches!(c, '\t' | '\x1b')).collect();
    let mut rest = clean.as_str();
    let mut lines = 0;
    loop {
        let (text, next) = rest.split_at(rest.floor_char_boundary(MAX_TEXT_BYTES));
        out.extend_from_slice(micros.to_string().as_bytes());
        out.extend_from_slice(&[b' ', stream.letter(), b' ']);
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
        lines += 1;
        if next.is_empty() {
            return lines;
        }
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_no_writer_made_are_no_lines() {
        for bytes in [&b""[..], b"1 o", b"x o text", b"1 q text", b"1 oo text", b"1", b"\xff\xff"] {
            let line = LogLine::parse(bytes, "i");
            assert!(line.is_none_or(|line| line.text.is_empty()), "{bytes:?}");
        }
        assert_eq!(
            LogLine::parse(b"1700000000000000 e a  b ", "i").map(|l| l.text).as_deref(),
            Some("a  b ")
        );
    }
}
