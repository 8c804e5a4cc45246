//! What should not be shown.

/// Parts of names that speak of secrets.
const TELLING: [&str; 9] = [
    "SECRET",
    "TOKEN",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIAL",
    "PRIVATE",
    "DSN",
    "APIKEY",
];
/// The same, where they stand alone between `_`, `-` and `.`.
const TELLING_WORDS: [&str; 7] = ["KEY", "KEYS", "PASS", "PWD", "SALT", "COOKIE", "PEPPER"];
/// Names that are meant for everybody's browser, whatever they speak of.
const PUBLIC_PREFIXES: [&str; 5] =
    ["NEXT_PUBLIC_", "VITE_", "NUXT_PUBLIC_", "REACT_APP_", "PUBLIC_"];

/// What is shown in place of a secret. It tells nothing, not even a length.
#[must_use]
pub fn mask(_value: &str) -> &'static str {
    "••••••••"
}

/// Whether a variable should be masked, by its name (`STRIPE_KEY`, `SENTRY_DSN`) or because its
/// value is an address with a password or a token in it.
#[must_use]
pub fn looks_secret(key: &str, value: &str) -> bool {
    has_telling_name(key) || has_password_in_url(value)
}

fn has_telling_name(key: &str) -> bool {
    let name = key.to_uppercase();
    if PUBLIC_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return false;
    }
    let mut words = name.split(|letter: char| !letter.is_alphanumeric());
    TELLING.iter().any(|part| name.contains(part))
        || name.ends_with("_AUTH")
        || words.any(|word| TELLING_WORDS.contains(&word))
}

fn has_password_in_url(value: &str) -> bool {
    value.match_indices("://").any(|(position, separator)| {
        let rest = &value[position + separator.len()..];
        let authority = rest.split(['/', '?', '#', ' ']).next().unwrap_or_default();
        let Some((login, _)) = authority.rsplit_once('@') else { return false };
        match login.split_once(':') {
            Some((_, password)) => !password.is_empty(),
            // `https://TOKEN@host`: package registries and git hosts take a token as the user.
            None => value[..position].ends_with("http") || value[..position].ends_with("https"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_give_secrets_away() {
        for (key, value) in [
            ("STRIPE_KEY", ""),
            ("JWT_SECRET", ""),
            ("github_token", ""),
            ("SENTRY_DSN", ""),
            ("db.password", ""),
            ("DATABASE_URL", "postgres://u:p@host/db"),
            ("URLS", "http://a http://u:p@b/"),
            ("PIP_INDEX_URL", "https://t0ken@pypi.example/simple"),
            ("NPM_CONFIG__AUTH", "bTp4"),
        ] {
            assert!(looks_secret(key, value), "{key}");
        }
        for (key, value) in [
            ("KEYCLOAK_URL", "http://keycloak:8080"),
            ("MONKEY", "george"),
            ("PATH", "/usr/bin"),
            ("NEXT_PUBLIC_MAP_KEY", "pk.1"),
            ("REDIS_URL", "redis://red-1:6379"),
            ("MAIL", "http://a/b:c@d"),
            ("EMAIL", "me@example.com"),
            ("REPOSITORY", "ssh://git@host/x"),
        ] {
            assert!(!looks_secret(key, value), "{key}");
        }
    }
}
