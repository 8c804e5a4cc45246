//! Starting, applying tables, stopping.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use model::route::{Generation, RouteTable};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, Notify, mpsc, oneshot};
use tokio::task::{LocalSet, spawn_blocking, spawn_local};
use tracing::{error, info, warn};

use crate::bind;
use crate::config::Config;
use crate::control;
use crate::counters::Registry;
use crate::dns::{Forwarder, Zones};
use crate::error::Error;
use crate::files;
use crate::persist;
use crate::published::{self, Ports};
use crate::sources::Sources;
use crate::status::{Applied, ListenerStatus, SecureStatus, Status};
use crate::table::Table;
use crate::tls::Tls;
use crate::worker::{Accepts, Message, Shared, Worker};

/// How long requests may run on after the edge was asked to stop.
const DRAIN_DEADLINE: Duration = Duration::from_secs(30);
/// Threads of a core that wait for disks and compress.
const MAX_BLOCKING_THREADS: usize = 4;
/// File descriptors that are not connections.
const RESERVED_FILES: u64 = 256;

/// Runs the edge on the calling thread and one thread per core, until it is stopped by
/// [`crate::Client::shutdown`], TERM or INT, and has finished what it was doing.
///
/// # Errors
///
/// When an address cannot be listened on, when another edge has the control socket, when the kept
/// table cannot be read, or when a thread of it died.
pub fn run(config: Config) -> Result<(), Error> {
    let mut config = config;
    if config.threads == 0 {
        config.threads = thread::available_parallelism().map_or(1, Into::into);
    }
    let lock = control::lock(&config.control_socket)?;
    let table = persist::load(&config.table_path)?;
    let limits = &config.settings.limits;
    let connections = limits.max_connections.min(connections_possible());
    let share = limits.max_connections_per_source.unwrap_or(connections / 2);
    let sources = Arc::new(Sources::new(connections, share));
    // Whatever is the matter with it: what is served without TLS must not suffer.
    let tls = config.authority.as_deref().and_then(|directory| {
        let tls = Tls::new(directory);
        tls.inspect_err(|cause| error!(error = cause as &dyn std::error::Error, "no https")).ok()
    });
    let mut listen = Vec::new();
    let mut sockets = Vec::new();
    for address in &config.listen {
        let (address, listeners) = bind::http(*address, config.threads)?;
        listen.push(address);
        sockets.push((address, listeners));
    }
    let runtime = runtime()?;
    let local = LocalSet::new();
    let result = local.block_on(&runtime, async {
        let (edge, threads, mut ended) = Edge::start(config, (sources, tls), listen, &table)?;
        for (address, listeners) in sockets {
            edge.listen(address, listeners, Accepts::Routed);
        }
        edge.finish_apply(&table, &mut *edge.zones.lock().await).await;
        edge.open_https();
        edge.publish_ports().await;
        let control = control::bind(&edge.config.control_socket)?;
        info!(listen = ?edge.listen, generation = table.generation.0, "the edge serves");
        let path = edge.config.control_socket.clone();
        let commands = spawn_local(control::serve(Rc::clone(&edge), path, control));
        let ports = spawn_local(published::keep_trying(Rc::clone(&edge)));
        let died = edge.stopped(&mut ended).await;
        commands.abort();
        ports.abort();
        let _ = std::fs::remove_file(&edge.config.control_socket);
        for worker in &edge.workers {
            // A thread that ended needs not be told.
            let _ = worker.send(Message::Stop { deadline: DRAIN_DEADLINE });
        }
        // Private names are served while the last requests run.
        let joined = spawn_blocking(move || {
            threads.into_iter().map(JoinHandle::join).all(|end| end.is_ok())
        });
        match joined.await {
            Ok(true) if !died => Ok(()),
            _ => Err(Error::Thread(std::io::Error::other("a serving thread ended by itself"))),
        }
    });
    drop(lock);
    result
}

fn runtime() -> Result<Runtime, Error> {
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .build()
        .map_err(Error::Thread)
}

