//! What is wrong with a request before anybody knows where it leads.

use http::header::{self, HeaderValue};
use http::{Method, Request, StatusCode, Version};

use crate::pages::Page;
use crate::worker::Worker;

/// What can be refused without knowing the route. The host as the client wrote it otherwise.
pub(super) fn check<B>(
    worker: &Worker,
    request: &Request<B>,
) -> Result<HeaderValue, Page<'static>> {
    let refuse = |status, sentence, hint| Err(Page::new(status, sentence, hint));
    let size: usize = request.uri().path_and_query().map_or(0, |path| path.as_str().len())
        + request.headers().iter().map(|(n, v)| n.as_str().len() + v.len() + 4).sum::<usize>();
    if size > worker.limits().max_header_bytes {
        return refuse(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "The headers of this request are too large.",
            "Cookies are the usual cause.",
        );
    }
    if *request.method() == Method::CONNECT || !request.uri().path().starts_with('/') {
        return refuse(StatusCode::BAD_REQUEST, "This is not a request for a page.", "");
    }
    let length = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if let (Some(length), Some(max)) = (length, worker.limits().max_body_bytes)
        && length > max
    {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, TOO_LARGE, "");
    }
    // An absolute target names the host whatever the header says (RFC 9112, 3.2.2).
    if let Some(authority) = request.uri().authority() {
        return HeaderValue::from_str(authority.as_str()).or_else(|_| {
            refuse(StatusCode::BAD_REQUEST, "The host of this request cannot be read.", "")
        });
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => Ok(host.clone()),
        (None, _) if request.version() == Version::HTTP_10 => Ok(HeaderValue::from_static("")),
        _ => refuse(StatusCode::BAD_REQUEST, "A request needs exactly one `Host` header.", ""),
    }
}

/// The sentence for a body that is.
pub(super) const TOO_LARGE: &str = "The body of this request is too large.";
