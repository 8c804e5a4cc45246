//! One request, one answer.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// An answer that takes longer is none.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body; bytes that are not UTF-8 are replaced.
    pub body: String,
}

impl Answer {
    /// The first header of this name, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// GET.
///
/// # Errors
/// When there is no answer.
pub async fn get(address: SocketAddr, host: &str, path: &str) -> Result<Answer> {
    let request = Request::get(path).header(header::HOST, host).body(Full::default())?;
    send(address, request).await
}

/// POST of JSON.
///
/// # Errors
/// When there is no answer.
pub async fn post_json(address: SocketAddr, host: &str, path: &str, json: &str) -> Result<Answer> {
    let request = Request::post(path)
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::copy_from_slice(json.as_bytes())))?;
    send(address, request).await
}

/// Any request, on a connection of its own.
///
/// # Errors
/// When there is no answer in half a minute.
pub async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Result<Answer> {
    let exchange = async {
        let mut connection = connect(address).await?;
        exchange(&mut connection, request).await
    };
    tokio::time::timeout(ANSWER_TIME_MAX, exchange).await.context("no answer in time")?
}

/// A connection that can be used again.
pub(crate) async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await.context("failed to connect")?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with its sender.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

pub(crate) async fn exchange(
    connection: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Answer> {
    connection.ready().await?;
    let response = connection.send_request(request).await?;
    let status = response.status().as_u16();
    let text = |value: &header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers =
        response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("the body broke off: {error}"))?.to_bytes();
    Ok(Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
}
