//! The binary, and a server that answers what a test says.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// What the binary said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout.clone()).unwrap(),
            stderr: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }

    /// Everything in one text, with times replaced: they differ from run to run.
    pub(crate) fn whole(&self) -> String {
        let text =
            format!("exit {}\n--- stdout\n{}--- stderr\n{}", self.code, self.stdout, self.stderr);
        text.lines().map(without_times).collect::<Vec<_>>().join("\n")
    }
}

fn without_times(line: &str) -> String {
    let is_time = |word: &str| {
        let word = word.trim_matches(['(', ')']);
        word.strip_suffix('s').is_some_and(|number| number.parse::<f64>().is_ok())
    };
    let mut words: Vec<String> = Vec::new();
    for word in line.trim_end().split(' ') {
        words.push(if is_time(word) { "TIME".to_owned() } else { word.to_owned() });
    }
    words.join(" ")
}

/// The binary with nothing of the surroundings that could change what it does.
pub(crate) fn gable() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gable"));
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null());
    command
}

/// Runs it in a directory.
pub(crate) fn run_in(directory: &Path, arguments: &[&str]) -> Said {
    Said::of(&gable().args(arguments).current_dir(directory).output().unwrap())
}

/// Runs it.
pub(crate) fn run(arguments: &[&str]) -> Said {
    run_in(Path::new("/"), arguments)
}

/// An answer of the server.
pub(crate) enum Answer {
    /// A whole reply.
    Json(Value),
    /// Lines, and then the end of the stream.
    Lines(Vec<Value>),
    /// Lines, and then nothing for as long as the client stays.
    Open(Vec<Value>),
}

/// A server that answers what a test says.
pub(crate) struct Server {
    pub(crate) directory: TempDir,
    run_dir: PathBuf,
    runtime: TempDir,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// `answer` is called with `METHOD /path?query` and the body, for each request.
    pub(crate) fn start(answer: impl Fn(&str, &str) -> Answer + Send + Sync + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let runtime = tempfile::tempdir().unwrap();
        let state = directory.path().canonicalize().unwrap();
        let hash = Sha256::digest(state.as_os_str().as_encoded_bytes());
        let hash: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let root = match rustix::process::geteuid().is_root() {
            true => PathBuf::from("/run"),
            false => runtime.path().to_owned(),
        };
        let run_dir = root.join("gable").join(hash);
        std::fs::create_dir_all(&run_dir).unwrap();
        let listener = UnixListener::bind(run_dir.join("api.sock")).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (Arc::clone(&asked), Arc::new(answer));
        // Ends with the test process: it holds nothing that matters.
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let Some((what, body)) = read_request(connection.as_ref().unwrap()) else {
                        return;
                    };
                    kept.lock().unwrap().push(format!("{what} {body}").trim().to_owned());
                    send(connection.as_ref().unwrap(), answer(&what, &body));
                });
            }
        });
        Self { directory, run_dir, runtime, asked }
    }

    /// What was asked so far: `METHOD /path?query body`, the query sorted: its order means nothing
    /// and depends on what else is built beside this.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|line| with_sorted_query(line)).collect()
    }

    /// The binary as a client of this server.
    pub(crate) fn gable(&self) -> Command {
        let mut command = gable();
        command.env("GABLE_STATE_DIR", self.directory.path());
        command.env("XDG_RUNTIME_DIR", self.runtime.path());
        command.current_dir(self.directory.path());
        command
    }

    /// Runs the binary as a client of this server.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        Said::of(&self.gable().args(arguments).output().unwrap())
    }

    /// The same with something on its standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Said {
        let mut command = self.gable();
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Said::of(&child.wait_with_output().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.run_dir);
    }
}

fn read_request(mut connection: &UnixStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
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
                let what = head.lines().next()?.trim_end_matches(" HTTP/1.1");
                return Some((what.to_owned(), body.to_owned()));
            }
        }
        match connection.read(&mut buffer) {
            Ok(count) if count > 0 => bytes.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
    }
}

fn send(mut connection: &UnixStream, answer: Answer) {
    let whole = |body: &Value| {
        let body = body.to_string();
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
    };
    let stream = |lines: &[Value]| {
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{lines}")
    };
    let (text, stays) = match &answer {
        Answer::Json(body) => (whole(body), false),
        Answer::Lines(lines) => (stream(lines), false),
        Answer::Open(lines) => (stream(lines), true),
    };
    // A client that has gone has what it wanted.
    let _ = connection.write_all(text.as_bytes());
    if stays {
        let _ = connection.read(&mut [0]);
    }
}

fn with_sorted_query(line: &str) -> String {
    let Some((head, rest)) = line.split_once('?') else { return line.to_owned() };
    let (query, body) = match rest.split_once(' ') {
        Some((query, body)) => (query, format!(" {body}")),
        None => (rest, String::new()),
    };
    let mut pairs: Vec<&str> = query.split('&').collect();
    pairs.sort_unstable();
    format!("{head}?{}{body}", pairs.join("&"))
}
