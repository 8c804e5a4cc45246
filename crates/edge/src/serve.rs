//! One request: from host and path to what answers.

mod check;
mod external;
mod wants;

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until};

use crate::body::{Body, ClientFault, RequestBody};
use crate::connection::Peer;
use crate::files::Site;
use crate::pages::Page;
use crate::proxy::{self, Failure, Forwarded, Outgoing, Upgrade};
use crate::rules::{self, Outcome};
use crate::table::{Backend, Route, host_key};
use crate::worker::{Served, Worker};

/// How long a request waits for a newer table when no target of its route can be reached: the one
/// that just died may be about to be replaced.
pub(crate) const UNREACHED_HOLD: Duration = Duration::from_secs(5);
/// How often the targets are tried meanwhile.
pub(crate) const UNREACHED_RETRY: Duration = Duration::from_millis(100);
/// `Retry-After` of a 503, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Answers a request.
pub(crate) async fn handle(
    worker: Rc<Worker>,
    peer: Rc<Peer>,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let host = match check::check(&worker, &request) {
        Ok(host) => host,
        Err(page) => {
            return without_body_for_head(request.method(), page.answer(request.headers()));
        }
    };
    let upgrade = proxy::asks_for_upgrade(&request)
        .then(|| Upgrade { client: hyper::upgrade::on(&mut request), busy: peer.activity.begin() });
    let (mut head, body) = request.into_parts();
    let is_passed_on = proxy::is_passed_on(&head.headers);
    let path = head.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let forwarded = Forwarded {
        peer: &peer,
        host: &host,
        upgrade: upgrade.is_some(),
        is_trusted: &|address| worker.is_trusted(address),
        request_id: &|| worker.request_id(),
    };
    forwarded.prepare(&mut head.headers);
    head.version = Version::HTTP_11;
    let key = host_key(host.to_str().unwrap_or_default()).into_owned();
    let published = peer.published;
    let patience = published.is_none().then_some(worker.limits().upstream_response_timeout);
    let outgoing = Outgoing::new(head, RequestBody::new(body, worker.limits()), upgrade, patience);
    let mut visit = Visit {
        worker,
        peer,
        is_passed_on,
        published,
        host,
        key,
        path,
        outgoing,
        waiting: None,
        hops: 0,
    };
    let response = visit.answer().await;
    without_body_for_head(&visit.outgoing.head().method, response)
}

/// A request on its way through the table.
struct Visit {
    worker: Rc<Worker>,
    peer: Rc<Peer>,
    /// Whether a proxy speaks for somebody else, trusted or not.
    is_passed_on: bool,
    /// The published port whose service answers, until a rewrite leads elsewhere.
    published: Option<SocketAddr>,
    host: HeaderValue,
    /// The host as the table knows it. A rewrite to another host of the table changes it.
    key: String,
    path: PathAndQuery,
    outgoing: Outgoing,
    /// What it waits for, and since when.
    waiting: Option<(Wait, Instant)>,
    hops: usize,
}

/// Why a request waits for a newer table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// The table says so, for at most this long.
    Hold(Duration),
    /// No target could be reached.
    Unreached,
}

impl Wait {
    fn limit(self) -> Duration {
        match self {
            Self::Hold(limit) => limit,
            Self::Unreached => UNREACHED_HOLD,
        }
    }
}

enum Step {
    Done(Response<Body>),
    /// Wait for a newer table; when it took too long, answer this.
    Wait(Wait, Response<Body>),
    /// Start again with the new host and path.
    Again,
}

impl Visit {
    async fn answer(&mut self) -> Response<Body> {
        let worker = Rc::clone(&self.worker);
        let mut counted = false;
        loop {
            let served = worker.served();
            let found = match self.published {
                Some(address) => served.table.published(address).map(|published| published.route),
                None => served.table.find(&self.key, self.path.path()),
            };
            let Some(index) = found else {
                return self.unknown(&served);
            };
            let route = &served.table.routes[index];
            if !std::mem::replace(&mut counted, true) {
                route.service.request(worker.index);
            }
            match self.step(&served, index).await {
                Step::Done(response) => return self.finish(route, response),
                Step::Again => {}
                Step::Wait(wait, otherwise) => {
                    if !self.wait(wait, &served, route).await {
                        return self.finish(route, otherwise);
                    }
                }
            }
        }
    }

