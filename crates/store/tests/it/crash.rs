//! The store in processes that are killed.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use model::{DeployEvent, DeployStatus, DeployTrigger};
use rusqlite::Connection;
use store::deploys::{Change, NewDeploy};
use store::{DATABASE_FILE, Store};

use crate::{at, release, web};

/// Tells the test below that it is a child, and where it shall work.
const CHILD: &str = "GABLE_STORE_CHILD";

/// Makes deploys live, one after another, until it is killed; says so after each.
#[test]
fn a_child_works_until_it_is_killed() {
    let Some(directory) = std::env::var_os(CHILD) else { return };
    let store = Store::open(directory).unwrap();
    let row = web(&store);
    loop {
        let new = NewDeploy {
            service_id: &row.id,
            release_id: &release(&store, &row).id,
            build_id: None,
            trigger: DeployTrigger::Manual,
            now: at(10),
        };
        let deploy = store::deploys::insert(&store, &new).unwrap();
        for event in [DeployEvent::UpdateStarted, DeployEvent::WentLive] {
            let change = Change { event, failure: None, now: at(20) };
            store::deploys::transition(&store, &deploy.id, &change).unwrap();
        }
        // Not through the test harness, which may keep it back.
        writeln!(std::io::stderr(), "{}", deploy.id).unwrap();
    }
}

struct Worker(Child);

impl Worker {
    fn start(directory: &Path) -> Self {
        let child = Command::new(std::env::current_exe().expect("this program has a path"))
            .args(["--exact", "crash::a_child_works_until_it_is_killed", "--nocapture"])
            .env(CHILD, directory)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("this program can be started again");
        Self(child)
    }

    /// The last of `count` deploys that the child said are live.
    fn after(&mut self, count: usize) -> String {
        let said = BufReader::new(self.0.stderr.as_mut().expect("it was piped"));
        let mut live = Vec::new();
        let mut other = Vec::new();
        for line in said.lines().map_while(Result::ok) {
            let place = if line.starts_with("dep-") { &mut live } else { &mut other };
            place.push(line);
            if live.len() == count {
                return live.pop().expect("there is at least one");
            }
        }
        panic!("the child ended by itself: {other:#?}");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What must be true whenever nobody writes.
fn assert_consistent(directory: &Path, store: &Store) {
    let connection =
        Connection::open(directory.join(DATABASE_FILE)).expect("the database can be read");
    let check: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .expect("the database can be read");
    assert_eq!(check, "ok");
    let row = &store::services::list_all(store).expect("the database can be read")[0];
    let deploys = store::deploys::list(store, &row.id, u32::MAX).expect("the database can be read");
    let events = store::events::since(store, 0, u32::MAX).expect("the database can be read");
    let live = deploys.iter().filter(|deploy| deploy.status == DeployStatus::Live).count();
    assert!(live <= 1);
    for deploy in &deploys {
        let expected = match deploy.status {
            DeployStatus::Created => 1,
            DeployStatus::UpdateInProgress => 2,
            DeployStatus::Live => 3,
            DeployStatus::Deactivated => 4,
            other => panic!("nobody made a deploy {other}"),
        };
        let written =
            events.iter().filter(|event| event.deploy_id.as_ref() == Some(&deploy.id)).count();
        assert_eq!(written, expected, "{deploy:?}");
    }
}

#[test]
fn a_killed_process_leaves_whole_transactions_and_loses_none() {
    let directory = tempfile::tempdir().unwrap();
    let mut total = 0;
    for round in 1..=6 {
        let mut worker = Worker::start(directory.path());
        let said = worker.after(round * 2);
        drop(worker);
        total += round * 2;
        let store = Store::open(directory.path()).unwrap();
        assert_consistent(directory.path(), &store);
        let id = said.parse().unwrap();
        let deploy = store::deploys::get(&store, &id).unwrap().unwrap();
        assert!(matches!(deploy.status, DeployStatus::Live | DeployStatus::Deactivated));
        let row = &store::services::list_all(&store).unwrap()[0];
        assert!(store::deploys::list(&store, &row.id, u32::MAX).unwrap().len() >= total);
    }
}

#[test]
fn two_processes_use_one_database() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    web(&store);
    let mut workers = [Worker::start(directory.path()), Worker::start(directory.path())];
    for worker in &mut workers {
        worker.after(5);
    }
    // While both go on.
    for number in 0..20 {
        store::projects::upsert(&store, &number.to_string(), "/src").unwrap();
    }
    drop(workers);
    assert_eq!(store::services::list_all(&store).unwrap().len(), 1);
    assert_consistent(directory.path(), &store);
}
