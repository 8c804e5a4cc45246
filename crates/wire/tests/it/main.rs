//! The client against a server that answers exactly what a test says.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic, helpers as well")]

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::JoinHandle;

use tempfile::TempDir;
use wire::{Client, Error, EventQuery, JobQuery, LogQuery, RestartRequest};

/// Answers one connection after the other with the given texts, and keeps what was asked.
struct Server {
    directory: TempDir,
    thread: JoinHandle<Vec<String>>,
}

impl Server {
    fn answering(answers: &[&[&str]]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("api.sock")).unwrap();
        let answers: Vec<Vec<String>> = answers
            .iter()
            .map(|parts| parts.iter().map(|part| (*part).to_owned()).collect())
            .collect();
        let thread = std::thread::spawn(move || {
            answers
                .into_iter()
                .map(|parts| {
                    let (mut connection, _) = listener.accept().unwrap();
                    let asked = read_request(&mut connection);
                    for part in parts {
                        connection.write_all(part.as_bytes()).unwrap();
                    }
                    asked
                })
                .collect()
        });
        Self { directory, thread }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("api.sock")
    }

    fn client(&self) -> Client {
        Client::new(&self.socket())
    }

    /// First lines and bodies of what was asked.
    fn asked(self) -> Vec<String> {
        self.thread.join().unwrap()
    }
}

fn read_request(connection: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()
                })
                .unwrap_or(0);
            if body.len() >= length {
                return format!("{} {body}", head.lines().next().unwrap()).trim().to_owned();
            }
        }
        let count = connection.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "the request is cut off");
        bytes.extend_from_slice(&buffer[..count]);
    }
}

fn json(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

const STREAM: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";

fn event(sequence: u64) -> String {
    format!(
        "{{\"sequence\":{sequence},\"at\":\"2026-11-21T10:00:00Z\",\"project\":\"shop\",\
         \"environment\":\"production\",\"service\":\"web\",\"noun\":\"service\",\"kind\":\"live\",\
         \"status\":\"live\",\"message\":\"web is live\",\"added_later\":1}}\n"
    )
}

#[tokio::test]
async fn a_request_carries_its_body_and_a_reply_may_have_grown_fields() {
    let reply = r#"{"id":"dep-1","service":"web","environment":"production","sequence":7,"new":1}"#;
    let server = Server::answering(&[&[&json("200 OK", reply)]]);
    let request = RestartRequest { service: "srv-1".to_owned() };
    let deploy = server.client().restart(&request).await.unwrap();
    assert_eq!((deploy.id.as_str(), deploy.sequence), ("dep-1", 7));
    assert_eq!(server.asked(), [r#"POST /v1/restart HTTP/1.1 {"service":"srv-1"}"#]);
}

#[tokio::test]
async fn a_query_names_what_is_wanted_and_leaves_out_the_rest() {
    let reply = json("200 OK", r#"{"id":"job-1","state":"succeeded","exit_code":0}"#);
    let server = Server::answering(&[&[STREAM], &[&reply]]);
    let query =
        LogQuery { service: Some("a b/&".to_owned()), tail: Some(3), ..LogQuery::default() };
    let mut lines = server.client().logs(&query).await.unwrap();
    assert_eq!(lines.next().await.unwrap(), None);
    let status = server.client().job("job-1", &JobQuery { wait: Some(5) }).await.unwrap();
    assert!(status.state.is_over());
    assert_eq!(
        server.asked(),
        [
            "GET /v1/logs?build=false&follow=false&service=a+b%2F%26&tail=3 HTTP/1.1",
            "GET /v1/jobs/job-1?wait=5 HTTP/1.1",
        ]
    );
}

#[tokio::test]
async fn a_stream_survives_pieces_empty_lines_and_a_last_line_without_an_end() {
    let (one, two, three) = (event(1), event(2), event(3));
    let (head, tail) = one.split_at(20);
    let server = Server::answering(&[&[STREAM, head, tail, "\n", &two, three.trim_end()]]);
    let query = EventQuery { since: Some(0), follow: true, project: None };
    let mut events = server.client().events(&query).await.unwrap();
    let mut sequences = Vec::new();
    while let Some(event) = events.next().await.unwrap() {
        sequences.push(event.sequence);
    }
    assert_eq!(sequences, [1, 2, 3]);
}

#[tokio::test]
async fn a_refusal_is_told_as_the_problem_that_it_is() {
    let body = r#"{"problem":{"code":"no-deploy","message":"nothing is under way","hint":"wait"},"request_id":"r1"}"#;
    let server = Server::answering(&[&[&json("409 Conflict", body)]]);
    let error = server.client().server().await.unwrap_err();
    let Error::Refused { status, problem, request_id } = &error else { panic!("{error:?}") };
    assert_eq!((*status, request_id.as_deref()), (409, Some("r1")));
    assert_eq!((problem.code.as_str(), problem.hint.as_deref()), ("no-deploy", Some("wait")));
    assert!(!error.is_gone());
}

#[tokio::test]
async fn a_server_that_is_not_there_or_goes_away_is_told_apart_from_one_that_is_odd() {
    let nobody = tempfile::tempdir().unwrap();
    let error = Client::new(&nobody.path().join("api.sock")).server().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }) && error.is_gone(), "{error:?}");

    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{";
    let server =
        Server::answering(&[&[cut], &[&json("200 OK", "[]")], &[&json("502 Bad", "<html>")]]);
    let error = server.client().server().await.unwrap_err();
    assert!(matches!(error, Error::Lost { .. }) && error.is_gone(), "{error:?}");
    let error = server.client().server().await.unwrap_err();
    assert!(matches!(error, Error::Unintelligible { .. }) && !error.is_gone(), "{error:?}");
    let error = server.client().server().await.unwrap_err();
    assert!(error.to_string().contains("status 502"), "{error}");
}

#[test]
fn secrets_do_not_show_when_a_request_is_printed() {
    let secret = || "hunter2".to_owned();
    let assignment = wire::Assignment { service: None, key: "KEY".to_owned(), value: secret() };
    let pair = wire::Pair { key: "KEY".to_owned(), value: secret() };
    let connection = wire::Connection {
        argv: vec!["psql".to_owned()],
        env: vec![("PGPASSWORD".to_owned(), secret())],
        internal_url: secret(),
    };
    let printed = format!("{assignment:?} {pair:?} {connection:?}");
    assert!(printed.contains("KEY") && !printed.contains("hunter2"), "{printed}");
}