    /// Waits until it is worth another try; `false` when it has waited for too long.
    async fn wait(&mut self, wait: Wait, served: &Rc<Served>, route: &Route) -> bool {
        let now = Instant::now();
        if self.waiting.is_none() {
            route.service.held(self.worker.index);
        }
        let since = match self.waiting {
            Some((earlier, since)) if earlier == wait => since,
            // A hold may end in a target that is not there yet: that is a wait of its own.
            _ => now,
        };
        self.waiting = Some((wait, since));
        let deadline = since + wait.limit();
        if deadline <= now {
            return false;
        }
        // Only this thread changes the table: between this look and the wait nothing is missed.
        let mut changed = pin!(self.worker.changed.notified());
        changed.as_mut().enable();
        if !Rc::ptr_eq(served, &self.worker.served()) {
            return true;
        }
        let until = match wait {
            Wait::Hold(_) => deadline,
            Wait::Unreached => deadline.min(now + UNREACHED_RETRY),
        };
        tokio::select! {
            () = changed => {}
            () = sleep_until(until) => {}
        }
        true
    }

    async fn step(&mut self, served: &Served, index: usize) -> Step {
        let route = &served.table.routes[index];
        match &route.backend {
            Backend::Targets(_) => self.targets(served, index).await,
            Backend::Static(site) => self.files(served, route, site).await,
            Backend::Hold(limit) => {
                let sentence = format!("{} is being replaced.", route.name);
                let hint = "It took longer than expected. Please try again in a moment.";
                let page = Page::new(StatusCode::SERVICE_UNAVAILABLE, &sentence, hint);
                let otherwise = self.failed(&page);
                Step::Wait(Wait::Hold(*limit), otherwise)
            }
            Backend::RedirectHost(host) => {
                let location = self.on_host(host);
                Step::Done(redirect(&location))
            }
            Backend::Unavailable(sentence) => {
                let page = Page::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    sentence,
                    "`gable status` and `gable logs` show more.",
                );
                Step::Done(self.failed(&page))
            }
        }
    }

    async fn targets(&mut self, served: &Served, index: usize) -> Step {
        let route = &served.table.routes[index];
        let mut path = with_path(&self.path, route.stripped(self.path.path()));
        match rules::first_match(&route.rules, path.path(), path.query()) {
            None => {}
            Some(Outcome::Redirect(location)) => return Step::Done(redirect(&location)),
            Some(Outcome::External(url)) => return self.external(served, route, &url).await,
            Some(Outcome::Rewrite(target)) => path = with_path(&path, &target),
        }
        self.outgoing.set_path(path);
        self.outgoing.set_prefix(route.stripped_prefix());
        match proxy::forward(&self.worker, served, index, &mut self.outgoing).await {
            Ok(response) => {
                if response.status().is_server_error() {
                    route.service.response_5xx(self.worker.index);
                }
                self.note_wants(route, &response);
                Step::Done(response)
            }
            Err(Failure::Unreached(reason)) => {
                let sentence = format!("{} cannot be reached: {reason}.", route.name);
                let hint = "It may be starting or may have stopped: `gable status` shows which.";
                let page = Page::new(StatusCode::BAD_GATEWAY, &sentence, hint);
                let otherwise = self.failed(&page);
                Step::Wait(Wait::Unreached, otherwise)
            }
            Err(failure) => Step::Done(self.failure(route, failure)),
        }
    }

    async fn files(&mut self, served: &Served, route: &Route, site: &Site) -> Step {
        let path = route.stripped(self.path.path()).to_owned();
        let query = self.path.query().map(str::to_owned);
        let compressed = &self.worker.shared.compressed;
        let readable = matches!(self.outgoing.head().method, Method::GET | Method::HEAD);
        if readable && let Some(response) = site.get(&path, self.outgoing.head(), compressed).await
        {
            return Step::Done(self.fix_directory(response));
        }
        match rules::first_match(&route.rules, &path, query.as_deref()) {
            Some(Outcome::Redirect(location)) => return Step::Done(redirect(&location)),
            Some(Outcome::External(url)) => return self.external(served, route, &url).await,
            Some(Outcome::Rewrite(target)) if readable => {
                let target = target.split(['?', '#']).next().unwrap_or_default();
                let head = self.outgoing.head();
                match site.get(target, head, compressed).await {
                    // The rule means what is in the directory.
                    Some(response) if response.status().is_redirection() => {
                        let index = format!("{target}/");
                        if let Some(response) = site.get(&index, head, compressed).await {
                            return Step::Done(response);
                        }
                    }
                    Some(response) => return Step::Done(response),
                    None => {}
                }
            }
            Some(Outcome::Rewrite(_)) | None => {}
        }
        if !readable {
            let mut response = Page::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "This is a static site: it only answers GET and HEAD.",
                "",
            )
            .answer(&self.outgoing.head().headers);
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Step::Done(response);
        }
        if let Some(response) = site.not_found(self.outgoing.head(), compressed).await {
            return Step::Done(response);
        }
        let sentence = format!("{} has no page at {path}.", route.name);
        let page = Page::new(StatusCode::NOT_FOUND, &sentence, "");
        Step::Done(page.answer(&self.outgoing.head().headers))
    }

    /// A site knows paths below its prefix; the client needs the whole one.
    fn fix_directory(&self, mut response: Response<Body>) -> Response<Body> {
        if response.status().is_redirection() && response.headers().contains_key(header::LOCATION) {
            let query = self.path.query().map(|query| format!("?{query}")).unwrap_or_default();
            let location = rules::local_path(&format!("{}/", self.path.path())) + &query;
            if let Ok(location) = HeaderValue::from_str(&location) {
                response.headers_mut().insert(header::LOCATION, location);
            }
        }
        response
    }

    fn note_wants(&self, route: &Route, response: &Response<Body>) {
        let head = self.outgoing.head();
        match wants::sign((&head.method, &head.headers), &self.key, response) {
            Some(wants::Sign::Redirect) => route.service.https_redirect(self.worker.index),
            Some(wants::Sign::FormRefused) => route.service.form_refused(self.worker.index),
            None => {}
        }
    }

    fn failure(&self, route: &Route, failure: Failure) -> Response<Body> {
        let name = &route.name;
        let (status, sentence) = match failure {
            Failure::Unreached(why) => {
                (StatusCode::BAD_GATEWAY, format!("{name} cannot be reached: {why}."))
            }
            Failure::Broken(why) => (StatusCode::BAD_GATEWAY, format!("{name} failed: {why}.")),
            Failure::TimedOut => {
                (StatusCode::GATEWAY_TIMEOUT, format!("{name} did not answer in time."))
            }
            Failure::Client(fault) => return self.client_fault(fault),
        };
        let page = Page::new(status, &sentence, "`gable logs` shows what it was doing.");
        self.failed(&page)
    }

    fn client_fault(&self, fault: ClientFault) -> Response<Body> {
        let (status, sentence) = match fault {
            ClientFault::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, check::TOO_LARGE),
            ClientFault::Stalled => {
                (StatusCode::REQUEST_TIMEOUT, "The body of this request did not arrive in time.")
            }
            ClientFault::Gone => (StatusCode::BAD_REQUEST, "The body of this request broke off."),
        };
        let mut response = Page::new(status, sentence, "").answer(&self.outgoing.head().headers);
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }

    /// A page for a failure that is not the client's. It counts only once it is sent.
    fn failed(&self, page: &Page<'_>) -> Response<Body> {
        let mut response = page.answer(&self.outgoing.head().headers);
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response.extensions_mut().insert(EdgeFailed);
        response
    }

    /// Counts, and adds the route's headers.
    fn finish(&self, route: &Route, mut response: Response<Body>) -> Response<Body> {
        if response.extensions_mut().remove::<EdgeFailed>().is_some() {
            route.service.failed(self.worker.index);
            return response;
        }
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let path = route.stripped(self.path.path());
            rules::set_headers(&route.headers, path, response.headers_mut());
        }
        response
    }

    fn unknown(&self, served: &Served) -> Response<Body> {
        let host = self.host.to_str().unwrap_or_default();
        let known = served.table.has_host(&self.key);
        let sentence = if self.published.is_some() {
            format!("Nothing is published on port {} any more.", self.peer.port)
        } else if known {
            format!("Nothing is served at {} of {host}.", self.path.path())
        } else {
            format!("No service has the host name {host}.")
        };
        let may_know = may_know_hosts(self.peer.address, self.is_passed_on);
        let hosts = if may_know { served.table.local_hosts() } else { Vec::new() };
        let scheme = self.peer.scheme();
        let links: Vec<String> =
            hosts.iter().map(|host| format!("{scheme}://{host}:{}/", self.peer.port)).collect();
        let hint = if links.is_empty() { "`gable status` lists what is served." } else { "Try:" };
        let mut page = Page::new(StatusCode::NOT_FOUND, &sentence, hint);
        page.links = &links;
        page.answer(&self.outgoing.head().headers)
    }

    /// The URL of this request on another host, with the port that the client used.
    fn on_host(&self, host: &str) -> String {
        let headers = &self.outgoing.head().headers;
        let scheme = match headers.get("x-forwarded-proto").map(HeaderValue::as_bytes) {
            Some(b"https") => "https",
            _ => "http",
        };
        let port = self
            .host
            .to_str()
            .ok()
            .and_then(|host| host.rsplit_once(':'))
            .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
            .map(|(_, port)| format!(":{port}"))
            .unwrap_or_default();
        format!("{scheme}://{host}{port}{}", self.path)
    }
}

