//! Each route refuses what it does not understand and what is not there, always with a
//! [`wire::Failure`].

use crate::raw::{get, post, send};
use crate::{Server, instance, nobody};

/// Every address there is.
const ADDRESSES: &str = include_str!("../../../wire/src/paths.rs");

/// Addresses that take a body, each with a body that is whole. `SERVICE` is a service that is not
/// there. The status is the one for things that are not there.
const POSTS: &[(&str, &str, u16)] = &[
    ("/v1/plan", r#"{"path": "/nowhere"}"#, 0),
    ("/v1/apply", r#"{"path": "/nowhere"}"#, 0),
    ("/v1/env", r#"{"service": "SERVICE", "set": [{"key": "A", "value": "b"}]}"#, 404),
    ("/v1/restart", r#"{"service": "SERVICE"}"#, 404),
    ("/v1/deploys", r#"{"service": "SERVICE"}"#, 404),
    ("/v1/rollback", r#"{"service": "SERVICE"}"#, 404),
    ("/v1/jobs", r#"{"service": "SERVICE", "command": ["true"]}"#, 404),
    ("/v1/cancel", r#"{"deploy": "dep-00000000000000000000000000"}"#, 404),
    ("/v1/down", r#"{"project": "nobody"}"#, 404),
    ("/v1/shutdown", r#"{"only_if_idle": true}"#, 0),
    ("/v1/disk/clean", r#"{"dry_run": true}"#, 0),
];

/// Addresses that take a query, each with one that names what is not there.
const GETS: &[(&str, &str)] = &[
    ("/v1/status", ""),
    ("/v1/events", ""),
    ("/v1/logs", "service=SERVICE"),
    ("/v1/env", "service=SERVICE"),
    ("/v1/instance", "service=SERVICE"),
    ("/v1/databases/connection", "database=dpg-00000000000000000000000000"),
    ("/v1/jobs/INSTANCE", ""),
];

fn filled(text: &str) -> String {
    text.replace("SERVICE", &nobody()).replace("INSTANCE", instance(0).as_str())
}

#[tokio::test]
async fn the_tables_of_this_file_hold_every_address() {
    let known = |address: &str| {
        let address = address.replace("{id}", "INSTANCE");
        POSTS.iter().any(|(known, ..)| *known == address)
            || GETS.iter().any(|(known, _)| *known == address)
            // They take neither query nor JSON.
            || ["/v1/server", "/v1/jobs/INSTANCE/cancel", "/v1/jobs/INSTANCE/input"]
                .contains(&address.as_str())
    };
    let addresses = ADDRESSES.lines().filter_map(|line| line.split('"').nth(1));
    let unknown: Vec<_> = addresses.filter(|address| !known(address)).collect();
    assert!(unknown.is_empty(), "not tested here: {unknown:?}");
    assert!(ADDRESSES.contains("\"/v1/status\""));
}

#[tokio::test]
async fn a_body_that_is_not_understood_is_refused() {
    let server = Server::start().await;
    let socket = server.socket();
    for (target, whole, _) in POSTS {
        let check = async |content_type: &str, body: &str, status: u16| {
            let answer = send(&socket, "POST", target, content_type, body).await;
            assert_eq!(answer.status, status, "{target} {body:?}: {}", answer.body);
            assert_eq!(answer.failure().problem.code, "query-invalid", "{target} {body:?}");
        };
        let whole = filled(whole);
        let unknown_field = format!("{}, \"colour\": \"red\"}}", whole.trim_end_matches('}'));
        let json = "application/json";
        check(json, "{", 400).await;
        check(json, "", 400).await;
        check(json, "{}", 422).await;
        check(json, "[]", 422).await;
        if whole.matches('}').count() == 1 {
            check(json, &unknown_field, 422).await;
        }
        check("text/plain", &whole, 415).await;
        let too_large = format!("{{\"{}\": 1}}", "a".repeat(5 << 20));
        check(json, &too_large, 413).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_nested_field_that_is_unknown_is_refused_by_name() {
    let server = Server::start().await;
    let socket = server.socket();
    let body = r#"{"service": "x", "set": [{"key": "A", "value": "b", "colour": "red"}]}"#;
    let answer = post(&socket, "/v1/env", body).await;
    assert_eq!(answer.status, 422);
    let detail = answer.failure().problem.detail.unwrap();
    assert!(detail.contains("colour"), "{detail}");
    server.stop().await;
}

#[tokio::test]
async fn a_query_that_is_not_understood_is_refused() {
    let server = Server::start().await;
    let socket = server.socket();
    for (target, query) in GETS {
        let answer = get(&socket, &filled(&format!("{target}?{query}&colour=red"))).await;
        assert_eq!(answer.status, 400, "{target}: {}", answer.body);
        let problem = answer.failure().problem;
        assert_eq!(problem.code, "query-invalid", "{target}");
        assert!(problem.detail.unwrap().contains("colour"), "{target}");
    }
    for target in ["/v1/instance", "/v1/env", "/v1/databases/connection", "/v1/events?since=-1"] {
        let answer = get(&socket, target).await;
        assert_eq!((answer.status, answer.failure().problem.code.as_str()), (400, "query-invalid"));
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let server = Server::start().await;
    let socket = server.socket();
    for (target, body, status) in POSTS.iter().filter(|(.., status)| *status != 0) {
        let answer = post(&socket, target, &filled(body)).await;
        assert_eq!(answer.status, *status, "{target}: {}", answer.body);
        assert!(answer.failure().problem.code.ends_with("not-found"), "{target}");
    }
    let gets = GETS.iter().filter(|(target, _)| !["/v1/status", "/v1/events"].contains(target));
    for (target, query) in gets {
        let answer = get(&socket, &filled(&format!("{target}?{query}"))).await;
        assert_eq!(answer.status, 404, "{target}: {}", answer.body);
        assert!(answer.failure().problem.code.ends_with("not-found"), "{target}");
    }
    for target in [
        "/v1/instance?database=red-00000000000000000000000000",
        "/v1/logs?deploy=dep-00000000000000000000000000",
        "/v1/logs?service=dpg-00000000000000000000000000",
    ] {
        let answer = get(&socket, target).await;
        assert_eq!(answer.status, 404, "{target}: {}", answer.body);
        answer.failure();
    }
    for target in ["/v1/jobs/INSTANCE/cancel", "/v1/jobs/INSTANCE/input"] {
        let answer = post(&socket, &filled(target), "null").await;
        assert_eq!((answer.status, answer.failure().problem.code.as_str()), (404, "job-not-found"));
    }
    server.stop().await;
}

#[tokio::test]
async fn an_id_of_another_kind_is_refused() {
    let server = Server::start().await;
    let socket = server.socket();
    let deploy = "dep-00000000000000000000000000";
    for (target, body) in [
        ("/v1/env", format!(r#"{{"service": "{deploy}"}}"#)),
        ("/v1/restart", format!(r#"{{"service": "{deploy}"}}"#)),
        ("/v1/deploys", format!(r#"{{"service": "{deploy}"}}"#)),
        ("/v1/rollback", format!(r#"{{"service": "{deploy}"}}"#)),
        ("/v1/jobs", format!(r#"{{"service": "{deploy}", "command": ["true"]}}"#)),
        ("/v1/cancel", format!(r#"{{"deploy": "{}"}}"#, nobody())),
        ("/v1/jobs/web/cancel", "null".to_owned()),
    ] {
        let answer = post(&socket, target, &body).await;
        assert_eq!(answer.status, 400, "{target}: {}", answer.body);
        assert_eq!(answer.failure().problem.code, "id-invalid", "{target}");
    }
    for target in [
        "/v1/env?service=web",
        "/v1/instance?service=web",
        "/v1/instance?database=web",
        "/v1/databases/connection?database=web",
        "/v1/jobs/web",
        "/v1/logs?instance=web",
        "/v1/logs?deploy=web",
    ] {
        let answer = get(&socket, target).await;
        assert_eq!(answer.status, 400, "{target}: {}", answer.body);
        assert_eq!(answer.failure().problem.code, "id-invalid", "{target}");
    }
    server.stop().await;
}

#[tokio::test]
async fn addresses_and_methods_that_nobody_serves_are_refused() {
    let server = Server::start().await;
    let socket = server.socket();
    let answer = get(&socket, "/v1/nothing").await;
    assert_eq!((answer.status, answer.failure().problem.code.as_str()), (404, "not-found"));
    for (target, _, _) in POSTS.iter().filter(|(target, ..)| *target != "/v1/env") {
        let answer = get(&socket, target).await;
        assert_eq!(answer.status, 405, "{target}");
        answer.failure();
    }
    for (target, _) in GETS.iter().filter(|(target, _)| *target != "/v1/env") {
        let answer = post(&socket, &filled(target), "{}").await;
        assert_eq!(answer.status, 405, "{target}");
        answer.failure();
    }
    server.stop().await;
}

#[tokio::test]
async fn a_source_that_is_not_there_is_refused_and_nothing_is_written() {
    let server = Server::start().await;
    let socket = server.socket();
    let before = server.client().status(&wire::StatusQuery::default()).await.unwrap();
    for target in ["/v1/plan", "/v1/apply"] {
        let answer = post(&socket, target, r#"{"path": "/nowhere"}"#).await;
        assert_eq!(answer.status, 422, "{target}: {}", answer.body);
        answer.failure();
    }
    let after = server.client().status(&wire::StatusQuery::default()).await.unwrap();
    assert_eq!(before, after);
    server.stop().await;
}
