//! HTTP for the control plane.
//!
//! Handlers translate and call `control::ops`; rules live there. The only listener is a Unix
//! socket that nobody but its owner can open: whoever may connect may do everything, so there are
//! no tokens yet.

mod convert;
mod error;
mod request;
mod rest;
mod socket;
mod stream;

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use control::Platform;
use control::ops::events::Feed;
use tokio::sync::watch;

pub use error::Error;

use socket::ApiSocket;

/// The largest request: variables of many services fit, a mistaken upload does not.
const BODY_LIMIT: usize = 4 << 20;
/// How long requests under way may take when the process is to end.
const END_LIMIT: Duration = Duration::from_secs(5);

/// What handlers work with.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) platform: Platform,
    /// Tells of new events.
    pub(crate) feed: Feed,
    /// Set to end the process.
    pub(crate) shutdown: watch::Sender<bool>,
}

/// Serves the API on a Unix socket until somebody asks for the end, or `ended` is ready.
///
/// # Errors
/// When the socket cannot be made.
pub async fn serve(
    platform: Platform,
    socket: &Path,
    ended: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    // The lock on the state directory proves that whoever left a socket here is gone.
    let listener = ApiSocket::open(socket)?;
    let (shutdown, mut asked) = watch::channel(false);
    let feed = Feed::open(&platform);
    let app = App { platform, feed, shutdown: shutdown.clone() };
    let mut overdue = shutdown.subscribe();
    let graceful = async move {
        tokio::select! {
            _ = asked.wait_for(|asked| *asked) => {}
            () = ended => { shutdown.send_replace(true); }
        }
    };
    // A reader that has stopped to read must not hold up the end.
    let deadline = async move {
        stream::ended(&mut overdue).await;
        tokio::time::sleep(END_LIMIT).await;
    };
    tokio::select! {
        served = axum::serve(listener, router(app)).with_graceful_shutdown(graceful) => served,
        () = deadline => {
            tracing::warn!("requests under way were cut off at the end");
            Ok(())
        }
    }
}

fn router(app: App) -> Router {
    rest::routes()
        .fallback(request::nowhere)
        .method_not_allowed_fallback(request::wrong_method)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(app)
}
