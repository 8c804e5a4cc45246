//! Wake-ups for those who wait for events.

use std::sync::{Arc, Mutex};

use crate::connection::lock;

type Subscriber = Arc<dyn Fn(u64) + Send + Sync>;

#[derive(Default)]
pub(crate) struct Feed {
    subscribers: Mutex<Vec<Subscriber>>,
}

impl Feed {
    pub(crate) fn subscribe(&self, subscriber: Subscriber) {
        lock(&self.subscribers).push(subscriber);
    }

    pub(crate) fn notify(&self, sequence: u64) {
        // Not under the lock: a subscriber may subscribe another one.
        let subscribers = lock(&self.subscribers).clone();
        for subscriber in subscribers {
            subscriber(sequence);
        }
    }
}
