//! Compressing files of static sites, once each.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{self, HeaderMap, HeaderValue};
use tokio::task::spawn_blocking;

use super::{Found, Stat, read};

/// Below this the headers cost more than compressing saves.
const MIN_BYTES: u64 = 860;
/// Larger files are sent as they are, unless the build put a compressed copy beside them.
const MAX_BYTES: u64 = 8 * 1024 * 1024;
/// What all compressed copies may take in memory.
const CACHE_BYTES: usize = 16 * 1024 * 1024;
const BROTLI_QUALITY: u32 = 5;
const BROTLI_WINDOW: u32 = 20;
const BROTLI_BUFFER_BYTES: usize = 16 * 1024;

/// How a body can be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Encoding {
    Brotli,
    Gzip,
}

impl Encoding {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Gzip => ".gz",
        }
    }

    fn compress(self, data: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Brotli => {
                let out = Vec::with_capacity(data.len() / 3);
                let mut writer = brotli::CompressorWriter::new(
                    out,
                    BROTLI_BUFFER_BYTES,
                    BROTLI_QUALITY,
                    BROTLI_WINDOW,
                );
                writer.write_all(data)?;
                Ok(writer.into_inner())
            }
            Self::Gzip => {
                let out = Vec::with_capacity(data.len() / 3);
                let mut writer = GzEncoder::new(out, Compression::default());
                writer.write_all(data)?;
                writer.finish()
            }
        }
    }
}

/// Whether a file of this type and size gets smaller.
pub(super) fn pays(content_type: &HeaderValue, size: u64) -> bool {
    let text = content_type.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default();
    (MIN_BYTES..=MAX_BYTES).contains(&size)
        && (essence.starts_with("text/")
            || essence.ends_with("+xml")
            || essence.ends_with("+json")
            || matches!(
                essence,
                "application/javascript"
                    | "application/json"
                    | "application/xml"
                    | "application/wasm"
                    | "application/manifest+json"
                    | "application/vnd.ms-fontobject"
                    | "font/ttf"
                    | "font/otf"
                    | "image/bmp"
                    | "image/x-icon"
                    | "image/vnd.microsoft.icon"
            ))
}

/// What the client understands, the best first.
pub(super) fn accepted(headers: &HeaderMap) -> Vec<Encoding> {
    let quality = |wanted: &str| -> Option<f32> {
        let mut any = None;
        for value in headers.get_all(header::ACCEPT_ENCODING) {
            for item in value.to_str().unwrap_or_default().split(',') {
                let mut parts = item.split(';').map(str::trim);
                let name = parts.next().unwrap_or_default();
                let quality = parts
                    .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
                    .map_or(1.0, |quality| quality.parse().unwrap_or(0.0));
                if name.eq_ignore_ascii_case(wanted) {
                    return Some(quality);
                }
                if name == "*" {
                    any = Some(quality);
                }
            }
        }
        any
    };
    let mut accepted: Vec<(Encoding, f32)> = [Encoding::Brotli, Encoding::Gzip]
        .into_iter()
        .filter_map(|encoding| Some((encoding, quality(encoding.name())?)))
        .filter(|(_, quality)| *quality > 0.0)
        .collect();
    // Stable: brotli stays first when both are wanted alike.
    accepted.sort_by(|left, right| right.1.total_cmp(&left.1));
    accepted.into_iter().map(|(encoding, _)| encoding).collect()
}

/// Compressed copies in memory; the oldest goes first when they take too much.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<Copies>);

#[derive(Debug, Default)]
struct Copies {
    /// `None`: compressing did not help.
    by_key: HashMap<Key, Option<Bytes>>,
    oldest_first: VecDeque<Key>,
    bytes: usize,
}

type Key = (Stat, Encoding);
/// What an entry takes besides its bytes, roughly.
const ENTRY_BYTES: usize = 256;

impl Cache {
    /// The compressed file; `None` when it does not get smaller or cannot be read.
    pub(super) async fn get(&self, found: &Found, encoding: Encoding) -> Option<Bytes> {
        let key = (found.stat, encoding);
        if let Some(copy) = self.lock().by_key.get(&key) {
            return copy.clone();
        }
        let file = Arc::clone(&found.file);
        let size = usize::try_from(found.stat.size).ok()?;
        let compressed = spawn_blocking(move || -> io::Result<Option<Bytes>> {
            let data = read::read_at(&file, 0, size)?;
            if data.len() != size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let compressed = encoding.compress(&data)?;
            let helps = compressed.len() < size - size / 20;
            Ok(helps.then(|| Bytes::from(compressed.into_boxed_slice())))
        })
        .await;
        let copy = compressed.ok()?.ok()?;
        self.lock().insert(key, copy.clone());
        copy
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Copies> {
        // The map is consistent between any two statements that can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Copies {
    fn insert(&mut self, key: Key, copy: Option<Bytes>) {
        let size = |copy: &Option<Bytes>| ENTRY_BYTES + copy.as_ref().map_or(0, Bytes::len);
        self.bytes += size(&copy);
        match self.by_key.insert(key, copy) {
            Some(replaced) => self.bytes -= size(&replaced),
            None => self.oldest_first.push_back(key),
        }
        while self.bytes > CACHE_BYTES {
            let Some(oldest) = self.oldest_first.pop_front() else { return };
            if let Some(removed) = self.by_key.remove(&oldest) {
                self.bytes -= size(&removed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_chooses_the_encoding() {
        let check = |sent: &str, expect: &[Encoding]| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_str(sent).unwrap());
            assert_eq!(accepted(&headers), expect, "{sent}");
        };
        check("gzip, deflate, br, zstd", &[Encoding::Brotli, Encoding::Gzip]);
        check("gzip", &[Encoding::Gzip]);
        check("br;q=0, gzip;q=0.5", &[Encoding::Gzip]);
        check("br;q=0.1, gzip", &[Encoding::Gzip, Encoding::Brotli]);
        check("*", &[Encoding::Brotli, Encoding::Gzip]);
        check("identity", &[]);
        assert!(accepted(&HeaderMap::new()).is_empty());
    }

    #[test]
    fn the_cache_stays_within_its_bound() {
        let mut copies = Copies::default();
        for inode in 0..100 {
            let stat = Stat { device: 1, inode, size: 1, modified_ns: 0, changed_ns: 0 };
            copies.insert((stat, Encoding::Gzip), Some(Bytes::from(vec![0; 1024 * 1024])));
        }
        assert!(copies.bytes <= CACHE_BYTES);
        assert_eq!(copies.by_key.len(), copies.oldest_first.len());
        assert!(copies.by_key.len() >= 15);
    }
}
