//! Unpacks a layer into a directory that overlayfs can take as it is.
//!
//! The stream is hostile. Every name is created below the layer's root through `openat2`, beneath
//! it and through no symlink; paths that go up or begin at the root, devices, and hard links to
//! anything but a file of the same layer are refused by name. Whiteouts become overlayfs's own:
//! a character device 0/0, and `trusted.overlay.opaque` on a directory. What a layer brings of
//! `trusted.*` or `user.overlay.*` is never taken over: overlayfs would believe it.
//!
//! Two things are left out in silence, because ordinary base images have them: special files
//! below `dev`, where every instance gets a file system of its own, and extended attributes other
//! than `user.*` and `security.capability`.

mod place;
mod walk;

use std::io::{self, Read};
use std::os::fd::OwnedFd;

use crate::archive::{Archive, Entry, Fault, Kind};
use crate::stream::{Cut, Metered};
use crate::{Error, Limits};
use place::Place;

pub(crate) use place::OPAQUE_XATTR;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Other names of that kind are notes of a union file system to itself.
const NOTE: &[u8] = b".wh..wh.";
const PATH_LENGTH_MAX: usize = 4096;
const NAME_LENGTH_MAX: usize = 255;
/// Directories in directories, so that removing them again stays possible.
const DEPTH_MAX: usize = 256;

/// What a failure is told as.
pub(crate) struct Context<'a> {
    /// The layer, for messages.
    pub(crate) layer: &'a str,
    pub(crate) limits: &'a Limits,
}

/// Unpacks a stream below `root`, an empty directory, and reads the stream to its end.
pub(crate) fn unpack<R: Read>(
    stream: &mut Metered<R>,
    root: OwnedFd,
    context: &Context<'_>,
) -> Result<(), Error> {
    let mut archive = Archive::new(stream);
    let mut place = Place::new(root);
    let mut entries = 0;
    while let Some(entry) = archive.next_entry().map_err(|fault| context.fault(fault))? {
        entries += 1;
        if entries > context.limits.layer_entries {
            return Err(context.too_large(context.limits.layer_entries, "entries"));
        }
        match apply(&mut place, &entry, &mut archive) {
            Ok(()) => {}
            Err(Trouble::Refused(reason)) => return Err(context.refused(&entry.path, reason)),
            Err(Trouble::Io(error)) => {
                let doing = format!("unpack `{}` of {}", printable(&entry.path), context.layer);
                return Err(context.io(doing, error));
            }
        }
    }
    place
        .finish()
        .map_err(|error| Error::io(format!("set the times of {}", context.layer), error))?;
    let stream = archive.into_inner();
    io::copy(stream, &mut io::sink()).map_err(|error| context.fault(Fault::Io(error)))?;
    Ok(())
}

/// Why an entry could not be made.
#[derive(Debug)]
pub(crate) enum Trouble {
    Refused(&'static str),
    Io(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rustix::io::Errno> for Trouble {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}

fn apply<R: Read>(place: &mut Place, entry: &Entry, data: &mut Archive<R>) -> Result<(), Trouble> {
    let path = components(&entry.path)?;
    let Some((name, parent)) = path.split_last() else {
        return match entry.kind {
            Kind::Directory => place.root(entry),
            _ => Err(Trouble::Refused("it would replace the root of the layer")),
        };
    };
    if path.iter().any(|part| part.starts_with(NOTE) && *part != OPAQUE) {
        return Ok(());
    }
    if parent.iter().any(|part| part.starts_with(WHITEOUT)) {
        return Err(Trouble::Refused("it lies below something that says what is deleted"));
    }
    if *name == OPAQUE {
        return place.opaque(parent);
    }
    if let Some(hidden) = name.strip_prefix(WHITEOUT) {
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(Trouble::Refused("it deletes something that has no name"));
        }
        return place.whiteout(parent, hidden);
    }
    let is_below_dev = parent.first() == Some(&b"dev".as_slice());
    match entry.kind {
        Kind::Directory => place.directory(parent, name, entry),
        Kind::File => place.file(parent, name, entry, data),
        Kind::Symlink if entry.link.is_empty() => Err(Trouble::Refused("it is a link to nothing")),
        Kind::Symlink => place.symlink(parent, name, entry),
        Kind::HardLink => {
            let target = components(&entry.link).map_err(|_| {
                Trouble::Refused("it is a hard link to something outside of the layer")
            })?;
            let is_device = is_below_dev && target.first() == Some(&b"dev".as_slice());
            match place.hard_link(parent, name, &target) {
                // Its target was one of the devices that are left out.
                Err(Trouble::Refused(_)) if is_device => Ok(()),
                result => result,
            }
        }
        Kind::Device | Kind::Fifo if is_below_dev => Ok(()),
        Kind::Device => Err(Trouble::Refused("it is a device")),
        Kind::Fifo => Err(Trouble::Refused("it is a named pipe")),
        Kind::Other => Err(Trouble::Refused("it is of a kind that layers do not have")),
    }
}

/// A path inside the layer, part by part, without `.`; empty for the layer's root.
fn components(path: &[u8]) -> Result<Vec<&[u8]>, Trouble> {
    if path.starts_with(b"/") {
        return Err(Trouble::Refused("its path begins at the root"));
    }
    if path.is_empty() || path.contains(&0) || path.len() > PATH_LENGTH_MAX {
        return Err(Trouble::Refused("its path is empty, too long or not a path"));
    }
    let mut parts = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(Trouble::Refused("its path goes up with `..`")),
            part if part.len() > NAME_LENGTH_MAX => {
                return Err(Trouble::Refused("a name in its path is longer than 255 bytes"));
            }
            part => parts.push(part),
        }
    }
    if parts.len() > DEPTH_MAX {
        return Err(Trouble::Refused("it lies more than 256 directories deep"));
    }
    Ok(parts)
}

impl Context<'_> {
    fn fault(&self, fault: Fault) -> Error {
        match fault {
            Fault::Io(error) => self.io(format!("read {}", self.layer), error),
            Fault::Bad(reason) => Error::damaged(self.layer, reason),
            Fault::Entry { path, reason } => self.refused(&path, reason),
        }
    }

    pub(crate) fn io(&self, doing: String, error: io::Error) -> Error {
        match Cut::in_error(&error) {
            Some(Cut::Layer) => self.too_large(self.limits.layer_bytes, "bytes when unpacked"),
            Some(Cut::Image) => Error::TooLarge {
                what: "the image".to_owned(),
                limit: self.limits.image_bytes,
                unit: "bytes when unpacked",
            },
            Some(Cut::Stopped) => Error::Stopped { what: self.layer.to_owned() },
            // The system's own errors have numbers; those of decoders have none.
            None if error.raw_os_error().is_none() => Error::damaged(self.layer, error.to_string()),
            None => Error::io(doing, error),
        }
    }

    fn too_large(&self, limit: u64, unit: &'static str) -> Error {
        Error::TooLarge { what: self.layer.to_owned(), limit, unit }
    }

    fn refused(&self, entry: &[u8], reason: &'static str) -> Error {
        Error::Refused {
            layer: self.layer.to_owned(),
            entry: printable(entry),
            reason: reason.to_owned(),
        }
    }
}

/// A name from a stranger, fit for a terminal.
fn printable(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(&path[..path.len().min(300)]);
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}
