//! Container images: from a registry, an OCI layout or an archive to read-only layers.
//!
//! An image is pulled once and pinned by the digest of its manifest. Each of its layers is
//! verified while it is written (by the digest of the blob) and again while it is unpacked (by the
//! digest of its content), into a directory that overlayfs takes as it is. Layers are shared by
//! all images that have them, and never change. What is here needs no network ever again.
//!
//! Layout of the directory, which only root may enter and which is an OCI layout itself:
//! - `blobs/sha256/<hex>`: manifests, indexes and configurations of images. A layer's blob is here
//!   only between its download and the moment it is unpacked.
//! - `index.json`: what each tag meant when it was pulled last.
//! - `l/<name>`: unpacked layers. The name is short (26 characters) because the kernel takes 4096
//!   bytes of mount options: by names relative to `l`, the 127 layers that an image may have
//!   fit, with some 600 bytes left for the directories above.
//! - `tmp`: everything unfinished. It comes into its place by a rename after it was synced, so a
//!   kill at any line leaves nothing that looks finished, and [`Images::open`] removes the rest.
//!
//! Registries, layouts and layers are strangers': everything read from them has a limit
//! ([`Limits`]), and nothing that a layer says is done outside of its directory (see `unpack`).

mod archive;
mod config;
mod digest;
mod error;
mod identity;
mod images;
mod import;
mod install;
mod layers;
mod layout;
mod manifest;
mod reference;
mod registries;
mod registry;
mod stream;
mod unpack;

use std::path::PathBuf;

pub use config::ImageConfig;
pub use digest::Digest;
pub use error::Error;
pub use identity::Identity;
pub use images::{Freed, Image, Images};
pub use manifest::Platform;
pub use reference::Reference;
pub use registries::{Credential, Registries};

/// Where images lie, who has them, and how large they may be.
#[derive(Debug, Clone)]
pub struct Config {
    /// An OCI layout with unpacked layers beside it, on a file system that overlayfs can use.
    pub dir: PathBuf,
    /// Mirrors and credentials.
    pub registries: Registries,
    /// How large images may be.
    pub limits: Limits,
}

impl Config {
    /// The usual limits and no settings of registries.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, registries: Registries::default(), limits: Limits::default() }
    }
}

/// How large images may be. The defaults are far above honest images and below a full disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a manifest or an index; registries themselves allow 4 MiB.
    pub manifest_bytes: u64,
    /// Bytes of an image's configuration.
    pub config_bytes: u64,
    /// Bytes of a layer as it is transferred.
    pub blob_bytes: u64,
    /// Bytes of a layer when it is unpacked.
    pub layer_bytes: u64,
    /// Bytes of all layers of an image when they are unpacked.
    pub image_bytes: u64,
    /// Files, directories and links in a layer.
    pub layer_entries: u64,
    /// Layers of an image. More than 127 do not fit into one mount.
    pub layers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest_bytes: 4 << 20,
            config_bytes: 8 << 20,
            blob_bytes: 16 << 30,
            layer_bytes: 32 << 30,
            image_bytes: 64 << 30,
            layer_entries: 2_000_000,
            layers: 127,
        }
    }
}

/// How far a pull is, for a person who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The registry is asked what the name means.
    Resolving,
    /// Layers are coming.
    Downloading {
        /// Bytes that came, or need not come because they are here.
        done_bytes: u64,
        /// Bytes that are to come altogether.
        total_bytes: u64,
    },
    /// A layer is being unpacked.
    Unpacking {
        /// Which one, counted from 1, the lowest first.
        layer: usize,
        /// How many there are.
        layers: usize,
    },
    /// The image is here, whole.
    Present,
}
