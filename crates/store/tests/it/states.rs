//! States of nouns: written in their rows, gone with them, and taken over from older databases.

use model::{DeployEvent, DeployTrigger, Proof};
use rusqlite::Connection;
use store::deploys::{Change, NewDeploy};
use store::{DATABASE_FILE, Store};

use crate::{at, database, key_value, release, web};

/// Every state that a noun has, written once.
fn write_everything(store: &Store) -> store::services::ServiceRow {
    let row = web(store);
    let project = store::projects::list(store).expect("projects can be listed").remove(0);
    store::projects::set_applied(store, &project.id, &"/src").expect("a project has a state");
    store::environments::set_stopped(store, &row.environment_id, true)
        .expect("an environment has a state");
    store::services::set_route(store, &row.id, &vec![1, 2]).expect("a service has a route");
    store::services::set_seen_port(store, &row.id, 3000).expect("a service has a port");
    let new = NewDeploy {
        service_id: &row.id,
        release_id: &release(store, &row).id,
        build_id: None,
        trigger: DeployTrigger::Manual,
        now: at(10),
    };
    let deploy = store::deploys::insert(store, &new).expect("a deploy can be made");
    store::deploys::set_baseline(store, &deploy.id, &7).expect("a deploy has a baseline");
    store::databases::upsert(store, &row.environment_id, &database("db"), at(1))
        .expect("a database can be made");
    store::key_values::upsert(store, &row.environment_id, &key_value("kv"), at(1))
        .expect("a Key Value instance can be made");
    row
}

#[test]
fn a_state_is_read_as_it_was_written_last() {
    let store = Store::in_memory().unwrap();
    let row = web(&store);
    assert_eq!(store::services::route::<Vec<u8>>(&store, &row.id).unwrap(), None);
    assert_eq!(store::services::seen_port(&store, &row.id).unwrap(), None);
    assert!(!store::environments::is_stopped(&store, &row.environment_id).unwrap());
    write_everything(&store);
    store::services::set_route(&store, &row.id, &vec![4]).unwrap();
    assert_eq!(store::services::route(&store, &row.id).unwrap(), Some(vec![4]));
    assert!(store::services::route::<String>(&store, &row.id).is_err());
    assert_eq!(store::services::seen_port(&store, &row.id).unwrap(), Some(3000));
    assert!(store::environments::is_stopped(&store, &row.environment_id).unwrap());
    let applied: Option<String> = store::projects::applied(&store, "shop").unwrap();
    assert_eq!(applied.as_deref(), Some("/src"));
    assert_eq!(store::projects::applied::<String>(&store, "other").unwrap(), None);
    let build = store::builds::insert(&store, &"ab".repeat(32).parse().unwrap(), at(1)).unwrap();
    assert_eq!(store::builds::instance(&store, &build.id).unwrap(), None);
    let instance_id = store::new_instance_id();
    store::builds::set_instance(&store, &build.id, &instance_id).unwrap();
    assert_eq!(store::builds::instance(&store, &build.id).unwrap(), Some(instance_id));
    let first = store::generations::next(&store).unwrap();
    assert!(store::generations::next(&store).unwrap() > first);
}

#[test]
fn a_deploy_that_is_proven_needs_its_baseline_no_more() {
    let store = Store::in_memory().unwrap();
    let row = write_everything(&store);
    let deploy = store::deploys::latest(&store, &row.id).unwrap().unwrap();
    assert_eq!(store::deploys::baseline(&store, &deploy.id).unwrap(), Some(7));
    for event in [DeployEvent::UpdateStarted, DeployEvent::WentLive] {
        let change = Change { event, failure: None, now: at(20) };
        store::deploys::transition(&store, &deploy.id, &change).unwrap();
    }
    let proof = Proof { in_flight: 1, drained: 1, failed: 0, held: 0 };
    store::deploys::set_proof(&store, &deploy.id, &proof).unwrap();
    assert_eq!(store::deploys::baseline::<u32>(&store, &deploy.id).unwrap(), None);
}

