use jiff::Timestamp;
use model::{
    Artifact, BuildStatus, Exit, Instance, InstancePurpose, Problem, Revision, ServiceKind,
};
use secrecy::ExposeSecret;
use store::cron_runs::CronRun;
use store::jobs::Job;
use store::{FIRST_PORT, FIRST_UID, Store};

use crate::{at, database, environment, instance_of, key_value, release, service, web};

fn exit(code: i32, at: Timestamp) -> Exit {
    Exit {
        code: Some(code),
        signal: None,
        out_of_memory: false,
        limit: None,
        start_error: None,
        at,
    }
}

#[test]
fn a_service_keeps_what_it_was_assigned_when_it_is_declared_again() {
    let store = Store::in_memory().unwrap();
    let first = web(&store);
    assert_eq!((first.uid, first.port_hint), (FIRST_UID, FIRST_PORT));
    store::services::mark_hook_done(&store, &first.id).unwrap();
    store::services::set_blueprint_hash(&store, &first.id, "abc").unwrap();
    let mut changed = service("web", ServiceKind::Web);
    changed.instances = 3;
    let second = store::services::upsert(&store, &first.environment_id, &changed, at(9)).unwrap();
    assert_eq!((&second.id, second.uid, &second.slug), (&first.id, first.uid, &first.slug));
    assert_eq!((second.created_at, second.definition.instances), (at(1), 3));
    assert!(second.hook_done);
    assert_eq!(store::services::get(&store, &first.id).unwrap(), Some(second.clone()));
    assert_eq!(
        store::services::by_name(&store, &first.environment_id, "web").unwrap(),
        Some(second)
    );
}

#[test]
fn no_two_things_of_one_environment_answer_to_one_name() {
    let store = Store::in_memory().unwrap();
    let environment = environment(&store, "shop", "production");
    let mut slugs = Vec::new();
    for name in ["My App", "my-app", "my_app", "my-app-discovery"] {
        let definition = service(name, ServiceKind::Private);
        slugs.push(
            store::services::upsert(&store, &environment.id, &definition, at(1)).unwrap().slug,
        );
    }
    slugs.push(
        store::databases::upsert(&store, &environment.id, &database("my app"), at(1)).unwrap().slug,
    );
    slugs.push(
        store::key_values::upsert(&store, &environment.id, &key_value("my.app"), at(1))
            .unwrap()
            .slug,
    );
    assert_eq!(
        slugs,
        ["my-app", "my-app-2", "my-app-3", "my-app-discovery-2", "my-app-4", "my-app-5"]
    );
}

#[test]
fn public_hosts_are_unique_on_the_machine_and_only_for_those_who_need_one() {
    let store = Store::in_memory().unwrap();
    let mut hosts = Vec::new();
    for (project, name) in [
        ("shop", "production"),
        ("shop", "staging"),
        ("blog", "main"),
        ("shop", "a"),
        ("Shop", "a"),
    ] {
        let environment = environment(&store, project, name);
        for (service_name, kind) in [("web", ServiceKind::Web), ("worker", ServiceKind::Worker)] {
            let definition = service(service_name, kind);
            let row = store::services::upsert(&store, &environment.id, &definition, at(1)).unwrap();
            assert_eq!(row.public_host.is_some(), kind == ServiceKind::Web);
            hosts.extend(row.public_host);
        }
    }
    assert_eq!(hosts, ["web", "web-shop", "web-blog", "web-shop-a", "web-shop-a-2"]);
    let environment = environment(&store, "own", "main");
    let definition = service("gable", ServiceKind::Static);
    let row = store::services::upsert(&store, &environment.id, &definition, at(1)).unwrap();
    assert_eq!(row.public_host.as_deref(), Some("gable-own"));
}

#[test]
fn users_are_never_given_away_twice_and_ports_are() {
    let store = Store::in_memory().unwrap();
    let first = web(&store);
    store::services::delete(&store, &first.id).unwrap();
    assert_eq!(store::services::get(&store, &first.id).unwrap(), None);
    let second = web(&store);
    assert_eq!((second.uid, second.port_hint), (FIRST_UID + 1, FIRST_PORT));
    assert_eq!(second.slug, "web");
    let data =
        store::databases::upsert(&store, &second.environment_id, &database("db"), at(1)).unwrap();
    assert_eq!((data.uid, data.port_hint), (FIRST_UID + 2, FIRST_PORT + 1));
}

#[test]
fn the_passwords_of_a_database_stay() {
    let store = Store::in_memory().unwrap();
    let environment = environment(&store, "shop", "production");
    let row = store::databases::upsert(&store, &environment.id, &database("db"), at(1)).unwrap();
    let before = store::databases::credentials(&store, &row.id).unwrap();
    let mut bigger = database("db");
    bigger.disk_size_gb = Some(15);
    let again = store::databases::upsert(&store, &environment.id, &bigger, at(2)).unwrap();
    let after = store::databases::credentials(&store, &row.id).unwrap();
    assert_eq!(again.definition.disk_size_gb, Some(15));
    assert_eq!(before.app.expose_secret(), after.app.expose_secret());
    assert_eq!(before.superuser.expose_secret(), after.superuser.expose_secret());
    assert_ne!(before.app.expose_secret(), before.superuser.expose_secret());
    assert_eq!(before.app.expose_secret().len(), 32);
    assert!(before.app.expose_secret().chars().all(|letter| letter.is_ascii_alphanumeric()));
    let instance_id = store::new_instance_id();
    store::databases::set_instance(&store, &row.id, Some(&instance_id)).unwrap();
    assert_eq!(store::databases::list_all(&store).unwrap()[0].instance_id, Some(instance_id));
    store::databases::delete(&store, &row.id).unwrap();
    assert!(store::databases::credentials(&store, &row.id).is_err());
}

