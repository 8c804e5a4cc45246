//! Settings of registries: mirrors, plain HTTP, credentials.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use secrecy::SecretString;
use serde::Deserialize;

use crate::Error;
use crate::reference::check_registry;

/// What the operator says of registries. Registries are named as in references: `ghcr.io`,
/// `registry.example:5000`, `docker.io`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Registries {
    /// For a registry, those that are asked first, in this order: `host`, `host:port` or
    /// `host/prefix`. The registry itself is asked when none of them has the image.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Registries and mirrors that speak HTTP without TLS. Those on the loopback always do.
    pub plain_http: BTreeSet<String>,
    /// Credentials by a name that a Blueprint may use in `registryCredential`.
    pub credentials: BTreeMap<String, Credential>,
    /// Credentials for every image of a registry or mirror.
    pub credentials_by_host: BTreeMap<String, Credential>,
}

/// A user of a registry.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// The user's name.
    pub username: String,
    /// The password or token.
    pub password: SecretString,
    /// The registry that it is for, where a name says nothing of it: base images of Dockerfiles.
    #[serde(default)]
    pub registry: Option<String>,
}

impl Registries {
    /// The credential of that name.
    #[must_use]
    pub fn credential(&self, name: &str) -> Option<&Credential> {
        self.credentials.get(name)
    }

    /// Refuses settings that could not work.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let mirrors = self.mirrors.values().flatten();
        let mirror_hosts = mirrors.map(|mirror| split_mirror(mirror).0);
        let hosts = (self.mirrors.keys().map(String::as_str))
            .chain(mirror_hosts)
            .chain(self.plain_http.iter().map(String::as_str))
            .chain(self.credentials_by_host.keys().map(String::as_str));
        for host in hosts {
            check_registry(host)
                .map_err(|reason| Error::Settings { reason: format!("`{host}`: {reason}") })?;
        }
        Ok(())
    }

    /// Whether this registry or mirror is spoken to without TLS.
    #[must_use]
    pub fn is_plain_http(&self, host: &str) -> bool {
        is_loopback(host) || self.plain_http.contains(host)
    }
}

/// A mirror's host and the path in front of its repositories, without slashes around it.
pub(crate) fn split_mirror(mirror: &str) -> (&str, &str) {
    let (host, prefix) = mirror.split_once('/').unwrap_or((mirror, ""));
    (host, prefix.trim_matches('/'))
}

pub(crate) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_alone_needs_no_tls() {
        let registries = Registries::default();
        for host in ["localhost", "localhost:5000", "127.0.0.1:1", "127.9.9.9", "[::1]:5000"] {
            assert!(registries.is_plain_http(host), "{host}");
        }
        for host in ["docker.io", "127.0.0.1.example", "localhost.example:80", "10.0.0.1:5000"] {
            assert!(!registries.is_plain_http(host), "{host}");
        }
    }

    #[test]
    fn settings_are_read_and_hide_their_secrets() {
        let registries: Registries = serde_json::from_str(
            r#"{"mirrors": {"docker.io": ["mirror.example/hub"]},
                "credentials": {"ours": {"username": "u", "password": "hunter2"}}}"#,
        )
        .unwrap();
        registries.check().unwrap();
        assert!(registries.credential("ours").is_some());
        assert!(!format!("{registries:?}").contains("hunter2"));
        assert!(serde_json::from_str::<Registries>(r#"{"miror": {}}"#).is_err());
    }

    #[test]
    fn an_address_with_a_scheme_is_no_registry() {
        let registries = Registries {
            mirrors: [("docker.io".to_owned(), vec!["https://mirror.example".to_owned()])].into(),
            ..Registries::default()
        };
        assert!(registries.check().unwrap_err().to_string().contains("https"));
    }
}
