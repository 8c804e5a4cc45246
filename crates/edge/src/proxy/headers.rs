//! Headers that belong to one connection, and those that tell a target about its client.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Version};

use crate::listen::Peer;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Headers that mean something to the next hop only (RFC 9110, 7.6.1), and their forerunners.
/// `Trailer` is not among them: trailers are passed on.
static HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Whether this is an HTTP/1.1 request for a tunnel. Upgrades to HTTP/2 are declined by silence,
/// as the specification allows: HTTP/2 is spoken with prior knowledge.
pub(crate) fn asks_for_upgrade<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_11
        && has_token(request.headers(), &header::CONNECTION, "upgrade")
        && request
            .headers()
            .get(header::UPGRADE)
            .is_some_and(|protocol| !protocol.as_bytes().eq_ignore_ascii_case(b"h2c"))
}

/// What targets are told about where a request came from.
pub(crate) struct Forwarded<'a> {
    pub(crate) peer: &'a Peer,
    /// The host as the client wrote it.
    pub(crate) host: &'a HeaderValue,
    pub(crate) upgrade: bool,
    /// A name for the request, unless it has one.
    pub(crate) request_id: &'a dyn Fn() -> String,
}

impl Forwarded<'_> {
    /// Makes a client's headers those of a request to a target.
    pub(crate) fn prepare(&self, headers: &mut HeaderMap) {
        let trailers = has_token(headers, &header::TE, "trailers");
        let protocol = headers.get(header::UPGRADE).cloned();
        remove_hop_by_hop(headers);
        // hyper says «100 Continue» to the client as soon as the target's connection takes the
        // body; the target need not say it too.
        headers.remove(header::EXPECT);
        if trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        if let Some(protocol) = protocol.filter(|_| self.upgrade) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, protocol);
        }
        headers.insert(header::HOST, self.host.clone());
        self.tell_origin(headers);
        if !headers.contains_key(X_REQUEST_ID)
            && let Ok(id) = HeaderValue::from_str(&(self.request_id)())
        {
            headers.insert(X_REQUEST_ID, id);
        }
    }

    fn tell_origin(&self, headers: &mut HeaderMap) {
        headers.remove(header::FORWARDED);
        let before = headers.remove(X_FORWARDED_FOR).filter(|_| self.peer.trusted);
        let chain = before
            .and_then(|before| {
                let chain = [before.as_bytes(), b", ", self.peer.forwarded_for.as_bytes()].concat();
                HeaderValue::from_bytes(&chain).ok()
            })
            .unwrap_or_else(|| self.peer.forwarded_for.clone());
        headers.insert(X_FORWARDED_FOR, chain);
        if !self.peer.trusted {
            headers.remove(X_FORWARDED_PREFIX);
        }
        self.tell(headers, X_FORWARDED_PROTO, || HeaderValue::from_static("http"));
        self.tell(headers, X_FORWARDED_HOST, || self.host.clone());
        self.tell(headers, X_FORWARDED_PORT, || HeaderValue::from(self.peer.port));
    }

    /// What a proxy on this machine said stays; what anybody else said is replaced.
    fn tell(&self, headers: &mut HeaderMap, name: HeaderName, value: impl Fn() -> HeaderValue) {
        if !(self.peer.trusted && headers.contains_key(&name)) {
            headers.insert(name, value());
        }
    }
}

/// Tells a target which part of the path was taken off, after what a proxy before the edge took off
/// (`before`).
pub(super) fn tell_prefix(
    headers: &mut HeaderMap,
    before: Option<&HeaderValue>,
    prefix: Option<&str>,
) {
    let before_bytes = before.map_or(&[][..], |value| value.as_bytes());
    let whole = [before_bytes, prefix.unwrap_or_default().as_bytes()].concat();
    match HeaderValue::from_bytes(&whole) {
        Ok(whole) if !whole.is_empty() => headers.insert(X_FORWARDED_PREFIX, whole),
        _ => headers.remove(X_FORWARDED_PREFIX),
    };
}

/// What a proxy before the edge took off, if it is believed.
pub(super) fn prefix_before(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(X_FORWARDED_PREFIX).cloned()
}

/// Removes what concerned the connection that the message came on.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(tokens)
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .filter(|name| !HOP_BY_HOP.contains(name) && *name != header::HOST)
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

fn has_token(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(tokens)
        .any(|token| token.eq_ignore_ascii_case(wanted.as_bytes()))
}

fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(trusted: bool, sent: &[(&'static str, &'static str)]) -> HeaderMap {
        let peer = Peer {
            forwarded_for: HeaderValue::from_static("10.0.0.9"),
            trusted,
            port: 8080,
            published: None,
        };
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        Forwarded {
            peer: &peer,
            host: &HeaderValue::from_static("shop.localhost:8080"),
            upgrade: false,
            request_id: &|| "id".to_owned(),
        }
        .prepare(&mut headers);
        headers
    }

    #[test]
    fn headers_of_the_connection_stay_behind() {
        let headers = prepared(
            false,
            &[
                ("connection", "keep-alive, X-Secret, host"),
                ("x-secret", "1"),
                ("keep-alive", "timeout=5"),
                ("transfer-encoding", "chunked"),
                ("te", "gzip, trailers"),
                ("upgrade", "websocket"),
                ("expect", "100-continue"),
                ("trailer", "x-sum"),
            ],
        );
        for gone in
            ["connection", "x-secret", "keep-alive", "transfer-encoding", "upgrade", "expect"]
        {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        assert_eq!(headers["te"], "trailers");
        assert_eq!(headers["trailer"], "x-sum");
        assert_eq!(headers["host"], "shop.localhost:8080");
    }

    #[test]
    fn only_a_proxy_on_this_machine_is_believed() {
        let sent = [
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-prefix", "/shop"),
        ];
        let stranger = prepared(false, &sent);
        assert_eq!(stranger["x-forwarded-for"], "10.0.0.9");
        assert_eq!(stranger["x-forwarded-proto"], "http");
        assert!(!stranger.contains_key("x-forwarded-prefix"));
        let neighbour = prepared(true, &sent);
        assert_eq!(neighbour["x-forwarded-for"], "1.2.3.4, 10.0.0.9");
        assert_eq!(neighbour["x-forwarded-proto"], "https");
        assert_eq!(neighbour["x-forwarded-port"], "8080");
        assert_eq!(neighbour["x-forwarded-prefix"], "/shop");
    }
}
