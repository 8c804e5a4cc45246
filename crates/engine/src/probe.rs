//! Asks an instance whether it is healthy. The rules of when and how often are the caller's.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use model::InstanceId;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::unix::pipe;

use crate::driver::{Driver, Error, ExecRequest};

/// How much of an unhealthy answer's body is kept, in bytes.
pub const BODY_HEAD_BYTES: usize = 512;

/// How much of what a command says last is kept, in bytes.
pub const OUTPUT_TAIL_BYTES: usize = 4096;
/// How much longer than its time a command may take to be killed.
const KILL_MARGIN: Duration = Duration::from_secs(5);

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeResult {
    /// A 2xx or 3xx answer; for TCP, an open port, and for a command, success (`status` 0).
    Healthy {
        /// The HTTP status.
        status: u16,
    },
    /// Any other answer.
    Unhealthy {
        /// The HTTP status.
        status: u16,
        /// The first [`BODY_HEAD_BYTES`] of the body, as text.
        body_head: String,
    },
    /// Nothing listens on that port of that address.
    Refused,
    /// No complete answer in time.
    Timeout,
    /// Something else, in words: no HTTP, connection reset, no route; how a command failed and the
    /// last line that it said.
    Error(String),
}

impl ProbeResult {
    /// Whether it may take traffic.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        matches!(self, Self::Healthy { .. })
    }
}

impl std::fmt::Display for ProbeResult {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Healthy { status: 0 } => {
                write!(formatter, "the port is open or the command succeeded")
            }
            Self::Healthy { status } | Self::Unhealthy { status, .. } => {
                write!(formatter, "answered {status}")
            }
            Self::Refused => write!(formatter, "nothing listens there"),
            Self::Timeout => write!(formatter, "no answer in time"),
            Self::Error(why) => write!(formatter, "{why}"),
        }
    }
}

/// One `GET`, without following redirects: 2xx and 3xx are healthy. `path` begins with `/` and may
/// hold a query; `host` is what the `Host` header says, because servers check it.
pub async fn http(
    address: IpAddr,
    port: u16,
    path: &str,
    host: &str,
    timeout: Duration,
) -> ProbeResult {
    let ask = ask(SocketAddr::new(address, port), path, host);
    tokio::time::timeout(timeout, ask)
        .await
        .unwrap_or(Ok(ProbeResult::Timeout))
        .unwrap_or_else(|r| r)
}

/// Whether a TCP connection can be made.
pub async fn tcp(address: IpAddr, port: u16, timeout: Duration) -> ProbeResult {
    match tokio::time::timeout(timeout, connect(SocketAddr::new(address, port))).await {
        Ok(Ok(_)) => ProbeResult::Healthy { status: 0 },
        Ok(Err(result)) => result,
        Err(_) => ProbeResult::Timeout,
    }
}

/// Runs a command inside an instance; 0 is healthy. After `timeout` it is killed with all that it
/// started, also if whoever asked is gone by then. What it says is read as it comes and forgotten
/// but for its end.
pub async fn command(
    driver: &dyn Driver,
    id: &InstanceId,
    command: &[String],
    timeout: Duration,
) -> ProbeResult {
    match run_command(driver, id, command, timeout).await {
        Ok(result) => result,
        Err(error) => ProbeResult::Error(format!("the command could not be run: {error}")),
    }
}

async fn run_command(
    driver: &dyn Driver,
    id: &InstanceId,
    command: &[String],
    timeout: Duration,
) -> Result<ProbeResult, Error> {
    let host = |source| Error::Host { doing: "prepare a health check".to_owned(), source };
    let null = File::open("/dev/null").map_err(host)?;
    let (writer, mut reader) = output_pipe().map_err(host)?;
    let second = writer.try_clone().map_err(host)?;
    let request = ExecRequest {
        command: command.to_vec(),
        cwd: None,
        env: Vec::new(),
        stdio: [null.into(), writer, second],
        terminal: false,
        time: Some(timeout),
    };
    let began = Instant::now();
    let ended = tokio::time::timeout(timeout + KILL_MARGIN, driver.exec(id, request));
    tokio::pin!(ended);
    let mut tail = Tail::default();
    let mut buffer = [0; 1024];
    let mut is_open = true;
    let code = loop {
        tokio::select! {
            code = &mut ended => break code,
            read = reader.read(&mut buffer), if is_open => match read {
                Ok(0) | Err(_) => is_open = false,
                Ok(length) => tail.push(&buffer[..length]),
            },
        }
    };
    // What it left in the pipe. Something that it left behind may hold the other end open.
    while let Ok(length @ 1..) = reader.try_read(&mut buffer) {
        tail.push(&buffer[..length]);
    }
    match code {
        Err(_) => Ok(ProbeResult::Timeout),
        // A shell whose children are killed first may end with 0.
        Ok(Ok(_)) if began.elapsed() >= timeout => Ok(ProbeResult::Timeout),
        Ok(Ok(0)) => Ok(ProbeResult::Healthy { status: 0 }),
        Ok(Ok(code)) => Ok(ProbeResult::Error(match tail.last_line() {
            line if line.is_empty() => format!("the command exited with {code}"),
            line => format!("the command exited with {code}: {line}"),
        })),
        Ok(Err(error)) => Err(error),
    }
}