#[test]
fn builds_of_one_artifact_take_turns() {
    let store = Store::in_memory().unwrap();
    let artifact_id = "ab".repeat(32).parse().unwrap();
    let build = store::builds::insert(&store, &artifact_id, at(1)).unwrap();
    assert_eq!(store::builds::insert(&store, &artifact_id, at(2)).unwrap(), build);
    assert_eq!(store::builds::in_progress(&store, &artifact_id).unwrap(), Some(build.clone()));
    let failed = BuildStatus::Failed(Problem::new("exit", "the build failed").hint("look"));
    store::builds::set_status(&store, &build.id, &failed, at(3)).unwrap();
    assert_eq!(store::builds::get(&store, &build.id).unwrap().unwrap().status, failed);
    assert_eq!(store::builds::list_in_progress(&store).unwrap(), []);
    assert_ne!(store::builds::insert(&store, &artifact_id, at(4)).unwrap().id, build.id);
    let artifact =
        Artifact { id: artifact_id, path: "/a".to_owned(), size_bytes: 1 << 40, files: 7 };
    store::artifacts::insert(&store, &artifact, at(5)).unwrap();
    store::artifacts::insert(&store, &artifact, at(6)).unwrap();
    assert_eq!(store::artifacts::list(&store).unwrap(), [(artifact.clone(), at(5))]);
    assert_eq!(store::artifacts::get(&store, &artifact.id).unwrap(), Some(artifact.clone()));
    store::artifacts::delete(&store, &artifact.id).unwrap();
    assert_eq!(store::artifacts::get(&store, &artifact.id).unwrap(), None);
}

#[test]
fn releases_are_numbered_within_their_service() {
    let store = Store::in_memory().unwrap();
    let row = web(&store);
    assert_eq!(store::releases::next_revision(&store, &row.id).unwrap(), Revision(1));
    let first = release(&store, &row);
    let second = release(&store, &row);
    assert_eq!((first.revision, second.revision), (Revision(1), Revision(2)));
    let artifact_id = "cd".repeat(32).parse().unwrap();
    store::releases::set_artifact(&store, &first.id, &artifact_id).unwrap();
    let listed = store::releases::list(&store, &row.id).unwrap();
    assert_eq!(listed[0], second);
    assert_eq!(listed[1].artifact_id, Some(artifact_id));
    assert_eq!(listed[1].service, row.definition);
    let env = store::releases::env(&store, &first.id).unwrap();
    assert!(env.expose_secret().contains("resolved-environment"));
    assert_eq!(
        store::releases::by_revision(&store, &row.id, Revision(2)).unwrap(),
        store::releases::latest(&store, &row.id).unwrap()
    );
}

#[test]
fn instances_outlive_their_service_until_they_are_removed() {
    let store = Store::in_memory().unwrap();
    let row = web(&store);
    let instance = Instance {
        id: store::new_instance_id(),
        purpose: InstancePurpose::CronRun(row.id.clone()),
        ordinal: 1,
        restarts: 2,
        created_at: at(3),
    };
    store::instances::insert(&store, &instance, &row.id).unwrap();
    store::instances::insert(&store, &instance, &row.id).unwrap();
    store::instances::set_back_off(&store, &instance.id, 3, Some(at(9))).unwrap();
    store::instances::set_predecessor_exit(&store, &instance.id, &exit(1, at(4))).unwrap();
    store::services::delete(&store, &row.id).unwrap();
    let remembered = store::instances::get(&store, &instance.id).unwrap().unwrap();
    assert_eq!((remembered.instance.restarts, remembered.not_before), (3, Some(at(9))));
    assert_eq!(remembered.predecessor_exit, Some(exit(1, at(4))));
    assert_eq!(store::instances::by_service(&store, &row.id).unwrap().len(), 1);
    store::instances::delete(&store, &instance.id).unwrap();
    store::instances::delete(&store, &instance.id).unwrap();
    assert_eq!(store::instances::list(&store).unwrap(), []);
}

