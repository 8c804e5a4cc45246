//! Static sites.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;

use bytes::Bytes;
use http::Request;
use model::HeaderRule;
use model::route::{Backend, Route, StaticSite};
use model::service::{RouteRule, RouteRuleKind};
use tempfile::TempDir;

use crate::support::{Edge, fetch, route, utf8};

struct Fixture {
    edge: Edge,
    root: TempDir,
}

impl Fixture {
    async fn new(change: impl FnOnce(&mut Route)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let site = root.path().join("site");
        write(&site, "index.html", "<h1>home</h1>");
        write(&site, "about.html", "about");
        write(&site, "docs/index.html", "docs");
        write(&site, "docs/deep/page.txt", "deep");
        write(&site, "with space.txt", "space");
        write(&site, ".well-known/security.txt", "contact");
        write(&site, ".git/config", "secret");
        write(&site, "app.js", &"let answer = 42; ".repeat(500));
        write(&site, "image.png", "\u{89}PNG");
        write(root.path(), "outside.txt", "secret");
        let edge = Edge::start().await;
        let mut route = route(Backend::Static(StaticSite { root: site.to_str().unwrap().into() }));
        change(&mut route);
        edge.apply(vec![route]).await;
        Self { edge, root }
    }

    fn site(&self) -> std::path::PathBuf {
        self.root.path().join("site")
    }