/// Asks for as many file descriptors as the kernel allows this process. A proxied connection
/// takes two.
fn connections_possible() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    current.map_or(usize::MAX, |files| {
        usize::try_from(files.saturating_sub(RESERVED_FILES) / 2).unwrap_or(usize::MAX).max(16)
    })
}

/// The first thread's view of the edge.
#[derive(Debug)]
pub(crate) struct Edge {
    config: Config,
    listen: Vec<SocketAddr>,
    shared: Arc<Shared>,
    workers: Vec<mpsc::UnboundedSender<Message>>,
    registry: RefCell<Registry>,
    table: RefCell<Rc<RouteTable>>,
    /// Locked for as long as a table is applied: one after the other.
    zones: Mutex<Zones>,
    /// Where private networks reach the edge.
    gateways: RefCell<HashMap<SocketAddr, Accepts>>,
    /// For each address that HTTPS is asked for on, where it is served or why not.
    https: RefCell<HashMap<SocketAddr, Result<SocketAddr, String>>>,
    /// Ports of services.
    ports: Mutex<Ports>,
    stop: Notify,
}

type Started = (Rc<Edge>, Vec<JoinHandle<()>>, mpsc::UnboundedReceiver<usize>);

impl Edge {
    /// Starts a thread per core, each with the given table.
    fn start(
        config: Config,
        (sources, tls): (Arc<Sources>, Option<Tls>),
        listen: Vec<SocketAddr>,
        table: &RouteTable,
    ) -> Result<Started, Error> {
        let mut registry = Registry::new(config.threads);
        registry.admit(table);
        let compiled = Arc::new(Table::new(table, &registry));
        let shared = Arc::new(Shared {
            settings: config.settings.clone(),
            sources,
            tls,
            compressed: files::Cache::default(),
        });
        let (ended, ended_receiver) = mpsc::unbounded_channel();
        let mut workers = Vec::new();
        let mut threads = Vec::new();
        for index in 0..config.threads {
            let (sender, receiver) = mpsc::unbounded_channel();
            let runtime = runtime()?;
            let (shared, compiled) = (Arc::clone(&shared), Arc::clone(&compiled));
            let ended = TellEnd(index, ended.clone());
            let thread = thread::Builder::new()
                .name(format!("edge-{index}"))
                .spawn(move || {
                    let worker = Worker::new(index, shared, compiled);
                    worker.run(&runtime, receiver);
                    // Tasks that wait for a disk must not keep the process.
                    runtime.shutdown_background();
                    drop(ended);
                })
                .map_err(Error::Thread)?;
            workers.push(sender);
            threads.push(thread);
        }
        let forwarder = Forwarder::new(config.dns_upstreams.clone(), config.dns_port);
        let edge = Self {
            zones: Mutex::new(Zones::new(config.dns_port, forwarder)),
            config,
            listen,
            shared,
            workers,
            registry: RefCell::new(registry),
            table: RefCell::new(Rc::new(table.clone())),
            gateways: RefCell::default(),
            https: RefCell::default(),
            ports: Mutex::default(),
            stop: Notify::new(),
        };
        Ok((Rc::new(edge), threads, ended_receiver))
    }

    /// Keeps a table and serves it on every core.
    pub(crate) async fn apply(&self, table: RouteTable) -> Result<Applied, Error> {
        let mut zones = self.zones.lock().await;
        let current = Rc::clone(&self.table.borrow());
        let repeated = *current == table;
        if table.generation < current.generation
            || (table.generation == current.generation && !repeated)
        {
            return Err(Error::Stale { offered: table.generation, current: current.generation });
        }
        if !repeated {
            let path = self.config.table_path.clone();
            let (saved, table) = spawn_blocking(move || (persist::save(&path, &table), table))
                .await
                .map_err(|cause| Error::Thread(std::io::Error::other(cause)))?;
            saved?;
            self.registry.borrow_mut().admit(&table);
            // Names first: a new instance may be asked for by name from its first moment.
            self.finish_apply(&table, &mut zones).await;
            let compiled = Arc::new(Table::new(&table, &self.registry.borrow()));
            self.switch(&compiled).await?;
            *self.table.borrow_mut() = Rc::new(table);
        }
        let failing_listeners = self.publish_ports().await;
        let generation = self.table.borrow().generation;
        let draining = self.registry.borrow().draining();
        let failing_zones =
            zones.status().into_iter().filter(|zone| zone.error.is_some()).collect();
        Ok(Applied { generation, draining, failing_zones, failing_listeners })
    }

