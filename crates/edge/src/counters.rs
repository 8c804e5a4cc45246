//! Counters. Each core writes its own slot and nobody else's; a reader sums the slots.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::route::{Backend, RouteTable};
use model::{InstanceId, ServiceId};

use crate::status::{ServiceCounters, TargetStatus};

/// Targets that left the table and have nothing in flight are forgotten beyond this many.
const MAX_DRAINED_TARGETS: usize = 128;

/// A core's slot, on a cache line of its own so that cores do not slow each other down.
#[repr(align(64))]
#[derive(Debug)]
struct Slot<const N: usize>([AtomicU64; N]);

impl<const N: usize> Slot<N> {
    fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

/// `N` counters with a slot for each core.
#[derive(Debug)]
struct PerCore<const N: usize>(Box<[Slot<N>]>);

impl<const N: usize> PerCore<N> {
    fn new(cores: usize) -> Self {
        Self((0..cores).map(|_| Slot::new()).collect())
    }

    fn add(&self, core: usize, counter: usize) {
        self.0[core].0[counter].fetch_add(1, Ordering::Relaxed);
    }

    fn subtract(&self, core: usize, counter: usize) {
        self.0[core].0[counter].fetch_sub(1, Ordering::Relaxed);
    }

    fn sum(&self, counter: usize) -> u64 {
        self.0.iter().map(|slot| slot.0[counter].load(Ordering::Relaxed)).sum()
    }
}

const IN_FLIGHT: usize = 0;
const REQUESTS: usize = 1;
const FAILED: usize = 2;
const HELD: usize = 0;
const RESPONSES_5XX: usize = 3;
const HTTPS_REDIRECTS: usize = 4;
const FORMS_REFUSED: usize = 5;

/// Counters of one target.
#[derive(Debug)]
pub(crate) struct Target(PerCore<3>);

impl Target {
    pub(crate) fn new(cores: usize) -> Self {
        Self(PerCore::new(cores))
    }

    pub(crate) fn begin(&self, core: usize) {
        self.0.add(core, IN_FLIGHT);
        self.0.add(core, REQUESTS);
    }

    pub(crate) fn end(&self, core: usize) {
        self.0.subtract(core, IN_FLIGHT);
    }

    pub(crate) fn failed(&self, core: usize) {
        self.0.add(core, FAILED);
    }

    fn in_flight(&self) -> u64 {
        self.0.sum(IN_FLIGHT)
    }
}

/// Counters of one service.
#[derive(Debug)]
pub(crate) struct Service(PerCore<6>);

impl Service {
    pub(crate) fn request(&self, core: usize) {
        self.0.add(core, REQUESTS);
    }

    pub(crate) fn failed(&self, core: usize) {
        self.0.add(core, FAILED);
    }

    pub(crate) fn held(&self, core: usize) {
        self.0.add(core, HELD);
    }

    pub(crate) fn https_redirect(&self, core: usize) {
        self.0.add(core, HTTPS_REDIRECTS);
    }

    pub(crate) fn form_refused(&self, core: usize) {
        self.0.add(core, FORMS_REFUSED);
    }

    pub(crate) fn response_5xx(&self, core: usize) {
        self.0.add(core, RESPONSES_5XX);
    }
}

/// All counters by id.
#[derive(Debug)]
pub(crate) struct Registry {
    cores: usize,
    targets: HashMap<InstanceId, Known>,
    services: HashMap<ServiceId, Arc<Service>>,
    /// Counts tables, to tell which targets left last.
    epoch: u64,
}

#[derive(Debug)]
struct Known {
    counters: Arc<Target>,
    /// The epoch in which it left the table.
    left: Option<u64>,
}

impl Registry {
    pub(crate) fn new(cores: usize) -> Self {
        Self { cores, targets: HashMap::new(), services: HashMap::new(), epoch: 0 }
    }

