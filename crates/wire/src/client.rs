//! The client of the control plane's socket.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::Stream;
use reqwest::{Method, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::problem::{Failure, Problem};
use crate::{
    ApplyReply, ApplyRequest, CancelRequest, CleanReply, CleanRequest, Connection, ConnectionQuery,
    DeployRef, DeployRequest, DownRequest, EnvChange, EnvChangeReply, EnvEntry, EnvQuery, Event,
    EventQuery, InstanceQuery, InstanceRef, JobQuery, JobRef, JobRequest, JobStatus, LogLine,
    LogQuery, PlanReply, RestartRequest, RollbackRequest, ServerInfo, ShutdownReply,
    ShutdownRequest, Status, StatusQuery, paths,
};

/// How long a server may take to say that it is there.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// A line of a stream that is longer is a mistake of the other side.
const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The host name is not looked up: the connection is the socket.
const BASE: &str = "http://gable";

/// Why a request brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens on the socket.
    #[error("no server answers on {}", socket.display())]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// What the connection said.
        #[source]
        source: reqwest::Error,
    },
    /// The server said no.
    #[error("{}", problem.message)]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Why.
        problem: Box<Problem>,
        /// Where to look in the server's log.
        request_id: Option<String>,
    },
    /// The connection broke before the answer was whole.
    #[error("the server's answer to {doing} broke off")]
    Lost {
        /// Method and path.
        doing: String,
        /// What the connection said.
        #[source]
        source: reqwest::Error,
    },
    /// The answer is not what this version understands.
    #[error("the server's answer to {doing} cannot be understood: {why}")]
    Unintelligible {
        /// Method and path.
        doing: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// Whether the server went away, so that trying again on a new one makes sense.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Lost { .. })
    }
}

/// Speaks with one server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    socket: PathBuf,
}

impl Client {
    /// A client of the server that listens on this socket. Does not connect yet.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        let http = reqwest::Client::builder()
            .unix_socket(socket.to_owned())
            .no_proxy()
            // Nothing on a Unix socket is TLS. Without this the machine's certificates would be
            // read at every start, and a machine that has none could not be asked anything.
            .tls_certs_only([])
            .build()
            .expect("a client without certificates and resolver has nothing that can fail");
        Self { http, socket: socket.to_owned() }
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What the server says about itself: also the way to find out whether there is one.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn server(&self) -> Result<ServerInfo, Error> {
        let request = self.request(Method::GET, paths::SERVER, &NOTHING);
        self.read(request.timeout(GREETING_TIMEOUT), "GET", paths::SERVER).await
    }

    /// What applying would do.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn plan(&self, request: &ApplyRequest) -> Result<PlanReply, Error> {
        self.post(paths::PLAN, request).await
    }

    /// Applies a Blueprint.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn apply(&self, request: &ApplyRequest) -> Result<ApplyReply, Error> {
        self.post(paths::APPLY, request).await
    }

    /// The timeline.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn events(&self, query: &EventQuery) -> Result<Lines<Event>, Error> {
        self.get_stream(paths::EVENTS, query).await
    }

    /// How everything stands.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn status(&self, query: &StatusQuery) -> Result<Status, Error> {
        self.get(paths::STATUS, query).await
    }

    /// Lines of logs.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn logs(&self, query: &LogQuery) -> Result<Lines<LogLine>, Error> {
        self.get_stream(paths::LOGS, query).await
    }

    /// Variables of a service.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn env(&self, query: &EnvQuery) -> Result<Vec<EnvEntry>, Error> {
        self.get(paths::ENV, query).await
    }

    /// Changes variables of a service by hand.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn change_env(&self, change: &EnvChange) -> Result<EnvChangeReply, Error> {
        self.post(paths::ENV, change).await
    }

    /// Starts a service's release again.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn restart(&self, request: &RestartRequest) -> Result<DeployRef, Error> {
        self.post(paths::RESTART, request).await
    }

    /// Deploys a service.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn deploy(&self, request: &DeployRequest) -> Result<DeployRef, Error> {
        self.post(paths::DEPLOYS, request).await
    }

    /// Gives up a deploy.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn cancel(&self, request: &CancelRequest) -> Result<DeployRef, Error> {
        self.post(paths::CANCEL, request).await
    }

    /// Makes an earlier release live again.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn rollback(&self, request: &RollbackRequest) -> Result<DeployRef, Error> {
        self.post(paths::ROLLBACK, request).await
    }

    /// Starts a one-off job.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn run_job(&self, request: &JobRequest) -> Result<JobRef, Error> {
        self.post(paths::JOBS, request).await
    }

    /// How a job stands, at once or when it is over.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn job(&self, id: &str, query: &JobQuery) -> Result<JobStatus, Error> {
        self.get(&paths::JOB.replace("{id}", id), query).await
    }

    /// Stops a job.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn cancel_job(&self, id: &str) -> Result<JobStatus, Error> {
        self.post(&paths::JOB_CANCEL.replace("{id}", id), &NOTHING).await
    }

    /// Sends a job its standard input, until the chunks are at their end or the job wants no more.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn job_input(
        &self,
        id: &str,
        chunks: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), Error> {
        let path = paths::JOB_INPUT.replace("{id}", id);
        let body = reqwest::Body::wrap_stream(chunks);
        let request = self.request(Method::POST, &path, &NOTHING).body(body);
        self.send(request, "POST", &path).await.map(drop)
    }

    /// Finds a running instance.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn instance(&self, query: &InstanceQuery) -> Result<InstanceRef, Error> {
        self.get(paths::INSTANCE, query).await
    }

    /// How to connect to a database.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn connection(&self, query: &ConnectionQuery) -> Result<Connection, Error> {
        self.get(paths::CONNECTION, query).await
    }

    /// Stops a project.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn down(&self, request: &DownRequest) -> Result<Lines<Event>, Error> {
        let sent = self.request(Method::POST, paths::DOWN, &NOTHING).json(request);
        Ok(Lines::new(self.send(sent, "POST", paths::DOWN).await?, paths::DOWN))
    }

    /// Throws away what nobody needs, or asks what that would be.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn clean(&self, request: &CleanRequest) -> Result<CleanReply, Error> {
        self.post(paths::CLEAN, request).await
    }

    /// Asks the server to end.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn shutdown(&self, request: &ShutdownRequest) -> Result<ShutdownReply, Error> {
        self.post(paths::SHUTDOWN, request).await
    }

    async fn get<Q: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        query: &Q,
    ) -> Result<T, Error> {
        self.read(self.request(Method::GET, path, query), "GET", path).await
    }

    async fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, Error> {
        let request = self.request(Method::POST, path, &NOTHING).json(body);
        self.read(request, "POST", path).await
    }

    async fn get_stream<Q: Serialize, T>(&self, path: &str, query: &Q) -> Result<Lines<T>, Error> {
        let request = self.request(Method::GET, path, query);
        Ok(Lines::new(self.send(request, "GET", path).await?, path))
    }

    fn request<Q: Serialize>(
        &self,
        method: Method,
        path: &str,
        query: &Q,
    ) -> reqwest::RequestBuilder {
        let mut url = Url::parse(BASE).expect("the base is a URL");
        url.set_path(path);
        add_query(&mut url, query);
        self.http.request(method, url)
    }

    async fn read<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
        method: &str,
        path: &str,
    ) -> Result<T, Error> {
        let response = self.send(request, method, path).await?;
        let doing = || format!("{method} {path}");
        let body =
            response.bytes().await.map_err(|source| Error::Lost { doing: doing(), source })?;
        decode(&body).map_err(|why| Error::Unintelligible { doing: doing(), why })
    }

    async fn send(
        &self,
        request: reqwest::RequestBuilder,
        method: &str,
        path: &str,
    ) -> Result<Response, Error> {
        let response = request.send().await.map_err(|source| {
            if source.is_connect() || source.is_timeout() {
                Error::Unreachable { socket: self.socket.clone(), source }
            } else {
                Error::Lost { doing: format!("{method} {path}"), source }
            }
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refusal(response, format!("{method} {path}")).await)
    }
}

