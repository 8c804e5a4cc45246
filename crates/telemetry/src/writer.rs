//! The side that appends.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Error;
use crate::line::{MAX_TEXT_BYTES, Stream, encode, last_state};

/// What is kept of memory between two writes.
const USUAL_LINE_BYTES: usize = 16 * 1024;

/// How large one instance's log may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Size at which a file is set aside, in bytes. An instance takes at most twice as much.
    pub file_bytes: u64,
}

impl Limits {
    /// What [`LogWriter::open`] uses: 16 MiB.
    pub const USUAL: Self = Self { file_bytes: 16 * 1024 * 1024 };
}

/// Appends the output of one instance to its file.
///
/// It never fails once it is open, because the instance must not stop for its log: what cannot be
/// written is dropped, and counted in a line of Gable's own as soon as writing works again.
#[derive(Debug)]
pub struct LogWriter {
    path: PathBuf,
    limits: Limits,
    file: File,
    length: u64,
    /// Output that has no end of line yet, per stream.
    partial: [Vec<u8>; 3],
    /// Lines of the present call, encoded.
    out: Vec<u8>,
    last_micros: i64,
    lost: Option<Lost>,
}

/// Lines that could not be written.
#[derive(Debug)]
struct Lost {
    lines: u64,
    why: String,
}

impl LogWriter {
    /// Opens a log for appending with [`Limits::USUAL`].
    ///
    /// # Errors
    /// When the file or its directory cannot be made or opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(path, Limits::USUAL)
    }

    /// Opens a log for appending; makes it, and its directory, if they are not there.
    ///
    /// # Errors
    /// When the file or its directory cannot be made or opened.
    pub fn open_with(path: impl AsRef<Path>, limits: Limits) -> Result<Self, Error> {
        let path = path.as_ref().to_owned();
        let (file, length) =
            open_for_append(&path).map_err(|source| Error::new("open log", &path, source))?;
        Ok(Self {
            path,
            limits,
            file,
            length,
            partial: Default::default(),
            out: Vec::new(),
            last_micros: 0,
            lost: None,
        })
    }

    /// Takes output as it comes. What has no end of line yet is kept until the rest comes, or
    /// [`flush`](Self::flush), or until it is as long as a line can be.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let micros = self.now_micros();
        let slot = stream as usize;
        let mut partial = std::mem::take(&mut self.partial[slot]);
        let mut out = std::mem::take(&mut self.out);
        let mut lines = 0;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            for chunk in text.chunks(MAX_TEXT_BYTES) {
                partial.extend_from_slice(chunk);
                if partial.len() > MAX_TEXT_BYTES {
                    // What was drawn over does not make a line long.
                    partial.drain(..last_state(&partial).start);
                }
                while partial.len() > MAX_TEXT_BYTES {
                    let end = cut(&partial, MAX_TEXT_BYTES);
                    lines += encode((micros, stream), &partial[..end], true, &mut out);
                    partial.drain(..end);
                }
            }
            if ends {
                lines += encode((micros, stream), &partial, false, &mut out);
                partial.clear();
                partial.shrink_to(USUAL_LINE_BYTES);
            }
        }
        self.partial[slot] = partial;
        self.append(&out, lines);
        out.clear();
        // One burst of output must not be paid for in memory for ever after.
        out.shrink_to(2 * USUAL_LINE_BYTES);
        self.out = out;
    }

    /// Appends a sentence of Gable's own.
    pub fn say(&mut self, text: &str) {
        self.write(Stream::Gable, text.as_bytes());
        self.write(Stream::Gable, b"\n");
    }

    /// Writes what has no end of line yet, as lines. Call it when the instance has ended.
    pub fn flush(&mut self) {
        for stream in Stream::ALL {
            if !self.partial[stream as usize].is_empty() {
                self.write(stream, b"\n");
            }
        }
        if self.lost.is_some() {
            self.append(&[], 0);
        }
    }

    fn now_micros(&mut self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        self.last_micros = self.last_micros.max(micros);
        self.last_micros
    }

    fn append(&mut self, encoded: &[u8], lines: u64) {
        let lost = self.lost.take();
        let result = match &lost {
            None if encoded.is_empty() => return,
            None => self.append_whole(encoded),
            // In one piece with what comes next: a note alone may fit where no line does, and
            // there would be one for each line that is lost.
            Some(lost) => {
                let note = format!("{} lines of the log were lost: {}", lost.lines, lost.why);
                let mut noted = Vec::with_capacity(encoded.len() + 128);
                encode((self.last_micros, Stream::Gable), note.as_bytes(), false, &mut noted);
                noted.extend_from_slice(encoded);
                self.append_whole(&noted)
            }
        };
        if let Err(error) = result {
            let before = lost.map_or(0, |lost| lost.lines);
            self.lost = Some(Lost { lines: before + lines, why: error.to_string() });
        }
    }

    /// All of it or nothing.
    fn append_whole(&mut self, encoded: &[u8]) -> io::Result<()> {
        if self.length > 0 && self.length + encoded.len() as u64 > self.limits.file_bytes {
            match std::fs::rename(&self.path, set_aside(&self.path)) {
                Ok(()) => {}
                // Done by an earlier call that could then not make the new file.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            (self.file, self.length) = open_for_append(&self.path)?;
        }
        if let Err(error) = self.file.write_all(encoded) {
            // A half-written line would swallow the one after it.
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += encoded.len() as u64;
        Ok(())
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Where the full file goes.
pub(crate) fn set_aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

fn open_for_append(path: &Path) -> io::Result<(File, u64)> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut file =
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let mut length = file.metadata()?.len();
    if length > 0 {
        // An earlier writer may have been killed in the middle of a line.
        let mut last = [0];
        file.read_exact_at(&mut last, length - 1)?;
        if last != [b'\n'] {
            file.write_all(b"\n")?;
            length += 1;
        }
    }
    Ok((file, length))
}

/// Where to cut `bytes` at or a little before `limit`, so that no character is cut in two.
fn cut(bytes: &[u8], limit: usize) -> usize {
    let is_continuation =
        |index: usize| bytes.get(index).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000);
    // A character has at most three continuation bytes; more are no UTF-8, and cut anywhere.
    (limit - 3..=limit).rev().find(|end| !is_continuation(*end)).unwrap_or(limit)
}