    /// Everything of a table but its routes.
    async fn finish_apply(&self, table: &RouteTable, zones: &mut Zones) {
        zones.apply(table).await;
        self.open_gateways(table);
    }

    /// Returns when every core has switched.
    async fn switch(&self, compiled: &Arc<Table>) -> Result<(), Error> {
        let mut switched = Vec::new();
        for worker in &self.workers {
            let (sender, receiver) = oneshot::channel();
            let gone = || Error::Thread(std::io::Error::other("a serving thread is gone"));
            worker.send(Message::Table(Arc::clone(compiled), sender)).map_err(|_| gone())?;
            switched.push(receiver);
        }
        for receiver in switched {
            receiver
                .await
                .map_err(|_| Error::Thread(std::io::Error::other("a serving thread is gone")))?;
        }
        Ok(())
    }

    /// Public hosts below `.localhost` lead to the gateway inside a private network (see
    /// `crate::dns`), so the edge listens there too, on its usual ports. A server that calls
    /// another by its public URL works just as a browser does.
    fn open_gateways(&self, table: &RouteTable) {
        let https = match self.shared.tls {
            Some(_) => &self.config.settings.https[..],
            None => &[],
        };
        let ports = self.listen.iter().map(|listen| (listen, Accepts::Routed));
        let ports: Vec<(&SocketAddr, Accepts)> =
            ports.chain(https.iter().map(|listen| (listen, Accepts::Secure))).collect();
        let wanted: HashMap<SocketAddr, Accepts> = table
            .zones
            .iter()
            .flat_map(|zone| {
                let covered = |listen: &SocketAddr| {
                    listen.ip().is_unspecified() || listen.ip() == zone.gateway
                };
                let ports = ports.iter().filter(move |(listen, _)| !covered(listen));
                ports.map(|(listen, accepts)| {
                    (SocketAddr::new(zone.gateway, listen.port()), *accepts)
                })
            })
            .collect();
        let mut open = self.gateways.borrow_mut();
        open.retain(|address, _| {
            let keep = wanted.contains_key(address);
            if !keep {
                // Nothing is bound in its place: nobody waits until it is closed.
                drop(self.unlisten(*address));
            }
            keep
        });
        for (address, accepts) in wanted {
            if open.contains_key(&address) {
                continue;
            }
            match bind::http(address, self.workers.len()) {
                Ok((_, listeners)) => {
                    self.listen(address, listeners, accepts);
                    open.insert(address, accepts);
                }
                Err(cause) => warn!(
                    error = &cause as &dyn std::error::Error,
                    "private networks cannot reach public URLs"
                ),
            }
        }
    }

    /// Opens what is not open yet of the addresses for HTTPS. One that somebody else has is no
    /// failure: it is told, and tried again.
    pub(crate) fn open_https(&self) {
        if self.shared.tls.is_none() {
            return;
        }
        let mut https = self.https.borrow_mut();
        for asked in &self.config.settings.https {
            let before = https.get(asked);
            if matches!(before, Some(Ok(_))) {
                continue;
            }
            let opened = match bind::http(*asked, self.workers.len()) {
                Ok((address, listeners)) => {
                    info!(%address, "https is served");
                    self.listen(address, listeners, Accepts::Secure);
                    Ok(address)
                }
                Err(cause) => {
                    if before.is_none() {
                        warn!("no https: {cause}; it is tried again");
                    }
                    Err(cause.to_string())
                }
            };
            https.insert(*asked, opened);
        }
    }

