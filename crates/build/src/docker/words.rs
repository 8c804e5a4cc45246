//! Words of Dockerfile instructions: quotes, variables, markers of here-documents.

/// How deep defaults in variables may lie: `${A:-${B:-c}}`.
const MAX_DEPTH: usize = 8;
/// A value may not grow without end by naming others.
const MAX_EXPANDED_BYTES: usize = 64 << 10;

/// `<<EOF`, `<<-"EOF"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marker {
    pub(super) name: String,
    pub(super) is_expanded: bool,
    pub(super) strips_tabs: bool,
}

/// The words of a text, without their quotes.
pub(super) fn split(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None | Some('"'), _) if letter == escape => {
                word.get_or_insert_default().extend(letters.next());
            }
            (None, _) if letter.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// The text with `$A`, `${A}`, `${A:-b}` and `${A:+b}` replaced; what is not known is empty.
pub(super) fn expand(text: &str, known: &[(String, String)]) -> String {
    expand_at(text, known, 0)
}

fn expand_at(text: &str, known: &[(String, String)], depth: usize) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if expanded.len() > MAX_EXPANDED_BYTES || depth > MAX_DEPTH {
            return expanded;
        }
        if let Some(inner) = rest.strip_prefix('{') {
            let Some(end) = closing(inner) else { return expanded };
            expanded.push_str(&braced(&inner[..end], known, depth));
            rest = &inner[end + 1..];
            continue;
        }
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let end = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
        if end == 0 {
            expanded.push('$');
        }
        expanded.push_str(value(known, &rest[..end]).unwrap_or_default());
        rest = &rest[end..];
    }
    expanded.push_str(rest);
    expanded
}

fn braced(inner: &str, known: &[(String, String)], depth: usize) -> String {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let end = inner.find(|letter| !is_name(letter)).unwrap_or(inner.len());
    let (name, rest) = inner.split_at(end);
    let found = value(known, name);
    let filled = found.filter(|value| !value.is_empty());
    let (found, other) = match rest.strip_prefix(':') {
        Some(other) => (filled, other),
        None => (found, rest),
    };
    match other.chars().next() {
        Some('-') => found.map_or_else(|| expand_at(&other[1..], known, depth + 1), str::to_owned),
        Some('+') if found.is_some() => expand_at(&other[1..], known, depth + 1),
        Some('+') => String::new(),
        _ => found.unwrap_or_default().to_owned(),
    }
}

/// Where the brace that was opened before `text` ends.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
    }
    None
}

fn value<'a>(known: &'a [(String, String)], name: &str) -> Option<&'a str> {
    known.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// The here-documents that an instruction's line announces. A marker is a word of its own, so
/// neither `<<<` nor a shift in arithmetic is one.
pub(super) fn markers(arguments: &str) -> Vec<Marker> {
    let mut markers = Vec::new();
    let mut quote = None;
    let mut begins_word = true;
    let mut rest = arguments;
    while let Some(letter) = rest.chars().next() {
        if begins_word && quote.is_none() {
            let digits = rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
            if let Some(text) = digits.strip_prefix("<<")
                && let Some(marker) = marker(text)
            {
                markers.push(marker);
            }
        }
        match quote {
            Some(open) if open == letter => quote = None,
            None if letter == '"' || letter == '\'' => quote = Some(letter),
            _ => {}
        }
        begins_word = letter.is_whitespace();
        rest = &rest[letter.len_utf8()..];
    }
    markers
}

fn marker(text: &str) -> Option<Marker> {
    let (strips_tabs, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let word = text[..end].split(['<', '>', '|', ';', '&', ')']).next().unwrap_or_default();
    let name = word.trim_matches(['"', '\'']);
    let is_name = !name.is_empty() && !name.contains(['"', '\'', '(', '$']);
    let is_expanded = name.len() == word.len();
    is_name.then(|| Marker { name: name.to_owned(), is_expanded, strips_tabs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_words_together() {
        assert_eq!(
            split(r#"A=1  B="x y" C='$z "' D=a\ b"#, '\\'),
            ["A=1", "B=x y", "C=$z \"", "D=a b"]
        );
        assert_eq!(split("A=\"", '\\'), ["A="]);
    }

    #[test]
    fn variables_are_replaced_in_all_their_forms() {
        let known = [("A".to_owned(), "1".to_owned()), ("E".to_owned(), String::new())];
        for (text, expected) in [
            ("x:$A-y", "x:1-y"),
            ("${A}", "1"),
            ("${N}", ""),
            ("${N:-d}${E:-e}${E-f}", "de"),
            ("${A:+${A}2}", "12"),
            ("${N:-${M:-deep}}", "deep"),
            ("$", "$"),
            ("${A", ""),
        ] {
            assert_eq!(expand(text, &known), expected, "{text}");
        }
    }

    #[test]
    fn values_cannot_grow_without_end() {
        let text = "${A:-".repeat(10_000);
        assert!(expand(&text, &[]).len() < MAX_EXPANDED_BYTES);
    }

    #[test]
    fn only_words_of_their_own_announce_documents() {
        let names = |text: &str| -> Vec<String> {
            markers(text).into_iter().map(|marker| marker.name).collect()
        };
        assert_eq!(names("cat <<EOF > /x"), ["EOF"]);
        assert_eq!(names("<<A <<'B' /to"), ["A", "B"]);
        assert_eq!(names("python3 <<EOF && <<-\"X\" sh"), ["EOF", "X"]);
        assert_eq!(names("echo $((1<<2)) '<<no' \"a <<b\" <<<y << z"), Vec::<String>::new());
    }
}
