//! Probes of running instances.
//!
//! One small task per probed instance asks at short intervals until the first good answer, then
//! rarely. It only observes: what follows from a good or a bad answer is decided by
//! `reconcile::deploy`. A probe outlives neither its instance nor the control plane.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::probe::{self, ProbeResult};
use engine::{Driver, Listener};
use jiff::Timestamp;
use model::{HealthCheck, InstanceId, Target};
use reconcile::deploy::{Health, Refusal};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Interval before the first good answer: short, so that the switch follows it at once.
const FIRST_INTERVAL: Duration = Duration::from_millis(15);
/// While nothing listens, only the kernel is asked, and that costs little: the interval stays short
/// for so long.
const EAGER_TIME: Duration = Duration::from_secs(10);
const LONGEST_INTERVAL: Duration = Duration::from_millis(1_000);
/// Interval once healthy (Render: "every few seconds").
const HEALTHY_INTERVAL: Duration = Duration::from_secs(5);
/// Before it was ever healthy an instance may take long for its first answer.
const STARTING_TIMEOUT: Duration = Duration::from_secs(60);
/// Render's limit for one request of a health check.
const HEALTHY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the expected port may stay closed beside an open one until that is taken for the
/// service's. Metrics and debuggers often listen first, and must not become public for it.
const OTHER_PORT_PATIENCE: Duration = Duration::from_secs(5);
/// How often a service that answers on another port than expected is looked at for the expected one.
const OTHER_PORT_INTERVAL: Duration = Duration::from_secs(1);

/// An instance that is not healthy by then is limited to its plan all the same.
const BOOST_TIME: Duration = Duration::from_secs(60);

/// What to ask of an instance.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The instance.
    pub id: InstanceId,
    /// Its address in the private network.
    pub address: IpAddr,
    /// What makes it healthy.
    pub check: Check,
    /// Whether it has an address of its own: then loopback inside is out of reach.
    pub is_isolated: bool,
    /// What it may use of the processors once it has started, in thousandths of a core.
    pub cpu_millis: u32,
}

/// What makes an instance healthy.
#[derive(Debug, Clone)]
pub enum Check {
    /// A GET that answers 2xx or 3xx.
    Http {
        /// Path and query.
        path: String,
        /// `Host` header: what the service is known as outside.
        host: String,
        /// Port that is tried first.
        port: u16,
    },
    /// An open port.
    Port {
        /// Port that is preferred.
        port: u16,
    },
    /// A command inside that ends with 0.
    Command {
        /// The command, and how often it is run.
        check: HealthCheck,
        /// The port of services that have one: where requests are sent.
        port: Option<u16>,
    },
    /// A process that has run for this long.
    Alive(Duration),
}

impl Check {
    /// The port that is expected, for services that have one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Http { port, .. } | Self::Port { port } => Some(*port),
            Self::Command { port, .. } => *port,
            Self::Alive(_) => None,
        }
    }
}

/// What is known of a probed instance.
#[derive(Debug, Clone)]
pub struct Seen {
    /// For the planner.
    pub health: Health,
    /// What it answers each time, while that is no good answer.
    pub refusal: Option<Refusal>,
    /// The last answer, for the diagnosis.
    pub last: Option<ProbeResult>,
    /// What it listens on.
    pub listeners: Vec<Listener>,
}

/// Starts probes and remembers what they saw.
#[derive(Clone)]
pub struct Prober {
    driver: Arc<dyn Driver>,
    seen: Arc<Mutex<HashMap<InstanceId, (Seen, AbortHandle)>>>,
    changes: watch::Sender<u64>,
}

impl Prober {
    /// A prober without probes.
    #[must_use]
    pub fn new(driver: Arc<dyn Driver>) -> Self {
        Self { driver, seen: Arc::default(), changes: watch::Sender::new(0) }
    }

    /// A number that goes up whenever the health of some instance changes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// What is known of an instance; `None` before [`Prober::ensure`].
    #[must_use]
    pub fn seen(&self, id: &InstanceId) -> Option<Seen> {
        self.lock().get(id).map(|(seen, _)| seen.clone())
    }

    /// Whether an instance is probed already.
    #[must_use]
    pub fn is_known(&self, id: &InstanceId) -> bool {
        self.lock().contains_key(id)
    }

    /// Probes an instance, unless it is probed already.
    pub fn ensure(&self, probe: Probe) {
        let mut seen = self.lock();
        if seen.contains_key(&probe.id) {
            return;
        }
        let id = probe.id.clone();
        let task = tokio::spawn(run(self.clone(), probe));
        let nothing =
            Seen { health: Health::Unknown, refusal: None, last: None, listeners: Vec::new() };
        seen.insert(id, (nothing, task.abort_handle()));
    }

