//! One core: its runtime, its view of the table and its pools of connections.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use model::InstanceId;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{Instant, timeout};
use tracing::{error, warn};

use crate::config::{Limits, Settings};
use crate::files;
use crate::listen::{self, Entrance};
use crate::proxy::Upstream;
use crate::sources::Sources;
use crate::table::{Backend, Table};
use crate::tls::Tls;

/// Between two lines of a core's log about what clients do wrong.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(1);

/// What all cores share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) sources: Arc<Sources>,
    pub(crate) tls: Option<Tls>,
    pub(crate) compressed: files::Cache,
}

/// What a core can be told.
#[derive(Debug)]
pub(crate) enum Message {
    /// Serve this table from now on, and say so.
    Table(Arc<Table>, oneshot::Sender<()>),
    /// Accept connections here.
    Listen(SocketAddr, TcpListener, Accepts),
    /// Accept no more connections there, and say so when the socket is closed.
    Unlisten(SocketAddr, oneshot::Sender<()>),
    /// Accept nothing, finish what runs, end.
    Stop {
        /// What still runs then is cut off.
        deadline: Duration,
    },
}

/// What a listening socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepts {
    /// Requests that the table's hosts route.
    Routed,
    /// The same over TLS.
    Secure,
    /// Whatever the table has for its address.
    Published,
}

/// One core's state. Everything in it is used by one thread only.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Which slot of the counters it writes.
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    served: RefCell<Rc<Served>>,
    upstreams: RefCell<HashMap<(InstanceId, SocketAddr), Rc<Upstream>>>,
    /// Told when `served` changes.
    pub(crate) changed: Notify,
    /// Turns true when connections should end.
    pub(crate) closing: watch::Sender<bool>,
    pub(crate) connections: Cell<usize>,
    pub(crate) connection_ended: Notify,
    complained: Cell<Option<Instant>>,
    next_id: Cell<u64>,
    id_seed: RandomState,
}

/// A table with this core's pools.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) table: Arc<Table>,
    /// For each route its targets; empty for other backends.
    pub(crate) upstreams: Vec<Vec<Rc<Upstream>>>,
    /// For each route whose turn it is.
    pub(crate) turns: Vec<Cell<usize>>,
}

impl Worker {
    pub(crate) fn new(index: usize, shared: Arc<Shared>, table: Arc<Table>) -> Rc<Self> {
        let empty = Served { table: Arc::clone(&table), upstreams: vec![], turns: vec![] };
        let worker = Rc::new(Self {
            index,
            shared,
            served: RefCell::new(Rc::new(empty)),
            upstreams: RefCell::default(),
            changed: Notify::new(),
            closing: watch::Sender::new(false),
            connections: Cell::new(0),
            connection_ended: Notify::new(),
            complained: Cell::new(None),
            next_id: Cell::new(0),
            id_seed: RandomState::new(),
        });
        worker.switch(table);
        worker
    }

    /// The table as of now. To be looked up again after every await.
    pub(crate) fn served(&self) -> Rc<Served> {
        Rc::clone(&self.served.borrow())
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.shared.settings.limits
    }

    /// Whether this is a proxy that is believed what it says about its clients.
    pub(crate) fn is_trusted(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.shared.settings.trusted_proxies.iter().any(|proxy| proxy.contains(&address))
    }

    /// Whether something that clients can cause as often as they like may be logged now.
    pub(crate) fn may_complain(&self) -> bool {
        let now = Instant::now();
        let may = self.complained.get().is_none_or(|last| now > last + COMPLAINT_INTERVAL);
        if may {
            self.complained.set(Some(now));
        }
        may
    }

    /// A name for a request: unique, and not to be guessed from the one before.
    pub(crate) fn request_id(&self) -> String {
        let number = self.next_id.get();
        self.next_id.set(number.wrapping_add(1));
        let first = self.id_seed.hash_one((self.index, number, 0));
        let second = self.id_seed.hash_one((self.index, number, 1));
        format!("{first:016x}{second:016x}")
    }

    /// Serves this table from now on. Pools of targets that left are closed at once; what still
    /// runs on them ends by itself.
    fn switch(&self, table: Arc<Table>) {
        let mut known = self.upstreams.borrow_mut();
        let mut next = HashMap::new();
        let mut turns = Vec::with_capacity(table.routes.len());
        let mut upstreams = Vec::with_capacity(table.routes.len());
        for route in &table.routes {
            // Cores begin with different targets.
            turns.push(Cell::new(self.index));
            let Backend::Targets(targets) = &route.backend else {
                upstreams.push(vec![]);
                continue;
            };
            let pools = targets.iter().map(|target| {
                let key = (target.id.clone(), target.address);
                let upstream =
                    known.get(&key).filter(|upstream| !upstream.is_retired()).map_or_else(
                        || {
                            let counters = Arc::clone(&target.counters);
                            let patience = self.limits().upstream_connect_timeout;
                            Rc::new(Upstream::new(target.address, patience, counters))
                        },
                        Rc::clone,
                    );
                Rc::clone(next.entry(key).or_insert(upstream))
            });
            upstreams.push(pools.collect());
        }
        for (key, upstream) in known.iter() {
            if !next.contains_key(key) {
                upstream.retire();
            }
        }
        *known = next;
        drop(known);
        *self.served.borrow_mut() = Rc::new(Served { table, upstreams, turns });
        self.changed.notify_waiters();
    }

    /// Serves until it is told to stop.
    pub(crate) fn run(
        self: &Rc<Self>,
        runtime: &Runtime,
        mut messages: mpsc::UnboundedReceiver<Message>,
    ) {
        let local = LocalSet::new();
        local.block_on(runtime, async {
            let mut listening: HashMap<SocketAddr, JoinHandle<()>> = HashMap::new();
            while let Some(message) = messages.recv().await {
                match message {
                    Message::Table(table, applied) => {
                        self.switch(table);
                        // Nobody waits any more when the control connection broke.
                        let _ = applied.send(());
                    }
                    Message::Listen(address, listener, accepts) => {
                        if let Some(task) = self.listen(address, listener, accepts)
                            && let Some(old) = listening.insert(address, task)
                        {
                            old.abort();
                        }
                    }
                    Message::Unlisten(address, closed) => {
                        if let Some(task) = listening.remove(&address) {
                            task.abort();
                            // The socket is closed when the task is gone.
                            let _ = task.await;
                        }
                        let _ = closed.send(());
                    }
                    Message::Stop { deadline } => {
                        listening.values().for_each(JoinHandle::abort);
                        self.drain(deadline).await;
                        return;
                    }
                }
            }
        });
    }

    fn listen(
        self: &Rc<Self>,
        address: SocketAddr,
        listener: TcpListener,
        accepts: Accepts,
    ) -> Option<JoinHandle<()>> {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => {
                let entrance = Entrance { accepts, address };
                Some(spawn_local(listen::accept(Rc::clone(self), listener, entrance)))
            }
            Err(cause) => {
                error!(%address, error = &cause as &dyn std::error::Error, "cannot listen");
                None
            }
        }
    }

    async fn drain(&self, deadline: Duration) {
        self.closing.send_replace(true);
        let ended = async {
            while self.connections.get() > 0 {
                self.connection_ended.notified().await;
            }
        };
        if timeout(deadline, ended).await.is_err() {
            warn!(connections = self.connections.get(), "cut connections that did not end in time");
        }
    }
}