#[test]
fn a_cron_service_never_runs_twice_at_once_or_for_one_minute() {
    let store = Store::in_memory().unwrap();
    let row = web(&store);
    let release_id = release(&store, &row).id;
    let run = |scheduled_at: Option<i64>| CronRun {
        instance_id: store::new_instance_id(),
        service_id: row.id.clone(),
        release_id: release_id.clone(),
        scheduled_at: scheduled_at.map(at),
        started_at: at(scheduled_at.unwrap_or(100)),
        ended: None,
    };
    let first = run(Some(60));
    assert!(store::cron_runs::insert(&store, &first).unwrap());
    assert!(!store::cron_runs::insert(&store, &run(Some(120))).unwrap());
    assert!(!store::cron_runs::insert(&store, &run(None)).unwrap());
    assert_eq!(store::cron_runs::in_progress(&store).unwrap(), std::slice::from_ref(&first));
    store::cron_runs::finish(&store, &first.instance_id, &exit(0, at(61)), at(61)).unwrap();
    store::cron_runs::finish(&store, &first.instance_id, &exit(9, at(99)), at(99)).unwrap();
    assert!(!store::cron_runs::insert(&store, &run(Some(60))).unwrap());
    assert!(store::cron_runs::insert(&store, &run(None)).unwrap());
    let runs = store::cron_runs::list(&store, &row.id, 10).unwrap();
    assert_eq!(runs[1].ended, Some((at(61), exit(0, at(61)))));
    assert_eq!(store::cron_runs::latest(&store, &row.id).unwrap(), Some(runs[0].clone()));
    assert_eq!(store::cron_runs::last_scheduled(&store, &row.id).unwrap(), Some(at(60)));
}

#[test]
fn a_job_remembers_its_command_and_its_first_ending() {
    let store = Store::in_memory().unwrap();
    let row = web(&store);
    let job = Job {
        instance_id: store::new_instance_id(),
        service_id: row.id.clone(),
        release_id: release(&store, &row).id,
        command: "seed --password x".into(),
        started_at: at(5),
        ended: None,
    };
    assert!(store::jobs::begin(&store, &instance_of(&job), &job).unwrap());
    assert_eq!(store::jobs::in_progress(&store).unwrap().len(), 1);
    assert!(store::instances::get(&store, &job.instance_id).unwrap().is_some());
    store::jobs::finish(&store, &job.instance_id, &exit(3, at(6)), at(6)).unwrap();
    store::jobs::finish(&store, &job.instance_id, &exit(0, at(7)), at(7)).unwrap();
    let read = store::jobs::get(&store, &job.instance_id).unwrap().unwrap();
    assert_eq!(read.command.expose_secret(), "seed --password x");
    assert_eq!(read.ended, Some((at(6), exit(3, at(6)))));
}

#[test]
fn nothing_begins_for_what_was_stopped_or_removed() {
    let store = Store::in_memory().unwrap();
    let row = web(&store);
    let job = Job {
        instance_id: store::new_instance_id(),
        service_id: row.id.clone(),
        release_id: release(&store, &row).id,
        command: "true".into(),
        started_at: at(5),
        ended: None,
    };
    let instance = instance_of(&job);
    store::environments::set_stopped(&store, &row.environment_id, true).unwrap();
    assert!(!store::instances::begin(&store, &instance, &row.id).unwrap());
    assert!(!store::jobs::begin(&store, &instance, &job).unwrap());
    assert!(store::instances::list(&store).unwrap().is_empty());
    assert!(store::jobs::in_progress(&store).unwrap().is_empty());
    store::environments::set_stopped(&store, &row.environment_id, false).unwrap();
    assert!(store::instances::begin(&store, &instance, &row.id).unwrap());
    store::environments::delete_everything(&store, &row.environment_id).unwrap();
    assert!(!store::instances::begin(&store, &instance, &row.id).unwrap());
    assert!(store::instances::list(&store).unwrap().is_empty());
}

#[test]
fn a_purged_environment_leaves_nothing_and_its_neighbour_everything() {
    let store = Store::in_memory().unwrap();
    let row = web(&store);
    let staging = environment(&store, "shop", "staging");
    let neighbour =
        store::services::upsert(&store, &staging.id, &service("web", ServiceKind::Web), at(1))
            .unwrap();
    let gone = &row.environment_id;
    store::databases::upsert(&store, gone, &database("db"), at(1)).unwrap();
    store::key_values::upsert(&store, gone, &key_value("kv"), at(1)).unwrap();
    release(&store, &row);
    let kept = release(&store, &neighbour);
    for service in [&row, &neighbour] {
        let instance = Instance {
            id: store::new_instance_id(),
            purpose: InstancePurpose::Job(service.id.clone()),
            ordinal: 0,
            restarts: 0,
            created_at: at(1),
        };
        store::instances::insert(&store, &instance, &service.id).unwrap();
    }
    store::environments::delete_everything(&store, gone).unwrap();
    assert_eq!(store::environments::get(&store, gone).unwrap(), None);
    assert_eq!(store::services::list_all(&store).unwrap(), std::slice::from_ref(&neighbour));
    assert_eq!(store::databases::list_all(&store).unwrap(), []);
    assert_eq!(store::key_values::list_all(&store).unwrap(), []);
    assert_eq!(store::instances::list(&store).unwrap().len(), 1);
    assert_eq!(store::releases::get(&store, &kept.id).unwrap(), Some(kept));
    assert_eq!(store::projects::list(&store).unwrap().len(), 1);
    store::environments::delete_everything(&store, &staging.id).unwrap();
    assert_eq!(store::projects::list(&store).unwrap(), []);
}
