//! Log lines as text for people: without colours, without secrets, not too long.

/// A detail is never longer than this, in characters.
pub const DETAIL_CHARS_MAX: usize = 600;
/// One line of a detail is cut to this.
const LINE_CHARS_MAX: usize = 240;
/// So many lines of a log's end are read.
const LINES_MAX: usize = 500;
/// A line of a log is read to this length.
const LINE_BYTES_MAX: usize = 2_000;
/// Shorter values are no secrets, whatever their variable is called: hiding every `0` and `yes`
/// would only make texts unreadable.
const SECRET_BYTES_MIN: usize = 4;
/// A line of a secret that has several lines is hidden by itself from this length on.
const SECRET_LINE_BYTES_MIN: usize = 8;
const MASK: &str = "•••";

/// The end of a log without escape sequences and control characters.
pub(super) fn clean(lines: &[String]) -> Vec<String> {
    let first = lines.len().saturating_sub(LINES_MAX);
    lines[first..].iter().map(|line| clean_line(line)).collect()
}

fn clean_line(line: &str) -> String {
    let mut clean = String::with_capacity(line.len().min(LINE_BYTES_MAX));
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        if clean.len() >= LINE_BYTES_MAX {
            break;
        }
        match letter {
            '\u{1b}' => skip_escape(&mut letters),
            '\t' => clean.push_str("    "),
            letter if letter.is_control() => {}
            letter => clean.push(letter),
        }
    }
    clean.truncate(clean.trim_end().len());
    clean
}

/// `ESC [ … letter` is a colour or a movement; other sequences have one more character.
fn skip_escape(letters: &mut std::str::Chars<'_>) {
    if letters.next() == Some('[') {
        for letter in letters.by_ref() {
            if ('\u{40}'..='\u{7e}').contains(&letter) {
                break;
            }
        }
    }
}

/// Whether `line` holds `word`, and not as a part of a longer name.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    !word.is_empty()
        && line.match_indices(word).any(|(position, _)| {
            let before = line[..position].chars().next_back();
            let after = line[position + word.len()..].chars().next();
            !before.is_some_and(is_part) && !after.is_some_and(is_part)
        })
}

/// Takes secrets out of texts.
pub(super) struct Redaction<'a> {
    /// Longest first: one secret may hold another.
    secrets: Vec<&'a str>,
}

impl<'a> Redaction<'a> {
    pub(super) fn new(secrets: &'a [String]) -> Self {
        let mut all: Vec<&str> = Vec::new();
        for secret in secrets {
            all.push(secret);
            all.push(secret.trim());
            all.extend(secret.lines().filter(|line| line.len() >= SECRET_LINE_BYTES_MIN));
        }
        all.retain(|secret| secret.len() >= SECRET_BYTES_MIN);
        all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        all.dedup();
        Self { secrets: all }
    }

    /// The text without secrets.
    pub(super) fn masked(&self, text: &str) -> String {
        let mut text = mask_passwords(text);
        for secret in &self.secrets {
            if text.contains(secret) {
                text = text.replace(secret, MASK);
            }
        }
        text
    }

    fn is_clean(&self, text: &str) -> bool {
        !self.secrets.iter().any(|secret| text.contains(secret))
    }

    /// The text if it holds no secret; a text that only makes sense as a whole.
    pub(super) fn whole(&self, text: &str) -> Option<String> {
        (self.is_clean(text) && mask_passwords(text) == text).then(|| text.to_owned())
    }

    /// The lines as one text, without repetitions; `None` if nothing can be shown.
    pub(super) fn detail(&self, lines: &[String]) -> Option<String> {
        let mut shown: Vec<String> = Vec::new();
        for line in lines {
            let line = shorten(&self.masked(line.trim()), LINE_CHARS_MAX);
            if !line.is_empty() && !shown.contains(&line) {
                shown.push(line);
            }
        }
        let detail = shorten(&shown.join("\n"), DETAIL_CHARS_MAX);
        // A secret so short or odd that the mask itself holds it: better no detail than that one.
        (!detail.is_empty() && self.is_clean(&detail)).then_some(detail)
    }
}

/// `scheme://user:password@host` without the password, whoever's it is.
fn mask_passwords(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find("://") {
        let (before, after) = rest.split_at(position + 3);
        masked.push_str(before);
        let end = after.find(|letter: char| letter.is_whitespace() || "/\"'`<>".contains(letter));
        let (authority, tail) = after.split_at(end.unwrap_or(after.len()));
        match authority.rsplit_once('@').map(|(login, host)| (login.split_once(':'), host)) {
            Some((Some((user, _)), host)) => {
                masked.push_str(&format!("{user}:{MASK}@{host}"));
            }
            _ => masked.push_str(authority),
        }
        rest = tail;
    }
    masked.push_str(rest);
    masked
}

fn shorten(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(chars_max - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_no_secret_whatever_it_is_called() {
        let secrets = ["0".to_owned(), "hunt".to_owned()];
        let detail = Redaction::new(&secrets).detail(&["openssl-3.0.x hunt".to_owned()]);
        assert_eq!(detail.as_deref(), Some("openssl-3.0.x •••"));
    }
}
