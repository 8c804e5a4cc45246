//! Manifests and indexes, in the form of OCI and in that of Docker.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::registry::Raw;
use crate::{Digest, Error, Limits};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const REFERENCE_NAME: &str = "org.opencontainers.image.ref.name";
/// What a registry may answer with.
pub(crate) const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, */*;q=0.1";
/// An index names so many manifests at most.
const VARIANTS_MAX: usize = 1000;

/// What an image is built for, in the words of OCI: `linux`, `amd64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// The operating system.
    pub os: String,
    /// The architecture, such as `amd64` or `arm64`.
    pub architecture: String,
    /// The variant of the architecture, such as `v7`.
    pub variant: Option<String>,
}

impl Platform {
    /// The platform of this machine.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        let variant = (architecture == "arm").then(|| "v7".to_owned());
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant }
    }

    fn matches(&self, other: &PlatformJson) -> bool {
        // `arm64` and `arm64/v8` are the same machines.
        let named = |variant: &Option<String>| {
            variant.clone().filter(|variant| !matches!(variant.as_str(), "" | "v8"))
        };
        let (ours, theirs) = (named(&self.variant), named(&other.variant));
        let variants_fit = ours.is_none() || theirs.is_none() || ours == theirs;
        self.os == other.os && self.architecture == other.architecture && variants_fit
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(formatter, "/{variant}"))
    }
}

impl std::str::FromStr for Platform {
    type Err = Error;

    /// Reads `os/architecture` or `os/architecture/variant`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut parts = text.split('/');
        let (os, architecture, variant) = (parts.next(), parts.next(), parts.next());
        match (os, architecture, parts.next()) {
            (Some(os), Some(architecture), None) if !os.is_empty() && !architecture.is_empty() => {
                Ok(Self {
                    os: os.to_owned(),
                    architecture: architecture.to_owned(),
                    variant: variant.map(str::to_owned),
                })
            }
            _ => Err(Error::reference(text, "a platform is written like `linux/amd64`")),
        }
    }
}

/// Where content is found and how long it is.
#[derive(Debug, Clone)]
pub(crate) struct Descriptor {
    pub(crate) digest: Digest,
    pub(crate) size_bytes: u64,
}

/// A manifest: what an image is made of.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// What the bytes behind a reference turned out to be.
pub(crate) enum Document {
    Manifest(Manifest),
    /// The variants, one of which is meant.
    Index(Vec<DescriptorJson>),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescriptorJson {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<PlatformJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PlatformJson {
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) variant: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ManifestJson {
    pub(crate) schema_version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) config: Option<DescriptorJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) layers: Option<Vec<DescriptorJson>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) manifests: Option<Vec<DescriptorJson>>,
}

impl DescriptorJson {
    pub(crate) fn checked(&self, what: &str) -> Result<Descriptor, Error> {
        let digest = self
            .digest
            .parse()
            .map_err(|_| Error::damaged(what, "it names content by something that is no digest"))?;
        Ok(Descriptor { digest, size_bytes: self.size })
    }
}

impl Document {
    pub(crate) fn read(raw: &Raw, what: &str, limits: &Limits) -> Result<Self, Error> {
        let json: ManifestJson = serde_json::from_slice(&raw.bytes)
            .map_err(|_| Error::damaged(what, "it is not a manifest of an image"))?;
        if json.schema_version != 2 {
            let reason = "it has the form that Docker gave up in 2017; push the image again";
            return Err(Error::damaged(what, reason));
        }
        // Content that is a manifest to one reader and an index to another is an attack.
        match (json.config, json.layers, json.manifests) {
            (Some(config), Some(layers), None) => {
                if says(&raw.media_type, &json.media_type, &["index", "list"]) {
                    return Err(Error::damaged(what, "it calls itself an index and is none"));
                }
                if layers.len() > limits.layers {
                    let limit = limits.layers as u64;
                    return Err(Error::TooLarge { what: what.to_owned(), limit, unit: "layers" });
                }
                let layers =
                    layers.iter().map(|layer| layer.checked(what)).collect::<Result<_, _>>()?;
                Ok(Self::Manifest(Manifest { config: config.checked(what)?, layers }))
            }
            (None, None, Some(manifests)) if manifests.len() <= VARIANTS_MAX => {
                Ok(Self::Index(manifests))
            }
            _ => Err(Error::damaged(what, "it is neither a manifest nor an index")),
        }
    }
}

fn says(header: &Option<String>, field: &Option<String>, words: &[&str]) -> bool {
    let types = header.iter().chain(field);
    types.into_iter().any(|text| words.iter().any(|word| text.contains(&format!(".{word}."))))
}

/// The variants for a platform. Those without a platform are for every one; attestations, which
/// say `unknown`, for none.
pub(crate) fn choose(
    variants: &[DescriptorJson],
    platform: &Platform,
    image: &str,
) -> Result<Vec<DescriptorJson>, Error> {
    let mut chosen: Vec<DescriptorJson> = Vec::new();
    for variant in variants {
        let fits = variant.platform.as_ref().is_none_or(|other| platform.matches(other));
        if fits && !chosen.iter().any(|other| other.digest == variant.digest) {
            chosen.push(variant.clone());
        }
    }
    if !chosen.is_empty() {
        return Ok(chosen);
    }
    let available = variants
        .iter()
        .filter_map(|variant| variant.platform.as_ref())
        .filter(|platform| platform.os != "unknown")
        .map(|platform| format!("{}/{}", platform.os, platform.architecture))
        .take(20)
        .collect();
    Err(Error::PlatformMissing { image: image.to_owned(), wanted: platform.to_string(), available })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Document, Error> {
        let bytes = json.as_bytes().to_vec();
        let raw = Raw { media_type: None, digest: Digest::of(&bytes), bytes };
        Document::read(&raw, "the manifest", &Limits::default())
    }

    #[test]
    fn what_is_two_things_at_once_is_refused() {
        let descriptor = format!(r#"{{"digest": "{}", "size": 1}}"#, Digest::of(b"x"));
        let both = format!(
            r#"{{"schemaVersion": 2, "config": {descriptor}, "layers": [], "manifests": []}}"#
        );
        assert!(read(&both).is_err());
        let liar = format!(
            r#"{{"schemaVersion": 2, "mediaType": "{INDEX}", "config": {descriptor}, "layers": []}}"#
        );
        assert!(read(&liar).is_err());
        let one = format!(r#"{{"schemaVersion": 2, "config": {descriptor}, "layers": []}}"#);
        assert!(matches!(read(&one), Ok(Document::Manifest(_))));
        assert!(read(r#"{"schemaVersion": 1, "fsLayers": []}"#).is_err());
        assert!(read("[]").is_err());
        assert!(
            read(
                r#"{"schemaVersion": 2, "config": {"digest": "../../x", "size": 1}, "layers": []}"#
            )
            .is_err()
        );
    }

    #[test]
    fn the_variant_for_the_platform_is_chosen_and_attestations_are_not() {
        let variant =
            |os: &str, architecture: &str, variant: Option<&str>, name: &[u8]| DescriptorJson {
                media_type: MANIFEST.to_owned(),
                digest: Digest::of(name).to_string(),
                size: 1,
                platform: Some(PlatformJson {
                    os: os.to_owned(),
                    architecture: architecture.to_owned(),
                    variant: variant.map(str::to_owned),
                }),
                annotations: None,
            };
        let variants = [
            variant("unknown", "unknown", None, b"attestation"),
            variant("windows", "amd64", None, b"windows"),
            variant("linux", "amd64", None, b"amd64"),
            variant("linux", "arm64", Some("v8"), b"arm64"),
            variant("linux", "arm", Some("v6"), b"armv6"),
            variant("linux", "arm", Some("v7"), b"armv7"),
        ];
        let chosen = |platform: &str| {
            let chosen = choose(&variants, &platform.parse().unwrap(), "a")?;
            assert_eq!(chosen.len(), 1, "{platform}");
            Ok::<_, Error>(chosen[0].digest.clone())
        };
        assert_eq!(chosen("linux/amd64").unwrap(), Digest::of(b"amd64").as_str());
        assert_eq!(chosen("linux/arm64").unwrap(), Digest::of(b"arm64").as_str());
        assert_eq!(chosen("linux/arm/v7").unwrap(), Digest::of(b"armv7").as_str());
        let error = chosen("linux/riscv64").unwrap_err().problem();
        assert!(error.detail.unwrap().contains("linux/arm64"));
    }
}
