//! Logs: append, tail, follow, retain.
//!
//! Each instance has one file, `logs/<owner id>/<instance id>.log`. One line of output is one line
//! of the file:
//!
//! ```text
//! <microseconds since 1970> <o|e|s> <text>
//! ```
//!
//! `o` is standard output, `e` is standard error, `s` is said by Gable itself. The text is UTF-8,
//! at most [`MAX_TEXT_BYTES`] long, without control characters other than TAB and ESC (colours are
//! kept, everything that could end a line or confuse a reader is not). Of a line that was drawn over,
//! as progress bars are, the last state is kept; a line that is longer than one can be is cut, and
//! ends with [`CUT`]. A file that would grow past
//! its limit becomes `<instance id>.log.1`, in place of the one before it.
//!
//! The writer is a few buffers and a descriptor: it runs in a process of its own beside each
//! instance. Readers take the files as they are, while they grow; nothing is locked, and no reader
//! can hold a writer up. Times never go back within one file, whatever the host's clock does.
//!
//! Nothing here knows what a deploy is.

mod follow;
mod line;
mod read;
mod retain;
mod writer;

pub use follow::Follower;
pub use line::{CUT, LogLine, MAX_TEXT_BYTES, Stream};
pub use read::{Chunk, files, read_since, tail};
pub use retain::{Removed, Retention, doomed, retain};
pub use writer::{Limits, LogWriter};

/// A log that could not be opened, read or removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}")]
pub struct Error {
    /// What was being done, to which file.
    doing: String,
    /// What the host said.
    #[source]
    source: std::io::Error,
}

impl Error {
    fn new(doing: &str, path: &std::path::Path, source: std::io::Error) -> Self {
        Self { doing: format!("{doing} {}", path.display()), source }
    }

    /// What the host said.
    #[must_use]
    pub fn kind(&self) -> std::io::ErrorKind {
        self.source.kind()
    }
}
