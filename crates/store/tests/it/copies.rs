//! Copies of the database, and putting one in its place.

use std::os::unix::fs::PermissionsExt;

use model::Generation;
use secrecy::ExposeSecret;
use store::{Store, copies};

use crate::{at, environment, release, web};

#[test]
fn a_copy_holds_everything_that_was_written_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    environment(&store, "shop", "production");
    let generation = store::generations::next(&store).unwrap();
    let copy = copies::make(&store, directory.path(), at(7)).unwrap();
    environment(&store, "later", "production");
    let contents = copies::check(&copy.path).unwrap();
    assert_eq!(contents.projects, ["shop"]);
    assert_eq!(contents.generation, generation);
    assert_eq!(copies::list(directory.path()).unwrap(), std::slice::from_ref(&copy));
    assert_eq!(copy.at, at(7));
    let mode = std::fs::metadata(&copy.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds names that are nobody else's business");
}

#[test]
fn a_copy_takes_the_place_of_an_empty_database_and_counts_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let row = web(&store);
    let made = release(&store, &row);
    let copy = copies::make(&store, directory.path(), at(7)).unwrap();
    drop(store);
    for name in ["gable.db", "gable.db-wal", "gable.db-shm"] {
        let _ = std::fs::remove_file(directory.path().join(name));
    }
    environment(&Store::open(directory.path()).unwrap(), "stranger", "production");
    let kept = copies::restore(directory.path(), &copy.path, Generation(41), at(8)).unwrap();
    let store = Store::open(directory.path()).unwrap();
    let env = store::releases::env(&store, &made.id).unwrap();
    assert!(env.expose_secret().contains("resolved-environment"), "the key is still its own");
    assert_eq!(store::generations::next(&store).unwrap(), Generation(42));
    assert_eq!(copies::check(&kept.unwrap()).unwrap().projects, ["stranger"]);
    assert!(copy.path.exists(), "it can be used again");
}

#[test]
fn a_copy_that_is_damaged_is_refused_and_nothing_is_touched() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    for number in 0..200 {
        environment(&store, &format!("project-{number}"), "production");
    }
    let copy = copies::make(&store, directory.path(), at(7)).unwrap();
    let mut bytes = std::fs::read(&copy.path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0xff);
    std::fs::write(&copy.path, bytes).unwrap();
    let error = copies::restore(directory.path(), &copy.path, Generation(1), at(8)).unwrap_err();
    assert_eq!(error.problem().code, "state-unusable", "{error}");
    assert_eq!(copies::contents_of(&store).unwrap().projects.len(), 200);
    std::fs::write(&copy.path, b"no database at all, however long it may be").unwrap();
    assert!(copies::check(&copy.path).is_err());
}
