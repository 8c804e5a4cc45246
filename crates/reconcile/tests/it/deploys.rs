use model::{DeployStatus, RestartPolicy, ServiceKind};
use proptest::prelude::*;
use reconcile::deploy::{NeedState, Refusal, RolloutMode, RouteState};

use crate::world::{Behaviour, WINDOW, World};

const GOOD: Behaviour = Behaviour::HealthyAfter(300);

#[test]
fn a_first_deploy_goes_live_and_its_successor_takes_over() {
    let mut world = World::new(RolloutMode::SideBySide);
    let first = world.deploy(ServiceKind::Web, GOOD);
    world.run(1_000);
    assert_eq!(world.status(&first), DeployStatus::Live, "{:#?}", world.log);
    assert!(world.serves());
    let second = world.deploy(ServiceKind::Web, GOOD);
    world.run(10_000);
    assert_eq!(world.status(&first), DeployStatus::Deactivated);
    assert_eq!(world.status(&second), DeployStatus::Live);
    assert_eq!(world.running(), 1, "the old instance was stopped: {:#?}", world.log);
    assert!(world.serves());
}

#[test]
fn old_instances_go_also_while_deploys_follow_one_another() {
    let mut world = World::new(RolloutMode::SideBySide);
    let mut most = 0;
    for _ in 0..60 {
        world.deploy(ServiceKind::Web, GOOD);
        world.run(500);
        most = most.max(world.running());
        assert!(world.serves());
    }
    // One that serves, one that comes, and those that were replaced in the last three seconds.
    assert!(most <= 10, "{most} at a time");
    world.run(5_000);
    assert_eq!(world.running(), 1);
}

#[test]
fn an_old_instance_has_its_grace_while_the_edge_does_not_say_what_it_answers() {
    let mut world = World::new(RolloutMode::SideBySide);
    world.deploy(ServiceKind::Web, GOOD);
    world.run(1_000);
    world.is_edge_silent = true;
    world.deploy(ServiceKind::Web, GOOD);
    world.run(20_000);
    assert_eq!(world.running(), 2, "nobody knows that it answers nothing: {:#?}", world.log);
    world.run(15_000);
    assert_eq!(world.running(), 1, "{:#?}", world.log);
}

#[test]
fn what_a_running_service_needs_stops_after_it() {
    let mut world = World::new(RolloutMode::SideBySide);
    world.deploy(ServiceKind::Private, GOOD);
    world.run(1_000);
    world.desired_stopped = true;
    world.dependents = vec!["worker".to_owned()];
    world.run(60_000);
    assert!(world.serves(), "{:#?}", world.log);
    world.dependents.clear();
    world.run(1_000);
    assert_eq!(world.running(), 0, "{:#?}", world.log);
}

#[test]
fn services_that_need_one_another_do_not_wait_for_one_another() {
    let service = |name: &str, needs: &[&str], addresses: &[&str]| {
        let mut service = crate::world::service(ServiceKind::Private);
        name.clone_into(&mut service.name);
        let dependency = |need: &&str| model::Dependency {
            service: (*need).to_owned(),
            condition: model::DependencyCondition::ServiceStarted,
            is_required: true,
        };
        service.container.depends_on = needs.iter().map(dependency).collect();
        let address = |name: &&str| model::EnvVar {
            key: "PEER".to_owned(),
            source: model::EnvSource::FromService {
                name: (*name).to_owned(),
                reference: model::ServiceReference::Property(model::ServiceProperty::Host),
            },
            preview_value: None,
        };
        service.env = addresses.iter().map(address).collect();
        service
    };
    let all = [
        service("queue", &[], &[]),
        service("worker", &["queue"], &["api"]),
        service("api", &["queue"], &["worker"]),
        service("web", &[], &["api"]),
    ];
    let all: Vec<_> = all.iter().collect();
    let first = |name| reconcile::deploy::dependents(name, &all);
    assert_eq!(first("queue"), ["worker", "api"]);
    assert_eq!(first("api"), ["web"], "worker and api need one another");
    assert!(first("worker").is_empty());
    assert!(first("web").is_empty());
}

#[test]
fn a_failed_health_check_keeps_the_old_release() {
    for bad in [Behaviour::NeverHealthy, Behaviour::ExitsAfter(100, 1), Behaviour::BuildFails] {
        let mut world = World::new(RolloutMode::SideBySide);
        let first = world.deploy(ServiceKind::Web, GOOD);
        world.run(1_000);
        let second = world.deploy(ServiceKind::Web, bad);
        world.run(WINDOW.as_millis() as i64 + 5_000);
        assert_eq!(world.status(&first), DeployStatus::Live, "{bad:?}");
        assert!(world.status(&second).is_failed(), "{bad:?} {:?}", world.status(&second));
        assert_eq!(world.running(), 1, "{bad:?}");
        assert!(world.serves(), "{bad:?}");
    }
}

