//! What other people wrote, so that it stands on a terminal and does nothing to it.
//!
//! Names come from files of repositories, lines from programs, addresses from anybody. Everything
//! that is printed goes through [`shown`], which knows our own styles by a mark that no file has
//! and makes every other letter that could steer a terminal visible.

use std::borrow::Cow;
use std::iter::Peekable;
use std::str::Chars;

use model::text::is_steering;

/// Stands for the two letters that a style of ours begins with, until it is printed: one of the
/// code points that Unicode keeps for the inside of programs.
pub(crate) const STYLE: char = '\u{fdd0}';
/// The same as a text.
pub(crate) const STYLE_TEXT: &str = "\u{fdd0}";
/// Longest parameters of a style that are taken for one.
const PARAMETERS_MAX: usize = 32;
const ESCAPE: char = '\u{1b}';

/// Text as it is written to a terminal or a pipe: our styles as escape sequences, lines and tabs as
/// they are, and of everything else that is no plain letter its name.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    let is_plain = |letter: char| matches!(letter, '\n' | '\t') || !is_special(letter);
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            STYLE => {
                if let Some(parameters) = style(&mut letters) {
                    shown.push_str(&format!("{ESCAPE}[{parameters}m"));
                }
            }
            letter if is_plain(letter) => shown.push(letter),
            letter => shown.extend(letter.escape_default()),
        }
    }
    Cow::Owned(shown)
}

/// JSON whose strings steer no terminal; it says the same.
pub(crate) fn shown_json(json: &str) -> Cow<'_, str> {
    let is_plain = |letter: char| letter == '\n' || !is_special(letter);
    if json.chars().all(is_plain) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len());
    for letter in json.chars() {
        match letter {
            letter if is_plain(letter) => shown.push(letter),
            // JSON has no such letters but in strings, and they all have four digits.
            letter => shown.push_str(&format!("\\u{:04x}", u32::from(letter))),
        }
    }
    Cow::Owned(shown)
}

/// Text in one line: what follows a line's end could pass for a line of ours.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    match text.contains(['\n', '\r']) {
        true => Cow::Owned(text.replace('\n', "⏎").replace('\r', "")),
        false => Cow::Borrowed(text),
    }
}

/// Text without our styles.
pub(crate) fn without_styles(text: &str) -> Cow<'_, str> {
    if !text.contains(STYLE) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            STYLE => drop(style(&mut letters)),
            letter => plain.push(letter),
        }
    }
    Cow::Owned(plain)
}

/// A line of a program's log: its colours, if they are wanted, and none of its other commands to
/// a terminal. Of a line that was written over, what stood there at last.
pub(crate) fn log_line(text: &str, has_colours: bool) -> String {
    let text = text.trim_end_matches('\r');
    let text = text.rsplit('\r').next().unwrap_or(text);
    let mut line = String::with_capacity(text.len());
    let mut is_coloured = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let parameters = match letter {
            ESCAPE => escape_sequence(&mut letters),
            '\u{9b}' => control_sequence(&mut letters),
            // It would pass for a style of ours.
            STYLE => None,
            letter => {
                line.push(letter);
                continue;
            }
        };
        if let Some(parameters) = parameters.filter(|_| has_colours) {
            is_coloured = true;
            line.push_str(&format!("{STYLE}{parameters}m"));
        }
    }
    if is_coloured {
        line.push_str(&format!("{STYLE}0m"));
    }
    line
}

fn is_special(letter: char) -> bool {
    letter == STYLE || is_steering(letter)
}

/// The parameters of a style of ours, behind its mark.
fn style(letters: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut ahead = letters.clone();
    let parameters = control_sequence(&mut ahead)?;
    *letters = ahead;
    Some(parameters)
}

/// Takes the rest of an escape sequence; the parameters if it is a colour.
fn escape_sequence(letters: &mut Peekable<Chars<'_>>) -> Option<String> {
    match letters.next()? {
        '[' => control_sequence(letters),
        // Titles, links, and other texts for the terminal itself.
        ']' | 'P' | 'X' | '^' | '_' => {
            while let Some(letter) = letters.next() {
                if letter == '\u{7}' || (letter == ESCAPE && letters.next_if_eq(&'\\').is_some()) {
                    break;
                }
            }
            None
        }
        ' '..='/' => {
            letters.next();
            None
        }
        _ => None,
    }
}

/// Takes the rest of a control sequence; its parameters if it only changes colours. Hidden text is
/// no colour.
fn control_sequence(letters: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut parameters = String::new();
    while let Some(letter) = letters.next_if(|letter| (' '..='?').contains(letter)) {
        parameters.push(letter);
    }
    let end = letters.next_if(|letter| ('@'..='~').contains(letter));
    let is_colour = end == Some('m')
        && parameters.len() <= PARAMETERS_MAX
        && parameters.chars().all(|letter| letter.is_ascii_digit() || letter == ';')
        && parameters.split(';').next() != Some("8");
    is_colour.then_some(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_steer_a_terminal_is_shown_and_does_nothing() {
        assert_eq!(shown("plain\n\tname"), "plain\n\tname");
        assert_eq!(
            shown("a\u{1b}[2Jb\u{1b}]0;title\u{7}c\u{9b}1Ad\re\u{202e}f\u{8}"),
            "a\\u{1b}[2Jb\\u{1b}]0;title\\u{7}c\\u{9b}1Ad\\re\\u{202e}f\\u{8}"
        );
    }

    #[test]
    fn only_our_own_styles_become_escape_sequences() {
        let ours = crate::cli::paint::Paint::new(true).bad("no");
        assert_eq!(shown(&ours), "\u{1b}[1m\u{1b}[31mno\u{1b}[0m");
        assert_eq!(without_styles(&ours), "no");
        assert_eq!(shown("\u{1b}[31mred"), "\\u{1b}[31mred");
        // The mark alone, and with something else behind it.
        assert_eq!(shown("a\u{fdd0}"), "a");
        assert_eq!(shown("a\u{fdd0}2Jb"), "a2Jb");
    }

    #[test]
    fn json_says_the_same_without_the_letters() {
        let json = serde_json::to_string("a\u{1b}\u{9b}2J\u{7f}\u{202e}\n").unwrap();
        let shown = shown_json(&json);
        assert!(!shown.chars().any(is_steering), "{shown}");
        assert_eq!(
            serde_json::from_str::<String>(&shown).unwrap(),
            "a\u{1b}\u{9b}2J\u{7f}\u{202e}\n"
        );
    }

    #[test]
    fn a_log_line_keeps_its_colours_and_no_other_command() {
        let told = "\u{1b}[32mready\u{1b}[0m \u{1b}[2J\u{1b}]0;title\u{7}\u{1b}]8;;x\u{1b}\\at\u{1b}(B \u{9b}Ahome\u{1b}[8mhidden";
        assert_eq!(log_line(told, false), "ready at homehidden");
        assert_eq!(shown(&log_line(told, true)), "\u{1b}[32mready\u{1b}[0m at homehidden\u{1b}[0m");
        assert_eq!(log_line("10%\r50%\r100%\r", false), "100%");
        assert_eq!(log_line("\u{1b}", true), "");
        assert_eq!(shown(&log_line("\u{fdd0}31mforged", true)), "31mforged");
    }
}
