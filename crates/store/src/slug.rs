//! Names that can stand in DNS, made of names that people wrote.

/// Room for `-discovery` and a number within the 63 letters of a DNS label.
const MAX_BYTES: usize = 48;

/// Labels that are never given to a service: Gable's own pages.
pub const RESERVED_HOSTS: [&str; 2] = ["gable", "www"];

/// A DNS label of small letters, digits and single hyphens: `My App (old)` becomes `my-app-old`.
/// What leaves nothing becomes `service`; what is only digits gets a letter before it, because it
/// would be read as an address.
#[must_use]
pub fn slug(name: &str) -> String {
    let mut slug = String::new();
    for letter in name.chars().flat_map(char::to_lowercase) {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(MAX_BYTES);
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() {
        return "service".to_owned();
    }
    if slug.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        return format!("s-{slug}");
    }
    slug.to_owned()
}

/// `base`, then `base-2`, `base-3` …
pub fn numbered(base: &str) -> impl Iterator<Item = String> {
    let first = std::iter::once(base.to_owned());
    first.chain((2u32..).map(move |number| format!("{base}-{number}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_real_files_become_labels() {
        let cases = [
            ("api", "api"),
            ("backend/mainnet", "backend-mainnet"),
            ("fusionauth-app:latest", "fusionauth-app-latest"),
            ("mysite prod", "mysite-prod"),
            ("Flagsmith Database", "flagsmith-database"),
            ("__a..b__", "a-b"),
            ("Größe", "gr-e"),
            ("日本", "service"),
            ("42", "s-42"),
            ("", "service"),
        ];
        for (name, expected) in cases {
            assert_eq!(slug(name), expected);
        }
        assert!(slug(&"long name ".repeat(40)).len() <= MAX_BYTES);
    }
}