#[test]
fn a_command_that_is_not_found_fails_at_once() {
    let mut world = World::new(RolloutMode::SideBySide);
    let deploy = world.deploy(ServiceKind::Web, Behaviour::ExitsAfter(0, 127));
    world.run(500);
    assert_eq!(world.status(&deploy), DeployStatus::UpdateFailed);
}

#[test]
fn a_service_with_a_disk_never_runs_twice_and_comes_back_after_a_bad_deploy() {
    let mut world = World::new(RolloutMode::StopFirst);
    let first = world.deploy(ServiceKind::Web, GOOD);
    world.run(1_000);
    let second = world.deploy(ServiceKind::Web, Behaviour::ExitsAfter(100, 1));
    for _ in 0..2_000 {
        world.run(50);
        assert!(world.running() <= 1, "{:#?}", world.log);
    }
    assert_eq!(world.status(&first), DeployStatus::Live);
    assert!(world.status(&second).is_failed());
    assert!(world.serves(), "{:#?}", world.log);
}

#[test]
fn requests_are_held_while_a_disk_changes_hands() {
    let mut world = World::new(RolloutMode::StopFirst);
    world.deploy(ServiceKind::Web, GOOD);
    world.run(1_000);
    world.deploy(ServiceKind::Web, GOOD);
    let mut held = false;
    for _ in 0..100 {
        world.run(50);
        held |= world.route == Some(RouteState::Hold);
        assert!(
            matches!(world.route, Some(RouteState::Hold | RouteState::Targets(_))),
            "{:?}",
            world.route
        );
    }
    assert!(held);
    assert!(world.serves());
}

#[test]
fn builds_wait_for_databases_and_fail_with_them() {
    let mut world = World::new(RolloutMode::SideBySide);
    world.data_stores = vec![("db".to_owned(), NeedState::Pending)];
    let deploy = world.deploy(ServiceKind::Web, GOOD);
    let plan = world.pass();
    assert_eq!(plan.waiting.map(|waiting| waiting.to_string()), Some("waiting for db".to_owned()));
    let problem = model::Problem::new("database-not-ready", "db does not start");
    world.data_stores = vec![("db".to_owned(), NeedState::Failed(problem))];
    world.pass();
    assert_eq!(world.status(&deploy), DeployStatus::BuildFailed);
}

#[test]
fn only_the_newest_of_waiting_deploys_is_made() {
    let mut world = World::new(RolloutMode::SideBySide);
    let first = world.deploy(ServiceKind::Web, GOOD);
    world.pass();
    let second = world.deploy(ServiceKind::Web, GOOD);
    let third = world.deploy(ServiceKind::Web, GOOD);
    world.run(20_000);
    assert_eq!(world.status(&first), DeployStatus::Deactivated);
    assert_eq!(world.status(&second), DeployStatus::Canceled);
    assert_eq!(world.status(&third), DeployStatus::Live);
}

#[test]
fn a_crash_of_the_live_instance_is_answered_with_hold_and_a_new_one() {
    let mut world = World::new(RolloutMode::SideBySide);
    world.deploy(ServiceKind::Web, GOOD);
    world.run(1_000);
    world.deploys[0].2 = Behaviour::ExitsAfter(0, 1);
    world.run(100);
    assert_eq!(world.route, Some(RouteState::Hold));
    world.deploys[0].2 = GOOD;
    world.run(5_000);
    assert!(world.serves(), "{:#?}", world.log);
}

#[test]
fn a_crash_loop_is_named() {
    let mut world = World::new(RolloutMode::SideBySide);
    world.deploy(ServiceKind::Web, GOOD);
    world.run(1_000);
    world.deploys[0].2 = Behaviour::ExitsAfter(0, 1);
    world.run(60_000);
    assert_eq!(world.route, Some(RouteState::Unavailable("web keeps crashing".to_owned())));
}

#[test]
fn a_stopped_environment_runs_nothing_and_comes_back() {
    let mut world = World::new(RolloutMode::SideBySide);
    world.deploy(ServiceKind::Web, GOOD);
    world.run(1_000);
    world.desired_stopped = true;
    world.run(1_000);
    assert!(world.instances.is_empty(), "{:#?}", world.instances);
    world.desired_stopped = false;
    world.run(1_000);
    assert!(world.serves());
}

