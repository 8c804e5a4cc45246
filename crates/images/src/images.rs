//! All images of this machine.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::RwLock;

use crate::config;
use crate::install::{Locks, Origin, Parcel, blocking, install};
use crate::layers;
use crate::layout::{Layout, remove};
use crate::manifest::{Descriptor, Document, Manifest, Platform, choose};
use crate::registry::{Http, Raw, Session};
use crate::{
    Config, Credential, Digest, Error, ImageConfig, Limits, Progress, Reference, Registries,
};

/// All images of this machine. Cheap to clone.
#[derive(Clone)]
pub struct Images {
    pub(crate) inner: Arc<Inner>,
    pub(crate) platform: Platform,
}

pub(crate) struct Inner {
    pub(crate) layout: Layout,
    pub(crate) limits: Limits,
    /// By the digest of a layer's content.
    pub(crate) content_locks: Locks,
    /// By the digest of a layer as it is transferred.
    pub(crate) blob_locks: Locks,
    /// Held for reading while an image comes, for writing while garbage is removed.
    pub(crate) gate: Arc<RwLock<()>>,
    registries: Registries,
    http: Arc<Http>,
}

/// An image that is here, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The digest of its manifest, for one platform.
    pub digest: Digest,
    /// Its layers, lowest first: directories for overlayfs's `lowerdir`, all in one directory.
    /// Never to be written to. A layer that is there twice, or that a higher one hides as a whole,
    /// is left out.
    pub layers: Vec<PathBuf>,
    /// How it wants to be run.
    pub config: ImageConfig,
    /// Bytes of its layers' contents.
    pub size_bytes: u64,
}

/// What a removal of garbage freed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Freed {
    /// Unpacked layers.
    pub layers: usize,
    /// Manifests, configurations and layers that were never unpacked.
    pub blobs: usize,
    /// Bytes of both.
    pub size_bytes: u64,
}

impl Images {
    /// Opens the directory, makes it where it is missing, and removes what a crash left.
    ///
    /// # Errors
    /// When the settings contradict themselves or the disk refuses.
    pub fn open(config: Config) -> Result<Self, Error> {
        config.registries.check()?;
        let Config { dir, registries, limits } = config;
        let layout = Layout::open(&dir)?;
        let inner = Inner {
            layout,
            limits,
            content_locks: Locks::default(),
            blob_locks: Locks::default(),
            gate: Arc::default(),
            registries,
            http: Arc::default(),
        };
        Ok(Self { inner: Arc::new(inner), platform: Platform::of_this_machine() })
    }

    /// The same images, seen for another platform.
    #[must_use]
    pub fn for_platform(&self, platform: Platform) -> Self {
        Self { inner: Arc::clone(&self.inner), platform }
    }

    /// What a tag meant when it was last pulled here. A digest means itself.
    #[must_use]
    pub fn known(&self, reference: &Reference) -> Option<Digest> {
        match reference.digest() {
            Some(digest) => Some(digest.clone()),
            // What cannot be read is not known; pulling says why.
            None => self.inner.layout.known(&reference.to_string(), &self.platform).ok().flatten(),
        }
    }

    /// Asks the registry what a name means now: the digest of the manifest for this platform.
    ///
    /// # Errors
    /// When the registry has no such image, refuses, or cannot be reached.
    pub async fn resolve(
        &self,
        reference: &Reference,
        credential: Option<&Credential>,
    ) -> Result<Digest, Error> {
        let session = self.session(reference, credential);
        let name = reference.to_string();
        let limit_bytes = self.inner.limits.manifest_bytes;
        let raw = session.manifest(reference.asked(), limit_bytes).await?;
        let digest = match Document::read(&raw, &name, &self.inner.limits)? {
            Document::Manifest(_) => raw.digest,
            Document::Index(variants) => {
                choose(&variants, &self.platform, &name)?[0].checked(&name)?.digest
            }
        };
        // An image that is here under another name needs no pull, but the name is worth keeping.
        if self.find_in_background(&digest).await?.is_some() {
            self.remember(reference, &digest).await?;
        }
        Ok(digest)
    }

