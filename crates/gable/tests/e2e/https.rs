//! HTTPS beside HTTP, for apps that take it for granted.

use std::net::Ipv4Addr;

use serde_json::Value;
use testkit::{Platform, Repository};

/// Refuses forms as SvelteKit's node adapter does: what it takes for its own origin is `https`, unless
/// it is told by which header to know better.
const FORMS: &str = r#"
const protocol = (process.env.PROTOCOL_HEADER ?? "").toLowerCase();
const host = (process.env.HOST_HEADER ?? "host").toLowerCase();
require("node:http").createServer((request, response) => {
  const origin = `${(protocol && request.headers[protocol]) || "https"}://${request.headers[host]}`;
  if (request.method === "POST" && request.headers.origin !== origin) {
    response.statusCode = 403;
    return response.end("Cross-site POST form submissions are forbidden");
  }
  response.end(JSON.stringify({ origin, url: process.env.RENDER_EXTERNAL_URL }));
}).listen(process.env.PORT);
"#;

/// Sends a form as a page of the same origin does, from inside an instance.
const CALLER: &str = r#"
require("node:http").createServer(async (request, response) => {
  const url = new URL(request.url, "http://caller").searchParams.get("url");
  const headers = { origin: new URL(url ?? "http://none").origin };
  headers["content-type"] = "application/x-www-form-urlencoded";
  try {
    const answer = await fetch(url, { method: "POST", body: "name=bob", headers });
    response.end(`${answer.status} ${await answer.text()}`);
  } catch (error) {
    response.end(String(error.cause ?? error));
  }
}).listen(process.env.PORT);
"#;

const BLUEPRINT: &str = "\
services:
  - {type: web, name: forms, runtime: node, rootDir: forms, buildCommand: 'true', startCommand: node server.js}
  - {type: web, name: caller, runtime: node, rootDir: caller, buildCommand: 'true', startCommand: node server.js}
";

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_takes_https_for_granted_gets_its_forms_over_http_and_https() {
    let name = "an_app_that_takes_https_for_granted_gets_its_forms_over_http_and_https";
    let Some(_turn) = crate::turn(name).await else { return };
    // Held until the server has it: nobody else is given the same one.
    let held = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let https = held.local_addr().unwrap();
    drop(held);
    let platform = crate::platform(&[("GABLE_HTTPS_LISTEN", &https.to_string())]);
    let repository = repository();
    let run = crate::up(&platform, &repository).await;
    assert!(run.stderr.contains("PROTOCOL_HEADER and HOST_HEADER"), "the plan says it: {run}");
    let secure = format!("https://forms.localhost:{}", https.port());
    for origin in [platform.url("forms"), secure.clone()] {
        let (status, body) = post_from_inside(&platform, &origin).await;
        assert_eq!((status, &body["origin"]), (200, &Value::from(origin.clone())), "{body}");
        assert_eq!(body["url"], platform.url("forms"), "nobody trusts the authority yet");
    }
    // What `gable trust` leaves behind when it has told somebody.
    std::fs::write(platform.state_dir().join("authority/trusted"), "").unwrap();
    let run = crate::up(&platform, &repository).await;
    assert!(run.stdout.contains(&secure), "{run}");
    let (status, body) = post_from_inside(&platform, &secure).await;
    assert_eq!((status, &body["url"]), (200, &Value::from(secure)), "{body}");
    platform.stop().await.unwrap();
}

fn repository() -> Repository {
    let repository = Repository::new().unwrap();
    let package = r#"{"private":true,"devDependencies":{"@sveltejs/adapter-node":"^5"}}"#;
    for (path, text) in [
        ("render.yaml", BLUEPRINT),
        ("forms/package.json", package),
        ("forms/server.js", FORMS),
        ("caller/package.json", r#"{"private":true}"#),
        ("caller/server.js", CALLER),
    ] {
        repository.write(path, text).unwrap();
    }
    repository.commit("Take forms").unwrap();
    repository
}

/// Status and body of a form that an instance sends to an origin.
async fn post_from_inside(platform: &Platform, origin: &str) -> (u16, Value) {
    let said = platform.get("caller", &format!("/?url={origin}/")).await.unwrap().body;
    let (status, body) = said.split_once(' ').unwrap_or((&said, ""));
    let body = serde_json::from_str(body).unwrap_or_else(|_| Value::from(said.clone()));
    (status.parse().unwrap_or_default(), body)
}
