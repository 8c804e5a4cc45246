//! Everything that goes into a build, and the address that follows from it.

use hmac::{Hmac, Mac};
use model::{ArtifactId, Docker, Runtime};
use serde::Serialize;
use sha2::Sha256;

/// Counts changes of the artifact's layout and of what Gable itself puts into a build.
pub const FORMAT_VERSION: u32 = 1;

/// Everything that goes into a build. Two builds with equal inputs have the same artifact, and
/// the second is never run.
///
/// The environment holds secrets, so this is neither printed nor stored.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Inputs {
    /// What it is built with.
    pub runtime: Runtime,
    /// Id of the source's tree.
    pub tree: String,
    /// What `git describe` and the like see besides the tree: the commit's id for commands that
    /// use the history, empty if equal trees shall be equal sources whatever the history.
    pub history: String,
    /// Directory that the command runs in, relative to the checkout.
    pub root_dir: String,
    /// Shell text; empty when there is nothing to run.
    pub build_command: String,
    /// The whole resolved environment of the build, in any order. A key that stands twice counts
    /// with its last value.
    pub env: Vec<(String, String)>,
    /// Tools and their versions, as [`crate::Toolchain::versions`] has them.
    pub toolchain: Vec<(String, String)>,
    /// The image's digest, or its name where nobody could say what it means; empty for services
    /// that are built from source.
    pub image: String,
    /// The service's user: its artifact belongs to it on the disk.
    pub owner_uid: u32,
    /// How an image is built; `None` for everything that is none. See [`crate::docker::inputs`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker: Option<Docker>,
}

/// The address of what these inputs make.
///
/// It is keyed, so that nobody who sees the address can find out a short secret by trying values.
#[must_use]
pub fn artifact_id(inputs: &Inputs, key: &[u8; 32]) -> ArtifactId {
    let mut inputs = inputs.clone();
    inputs.env = crate::layout::merge_env([inputs.env.as_slice()]);
    inputs.env.sort();
    inputs.toolchain.sort();
    let text = serde_json::to_vec(&(FORMAT_VERSION, &inputs))
        .expect("texts and numbers can always be written as JSON");
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length, this one too");
    mac.update(b"gable artifact\n");
    mac.update(&text);
    let digest = mac.finalize().into_bytes();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.parse().expect("32 bytes are 64 hexadecimal digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs() -> Inputs {
        Inputs {
            runtime: Runtime::Node,
            tree: "4b825dc642cb6eb9a060e54bf8d69288fbee4904".to_owned(),
            history: String::new(),
            root_dir: String::new(),
            build_command: "npm ci".to_owned(),
            env: vec![("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2".to_owned())],
            toolchain: vec![("node".to_owned(), "20.1.0".to_owned())],
            image: String::new(),
            owner_uid: 900_000,
            docker: None,
        }
    }

    #[test]
    fn the_order_of_the_environment_does_not_matter() {
        let mut other = inputs();
        other.env.reverse();
        assert_eq!(artifact_id(&inputs(), &[1; 32]), artifact_id(&other, &[1; 32]));
    }

    #[test]
    fn every_input_changes_the_address() {
        let changes: [fn(&mut Inputs); 9] = [
            |inputs| inputs.runtime = Runtime::Static,
            |inputs| inputs.tree = "0".repeat(40),
            |inputs| inputs.history = "1".repeat(40),
            |inputs| inputs.root_dir = "web".to_owned(),
            |inputs| inputs.build_command = "npm install".to_owned(),
            |inputs| inputs.env[0].1 = "3".to_owned(),
            |inputs| inputs.toolchain[0].1 = "22.0.0".to_owned(),
            |inputs| inputs.image = "sha256:00".to_owned(),
            |inputs| inputs.owner_uid = 900_001,
        ];
        let mut seen = vec![artifact_id(&inputs(), &[1; 32])];
        for change in changes {
            let mut changed = inputs();
            change(&mut changed);
            let id = artifact_id(&changed, &[1; 32]);
            assert!(!seen.contains(&id), "a change left the address as it was");
            seen.push(id);
        }
    }

    #[test]
    fn without_the_key_the_address_tells_nothing() {
        assert_ne!(artifact_id(&inputs(), &[1; 32]), artifact_id(&inputs(), &[2; 32]));
    }
}
