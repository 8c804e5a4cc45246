//! What happened to requests while a deploy switched: counted by the edge, written down here.

use model::{DeployId, InstanceId, Proof, ServiceId};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::events;
use crate::platform::Platform;
use crate::tasks::services::look::Seen;

/// Where the count stood when the rollout began. Kept until the proof is complete.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Baseline {
    /// Counters begin anew with each edge: they are comparable only within one.
    edge_pid: u32,
    failed: u64,
    held: u64,
    /// Requests that the old instances were answering at the switch.
    in_flight: u64,
    /// The instances that they were on.
    old: Vec<InstanceId>,
    has_switched: bool,
}

/// Notes where the counters stand before anything is touched.
pub(super) async fn begin(
    platform: &Platform,
    service_id: &ServiceId,
    deploy_id: &DeployId,
) -> Result<(), Error> {
    let Ok(status) = platform.publisher.status().await else { return Ok(()) };
    let counters = status.services.iter().find(|counters| counters.service_id == *service_id);
    let baseline = Baseline {
        edge_pid: status.pid,
        failed: counters.map_or(0, |counters| counters.failed),
        held: counters.map_or(0, |counters| counters.held),
        ..Baseline::default()
    };
    Ok(store::deploys::set_baseline(&platform.store, deploy_id, &baseline)?)
}

/// Notes what the old instances were answering at the switch.
pub(super) fn switched(
    platform: &Platform,
    deploy_id: &DeployId,
    old: &[InstanceId],
    applied: &edge::Applied,
) -> Result<(), Error> {
    let mut baseline: Baseline =
        store::deploys::baseline(&platform.store, deploy_id)?.unwrap_or_default();
    // After a crash between the switch and its record this runs twice; the first count stands.
    if !baseline.has_switched {
        baseline.in_flight = applied
            .draining
            .iter()
            .filter(|target| old.contains(&target.id))
            .map(|target| target.in_flight)
            .sum();
        baseline.old = old.to_vec();
        baseline.has_switched = true;
    }
    Ok(store::deploys::set_baseline(&platform.store, deploy_id, &baseline)?)
}

/// Completes the proof of the live deploy once the old instances answer nothing any more.
pub(super) async fn follow(platform: &Platform, seen: &Seen) -> Result<(), Error> {
    let Some(live) = &seen.desired.live else { return Ok(()) };
    if live.deploy.proof.is_some() {
        return Ok(());
    }
    let baseline: Baseline =
        store::deploys::baseline(&platform.store, &live.deploy.id)?.unwrap_or_default();
    let status = match &seen.edge {
        Some(status) => status.clone(),
        None => match platform.publisher.status().await {
            Ok(status) => status,
            Err(_) => return Ok(()),
        },
    };
    let left: u64 = baseline
        .old
        .iter()
        .filter(|id| seen.instances.iter().any(|instance| instance.id == **id))
        .map(|id| status.in_flight(id))
        .sum();
    if left > 0 {
        return Ok(());
    }
    let counters = status.services.iter().find(|counters| counters.service_id == seen.row.id);
    let is_same_edge = baseline.edge_pid == status.pid;
    let since = |now: u64, before: u64| if is_same_edge { now.saturating_sub(before) } else { now };
    let failed = counters.map_or(0, |counters| since(counters.failed, baseline.failed));
    let proof = Proof {
        in_flight: baseline.in_flight,
        drained: baseline.in_flight.saturating_sub(failed),
        failed,
        held: counters.map_or(0, |counters| since(counters.held, baseline.held)),
    };
    store::deploys::set_proof(&platform.store, &live.deploy.id, &proof)?;
    events::proven(platform, &seen.row, &live.deploy, proof)
}
