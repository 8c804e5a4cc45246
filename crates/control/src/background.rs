//! Work that takes longer than a pass: builds, stops, downloads.
//!
//! Each piece has a key; a key that runs is not started again. When a piece ends, whoever waits on
//! [`Background::changes`] looks again. The outcome is never returned here: it is written where
//! the next pass reads it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Owner of work under way. Dropping the last handle ends nothing; [`Background::abort_all`] does.
#[derive(Clone)]
pub struct Background {
    running: Arc<Mutex<HashMap<String, AbortHandle>>>,
    changes: watch::Sender<u64>,
}

impl Default for Background {
    fn default() -> Self {
        Self { running: Arc::default(), changes: watch::Sender::new(0) }
    }
}

impl Background {
    /// A number that goes up whenever a piece ends.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Whether the piece with this key is under way.
    #[must_use]
    pub fn is_running(&self, key: &str) -> bool {
        self.lock().contains_key(key)
    }

    /// Starts a piece, unless its key is under way. Returns whether it was started.
    pub fn start(&self, key: String, work: impl Future<Output = ()> + Send + 'static) -> bool {
        let mut running = self.lock();
        if running.contains_key(&key) {
            return false;
        }
        let ended = Ended { background: self.clone(), key: key.clone() };
        let task = tokio::spawn(async move {
            let _ended = ended;
            work.await;
        });
        running.insert(key, task.abort_handle());
        true
    }

    /// Ends a piece where it stands, if it is under way. It is gone when [`Background::changes`]
    /// says so.
    pub fn abort(&self, key: &str) {
        let task = self.lock().get(key).cloned();
        if let Some(task) = task {
            task.abort();
        }
    }

    /// Ends everything at once: the process is about to go, and each piece can be repeated.
    pub fn abort_all(&self) {
        let running: Vec<AbortHandle> = self.lock().drain().map(|(_, task)| task).collect();
        for task in running {
            task.abort();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, AbortHandle>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the key out of the list also when the work panics or is aborted.
struct Ended {
    background: Background,
    key: String,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.background.lock().remove(&self.key);
        self.background.changes.send_modify(|number| *number += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_runs_once_at_a_time_and_its_end_is_told() {
        let background = Background::default();
        let mut changes = background.changes();
        let (release, wait) = tokio::sync::oneshot::channel::<()>();
        assert!(background.start("a".to_owned(), async move {
            let _ = wait.await;
        }));
        assert!(!background.start("a".to_owned(), async {}));
        assert!(background.is_running("a"));
        release.send(()).unwrap();
        changes.changed().await.unwrap();
        assert!(!background.is_running("a"));
    }

    #[tokio::test]
    async fn a_panic_frees_the_key() {
        let background = Background::default();
        let mut changes = background.changes();
        background.start("a".to_owned(), async { panic!("on purpose") });
        changes.changed().await.unwrap();
        assert!(background.start("a".to_owned(), async {}));
    }
}
