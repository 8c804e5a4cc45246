//! Path patterns of redirects, rewrites and headers.
//!
//! The meaning is that of Render's pages on redirects, rewrites and static-site headers. Where they
//! are silent: `/dir/*` matches `/dir` too, captured text is put in as it came (still
//! percent-encoded), and a redirect to the very path that was asked for is passed over.

use std::collections::HashMap;

use http::header::{HeaderName, HeaderValue};
use model::service::{HeaderRule, RouteRule, RouteRuleKind};
use percent_encoding::percent_decode_str;

/// What a matching rule asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answer 301 with this `Location`.
    Redirect(String),
    /// Serve this path (with query, if the rule has one) under the URL that was asked for.
    Rewrite(String),
    /// Pass the request on to this URL.
    External(String),
}

/// One redirect or rewrite, ready to match.
#[derive(Debug)]
pub(crate) struct Rule {
    kind: RouteRuleKind,
    source: Pattern,
    destination: String,
}

impl Rule {
    pub(crate) fn new(rule: &RouteRule) -> Self {
        Self {
            kind: rule.kind,
            source: Pattern::parse(&rule.source),
            destination: rule.destination.trim().to_owned(),
        }
    }

    /// What this rule makes of a raw path; `None` when it does not apply.
    pub(crate) fn apply(&self, path: &str, query: Option<&str>) -> Option<Outcome> {
        let captures = self.source.captures(path)?;
        let mut target = captures.fill(&self.destination);
        let external = is_url(&target);
        if !external {
            target = local_path(&target);
        }
        match self.kind {
            RouteRuleKind::Redirect => {
                let same = target.split(['?', '#']).next() == Some(path) && !external;
                (!same).then(|| Outcome::Redirect(with_query(target, query)))
            }
            RouteRuleKind::Rewrite if external => {
                Some(Outcome::External(with_query(target, query)))
            }
            RouteRuleKind::Rewrite => Some(Outcome::Rewrite(target)),
        }
    }
}

/// The first rule that applies, from top to bottom.
pub(crate) fn first_match(rules: &[Rule], path: &str, query: Option<&str>) -> Option<Outcome> {
    rules.iter().find_map(|rule| rule.apply(path, query))
}

fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
    })
}

/// A path of this host. More than one slash (or a backslash, which browsers read as one) in front
/// would name another host: a captured text must not be able to do that.
pub(crate) fn local_path(path: &str) -> String {
    format!("/{}", path.trim_start_matches(['/', '\\']))
}

/// The query goes along unless the destination has its own.
fn with_query(mut target: String, query: Option<&str>) -> String {
    if let Some(query) = query.filter(|query| !query.is_empty())
        && !target.contains('?')
    {
        let fragment = target.find('#').map(|at| target.split_off(at)).unwrap_or_default();
        target.push('?');
        target.push_str(query);
        target.push_str(&fragment);
    }
    target
}

/// `/books/:id/*`, taken apart.
#[derive(Debug)]
struct Pattern {
    segments: Vec<Segment>,
    /// Whether a final `*` takes the rest.
    rest: bool,
}

#[derive(Debug)]
enum Segment {
    Literal(String),
    Named(String),
    /// A `*` that is not the last segment.
    Any,
}

impl Pattern {
    fn parse(source: &str) -> Self {
        let source = source.trim();
        let body = source.strip_prefix('/').unwrap_or(source);
        let mut texts: Vec<&str> = body.split('/').collect();
        let rest = texts.last() == Some(&"*");
        if rest {
            texts.pop();
        }
        let segments = texts
            .into_iter()
            .map(|text| match text.strip_prefix(':') {
                Some(name) if !name.is_empty() => Segment::Named(name.to_owned()),
                _ if text == "*" => Segment::Any,
                _ => Segment::Literal(decode(text)),
            })
            .collect();
        Self { segments, rest }
    }

