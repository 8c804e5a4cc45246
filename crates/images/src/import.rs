//! Images from files: OCI layouts, and archives as `docker save` writes them.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use serde::Deserialize;

use crate::archive::{Archive, Fault, Kind};
use crate::digest::Hashed;
use crate::images::{Image, Images, need_root, vanished};
use crate::install::{Heard, Origin, Parcel, blocking, install};
use crate::manifest::{
    CONFIG, Descriptor, DescriptorJson, Document, LAYER, MANIFEST, Manifest, ManifestJson, choose,
};
use crate::registry::Raw;
use crate::stream::{Allowance, Metered};
use crate::{Digest, Error, Platform, Progress};

/// Files in an archive. Each layer of an image is at most three of them.
const ARCHIVE_ENTRIES_MAX: usize = 10_000;
/// An index in an index in an index.
const INDEX_DEPTH_MAX: usize = 3;

/// A layout on the disk, or files in an archive.
pub(crate) struct Source {
    place: String,
    files: Files,
    /// Blobs of old archives by their digest: they have names of their own.
    aliases: HashMap<Digest, String>,
}

enum Files {
    Dir(PathBuf),
    Archive { path: PathBuf, entries: HashMap<String, Section> },
}

/// A file in an archive.
#[derive(Clone)]
struct Section {
    offset: u64,
    size_bytes: u64,
    /// The name of the file that it is a link to.
    link: Option<String>,
}

/// A file and its size.
type Opened = (Box<dyn Read>, u64);

/// `manifest.json` of an archive: its images.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SavedJson {
    config: String,
    layers: Vec<String>,
}

/// What there is to install.
struct Found {
    digest: Digest,
    bytes: Vec<u8>,
    manifest: Manifest,
    index: Option<(Digest, Vec<u8>)>,
}

