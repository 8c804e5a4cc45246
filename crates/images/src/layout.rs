//! The directory: blobs, what tags mean, and unfinished things.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FlockOperation, OFlags, flock};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::manifest::{
    Descriptor, DescriptorJson, MANIFEST, Platform, PlatformJson, REFERENCE_NAME,
};
use crate::{Digest, Error};

const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
/// What tags mean is small; a file that is larger is not ours.
const INDEX_LIMIT_BYTES: u64 = 64 << 20;

/// The directory of all images.
pub(crate) struct Layout {
    dir: PathBuf,
    /// Held while `index.json` is read and replaced.
    index: Mutex<()>,
    counter: AtomicU64,
    /// Locked as long as this process has the directory open.
    _lock: OwnedFd,
}

/// Something unfinished; removed unless it was moved away.
pub(crate) struct Unfinished(PathBuf);

impl Unfinished {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        remove(&self.0)
            .unwrap_or_else(|error| warn!("failed to remove {}: {error}", self.0.display()));
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct IndexJson {
    schema_version: u64,
    media_type: String,
    manifests: Vec<DescriptorJson>,
}

impl Layout {
    /// Makes what is missing and removes what a crash left.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        for path in [dir, &dir.join("blobs/sha256"), &dir.join("l"), &dir.join("tmp")] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(Error::at("create", path))?;
        }
        // The programs of strangers are below: setuid ones too.
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
            .map_err(Error::at("set the mode of", dir))?;
        let lock_path = dir.join("lock");
        let lock = rustix::fs::open(
            &lock_path,
            OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        )
        .map_err(Error::at("open", &lock_path))?;
        // While another process is at work here, as during an upgrade, unfinished things are its.
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            for path in children(&dir.join("tmp"))? {
                remove(&path).map_err(Error::at("remove", &path))?;
            }
        }
        let (index, counter) = (Mutex::new(()), AtomicU64::new(0));
        let layout = Self { dir: dir.to_owned(), index, counter, _lock: lock };
        if !dir.join("oci-layout").exists() {
            layout.write(&dir.join("oci-layout"), LAYOUT.as_bytes())?;
        }
        Ok(layout)
    }

    /// Where unpacked layers are.
    pub(crate) fn layers_dir(&self) -> PathBuf {
        self.dir.join("l")
    }

    /// A path that nothing has yet.
    pub(crate) fn unfinished(&self) -> Unfinished {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        Unfinished(self.dir.join("tmp").join(format!("{}-{number}", std::process::id())))
    }

    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs/sha256").join(digest.hex())
    }

    /// A small blob, if it is here and still what it was.
    pub(crate) fn small_blob(
        &self,
        digest: &Digest,
        limit_bytes: u64,
    ) -> Result<Option<Vec<u8>>, Error> {
        let path = self.blob_path(digest);
        let bytes = read_bounded(&path, limit_bytes).map_err(Error::at("read", &path))?;
        Ok(bytes.filter(|bytes| Digest::of(bytes) == *digest))
    }

    /// Keeps a small blob.
    pub(crate) fn keep_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        self.write(&self.blob_path(digest), bytes)
    }

    /// Moves something finished and synced into its place.
    pub(crate) fn publish(&self, unfinished: &Unfinished, path: &Path) -> Result<(), Error> {
        fs::rename(unfinished.path(), path).map_err(Error::at("rename into", path))?;
        sync_dir(path.parent().unwrap_or(&self.dir))
    }

    /// Removes a blob, if it is here.
    pub(crate) fn drop_blob(&self, digest: &Digest) -> Result<(), Error> {
        let path = self.blob_path(digest);
        remove(&path).map_err(Error::at("remove", &path))
    }

    /// What a name meant when it was pulled last.
    pub(crate) fn known(&self, name: &str, platform: &Platform) -> Result<Option<Digest>, Error> {
        let _guard = self.index.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let manifests = self.read_index()?;
        let found = manifests.iter().find(|manifest| is_of(manifest, name, platform));
        Ok(found.and_then(|manifest| manifest.digest.parse().ok()))
    }

    /// Remembers what a name means now.
    pub(crate) fn remember(
        &self,
        name: &str,
        platform: &Platform,
        manifest: &Descriptor,
    ) -> Result<(), Error> {
        let _guard = self.index.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut manifests = self.read_index()?;
        manifests.retain(|manifest| !is_of(manifest, name, platform));
        manifests.push(DescriptorJson {
            media_type: MANIFEST.to_owned(),
            digest: manifest.digest.to_string(),
            size: manifest.size_bytes,
            platform: Some(PlatformJson {
                architecture: platform.architecture.clone(),
                os: platform.os.clone(),
                variant: platform.variant.clone(),
            }),
            annotations: Some(BTreeMap::from([(REFERENCE_NAME.to_owned(), name.to_owned())])),
        });
        self.write_index(manifests)
    }

    /// Forgets every name whose image is not kept.
    pub(crate) fn forget_others(&self, is_kept: impl Fn(&str) -> bool) -> Result<(), Error> {
        let _guard = self.index.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut manifests = self.read_index()?;
        let before = manifests.len();
        manifests.retain(|manifest| is_kept(&manifest.digest));
        if manifests.len() == before { Ok(()) } else { self.write_index(manifests) }
    }

    /// Paths of all blobs and of all unpacked layers.
    pub(crate) fn everything(&self) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Error> {
        Ok((children(&self.dir.join("blobs/sha256"))?, children(&self.layers_dir())?))
    }

    fn read_index(&self) -> Result<Vec<DescriptorJson>, Error> {
        let path = self.dir.join("index.json");
        let bytes = read_bounded(&path, INDEX_LIMIT_BYTES).map_err(Error::at("read", &path))?;
        let Some(bytes) = bytes else { return Ok(Vec::new()) };
        match serde_json::from_slice::<IndexJson>(&bytes) {
            Ok(index) => Ok(index.manifests),
            Err(error) => {
                // Only what tags meant is lost, and registries say that again.
                warn!("{} is not readable and is begun anew: {error}", path.display());
                Ok(Vec::new())
            }
        }
    }

    fn write_index(&self, manifests: Vec<DescriptorJson>) -> Result<(), Error> {
        let media_type = crate::manifest::INDEX.to_owned();
        let index = IndexJson { schema_version: 2, media_type, manifests };
        let bytes = serde_json::to_vec(&index).expect("an index has only strings for keys");
        self.write(&self.dir.join("index.json"), &bytes)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let unfinished = self.unfinished();
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(unfinished.path())?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(Error::at("write", path))?;
        self.publish(&unfinished, path)
    }
}

fn is_of(manifest: &DescriptorJson, name: &str, platform: &Platform) -> bool {
    let named = manifest.annotations.as_ref().and_then(|notes| notes.get(REFERENCE_NAME));
    let for_platform = manifest.platform.as_ref().is_some_and(|other| {
        other.os == platform.os
            && other.architecture == platform.architecture
            && other.variant == platform.variant
    });
    for_platform && named.is_some_and(|named| named == name)
}

/// A whole file, or `None` when it is not there. A longer one is an error.
pub(crate) fn read_bounded(path: &Path, limit_bytes: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(limit_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit_bytes {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than is allowed"));
    }
    Ok(Some(bytes))
}

/// Removes a file or a directory with everything in it, if it is there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let result = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

pub(crate) fn sync_dir(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(Error::at("sync", path))
}

fn children(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let list = || fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>();
    list().map_err(Error::at("list", dir))
}
