//! The helpers themselves: load that counts, a browser that clicks, repositories.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use testkit::load::LoadOptions;
use testkit::wrk::{self, WrkOptions};
use testkit::{Browser, Load, Repository, http};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const PAGE: &str = "<!doctype html><title>T</title><body><input id=name><button id=go \
    onclick=\"setTimeout(() => document.getElementById('out').textContent = \
    'hello ' + document.getElementById('name').value, 50)\">Go</button><p id=out></p>";

/// A server on a free port; each `n`th connection is cut in the middle of an answer (0: none).
async fn serve(cut_every: u64) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicU64::new(0));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                let mut buffer = vec![0; 8192];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    let number = count.fetch_add(1, Ordering::Relaxed) + 1;
                    let is_page = buffer[..read].starts_with(b"GET /page");
                    let body = if is_page { PAGE } else { "ok" };
                    let length = body.len();
                    let is_cut = cut_every > 0 && number.is_multiple_of(cut_every);
                    let length = if is_cut { length + 10 } else { length };
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {length}\r\n\r\n{body}"
                    );
                    if stream.write_all(answer.as_bytes()).await.is_err() || is_cut {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn options(address: std::net::SocketAddr) -> LoadOptions {
    LoadOptions {
        address,
        host: "test.localhost".into(),
        path: "/".into(),
        connections: 4,
        pause: Duration::from_millis(1),
    }
}

#[tokio::test]
async fn load_on_a_good_server_has_no_failures() {
    let load = Load::start(&options(serve(0).await));
    load.wait_for(200).await;
    let tally = load.stop().await;
    assert!(tally.requests >= 200);
    assert_eq!(tally.failed, 0, "{:?}", tally.failures);
    assert_eq!(tally.bodies.get("ok"), Some(&tally.requests));
}

#[tokio::test]
async fn load_counts_every_cut_answer() {
    let load = Load::start(&options(serve(50).await));
    load.wait_for(200).await;
    let tally = load.stop().await;
    assert_eq!(tally.failed, tally.requests / 50, "{tally:?}");
}

#[tokio::test]
async fn load_on_nobody_fails_and_does_not_spin() {
    let mut options = options("127.0.0.1:1".parse().unwrap());
    options.connections = 1;
    let load = Load::start(&options);
    load.wait_for(3).await;
    let tally = load.stop().await;
    assert_eq!(tally.failed, tally.requests);
    assert!(tally.failures[0].contains("failed to connect"), "{:?}", tally.failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrk_reports_what_it_did() {
    let address = serve(0).await;
    let options = WrkOptions {
        url: format!("http://{address}/"),
        host: Some("test.localhost".into()),
        threads: 1,
        connections: 4,
        time: Duration::from_secs(1),
    };
    let report = wrk::run(&options).await.unwrap();
    assert!(report.requests > 100, "{report:?}");
    assert_eq!(report.failed(), 0, "{report:?}");
    assert!(report.latency_p99 >= report.latency_p50);
}

#[tokio::test]
async fn a_get_returns_status_headers_and_body() {
    let answer = http::get(serve(0).await, "test.localhost", "/").await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    assert_eq!(answer.header("content-type"), Some("text/html"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_types_clicks_waits_and_takes_a_picture() {
    let address = serve(0).await;
    let browser = Browser::start().await.unwrap();
    browser.open(&format!("http://anything.localhost:{}/page", address.port())).await.unwrap();
    browser.fill("name", "Ada").await.unwrap();
    browser.click("go").await.unwrap();
    let wanted = "document.getElementById('out').textContent === 'hello Ada'";
    browser.wait_until(wanted, Duration::from_secs(10)).await.unwrap();
    assert_eq!(browser.text("out").await.unwrap(), "hello Ada");
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("page.png");
    browser.screenshot(&picture).await.unwrap();
    assert!(std::fs::read(&picture).unwrap().starts_with(b"\x89PNG"));
    let gone = browser.wait_until("false", Duration::from_millis(100)).await;
    assert!(gone.unwrap_err().to_string().contains("hello Ada"));
    browser.close().await.unwrap();
}

#[test]
fn a_repository_holds_what_was_committed() {
    let repository = Repository::new().unwrap();
    repository.write("a/b.txt", "one").unwrap().write_script("run", "#!/bin/sh\n").unwrap();
    let first = repository.commit("First").unwrap();
    repository.replace("a/b.txt", "one", "two").unwrap();
    let second = repository.commit("Second").unwrap();
    assert_ne!(first, second);
    assert_eq!(repository.git(&["show", &format!("{first}:a/b.txt")]).unwrap(), "one");
    assert!(repository.git(&["ls-files", "-s", "run"]).unwrap().starts_with("100755"));
    assert!(repository.replace("a/b.txt", "one", "x").is_err());
}

#[test]
fn a_copy_of_an_example_leaves_out_what_git_ignores() {
    let repository = Repository::copy_of(&testkit::examples().join("shop")).unwrap();
    assert!(repository.path().join("render.yaml").exists());
    assert!(repository.path().join("apps/web/package-lock.json").exists());
    assert!(!repository.path().join("apps/web/node_modules").exists());
}
