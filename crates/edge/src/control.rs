//! The edge's side of the control socket: HTTP/1.1 with JSON on a Unix socket that only its owner
//! may open.
//!
//! `POST /table`, `GET /status`, `POST /shutdown`.

use std::convert::Infallible;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use model::route::{Generation, RouteTable};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use tokio::task::spawn_local;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::error::Error;
use crate::run::Edge;

/// A table with thousands of services is a few MiB.
const MAX_TABLE_BYTES: usize = 64 * 1024 * 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often it is looked whether the socket is still where it is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// [`Refusal::code`] of a table that is too old.
pub(crate) const REFUSED_STALE: &str = "stale";

/// The JSON of a command that was not done.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    pub(crate) message: String,
    /// The generation that is served.
    pub(crate) current: Option<Generation>,
}

/// Keeps a second edge away, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Takes the lock beside the control socket. The kernel gives it back when the process dies.
pub(crate) fn lock(socket: &Path) -> Result<Lock, Error> {
    let failed = |source| Error::ControlSocket { path: socket.to_owned(), source };
    let mut path = socket.as_os_str().to_owned();
    path.push(".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(PathBuf::from(path))
        .map_err(failed)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock { _file: file }),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            Err(Error::AlreadyRunning { path: socket.to_owned() })
        }
        Err(cause) => Err(failed(cause.into())),
    }
}

/// Listens on the control socket. Must be called with the lock held, in a runtime.
pub(crate) fn bind(path: &Path) -> Result<UnixListener, Error> {
    listen(path).map_err(|source| Error::ControlSocket { path: path.to_owned(), source })
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    // It appears under its name only when it has the right mode; what a dead edge left is replaced.
    let temporary = path.with_extension("new");
    match fs::remove_file(&temporary) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    let listener = UnixListener::bind(&temporary)?;
    fs::set_permissions(&temporary, Permissions::from_mode(0o600))?;
    fs::rename(&temporary, path)?;
    Ok(listener)
}

/// Serves commands until the task is aborted. A socket that was taken away, by what cleans `/run`,
/// is made anew: nobody could tell this edge anything again.
pub(crate) async fn serve(edge: Rc<Edge>, path: PathBuf, mut listener: UnixListener) {
    let mut file = file_at(&path);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = sleep(LOOK_EVERY) => {
                if file.is_none() || file_at(&path) != file {
                    match bind(&path) {
                        Ok(anew) => {
                            warn!("the control socket was taken away; it is made anew");
                            (listener, file) = (anew, file_at(&path));
                        }
                        Err(cause) => warn!(
                            error = &cause as &dyn std::error::Error,
                            "the control socket was taken away"
                        ),
                    }
                }
                continue;
            }
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(cause) => {
                warn!(error = &cause as &dyn std::error::Error, "cannot accept a command");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let edge = Rc::clone(&edge);
        // Ends with its client, or with the process.
        spawn_local(async move {
            let service = service_fn(move |request| {
                let edge = Rc::clone(&edge);
                async move { Ok::<_, Infallible>(command(&edge, request).await) }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(cause) = served {
                debug!(error = &cause as &dyn std::error::Error, "a control connection broke");
            }
        });
    }
}

/// Device and number of the file at this path.
fn file_at(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

async fn command(edge: &Rc<Edge>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/table") => {
            let body = match Limited::new(request.into_body(), MAX_TABLE_BYTES).collect().await {
                Ok(body) => body.to_bytes(),
                Err(cause) => return refuse(StatusCode::BAD_REQUEST, "body", cause.to_string()),
            };
            match serde_json::from_slice::<RouteTable>(&body) {
                Ok(table) => apply(edge, table).await,
                Err(cause) => refuse(StatusCode::BAD_REQUEST, "table", cause.to_string()),
            }
        }
        (&Method::GET, "/status") => json(StatusCode::OK, &edge.status().await),
        (&Method::POST, "/shutdown") => {
            edge.stop();
            json(StatusCode::OK, &())
        }
        _ => refuse(StatusCode::NOT_FOUND, "command", "there is no such command".to_owned()),
    }
}

async fn apply(edge: &Rc<Edge>, table: RouteTable) -> Response<Full<Bytes>> {
    // A task of its own: it must not stop half-way when the control plane dies meanwhile.
    let edge = Rc::clone(edge);
    let applied = spawn_local(async move { edge.apply(table).await }).await;
    match applied.unwrap_or_else(|cause| Err(Error::Thread(io::Error::other(cause)))) {
        Ok(applied) => json(StatusCode::OK, &applied),
        Err(error @ Error::Stale { current, .. }) => json(
            StatusCode::CONFLICT,
            &Refusal {
                code: REFUSED_STALE.to_owned(),
                message: error.to_string(),
                current: Some(current),
            },
        ),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            let message = format!("{error}{}", cause.unwrap_or_default());
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "failed", message)
        }
    }
}

fn refuse(status: StatusCode, code: &str, message: String) -> Response<Full<Bytes>> {
    json(status, &Refusal { code: code.to_owned(), message, current: None })
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    // All of these types are maps with text keys: they can be written.
    let text = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}
