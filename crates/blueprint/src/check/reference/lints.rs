//! Values that are understood and probably not what the author wants.

use std::ops::Range;

use model::{EnvSource, ServiceProperty, ServiceReference};

use crate::code::Code;

use super::super::env::DraftVar;
use super::Resolver;

/// Parts of names of variables that hold secrets.
const SECRET_WORDS: &[&str] =
    &["SECRET", "PASSWORD", "PASSWD", "TOKEN", "PRIVATE_KEY", "API_KEY", "APIKEY", "ACCESS_KEY"];
/// Parts of names that hold something about a secret.
const HARMLESS_WORDS: &[&str] = &[
    "EXPIR",
    "MINUTES",
    "HOURS",
    "DAYS",
    "SECONDS",
    "TTL",
    "LENGTH",
    "ALGORITHM",
    "URL",
    "NAME",
    "PATH",
    "FILE",
    "HEADER",
    "ISSUER",
    "LIFETIME",
    "MAX",
    "LIMIT",
    "PUBLIC",
    "ENABLE",
    "TOKENS",
    "COUNT",
    "SIZE",
    "TYPE",
    "MODEL",
];
/// A domain that people believe the private network of Render to have.
const INTERNAL_DOMAIN: &str = ".render-internal.com";
/// Shorter values are no secrets worth hiding.
const SECRET_CHARS: usize = 8;

impl Resolver<'_, '_> {
    /// A host name in a variable whose name promises a URL.
    pub(super) fn lint_host(&mut self, var: &DraftVar, source: &EnvSource) {
        let EnvSource::FromService {
            name,
            reference: ServiceReference::Property(ServiceProperty::Host),
        } = source
        else {
            return;
        };
        let key = var.key.to_ascii_uppercase();
        if !["URL", "URI", "ENDPOINT", "ORIGIN"].iter().any(|word| key.contains(word)) {
            return;
        }
        let message = format!(
            "variable `{}` is named like a URL and gets the bare host name of `{name}`",
            var.key
        );
        self.checker.add(Code::HostAsUrl, var.key_bytes.clone(), &var.path, message).hint(
            "for an address that browsers can open take `envVarKey: RENDER_EXTERNAL_URL`; inside the private network `property: hostport`",
        );
    }

    /// A host of a domain that looks like that of the private network.
    pub(super) fn lint_domain(&mut self, var: &DraftVar, text: &str, bytes: &Range<usize>) {
        if !text.to_ascii_lowercase().contains(INTERNAL_DOMAIN) {
            return;
        }
        let message = format!(
            "the value of `{}` names a host below `render-internal.com`; hosts of the private network have no domain",
            var.key
        );
        let path = format!("{}.value", var.path);
        self.checker.add(Code::InternalDomain, bytes.clone(), &path, message).hint(
            "take the address by `fromService` with `property: hostport`, or write the service's own name and port",
        );
    }

    /// A secret in plain text.
    pub(super) fn lint_secret(&mut self, var: &DraftVar, text: &str, bytes: &Range<usize>) {
        let key = var.key.to_ascii_uppercase();
        let is_secret = SECRET_WORDS.iter().any(|word| key.contains(word))
            && !HARMLESS_WORDS.iter().any(|word| key.contains(word));
        let plain = text.to_ascii_lowercase();
        let is_filler =
            ["your", "change", "example", "placeholder", "xxx", "<", "todo", "secret-key"]
                .iter()
                .any(|word| plain.contains(word));
        if is_secret && !is_filler && text.chars().count() >= SECRET_CHARS {
            let message =
                format!("the value of `{}` looks like a secret and stands in the file", var.key);
            let path = format!("{}.value", var.path);
            self.checker.add(Code::PlainSecret, bytes.clone(), &path, message).hint(
                "write `sync: false` and give it with `gable env set`, or `generateValue: true` if it may be random",
            );
        }
    }
}