fn behaviour() -> impl Strategy<Value = Behaviour> {
    prop_oneof![
        4 => (0i64..2_000).prop_map(Behaviour::HealthyAfter),
        1 => Just(Behaviour::NeverHealthy),
        1 => (0i64..500, 1i32..128).prop_map(|(after, code)| Behaviour::ExitsAfter(after, code)),
        1 => Just(Behaviour::BuildFails),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    /// Once a good release is live, requests are always answered by a running instance, whatever
    /// is deployed after it and however often the control plane is killed; and in the end nothing
    /// is under way.
    #[test]
    fn a_live_service_never_stops_serving(
        script in prop::collection::vec((behaviour(), 0i64..3_000, any::<bool>()), 1..8)
    ) {
        let mut world = World::new(RolloutMode::SideBySide);
        world.deploy(ServiceKind::Web, GOOD);
        world.run(1_000);
        prop_assert!(world.serves());
        for (behaviour, pause, killed) in script {
            world.deploy(ServiceKind::Web, behaviour);
            for _ in 0..pause / 50 {
                world.run(50);
                prop_assert!(world.serves(), "{:#?}", world.log);
            }
            if killed {
                world.forget_probes();
                world.pass();
                prop_assert!(world.serves(), "{:#?}", world.log);
            }
        }
        for _ in 0..8 {
            world.run(WINDOW.as_millis() as i64 + 60_000);
            prop_assert!(world.serves());
        }
        prop_assert!(world.deploys.iter().all(|(deploy, ..)| !deploy.status.is_in_progress()));
        prop_assert_eq!(world.running(), 1, "{:#?}", world.log.iter().rev().take(30).collect::<Vec<_>>());
    }

    /// Where only one may run, only one ever does.
    #[test]
    fn a_disk_never_has_two_users(
        script in prop::collection::vec((behaviour(), 0i64..3_000, any::<bool>()), 1..6)
    ) {
        let mut world = World::new(RolloutMode::StopFirst);
        for (behaviour, pause, killed) in script {
            world.deploy(ServiceKind::Web, behaviour);
            for _ in 0..pause / 50 {
                world.run(50);
                prop_assert!(world.running() <= 1, "{:#?}", world.log);
            }
            if killed {
                world.forget_probes();
            }
        }
        for _ in 0..200 {
            world.run(1_000);
            prop_assert!(world.running() <= 1, "{:#?}", world.log);
        }
    }
}

#[test]
fn what_a_service_depends_on_comes_first() {
    let mut world = World::new(RolloutMode::SideBySide);
    world.dependencies = vec![("migrate".to_owned(), NeedState::Pending)];
    let deploy = world.deploy(ServiceKind::Web, GOOD);
    world.run(2_000);
    // The build does not have to wait.
    assert_eq!(world.status(&deploy), DeployStatus::BuildInProgress);
    assert!(world.instances.is_empty());
    world.dependencies.clear();
    world.run(1_000);
    assert_eq!(world.status(&deploy), DeployStatus::Live);

    let problem = model::Problem::new("dependency-failed", "migrate failed");
    world.dependencies = vec![("migrate".to_owned(), NeedState::Failed(problem))];
    let next = world.deploy(ServiceKind::Web, GOOD);
    world.run(1_000);
    assert_eq!(world.status(&next), DeployStatus::BuildFailed);
    assert!(world.serves());
}

#[test]
fn a_service_that_may_complete_is_live_when_it_has() {
    for restart in [RestartPolicy::Never, RestartPolicy::OnFailure { max_retries: None }] {
        let mut world = World::new(RolloutMode::SideBySide);
        world.restart = restart;
        let deploy = world.deploy(ServiceKind::Worker, Behaviour::ExitsAfter(200, 0));
        world.run(120_000);
        assert_eq!(world.status(&deploy), DeployStatus::Live);
        // It is neither started again nor forgotten: others ask whether it has completed.
        assert_eq!(world.instances.len(), 1, "{:#?}", world.log);
        let next = world.deploy(ServiceKind::Worker, Behaviour::ExitsAfter(200, 1));
        world.run(120_000);
        assert_eq!(world.status(&next), DeployStatus::UpdateFailed);
    }
}

#[test]
fn a_service_that_is_never_restarted_stays_down() {
    let mut world = World::new(RolloutMode::SideBySide);
    world.restart = RestartPolicy::Never;
    world.deploy(ServiceKind::Web, GOOD);
    world.run(1_000);
    world.deploys[0].2 = Behaviour::ExitsAfter(0, 1);
    world.run(60_000);
    assert_eq!(world.running(), 0);
    let said = "web ended, and its `restart` says to leave it".to_owned();
    assert_eq!(world.route, Some(RouteState::Unavailable(said)));
}

#[test]
fn a_worker_is_watched_beside_the_old_one_and_a_crash_in_that_time_fails_the_deploy() {
    let mut world = World::new(RolloutMode::SideBySide);
    let first = world.deploy(ServiceKind::Worker, GOOD);
    world.run(9_000);
    assert_eq!(world.status(&first), DeployStatus::UpdateInProgress, "{:#?}", world.log);
    world.run(2_000);
    assert_eq!(world.status(&first), DeployStatus::Live, "{:#?}", world.log);

    let second = world.deploy(ServiceKind::Worker, Behaviour::ExitsAfter(4_000, 1));
    world.run(3_000);
    assert_eq!(world.running(), 2, "the old one goes on working");
    world.run(3_000);
    assert_eq!(world.status(&second), DeployStatus::UpdateFailed, "{:#?}", world.log);
    assert_eq!(world.status(&first), DeployStatus::Live);
    assert_eq!(world.running(), 1);

    let third = world.deploy(ServiceKind::Worker, GOOD);
    let plan = world.pass();
    assert!(plan.gives_up_at.is_none());
    world.run(9_000);
    assert_eq!(world.running(), 2, "{:#?}", world.log);
    world.run(6_000);
    assert_eq!(world.status(&third), DeployStatus::Live);
    assert_eq!(world.running(), 1);
}

#[test]
fn a_first_worker_that_crashes_again_and_again_while_it_is_watched_never_counts_as_live() {
    let mut world = World::new(RolloutMode::SideBySide);
    let deploy = world.deploy(ServiceKind::Worker, Behaviour::ExitsAfter(3_000, 1));
    world.run(60_000);
    assert_eq!(world.status(&deploy), DeployStatus::UpdateFailed, "{:#?}", world.log);
    assert!(!world.log.iter().any(|line| line.contains("Switch")), "{:#?}", world.log);
}

#[test]
fn a_worker_that_the_machine_took_with_it_while_it_was_watched_is_started_again() {
    let mut world = World::new(RolloutMode::SideBySide);
    world.deploy(ServiceKind::Worker, GOOD);
    world.run(12_000);
    let second = world.deploy(ServiceKind::Worker, GOOD);
    world.run(3_000);
    world.lose_instances();
    world.run(30_000);
    assert_eq!(world.status(&second), DeployStatus::Live, "{:#?}", world.log);
}

#[test]
fn identical_refusals_fail_a_deploy_after_a_minute_and_those_that_may_pass_do_not() {
    for (status, is_certain) in [
        (400, true),
        (401, true),
        (403, true),
        (404, true),
        (500, true),
        (503, false),
        (429, false),
    ] {
        let mut world = World::new(RolloutMode::SideBySide);
        let first = world.deploy(ServiceKind::Web, GOOD);
        world.run(1_000);
        let second = world.deploy(ServiceKind::Web, Behaviour::Refuses(status));
        world.run(59_000);
        assert_eq!(world.status(&second), DeployStatus::UpdateInProgress, "{status}");
        let left = world.pass().gives_up_at.unwrap().duration_since(world.now).as_secs();
        assert!(if is_certain { left <= 2 } else { left > 800 }, "{status}: {left} s");
        world.run(5_000);
        let failed = world.status(&second) == DeployStatus::UpdateFailed;
        assert_eq!(failed, is_certain, "{status}");
        assert_eq!(world.status(&first), DeployStatus::Live);
        assert!(world.serves());
    }
}

#[test]
fn an_answer_that_changes_begins_a_refusal_anew() {
    let at = |second: i64| jiff::Timestamp::from_second(second).unwrap();
    let first = Refusal::and_then(None, 500, "no table users (request 1)", at(1));
    let alike = Refusal::and_then(Some(&first), 500, "no table users (request 2)", at(2));
    assert_eq!(alike.since, at(1));
    let other = Refusal::and_then(Some(&alike), 500, "no table orders (request 3)", at(3));
    assert_eq!(other.since, at(3));
    assert_eq!(Refusal::and_then(Some(&other), 403, "no table orders", at(4)).since, at(4));
}
