//! Logging in: what a registry asks for with its 401, and what is sent in return.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Client;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::{Endpoint, Session, bounded, unreachable};
use crate::Error;

/// Far above any honest token.
const TOKEN_LIMIT_BYTES: u64 = 64 * 1024;

/// What a `WWW-Authenticate` asks for.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    /// User name and password with every request.
    Basic,
    /// A token from a service of tokens.
    Bearer { realm: String, service: Option<String> },
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<SecretString>,
    access_token: Option<SecretString>,
}

/// The `Authorization` that answers one of the challenges.
pub(super) async fn log_in(
    session: &Session,
    client: &Client,
    endpoint: &Endpoint,
    challenges: &[String],
) -> Result<HeaderValue, Error> {
    let refused = || session.refusal(endpoint, reqwest::StatusCode::UNAUTHORIZED);
    let challenges: Vec<Challenge> = challenges.iter().filter_map(|text| parse(text)).collect();
    let bearer = challenges.iter().find_map(|challenge| match challenge {
        Challenge::Bearer { realm, service } => Some((realm, service)),
        Challenge::Basic => None,
    });
    if let Some((realm, service)) = bearer {
        return token(session, client, endpoint, (realm, service.as_deref())).await;
    }
    match basic(endpoint) {
        Some(header) if challenges.contains(&Challenge::Basic) => Ok(header),
        _ => Err(refused()),
    }
}

async fn token(
    session: &Session,
    client: &Client,
    endpoint: &Endpoint,
    (realm, service): (&str, Option<&str>),
) -> Result<HeaderValue, Error> {
    // A registry behind TLS could otherwise make us send the password in the open.
    let is_safe =
        realm.starts_with("https://") || (endpoint.is_plain && realm.starts_with("http://"));
    if !is_safe {
        return Err(Error::Unreachable {
            registry: endpoint.host.clone(),
            reason: "it wants tokens from an address that is not protected by TLS".to_owned(),
        });
    }
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut url = format!("{realm}{}", if realm.contains('?') { '&' } else { '?' });
    if let Some(service) = service {
        url.push_str(&format!("service={}&", encode(service)));
    }
    url.push_str(&format!("scope={}", encode(&format!("repository:{}:pull", endpoint.repository))));
    let mut request = client.get(url);
    if let Some(header) = basic(endpoint) {
        request = request.header(AUTHORIZATION, header);
    }
    let unreachable = |error| unreachable(&endpoint.host, &error);
    let mut response = request.send().await.map_err(unreachable)?;
    if !response.status().is_success() {
        return Err(session.refusal(endpoint, response.status()));
    }
    let body = bounded(&mut response, TOKEN_LIMIT_BYTES).await.map_err(unreachable)?;
    let answer = body.and_then(|bytes| serde_json::from_slice::<TokenAnswer>(&bytes).ok());
    let token = answer.and_then(|answer| answer.token.or(answer.access_token));
    token.and_then(|token| secret_header(&format!("Bearer {}", token.expose_secret()))).ok_or_else(
        || Error::Unreachable {
            registry: endpoint.host.clone(),
            reason: "its service of tokens did not send one".to_owned(),
        },
    )
}

fn basic(endpoint: &Endpoint) -> Option<HeaderValue> {
    let credential = endpoint.credential.as_ref()?;
    let pair = format!("{}:{}", credential.username, credential.password.expose_secret());
    secret_header(&format!("Basic {}", STANDARD.encode(pair)))
}

fn secret_header(text: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Reads `Bearer realm="…",service="…"`; other schemes are nobody's.
fn parse(text: &str) -> Option<Challenge> {
    let (scheme, mut rest) = text.split_once(' ').unwrap_or((text, ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service) = (None, None);
    while let Some((key, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        match key.trim().to_ascii_lowercase().as_str() {
            "realm" => realm = Some(value.to_owned()),
            "service" => service = Some(value.to_owned()),
            _ => {}
        }
        rest = next.trim_start().trim_start_matches(',').trim_start();
    }
    Some(Challenge::Bearer { realm: realm?, service })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.into(), service: service.map(str::to_owned) })
        };
        assert_eq!(
            parse(r#"Bearer realm="https://a.example/token",service="registry",scope="a,b""#),
            bearer("https://a.example/token", Some("registry"))
        );
        assert_eq!(parse("bearer scope=x, realm=https://a"), bearer("https://a", None));
        assert_eq!(parse(r#"Basic realm="x""#), Some(Challenge::Basic));
        for text in ["", "Digest realm=\"x\"", "Bearer", "Bearer realm=\"x", "Bearer service=\"x\""]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