/// For requests without a query or without a body.
const NOTHING: serde_json::Value = serde_json::Value::Null;

/// Appends the fields of a flat shape; what is null is left out.
fn add_query<Q: Serialize>(url: &mut Url, query: &Q) {
    let fields = serde_json::to_value(query).expect("queries are flat shapes of plain types");
    let Some(fields) = fields.as_object() else { return };
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_by_key(|(name, _)| *name);
    for (name, value) in fields {
        let text = match value {
            serde_json::Value::Null => continue,
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        url.query_pairs_mut().append_pair(name, &text);
    }
}

async fn refusal(response: Response, doing: String) -> Error {
    let status = response.status().as_u16();
    let body = match response.bytes().await {
        Ok(body) => body,
        Err(source) => return Error::Lost { doing, source },
    };
    match decode::<Failure>(&body) {
        Ok(Failure { problem, request_id }) => {
            Error::Refused { status, problem: Box::new(problem), request_id }
        }
        Err(why) => Error::Unintelligible { doing, why: format!("status {status}, {why}") },
    }
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// A stream of JSON lines.
#[derive(Debug)]
pub struct Lines<T> {
    response: Response,
    doing: String,
    unfinished: BytesMut,
    ready: VecDeque<Bytes>,
    item: std::marker::PhantomData<fn() -> T>,
}

impl<T> Lines<T> {
    fn new(response: Response, path: &str) -> Self {
        Self {
            response,
            doing: path.to_owned(),
            unfinished: BytesMut::new(),
            ready: VecDeque::new(),
            item: std::marker::PhantomData,
        }
    }
}

impl<T: DeserializeOwned> Lines<T> {
    /// The next one; `None` when the server has ended the stream. Nothing is lost when the future
    /// is dropped before it is ready.
    ///
    /// # Errors
    /// See [`Error`]. After an error the stream is of no more use.
    pub async fn next(&mut self) -> Result<Option<T>, Error> {
        loop {
            while let Some(line) = self.ready.pop_front() {
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return decode(&line).map(Some).map_err(|why| self.unintelligible(why));
            }
            let chunk = self.response.chunk().await;
            let chunk =
                chunk.map_err(|source| Error::Lost { doing: self.doing.clone(), source })?;
            match chunk {
                Some(chunk) => self.take(&chunk)?,
                None if self.unfinished.is_empty() => return Ok(None),
                None => self.ready.push_back(self.unfinished.split().freeze()),
            }
        }
    }

    fn take(&mut self, chunk: &[u8]) -> Result<(), Error> {
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.unfinished.extend_from_slice(&rest[..end]);
            self.ready.push_back(self.unfinished.split().freeze());
            rest = &rest[end + 1..];
        }
        self.unfinished.extend_from_slice(rest);
        if self.unfinished.len() > LINE_BYTES_MAX {
            return Err(
                self.unintelligible(format!("a line is longer than {LINE_BYTES_MAX} bytes"))
            );
        }
        Ok(())
    }

    fn unintelligible(&self, why: String) -> Error {
        Error::Unintelligible { doing: self.doing.clone(), why }
    }
}