    /// Brings an image here: the one with `digest`, where that is given, otherwise the one that
    /// `reference` means. When it is here already, as far as is known, nobody is asked.
    ///
    /// What was downloaded before a failure or a kill is not downloaded again.
    ///
    /// # Errors
    /// When the registry has no such image, refuses or cannot be reached; when the image is
    /// damaged, hostile, too large or not for this platform; without root; when the disk refuses.
    pub async fn pull(
        &self,
        reference: &Reference,
        digest: Option<&Digest>,
        credential: Option<&Credential>,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Image, Error> {
        let pinned = digest.or(reference.digest()).cloned();
        let expected = pinned.clone().or_else(|| self.known(reference));
        if let Some(expected) = &expected
            && let Some(image) = self.find_in_background(expected).await?
        {
            // An older release that is wanted again does not say what the tag means.
            if self.known(reference).is_none() {
                self.remember(reference, &image.digest).await?;
            }
            progress(Progress::Present);
            return Ok(image);
        }
        need_root()?;
        progress(Progress::Resolving);
        let session = self.session(reference, credential);
        let asked = pinned.as_ref().map_or(reference.asked(), Digest::as_str);
        let gate = Arc::clone(&self.inner.gate).read_owned().await;
        let parcel = self.parcel(reference, &session, asked).await?;
        let digest = parcel.digest.clone();
        install(&self.inner, &self.platform, parcel, gate, progress).await?;
        self.remember(reference, &digest).await?;
        let image = self.find_in_background(&digest).await?;
        progress(Progress::Present);
        image.ok_or_else(|| vanished(&digest))
    }

    /// The image with that digest of a manifest or an index, if all of it is here.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn find(&self, digest: &Digest) -> Result<Option<Image>, Error> {
        let Some((digest, manifest)) = self.manifest_here(digest)? else { return Ok(None) };
        let limit_bytes = self.inner.limits.config_bytes;
        let Some(bytes) = self.inner.layout.small_blob(&manifest.config.digest, limit_bytes)?
        else {
            return Ok(None);
        };
        let Ok(read) = config::read(&bytes, digest.as_str()) else { return Ok(None) };
        let mut image_layers = Vec::new();
        let mut size_bytes = 0;
        let mut is_hidden = false;
        for diff_id in read.diff_ids.iter().rev() {
            let Some(layer) = layers::find(&self.inner.layout, diff_id)? else { return Ok(None) };
            if is_hidden || image_layers.contains(&layer.path) {
                continue;
            }
            size_bytes += layer.size_bytes;
            is_hidden = layer.hides_all;
            image_layers.push(layer.path);
        }
        image_layers.reverse();
        Ok(Some(Image { digest, layers: image_layers, config: read.config, size_bytes }))
    }

    /// Removes every image but those in `keep`, which are digests of manifests or indexes. `keep`
    /// has to hold the images of running instances, of releases, and of deploys under way. While
    /// an image is coming nothing is removed.
    ///
    /// # Errors
    /// When the disk refuses. Repeating it goes on.
    pub async fn collect_garbage(&self, keep: &[Digest]) -> Result<Freed, Error> {
        let Ok(gate) = Arc::clone(&self.inner.gate).try_write_owned() else {
            return Ok(Freed::default());
        };
        let (images, keep) = (self.clone(), keep.to_vec());
        blocking(move || {
            let _gate = gate;
            images.remove_others(&keep)
        })
        .await
    }

    fn remove_others(&self, keep: &[Digest]) -> Result<Freed, Error> {
        let (mut blobs, mut dirs) = (HashSet::new(), HashSet::new());
        for digest in keep {
            let layout = &self.inner.layout;
            blobs.insert(layout.blob_path(digest));
            let Some((digest, manifest)) = self.manifest_here(digest)? else { continue };
            blobs.insert(layout.blob_path(&digest));
            blobs.insert(layout.blob_path(&manifest.config.digest));
            let limit_bytes = self.inner.limits.config_bytes;
            let config = layout.small_blob(&manifest.config.digest, limit_bytes)?;
            let read = config.and_then(|bytes| config::read(&bytes, digest.as_str()).ok());
            for diff_id in read.into_iter().flat_map(|read| read.diff_ids) {
                dirs.insert(layout.layers_dir().join(diff_id.short()));
            }
        }
        let layout = &self.inner.layout;
        layout.forget_others(|digest| {
            digest.parse().is_ok_and(|digest| blobs.contains(&layout.blob_path(&digest)))
        })?;
        let (all_blobs, all_dirs) = layout.everything()?;
        let mut freed = Freed::default();
        // Manifests first: an image without one is not here, whatever else is left of it.
        for path in all_blobs.into_iter().filter(|path| !blobs.contains(path)) {
            freed.size_bytes += std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
            remove(&path).map_err(Error::at("remove", &path))?;
            freed.blobs += 1;
        }
        for path in all_dirs.into_iter().filter(|path| !dirs.contains(path)) {
            freed.size_bytes += layers::size_at(&path)?.unwrap_or(0);
            // A layer is there as a whole or not at all.
            let unfinished = layout.unfinished();
            std::fs::rename(&path, unfinished.path()).map_err(Error::at("remove", &path))?;
            remove(unfinished.path()).map_err(Error::at("remove", &path))?;
            freed.layers += 1;
        }
        Ok(freed)
    }