    /// Makes counters for all that the table names. What it does not name is marked as leaving.
    pub(crate) fn admit(&mut self, table: &RouteTable) {
        self.epoch += 1;
        let epoch = self.epoch;
        let cores = self.cores;
        for known in self.targets.values_mut() {
            known.left.get_or_insert(epoch);
        }
        let of_routes = table.routes.iter().map(|route| match &route.backend {
            Backend::Targets(targets) => (&route.service_id, &targets[..]),
            _ => (&route.service_id, &[][..]),
        });
        let of_listeners =
            table.listeners.iter().map(|listener| (&listener.service_id, listener.targets()));
        let mut named = HashSet::new();
        for (service_id, targets) in of_routes.chain(of_listeners) {
            named.insert(service_id);
            self.services
                .entry(service_id.clone())
                .or_insert_with(|| Arc::new(Service(PerCore::new(cores))));
            for target in targets {
                self.targets
                    .entry(target.id.clone())
                    .or_insert_with(|| Known { counters: Arc::new(Target::new(cores)), left: None })
                    .left = None;
            }
        }
        self.services.retain(|id, _| named.contains(id));
        self.forget_drained();
    }

    fn forget_drained(&mut self) {
        let mut drained: Vec<(u64, InstanceId)> = self
            .targets
            .iter()
            .filter(|(_, known)| known.counters.in_flight() == 0)
            .filter_map(|(id, known)| known.left.map(|left| (left, id.clone())))
            .collect();
        if drained.len() > MAX_DRAINED_TARGETS {
            drained.sort();
            for (_, id) in drained.iter().take(drained.len() - MAX_DRAINED_TARGETS) {
                self.targets.remove(id);
            }
        }
    }

    /// The counters of an admitted target.
    pub(crate) fn target(&self, id: &InstanceId) -> Option<Arc<Target>> {
        self.targets.get(id).map(|known| Arc::clone(&known.counters))
    }

    /// The counters of an admitted service.
    pub(crate) fn service(&self, id: &ServiceId) -> Option<Arc<Service>> {
        self.services.get(id).map(Arc::clone)
    }

    /// Every known target, in the order of ids.
    pub(crate) fn targets(&self) -> Vec<TargetStatus> {
        let mut all: Vec<_> =
            self.targets.iter().map(|(id, known)| Self::target_status(id, known)).collect();
        all.sort_by(|left, right| left.id.cmp(&right.id));
        all
    }

    /// Targets that left with the last table, and earlier ones that are still busy.
    pub(crate) fn draining(&self) -> Vec<TargetStatus> {
        let mut all: Vec<_> = self
            .targets
            .iter()
            .filter(|(_, known)| {
                known.left.is_some_and(|left| left == self.epoch || known.counters.in_flight() > 0)
            })
            .map(|(id, known)| Self::target_status(id, known))
            .collect();
        all.sort_by(|left, right| left.id.cmp(&right.id));
        all
    }

    fn target_status(id: &InstanceId, known: &Known) -> TargetStatus {
        TargetStatus {
            id: id.clone(),
            in_flight: known.counters.in_flight(),
            requests: known.counters.0.sum(REQUESTS),
            failed: known.counters.0.sum(FAILED),
            draining: known.left.is_some(),
        }
    }

    /// Every service of the table, in the order of ids.
    pub(crate) fn services(&self) -> Vec<ServiceCounters> {
        let mut all: Vec<_> = self
            .services
            .iter()
            .map(|(id, service)| ServiceCounters {
                service_id: id.clone(),
                requests: service.0.sum(REQUESTS),
                failed: service.0.sum(FAILED),
                held: service.0.sum(HELD),
                responses_5xx: service.0.sum(RESPONSES_5XX),
                https_redirects: service.0.sum(HTTPS_REDIRECTS),
                forms_refused: service.0.sum(FORMS_REFUSED),
            })
            .collect();
        all.sort_by(|left, right| left.service_id.cmp(&right.service_id));
        all
    }
}