fn output_pipe() -> io::Result<(OwnedFd, pipe::Receiver)> {
    let (writer, reader) = pipe::pipe()?;
    Ok((writer.into_blocking_fd()?, reader))
}

/// The end of what was said.
#[derive(Debug, Default)]
struct Tail(VecDeque<u8>);

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        let excess = self.0.len().saturating_sub(OUTPUT_TAIL_BYTES);
        self.0.drain(..excess);
    }

    /// The last line that says something, without characters that move a terminal's cursor.
    fn last_line(mut self) -> String {
        let text = String::from_utf8_lossy(self.0.make_contiguous()).into_owned();
        let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
        line.unwrap_or_default().chars().filter(|character| !character.is_control()).collect()
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, ProbeResult> {
    TcpStream::connect(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => ProbeResult::Refused,
        _ => ProbeResult::Error(format!("connect to port {}: {error}", address.port())),
    })
}

/// The error is a result too: of a step that came to nothing.
async fn ask(address: SocketAddr, path: &str, host: &str) -> Result<ProbeResult, ProbeResult> {
    let stream = connect(address).await?;
    let failed = |error: hyper::Error| ProbeResult::Error(no_http(&error));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let request = http::Request::get(path)
        .header(HOST, host)
        .header(USER_AGENT, "Gable-Health-Check")
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| {
            ProbeResult::Error(format!("the path {path} cannot be asked for: {error}"))
        })?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        if status.is_success() || status.is_redirection() {
            return Ok(ProbeResult::Healthy { status: status.as_u16() });
        }
        let body_head = head(response.into_body()).await;
        Ok(ProbeResult::Unhealthy { status: status.as_u16(), body_head })
    };
    // The connection makes progress only while it is polled, and ends with this function.
    tokio::pin!(exchange);
    tokio::select! {
        result = &mut exchange => result,
        ended = connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(failed(error)),
        },
    }
}

/// The beginning of a body, as far as it can be had.
async fn head(mut body: Incoming) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < BODY_HEAD_BYTES
        && let Some(Ok(frame)) = body.frame().await
    {
        bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
    }
    bytes.truncate(BODY_HEAD_BYTES);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn no_http(error: &hyper::Error) -> String {
    use std::error::Error as _;
    match error.source() {
        _ if error.is_incomplete_message() => {
            "the connection was closed without an answer".to_owned()
        }
        _ if error.is_parse() => "the answer is not HTTP".to_owned(),
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// A server that gives one answer, and what it was asked.
    async fn check(answer: &'static str, timeout: Duration) -> (ProbeResult, String) {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 2048];
            let length = stream.read(&mut asked).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            if answer.is_empty() {
                // Says nothing and keeps the connection until the other side gives up.
                let _ = stream.read(&mut [0]).await;
            }
            String::from_utf8_lossy(&asked[..length]).into_owned()
        };
        tokio::join!(http(LOOPBACK, port, "/health?deep=1", "shop.localhost", timeout), server)
    }

    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn two_hundred_and_redirects_are_healthy() {
        let (result, asked) = check("HTTP/1.1 204 No Content\r\n\r\n", LONG).await;
        assert_eq!(result, ProbeResult::Healthy { status: 204 });
        assert!(asked.starts_with("GET /health?deep=1 HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("host: shop.localhost\r\n"), "{asked}");
        let (result, _) = check("HTTP/1.1 302 Found\r\nlocation: /x\r\n\r\n", LONG).await;
        assert_eq!(result, ProbeResult::Healthy { status: 302 });
    }

    #[tokio::test]
    async fn an_error_answer_shows_the_beginning_of_its_body() {
        let answer = "HTTP/1.1 400 Bad Request\r\ncontent-length: 12\r\n\r\nInvalid host";
        let (result, _) = check(answer, LONG).await;
        let body_head = "Invalid host".to_owned();
        assert_eq!(result, ProbeResult::Unhealthy { status: 400, body_head });
    }

    #[tokio::test]
    async fn what_is_not_http_is_named_so() {
        let (result, _) = check("SSH-2.0-something\r\n", LONG).await;
        assert_eq!(result, ProbeResult::Error("the answer is not HTTP".to_owned()));
    }

    #[tokio::test]
    async fn silence_is_a_timeout() {
        let (result, _) = check("", Duration::from_millis(50)).await;
        assert_eq!(result, ProbeResult::Timeout);
    }

    #[tokio::test]
    async fn a_closed_port_is_refused() {
        let port = TcpListener::bind((LOOPBACK, 0)).await.unwrap().local_addr().unwrap().port();
        assert_eq!(http(LOOPBACK, port, "/", "x", LONG).await, ProbeResult::Refused);
        assert_eq!(tcp(LOOPBACK, port, LONG).await, ProbeResult::Refused);
        let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(tcp(LOOPBACK, port, LONG).await.is_healthy());
    }
}
