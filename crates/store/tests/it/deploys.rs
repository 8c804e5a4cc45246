use model::{Deploy, DeployEvent, DeployId, DeployStatus, DeployTrigger, Problem, Proof};
use store::deploys::{Change, NewDeploy};
use store::services::ServiceRow;
use store::{Error, Store};

use crate::{at, release, web};

fn deploy(store: &Store, row: &ServiceRow) -> Deploy {
    let release = release(store, row);
    let new = NewDeploy {
        service_id: &row.id,
        release_id: &release.id,
        build_id: None,
        trigger: DeployTrigger::Manual,
        now: at(10),
    };
    store::deploys::insert(store, &new).expect("a deploy can be made")
}

fn on(store: &Store, id: &DeployId, event: DeployEvent) -> Result<Deploy, Error> {
    store::deploys::transition(store, id, &Change { event, failure: None, now: at(20) })
}

#[test]
fn each_accepted_transition_writes_exactly_one_event_and_a_refused_one_none() {
    let store = Store::in_memory().unwrap();
    let row = web(&store);
    let deploy = deploy(&store, &row);
    on(&store, &deploy.id, DeployEvent::UpdateStarted).unwrap();
    let refused = on(&store, &deploy.id, DeployEvent::UpdateStarted);
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    assert!(matches!(on(&store, &deploy.id, DeployEvent::BuildFailed), Err(Error::Refused(_))));
    on(&store, &deploy.id, DeployEvent::WentLive).unwrap();
    let events = store::events::since(&store, 0, 100).unwrap();
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["deploy_created", "deploy_update_started", "deploy_went_live"]);
    assert_eq!(events[2].body["status"], "live");
    assert_eq!(events[2].environment_id, Some(row.environment_id.clone()));
    assert_eq!(store::events::of_service(&store, &row.id, 1).unwrap(), events[2..]);
}

#[test]
fn going_live_deactivates_the_one_before() {
    let store = Store::in_memory().unwrap();
    let row = web(&store);
    let (old, new) = (deploy(&store, &row), deploy(&store, &row));
    for id in [&old.id, &new.id] {
        on(&store, id, DeployEvent::UpdateStarted).unwrap();
        on(&store, id, DeployEvent::WentLive).unwrap();
        assert_eq!(
            store::deploys::live(&store, &row.id).unwrap().map(|live| live.id).as_ref(),
            Some(id)
        );
    }
    let old = store::deploys::get(&store, &old.id).unwrap().unwrap();
    assert_eq!(old.status, DeployStatus::Deactivated);
    let last: Vec<String> = store::events::of_service(&store, &row.id, 2)
        .unwrap()
        .into_iter()
        .map(|event| event.kind)
        .collect();
    assert_eq!(last, ["deploy_went_live", "deploy_deactivated"]);
}

#[test]
fn deploys_are_found_by_what_they_are_doing() {
    let store = Store::in_memory().unwrap();
    let row = web(&store);
    let (first, second) = (deploy(&store, &row), deploy(&store, &row));
    let ids =
        |deploys: Vec<Deploy>| deploys.into_iter().map(|deploy| deploy.id).collect::<Vec<_>>();
    assert_eq!(
        ids(store::deploys::in_progress(&store).unwrap()),
        [first.id.clone(), second.id.clone()]
    );
    let failure = Problem::new("build", "it broke").detail("line");
    let change =
        Change { event: DeployEvent::BuildFailed, failure: Some(failure.clone()), now: at(30) };
    let failed = store::deploys::transition(&store, &first.id, &change).unwrap();
    assert_eq!((failed.failure, failed.finished_at), (Some(failure), Some(at(30))));
    assert_eq!(
        ids(store::deploys::in_progress_of(&store, &row.id).unwrap()),
        std::slice::from_ref(&second.id)
    );
    assert_eq!(
        ids(store::deploys::list(&store, &row.id, 9).unwrap()),
        [second.id.clone(), first.id.clone()]
    );
    assert_eq!(store::deploys::latest(&store, &row.id).unwrap().unwrap().id, second.id);
    let build = store::builds::insert(&store, &"ef".repeat(32).parse().unwrap(), at(1)).unwrap();
    store::deploys::set_build(&store, &second.id, &build.id).unwrap();
    let proof = Proof { in_flight: 3, drained: 3, failed: 0, held: 1 };
    store::deploys::set_proof(&store, &second.id, &proof).unwrap();
    let second = store::deploys::get(&store, &second.id).unwrap().unwrap();
    assert_eq!((second.build_id, second.proof), (Some(build.id), Some(proof)));
}

#[test]
fn a_deploy_of_nothing_cannot_be_made() {
    let store = Store::in_memory().unwrap();
    let row = web(&store);
    let release = release(&store, &row);
    store::services::delete(&store, &row.id).unwrap();
    let new = NewDeploy {
        service_id: &row.id,
        release_id: &release.id,
        build_id: None,
        trigger: DeployTrigger::Manual,
        now: at(10),
    };
    assert!(store::deploys::insert(&store, &new).is_err());
    assert_eq!(store::events::latest_sequence(&store).unwrap(), 0);
}
