//! Layers as streams: decompressed, counted and stoppable.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Compression that nobody uses for layers; named so that the message can be.
const OTHERS: [(&[u8], &str); 2] = [(b"BZh", "bzip2"), (&[0xfd, b'7', b'z', b'X', b'Z'], "xz")];
const BUFFER_BYTES: usize = 128 * 1024;

/// Why a stream was cut off on purpose; travels inside an [`io::Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The layer has more bytes than are allowed.
    Layer,
    /// The layers of the image have more bytes than are allowed.
    Image,
    /// Nobody wants it any more.
    Stopped,
}

impl fmt::Display for Cut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Layer => "the layer is too large",
            Self::Image => "the image is too large",
            Self::Stopped => "it was given up",
        })
    }
}

impl std::error::Error for Cut {}

impl Cut {
    /// The cut that an error is about.
    pub(crate) fn in_error(error: &io::Error) -> Option<Self> {
        error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()).copied()
    }
}

/// What a stream may still deliver.
#[derive(Clone)]
pub(crate) struct Allowance {
    /// For this layer.
    pub(crate) layer_bytes: u64,
    /// For all layers of the image together.
    pub(crate) image_bytes: Arc<AtomicU64>,
    /// Set when the work is given up.
    pub(crate) stop: Arc<AtomicBool>,
}

/// Counts what is read through it against an allowance.
pub(crate) struct Metered<R> {
    inner: R,
    allowance: Allowance,
    pub(crate) done_bytes: u64,
}

impl<R> Metered<R> {
    pub(crate) fn new(inner: R, allowance: Allowance) -> Self {
        Self { inner, allowance, done_bytes: 0 }
    }

    pub(crate) fn into_inner(self) -> R {
        self.inner
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.allowance.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other(Cut::Stopped));
        }
        let count = self.inner.read(buffer)?;
        self.done_bytes += count as u64;
        if self.done_bytes > self.allowance.layer_bytes {
            return Err(io::Error::other(Cut::Layer));
        }
        let image = &self.allowance.image_bytes;
        let take = |rest: u64| rest.checked_sub(count as u64);
        if image.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            return Err(io::Error::other(Cut::Image));
        }
        Ok(count)
    }
}

/// The tar stream in a layer, whatever compresses it. Media types are not asked: some builders
/// write wrong ones, and the first bytes are certain.
pub(crate) fn decompressed(compressed: impl Read + 'static) -> io::Result<Box<dyn Read>> {
    let mut start = [0; 5];
    let mut compressed = compressed;
    let mut filled = 0;
    while filled < start.len() {
        match compressed.read(&mut start[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    let start = start[..filled].to_owned();
    let is = |magic: &[u8]| start.starts_with(magic);
    if let Some((_, name)) = OTHERS.iter().find(|(magic, _)| is(magic)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it is compressed with {name}, which layers never are"),
        ));
    }
    let (is_gzip, is_zstd) = (is(&GZIP), is(&ZSTD) || is_skippable(&start));
    let whole = BufReader::with_capacity(BUFFER_BYTES, io::Cursor::new(start).chain(compressed));
    Ok(if is_gzip {
        Box::new(MultiGzDecoder::new(whole))
    } else if is_zstd {
        Box::new(Zstd::new(whole))
    } else {
        Box::new(whole)
    })
}

/// Whether a zstd frame that holds no content begins here.
fn is_skippable(start: &[u8]) -> bool {
    start.len() >= 4 && (0x50..=0x5f).contains(&start[0]) && start[1..4] == ZSTD_SKIPPABLE
}

const ZSTD_SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

/// A zstd stream of several frames, some of which may have to be skipped.
struct Zstd<R> {
    inner: R,
    frame: FrameDecoder,
    is_in_frame: bool,
}

impl<R: BufRead> Zstd<R> {
    fn new(inner: R) -> Self {
        Self { inner, frame: FrameDecoder::new(), is_in_frame: false }
    }

    /// Goes to the next frame with content; `false` at the end.
    fn next_frame(&mut self) -> io::Result<bool> {
        loop {
            if self.inner.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.frame.reset(&mut self.inner) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    let skipped = io::copy(&mut self.inner.by_ref().take(length), &mut io::sink())?;
                    if skipped < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.is_in_frame {
                if !self.next_frame()? {
                    return Ok(0);
                }
                self.is_in_frame = true;
            }
            while self.frame.can_collect() == 0 && !self.frame.is_finished() {
                self.frame
                    .decode_blocks(&mut self.inner, BlockDecodingStrategy::UptoBytes(buffer.len()))
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            }
            let count = self.frame.read(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            // Finished and empty: another frame may follow.
            self.is_in_frame = false;
        }
    }
}
