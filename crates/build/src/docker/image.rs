//! From what a builder puts out to an OCI layout.
//!
//! The image is taken from buildah in its own words, where the configuration still has its health
//! check, and gets the manifest of an OCI image around the same configuration and layers: the same
//! bytes under the media types that mean them.

use std::fs;
use std::path::Path;

use model::Problem;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::store::write_synced;

/// Layers of more than this many are no image.
const MAX_LAYERS: usize = 1024;
/// A manifest of more bytes is none.
const MAX_MANIFEST_BYTES: u64 = 4 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DockerManifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    media_type: &'static str,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u32,
    media_type: &'static str,
    manifests: [Descriptor; 1],
}

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// What a layout holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) digest: String,
    pub(crate) size_bytes: u64,
    pub(crate) files: u64,
}

/// Makes an OCI layout of a directory that `buildah push dir:` has filled.
pub(crate) fn make_layout(pushed: &Path, layout: &Path) -> Result<Made, Error> {
    let path = pushed.join("manifest.json");
    let length = fs::metadata(&path).map_err(Error::at("read", &path))?.len();
    if length > MAX_MANIFEST_BYTES {
        return Err(unusable("its manifest is too large"));
    }
    let text = fs::read(&path).map_err(Error::at("read", &path))?;
    let manifest: DockerManifest =
        serde_json::from_slice(&text).map_err(|error| unusable(&error.to_string()))?;
    if manifest.layers.len() > MAX_LAYERS {
        return Err(unusable("it has too many layers"));
    }
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(Error::at("make", &blobs))?;
    let take = |mut descriptor: Descriptor| {
        descriptor.media_type = oci_type(&descriptor.media_type)?.to_owned();
        let name = digits(&descriptor.digest)?;
        let (from, to) = (pushed.join(name), blobs.join(name));
        // A layer may stand in a manifest more than once.
        if !to.exists() {
            fs::rename(&from, &to).map_err(Error::at("take", &from))?;
        }
        let length = fs::metadata(&to).map_err(Error::at("read", &to))?.len();
        if length == descriptor.size { Ok(descriptor) } else { Err(unusable("a layer is cut off")) }
    };
    let config = take(manifest.config)?;
    let layers: Vec<Descriptor> =
        manifest.layers.into_iter().map(take).collect::<Result<_, _>>()?;
    let size_bytes = config.size + layers.iter().map(|layer| layer.size).sum::<u64>();
    let files = layers.len() as u64 + 4;
    let manifest = Manifest { schema_version: 2, media_type: MANIFEST_TYPE, config, layers };
    let text = json(&manifest);
    let hex: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    write_synced(&blobs.join(&hex), &text)?;
    let digest = format!("sha256:{hex}");
    let descriptor = Descriptor {
        media_type: MANIFEST_TYPE.to_owned(),
        digest: digest.clone(),
        size: text.len() as u64,
    };
    let index = Index {
        schema_version: 2,
        media_type: "application/vnd.oci.image.index.v1+json",
        manifests: [descriptor],
    };
    write_synced(&layout.join("index.json"), &json(&index))?;
    write_synced(&layout.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(Made { digest, size_bytes, files })
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts and numbers can always be written as JSON")
}

fn oci_type(docker: &str) -> Result<&'static str, Error> {
    match docker {
        "application/vnd.docker.container.image.v1+json" => {
            Ok("application/vnd.oci.image.config.v1+json")
        }
        "application/vnd.docker.image.rootfs.diff.tar" => {
            Ok("application/vnd.oci.image.layer.v1.tar")
        }
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => {
            Ok("application/vnd.oci.image.layer.v1.tar+gzip")
        }
        other => Err(unusable(&format!("it holds something unknown: {other}"))),
    }
}

fn digits(digest: &str) -> Result<&str, Error> {
    let hex = digest.strip_prefix("sha256:").filter(|hex| {
        hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    });
    hex.ok_or_else(|| unusable("it has a name that is no digest"))
}

fn unusable(why: &str) -> Error {
    Error::Refused(
        Problem::new("docker-build-failed", "the builder's image cannot be used").detail(why),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn pushed(manifest: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("manifest.json"), manifest).unwrap();
        fs::write(directory.path().join(DIGEST), "").unwrap();
        directory
    }

    fn manifest(digest: &str, size: u64) -> String {
        let config = "application/vnd.docker.container.image.v1+json";
        let layer = "application/vnd.docker.image.rootfs.diff.tar";
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"{config}","digest":"{digest}","size":{size}}},
            "layers":[{{"mediaType":"{layer}","digest":"{digest}","size":{size}}}]}}"#
        )
    }

    #[test]
    fn a_layout_names_what_it_holds() {
        let directory = pushed(&manifest(&format!("sha256:{DIGEST}"), 0));
        let layout = directory.path().join("layout");
        let made = make_layout(directory.path(), &layout).unwrap();
        let text = fs::read(layout.join("blobs/sha256").join(&made.digest[7..])).unwrap();
        let hex: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(made.digest, format!("sha256:{hex}"));
        let index = fs::read_to_string(layout.join("index.json")).unwrap();
        assert!(index.contains(&made.digest), "{index}");
    }

    #[test]
    fn names_that_are_no_digests_and_layers_that_are_cut_off_are_refused() {
        for text in [
            manifest("sha256:../../etc/passwd", 0),
            manifest(&format!("sha256:{DIGEST}"), 1),
            "{".to_owned(),
        ] {
            let directory = pushed(&text);
            assert!(make_layout(directory.path(), &directory.path().join("layout")).is_err());
        }
    }
}
