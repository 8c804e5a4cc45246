//! Names of images.

use std::fmt;
use std::str::FromStr;

use crate::{Digest, Error};

/// The registry that is meant where none is named.
const DEFAULT_REGISTRY: &str = "docker.io";
/// The tag that is meant where neither a tag nor a digest is given.
const DEFAULT_TAG: &str = "latest";
const NAME_LENGTH_MAX: usize = 255;
const TAG_LENGTH_MAX: usize = 128;

/// The name of an image: a registry, a repository in it, and a tag or a digest or both. Where
/// both are given the digest decides.
///
/// `postgres:16` is `docker.io/library/postgres:16`, as everywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry: a host, with a port where one was given.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository in the registry, such as `library/postgres`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` where neither tag nor digest was given.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, where one was given.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same name, pinned.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// What the registry is asked for: the digest, or the tag.
    pub(crate) fn asked(&self) -> &str {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.as_str(),
            (None, Some(tag)) => tag,
            (None, None) => DEFAULT_TAG,
        }
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |reason: &str| Error::reference(text, reason);
        if text.is_empty() {
            return Err(refuse("it is empty"));
        }
        if text.contains("://") {
            return Err(refuse("a name of an image has no `https://`"));
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let digest = digest.parse().map_err(|_| {
                    refuse("after `@` comes `sha256:` and 64 digits of 0 to 9 and a to f")
                })?;
                (name, Some(digest))
            }
            None => (text, None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            // A colon before a slash belongs to the port.
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        if let Some(tag) = tag {
            check_tag(tag).map_err(refuse)?;
        }
        let (registry, repository) = split_registry(name);
        check_registry(registry).map_err(refuse)?;
        let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry };
        let repository = if registry == DEFAULT_REGISTRY && !repository.contains('/') {
            format!("library/{repository}")
        } else {
            repository.to_owned()
        };
        if repository.len() > NAME_LENGTH_MAX {
            return Err(refuse("it is longer than 255 characters"));
        }
        for part in repository.split('/') {
            check_part(part).map_err(refuse)?;
        }
        let tag = match (tag, &digest) {
            (None, None) => Some(DEFAULT_TAG.to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(formatter, "@{digest}")?;
        }
        Ok(())
    }
}

/// The first part is a registry when it could not be a part of a repository's name.
fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => (DEFAULT_REGISTRY, name),
    }
}

/// A host name, an IPv4 address or an IPv6 address in brackets, with or without a port.
pub(crate) fn check_registry(registry: &str) -> Result<(), &'static str> {
    let reason = "the registry is a host name or an address, with or without a port";
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
    if let Some(rest) = registry.strip_prefix('[') {
        let (address, after) = rest.split_once(']').ok_or(reason)?;
        let port_fits = after.is_empty() || after.strip_prefix(':').is_some_and(is_port);
        let fits = address.parse::<std::net::Ipv6Addr>().is_ok() && port_fits;
        return if fits { Ok(()) } else { Err(reason) };
    }
    let host = match registry.split_once(':') {
        Some((host, port)) if is_port(port) => host,
        Some(_) => return Err(reason),
        None => registry,
    };
    let label_fits = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if host.len() <= 253 && host.split('.').all(label_fits) { Ok(()) } else { Err(reason) }
}

fn check_tag(tag: &str) -> Result<(), &'static str> {
    let first_fits = tag.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_');
    let rest_fits =
        tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    if first_fits && rest_fits && tag.len() <= TAG_LENGTH_MAX {
        Ok(())
    } else {
        Err(
            "a tag is up to 128 letters, digits, `_`, `.` and `-`, and begins with none of the last two",
        )
    }
}

/// Lower-case letters and digits, with `.`, `_`, `__` or dashes between them.
fn check_part(part: &str) -> Result<(), &'static str> {
    if part.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("the name of a repository is in lower case");
    }
    let reason = "each part of the name is lower-case letters and digits, with one `.`, one or \
                  two `_`, or dashes between them";
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    let ends_fit =
        bytes.first().copied().is_some_and(is_word) && bytes.last().copied().is_some_and(is_word);
    let between_fits =
        part.split(|letter: char| letter.is_ascii() && is_word(letter as u8)).all(|between| {
            matches!(between, "" | "." | "_" | "__") || between.bytes().all(|b| b == b'-')
        });
    if ends_fit && between_fits { Ok(()) } else { Err(reason) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        assert_eq!(text.parse::<Reference>().unwrap().to_string(), expect, "{text}");
    }

    #[test]
    fn what_is_left_out_is_what_everybody_means() {
        check("postgres", "docker.io/library/postgres:latest");
        check("postgres:16", "docker.io/library/postgres:16");
        check("docker.io/postgres:16", "docker.io/library/postgres:16");
        check("index.docker.io/a/b", "docker.io/a/b:latest");
        check("pgvector/pgvector:pg16", "docker.io/pgvector/pgvector:pg16");
        check("ghcr.io/a/b/c:v1.2_3", "ghcr.io/a/b/c:v1.2_3");
        check("localhost/a", "localhost/a:latest");
        check("127.0.0.1:5000/a:b", "127.0.0.1:5000/a:b");
        check("[::1]:5000/a", "[::1]:5000/a:latest");
        check("registry.example:443/a__b/c--d.e", "registry.example:443/a__b/c--d.e:latest");
    }

    #[test]
    fn a_canonical_name_reads_as_itself() {
        let digest = Digest::of(b"x");
        for name in ["docker.io/library/a:b", "r.example:1/a/b:c"] {
            check(name, name);
            check(&format!("{name}@{digest}"), &format!("{name}@{digest}"));
        }
        check(&format!("a@{digest}"), &format!("docker.io/library/a@{digest}"));
    }

    #[test]
    fn a_name_that_cannot_be_one_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "empty"),
            ("https://ghcr.io/a", "https"),
            ("Postgres", "lower case"),
            ("a/../b", "between them"),
            ("a//b", "between them"),
            ("a:", "tag"),
            ("a:-b", "tag"),
            ("a b", "between them"),
            ("a@sha256:12", "64 digits"),
            ("r.example:99999/a", "registry"),
            ("-r.example/a", "registry"),
            ("r.example/", "between them"),
            ("a___b", "between them"),
            ("a\u{e9}", "between them"),
        ] {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
