//! Pages that the edge answers with itself: HTML for browsers, plain text for everybody else.

use std::fmt::Write;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};

use crate::body::Body;

/// What a page says.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    pub(crate) status: StatusCode,
    /// A whole sentence: what is the matter.
    pub(crate) sentence: &'a str,
    /// A whole sentence: what to do; may be empty.
    pub(crate) hint: &'a str,
    /// URLs to offer.
    pub(crate) links: &'a [String],
}

impl<'a> Page<'a> {
    pub(crate) fn new(status: StatusCode, sentence: &'a str, hint: &'a str) -> Self {
        Self { status, sentence, hint, links: &[] }
    }

    /// The page in the form that the asker reads.
    pub(crate) fn answer(&self, request: &HeaderMap) -> Response<Body> {
        let (text, content_type) = if wants_html(request) {
            (self.html(), "text/html; charset=utf-8")
        } else {
            (self.plain(), "text/plain; charset=utf-8")
        };
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    fn plain(&self) -> String {
        let mut text = format!("{}\n", self.sentence);
        if !self.hint.is_empty() {
            let _ = write!(text, "\n{}\n", self.hint);
        }
        for link in self.links {
            let _ = writeln!(text, "  {link}");
        }
        text
    }

    fn html(&self) -> String {
        let mut list = String::new();
        for link in self.links {
            let link = escape(link);
            let _ = write!(list, "<li><a href=\"{link}\">{link}</a></li>");
        }
        format!(
            "<!doctype html><html lang=en><meta charset=utf-8>\
             <meta name=viewport content=\"width=device-width\"><title>{title}</title>\
             <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:15vh auto;\
             padding:0 1em;color:#222}}h1{{font-size:1.3em}}p{{color:#555}}\
             @media(prefers-color-scheme:dark){{body{{background:#181818;color:#eee}}\
             p{{color:#aaa}}a{{color:#8bf}}}}</style>\
             <h1>{sentence}</h1><p>{hint}</p><ul>{list}</ul></html>\n",
            title = self.status,
            sentence = escape(self.sentence),
            hint = escape(self.hint),
        )
    }
}

/// Browsers ask for `text/html` by name when a person looks.
fn wants_html(request: &HeaderMap) -> bool {
    request
        .get(header::ACCEPT)
        .is_some_and(|accept| accept.as_bytes().windows(9).any(|part| part == b"text/html"))
}

/// Text as HTML shows it.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(char),
        }
    }
    out
}