    /// Ends the probe of an instance.
    pub fn forget(&self, id: &InstanceId) {
        if let Some((_, task)) = self.lock().remove(id) {
            task.abort();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<InstanceId, (Seen, AbortHandle)>> {
        // What is behind the lock is whole after every statement.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers an answer. Returns whether the instance is healthy.
    fn note(&self, probe: &Probe, answer: Answer) -> bool {
        let mut seen = self.lock();
        let Some((entry, _)) = seen.get_mut(&probe.id) else { return false };
        let health = match (&entry.health, answer.good_port) {
            (_, Some(port)) => Health::Healthy {
                target: port.map(|port| Target {
                    id: probe.id.clone(),
                    address: SocketAddr::new(probe.address, port),
                }),
            },
            (Health::Unknown, None) => Health::Unknown,
            (Health::Healthy { target }, None) => {
                Health::Failing { since: Timestamp::now(), target: target.clone() }
            }
            (Health::Failing { since, target }, None) => {
                Health::Failing { since: *since, target: target.clone() }
            }
        };
        let refusal = match &answer.result {
            Some(ProbeResult::Unhealthy { status, body_head }) => {
                let former = entry.refusal.as_ref();
                Some(Refusal::and_then(former, *status, body_head, Timestamp::now()))
            }
            _ => None,
        };
        let since = |refusal: &Option<Refusal>| refusal.as_ref().map(|refusal| refusal.since);
        let has_changed = health != entry.health || since(&refusal) != since(&entry.refusal);
        let is_healthy = matches!(health, Health::Healthy { .. });
        entry.health = health;
        entry.refusal = refusal;
        entry.listeners = answer.listeners;
        if answer.result.is_some() {
            entry.last = answer.result;
        }
        drop(seen);
        if has_changed {
            self.changes.send_modify(|number| *number += 1);
        }
        is_healthy
    }
}

struct Answer {
    /// `Some` when healthy; inside, the port that answered, if there is one.
    good_port: Option<Option<u16>>,
    result: Option<ProbeResult>,
    listeners: Vec<Listener>,
}

/// Probes an instance, and ends the time in which it may use more than its plan.
async fn run(prober: Prober, probe: Probe) {
    let limit = || async {
        let limited = prober.driver.limit_cpu(&probe.id, Some(probe.cpu_millis)).await;
        if let Err(error) = limited {
            tracing::debug!(instance.id = %probe.id, %error, "its processor time is not limited");
        }
    };
    let asking = ask_again_and_again(&prober, &probe);
    tokio::pin!(asking);
    let mut changes = prober.changes();
    let deadline = tokio::time::sleep(BOOST_TIME);
    tokio::pin!(deadline);
    let is_up =
        |prober: &Prober| prober.seen(&probe.id).is_none_or(|seen| seen.health != Health::Unknown);
    loop {
        tokio::select! {
            () = &mut asking => return limit().await,
            () = &mut deadline => break,
            _ = changes.changed() => if is_up(&prober) { break },
        }
    }
    limit().await;
    asking.await;
}

async fn ask_again_and_again(prober: &Prober, probe: &Probe) {
    let mut interval = FIRST_INTERVAL;
    let mut was_healthy = false;
    let began = tokio::time::Instant::now();
    let mut failures = 0;
    let mut choice = Choice::default();
    loop {
        if let Check::Alive(settle) = probe.check {
            tokio::time::sleep(settle).await;
            let answer = Answer { good_port: Some(None), result: None, listeners: Vec::new() };
            prober.note(probe, answer);
            return;
        }
        let Ok(listeners) = prober.driver.listeners(&probe.id).await else { return };
        let timeout = if was_healthy { HEALTHY_TIMEOUT } else { STARTING_TIMEOUT };
        let ports = choice.ports(probe, &listeners, tokio::time::Instant::now());
        let answer = ask(prober, probe, (listeners, ports), timeout).await;
        let good_port = answer.good_port.flatten();
        let was_asked = answer.result.is_some();
        if let Check::Command { check, .. } = &probe.check {
            let is_good = answer.good_port.is_some();
            failures = if is_good { 0 } else { failures + 1 };
            if was_healthy && !is_good && failures < check.retries {
                // One bad answer is none, as the file asks.
                tokio::time::sleep(Duration::from_millis(check.interval_ms)).await;
                continue;
            }
        }
        if prober.note(probe, answer) {
            was_healthy = true;
            let is_expected = good_port == probe.check.port();
            // An open port needs no further asking: the engine reports the end of the process.
            if matches!(probe.check, Check::Port { .. }) && is_expected {
                return;
            }
            interval = match &probe.check {
                Check::Command { check, .. } => Duration::from_millis(check.interval_ms),
                _ if !is_expected => OTHER_PORT_INTERVAL,
                _ => HEALTHY_INTERVAL,
            };
        } else if was_healthy {
            interval = Duration::from_secs(1);
        }
        tokio::time::sleep(interval).await;
        if was_asked || began.elapsed() > EAGER_TIME {
            interval = (interval * 3 / 2).min(LONGEST_INTERVAL.max(interval));
        }
    }
}

async fn ask(
    prober: &Prober,
    probe: &Probe,
    (listeners, ports): (Vec<Listener>, Vec<u16>),
    timeout: Duration,
) -> Answer {
    match &probe.check {
        Check::Command { check, port } => {
            let limit = Duration::from_millis(check.timeout_ms);
            let driver = prober.driver.as_ref();
            let result = probe::command(driver, &probe.id, &check.command, limit).await;
            // A service with a port is not ready before somebody listens there.
            let target = match port {
                Some(_) => ports.first().map(|port| Some(*port)),
                None => Some(None),
            };
            let good_port = target.filter(|_| result.is_healthy());
            Answer { good_port, result: Some(result), listeners }
        }
        Check::Alive(_) => Answer { good_port: Some(None), result: None, listeners },
        Check::Port { .. } => {
            Answer { good_port: ports.first().map(|port| Some(*port)), result: None, listeners }
        }
        Check::Http { path, host, .. } => {
            let mut last = None;
            for port in ports {
                let result = probe::http(probe.address, port, path, host, timeout).await;
                let is_good = matches!(result, ProbeResult::Healthy { .. });
                last = Some(result);
                if is_good {
                    return Answer { good_port: Some(Some(port)), result: last, listeners };
                }
            }
            Answer { good_port: None, result: last, listeners }
        }
    }
}

/// Which of the open ports are worth asking.
#[derive(Debug, Default)]
struct Choice {
    /// Since when others are open and the expected one is not.
    others_since: Option<tokio::time::Instant>,
    /// The expected one stayed closed for long enough: others will do until it opens.
    takes_others: bool,
}

impl Choice {
    /// The expected port as soon as it is open. Others only after it stayed closed.
    fn ports(
        &mut self,
        probe: &Probe,
        listeners: &[Listener],
        now: tokio::time::Instant,
    ) -> Vec<u16> {
        let mut ports = candidates(probe, listeners);
        if ports.is_empty() || ports.first().copied() == probe.check.port() {
            self.others_since = None;
        } else {
            let since = *self.others_since.get_or_insert(now);
            self.takes_others |= now.duration_since(since) >= OTHER_PORT_PATIENCE;
        }
        if !self.takes_others {
            ports.retain(|port| Some(*port) == probe.check.port());
        }
        ports
    }
}

/// Ports that could be the service's, the expected one first. Render reserves three (web-services page).
fn candidates(probe: &Probe, listeners: &[Listener]) -> Vec<u16> {
    const RESERVED: [u16; 3] = [18012, 18013, 19099];
    /// Where a debugger listens: never what the author means by "the port".
    const NODE_INSPECTOR: u16 = 9229;
    let Some(expected) = probe.check.port() else { return Vec::new() };
    let mut ports: Vec<u16> = listeners
        .iter()
        .filter(|listener| !probe.is_isolated || !listener.address.is_loopback())
        .map(|listener| listener.port)
        .filter(|port| !RESERVED.contains(port) && *port != NODE_INSPECTOR)
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports.sort_by_key(|port| *port != expected);
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe() -> Probe {
        Probe {
            id: InstanceId::from_uuid(uuid::Uuid::from_u128(1)),
            address: [10, 77, 0, 2].into(),
            check: Check::Port { port: 10000 },
            is_isolated: true,
            cpu_millis: 1000,
        }
    }

    fn open(listeners: &[(&str, u16)]) -> Vec<Listener> {
        let listener = |(address, port): &(&str, u16)| Listener {
            address: address.parse().expect("an address"),
            port: *port,
        };
        listeners.iter().map(listener).collect()
    }

    #[test]
    fn the_expected_port_comes_first_and_loopback_never() {
        let check = |listeners: &[(&str, u16)], expected: &[u16]| {
            assert_eq!(candidates(&probe(), &open(listeners)), expected);
        };
        check(&[("0.0.0.0", 4000), ("::", 10000)], &[10000, 4000]);
        check(&[("127.0.0.1", 10000), ("0.0.0.0", 8000)], &[8000]);
        check(&[("127.0.0.1", 10000)], &[]);
        check(&[("0.0.0.0", 3000), ("::", 3000), ("0.0.0.0", 18012)], &[3000]);
    }

    #[test]
    fn another_port_is_taken_only_when_the_expected_one_stays_closed_and_left_when_it_opens() {
        let probe = probe();
        let (metrics, both) = (open(&[("::", 9100)]), open(&[("::", 9100), ("::", 10000)]));
        let began = tokio::time::Instant::now();
        let almost = began + OTHER_PORT_PATIENCE - Duration::from_millis(1);
        let mut choice = Choice::default();
        assert_eq!(choice.ports(&probe, &metrics, began), [] as [u16; 0]);
        assert_eq!(choice.ports(&probe, &metrics, almost), [] as [u16; 0]);
        assert_eq!(choice.ports(&probe, &both, almost), [10000], "as soon as it is open");
        let mut choice = Choice::default();
        choice.ports(&probe, &metrics, began);
        assert_eq!(choice.ports(&probe, &metrics, began + OTHER_PORT_PATIENCE), [9100]);
        let later = began + OTHER_PORT_PATIENCE * 2;
        assert_eq!(choice.ports(&probe, &both, later).first(), Some(&10000), "and left for it");
    }
}
