//! Bytes in the target of a request that a strict URI would have escaped.
//!
//! Programs send them all the same (`?filter={"a":1}`), and servers take them. The parser here does
//! not, so they are escaped before it sees them. Nothing else is changed: where the target begins
//! and ends stays as it was sent.

/// Where in the first line of a request the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    /// Before the first byte: empty lines may come.
    #[default]
    Before,
    Method,
    Target,
    /// Behind what this is about.
    Behind,
}

/// Reads the first line of a request as it comes, in any pieces.
#[derive(Debug, Default)]
pub(super) struct Target(Place);

impl Target {
    /// Takes the next bytes; what they have to be instead, if that differs.
    pub(super) fn escape(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut escaped: Option<Vec<u8>> = None;
        for (at, byte) in bytes.iter().enumerate() {
            let is_behind_before = self.0 == Place::Behind;
            self.step(*byte);
            if is_behind_before {
                if let Some(escaped) = &mut escaped {
                    escaped.extend_from_slice(&bytes[at..]);
                }
                break;
            }
            if self.0 == Place::Target && is_to_escape(*byte) {
                let text = escaped.get_or_insert_with(|| bytes[..at].to_vec());
                text.extend_from_slice(format!("%{byte:02X}").as_bytes());
            } else if let Some(escaped) = &mut escaped {
                escaped.push(*byte);
            }
        }
        escaped
    }

    fn step(&mut self, byte: u8) {
        self.0 = match (self.0, byte) {
            (Place::Before, b'\r' | b'\n') => Place::Before,
            (Place::Before, _) => Place::Method,
            (Place::Method, b' ') => Place::Target,
            (Place::Method | Place::Target, b'\r' | b'\n') | (Place::Target, b' ') => Place::Behind,
            (place, _) => place,
        };
    }
}

/// Printable, and refused by the parser somewhere in a target. Control characters are not for
/// escaping: whoever sends them means no good.
fn is_to_escape(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'`' | b'#' | 0x80..)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(pieces: &[&[u8]]) -> String {
        let mut target = Target::default();
        let all = pieces.iter().flat_map(|piece| target.escape(piece).unwrap_or(piece.to_vec()));
        String::from_utf8(all.collect()).unwrap()
    }

    #[test]
    fn only_the_target_is_escaped() {
        let head = "\r\nGET /\u{17e}`?q={\"a\":1}#<b> HTTP/1.1\r\nx: \"<\u{17e}>\" \"\r\n\r\n\"";
        let expect =
            "\r\nGET /%C5%BE%60?q={%22a%22:1}%23%3Cb%3E HTTP/1.1\r\nx: \"<\u{17e}>\" \"\r\n\r\n\"";
        assert_eq!(whole(&[head.as_bytes()]), expect);
        assert_eq!(Target::default().escape(b"GET /a?b=%22[]|\\^ HTTP/1.1\r\n\r\n"), None);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "GET /[ -~ž]{0,30} HTTP/1.1\r\nx: [ -~]{0,9}", at in 0..40usize) {
            let bytes = text.as_bytes();
            let (first, second) = bytes.split_at(at.min(bytes.len()));
            prop_assert_eq!(whole(&[first, second]), whole(&[bytes]));
        }
    }
}
