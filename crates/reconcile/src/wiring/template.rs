//! The value of a text with `${…}` in it. Render has no such thing; see `EnvSource::Template`.

/// `(offset, length)` in characters, as in a shell; what lies outside is empty.
pub(super) fn slice(text: &str, (offset, length): (usize, usize)) -> String {
    text.chars().skip(offset).take(length).collect()
}

/// Escapes what has a meaning in an address, so that any user name or password can stand in one.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_count_characters_and_never_fail() {
        assert_eq!(slice("0123456789", (0, 7)), "0123456");
        assert_eq!(slice("äöü", (1, 1)), "ö");
        assert_eq!(slice("abc", (2, usize::MAX)), "c");
        assert_eq!(slice("abc", (9, 2)), "");
    }

    #[test]
    fn anything_can_stand_in_an_address() {
        assert_eq!(escape("a-Z_0.~"), "a-Z_0.~");
        assert_eq!(escape("p@ss:w/rd ä"), "p%40ss%3Aw%2Frd%20%C3%A4");
    }
}
