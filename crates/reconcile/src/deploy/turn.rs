//! Whose turn it is, of several deploys of one service.

use model::{Deploy, DeployId, DeployStatus};

/// Whose turn it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Turn {
    /// The deploy to work on.
    pub next: Option<Deploy>,
    /// Those that a newer one has overtaken while they waited: nobody wants them any more.
    pub overtaken: Vec<DeployId>,
}

/// Chooses among the deploys of one service that are under way, oldest first. One that has begun
/// is finished first, and whatever came later waits for it; of those that only wait, the newest
/// is what people want.
#[must_use]
pub fn turn(mut under_way: Vec<Deploy>) -> Turn {
    let has_begun =
        |deploy: &Deploy| !matches!(deploy.status, DeployStatus::Created | DeployStatus::Queued);
    match under_way.iter().position(has_begun) {
        Some(begun) => Turn { next: Some(under_way.remove(begun)), overtaken: Vec::new() },
        None => Turn {
            next: under_way.pop(),
            overtaken: under_way.into_iter().map(|deploy| deploy.id).collect(),
        },
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use model::{DeployTrigger, ReleaseId, ServiceId};
    use uuid::Uuid;

    use super::*;

    fn check(statuses: &[DeployStatus], next: Option<usize>, overtaken: &[usize]) {
        let id = |index: usize| DeployId::from_uuid(Uuid::from_u128(index as u128));
        let deploys = statuses.iter().enumerate().map(|(index, status)| Deploy {
            id: id(index),
            service_id: ServiceId::from_uuid(Uuid::nil()),
            release_id: ReleaseId::from_uuid(Uuid::nil()),
            build_id: None,
            status: *status,
            trigger: DeployTrigger::Manual,
            failure: None,
            proof: None,
            created_at: Timestamp::UNIX_EPOCH,
            status_since: Timestamp::UNIX_EPOCH,
            finished_at: None,
        });
        let turn = turn(deploys.collect());
        assert_eq!(turn.next.map(|deploy| deploy.id), next.map(id), "{statuses:?}");
        let expected: Vec<_> = overtaken.iter().map(|index| id(*index)).collect();
        assert_eq!(turn.overtaken, expected, "{statuses:?}");
    }

    #[test]
    fn what_has_begun_is_finished_and_else_the_newest_overtakes() {
        use DeployStatus::{BuildInProgress, Created, Queued, UpdateInProgress};
        check(&[], None, &[]);
        check(&[Created], Some(0), &[]);
        check(&[Queued, Created, Created], Some(2), &[0, 1]);
        check(&[UpdateInProgress, Created], Some(0), &[]);
        check(&[Queued, BuildInProgress, Created], Some(1), &[]);
    }
}
