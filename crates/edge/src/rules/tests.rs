use proptest::prelude::*;

use super::*;

fn rule(kind: RouteRuleKind, source: &str, destination: &str) -> Rule {
    Rule::new(&RouteRule { kind, source: source.into(), destination: destination.into() })
}

fn check(source: &str, destination: &str, path: &str, expect: Option<&str>) {
    let outcome = rule(RouteRuleKind::Rewrite, source, destination).apply(path, None);
    let got = outcome.map(|outcome| match outcome {
        Outcome::Rewrite(text) | Outcome::External(text) | Outcome::Redirect(text) => text,
    });
    assert_eq!(got.as_deref(), expect, "{source} -> {destination} for {path}");
}

#[test]
fn placeholders_and_wildcards_are_put_into_the_destination() {
    check("/*", "/index.html", "/", Some("/index.html"));
    check("/*", "/index.html", "/a/b/c", Some("/index.html"));
    check("/books/:id", "/b.html?id=:id", "/books/7", Some("/b.html?id=7"));
    check("/books/:id", "/b.html", "/books/", None);
    check("/books/:id", "/b.html", "/books/7/8", None);
    check("/blog/*", "/news/*", "/blog/a/b", Some("/news/a/b"));
    check("/blog/*", "/news/*", "/blog", Some("/news/"));
    check("/blog/*", "/news/*", "/blogs", None);
    check("/:a/x/:b", "/:b/:a", "/1/x/2", Some("/2/1"));
    check("/api/*", "http://api.localhost:8080/*", "/api/v1", Some("http://api.localhost:8080/v1"));
    check(
        "/api/*",
        "http://10.0.0.1:80/v:version/*",
        "/api/x",
        Some("http://10.0.0.1:80/v:version/x"),
    );
    check("/caf%C3%A9", "/ok", "/caf\u{e9}", Some("/ok"));
    check("/old", "/new", "/old/", None);
}

#[test]
fn a_captured_text_cannot_lead_to_another_host() {
    check("/old/*", "/*", "/old//evil.example", Some("/evil.example"));
    check("/old/*", "/*", "/old/\\evil.example", Some("/evil.example"));
}

#[test]
fn redirects_carry_the_query_and_never_lead_back() {
    let redirect = rule(RouteRuleKind::Redirect, "/a/*", "/b/*#top");
    assert_eq!(redirect.apply("/a/x", Some("q=1")), Some(Outcome::Redirect("/b/x?q=1#top".into())));
    let circle = rule(RouteRuleKind::Redirect, "/*", "/*");
    assert_eq!(circle.apply("/a", None), None);
}

#[test]
fn header_globs_mean_what_the_documentation_says() {
    let matches = |glob: &str, path: &str| Glob::parse(glob).matches(path);
    for path in ["/", "/a", "/a/b.css"] {
        assert!(matches("/*", path), "{path}");
    }
    assert!(matches("/blog/*", "/blog/"));
    assert!(matches("/blog/*", "/blog/a/b"));
    assert!(!matches("/blog/*", "/blog"));
    assert!(!matches("/blog/*", "/blogs/a"));
    assert!(matches("/**/*", "/blog/"));
    assert!(matches("/**/*", "/a/b/c"));
    assert!(!matches("/**/*", "/tokens.css"));
    assert!(matches("/*.css", "/tokens.css"));
    assert!(!matches("/*.css", "/assets/theme.css"));
    assert!(matches("/**/*.css", "/assets/theme.css"));
    assert!(matches("/**/*.css", "/a/b/c/theme.css"));
    assert!(!matches("/**/*.css", "/tokens.css"));
    assert!(matches("/a/**/z/*.js", "/a/b/z/c/z/x.js"));
    assert!(matches("/exact", "/exact"));
    assert!(!matches("/exact", "/exact/more"));
}

proptest! {
    #[test]
    fn no_pattern_and_no_path_make_the_matchers_panic(
        source in ".{0,40}", destination in ".{0,40}", path in "/[ -~\u{e0}-\u{ff}/*:%]{0,40}",
    ) {
        for kind in [RouteRuleKind::Redirect, RouteRuleKind::Rewrite] {
            let _ = rule(kind, &source, &destination).apply(&path, Some("q"));
        }
        let _ = Glob::parse(&source).matches(&path);
    }

    #[test]
    fn a_pattern_without_wildcards_matches_itself_only(
        segments in prop::collection::vec("[a-z0-9._-]{1,8}", 1..5), other in "[a-z]{1,8}",
    ) {
        let path = format!("/{}", segments.join("/"));
        let exact = rule(RouteRuleKind::Rewrite, &path, "/x");
        prop_assert!(exact.apply(&path, None).is_some());
        let below = format!("{path}/{other}");
        prop_assert!(exact.apply(&below, None).is_none());
        prop_assert!(Glob::parse(&path).matches(&path));
        prop_assert!(!Glob::parse(&path).matches(&below));
        let wildcard = format!("{path}/*");
        prop_assert!(rule(RouteRuleKind::Rewrite, &wildcard, "/x").apply(&below, None).is_some());
        prop_assert!(Glob::parse(&wildcard).matches(&below));
    }

    #[test]
    fn what_a_wildcard_takes_comes_out_again(rest in "[a-z0-9/]{0,20}") {
        let outcome = rule(RouteRuleKind::Rewrite, "/in/*", "/out/*").apply(&format!("/in/{rest}"), None);
        prop_assert_eq!(outcome, Some(Outcome::Rewrite(format!("/out/{rest}"))));
    }

    #[test]
    fn a_local_destination_stays_on_this_host(rest in "[ -~]{0,30}") {
        let outcome = rule(RouteRuleKind::Redirect, "/in/*", "/*").apply(&format!("/in/{rest}"), None);
        if let Some(Outcome::Redirect(location)) = outcome {
            prop_assert!(location.starts_with('/'));
            prop_assert!(!location.starts_with("//") && !location.starts_with("/\\"));
        }
    }
}
