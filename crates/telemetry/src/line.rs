//! One line, and its form in a file.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Longest text of one line, in bytes: what programs write as one record. What is longer is cut,
/// and says so with [`CUT`].
pub const MAX_TEXT_BYTES: usize = 256 * 1024;

/// What a line ends with that was cut. The rest of it is the next line of its stream.
pub const CUT: &str = " …[cut]";

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

/// What a terminal shows at the end of a line that was drawn over: the text behind the last carriage
/// return that has one.
pub(crate) fn last_state(raw: &[u8]) -> std::ops::Range<usize> {
    let mut end = raw.len();
    while end > 0 && raw[end - 1] == b'\r' {
        end -= 1;
    }
    let start = raw[..end].iter().rposition(|byte| *byte == b'\r').map_or(0, |at| at + 1);
    start..end
}

/// Appends the lines that `raw` makes (one, or more if it is long), and says how many. `goes_on`
/// says that the rest of the line is still to come.
pub(crate) fn encode(
    (micros, stream): (i64, Stream),
    raw: &[u8],
    goes_on: bool,
    out: &mut Vec<u8>,
) -> u64 {
    let lossy = String::from_utf8_lossy(&raw[last_state(raw)]);
    let clean: String =
        lossy.chars().filter(|c| !c.is_control() || matches!(c, '\t' | '\x1b')).collect();
    let mut rest = clean.as_str();
    let mut lines = 0;
    loop {
        let (text, next) = rest.split_at(rest.floor_char_boundary(MAX_TEXT_BYTES));
        out.extend_from_slice(micros.to_string().as_bytes());
        out.extend_from_slice(&[b' ', stream.letter(), b' ']);
        out.extend_from_slice(text.as_bytes());
        if goes_on || !next.is_empty() {
            out.extend_from_slice(CUT.as_bytes());
        }
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
    fn of_a_line_that_was_drawn_over_the_last_state_counts() {
        for (raw, expect) in [
            (&b"a 10%\ra 50%\ra 100%"[..], &b"a 100%"[..]),
            (b"text\r", b"text"),
            (b"50%\r\r", b"50%"),
            (b"\rdone", b"done"),
            (b"\r", b""),
            (b"", b""),
        ] {
            assert_eq!(&raw[last_state(raw)], expect);
        }
    }

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
