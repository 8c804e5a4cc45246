//! Requests that no client of ours would make.

use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use wire::Failure;

use crate::LIMIT;

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    /// The body as what each refusal must be.
    pub(crate) fn failure(&self) -> Failure {
        let failure: Failure = serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("not a failure ({error}): {:?}", self.body));
        // The server's log says more only of its own mistakes.
        assert_eq!(failure.request_id.is_some(), self.status >= 500);
        assert!(!failure.problem.message.is_empty());
        failure
    }
}

/// Sends a request with a body, and reads the answer until the connection is closed.
pub(crate) async fn send(
    socket: &Path,
    method: &str,
    target: &str,
    content_type: &str,
    body: &str,
) -> Answer {
    let mut connection = UnixStream::connect(socket).await.unwrap();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nhost: gable\r\nconnection: close\r\n\
         content-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    // A refused body need not be taken to its end.
    let _ = connection.write_all(body.as_bytes()).await;
    let mut bytes = Vec::new();
    let read = connection.read_to_end(&mut bytes);
    tokio::time::timeout(LIMIT, read).await.expect("the answer comes soon").unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("the answer has a head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, body: body.to_owned() }
}

pub(crate) async fn get(socket: &Path, target: &str) -> Answer {
    send(socket, "GET", target, "application/json", "").await
}

pub(crate) async fn post(socket: &Path, target: &str, body: &str) -> Answer {
    send(socket, "POST", target, "application/json", body).await
}
