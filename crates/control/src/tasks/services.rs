//! One task per service: look, decide, act, sleep.
//!
//! A pass loads what is asked and what is seen, lets `reconcile::deploy::plan` decide, and does
//! what it says. It remembers nothing that matters: the process may be killed between any two
//! statements, and the next pass, of this process or another, goes on from what it sees.

mod act;
mod fail;
mod look;
mod needs;
mod proof;

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use model::ServiceId;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::platform::Platform;

pub use act::disk_dir;
pub(crate) use fail::judge_run;

/// When nothing signals, everything is looked at this often all the same.
const POLL: Duration = Duration::from_secs(30);
/// A pass that failed is repeated after this.
const RETRY: Duration = Duration::from_secs(1);
/// Passes that follow each other at once, at most: a plan that asks for the same step again and
/// again must not take a core.
const STREAK: u32 = 100;

/// Keeps one task running for every service there is.
pub async fn run(platform: Platform) {
    let mut wakes = platform.wakes();
    let mut tasks: HashMap<ServiceId, JoinHandle<()>> = HashMap::new();
    loop {
        wakes.mark_unchanged();
        match store::services::list_all(&platform.store) {
            Ok(rows) => {
                tasks.retain(|_, task| !task.is_finished());
                for row in rows {
                    tasks
                        .entry(row.id.clone())
                        .or_insert_with(|| tokio::spawn(care(platform.clone(), row.id)));
                }
            }
            Err(error) => tracing::error!("cannot list the services: {error}"),
        }
        if tokio::time::timeout(POLL, wakes.changed()).await.is_ok_and(|woken| woken.is_err()) {
            return;
        }
    }
}

struct Signals {
    store: watch::Receiver<u64>,
    engine: watch::Receiver<u64>,
    probes: watch::Receiver<u64>,
    background: watch::Receiver<u64>,
}

impl Signals {
    fn new(platform: &Platform) -> Self {
        Self {
            store: platform.wakes(),
            engine: platform.driver.changes(),
            probes: platform.prober.changes(),
            background: platform.background.changes(),
        }
    }

    /// From here on, changes count as news.
    fn mark_unchanged(&mut self) {
        self.store.mark_unchanged();
        self.engine.mark_unchanged();
        self.probes.mark_unchanged();
        self.background.mark_unchanged();
    }

    /// Waits for news, or until the time is up.
    async fn wait(&mut self, limit: Duration) {
        tokio::select! {
            _ = self.store.changed() => {}
            _ = self.engine.changed() => {}
            _ = self.probes.changed() => {}
            _ = self.background.changed() => {}
            () = tokio::time::sleep(limit) => {}
        }
    }
}

/// Cares for one service until it is deleted.
async fn care(platform: Platform, id: ServiceId) {
    let mut signals = Signals::new(&platform);
    let mut streak = 0;
    loop {
        signals.mark_unchanged();
        let sleep = match pass(&platform, &id).await {
            Ok(Outcome::Gone) => return,
            Ok(Outcome::Acted) if streak < STREAK => {
                streak += 1;
                continue;
            }
            Ok(Outcome::Acted) => RETRY,
            Ok(Outcome::Idle(wake_at)) => wake_at.map_or(POLL, until).min(POLL),
            Err(error) => {
                let problem = error.problem();
                tracing::error!(
                    service.id = %id,
                    detail = problem.detail,
                    "the next step of {id} failed: {}", problem.message
                );
                RETRY
            }
        };
        streak = 0;
        signals.wait(sleep).await;
    }
}

fn until(at: Timestamp) -> Duration {
    let left = at.duration_since(Timestamp::now());
    Duration::try_from(left).unwrap_or(Duration::ZERO).max(Duration::from_millis(1))
}

enum Outcome {
    /// The service is no more.
    Gone,
    /// Something was done: look again at once.
    Acted,
    /// Nothing to do, until then at the latest.
    Idle(Option<Timestamp>),
}

async fn pass(platform: &Platform, id: &ServiceId) -> Result<Outcome, Error> {
    let Some(seen) = look::look(platform, id).await? else { return Ok(Outcome::Gone) };
    let now = Timestamp::now();
    let plan = reconcile::deploy::plan(&seen.desired, &seen.observed, now);
    for action in &plan.actions {
        act::act(platform, &seen, action).await?;
    }
    proof::follow(platform, &seen).await?;
    act::tidy_jobs(platform, &seen).await?;
    let telling_at = look::note_waiting(platform, &seen, &plan, now)?;
    if plan.actions.is_empty() {
        let wake_at = [plan.wake_at, seen.look_again_at, telling_at].into_iter().flatten().min();
        Ok(Outcome::Idle(wake_at))
    } else {
        Ok(Outcome::Acted)
    }
}
