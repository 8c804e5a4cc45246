//! Passing a request on to a target, and its answer back.
//!
//! # When a request is sent again
//!
//! A request goes to another connection or target only when that cannot do anything twice:
//!
//! * no byte of it was sent (the connection was refused, or closed before its turn came), or
//! * it went out on a connection that had been used before, which was closed before any byte of an
//!   answer, its method is idempotent and it has no body. This is the usual end of a kept-alive
//!   connection: the target closed it in the very moment in which the edge took it, or
//! * it went out on a new connection that was closed before any byte of an answer, its method is safe
//!   (so that it asks for nothing but an answer) and it has no body. The target has just died. This
//!   happens once.
//!
//! Any other request gets a used connection only if that connection is quiet (nothing to read, not
//! closed) right before, and used connections are thrown away well before targets close them.

mod headers;
mod send;
mod tunnel;
mod upstream;

use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Response, Uri};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;

pub(crate) use headers::{Forwarded, asks_for_upgrade, is_passed_on};
pub(crate) use upstream::{InFlight, Upstream};

use crate::body::{Body, BodyError, ClientFault, Pause, RequestBody, Upload};
use crate::connection::Busy;
use crate::counters;
use crate::worker::{Served, Worker};

/// A target that refused a connection comes last for this long.
pub(crate) const SUSPICION: Duration = Duration::from_secs(1);

/// A request, ready to be sent, as often as it may be.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// The head without the target path, which depends on the route.
    head: Parts,
    /// `None` once it was given to a target.
    body: Option<RequestBody>,
    upload: Rc<Upload>,
    /// Idempotent and without a body.
    repeatable: bool,
    /// The client's side of a tunnel, if it asked for one.
    upgrade: Option<Upgrade>,
    /// Time for the beginning of the answer, and longest pause inside it.
    patience: Option<Duration>,
    /// The part of the path that a proxy before the edge took off.
    prefix_before: Option<http::HeaderValue>,
}

/// The client's side of what a connection may become.
#[derive(Debug)]
pub(crate) struct Upgrade {
    pub(crate) client: OnUpgrade,
    /// The connection is in use as long as the tunnel.
    pub(crate) busy: Busy,
}

/// Why a target's answer could not be had.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No target could be reached; nothing was sent. The request may try again later.
    Unreached(String),
    /// The target took the request and broke off.
    Broken(String),
    /// The target took the request and did not answer in time.
    TimedOut,
    /// The client did something wrong.
    Client(ClientFault),
}

impl Outgoing {
    /// Takes the head over; it must have been prepared by [`Forwarded::prepare`].
    pub(crate) fn new(
        head: Parts,
        body: RequestBody,
        upgrade: Option<Upgrade>,
        patience: Option<Duration>,
    ) -> Self {
        let idempotent = matches!(
            head.method,
            Method::GET
                | Method::HEAD
                | Method::OPTIONS
                | Method::PUT
                | Method::DELETE
                | Method::TRACE
        );
        Self {
            repeatable: idempotent && body.is_end_stream() && upgrade.is_none(),
            prefix_before: headers::prefix_before(&head.headers),
            upload: body.upload(),
            body: Some(body),
            head,
            upgrade,
            patience,
        }
    }

    /// The client's headers, without those of its connection.
    pub(crate) fn head(&self) -> &Parts {
        &self.head
    }

    /// Sets the path that the target sees.
    pub(crate) fn set_path(&mut self, path: PathAndQuery) {
        self.head.uri = Uri::from(path);
    }

    /// Tells the target which part of the path it does not see.
    pub(crate) fn set_prefix(&mut self, prefix: Option<&str>) {
        headers::tell_prefix(&mut self.head.headers, self.prefix_before.as_ref(), prefix);
    }

    /// Sets the host that the target sees.
    pub(crate) fn set_host(&mut self, host: http::HeaderValue) {
        self.head.headers.insert(http::header::HOST, host);
    }
}

/// Sends the request to a target of the route, whose turn it is, or to the next one when that
/// cannot be reached.
pub(crate) async fn forward(
    worker: &Rc<Worker>,
    served: &Served,
    index: usize,
    outgoing: &mut Outgoing,
) -> Result<Response<Body>, Failure> {
    let upstreams = &served.upstreams[index];
    let service = &served.table.routes[index].service;
    let turn = served.turns[index].get();
    served.turns[index].set(turn.wrapping_add(1));
    let mut reason = "no instance is running".to_owned();
    for suspects in [false, true] {
        for offset in 0..upstreams.len() {
            let upstream = &upstreams[(turn + offset) % upstreams.len()];
            // A target that left the table while this request waited for another one must not
            // get it: its drain counts on that.
            if upstream.is_retired() || upstream.is_suspect(Instant::now()) != suspects {
                continue;
            }
            match send::send(worker, upstream, service, outgoing).await {
                Err(Failure::Unreached(why)) => {
                    upstream.suspect(Instant::now() + SUSPICION);
                    reason = why;
                }
                result => return result,
            }
        }
    }
    Err(Failure::Unreached(reason))
}

/// Sends the request to an address that is not one of the table's. Its connection is used once.
pub(crate) async fn forward_to(
    worker: &Rc<Worker>,
    address: SocketAddr,
    service: &Arc<counters::Service>,
    outgoing: &mut Outgoing,
) -> Result<Response<Body>, Failure> {
    let counters = Arc::new(counters::Target::new(worker.index + 1));
    let patience = worker.limits().outside_connect_timeout;
    let upstream = Rc::new(Upstream::new(address, patience, counters));
    upstream.retire();
    send::send(worker, &upstream, service, outgoing).await
}

/// A target's answer on its way to the client.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    inner: Incoming,
    /// Goes back to its pool after the last byte.
    lease: Option<upstream::Lease>,
    in_flight: Rc<InFlight>,
    service: Arc<counters::Service>,
    /// Longest pause; `None` for event streams, which may be silent.
    longest_pause: Option<Duration>,
    pause: Pause,
    failed: bool,
}

impl AnswerBody {
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.pause.end();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.give_back();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(cause))) => {
                Poll::Ready(Some(Err(self.fail(BodyError::TargetGone(cause)))))
            }
            Poll::Pending => {
                let Some(limit) = self.longest_pause else { return Poll::Pending };
                match self.pause.poll(limit, context) {
                    Poll::Ready(()) => Poll::Ready(Some(Err(self.fail(BodyError::TargetStalled)))),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    pub(crate) fn is_end(&self) -> bool {
        self.inner.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }

    fn give_back(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }

    fn fail(&mut self, error: BodyError) -> BodyError {
        self.lease = None;
        if !std::mem::replace(&mut self.failed, true) {
            self.service.failed(self.in_flight.core());
            self.in_flight.failed();
        }
        error
    }
}

/// hyper does not ask for the end of a body whose length it knows.
impl Drop for AnswerBody {
    fn drop(&mut self) {
        if self.inner.is_end_stream() {
            self.give_back();
        }
    }
}
