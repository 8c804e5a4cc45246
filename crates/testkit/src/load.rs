//! Steady load on kept connections, which counts every failure.
//!
//! A failure is a connection that cannot be made, a request that gets no whole answer, or an
//! answer that the test does not accept. Nothing is tried again: what a client would have seen is
//! what is counted. A server may end a kept connection with `Connection: close`; that is none.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use http_body_util::Full;
use hyper::{Request, header};
use tokio::task::JoinSet;

use crate::http;

/// So many failures are described.
const DESCRIBED_MAX: usize = 20;
/// An answer that takes longer counts as failed.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// After a failure, so that a server that is gone is not asked in a tight loop.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(20);
/// Upper bound of [`LoadOptions::connections`].
const CONNECTIONS_MAX: usize = 256;

/// What is asked, and how much.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Where to connect to.
    pub address: SocketAddr,
    /// The `Host` header.
    pub host: String,
    /// The path.
    pub path: String,
    /// How many connections; at most 256.
    pub connections: usize,
    /// Pause of each connection between two requests.
    pub pause: Duration,
}

/// Load that goes on until it is stopped.
#[derive(Debug)]
pub struct Load {
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
}

/// What happened.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Requests that were begun and have ended, one way or the other.
    pub requests: u64,
    /// Of those, the failed ones.
    pub failed: u64,
    /// The first failures, in words.
    pub failures: Vec<String>,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Answers by the first line of their body: which release answered how often.
    pub bodies: BTreeMap<String, u64>,
    /// The longest wait for an answer.
    pub latency_max: Duration,
}

impl Load {
    /// Starts it.
    #[must_use]
    pub fn start(options: &LoadOptions) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tally = Arc::new(Mutex::new(Tally::default()));
        let mut tasks = JoinSet::new();
        for _ in 0..options.connections.clamp(1, CONNECTIONS_MAX) {
            tasks.spawn(ask(options.clone(), Arc::clone(&stop), Arc::clone(&tally)));
        }
        Self { tasks, stop, tally }
    }

    /// What has happened so far.
    #[must_use]
    pub fn so_far(&self) -> Tally {
        lock(&self.tally).clone()
    }

    /// Waits until that many more requests have ended.
    pub async fn wait_for(&self, requests: u64) {
        const LOOK_EVERY: Duration = Duration::from_millis(5);
        let wanted = lock(&self.tally).requests + requests;
        while lock(&self.tally).requests < wanted {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Lets requests under way end, and says what happened.
    pub async fn stop(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
        lock(&self.tally).clone()
    }
}

fn lock(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn ask(options: LoadOptions, stop: Arc<AtomicBool>, tally: Arc<Mutex<Tally>>) {
    let mut connection = None;
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let answer = tokio::time::timeout(ANSWER_TIME_MAX, once(&options, &mut connection)).await;
        let answer = answer.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer in 30 s")));
        let failed = answer.is_err();
        record(&mut lock(&tally), answer, began.elapsed());
        if failed {
            connection = None;
        }
        tokio::time::sleep(if failed { PAUSE_AFTER_FAILURE } else { options.pause }).await;
    }
}

type Connection = hyper::client::conn::http1::SendRequest<Full<bytes::Bytes>>;

async fn once(options: &LoadOptions, kept: &mut Option<Connection>) -> Result<http::Answer> {
    let mut connection = match kept.take() {
        // Closed by the server after it had said so: not used for a request, so nothing failed.
        Some(connection) if !connection.is_closed() => connection,
        _ => http::connect(options.address).await?,
    };
    let request =
        Request::get(&options.path).header(header::HOST, &options.host).body(Full::default())?;
    let answer = http::exchange(&mut connection, request).await?;
    let closes = answer.header("connection").is_some_and(|it| it.eq_ignore_ascii_case("close"));
    if !closes {
        *kept = Some(connection);
    }
    Ok(answer)
}

fn record(tally: &mut Tally, answer: Result<http::Answer>, took: Duration) {
    tally.requests += 1;
    tally.latency_max = tally.latency_max.max(took);
    let failure = match answer {
        Ok(answer) => {
            *tally.statuses.entry(answer.status).or_default() += 1;
            let line = answer.body.lines().next().unwrap_or_default().to_owned();
            if (200..400).contains(&answer.status) {
                *tally.bodies.entry(line).or_default() += 1;
                return;
            }
            format!("status {}: {line}", answer.status)
        }
        Err(error) => format!("{error:#}"),
    };
    tally.failed += 1;
    if tally.failures.len() < DESCRIBED_MAX {
        tally.failures.push(failure);
    }
}
