//! Headers that belong to one connection, and those that tell a target about its client.

use std::net::{IpAddr, SocketAddr};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Version};

use crate::connection::Peer;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How proxies name the one address of the client. Render's do with the second and third; programs
/// that read any of them get the truth.
const CLIENT_ADDRESS: [HeaderName; 3] = [
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("cf-connecting-ip"),
    HeaderName::from_static("true-client-ip"),
];

/// Other headers by which some proxy tells about its client; `X-Forwarded-*` are meant besides.
const CLAIMS: [&str; 14] = [
    "forwarded",
    "forwarded-for",
    "front-end-https",
    "x-forwarded",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "x-original-host",
    "x-envoy-external-address",
    "x-scheme",
    "x-url-scheme",
    "cf-connecting-ipv6",
    "cf-pseudo-ipv4",
    "fastly-client-ip",
];

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

/// Whether a proxy says that it speaks for somebody else.
pub(crate) fn is_passed_on(headers: &HeaderMap) -> bool {
    let names = [&X_FORWARDED_FOR, &header::FORWARDED, &header::VIA];
    names.into_iter().chain(&CLIENT_ADDRESS).any(|name| headers.contains_key(name))
}

/// What targets are told about where a request came from.
pub(crate) struct Forwarded<'a> {
    pub(crate) peer: &'a Peer,
    /// The host as the client wrote it.
    pub(crate) host: &'a HeaderValue,
    pub(crate) upgrade: bool,
    /// Whether an address is that of a trusted proxy.
    pub(crate) is_trusted: &'a dyn Fn(IpAddr) -> bool,
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
        let mut chain = Vec::new();
        if self.peer.trusted {
            for before in headers.get_all(X_FORWARDED_FOR) {
                chain.extend_from_slice(before.as_bytes());
                chain.extend_from_slice(b", ");
            }
        } else {
            forget_claims(headers);
        }
        let address = address_value(self.peer.address);
        chain.extend_from_slice(address.as_bytes());
        let chain = HeaderValue::from_bytes(&chain).unwrap_or(address);
        let client = address_value(self.client_address(&chain));
        headers.insert(X_FORWARDED_FOR, chain);
        // What a trusted proxy said stays.
        let mut tell = |name: HeaderName, value: HeaderValue| {
            headers.entry(name).or_insert(value);
        };
        tell(X_FORWARDED_PROTO, HeaderValue::from_static(self.peer.scheme()));
        tell(X_FORWARDED_HOST, self.host.clone());
        tell(X_FORWARDED_PORT, HeaderValue::from(self.peer.port));
        for name in CLIENT_ADDRESS {
            tell(name, client.clone());
        }
    }

    /// The last address of the chain that is no trusted proxy's.
    fn client_address(&self, chain: &HeaderValue) -> IpAddr {
        let said = tokens(chain).rev().map(|token| {
            let text = std::str::from_utf8(token).ok()?;
            let address = text
                .parse::<IpAddr>()
                .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
            address.ok()
        });
        let mut client = self.peer.address;
        for address in said {
            // What is no address was written by whoever is before it.
            let Some(address) = address else { break };
            client = address.to_canonical();
            if !(self.is_trusted)(client) {
                break;
            }
        }
        client
    }
}

fn address_value(address: IpAddr) -> HeaderValue {
    HeaderValue::from_str(&address.to_string()).expect("an address has no control characters")
}

/// Removes what only a proxy can know. Its names are compared as CGI and WSGI do, which take `_`
/// for `-`: otherwise `X_Forwarded_For` would still be read as what it imitates.
fn forget_claims(headers: &mut HeaderMap) {
    let is_claim = |name: &HeaderName| {
        let name = name.as_str().replace('_', "-");
        name.starts_with("x-forwarded-")
            || CLAIMS.contains(&name.as_str())
            || CLIENT_ADDRESS.iter().any(|address| *address == name.as_str())
    };
    let claims: Vec<HeaderName> = headers.keys().filter(|name| is_claim(name)).cloned().collect();
    for name in claims {
        headers.remove(name);
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

fn tokens(value: &HeaderValue) -> impl DoubleEndedIterator<Item = &[u8]> {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Activity;
    use crate::sources::{Share, Sources};

    /// What a target sees of a request that came from 10.0.0.9.
    fn prepared(trusted: bool, sent: &[(&'static str, &'static str)]) -> HeaderMap {
        let sources = std::sync::Arc::new(Sources::new(1, 1));
        let address = IpAddr::from([10, 0, 0, 9]);
        let place = sources.admit(address, Share::One).unwrap();
        let activity = Activity::new(place);
        let is_secure = false;
        let peer = Peer { address, trusted, port: 8080, is_secure, published: None, activity };
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        Forwarded {
            peer: &peer,
            host: &HeaderValue::from_static("shop.localhost:8080"),
            upgrade: false,
            is_trusted: &|address| trusted && address == IpAddr::from([10, 0, 0, 9]),
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
    fn what_a_stranger_says_about_its_own_address_never_arrives() {
        let names = CLAIMS.iter().copied().chain([
            "cf-connecting-ip",
            "true-client-ip",
            "x-real-ip",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-forwarded-prefix",
            "x-forwarded-proto",
            "x-forwarded-ssl",
            "x_forwarded_for",
            "x-forwarded_host",
            "cf_connecting_ip",
        ]);
        for name in names {
            let headers = prepared(false, &[(name, "1.2.3.4"), (name, "5.6.7.8")]);
            for (header, value) in &headers {
                let text = value.to_str().unwrap();
                assert!(!text.contains("1.2.3.4") && !text.contains("5.6.7.8"), "{name}: {header}");
            }
            assert_eq!(headers["x-forwarded-for"], "10.0.0.9");
            for address in ["x-real-ip", "cf-connecting-ip", "true-client-ip"] {
                assert_eq!(headers[address], "10.0.0.9");
            }
            assert_eq!(headers["x-forwarded-proto"], "http");
            assert_eq!(headers["x-forwarded-host"], "shop.localhost:8080");
            assert_eq!(headers["x-forwarded-port"], "8080");
        }
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_added_to_its_chain() {
        let headers = prepared(
            true,
            &[
                ("x-forwarded-for", "9.9.9.9, nonsense"),
                ("x-forwarded-for", "1.2.3.4"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-prefix", "/shop"),
                ("true-client-ip", "4.3.2.1"),
            ],
        );
        assert_eq!(headers["x-forwarded-for"], "9.9.9.9, nonsense, 1.2.3.4, 10.0.0.9");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-port"], "8080");
        assert_eq!(headers["x-forwarded-prefix"], "/shop");
        assert_eq!(headers["x-real-ip"], "1.2.3.4", "the last one that is no trusted proxy");
        assert_eq!(headers["true-client-ip"], "4.3.2.1");
    }
}
