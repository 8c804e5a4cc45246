//! Hosts that a service knows itself by, as its own settings say.

use secrecy::ExposeSecret;

use crate::route::RENDER_SUFFIX;
use crate::wiring::Variable;

/// Parts of the names of variables by which frameworks are told the hosts that they answer for.
const SETTINGS: [&str; 2] = ["ALLOWED_HOST", "TRUSTED_HOST"];

/// The host of a service on Render, if its variables allow that one and not every host. Then it is
/// asked for by this name: it would refuse any other.
#[must_use]
pub fn own_render_host(name: &str, variables: &[Variable]) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let usual = format!("{name}{RENDER_SUFFIX}");
    let mut own = None;
    for variable in variables {
        let key = variable.key.to_ascii_uppercase();
        if !SETTINGS.iter().any(|part| key.contains(part)) {
            continue;
        }
        let Some(value) = &variable.value else { continue };
        for host in hosts(value.expose_secret()) {
            if host == "*" {
                return None;
            }
            if own.is_none() && is_own(&host, &name) {
                own = Some(host);
            } else if own.is_none()
                && (host == RENDER_SUFFIX || host == format!("*{RENDER_SUFFIX}"))
            {
                own = Some(usual.clone());
            }
        }
    }
    own
}

/// The name, or the name with the letters that Render adds when somebody else has it.
fn is_own(host: &str, name: &str) -> bool {
    let Some(label) = host.strip_suffix(RENDER_SUFFIX) else { return false };
    let Some(rest) = label.strip_prefix(name) else { return false };
    rest.is_empty()
        || rest.strip_prefix('-').is_some_and(|rest| {
            rest.len() == 4 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
}

/// Lists are written in many ways: with commas, spaces, brackets and quotes; some have URLs in them.
fn hosts(value: &str) -> impl Iterator<Item = String> {
    let words = value.split(|char: char| char.is_whitespace() || ",;|[]()\"'".contains(char));
    words.filter(|word| !word.is_empty()).map(|word| {
        let host = word.split_once("://").map_or(word, |(_, rest)| rest);
        let host = host.split(['/', ':']).next().unwrap_or_default();
        host.to_ascii_lowercase()
    })
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::wiring::{Origin, Phase};

    #[test]
    fn a_service_that_allows_its_render_host_is_asked_for_by_it() {
        let check = |key: &str, value: &str, expected: Option<&str>| {
            let variable = Variable {
                key: key.to_owned(),
                value: Some(SecretString::from(value)),
                origin: Origin::Literal,
                is_secret: false,
                phase: Phase::Both,
            };
            assert_eq!(own_render_host("Shop", &[variable]).as_deref(), expected, "{key}={value}");
        };
        check("ALLOWED_HOSTS", "shop.onrender.com", Some("shop.onrender.com"));
        check(
            "DJANGO_ALLOWED_HOSTS",
            "localhost, shop-a1b2.onrender.com",
            Some("shop-a1b2.onrender.com"),
        );
        check("TRUSTED_HOSTS", "['https://SHOP.onrender.com/']", Some("shop.onrender.com"));
        check("ALLOWED_HOSTS", ".onrender.com", Some("shop.onrender.com"));
        check("ALLOWED_HOSTS", "shop.onrender.com *", None);
        check("ALLOWED_HOSTS", "other.onrender.com", None);
        check("ALLOWED_HOSTS", "shop-api.onrender.com.evil.test", None);
        check("API_URL", "https://shop.onrender.com", None);
    }
}
