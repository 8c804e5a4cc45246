//! Which builder the machine has.

use std::path::{Path, PathBuf};

use model::Problem;

use crate::toolchain::{find_program, output};

use super::dialect::Dialect;

/// Where a Docker engine listens.
const SOCKETS: &[&str] = &["/run/docker.sock", "/var/run/docker.sock"];

/// Something that builds Dockerfiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Builder {
    /// Needs no daemon.
    Buildah {
        /// Its file.
        program: PathBuf,
        /// `1.39.3`.
        version: String,
    },
    /// The `docker` client, with an engine that answers.
    Docker {
        /// Its file.
        program: PathBuf,
        /// The engine's socket.
        socket: PathBuf,
        /// The engine's version.
        version: String,
    },
}

impl Builder {
    /// What it can read.
    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Buildah { version, .. } => {
                // Debian 12 has 1.28, Debian 13 has 1.39.
                let knows = is_at_least(version, (1, 33));
                Dialect {
                    knows_documents: knows,
                    knows_link: is_at_least(version, (1, 36)),
                    knows_parents: is_at_least(version, (1, 41)),
                }
            }
            Self::Docker { .. } => {
                Dialect { knows_documents: true, knows_link: true, knows_parents: true }
            }
        }
    }
}

/// Looks for buildah, then for a Docker engine that answers.
///
/// # Errors
/// When there is neither; the hint says what to install.
pub async fn find() -> Result<Builder, Problem> {
    if let Some(program) = find_program("buildah")
        && let Some(text) = output(&program, &["--version"]).await
        && let Some(version) = version_in(&text)
    {
        return Ok(Builder::Buildah { program, version });
    }
    if let Some(program) = find_program("docker") {
        for socket in SOCKETS.iter().map(Path::new).filter(|path| path.exists()) {
            let host = format!("unix://{}", socket.display());
            let arguments = ["--host", &host, "version", "--format", "{{.Server.Version}}"];
            let said = output(&program, &arguments).await;
            let version = said.map(|said| said.trim().to_owned()).filter(|said| !said.is_empty());
            if let Some(version) = version {
                return Ok(Builder::Docker { program, socket: socket.to_owned(), version });
            }
        }
    }
    let problem =
        Problem::new("docker-builder-missing", "this machine has nothing that builds Dockerfiles");
    Err(problem.hint("install buildah, which needs no daemon: apt-get install buildah"))
}

/// `buildah version 1.28.2 (image-spec 1.1.0-rc2, runtime-spec 1.0.2-dev)`.
fn version_in(text: &str) -> Option<String> {
    let words = text.split_whitespace();
    words
        .map(|word| word.trim_start_matches('v'))
        .find(|word| numbers(word).is_some())
        .map(str::to_owned)
}

fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split(['.', '-', '+']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn is_at_least(version: &str, wanted: (u32, u32)) -> bool {
    numbers(version).is_some_and(|found| found >= wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        let text = "buildah version 1.28.2 (image-spec 1.1.0-rc2, runtime-spec 1.0.2-dev)";
        assert_eq!(version_in(text).as_deref(), Some("1.28.2"));
        assert!(is_at_least("1.100.0-dev", (1, 33)));
        assert!(!is_at_least("1.9", (1, 33)));
    }
}
