//! Streams of one JSON value a line.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::Stream;
use serde::Serialize;
use tokio::sync::{mpsc, watch};

/// An empty line this often tells the other side, and us, that the connection stands.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(10);
/// Lines that wait for a slow reader; then whoever makes them waits too.
const QUEUE: usize = 256;

/// Waits until the process is about to end.
pub(crate) async fn ended(shutdown: &mut watch::Receiver<bool>) {
    // An error means that whoever would have said so is gone: the same.
    let _ = shutdown.wait_for(|ended| *ended).await;
}

/// Where lines are put. Fails when the reader has gone.
#[derive(Clone)]
pub(crate) struct Lines(mpsc::Sender<Bytes>);

/// The reader has gone.
#[derive(Debug)]
pub(crate) struct Gone;

impl Lines {
    pub(crate) async fn send(&self, value: &impl Serialize) -> Result<(), Gone> {
        let mut line =
            serde_json::to_vec(value).expect("wire shapes have text keys and no failing parts");
        line.push(b'\n');
        self.0.send(line.into()).await.map_err(|_| Gone)
    }

    pub(crate) async fn heartbeat(&self) -> Result<(), Gone> {
        self.0.send(Bytes::from_static(b"\n")).await.map_err(|_| Gone)
    }
}

/// An answer whose lines are made by `work`, which ends with it: dropping the answer drops it.
pub(crate) fn ndjson<F>(work: impl FnOnce(Lines) -> F) -> Response
where
    F: Future<Output = Result<(), Gone>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(QUEUE);
    let task = tokio::spawn(work(Lines(sender)));
    let body = Body::from_stream(lines(receiver, task));
    ([(http::header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

fn lines(
    mut receiver: mpsc::Receiver<Bytes>,
    task: tokio::task::JoinHandle<Result<(), Gone>>,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let guard = AbortOnDrop(task);
    futures::stream::poll_fn(move |context| {
        let _ = &guard;
        receiver.poll_recv(context).map(|line| line.map(Ok))
    })
}

struct AbortOnDrop(tokio::task::JoinHandle<Result<(), Gone>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
