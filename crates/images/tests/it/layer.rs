//! Layers and images made by hand, honest and other.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use images::Digest;
use serde_json::{Value, json};
use tar::{EntryType, Header};

/// A tar stream under construction.
#[derive(Clone, Default)]
pub(crate) struct Layer(pub(crate) Vec<u8>);

/// One entry, as its maker wants it: nothing is checked.
pub(crate) struct Entry<'a> {
    pub(crate) path: &'a str,
    pub(crate) kind: EntryType,
    pub(crate) link: &'a str,
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
    pub(crate) data: &'a [u8],
    /// Extended header records.
    pub(crate) extended: Vec<(String, Vec<u8>)>,
}

impl<'a> Entry<'a> {
    pub(crate) fn new(path: &'a str, kind: EntryType) -> Self {
        Self { path, kind, link: "", mode: 0o644, owner: (0, 0), data: b"", extended: Vec::new() }
    }
}

impl Layer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn entry(mut self, entry: &Entry<'_>) -> Self {
        if !entry.extended.is_empty() {
            let mut records = Vec::new();
            for (key, value) in &entry.extended {
                let rest = key.len() + value.len() + 3;
                let mut length = rest + 1;
                while length != rest + length.to_string().len() {
                    length = rest + length.to_string().len();
                }
                write!(records, "{length} {key}=").unwrap();
                records.extend_from_slice(value);
                records.push(b'\n');
            }
            self.push(&Entry { data: &records, ..Entry::new("extended", EntryType::XHeader) });
        }
        self.push(entry);
        self
    }

    fn push(&mut self, entry: &Entry<'_>) {
        let mut header = Header::new_gnu();
        let bytes = header.as_mut_bytes();
        bytes[..entry.path.len()].copy_from_slice(entry.path.as_bytes());
        bytes[157..157 + entry.link.len()].copy_from_slice(entry.link.as_bytes());
        header.set_entry_type(entry.kind);
        header.set_mode(entry.mode);
        header.set_uid(entry.owner.0);
        header.set_gid(entry.owner.1);
        header.set_mtime(1_000_000_000);
        header.set_size(entry.data.len() as u64);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(entry.data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
    }

    pub(crate) fn file(self, path: &str, text: &str) -> Self {
        self.bytes(path, text.as_bytes())
    }

    pub(crate) fn bytes(self, path: &str, data: &[u8]) -> Self {
        self.entry(&Entry { data, ..Entry::new(path, EntryType::Regular) })
    }

    pub(crate) fn dir(self, path: &str) -> Self {
        self.entry(&Entry { mode: 0o755, ..Entry::new(path, EntryType::Directory) })
    }

    pub(crate) fn symlink(self, path: &str, link: &str) -> Self {
        self.entry(&Entry { link, ..Entry::new(path, EntryType::Symlink) })
    }

    pub(crate) fn hard_link(self, path: &str, link: &str) -> Self {
        self.entry(&Entry { link, ..Entry::new(path, EntryType::Link) })
    }

    /// The whole tar stream.
    pub(crate) fn tar(&self) -> Vec<u8> {
        let mut tar = self.0.clone();
        tar.resize(tar.len() + 1024, 0);
        tar
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.tar())
    }
}

/// An image with everything that a registry wants of it.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) config: Vec<u8>,
    /// Blobs, as they are transferred.
    pub(crate) blobs: Vec<Vec<u8>>,
    pub(crate) manifest: Vec<u8>,
}

impl Made {
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    pub(crate) fn descriptor(&self, architecture: &str) -> Value {
        json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": self.digest().as_str(),
            "size": self.manifest.len(),
            "platform": {"os": "linux", "architecture": architecture},
        })
    }
}

pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An image of these layers, compressed with gzip, for this machine.
pub(crate) fn image(layers: &[Layer], run: &Value) -> Made {
    let blobs = layers.iter().map(|layer| gzip(&layer.tar())).collect();
    assemble(layers, blobs, run, architecture())
}

pub(crate) fn assemble(layers: &[Layer], blobs: Vec<Vec<u8>>, run: &Value, platform: &str) -> Made {
    let diff_ids: Vec<String> = layers.iter().map(|layer| layer.digest().to_string()).collect();
    let config = json!({
        "os": "linux", "architecture": platform, "config": run,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = serde_json::to_vec(&config).unwrap();
    let manifest = manifest(&config, &blobs);
    Made { config, blobs, manifest }
}

pub(crate) fn manifest(config: &[u8], blobs: &[Vec<u8>]) -> Vec<u8> {
    let layers: Vec<Value> = blobs
        .iter()
        .map(|blob| {
            json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": Digest::of(blob).as_str(), "size": blob.len(),
            })
        })
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": Digest::of(config).as_str(), "size": config.len(),
        },
        "layers": layers,
    });
    serde_json::to_vec(&manifest).unwrap()
}

/// Bytes that do not compress, always the same for one seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(step).flatten().take(length).collect()
}
