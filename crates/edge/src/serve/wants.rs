//! Signs that a service takes HTTPS for granted.

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};

/// What an answer over HTTP says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// It leads to the same host over HTTPS.
    Redirect,
    /// It refuses a form of a page: the page's origin is not what the service expects.
    FormRefused,
}

/// The sign in an answer to a request with this method, headers and host (without port).
pub(super) fn sign<B>(
    (method, headers): (&Method, &HeaderMap),
    host: &str,
    response: &Response<B>,
) -> Option<Sign> {
    if headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https") {
        return None;
    }
    if response.status().is_redirection() {
        let location = response.headers().get(header::LOCATION)?;
        return leads_to(location, "https://", host).then_some(Sign::Redirect);
    }
    let is_form = headers.get(header::CONTENT_TYPE).is_some_and(is_form);
    let page = headers.get(header::ORIGIN).or_else(|| headers.get(header::REFERER));
    let from_page = page.is_some_and(|page| leads_to(page, "http://", host));
    let is_refused = response.status() == StatusCode::FORBIDDEN && *method == Method::POST;
    (is_refused && is_form && from_page).then_some(Sign::FormRefused)
}

/// Whether a URL has this scheme and host, whatever its port.
fn leads_to(url: &HeaderValue, scheme: &str, host: &str) -> bool {
    let Ok(url) = url.to_str() else { return false };
    let is_scheme = url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    is_scheme && {
        let named = url[scheme.len()..].split(['/', ':', '?', '#']).next().unwrap_or_default();
        named.eq_ignore_ascii_case(host)
    }
}

fn is_form(content_type: &HeaderValue) -> bool {
    let bytes = content_type.as_bytes();
    bytes.starts_with(b"application/x-www-form-urlencoded")
        || bytes.starts_with(b"multipart/form-data")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sent: &[(&'static str, &'static str)], status: u16, location: &str) -> Option<Sign> {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        let response = Response::builder().status(status).header("location", location).body(());
        sign((&Method::POST, &headers), "shop.localhost", &response.expect("it is whole"))
    }

    #[test]
    fn a_redirect_to_https_of_the_same_host_and_a_refused_form_are_signs() {
        let redirect = |location| of(&[], 301, location);
        assert_eq!(redirect("https://shop.localhost/a"), Some(Sign::Redirect));
        assert_eq!(redirect("HTTPS://Shop.localhost:8080"), Some(Sign::Redirect));
        assert_eq!(redirect("https://login.example.com/"), None);
        assert_eq!(redirect("http://shop.localhost/"), None);
        assert_eq!(redirect("/\u{17e}"), None);
        let form = ("content-type", "application/x-www-form-urlencoded");
        let origin = ("origin", "http://shop.localhost:8080");
        assert_eq!(of(&[form, origin], 403, ""), Some(Sign::FormRefused));
        assert_eq!(of(&[form], 403, ""), None, "a program, not a page");
        let foreign = ("origin", "http://evil.test");
        assert_eq!(of(&[form, foreign], 403, ""), None, "refused with good reason");
        assert_eq!(of(&[form, origin], 401, ""), None);
        let secure = ("x-forwarded-proto", "https");
        assert_eq!(of(&[form, origin, secure], 403, ""), None);
    }
}