    fn captures<'p>(&'p self, path: &'p str) -> Option<Captures<'p>> {
        let mut remaining = Some(path.strip_prefix('/')?);
        let mut named = HashMap::new();
        for segment in &self.segments {
            let (text, next) = match remaining?.split_once('/') {
                Some((text, next)) => (text, Some(next)),
                None => (remaining?, None),
            };
            match segment {
                Segment::Literal(literal) if decode(text) == *literal => {}
                Segment::Literal(_) => return None,
                Segment::Named(_) | Segment::Any if text.is_empty() => return None,
                Segment::Named(name) => {
                    named.insert(name.as_str(), text);
                }
                Segment::Any => {}
            }
            remaining = next;
        }
        if !self.rest && remaining.is_some() {
            return None;
        }
        Some(Captures { named, rest: remaining.unwrap_or_default() })
    }
}

struct Captures<'p> {
    named: HashMap<&'p str, &'p str>,
    rest: &'p str,
}

impl Captures<'_> {
    fn fill(&self, destination: &str) -> String {
        let mut out = String::with_capacity(destination.len() + self.rest.len());
        let mut chars = destination.char_indices();
        while let Some((at, char)) = chars.next() {
            match char {
                '*' => out.push_str(self.rest),
                ':' => {
                    let tail = &destination[at + 1..];
                    let length = tail
                        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
                        .unwrap_or(tail.len());
                    match self.named.get(&tail[..length]) {
                        Some(value) => {
                            out.push_str(value);
                            // Names are ASCII: one char is one byte.
                            if length > 0 {
                                chars.nth(length - 1);
                            }
                        }
                        None => out.push(':'),
                    }
                }
                _ => out.push(char),
            }
        }
        out
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Response headers of one rule, ready to match.
#[derive(Debug)]
pub(crate) struct Header {
    glob: Glob,
    name: HeaderName,
    value: HeaderValue,
}

impl Header {
    /// `None` when name or value cannot be sent.
    pub(crate) fn new(rule: &HeaderRule) -> Option<Self> {
        Some(Self {
            glob: Glob::parse(&rule.path),
            name: HeaderName::from_bytes(rule.name.trim().as_bytes()).ok()?,
            value: HeaderValue::from_str(rule.value.trim()).ok()?,
        })
    }
}

/// Sets the headers of every rule that matches; the later one wins for the same name.
pub(crate) fn set_headers(rules: &[Header], path: &str, headers: &mut http::HeaderMap) {
    if rules.is_empty() {
        return;
    }
    let path = decode(path);
    for rule in rules.iter().filter(|rule| rule.glob.matches(&path)) {
        headers.insert(rule.name.clone(), rule.value.clone());
    }
}

/// `/*` is every path, `/dir/*` all below, `**` one directory or more, `*` inside a segment
/// anything but a slash.
#[derive(Debug)]
struct Glob(Vec<String>);

impl Glob {
    fn parse(text: &str) -> Self {
        let text = text.trim();
        Self(text.strip_prefix('/').unwrap_or(text).split('/').map(str::to_owned).collect())
    }

    fn matches(&self, path: &str) -> bool {
        let Some(path) = path.strip_prefix('/') else { return false };
        let segments: Vec<&str> = path.split('/').collect();
        segments_match(&self.0, &segments)
    }
}

/// Steps through both lists with one place to come back to (the last `**`), so the time is bounded
/// by the product of the lengths, whatever the pattern.
fn segments_match(glob: &[String], path: &[&str]) -> bool {
    let (mut g, mut p) = (0, 0);
    let mut resume: Option<(usize, usize)> = None;
    loop {
        let step = match glob.get(g).map(String::as_str) {
            None => p == path.len(),
            Some("*") if g + 1 == glob.len() => p < path.len(),
            Some("**") => p < path.len(),
            Some(segment) => p < path.len() && segment_matches(segment, path[p]),
        };
        match (step, glob.get(g).map(String::as_str)) {
            (true, None) => return true,
            (true, Some("*")) if g + 1 == glob.len() => return true,
            (true, Some("**")) => {
                resume = Some((g + 1, p + 1));
                (g, p) = (g + 1, p + 1);
            }
            (true, Some(_)) => (g, p) = (g + 1, p + 1),
            (false, _) => match resume {
                Some((back_g, back_p)) if back_p < path.len() => {
                    resume = Some((back_g, back_p + 1));
                    (g, p) = (back_g, back_p + 1);
                }
                _ => return false,
            },
        }
    }
}

/// `*` stands for any text within one segment.
fn segment_matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

#[cfg(test)]
mod tests;