    async fn check(&self, path: &str, status: u16, body: &str) {
        let (head, got) = self.edge.get(path).await;
        assert_eq!(head.status, status, "{path}");
        assert!(got.starts_with(body.as_bytes()), "{path}: {got:?}");
    }
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn rule(kind: RouteRuleKind, source: &str, destination: &str) -> RouteRule {
    RouteRule { kind, source: source.into(), destination: destination.into() }
}

fn header(path: &str, name: &str, value: &str) -> HeaderRule {
    HeaderRule { path: path.into(), name: name.into(), value: value.into() }
}

#[tokio::test]
async fn files_directories_and_pages_are_found() {
    let site = Fixture::new(|_| {}).await;
    site.check("/", 200, "<h1>home").await;
    site.check("/index.html", 200, "<h1>home").await;
    site.check("/about", 200, "about").await;
    site.check("/about.html?x=y", 200, "about").await;
    site.check("/docs/", 200, "docs").await;
    site.check("/docs/deep/page.txt", 200, "deep").await;
    site.check("/with%20space.txt", 200, "space").await;
    site.check("/.well-known/security.txt", 200, "contact").await;
    site.check("/docs/deep/", 404, "shop has no page").await;
    site.check("/about.html/", 404, "shop has no page").await;
    let (head, _) = site.edge.get("/docs?a=b").await;
    assert_eq!(
        (head.status.as_u16(), head.headers["location"].to_str().unwrap()),
        (301, "/docs/?a=b")
    );
    let (head, body) = fetch(site.edge.address, Request::head("/about.html")).await;
    assert_eq!((head.headers["content-length"].to_str().unwrap(), body.len()), ("5", 0));
    let (head, _) = fetch(site.edge.address, Request::post("/")).await;
    assert_eq!((head.status.as_u16(), head.headers["allow"].to_str().unwrap()), (405, "GET, HEAD"));
    assert_eq!(site.edge.service().await.failed, 0);
}

#[tokio::test]
async fn nothing_outside_the_site_is_ever_served() {
    let site = Fixture::new(|_| {}).await;
    symlink("../outside.txt", site.site().join("up.txt")).unwrap();
    symlink(site.root.path().join("outside.txt"), site.site().join("absolute.txt")).unwrap();
    symlink("/", site.site().join("root")).unwrap();
    symlink("about.html", site.site().join("inside.txt")).unwrap();
    let fifo = site.site().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for path in [
        "/../outside.txt",
        "/docs/../../outside.txt",
        "/%2e%2e/outside.txt",
        "/..%2foutside.txt",
        "/docs%2f..%2f..%2foutside.txt",
        "/up.txt",
        "/absolute.txt",
        "/root/etc/passwd",
        "//etc/passwd",
        "/etc/passwd%00.html",
        "/.git/config",
        "/fifo",
    ] {
        site.check(path, 404, "").await;
    }
    site.check("/inside.txt", 200, "about").await;
}

#[tokio::test]
async fn an_existing_file_wins_then_rules_from_top_to_bottom() {
    let site = Fixture::new(|route| {
        route.rules = vec![
            rule(RouteRuleKind::Redirect, "/about.html", "/elsewhere"),
            rule(RouteRuleKind::Redirect, "/blog/:year/:slug", "/posts/:slug?year=:year"),
            rule(RouteRuleKind::Rewrite, "/manual/*", "/docs/*"),
            rule(RouteRuleKind::Rewrite, "/gone/*", "/nothing-here"),
            rule(RouteRuleKind::Redirect, "/out", "https://example.com/"),
            rule(RouteRuleKind::Rewrite, "/*", "/index.html"),
        ];
    })
    .await;
    site.check("/about.html", 200, "about").await;
    site.check("/manual/deep/page.txt", 200, "deep").await;
    site.check("/manual/", 200, "docs").await;
    site.check("/gone/x", 404, "").await;
    site.check("/any/client/route", 200, "<h1>home").await;
    let (head, _) = site.edge.get("/blog/2026/first").await;
    assert_eq!(head.headers["location"], "/posts/first?year=2026");
    let (head, _) = site.edge.get("/out").await;
    assert_eq!(
        (head.status.as_u16(), head.headers["location"].to_str().unwrap()),
        (301, "https://example.com/")
    );
}

#[tokio::test]
async fn header_rules_match_paths_and_the_later_wins() {
    let site = Fixture::new(|route| {
        route.headers = vec![
            header("/*", "X-Frame-Options", "DENY"),
            header("/*", "Cache-Control", "max-age=1"),
            header("/*.js", "cache-control", "public, max-age=31536000, immutable"),
            header("/**/*", "x-deep", "yes"),
            header("/*", "broken name", "x"),
        ];
    })
    .await;
    let (head, _) = site.edge.get("/app.js").await;
    assert_eq!(head.headers["cache-control"], "public, max-age=31536000, immutable");
    assert_eq!(head.headers["x-frame-options"], "DENY");
    assert!(!head.headers.contains_key("x-deep"));
    let (head, _) = site.edge.get("/docs/").await;
    assert_eq!(head.headers["cache-control"], "max-age=1");
    assert_eq!(head.headers["x-deep"], "yes");
}

#[tokio::test]
async fn a_copy_that_is_still_good_is_not_sent_again() {
    let site = Fixture::new(|_| {}).await;
    let (head, _) = site.edge.get("/about.html").await;
    assert_eq!(head.headers["cache-control"], "public, max-age=0, must-revalidate");
    assert_eq!(head.headers["content-type"], "text/html; charset=utf-8");
    let (etag, modified) = (&head.headers["etag"], &head.headers["last-modified"]);
    assert!(etag.to_str().unwrap().starts_with('"'), "strong");
    let ask = |name, value: &str| {
        fetch(site.edge.address, Request::get("/about.html").header(name, value))
    };
    for (name, value, expect) in [
        ("if-none-match", etag.to_str().unwrap(), 304),
        ("if-none-match", &format!("\"x\", W/{}", etag.to_str().unwrap()), 304),
        ("if-none-match", "*", 304),
        ("if-none-match", "\"other\"", 200),
        ("if-modified-since", modified.to_str().unwrap(), 304),
        ("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT", 200),
    ] {
        let (head, body) = ask(name, value).await;
        assert_eq!(head.status, expect, "{name}: {value}");
        assert_eq!(body.is_empty(), expect == 304);
    }
    // The same size and the same modification time, as build tools make it.
    let path = site.site().join("about.html");
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "uobat").unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    let (head, body) = ask("if-none-match", etag.to_str().unwrap()).await;
    assert_eq!((head.status.as_u16(), utf8(&body)), (200, "uobat"));
}