#[test]
fn what_is_gone_has_no_state_and_takes_none() {
    let store = Store::in_memory().unwrap();
    let row = write_everything(&store);
    store::services::delete(&store, &row.id).unwrap();
    assert_eq!(store::services::route::<Vec<u8>>(&store, &row.id).unwrap(), None);
    assert!(store::services::set_route(&store, &row.id, &1).is_err());
    assert!(store::services::set_seen_port(&store, &row.id, 1).is_err());
    store::environments::delete_everything(&store, &row.environment_id).unwrap();
    assert!(!store::environments::is_stopped(&store, &row.environment_id).unwrap());
    assert!(store::environments::set_stopped(&store, &row.environment_id, true).is_err());
}

#[test]
fn a_purged_project_leaves_no_row_behind() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let row = write_everything(&store);
    store::environments::delete_everything(&store, &row.environment_id).unwrap();
    let connection = Connection::open(directory.path().join(DATABASE_FILE)).unwrap();
    let mut tables = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        .unwrap();
    let tables: Vec<String> =
        tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(tables.len() > 10);
    // What is counted and checked for the whole state is nobody's.
    for table in tables.iter().filter(|table| !matches!(table.as_str(), "seal" | "counters")) {
        let sql = format!("SELECT count(*) FROM {table}");
        let left: i64 = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0, "{table}");
    }
}

#[test]
fn an_older_database_brings_its_states_along() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let row = web(&store);
    let release = release(&store, &row);
    let new = NewDeploy {
        service_id: &row.id,
        release_id: &release.id,
        build_id: None,
        trigger: DeployTrigger::Manual,
        now: at(10),
    };
    let deploy = store::deploys::insert(&store, &new).unwrap();
    let build = store::builds::insert(&store, &"ab".repeat(32).parse().unwrap(), at(1)).unwrap();
    let instance_id = store::new_instance_id();
    drop(store);
    // Back to the first schema, by hand.
    let connection = Connection::open(directory.path().join(DATABASE_FILE)).unwrap();
    connection
        .execute_batch(
            "ALTER TABLE services DROP COLUMN route; ALTER TABLE services DROP COLUMN seen_port;
             ALTER TABLE deploys DROP COLUMN baseline;
             ALTER TABLE environments DROP COLUMN is_stopped;
             ALTER TABLE projects DROP COLUMN applied;
             ALTER TABLE builds DROP COLUMN instance_id;
             ALTER TABLE databases DROP COLUMN init_env_sealed;
             ALTER TABLE deploys DROP COLUMN warning;
             CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
             PRAGMA user_version = 1;",
        )
        .unwrap();
    let old = [
        (format!("route/{}", row.id), "[1]".to_owned()),
        (format!("port/{}", row.id), "3000".to_owned()),
        (format!("proof/{}", deploy.id), "7".to_owned()),
        (format!("stopped/{}", row.environment_id), "true".to_owned()),
        ("applied/shop".to_owned(), "\"/src\"".to_owned()),
        (format!("build-instance/{}", build.id), format!("\"{instance_id}\"")),
        ("artifact-key".to_owned(), "[1,2,3]".to_owned()),
    ];
    for (key, value) in old {
        connection.execute("INSERT INTO settings VALUES (?1, ?2)", [key, value]).unwrap();
    }
    drop(connection);
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(store::services::route(&store, &row.id).unwrap(), Some(vec![1]));
    assert_eq!(store::services::seen_port(&store, &row.id).unwrap(), Some(3000));
    assert_eq!(store::deploys::baseline(&store, &deploy.id).unwrap(), Some(7));
    assert!(store::environments::is_stopped(&store, &row.environment_id).unwrap());
    let applied: Option<String> = store::projects::applied(&store, "shop").unwrap();
    assert_eq!(applied.as_deref(), Some("/src"));
    assert_eq!(store::builds::instance(&store, &build.id).unwrap(), Some(instance_id));
}