impl Images {
    /// Brings the image of an OCI layout here: a directory with `index.json` and `blobs`, as
    /// `buildah push … oci:dir` writes it. The layout is only read.
    ///
    /// # Errors
    /// As [`Images::pull`], and when the layout holds several images for this platform or none.
    pub async fn import_layout(
        &self,
        layout: &Path,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Image, Error> {
        let source = Source {
            place: layout.display().to_string(),
            files: Files::Dir(layout.to_owned()),
            aliases: HashMap::new(),
        };
        self.import(source, progress).await
    }

    /// Brings the image of an archive here, as `docker save` or `podman save` writes it: in the
    /// form of OCI or in Docker's older one. The archive is only read.
    ///
    /// # Errors
    /// As [`Images::pull`], and when the archive holds several images for this platform or none.
    pub async fn import_archive(
        &self,
        tar: &Path,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Image, Error> {
        let path = tar.to_owned();
        let source = blocking(move || Source::of_archive(path)).await?;
        self.import(source, progress).await
    }

    async fn import(&self, source: Source, progress: Heard<'_>) -> Result<Image, Error> {
        need_root()?;
        let gate = Arc::clone(&self.inner.gate).read_owned().await;
        let images = self.clone();
        let (source, found, config_bytes) = blocking(move || {
            let mut source = source;
            let found = source.image(&images)?;
            let limit_bytes = images.inner.limits.config_bytes;
            let config_bytes = source.small_blob(&found.manifest.config, limit_bytes)?;
            Ok((source, found, config_bytes))
        })
        .await?;
        let Found { digest, bytes, manifest, index } = found;
        let name = source.place.clone();
        let origin = Origin::Files(Arc::new(source));
        let pinned = digest.clone();
        let parcel = Parcel { name, digest, bytes, manifest, config_bytes, index, origin };
        install(&self.inner, &self.platform, parcel, gate, progress).await?;
        let images = self.clone();
        let (image, digest) = blocking(move || Ok((images.find(&pinned)?, pinned))).await?;
        progress(Progress::Present);
        image.ok_or_else(|| vanished(&digest))
    }
}

impl Source {
    fn of_archive(path: PathBuf) -> Result<Self, Error> {
        let place = path.display().to_string();
        let file = File::open(&path).map_err(Error::at("open", &path))?;
        let mut archive = Archive::new(BufReader::with_capacity(128 * 1024, file));
        let mut entries = HashMap::new();
        let fault = |fault: Fault| match fault {
            Fault::Io(error) if error.raw_os_error().is_some() => Error::at("read", &path)(error),
            Fault::Io(error) => Error::damaged(&place, error.to_string()),
            Fault::Bad(reason) => Error::damaged(
                &place,
                format!("it is not an uncompressed archive of an image: {reason}"),
            ),
            Fault::Entry { reason, .. } => Error::damaged(&place, reason),
        };
        while let Some(entry) = archive.next_entry().map_err(fault)? {
            if entries.len() >= ARCHIVE_ENTRIES_MAX {
                let limit = ARCHIVE_ENTRIES_MAX as u64;
                return Err(Error::TooLarge { what: place, limit, unit: "files" });
            }
            let Ok(name) = String::from_utf8(entry.path) else { continue };
            let name = name.trim_start_matches("./").to_owned();
            let target = String::from_utf8_lossy(&entry.link).into_owned();
            let link = match entry.kind {
                Kind::File => None,
                Kind::HardLink => Some(target),
                // Older Docker: `../<id>/layer.tar`.
                Kind::Symlink => Some(beside(&name, &target)),
                _ => continue,
            };
            entries
                .insert(name, Section { offset: entry.offset, size_bytes: entry.size_bytes, link });
        }
        Ok(Self { place, files: Files::Archive { path, entries }, aliases: HashMap::new() })
    }

    /// The one image for the platform.
    fn image(&mut self, images: &Images) -> Result<Found, Error> {
        let limits = &images.inner.limits;
        let Some(bytes) = self.small_file("index.json", limits.manifest_bytes)? else {
            return match self.small_file("manifest.json", limits.manifest_bytes)? {
                Some(bytes) => self.saved(&bytes, limits.manifest_bytes),
                None => Err(Error::damaged(
                    &self.place,
                    "it is not an OCI layout: it has no index.json",
                )),
            };
        };
        let top = Raw { media_type: None, digest: Digest::of(&bytes), bytes };
        let Document::Index(mut variants) = Document::read(&top, &self.place, limits)? else {
            return Err(Error::damaged(&self.place, "its index.json is not an index"));
        };
        let mut index = None;
        for _ in 0..INDEX_DEPTH_MAX {
            let chosen = self.one(&variants, &images.platform)?;
            let bytes = self.small_blob(&chosen, limits.manifest_bytes)?;
            let raw = Raw { media_type: None, bytes, digest: chosen.digest };
            match Document::read(&raw, &self.place, limits)? {
                Document::Manifest(manifest) => {
                    let Raw { bytes, digest, .. } = raw;
                    return Ok(Found { digest, bytes, manifest, index });
                }
                Document::Index(below) => {
                    variants = below;
                    index = Some((raw.digest, raw.bytes));
                }
            }
        }
        Err(Error::damaged(&self.place, "its indexes lead to one another"))
    }

    fn one(&self, variants: &[DescriptorJson], platform: &Platform) -> Result<Descriptor, Error> {
        let not_one = |count| Error::NotOneImage { place: self.place.clone(), count };
        if variants.is_empty() {
            return Err(not_one(0));
        }
        match choose(variants, platform, &self.place)?.as_slice() {
            [one] => one.checked(&self.place),
            several => Err(not_one(several.len())),
        }
    }

    /// Writes the manifest that an archive in Docker's older form lacks.
    fn saved(&mut self, bytes: &[u8], limit_bytes: u64) -> Result<Found, Error> {
        let damaged = |reason: &str| Error::damaged(&self.place, reason);
        let images: Vec<SavedJson> = serde_json::from_slice(bytes)
            .map_err(|_| damaged("its manifest.json is not that of saved images"))?;
        let [image] = images.as_slice() else {
            return Err(Error::NotOneImage { place: self.place.clone(), count: images.len() });
        };
        let missing = |name: &str| damaged(&format!("it lacks {name}"));
        let config =
            self.small_file(&image.config, limit_bytes)?.ok_or_else(|| missing(&image.config))?;
        let config_digest = Digest::of(&config);
        let mut aliases = HashMap::from([(config_digest.clone(), image.config.clone())]);
        let mut layers = Vec::new();
        for name in &image.layers {
            let (file, size_bytes) = self.open(name)?.ok_or_else(|| missing(name))?;
            let digest = Hashed::new(file)
                .finish()
                .map_err(|source| Error::io(format!("read {name} of {}", self.place), source))?;
            aliases.insert(digest.clone(), name.clone());
            layers.push(Descriptor { digest, size_bytes });
        }
        let json = |descriptor: &Descriptor, media_type: &str| DescriptorJson {
            media_type: media_type.to_owned(),
            digest: descriptor.digest.to_string(),
            size: descriptor.size_bytes,
            platform: None,
            annotations: None,
        };
        let config = Descriptor { digest: config_digest, size_bytes: config.len() as u64 };
        let manifest = ManifestJson {
            schema_version: 2,
            media_type: Some(MANIFEST.to_owned()),
            config: Some(json(&config, CONFIG)),
            layers: Some(layers.iter().map(|layer| json(layer, LAYER)).collect()),
            manifests: None,
        };
        let bytes = serde_json::to_vec(&manifest).expect("a manifest has only strings for keys");
        self.aliases = aliases;
        let manifest = Manifest { config, layers };
        Ok(Found { digest: Digest::of(&bytes), bytes, manifest, index: None })
    }

    /// A blob from its beginning, after it was read once and compared with its digest.
    pub(crate) fn verified(
        &self,
        descriptor: &Descriptor,
        allowance: &Allowance,
    ) -> Result<Box<dyn Read>, Error> {
        let what = format!("blob {} of {}", descriptor.digest, self.place);
        let open = || self.blob(descriptor);
        // The limits are those of what is unpacked; only the wish to stop is of interest here.
        let unlimited = Allowance {
            layer_bytes: u64::MAX,
            image_bytes: Arc::new(u64::MAX.into()),
            stop: Arc::clone(&allowance.stop),
        };
        let came = Hashed::new(Metered::new(open()?, unlimited)).finish();
        let came = came.map_err(|source| Error::io(format!("read {what}"), source))?;
        if came != descriptor.digest {
            return Err(Error::damaged(what, format!("its bytes have the digest {came}")));
        }
        open()
    }

    fn small_blob(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, Error> {
        let what = format!("blob {} of {}", descriptor.digest, self.place);
        if descriptor.size_bytes > limit {
            return Err(Error::TooLarge { what, limit, unit: "bytes" });
        }
        let mut bytes = Vec::new();
        let read = self.blob(descriptor)?.read_to_end(&mut bytes);
        read.map_err(|source| Error::io(format!("read {what}"), source))?;
        let came = Digest::of(&bytes);
        if came != descriptor.digest {
            return Err(Error::damaged(what, format!("its bytes have the digest {came}")));
        }
        Ok(bytes)
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read>, Error> {
        let own = format!("blobs/sha256/{}", descriptor.digest.hex());
        let name = self.aliases.get(&descriptor.digest).unwrap_or(&own);
        let what = || format!("blob {} of {}", descriptor.digest, self.place);
        let (file, size_bytes) =
            self.open(name)?.ok_or_else(|| Error::damaged(what(), "it is missing"))?;
        if size_bytes != descriptor.size_bytes {
            let reason = format!("it has {size_bytes} bytes, not {}", descriptor.size_bytes);
            return Err(Error::damaged(what(), reason));
        }
        Ok(file)
    }

    fn small_file(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some((mut file, size_bytes)) = self.open(name)? else { return Ok(None) };
        let what = format!("{name} of {}", self.place);
        if size_bytes > limit {
            return Err(Error::TooLarge { what, limit, unit: "bytes" });
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|source| Error::io(format!("read {what}"), source))?;
        Ok(Some(bytes))
    }

    /// A file with its size, or `None` when it is not there.
    fn open(&self, name: &str) -> Result<Option<Opened>, Error> {
        let opened = match &self.files {
            Files::Dir(dir) => open_below(dir, name),
            Files::Archive { path, entries } => open_section(path, entries, name),
        };
        match opened {
            Ok(Some((file, size_bytes))) => Ok(Some((Box::new(file.take(size_bytes)), size_bytes))),
            Ok(None) => Ok(None),
            Err(source) => Err(Error::io(format!("open {name} of {}", self.place), source)),
        }
    }
}

/// A regular file below a directory, through no link.
fn open_below(dir: &Path, name: &str) -> io::Result<Option<(File, u64)>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, dir, flags, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match openat2(&root, name, flags, Mode::empty(), resolve) {
        Ok(file) => {
            let file = File::from(file);
            let metadata = file.metadata()?;
            if !metadata.is_file() {
                return Err(io::Error::other("it is not a file"));
            }
            Ok(Some((file, metadata.len())))
        }
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn open_section(
    path: &Path,
    entries: &HashMap<String, Section>,
    name: &str,
) -> io::Result<Option<(File, u64)>> {
    let Some(mut section) = entries.get(name) else { return Ok(None) };
    // A link to a link is nothing that anybody writes.
    if let Some(link) = &section.link {
        match entries.get(link) {
            Some(target) if target.link.is_none() => section = target,
            _ => return Ok(None),
        }
    }
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(section.offset))?;
    Ok(Some((file, section.size_bytes)))
}

/// What a link means that lies at `name`.
fn beside(name: &str, target: &str) -> String {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