    /// The manifest for this platform that a digest of a manifest or an index leads to here.
    fn manifest_here(&self, digest: &Digest) -> Result<Option<(Digest, Manifest)>, Error> {
        let limits = &self.inner.limits;
        let read = |digest: &Digest| {
            let bytes = self.inner.layout.small_blob(digest, limits.manifest_bytes)?;
            Ok::<_, Error>(bytes.and_then(|bytes| {
                let raw = Raw { media_type: None, bytes, digest: digest.clone() };
                Document::read(&raw, digest.as_str(), limits).ok()
            }))
        };
        match read(digest)? {
            None => Ok(None),
            Some(Document::Manifest(manifest)) => Ok(Some((digest.clone(), manifest))),
            Some(Document::Index(variants)) => {
                for variant in choose(&variants, &self.platform, "").unwrap_or_default() {
                    let Ok(variant) = variant.checked("") else { continue };
                    if let Some(Document::Manifest(manifest)) = read(&variant.digest)? {
                        return Ok(Some((variant.digest, manifest)));
                    }
                }
                Ok(None)
            }
        }
    }

    async fn find_in_background(&self, digest: &Digest) -> Result<Option<Image>, Error> {
        let (images, digest) = (self.clone(), digest.clone());
        blocking(move || images.find(&digest)).await
    }

    /// Asks for everything but the layers.
    async fn parcel<'a>(
        &self,
        reference: &Reference,
        session: &'a Session,
        asked: &str,
    ) -> Result<Parcel<'a>, Error> {
        let (name, limits) = (reference.to_string(), &self.inner.limits);
        let mut raw = session.manifest(asked, limits.manifest_bytes).await?;
        let mut index = None;
        let mut document = Document::read(&raw, &name, limits)?;
        if let Document::Index(variants) = document {
            let chosen = choose(&variants, &self.platform, &name)?[0].checked(&name)?;
            let variant = session.manifest(chosen.digest.as_str(), limits.manifest_bytes).await?;
            document = Document::read(&variant, &name, limits)?;
            index = Some((raw.digest, raw.bytes));
            raw = variant;
        }
        let Document::Manifest(manifest) = document else {
            return Err(Error::damaged(name, "its index leads to another index"));
        };
        let config_bytes = self.small_blob(session, &manifest.config, &name).await?;
        let Raw { bytes, digest, .. } = raw;
        let origin = Origin::Registry(session);
        Ok(Parcel { name, digest, bytes, manifest, config_bytes, index, origin })
    }

    async fn small_blob(
        &self,
        session: &Session,
        descriptor: &Descriptor,
        name: &str,
    ) -> Result<Vec<u8>, Error> {
        let limit = self.inner.limits.config_bytes;
        if descriptor.size_bytes > limit {
            let what = format!("the configuration of {name}");
            return Err(Error::TooLarge { what, limit, unit: "bytes" });
        }
        let unfinished = self.inner.layout.unfinished();
        session.blob(descriptor, unfinished.path(), &|_| {}).await?;
        tokio::fs::read(unfinished.path()).await.map_err(Error::at("read", unfinished.path()))
    }

    fn session(&self, reference: &Reference, credential: Option<&Credential>) -> Session {
        let Inner { http, registries, .. } = &*self.inner;
        Session::new(Arc::clone(http), registries, reference, credential)
    }

    /// Writes down what a tag means; a digest needs no memory.
    async fn remember(&self, reference: &Reference, digest: &Digest) -> Result<(), Error> {
        if reference.digest().is_some() || self.known(reference).as_ref() == Some(digest) {
            return Ok(());
        }
        let (images, name, digest) = (self.clone(), reference.to_string(), digest.clone());
        blocking(move || {
            let path = images.inner.layout.blob_path(&digest);
            let size = std::fs::metadata(&path).map_err(Error::at("look at", &path))?.len();
            let manifest = Descriptor { digest, size_bytes: size };
            images.inner.layout.remember(&name, &images.platform, &manifest)
        })
        .await
    }
}

/// Owners, devices for whiteouts and attributes of overlayfs need root.
pub(crate) fn need_root() -> Result<(), Error> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err(Error::NeedsRoot) }
}

pub(crate) fn vanished(digest: &Digest) -> Error {
    Error::damaged(format!("image {digest}"), "a part of it was removed while it was brought here")
}
