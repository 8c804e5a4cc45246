//! What happened to requests while a deploy switched: counted by the edge, written down here.

use model::{DeployId, InstanceId, Proof, ServiceId};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::events;
use crate::platform::Platform;
use crate::tasks::services::look::Seen;

/// Where the count stood when the rollout began. Kept until the proof is complete.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Baseline {
    /// Counters begin anew with each edge: they are comparable only within one.
    edge_pid: u32,
    failed: u64,
    held: u64,
    /// What the old instances were doing at the switch.
    targets: Vec<Old>,
    has_switched: bool,
}

/// An instance of the release before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Old {
    id: InstanceId,
    /// Requests that it was answering.
    in_flight: u64,
    /// Requests that had failed on it until then.
    failed: u64,
}

impl Baseline {
    /// What is complete once the old instances answer nothing any more.
    fn proof(&self, status: &edge::Status, service_id: &ServiceId) -> Proof {
        let is_same_edge = self.edge_pid == status.pid;
        let since =
            |now: u64, before: u64| if is_same_edge { now.saturating_sub(before) } else { now };
        let counters = status.services.iter().find(|counters| counters.service_id == *service_id);
        let drained = self.targets.iter().map(|old| {
            let target = status.targets.iter().find(|target| target.id == old.id);
            // Requests end with the edge that holds them. One that has forgotten a target since
            // has seen it idle.
            match target {
                _ if !is_same_edge => 0,
                Some(target) => {
                    old.in_flight.saturating_sub(target.failed.saturating_sub(old.failed))
                }
                None => old.in_flight,
            }
        });
        Proof {
            in_flight: self.targets.iter().map(|old| old.in_flight).sum(),
            drained: drained.sum(),
            failed: counters.map_or(0, |counters| since(counters.failed, self.failed)),
            held: counters.map_or(0, |counters| since(counters.held, self.held)),
        }
    }
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
        baseline.targets = applied
            .draining
            .iter()
            .filter(|target| old.contains(&target.id))
            .map(|target| Old {
                id: target.id.clone(),
                in_flight: target.in_flight,
                failed: target.failed,
            })
            .collect();
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
    let is_there = |old: &&Old| seen.instances.iter().any(|instance| instance.id == old.id);
    if baseline.targets.iter().filter(is_there).any(|old| status.in_flight(&old.id) > 0) {
        return Ok(());
    }
    let proof = baseline.proof(&status, &seen.row.id);
    store::deploys::set_proof(&platform.store, &live.deploy.id, &proof)?;
    events::proven(platform, &seen.row, &live.deploy, proof)
}

#[cfg(test)]
mod tests {
    use edge::{ServiceCounters, Status, TargetStatus};
    use uuid::Uuid;

    use super::*;

    fn instance(number: u128) -> InstanceId {
        InstanceId::from_uuid(Uuid::from_u128(number))
    }

    /// Targets are `(number, in flight, failed)`.
    fn status(pid: u32, failed: u64, targets: &[(u128, u64, u64)]) -> Status {
        let target = |(number, in_flight, failed): &(u128, u64, u64)| TargetStatus {
            id: instance(*number),
            in_flight: *in_flight,
            requests: 10,
            failed: *failed,
            draining: true,
        };
        let service_id = ServiceId::from_uuid(Uuid::nil());
        Status {
            generation: model::route::Generation(1),
            pid,
            listen: Vec::new(),
            https: Vec::new(),
            settings: edge::Settings::default(),
            targets: targets.iter().map(target).collect(),
            services: vec![ServiceCounters {
                service_id,
                requests: 99,
                failed,
                held: 0,
                responses_5xx: 0,
                https_redirects: 0,
                forms_refused: 0,
            }],
            zones: Vec::new(),
            listeners: Vec::new(),
            connections: 0,
        }
    }

    fn drained(status: &Status) -> (u64, u64, u64) {
        let old = |number, in_flight, failed| Old { id: instance(number), in_flight, failed };
        let targets = vec![old(1, 3, 2), old(2, 1, 0)];
        let baseline = Baseline { edge_pid: 7, failed: 5, held: 0, targets, has_switched: true };
        let proof = baseline.proof(status, &ServiceId::from_uuid(Uuid::nil()));
        (proof.in_flight, proof.drained, proof.failed)
    }

    #[test]
    fn a_request_that_failed_on_a_new_instance_was_not_lost_in_draining() {
        assert_eq!(drained(&status(7, 9, &[(1, 0, 2), (2, 0, 0), (3, 0, 4)])), (4, 4, 4));
        assert_eq!(drained(&status(7, 6, &[(1, 0, 3), (2, 0, 0)])), (4, 3, 1));
    }

    #[test]
    fn what_another_edge_held_was_not_drained() {
        assert_eq!(drained(&status(8, 0, &[])), (4, 0, 0));
        assert_eq!(drained(&status(7, 5, &[])), (4, 4, 0), "forgotten because they were idle");
    }
}
