//! Reading files without stopping the core.

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderValue;
use http_body::Frame;
use rustix::io::{Errno, ReadWriteFlags};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::body::BodyError;

/// Read at once.
const CHUNK_BYTES: u64 = 128 * 1024;

/// A part of a file on its way to a client. What is in the page cache is read right here; only
/// when the disk is needed, another thread waits for it.
#[derive(Debug)]
pub(crate) struct FileBody {
    file: Arc<OwnedFd>,
    offset: u64,
    remaining: u64,
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
}

impl FileBody {
    pub(super) fn new(file: Arc<OwnedFd>, offset: u64, length: u64) -> Self {
        Self { file, offset, remaining: length, reading: None }
    }

    pub(crate) fn remaining(&self) -> u64 {
        self.remaining
    }

    pub(crate) fn is_end(&self) -> bool {
        self.remaining == 0
    }

    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        let result = match &mut self.reading {
            None => match self.read_cached() {
                Some(result) => result,
                None => {
                    let (file, offset) = (Arc::clone(&self.file), self.offset);
                    let length = self.chunk();
                    let task = spawn_blocking(move || read_at(&file, offset, length));
                    let task = self.reading.insert(task);
                    let result = ready!(Pin::new(task).poll(context));
                    self.reading = None;
                    result.unwrap_or_else(|cause| Err(io::Error::other(cause)))
                }
            },
            Some(task) => {
                let result = ready!(Pin::new(task).poll(context));
                self.reading = None;
                result.unwrap_or_else(|cause| Err(io::Error::other(cause)))
            }
        };
        Poll::Ready(Some(match result {
            Ok(data) if data.is_empty() => {
                self.remaining = 0;
                Err(BodyError::File(io::ErrorKind::UnexpectedEof.into()))
            }
            Ok(data) => {
                self.offset += data.len() as u64;
                self.remaining = self.remaining.saturating_sub(data.len() as u64);
                Ok(Frame::data(Bytes::from(data)))
            }
            Err(cause) => {
                self.remaining = 0;
                Err(BodyError::File(cause))
            }
        }))
    }

    fn chunk(&self) -> usize {
        usize::try_from(self.remaining.min(CHUNK_BYTES)).unwrap_or(usize::MAX)
    }

    /// `None` when the disk would have to be waited for, or when the file system cannot tell.
    fn read_cached(&self) -> Option<io::Result<Vec<u8>>> {
        let mut data = vec![0; self.chunk()];
        let mut slices = [IoSliceMut::new(&mut data)];
        match rustix::io::preadv2(&self.file, &mut slices, self.offset, ReadWriteFlags::NOWAIT) {
            Ok(length) => {
                data.truncate(length);
                Some(Ok(data))
            }
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => None,
            Err(cause) => Some(Err(cause.into())),
        }
    }
}

pub(super) fn read_at(file: &OwnedFd, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut data = vec![0; length];
    let mut done = 0;
    while done < length {
        match rustix::io::pread(file, &mut data[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(Errno::INTR) => {}
            Err(cause) => return Err(cause.into()),
        }
    }
    data.truncate(done);
    Ok(data)
}

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Range {
    /// The first and the last byte.
    Part(u64, u64),
    Unsatisfiable,
    /// Several ranges or none that can be read: the header may be ignored (RFC 9110, 14.2).
    Whole,
}

pub(super) fn range(value: &HeaderValue, size: u64) -> Range {
    parse_range(value.to_str().unwrap_or_default(), size).unwrap_or(Range::Whole)
}

fn parse_range(text: &str, size: u64) -> Option<Range> {
    let (first, last) = text.strip_prefix("bytes=")?.trim().split_once('-')?;
    if first.is_empty() {
        let suffix: u64 = last.parse().ok()?;
        return Some(match suffix.min(size) {
            0 => Range::Unsatisfiable,
            suffix => Range::Part(size - suffix, size - 1),
        });
    }
    let first: u64 = first.parse().ok()?;
    let last: u64 = if last.is_empty() { u64::MAX } else { last.parse().ok()? };
    if last < first {
        return None;
    }
    Some(if first >= size { Range::Unsatisfiable } else { Range::Part(first, last.min(size - 1)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_specification_says() {
        let check = |text: &str, expect: Range| {
            assert_eq!(range(&HeaderValue::from_str(text).unwrap(), 100), expect, "{text}");
        };
        check("bytes=0-0", Range::Part(0, 0));
        check("bytes=10-", Range::Part(10, 99));
        check("bytes=90-1000", Range::Part(90, 99));
        check("bytes=-5", Range::Part(95, 99));
        check("bytes=-500", Range::Part(0, 99));
        check("bytes=-0", Range::Unsatisfiable);
        check("bytes=100-", Range::Unsatisfiable);
        check("bytes=5-4", Range::Whole);
        check("bytes=0-1,3-4", Range::Whole);
        check("lines=0-1", Range::Whole);
    }
}
