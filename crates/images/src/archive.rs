//! Reads tar streams entry by entry, with a limit on everything that is held in memory.
//!
//! The `tar` crate decodes the fields of headers. The frames around them are read here, because
//! names and extended headers are of any length there: an archive of a few kilobytes could ask
//! for all memory.

use std::io::{self, Read};

use tar::{EntryType, Header};

const BLOCK: u64 = 512;
/// Extended headers of one entry: long names and extended attributes.
const EXTENSION_LIMIT_BYTES: u64 = 1024 * 1024;

/// Why a tar stream could not be read on.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The stream broke, or a limit of the reader below was reached.
    Io(io::Error),
    /// It is no tar stream.
    Bad(&'static str),
    /// An entry says something that is not supported.
    Entry { path: Vec<u8>, reason: &'static str },
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Symlink,
    HardLink,
    Device,
    Fifo,
    Other,
}

/// One entry, without its data.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
    pub(crate) size_bytes: u64,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where its data begins in the stream.
    pub(crate) offset: u64,
}

/// A tar stream. Reading from it reads the data of the entry that was returned last.
pub(crate) struct Archive<R> {
    inner: R,
    offset: u64,
    remaining: u64,
    padding: u64,
}

/// What extended headers said of the next entry.
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    time: Option<(i64, u32)>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    is_sparse: bool,
}

impl<R: Read> Archive<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, offset: 0, remaining: 0, padding: 0 }
    }

    /// What is below, behind the last entry.
    pub(crate) fn into_inner(self) -> R {
        self.inner
    }

    /// The next entry, or `None` at the end.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, Fault> {
        let mut extension = Extension::default();
        loop {
            self.skip_rest()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let kind = header.entry_type();
            let size = header
                .entry_size()
                .map_err(|_| Fault::Bad("the size of an entry is not a number"))?;
            match kind {
                EntryType::GNULongName => extension.path = Some(self.text(size)?),
                EntryType::GNULongLink => extension.link = Some(self.text(size)?),
                EntryType::XHeader => {
                    let records = self.short_data(size)?;
                    extension.read(&records)?;
                }
                // Says something of all entries, which none of ours needs.
                EntryType::XGlobalHeader => self.begin(size),
                _ => return self.entry(&header, extension, size).map(Some),
            }
        }
    }

    fn entry(&mut self, header: &Header, extension: Extension, size: u64) -> Result<Entry, Fault> {
        let path = extension.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let refuse = |path: &[u8], reason| Fault::Entry { path: path.to_owned(), reason };
        let kind = match header.entry_type() {
            EntryType::Regular | EntryType::Continuous if path.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink,
            EntryType::Link => Kind::HardLink,
            EntryType::Char | EntryType::Block => Kind::Device,
            EntryType::Fifo => Kind::Fifo,
            EntryType::GNUSparse => return Err(refuse(&path, "sparse files are not supported")),
            _ => Kind::Other,
        };
        if extension.is_sparse {
            return Err(refuse(&path, "sparse files are not supported"));
        }
        let number = |result: io::Result<u64>| {
            result.map_err(|_| refuse(&path, "its header holds something that is not a number"))
        };
        let has_data = matches!(kind, Kind::File | Kind::Other);
        let size_bytes = if has_data { extension.size.unwrap_or(size) } else { 0 };
        let (seconds, nanoseconds) = match extension.time {
            Some(time) => time,
            None => (i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(0), 0),
        };
        let link = match extension.link {
            Some(link) => link,
            None => header.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default(),
        };
        let uid = match extension.uid {
            Some(uid) => uid,
            None => number(header.uid())?,
        };
        let gid = match extension.gid {
            Some(gid) => gid,
            None => number(header.gid())?,
        };
        let mode = header.mode().map_err(|_| refuse(&path, "its mode is not a number"))?;
        self.begin(size_bytes);
        let (xattrs, offset) = (extension.xattrs, self.offset);
        Ok(Entry {
            path,
            link,
            kind,
            mode,
            uid,
            gid,
            seconds,
            nanoseconds,
            size_bytes,
            xattrs,
            offset,
        })
    }

    /// A header, or `None` where only zeros or nothing follow.
    fn header(&mut self) -> Result<Option<Header>, Fault> {
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        let mut filled = 0;
        while filled < block.len() {
            match self.inner.read(&mut block[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.offset += filled as u64;
        if filled == 0 || (filled == block.len() && block.iter().all(|byte| *byte == 0)) {
            return Ok(None);
        }
        if filled < block.len() {
            return Err(Fault::Bad("it ends in the middle of an entry"));
        }
        let sum = block.iter().enumerate().fold(0_u32, |sum, (place, byte)| {
            // The field of the sum itself counts as blanks.
            sum + if (148..156).contains(&place) { 32 } else { u32::from(*byte) }
        });
        if header.cksum().ok() != Some(sum) {
            return Err(Fault::Bad("the checksum of an entry is wrong"));
        }
        Ok(Some(header))
    }

    fn begin(&mut self, size: u64) {
        self.remaining = size;
        self.padding = size.wrapping_neg() % BLOCK;
    }

    fn skip_rest(&mut self) -> Result<(), Fault> {
        let rest = self.remaining.saturating_add(self.padding);
        let skipped = io::copy(&mut self.inner.by_ref().take(rest), &mut io::sink())?;
        if skipped < rest {
            return Err(Fault::Bad("it ends in the middle of an entry"));
        }
        self.offset = self.offset.saturating_add(rest);
        (self.remaining, self.padding) = (0, 0);
        Ok(())
    }

    fn short_data(&mut self, size: u64) -> Result<Vec<u8>, Fault> {
        if size > EXTENSION_LIMIT_BYTES {
            return Err(Fault::Bad("an extended header is longer than 1 MiB"));
        }
        self.begin(size);
        let mut data = Vec::new();
        self.read_to_end(&mut data)?;
        Ok(data)
    }

    /// A name, which ends with a zero byte or with its data.
    fn text(&mut self, size: u64) -> Result<Vec<u8>, Fault> {
        let mut data = self.short_data(size)?;
        if let Some(end) = data.iter().position(|byte| *byte == 0) {
            data.truncate(end);
        }
        Ok(data)
    }
}

impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.inner.read(&mut buffer[..wanted])?;
        if count == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it ends in the middle of an entry",
            ));
        }
        self.remaining -= count as u64;
        self.offset += count as u64;
        Ok(count)
    }
}

