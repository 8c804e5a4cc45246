//! Bodies, both ways.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::Limits;
use crate::files::FileBody;
use crate::proxy::{AnswerBody, InFlight};

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the client broke off its request")]
    ClientGone(#[source] hyper::Error),
    #[error("the client sent nothing for too long")]
    ClientStalled,
    #[error("the request body is too large")]
    TooLarge,
    #[error("the target broke off its answer")]
    TargetGone(#[source] hyper::Error),
    #[error("the target sent nothing for too long")]
    TargetStalled,
    #[error("read a file")]
    File(#[source] std::io::Error),
}

/// What the edge answers with.
#[derive(Debug)]
pub(crate) enum Body {
    Full(Option<Bytes>),
    Answer(AnswerBody),
    File(FileBody),
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self::Full(None)
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self::Full(Some(bytes.into()).filter(|bytes: &Bytes| !bytes.is_empty()))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Answer(answer) => answer.poll(context),
            Self::File(file) => file.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_none(),
            Self::Answer(answer) => answer.is_end(),
            Self::File(file) => file.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Answer(answer) => answer.size_hint(),
            Self::File(file) => SizeHint::with_exact(file.remaining()),
        }
    }
}

/// A timer that runs only while somebody waits.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    timer: Option<Pin<Box<Sleep>>>,
    running: bool,
}

impl Pause {
    /// There was progress.
    pub(crate) fn end(&mut self) {
        self.running = false;
    }

    /// Ready when there was no progress for `limit`.
    pub(crate) fn poll(&mut self, limit: Duration, context: &mut Context<'_>) -> Poll<()> {
        if !self.running {
            let deadline = Instant::now() + limit;
            self.running = true;
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(deadline),
                None => self.timer = Some(Box::pin(sleep_until(deadline))),
            }
        }
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

/// What the sender of a request knows about the upload that goes with it.
#[derive(Debug)]
pub(crate) struct Upload {
    /// When the client last sent something.
    pub(crate) progress: Cell<Instant>,
    /// What the client did wrong.
    pub(crate) fault: Cell<Option<ClientFault>>,
}

/// What a client did wrong with its request body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientFault {
    Gone,
    Stalled,
    TooLarge,
}

/// A request body on its way to a target.
#[derive(Debug)]
pub(crate) struct RequestBody {
    /// `None` when there is none, or when it is at its end.
    inner: Option<Incoming>,
    upload: Rc<Upload>,
    max_bytes: Option<u64>,
    seen_bytes: u64,
    idle_timeout: Duration,
    pause: Pause,
    /// An upload that goes on after the answer keeps its target busy.
    pub(crate) in_flight: Option<Rc<InFlight>>,
}

impl RequestBody {
    pub(crate) fn new(inner: Incoming, limits: &Limits) -> Self {
        Self {
            inner: Some(inner).filter(|inner| !inner.is_end_stream()),
            upload: Rc::new(Upload { progress: Cell::new(Instant::now()), fault: Cell::new(None) }),
            max_bytes: limits.max_body_bytes,
            seen_bytes: 0,
            idle_timeout: limits.idle_timeout,
            pause: Pause::default(),
            in_flight: None,
        }
    }

    /// The same as a request without a body had, for sending that one again.
    pub(crate) fn empty_again(upload: &Rc<Upload>) -> Self {
        Self {
            inner: None,
            upload: Rc::clone(upload),
            max_bytes: None,
            seen_bytes: 0,
            idle_timeout: Duration::ZERO,
            pause: Pause::default(),
            in_flight: None,
        }
    }

    pub(crate) fn upload(&self) -> Rc<Upload> {
        Rc::clone(&self.upload)
    }

    fn fail(&mut self, fault: ClientFault, error: BodyError) -> BodyError {
        self.upload.fault.set(Some(fault));
        self.inner = None;
        error
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        match Pin::new(inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                this.pause.end();
                this.upload.progress.set(Instant::now());
                this.seen_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                if this.max_bytes.is_some_and(|max| this.seen_bytes > max) {
                    let error = this.fail(ClientFault::TooLarge, BodyError::TooLarge);
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(cause))) => {
                let error = this.fail(ClientFault::Gone, BodyError::ClientGone(cause));
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                this.inner = None;
                Poll::Ready(None)
            }
            Poll::Pending => match this.pause.poll(this.idle_timeout, context) {
                Poll::Ready(()) => {
                    let error = this.fail(ClientFault::Stalled, BodyError::ClientStalled);
                    Poll::Ready(Some(Err(error)))
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}