#[tokio::test]
async fn parts_of_files_can_be_asked_for() {
    let site = Fixture::new(|_| {}).await;
    let ask = |range: &str| {
        fetch(
            site.edge.address,
            Request::get("/docs/deep/page.txt").header("range", range.to_owned()),
        )
    };
    let (head, body) = ask("bytes=1-2").await;
    assert_eq!((head.status.as_u16(), utf8(&body)), (206, "ee"));
    assert_eq!(head.headers["content-range"], "bytes 1-2/4");
    assert_eq!(utf8(&ask("bytes=-2").await.1), "ep");
    let (head, _) = ask("bytes=9-").await;
    assert_eq!(
        (head.status.as_u16(), head.headers["content-range"].to_str().unwrap()),
        (416, "bytes */4")
    );
    let stale = Request::get("/docs/deep/page.txt")
        .header("range", "bytes=1-2")
        .header("if-range", "\"old\"");
    assert_eq!(fetch(site.edge.address, stale).await.0.status, 200);
}

#[tokio::test]
async fn text_is_compressed_as_the_client_likes_it() {
    let site = Fixture::new(|_| {}).await;
    let plain = fs::read(site.site().join("app.js")).unwrap();
    let ask = |path: &str, accept: &str| {
        fetch(site.edge.address, Request::get(path).header("accept-encoding", accept.to_owned()))
    };
    for _ in 0..2 {
        let (head, body) = ask("/app.js", "gzip, deflate, br").await;
        assert_eq!(head.headers["content-encoding"], "br");
        assert_eq!(head.headers["vary"], "accept-encoding");
        assert!(body.len() < plain.len() / 10);
        assert_eq!(unbrotli(&body), plain);
        let again = Request::get("/app.js")
            .header("accept-encoding", "br")
            .header("if-none-match", head.headers["etag"].clone());
        assert_eq!(fetch(site.edge.address, again).await.0.status, 304);
    }
    let (head, body) = ask("/app.js", "gzip").await;
    assert_eq!(head.headers["content-encoding"], "gzip");
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(&*body).read_to_end(&mut text).unwrap();
    assert_eq!(text, plain);
    let (head, body) = ask("/app.js", "identity").await;
    assert!(!head.headers.contains_key("content-encoding"));
    assert_eq!(body, plain);
    let (head, _) = ask("/image.png", "br").await;
    assert!(!head.headers.contains_key("content-encoding"));
    // What the build compressed is taken as it is.
    fs::write(site.site().join("app.js.br"), brotli_of(b"from the build")).unwrap();
    assert_eq!(unbrotli(&ask("/app.js", "br").await.1), b"from the build");
}

fn unbrotli(bytes: &Bytes) -> Vec<u8> {
    let mut text = Vec::new();
    brotli::Decompressor::new(&**bytes, 4096).read_to_end(&mut text).unwrap();
    text
}

fn brotli_of(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    brotli::CompressorReader::new(text, 4096, 5, 20).read_to_end(&mut out).unwrap();
    out
}

#[tokio::test]
async fn a_site_may_have_its_own_page_for_what_is_missing() {
    let site = Fixture::new(|_| {}).await;
    write(&site.site(), "404.html", "our own words");
    let request = Request::get("/nothing").header("if-none-match", "*");
    let (head, body) = fetch(site.edge.address, request).await;
    assert_eq!((head.status.as_u16(), utf8(&body)), (404, "our own words"));
    assert!(!head.headers.contains_key("etag"));
}

#[tokio::test]
async fn a_large_file_arrives_whole() {
    let site = Fixture::new(|_| {}).await;
    let data: Vec<u8> = (0..20 * 1024 * 1024u32).map(|at| (at % 253) as u8).collect();
    fs::write(site.site().join("large.bin"), &data).unwrap();
    let (head, body) = site.edge.get("/large.bin").await;
    assert_eq!(head.headers["content-type"], "application/octet-stream");
    assert!(body == data);
    let request = Request::get("/large.bin").header("range", "bytes=1000000-11000000");
    assert!(fetch(site.edge.address, request).await.1 == data[1_000_000..=11_000_000]);
}

#[tokio::test]
async fn a_site_below_a_prefix_redirects_to_the_whole_path() {
    let site = Fixture::new(|route| {
        route.path_prefix = "/site".into();
        route.strip_prefix = true;
    })
    .await;
    site.check("/site/about", 200, "about").await;
    let (head, _) = site.edge.get("/site/docs").await;
    assert_eq!(head.headers["location"], "/site/docs/");
}
