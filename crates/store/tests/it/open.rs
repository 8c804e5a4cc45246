use std::fs;
use std::path::Path;
use std::process::Command;

use rusqlite::Connection;
use store::{DATABASE_FILE, Error, Store};

use crate::web;

#[test]
fn what_was_written_is_there_after_it_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("deep/state");
    let row = web(&Store::open(&state).unwrap());
    let store = Store::open(&state).unwrap();
    assert_eq!(store::services::list_all(&store).unwrap(), [row]);
}

#[test]
fn a_database_of_a_newer_gable_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    web(&Store::open(directory.path()).unwrap());
    let path = directory.path().join(DATABASE_FILE);
    let connection = Connection::open(&path).unwrap();
    let version: i32 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    let error = Store::open(directory.path()).unwrap_err();
    assert!(matches!(error, Error::NewerSchema { found: 99, .. }), "{error:?}");
    assert!(error.to_string().contains("schema version 99"), "{error}");
    assert!(error.problem().hint.unwrap().contains("newer gable"));
    connection.pragma_update(None, "user_version", version).unwrap();
    assert_eq!(
        store::services::list_all(&Store::open(directory.path()).unwrap()).unwrap().len(),
        1
    );
}

#[test]
fn what_is_not_ours_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(DATABASE_FILE);
    let text = "not a database at all, but long enough to be taken for a page header ".repeat(20);
    fs::write(&path, &text).unwrap();
    assert!(matches!(Store::open(directory.path()), Err(Error::Foreign(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let error = Store::open(directory.path()).unwrap_err();
    assert!(matches!(error, Error::Foreign(_)), "{error:?}");
    assert!(error.problem().hint.unwrap().contains("--state-dir"));
}

#[test]
fn many_that_open_a_new_state_at_once_agree_on_one_key() {
    let directory = tempfile::tempdir().unwrap();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let path = directory.path().to_owned();
            std::thread::spawn(move || web(&Store::open(path).unwrap()).id)
        })
        .collect();
    let ids: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]));
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(store::services::list_all(&store).unwrap().len(), 1);
    let left: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("secret.key.")), "{left:?}");
}

#[test]
fn readers_and_writers_of_many_threads_do_not_disturb_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let row = web(&store);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (store, row) = (store.clone(), &row);
            scope.spawn(move || {
                for number in 0..10 {
                    store::projects::upsert(&store, &format!("{thread}/{number}"), "/src").unwrap();
                    assert_eq!(store::services::get(&store, &row.id).unwrap().as_ref(), Some(row));
                }
            });
        }
    });
    // One is that of the service.
    assert_eq!(store::projects::list(&store).unwrap().len(), 81);
}

/// A file system of its own, unmounted at the end.
struct SmallDisk<'a>(&'a Path);

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_is_named_and_nothing_is_half_written() {
    let directory = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
        .arg(directory.path())
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        println!("skipped: a small file system can only be mounted by root");
        return;
    }
    let _disk = SmallDisk(directory.path());
    let store = Store::open(directory.path()).unwrap();
    let mut written = 0;
    let error = loop {
        match store::projects::upsert(&store, &format!("{written:04}"), &"x".repeat(20_000)) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 1000, "the disk never became full");
    };
    assert!(matches!(error, Error::DiskFull { .. }), "{error:?}");
    assert!(error.to_string().contains("disk that holds the state is full"), "{error}");
    assert_eq!(store::projects::list(&store).unwrap().len(), written);
    drop(store);
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(store::projects::list(&store).unwrap().len(), written);
}
