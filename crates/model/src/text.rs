//! Texts that other people wrote: what they must not hold.

/// Whether a letter does something to a terminal instead of standing on it: control characters,
/// which move the cursor or begin commands, and those that reorder or part lines, so that what is
/// read is not what is there.
#[must_use]
pub fn is_steering(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}')
        || matches!(letter, '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{061c}')
}

/// Why a text cannot be a name. `Display` says it without the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameFault {
    /// There is nothing.
    Empty,
    /// A letter that such a name cannot have.
    Letter {
        /// The letter.
        letter: char,
        /// Which one of the name it is, from 1.
        position: usize,
    },
}

impl std::fmt::Display for NameFault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self::Letter { letter, position } = self else {
            return formatter.write_str("it is empty");
        };
        match letter {
            '\n' | '\r' => formatter.write_str("it holds a line break")?,
            ' ' => formatter.write_str("it holds a blank")?,
            letter if is_steering(*letter) || letter.is_whitespace() => {
                write!(formatter, "it holds the character {}", letter.escape_unicode())?;
            }
            letter => write!(formatter, "it holds a `{letter}`")?,
        }
        write!(formatter, " at position {position}")
    }
}

/// Whether a text can name a thing: a service, a data store, a group, a project.
///
/// # Errors
/// When it is empty, or holds a letter that could steer a terminal.
pub fn check_name(name: &str) -> Result<(), NameFault> {
    check(name, is_steering)
}

/// Whether a text can name an environment variable. Real files use names that are no identifiers
/// (`discovery.type`); blanks, `=` and quotes are none of any program's.
///
/// # Errors
/// When it is empty, or holds such a letter.
pub fn check_variable_name(name: &str) -> Result<(), NameFault> {
    check(name, |letter| {
        is_steering(letter) || letter.is_whitespace() || matches!(letter, '=' | '"' | '\'' | '#')
    })
}

fn check(name: &str, is_bad: impl Fn(char) -> bool) -> Result<(), NameFault> {
    if name.is_empty() {
        return Err(NameFault::Empty);
    }
    match name.chars().enumerate().find(|(_, letter)| is_bad(*letter)) {
        Some((index, letter)) => Err(NameFault::Letter { letter, position: index + 1 }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_letter_that_no_name_has_is_refused_with_its_position() {
        let told = |name: &str| check_variable_name(name).unwrap_err().to_string();
        assert_eq!(told(""), "it is empty");
        assert_eq!(told("MY KEY"), "it holds a blank at position 3");
        assert_eq!(told("A\nB"), "it holds a line break at position 2");
        assert_eq!(told("A=B"), "it holds a `=` at position 2");
        assert_eq!(told("\u{1b}[2J"), "it holds the character \\u{1b} at position 1");
        assert_eq!(told("A\u{202e}"), "it holds the character \\u{202e} at position 2");
        for name in ["PATH", "discovery.type", "npm_config_//host/:_auth", "Größe"] {
            assert_eq!(check_variable_name(name), Ok(()), "{name}");
        }
        assert_eq!(check_name("mysite prod = old"), Ok(()));
        assert!(check_name("web\u{9b}2J").is_err());
    }
}
