//! The control plane's side of the control socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use model::route::{Generation, RouteTable};
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::control::{REFUSED_STALE, Refusal};
use crate::error::Error;
use crate::status::{Applied, Status};

/// How long one command may take. An edge answers in milliseconds; one that is stopped by the
/// kernel or a debugger must not stop the control plane with it.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Talks to a running edge. Cheap to make; every command uses a connection of its own, so the edge
/// may be restarted in between.
#[derive(Debug, Clone)]
pub struct Client {
    path: PathBuf,
}

impl Client {
    /// For the edge with this control socket.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The control socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the edge a new table. When this returns, every core serves it, and it survives a
    /// crash of the edge.
    ///
    /// Safe to repeat: the same table again is acknowledged again. A table of an older generation,
    /// or another one of the same generation, is refused.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`] when the edge serves a newer table, [`Error::NotRunning`] when no edge
    /// listens, [`Error::Protocol`] when it could not keep the table or answered nonsense.
    pub async fn apply(&self, table: &RouteTable) -> Result<Applied, Error> {
        let body = serde_json::to_vec(table)
            .map_err(|cause| Error::Protocol(format!("write a route table as JSON: {cause}")))?;
        self.ask(Method::POST, "/table", body, table.generation).await
    }

    /// What the edge serves and has counted.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] when no edge listens, [`Error::Protocol`] when it answered nonsense.
    pub async fn status(&self) -> Result<Status, Error> {
        self.ask(Method::GET, "/status", vec![], Generation::default()).await
    }

    /// Asks the edge to accept no more connections, finish what runs and end. Returns at once.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] when no edge listens, [`Error::Protocol`] when it answered nonsense.
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.ask(Method::POST, "/shutdown", vec![], Generation::default()).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        offered: Generation,
    ) -> Result<T, Error> {
        let (status, answer) = match timeout(TIMEOUT, self.send(method, path, body)).await {
            Ok(sent) => sent?,
            Err(_) => return Err(Error::Protocol("it did not answer in time".to_owned())),
        };
        let nonsense = |cause: serde_json::Error| {
            Error::Protocol(format!("{path} was answered {status} with something else: {cause}"))
        };
        if status.is_success() {
            return serde_json::from_slice(&answer).map_err(nonsense);
        }
        let refusal: Refusal = serde_json::from_slice(&answer).map_err(nonsense)?;
        match refusal.current {
            Some(current) if refusal.code == REFUSED_STALE => {
                Err(Error::Stale { offered, current })
            }
            _ => Err(Error::Protocol(refusal.message)),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes), Error> {
        let stream = UnixStream::connect(&self.path)
            .await
            .map_err(|source| Error::NotRunning { path: self.path.clone(), source })?;
        let broken = |cause: hyper::Error| Error::Protocol(cause.to_string());
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, "edge")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|cause| Error::Protocol(cause.to_string()))?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        // The connection moves only while it is polled; it lives as long as this exchange.
        let mut exchange = std::pin::pin!(exchange);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            answered = exchange.as_mut() => return answered.map_err(broken),
            ended = connection.as_mut() => ended.map_err(broken)?,
        }
        exchange.await.map_err(broken)
    }
}
