//! Asks an instance whether it is healthy. The rules of when and how often are the caller's.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How much of an unhealthy answer's body is kept, in bytes.
pub const BODY_HEAD_BYTES: usize = 512;

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeResult {
    /// A 2xx or 3xx answer; for TCP, an open port (`status` 0).
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
    /// Something else, in words: no HTTP, connection reset, no route.
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
            Self::Healthy { status: 0 } => write!(formatter, "the port is open"),
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

async fn connect(address: SocketAddr) -> Result<TcpStream, ProbeResult> {
    TcpStream::connect(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused => ProbeResult::Refused,
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