/// Which hosts there are is for whoever sits at this machine: neither for others, nor for those
/// that a proxy on this machine speaks for.
fn may_know_hosts(peer: IpAddr, is_passed_on: bool) -> bool {
    peer.is_loopback() && !is_passed_on
}

/// Marks an answer that the edge had to give in a service's place.
#[derive(Debug, Clone, Copy)]
struct EdgeFailed;

fn redirect(location: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    match HeaderValue::from_str(location) {
        Ok(location) => {
            *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
            response.headers_mut().insert(header::LOCATION, location);
        }
        Err(_) => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    response
}

/// The same query on another path, unless that brings its own.
fn with_path(original: &PathAndQuery, path: &str) -> PathAndQuery {
    if path == original.path() {
        return original.clone();
    }
    let text = match original.query() {
        Some(query) if !path.contains('?') => format!("{path}?{query}"),
        _ => path.to_owned(),
    };
    text.parse().unwrap_or_else(|_| original.clone())
}

/// HTTP/2 would send the body of an answer to HEAD.
fn without_body_for_head(method: &Method, response: Response<Body>) -> Response<Body> {
    if *method != Method::HEAD || response.body().is_end_stream() {
        return response;
    }
    let length = response.body().size_hint().exact();
    let (mut head, body) = response.into_parts();
    drop(body);
    if let Some(length) = length {
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(head, Body::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whoever_sits_at_this_machine_is_told_which_hosts_there_are() {
        let may = |address: &str, is_passed_on| {
            may_know_hosts(address.parse().expect("an address"), is_passed_on)
        };
        assert!(may("127.0.0.1", false) && may("127.1.2.3", false) && may("::1", false));
        assert!(!may("127.0.0.1", true), "a proxy speaks for somebody else");
        for stranger in ["192.0.2.7", "10.77.0.2", "fe80::1", "2001:db8::1", "0.0.0.0"] {
            assert!(!may(stranger, false), "{stranger}");
        }
    }
}
