//! What builds Dockerfiles on this machine, for `gable doctor`.

use super::find::{Builder, find};

/// One thing that building needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at: `dockerfiles`.
    pub name: &'static str,
    /// Whether it is as needed.
    pub is_ok: bool,
    /// What was found, in words.
    pub found: String,
    /// What to do, if it is not as needed.
    pub hint: Option<String>,
}

/// Looks for a builder, and changes nothing.
pub async fn doctor() -> Check {
    let name = "dockerfiles";
    match find().await {
        Ok(Builder::Buildah { version, .. }) => {
            Check { name, is_ok: true, found: format!("buildah {version}"), hint: None }
        }
        Ok(Builder::Docker { version, .. }) => Check {
            name,
            is_ok: true,
            found: format!(
                "the Docker engine {version}, whose network, limits and cache steps have; buildah \
                 would need no daemon"
            ),
            hint: None,
        },
        Err(problem) => Check {
            name,
            is_ok: false,
            found: "no builder; only needed by services with a Dockerfile".to_owned(),
            hint: problem.hint,
        },
    }
}
