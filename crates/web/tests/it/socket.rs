use std::os::unix::fs::PermissionsExt;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use wire::{EventQuery, ShutdownRequest};

use crate::{LIMIT, Server};

#[tokio::test]
async fn the_socket_is_for_its_owner_alone() {
    let server = Server::start().await;
    let mode = std::fs::metadata(server.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    server.stop().await;
}

#[tokio::test]
async fn a_socket_that_was_left_behind_is_replaced() {
    let first = Server::start().await;
    let (platform, socket) = (first.platform.clone(), first.socket());
    let Server { end, task, directory, .. } = first;
    end.send(()).unwrap();
    tokio::time::timeout(LIMIT, task).await.unwrap().unwrap().unwrap();
    assert!(socket.exists(), "there is nothing to replace");
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let path = socket.clone();
    let second = tokio::spawn(async move {
        web::serve(platform, &path, async move {
            let _ = ended.await;
        })
        .await
    });
    while UnixStream::connect(&socket).await.is_err() {
        assert!(!second.is_finished());
        tokio::task::yield_now().await;
    }
    wire::Client::new(&socket).server().await.unwrap();
    drop(end);
    tokio::time::timeout(LIMIT, second).await.unwrap().unwrap().unwrap();
    drop(directory);
}

#[tokio::test]
async fn a_server_with_projects_goes_on_when_it_may_end_only_if_idle() {
    let server = Server::start().await;
    let only_if_idle = ShutdownRequest { only_if_idle: true };
    let reply = server.client().shutdown(&only_if_idle).await.unwrap();
    assert!(!reply.stopping);
    assert_eq!(reply.projects, ["shop"]);
    server.client().server().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_server_ends_when_it_is_asked_to() {
    let server = Server::start().await;
    let reply = server.client().shutdown(&ShutdownRequest { only_if_idle: false }).await.unwrap();
    assert!(reply.stopping);
    tokio::time::timeout(LIMIT, server.task).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn an_events_stream_ends_with_the_server() {
    let server = Server::start().await;
    let query = EventQuery { follow: true, ..EventQuery::default() };
    let mut lines = server.client().events(&query).await.unwrap();
    let follower = tokio::spawn(async move { lines.next().await });
    server.stop().await;
    let last = tokio::time::timeout(LIMIT, follower).await.unwrap().unwrap();
    assert_eq!(last.unwrap(), None, "the stream broke off instead of ending");
}

/// Time is paused: it goes on by itself when everything waits, so the limit is not waited for.
#[tokio::test(start_paused = true)]
async fn a_reader_that_reads_no_more_does_not_hold_up_the_end() {
    let server = Server::start().await;
    let much = "a".repeat(64 << 10);
    for _ in 0..64 {
        control::testing::happen(&server.platform, &server.environment, &much);
    }
    let mut stuck = UnixStream::connect(server.socket()).await.unwrap();
    let request = b"GET /v1/events?follow=true HTTP/1.1\r\nhost: gable\r\n\r\n";
    stuck.write_all(request).await.unwrap();
    let mut first = [0];
    stuck.read_exact(&mut first).await.unwrap();
    server.end.send(()).unwrap();
    tokio::time::timeout(LIMIT, server.task).await.unwrap().unwrap().unwrap();
    drop(stuck);
}
