//! Logs on a real file system.

mod follow;
mod read;
mod retain;
mod write;

use std::path::Path;

use telemetry::{LogLine, Stream, read_since};

/// All lines of a file as `(stream, text)`.
fn lines(path: &Path) -> Vec<(Stream, String)> {
    let chunk = read_since(path, 0).expect("the log can be read");
    chunk.lines.into_iter().map(|line| (line.stream, line.text)).collect()
}

fn texts(lines: &[LogLine]) -> Vec<&str> {
    lines.iter().map(|line| line.text.as_str()).collect()
}
