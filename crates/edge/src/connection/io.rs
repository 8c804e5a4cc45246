//! A client's socket.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Activity;
use super::target::Target;

/// A client's socket that gives up on a client who takes no byte for too long, and says when
/// something comes.
pub(super) struct ClientIo<S> {
    stream: S,
    activity: Arc<Activity>,
    idle_timeout: Duration,
    /// For HTTP/1, where what comes while there is no request begins the next one.
    heads: Option<Heads>,
    /// Kept for the next stall once it was needed.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Whether `stalled` is running.
    waiting: bool,
}

/// The heads of requests on their way to the parser, and its own answers on their way back.
#[derive(Debug, Default)]
struct Heads {
    target: Target,
    /// What was read, escaped, and did not fit any more.
    spare: Vec<u8>,
    /// What is said in place of the parser's own answer, as far as it is not sent.
    refusal: Vec<u8>,
}

impl<S> ClientIo<S> {
    pub(super) fn new(
        stream: S,
        activity: &Arc<Activity>,
        idle_timeout: Duration,
        is_http1: bool,
    ) -> Self {
        let heads = is_http1.then(Heads::default);
        let activity = Arc::clone(activity);
        Self { stream, activity, idle_timeout, heads, stalled: None, waiting: false }
    }

    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            if std::mem::take(&mut self.waiting) {
                self.activity.set_stalled(false);
            }
            return written;
        }
        let deadline = Instant::now() + self.idle_timeout;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if !std::mem::replace(&mut self.waiting, true) {
            timer.as_mut().reset(deadline);
            self.activity.set_stalled(true);
        }
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Looks at what was read behind the first `before` bytes.
    fn has_read(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        let Some(heads) = &mut self.heads else { return };
        if buffer.filled().len() == before {
            return;
        }
        match self.activity.head_goes_on() {
            Some(true) => heads.target = Target::default(),
            Some(false) => {}
            None => return,
        }
        if let Some(escaped) = heads.target.escape(&buffer.filled()[before..]) {
            buffer.set_filled(before);
            let (now, later) = escaped.split_at(escaped.len().min(buffer.remaining()));
            buffer.put_slice(now);
            heads.spare = later.to_vec();
        }
    }

    /// Whether this is the parser's answer, which has no words, to something that is no request.
    /// It gets words.
    fn is_refusal(&mut self, answer: &[u8]) -> bool {
        let Some(heads) = &mut self.heads else { return false };
        if !answer.starts_with(b"HTTP/1.1 4") || self.activity.was_asked() {
            return false;
        }
        let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let sentence = match line.get(9..12) {
            Some("414" | "431") => "The first line or the headers of this request are too large.\n",
            _ => {
                "This request cannot be read: its first line or a header has a form or a character \
                 that HTTP does not allow.\n"
            }
        };
        heads.refusal = format!(
            "{line}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{sentence}",
            sentence.len()
        )
        .into_bytes();
        true
    }
}

impl<S: AsyncWrite + Unpin> ClientIo<S> {
    fn send_refusal(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(heads) = &mut self.heads else { return Poll::Ready(Ok(())) };
        while !heads.refusal.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(context, &heads.refusal))?;
            heads.refusal.drain(..sent);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(heads) = &mut self.heads
            && !heads.spare.is_empty()
        {
            let fits = heads.spare.len().min(buffer.remaining());
            buffer.put_slice(&heads.spare[..fits]);
            heads.spare.drain(..fits);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.has_read(buffer, before);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_refusal(buffer) {
            return Poll::Ready(Ok(buffer.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(context, buffer);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_refusal(buffers.first().map_or(&[], |buffer| &**buffer)) {
            return Poll::Ready(Ok(buffers.iter().map(|buffer| buffer.len()).sum()));
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = self.send_refusal(context);
        ready!(self.watch(context, sent))?;
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = self.send_refusal(context);
        ready!(self.watch(context, sent))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
