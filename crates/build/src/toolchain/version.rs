//! Comparing versions as people write them.

use nodejs_semver::{Range, Version};

/// The numbers at the start of a version: `v3.11.x` has 3 and 11.
fn numbers(text: &str) -> Vec<u64> {
    text.trim()
        .trim_start_matches(|letter: char| !letter.is_ascii_digit())
        .split('.')
        .map_while(|part| {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        })
        .collect()
}

/// Whether the first `depth` numbers of `asked`, as far as it has them, are those of `found`.
/// A text without numbers (`stable`) asks for nothing.
pub(super) fn is_prefix_of(asked: &str, found: &str, depth: usize) -> bool {
    let found = numbers(found);
    numbers(asked)
        .iter()
        .take(depth)
        .enumerate()
        .all(|(place, number)| found.get(place) == Some(number))
}

/// Whether `found` is `least` or newer.
pub(super) fn is_at_least(found: &str, least: &str) -> bool {
    numbers(found) >= numbers(least)
}

/// `3.12` of `3.12.1`; `None` when there are not two numbers.
pub(super) fn major_minor(text: &str) -> Option<String> {
    match numbers(text)[..] {
        [major, minor, ..] => Some(format!("{major}.{minor}")),
        _ => None,
    }
}

/// Whether the text is one of the channels of Rust that every installation can stand in for.
pub(super) fn is_channel(text: &str) -> bool {
    matches!(text, "stable" | "beta")
}

/// What is asked of Node.js.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum NodeWish {
    /// Any version.
    Any,
    /// One of a range, in npm's own spelling.
    Range(String),
    /// A text that is no range.
    Unknown,
}

/// Code names of the long-term releases of Node.js (nodejs/Release `schedule.json`).
const LONG_TERM: &[(&str, u32)] = &[
    ("argon", 4),
    ("boron", 6),
    ("carbon", 8),
    ("dubnium", 10),
    ("erbium", 12),
    ("fermium", 14),
    ("gallium", 16),
    ("hydrogen", 18),
    ("iron", 20),
    ("jod", 22),
    ("krypton", 24),
];

pub(super) fn node_wish(text: &str) -> NodeWish {
    let text = text.trim().trim_matches(['"', '\'']);
    let text = text.strip_prefix("node-").unwrap_or(text);
    if matches!(
        text,
        "" | "*" | "x" | "node" | "latest" | "current" | "stable" | "lts" | "lts/*" | "--lts"
    ) {
        return NodeWish::Any;
    }
    if let Some(name) = text.strip_prefix("lts/") {
        let known = LONG_TERM.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        return known.map_or(NodeWish::Unknown, |(_, major)| NodeWish::Range(major.to_string()));
    }
    match Range::parse(text) {
        Ok(_) => NodeWish::Range(text.to_owned()),
        Err(_) => NodeWish::Unknown,
    }
}

/// Whether `version` lies in npm's `range`.
pub(super) fn satisfies(version: &str, range: &str) -> bool {
    match (Version::parse(version.trim_start_matches('v')), Range::parse(range)) {
        (Ok(version), Ok(range)) => version.satisfies(&range),
        _ => false,
    }
}

/// The newest of some versions of one tool.
pub(super) fn newest(versions: impl IntoIterator<Item = String>) -> Option<String> {
    versions.into_iter().max_by_key(|version| numbers(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_version_is_enough() {
        assert!(is_prefix_of("3.11", "3.11.2", 2));
        assert!(is_prefix_of("3.11.9", "3.11.2", 2));
        assert!(is_prefix_of("3", "3.11.2", 2));
        assert!(is_prefix_of("stable", "1.80.0", 2));
        assert!(!is_prefix_of("3.1", "3.11.2", 2));
        assert!(!is_prefix_of("3.12.0", "3.11.2", 2));
    }

    #[test]
    fn go_asks_for_a_least_version() {
        assert!(is_at_least("1.22.3", "1.22"));
        assert!(is_at_least("1.100", "1.22"));
        assert!(!is_at_least("1.19.8", "1.22"));
    }

    #[test]
    fn ranges_of_node_are_those_of_npm() {
        let cases = [
            ("20.20.2", "20", true),
            ("20.20.2", ">=18 <21", true),
            ("20.20.2", "~16.13.0", false),
            ("20.20.2", "18.x || 20.x", true),
            ("v20.20.2", "^20.0.0", true),
            ("20.20.2", "22", false),
            ("20.20.2", "18 - 20", true),
        ];
        for (version, range, expect) in cases {
            assert_eq!(satisfies(version, range), expect, "{version} in {range}");
        }
    }

    #[test]
    fn words_for_versions_of_node_are_understood() {
        assert_eq!(node_wish("lts/iron"), NodeWish::Range("20".to_owned()));
        assert_eq!(node_wish("lts/*"), NodeWish::Any);
        assert_eq!(node_wish(" v20.1.0 "), NodeWish::Range("v20.1.0".to_owned()));
        assert_eq!(node_wish("sometime"), NodeWish::Unknown);
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let versions = ["9.11.0", "22.9.0", "22.23.3"].map(str::to_owned);
        assert_eq!(newest(versions).as_deref(), Some("22.23.3"));
    }
}