    fn https_status(&self) -> Vec<SecureStatus> {
        let https = self.https.borrow();
        let status = self.config.settings.https.iter().map(|asked| match https.get(asked) {
            Some(Ok(address)) => SecureStatus { address: *address, error: None },
            Some(Err(why)) => SecureStatus { address: *asked, error: Some(why.clone()) },
            None => {
                let error = Some("there is no authority for it".to_owned());
                SecureStatus { address: *asked, error }
            }
        });
        status.collect()
    }

    fn listen(&self, address: SocketAddr, listeners: Vec<TcpListener>, accepts: Accepts) {
        for (worker, listener) in self.workers.iter().zip(listeners) {
            // A thread that died is noticed elsewhere.
            let _ = worker.send(Message::Listen(address, listener, accepts));
        }
    }

    /// Has every core close its socket; each says when it has.
    fn unlisten(&self, address: SocketAddr) -> Vec<oneshot::Receiver<()>> {
        let tell = |worker: &mpsc::UnboundedSender<Message>| {
            let (sender, closed) = oneshot::channel();
            let _ = worker.send(Message::Unlisten(address, sender));
            closed
        };
        self.workers.iter().map(tell).collect()
    }

    /// Makes the published ports those of the table. What is left is reported, and tried again.
    pub(crate) async fn publish_ports(&self) -> Vec<ListenerStatus> {
        let mut ports = self.ports.lock().await;
        let table = Rc::clone(&self.table.borrow());
        for address in ports.leaving(&table) {
            // What is bound next may be the same port on another address.
            for closed in self.unlisten(address) {
                let _ = closed.await;
            }
        }
        for (address, listeners) in ports.bind(&table, self.workers.len()) {
            self.listen(address, listeners, Accepts::Published);
        }
        ports.status(&table).into_iter().filter(|listener| listener.error.is_some()).collect()
    }

    /// Whether some published port could not be had.
    pub(crate) async fn has_failing_ports(&self) -> bool {
        self.ports.lock().await.is_failing()
    }

    /// What is served and was counted.
    pub(crate) async fn status(&self) -> Status {
        let zones = self.zones.lock().await.status();
        let listeners = self.ports.lock().await.status(&self.table.borrow());
        let registry = self.registry.borrow();
        Status {
            generation: self.generation(),
            pid: std::process::id(),
            listen: self.listen.clone(),
            https: self.https_status(),
            settings: self.config.settings.clone(),
            targets: registry.targets(),
            services: registry.services(),
            zones,
            listeners,
            connections: self.shared.sources.count() as u64,
        }
    }

    fn generation(&self) -> Generation {
        self.table.borrow().generation
    }

    /// Begins to stop.
    pub(crate) fn stop(&self) {
        self.stop.notify_one();
    }

    /// Waits until the edge should stop; whether a thread died.
    async fn stopped(&self, ended: &mut mpsc::UnboundedReceiver<usize>) -> bool {
        let (mut term, mut interrupt) =
            match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
                (Ok(term), Ok(interrupt)) => (term, interrupt),
                _ => {
                    warn!("signals cannot be received; the edge ends at once on them");
                    self.stop.notified().await;
                    return false;
                }
            };
        tokio::select! {
            () = self.stop.notified() => info!("the edge was asked to stop"),
            _ = term.recv() => info!("the edge got TERM"),
            _ = interrupt.recv() => info!("the edge got INT"),
            Some(index) = ended.recv() => {
                error!(thread = index, "a serving thread ended by itself");
                return true;
            }
        }
        false
    }
}

/// Says that a thread ended, also when it panicked.
struct TellEnd(usize, mpsc::UnboundedSender<usize>);

impl Drop for TellEnd {
    fn drop(&mut self) {
        // Nobody listens once the edge is stopping.
        let _ = self.1.send(self.0);
    }
}
