use std::time::Duration;

use control::testing;
use wire::{DownRequest, Event, EventQuery, Lines, LogLine, LogQuery};

use crate::{LIMIT, Server, instance};

async fn next<T: serde::de::DeserializeOwned>(lines: &mut Lines<T>) -> Option<T> {
    tokio::time::timeout(LIMIT, lines.next()).await.expect("a line comes soon").unwrap()
}

async fn messages(mut lines: Lines<Event>) -> Vec<String> {
    let mut messages = Vec::new();
    while let Some(event) = next(&mut lines).await {
        messages.push(event.message);
    }
    messages
}

async fn texts(mut lines: Lines<LogLine>) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(line) = next(&mut lines).await {
        texts.push(line.text);
    }
    texts
}

#[tokio::test]
async fn events_are_followed_from_a_number_on() {
    let server = Server::start().await;
    let happen = |message| testing::happen(&server.platform, &server.environment, message);
    happen("first");
    happen("second");
    let query = EventQuery { since: Some(1), follow: true, project: None };
    let mut lines = server.client().events(&query).await.unwrap();
    assert_eq!(next(&mut lines).await.unwrap().message, "second");
    // Nothing is written until the reader waits.
    let nothing = tokio::time::timeout(Duration::from_millis(50), lines.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    happen("third");
    let third = next(&mut lines).await.unwrap();
    assert_eq!((third.message.as_str(), third.sequence), ("third", 3));
    assert_eq!((third.project.as_str(), third.environment.as_str()), ("shop", "production"));
    drop(lines);
    server.stop().await;
}

#[tokio::test]
async fn events_that_are_not_followed_end_with_the_newest() {
    let server = Server::start().await;
    let other = testing::environment(&server.platform, "other");
    testing::happen(&server.platform, &server.environment, "ours");
    testing::happen(&server.platform, &other, "theirs");
    let all = server.client().events(&EventQuery::default()).await.unwrap();
    assert_eq!(messages(all).await, ["ours", "theirs"]);
    let project = Some("other".to_owned());
    let query = EventQuery { project, ..EventQuery::default() };
    let theirs = server.client().events(&query).await.unwrap();
    assert_eq!(messages(theirs).await, ["theirs"]);
    server.stop().await;
}

#[tokio::test]
async fn logs_are_all_that_is_kept_or_the_tail() {
    let server = Server::start().await;
    let lines: Vec<(i64, String)> = (1..=150).map(|n| (n, format!("line {n}"))).collect();
    let lines: Vec<(i64, &str)> = lines.iter().map(|(at, text)| (*at, text.as_str())).collect();
    testing::log(&server.platform, server.web.as_str(), instance(1).as_str(), &lines);
    let all = server.client().logs(&LogQuery::default()).await.unwrap();
    assert_eq!(texts(all).await.len(), 150);
    let query = LogQuery { tail: Some(2), ..LogQuery::default() };
    let tail = server.client().logs(&query).await.unwrap();
    assert_eq!(texts(tail).await, ["line 149", "line 150"]);
    let query =
        LogQuery { since: Some("1970-01-01T00:02:29Z".parse().unwrap()), ..LogQuery::default() };
    let later = server.client().logs(&query).await.unwrap();
    assert_eq!(texts(later).await, ["line 150"]);
    server.stop().await;
}

#[tokio::test]
async fn logs_are_followed_as_they_are_written() {
    let server = Server::start().await;
    let query = LogQuery { follow: true, ..LogQuery::default() };
    let mut lines = server.client().logs(&query).await.unwrap();
    testing::log(&server.platform, server.web.as_str(), instance(1).as_str(), &[(1, "hello")]);
    let line = next(&mut lines).await.unwrap();
    assert_eq!((line.text.as_str(), line.service.as_str()), ("hello", "web"));
    assert_eq!(line.instance, instance(1).to_string());
    server.stop().await;
}

#[tokio::test]
async fn the_followed_log_of_an_instance_ends_with_the_instance() {
    let server = Server::start().await;
    testing::log(&server.platform, server.web.as_str(), instance(1).as_str(), &[(1, "bye")]);
    let query =
        LogQuery { instance: Some(instance(1).to_string()), follow: true, ..LogQuery::default() };
    let lines = server.client().logs(&query).await.unwrap();
    assert_eq!(texts(lines).await, ["bye"]);
    server.stop().await;
}

#[tokio::test]
async fn stopping_a_project_ends_with_the_word_that_it_has_stopped() {
    let server = Server::start().await;
    let request = DownRequest { project: "shop".to_owned(), purge: false };
    let mut lines = server.client().down(&request).await.unwrap();
    let mut last = None;
    while let Some(event) = next(&mut lines).await {
        last = Some(event);
    }
    assert_eq!(last.unwrap().kind, "stopped");
    server.stop().await;
}

#[tokio::test]
async fn a_purge_that_cannot_reach_the_edge_says_so() {
    let server = Server::start().await;
    let request = DownRequest { project: "shop".to_owned(), purge: true };
    let mut lines = server.client().down(&request).await.unwrap();
    let mut last = None;
    while let Some(event) = next(&mut lines).await {
        last = Some(event);
    }
    let last = last.unwrap();
    assert_eq!(last.kind, "down_failed");
    assert!(last.problem.is_some());
    server.stop().await;
}

#[tokio::test]
async fn stopping_a_project_that_does_not_stop_ends_with_the_server() {
    let server = Server::start().await;
    // No task runs that would stop it.
    let _database = testing::database(&server.platform, &server.environment, "db");
    let request = DownRequest { project: "shop".to_owned(), purge: true };
    let mut lines = server.client().down(&request).await.unwrap();
    let follower = tokio::spawn(async move {
        let mut last = None;
        while let Some(event) = lines.next().await.unwrap() {
            last = Some(event);
        }
        last
    });
    server.stop().await;
    let last = tokio::time::timeout(LIMIT, follower).await.unwrap().unwrap().unwrap();
    assert_eq!(last.kind, "down_failed");
    assert!(last.problem.unwrap().hint.unwrap().contains("gable down"));
}
