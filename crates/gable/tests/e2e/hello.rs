//! The smallest system: it comes up, changes, and survives whatever is wrong with the next commit.

use std::time::{Duration, Instant};

use testkit::{Browser, Platform, Repository, Run};

/// A release that runs and is not healthy is given up after so many seconds.
const HEALTH_TIMEOUT_SECONDS: &str = "6";
/// Giving up, and telling why, takes no longer than this.
const GIVE_UP_TIME_MAX: Duration = Duration::from_secs(30);
const PAGE_TIME_MAX: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn hello_comes_up_changes_and_survives_bad_commits() {
    let Some(_turn) = crate::turn("hello_comes_up_changes_and_survives_bad_commits").await else {
        return;
    };
    let repository = Repository::copy_of(&testkit::examples().join("hello")).unwrap();
    let platform = crate::platform(&[("GABLE_HEALTH_TIMEOUT", HEALTH_TIMEOUT_SECONDS)]);
    let run = crate::up(&platform, &repository).await;
    assert_eq!(run.stdout.trim(), format!("hello {}", platform.url("hello")), "{run}");
    let answer = platform.get("hello", "/").await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "Hello from hello\n"));
    browser_shows(&platform, "Hello from hello").await;

    let load = crate::load(&platform, "hello", "/", 4);
    load.wait_for(20).await;
    change(&repository, "Hello from", "Good day from");
    crate::up(&platform, &repository).await;
    assert_eq!(platform.get("hello", "/").await.unwrap().body, "Good day from hello\n");

    change(&repository, "const http", "const const http");
    let broken = refused(&platform, &repository, "build_failed").await;
    assert!(broken.stderr.contains("SyntaxError"), "{broken}");
    change(&repository, "const const http", "const http");

    change(&repository, "\"node:http\"", "\"no-such-module\"");
    let crashing = refused(&platform, &repository, "update_failed").await;
    assert!(crashing.stderr.contains("Cannot find module 'no-such-module'"), "{crashing}");
    assert!(crashing.stderr.contains("[module-missing]"), "the code can be looked up: {crashing}");
    change(&repository, "\"no-such-module\"", "\"node:http\"");

    change(&repository, "  response.end(", "  response.statusCode = 503;\n  response.end(");
    let began = Instant::now();
    let unhealthy = refused(&platform, &repository, "update_failed").await;
    assert!(began.elapsed() < GIVE_UP_TIME_MAX, "{unhealthy}");
    assert!(unhealthy.stderr.contains("[health-check-error]"), "{unhealthy}");
    assert!(unhealthy.stderr.contains("503: Good day from hello"), "the last answer: {unhealthy}");
    change(&repository, "  response.statusCode = 503;\n", "");

    change(&repository, "Good day from", "Good night from");
    crate::up(&platform, &repository).await;
    load.wait_for(20).await;
    let tally = load.stop().await;
    assert_eq!(tally.failed, 0, "{tally:?}");
    assert_eq!(tally.bodies.len(), 3, "only good releases answered: {:?}", tally.bodies);
    platform.stop().await.unwrap();
}

async fn browser_shows(platform: &Platform, text: &str) {
    let browser = Browser::start().await.unwrap();
    browser.open(&platform.url("hello")).await.unwrap();
    let shown = format!("document.body.innerText.includes('{text}')");
    browser.wait_until(&shown, PAGE_TIME_MAX).await.unwrap();
    browser.close().await.unwrap();
}

fn change(repository: &Repository, from: &str, to: &str) {
    repository.replace("server.js", from, to).unwrap();
    repository.commit(&format!("{to} in place of {from}")).unwrap();
}

/// Deploys a bad commit: it says so, and what was there goes on.
async fn refused(platform: &Platform, repository: &Repository, status: &str) -> Run {
    let run = platform.up(repository.path(), &[]).await.unwrap();
    assert_ne!(run.code, 0, "{run}");
    let service = platform.service("hello").await.unwrap();
    assert_eq!(service["deploy"]["status"], status, "{service:#}");
    assert_eq!(service["state"], "degraded", "{service:#}");
    assert_eq!(platform.get("hello", "/").await.unwrap().body, "Good day from hello\n");
    run
}
