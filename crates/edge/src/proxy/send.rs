//! One request to one target.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until};

use super::upstream::{Connection, InFlight, Lease, Upstream, keep_time};
use super::{AnswerBody, Failure, Outgoing, headers, tunnel};
use crate::body::{Body, Pause, RequestBody, Upload};
use crate::counters;
use crate::sources;
use crate::worker::Worker;

/// What became of one try on one connection.
enum Try {
    Answered(Response<Incoming>, Connection),
    /// No byte was sent: any other connection will do.
    Unsent,
    /// It was sent, but may be sent again: on a new connection, and once only.
    Repeat,
    Failed(Failure),
}

pub(super) async fn send(
    worker: &Rc<Worker>,
    upstream: &Rc<Upstream>,
    service: &Arc<counters::Service>,
    outgoing: &mut Outgoing,
) -> Result<Response<Body>, Failure> {
    // From here on the target's drain waits for this request.
    let in_flight = upstream.begin(worker.index);
    // Quiet connections only, unless the request could be repeated.
    while let Some(connection) = upstream.used(!outgoing.repeatable) {
        match attempt(connection, true, &in_flight, outgoing).await {
            Try::Answered(response, connection) => {
                let answer = Answer { response, connection, in_flight };
                return answer.pass_on(upstream, service, outgoing);
            }
            Try::Unsent => {}
            Try::Repeat => break,
            Try::Failed(failure) => return Err(failed(&in_flight, failure)),
        }
    }
    let connection = match upstream.connect().await {
        Ok(connection) => connection,
        Err(cause) => {
            if sources::is_out_of_files(&cause) {
                worker.shared.sources.shed();
            }
            return Err(Failure::Unreached(cause.to_string()));
        }
    };
    match attempt(connection, false, &in_flight, outgoing).await {
        Try::Answered(response, connection) => {
            let answer = Answer { response, connection, in_flight };
            answer.pass_on(upstream, service, outgoing)
        }
        Try::Unsent | Try::Repeat => {
            Err(Failure::Unreached("the target closed the connection".to_owned()))
        }
        Try::Failed(failure) => Err(failed(&in_flight, failure)),
    }
}

fn failed(in_flight: &InFlight, failure: Failure) -> Failure {
    if !matches!(failure, Failure::Client(_)) {
        in_flight.failed();
    }
    failure
}

async fn attempt(
    mut connection: Connection,
    used: bool,
    in_flight: &Rc<InFlight>,
    outgoing: &mut Outgoing,
) -> Try {
    let Some(mut body) = outgoing.body.take() else {
        return Try::Failed(Failure::Broken("the request was already sent".to_owned()));
    };
    body.in_flight = Some(Rc::clone(in_flight));
    let request = Request::from_parts(outgoing.head.clone(), body);
    let answered = connection.sender.try_send_request(request);
    let Some(answered) = in_time(answered, &outgoing.upload, outgoing.patience).await else {
        return Try::Failed(Failure::TimedOut);
    };
    let mut error = match answered {
        Ok(response) => return Try::Answered(response, connection),
        Err(error) => error,
    };
    if let Some(request) = error.take_message() {
        let mut body = request.into_body();
        body.in_flight = None;
        outgoing.body = Some(body);
        return Try::Unsent;
    }
    let error = error.into_error();
    if let Some(fault) = outgoing.upload.fault.get() {
        return Try::Failed(Failure::Client(fault));
    }
    let may_repeat = outgoing.repeatable && (used || outgoing.head.method.is_safe());
    if may_repeat && !error.is_parse() && !error.is_user() {
        // A target that dies of a request must not take its successors with it.
        outgoing.repeatable = used;
        outgoing.body = Some(RequestBody::empty_again(&outgoing.upload));
        return Try::Repeat;
    }
    Try::Failed(Failure::Broken(describe(&error)))
}

/// hyper's own words name its parts; these name the target's doing.
fn describe(error: &hyper::Error) -> String {
    if error.is_parse() {
        format!("the target's answer is not HTTP: {error}")
    } else {
        "the target closed the connection without an answer".to_owned()
    }
}

/// The answer, unless the target takes longer than `limit`, counted from the client's last byte.
async fn in_time<T>(
    answer: impl Future<Output = T>,
    upload: &Upload,
    limit: Option<Duration>,
) -> Option<T> {
    let Some(limit) = limit else { return Some(answer.await) };
    let mut answer = pin!(answer);
    upload.progress.set(Instant::now());
    let mut timer = pin!(sleep_until(upload.progress.get() + limit));
    loop {
        tokio::select! {
            biased;
            answer = answer.as_mut() => return Some(answer),
            () = timer.as_mut() => {
                let deadline = upload.progress.get() + limit;
                if deadline <= Instant::now() {
                    return None;
                }
                timer.as_mut().reset(deadline);
            }
        }
    }
}

struct Answer {
    response: Response<Incoming>,
    connection: Connection,
    in_flight: Rc<InFlight>,
}

impl Answer {
    /// Makes a target's answer the client's.
    fn pass_on(
        self,
        upstream: &Rc<Upstream>,
        service: &Arc<counters::Service>,
        outgoing: &mut Outgoing,
    ) -> Result<Response<Body>, Failure> {
        let Self { mut response, connection, in_flight } = self;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let Some(client) = outgoing.upgrade.take() else {
                let why = "the target switched protocols though nobody asked".to_owned();
                return Err(failed(&in_flight, Failure::Broken(why)));
            };
            tunnel::open(client, hyper::upgrade::on(&mut response), in_flight);
            return Ok(switching(response));
        }
        let keep = keep_time(response.headers());
        let (mut head, inner) = response.into_parts();
        headers::remove_hop_by_hop(&mut head.headers);
        let is_event_stream = head
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        let body = AnswerBody {
            inner,
            lease: Some(Lease { connection, upstream: Rc::clone(upstream), keep }),
            in_flight,
            service: Arc::clone(service),
            longest_pause: outgoing.patience.filter(|_| !is_event_stream),
            pause: Pause::default(),
            failed: false,
        };
        Ok(Response::from_parts(head, Body::Answer(body)))
    }
}

fn switching(response: Response<Incoming>) -> Response<Body> {
    let (mut head, _) = response.into_parts();
    let protocol = head.headers.get(header::UPGRADE).cloned();
    headers::remove_hop_by_hop(&mut head.headers);
    head.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = protocol {
        head.headers.insert(header::UPGRADE, protocol);
    }
    Response::from_parts(head, Body::empty())
}
