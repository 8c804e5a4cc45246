//! Secrets of a build: small files that single steps ask for (`RUN --mount=type=secret,id=…`). No
//! layer keeps them, and what is secret reaches the builder by its environment alone.

use std::path::PathBuf;

use model::{BuildSecret, Docker, FileSource, Problem};

use super::{DockerBuild, places};

/// The kernel takes no variable that is much longer.
const TEXT_BYTES_MAX: usize = 100 << 10;

/// A small file for steps that ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Secret {
    pub(crate) id: String,
    pub(crate) text: SecretText,
}

/// Where its text is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretText {
    /// It is a secret.
    Value(String),
    /// It is a file of the source, which everybody sees who sees the source.
    File(PathBuf),
}

/// The variable by which a builder is told a secret. It steers nothing.
pub(crate) fn key_of(number: usize) -> String {
    format!("GABLE_BUILD_SECRET_{number}")
}

/// The secrets of the declaration, with their texts.
pub(crate) fn of(build: &DockerBuild<'_>, docker: &Docker) -> Result<Vec<Secret>, Problem> {
    let refused = |id: &str, why: &str| {
        let message = format!("the secret `{id}` of the build of {} {why}", build.service.name);
        Problem::new("build-secret-refused", message)
    };
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let secret = |secret: &BuildSecret| {
        let id = secret.id.as_str();
        if id.is_empty() || !id.chars().all(is_plain) {
            return Err(refused(id, "has a name that steps cannot ask for")
                .hint("use letters, digits, `.`, `_` and `-`"));
        }
        let text = match &secret.source {
            FileSource::Variable(key) => {
                let found = build.env.iter().rev().find(|(known, _)| known == key);
                let value = found.map(|(_, value)| value.clone()).unwrap_or_default();
                if value.len() > TEXT_BYTES_MAX || value.contains('\0') {
                    return Err(refused(id, "cannot be given to a step")
                        .hint("a secret is a text of at most 100 KiB"));
                }
                SecretText::Value(value)
            }
            FileSource::Project(path) => {
                let checkout = build.checkout.canonicalize().ok();
                let path = checkout.and_then(|checkout| places::inside(&checkout, path));
                // A comma would end the path in the builder's words.
                let path = path.filter(|path| !path.to_string_lossy().contains(','));
                SecretText::File(path.ok_or_else(|| {
                    refused(id, "is no file of the source").hint("look at its `file:`")
                })?)
            }
        };
        Ok(Secret { id: id.to_owned(), text })
    };
    docker.secrets.iter().map(secret).collect()
}
