//! Whether a connection is in use, and how long it may be unused.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::config::Limits;
use crate::sources::{Place, Seat};

/// What happens on one connection. One thread uses it; hyper wants to be able to give a socket, and
/// so what belongs to it, to another one.
#[derive(Debug)]
pub(crate) struct Activity {
    place: Place,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Requests that were not answered to their last byte, and tunnels.
    requests: usize,
    /// The client takes nothing of what is written.
    is_stalled: bool,
    /// Since when there is nothing to do.
    unused_since: Instant,
    had_requests: bool,
    /// When the first byte of the next head came.
    head_since: Option<Instant>,
    /// The last head that came has become a request.
    was_asked: bool,
}

impl State {
    fn is_unused(&self) -> bool {
        self.requests == 0 && !self.is_stalled
    }
}

impl Activity {
    pub(crate) fn new(place: Place) -> Arc<Self> {
        let state = State {
            requests: 0,
            is_stalled: false,
            unused_since: Instant::now(),
            had_requests: false,
            head_since: None,
            was_asked: false,
        };
        Arc::new(Self { place, state: Mutex::new(state) })
    }

    pub(super) fn seat(&self) -> Arc<Seat> {
        self.place.seat()
    }

    /// A request begins; it lasts until what is returned is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        let mut state = self.state();
        state.requests += 1;
        state.had_requests = true;
        state.head_since = None;
        state.was_asked = true;
        self.place.used();
        Busy(Arc::clone(self))
    }

    fn end(&self) {
        let mut state = self.state();
        state.requests -= 1;
        self.settle(&mut state);
    }

    /// Whether there is nothing to do but to wait for a request.
    pub(super) fn is_unused(&self) -> bool {
        self.state().is_unused()
    }

    /// Whether not even the beginning of a request has come.
    pub(super) fn is_waiting(&self) -> bool {
        let state = self.state();
        state.is_unused() && state.head_since.is_none()
    }

    /// Bytes came. Whether they are the first of a head; `None` while they belong to a request.
    pub(super) fn head_goes_on(&self) -> Option<bool> {
        let mut state = self.state();
        if !state.is_unused() {
            return None;
        }
        let begins = state.head_since.is_none();
        if begins {
            state.head_since = Some(Instant::now());
            state.was_asked = false;
        }
        Some(begins)
    }

    /// Whether the last head that came has become a request: what is written is its answer then.
    pub(super) fn was_asked(&self) -> bool {
        self.state().was_asked
    }

    /// Whether the client takes what is written.
    pub(super) fn set_stalled(&self, is_stalled: bool) {
        let mut state = self.state();
        state.is_stalled = is_stalled;
        self.settle(&mut state);
    }

    /// When the client has been given enough time for its next request; `None` while it has one.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<Instant> {
        let state = self.state();
        if !state.is_unused() {
            return None;
        }
        if let Some(began) = state.head_since {
            return Some(began + limits.header_timeout);
        }
        let patience = match state.had_requests {
            true => limits.keep_alive_timeout,
            false => limits.first_request_timeout,
        };
        Some(state.unused_since + patience)
    }

    fn settle(&self, state: &mut State) {
        if state.is_unused() {
            state.unused_since = Instant::now();
            self.place.unused();
        } else {
            self.place.used();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is behind the lock is whole after every statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request or a tunnel, for as long as it lasts.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.end();
    }
}
