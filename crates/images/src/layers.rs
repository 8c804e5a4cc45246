//! Unpacked layers: one directory for each content, shared by all images.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{XattrFlags, lgetxattr, lsetxattr, syncfs};
use rustix::io::Errno;

use crate::digest::Hashed;
use crate::layout::{Layout, remove};
use crate::stream::{Allowance, Metered, decompressed};
use crate::unpack::{Context, OPAQUE_XATTR, unpack};
use crate::{Digest, Error, Limits};

/// On the directory of a finished layer: the digest of its content and its size. It comes into
/// place with the directory, in one rename.
const MARK: &str = "trusted.gable.layer";

/// A layer that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) path: PathBuf,
    /// Bytes of its tar stream.
    pub(crate) size_bytes: u64,
    /// Whether it hides everything below. Overlayfs does not look for that at the root.
    pub(crate) hides_all: bool,
}

/// The layer with this content, if it is here whole.
pub(crate) fn find(layout: &Layout, diff_id: &Digest) -> Result<Option<Layer>, Error> {
    let path = layout.layers_dir().join(diff_id.short());
    let Some(mark) = attribute(&path, MARK)? else { return Ok(None) };
    let mark = String::from_utf8(mark).unwrap_or_default();
    let size = mark.strip_prefix(diff_id.as_str()).and_then(|size| size.trim().parse().ok());
    let Some(size_bytes) = size else { return Ok(None) };
    let hides_all = attribute(&path, OPAQUE_XATTR)?.is_some_and(|value| value == b"y");
    Ok(Some(Layer { path, size_bytes, hides_all }))
}

/// The size of whatever layer lies in that directory.
pub(crate) fn size_at(path: &Path) -> Result<Option<u64>, Error> {
    let mark = attribute(path, MARK)?.and_then(|mark| String::from_utf8(mark).ok());
    Ok(mark.and_then(|mark| mark.rsplit(' ').next()?.parse().ok()))
}

/// Unpacks a layer and compares its content with `diff_id`. Nothing stays behind on failure.
pub(crate) fn make(
    layout: &Layout,
    diff_id: &Digest,
    compressed: impl Read + 'static,
    (limits, allowance): (&Limits, Allowance),
) -> Result<(), Error> {
    let what = format!("layer {diff_id}");
    let path = layout.layers_dir().join(diff_id.short());
    let unfinished = layout.unfinished();
    fs::DirBuilder::new()
        .mode(0o755)
        .create(unfinished.path())
        .and_then(|()| fs::set_permissions(unfinished.path(), fs::Permissions::from_mode(0o755)))
        .map_err(Error::at("create", unfinished.path()))?;
    let root = File::open(unfinished.path()).map_err(Error::at("open", unfinished.path()))?;
    let context = Context { layer: &what, limits };
    let content =
        decompressed(compressed).map_err(|error| context.io(format!("read {what}"), error))?;
    let mut content = Metered::new(Hashed::new(content), allowance);
    let root_fd = root.try_clone().map_err(Error::at("open", unfinished.path()))?;
    unpack(&mut content, root_fd.into(), &context)?;
    let size_bytes = content.done_bytes;
    let came = content
        .into_inner()
        .finish()
        .map_err(|source| Error::io(format!("read {what}"), source))?;
    if came != *diff_id {
        return Err(Error::damaged(what, format!("its content has the digest {came}")));
    }
    let mark = format!("{diff_id} {size_bytes}");
    lsetxattr(unfinished.path(), MARK, mark.as_bytes(), XattrFlags::empty())
        .map_err(Error::at("mark", unfinished.path()))?;
    syncfs(&root).map_err(Error::at("sync", unfinished.path()))?;
    if find(layout, diff_id)?.is_some() {
        return Ok(());
    }
    remove(&path).map_err(Error::at("remove", &path))?;
    layout.publish(&unfinished, &path)
}

fn attribute(path: &Path, name: &str) -> Result<Option<Vec<u8>>, Error> {
    let mut value = vec![0; 256];
    match lgetxattr(path, name, &mut value) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(Errno::NOENT | Errno::NODATA | Errno::RANGE) => Ok(None),
        Err(error) => Err(Error::io(format!("look at {}", path.display()), io::Error::from(error))),
    }
}