impl Extension {
    /// Reads records of the form `<length> <key>=<value>\n`.
    fn read(&mut self, mut records: &[u8]) -> Result<(), Fault> {
        const BAD: Fault = Fault::Bad("an extended header cannot be read");
        while !records.is_empty() && records[0] != 0 {
            let blank = records.iter().take(20).position(|byte| *byte == b' ').ok_or(BAD)?;
            let length =
                std::str::from_utf8(&records[..blank]).ok().and_then(|text| text.parse().ok());
            let length: usize = length.ok_or(BAD)?;
            if length <= blank + 1 || length > records.len() || records[length - 1] != b'\n' {
                return Err(BAD);
            }
            let (record, rest) = records.split_at(length);
            let record = &record[blank + 1..length - 1];
            let equals = record.iter().position(|byte| *byte == b'=').ok_or(BAD)?;
            self.record(&record[..equals], &record[equals + 1..]).ok_or(BAD)?;
            records = rest;
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let number = || std::str::from_utf8(value).ok()?.parse::<u64>().ok();
        match key {
            b"path" => self.path = Some(value.to_owned()),
            b"linkpath" => self.link = Some(value.to_owned()),
            b"size" => self.size = Some(number()?),
            b"uid" => self.uid = Some(number()?),
            b"gid" => self.gid = Some(number()?),
            b"mtime" => self.time = Some(time(std::str::from_utf8(value).ok()?)?),
            key if key.starts_with(b"GNU.sparse.") => self.is_sparse = true,
            key => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.push((name.to_owned(), value.to_owned()));
                }
            }
        }
        Some(())
    }
}

/// Reads `seconds.fraction`.
fn time(text: &str) -> Option<(i64, u32)> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().ok()?;
    let nanoseconds: u32 = format!("{:0<9.9}", fraction).parse().ok()?;
    if text.starts_with('-') && nanoseconds > 0 {
        return Some((seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds));
    }
    Some((seconds, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_fractions() {
        assert_eq!(time("12.5"), Some((12, 500_000_000)));
        assert_eq!(time("12"), Some((12, 0)));
        assert_eq!(time("1.0000000019"), Some((1, 1)));
        assert_eq!(time("-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time("x"), None);
        assert_eq!(time("1.\u{e9}"), None);
    }

    #[test]
    fn a_long_name_of_gigabytes_is_not_held_in_memory() {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::GNULongName);
        header.set_size(8 << 30);
        header.set_cksum();
        let stream = header.as_bytes().chain(io::repeat(b'a'));
        let fault = Archive::new(stream).next_entry().unwrap_err();
        assert!(matches!(fault, Fault::Bad(reason) if reason.contains("1 MiB")));
    }
}
