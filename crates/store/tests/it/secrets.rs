use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use model::{EnvOwner, ServiceKind, ValueOrigin};
use rusqlite::Connection;
use secrecy::ExposeSecret;
use store::jobs::Job;
use store::secrets::{KEY_FILE, derive_key, generate_password, generate_value};
use store::values::Slot;
use store::{DATABASE_FILE, Error, Store};

use crate::{at, database, instance_of, release, service, web};

/// Whether any file of the state holds this text.
fn is_in_the_clear(directory: &Path, text: &str) -> bool {
    fs::read_dir(directory).expect("the state can be listed").any(|entry| {
        let path = entry.expect("the state can be listed").path();
        let bytes = fs::read(path).expect("the state can be read");
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[test]
fn no_secret_stands_in_the_files_in_the_clear() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let row = web(&store);
    let release = release(&store, &row);
    let data =
        store::databases::upsert(&store, &row.environment_id, &database("db"), at(1)).unwrap();
    let owner = EnvOwner::Service("web".to_owned());
    let slot = Slot { environment_id: &row.environment_id, owner: &owner, key: "K" };
    store::values::set(&store, slot, &"set-by-a-person".into(), ValueOrigin::Operator, at(1))
        .unwrap();
    let job = Job {
        instance_id: store::new_instance_id(),
        service_id: row.id.clone(),
        release_id: release.id,
        command: "psql postgres://u:in-a-command@db".into(),
        started_at: at(5),
        ended: None,
    };
    assert!(store::jobs::begin(&store, &instance_of(&job), &job).unwrap());
    let credentials = store::databases::credentials(&store, &data.id).unwrap();
    let secrets = [
        "set-by-a-person",
        "in-a-command",
        "literal-in-the-file",
        "resolved-environment",
        credentials.app.expose_secret(),
        credentials.superuser.expose_secret(),
    ];
    for secret in secrets {
        assert!(!is_in_the_clear(directory.path(), secret), "{secret}");
    }
    // The search finds what is there.
    assert!(is_in_the_clear(directory.path(), "production"));
    drop(store);
    for secret in secrets {
        assert!(!is_in_the_clear(directory.path(), secret), "{secret}");
    }
    for name in [KEY_FILE, DATABASE_FILE] {
        let mode = fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_lost_a_damaged_and_a_foreign_key_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join(KEY_FILE);
    web(&Store::open(directory.path()).unwrap());
    let own = fs::read(&key).unwrap();
    assert_eq!(own.len(), 32);

    fs::remove_file(&key).unwrap();
    let error = Store::open(directory.path()).unwrap_err();
    assert!(matches!(error, Error::KeyMissing(_)), "{error:?}");
    let problem = error.problem();
    assert!(problem.message.contains(key.to_str().unwrap()), "{problem:?}");
    assert!(problem.hint.unwrap().contains("from a backup"));
    assert!(!key.exists(), "a lost key must not be replaced by a new one");

    fs::write(&key, b"short").unwrap();
    assert!(matches!(Store::open(directory.path()), Err(Error::KeyDamaged(_))));
    fs::write(&key, [7; 32]).unwrap();
    assert!(matches!(Store::open(directory.path()), Err(Error::KeyForeign(_))));
    fs::write(&key, own).unwrap();
    assert_eq!(
        store::services::list_all(&Store::open(directory.path()).unwrap()).unwrap().len(),
        1
    );
}

#[test]
fn a_sealed_value_cannot_be_moved_to_another_place() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let row = web(&store);
    let other = service("api", ServiceKind::Private);
    store::services::upsert(&store, &row.environment_id, &other, at(1)).unwrap();
    let connection = Connection::open(directory.path().join(DATABASE_FILE)).unwrap();
    connection
        .execute("UPDATE services SET definition_sealed = (SELECT definition_sealed FROM services WHERE name = 'api')", [])
        .unwrap();
    let error = store::services::get(&store, &row.id).unwrap_err();
    assert!(
        matches!(&error, Error::Unsealable(place) if place.contains(row.id.as_str())),
        "{error:?}"
    );
}

#[test]
fn generated_secrets_have_the_promised_form_and_differ() {
    let values: BTreeSet<String> =
        (0..50).map(|_| generate_value().expose_secret().to_owned()).collect();
    assert_eq!(values.len(), 50);
    assert!(values.iter().all(|value| value.len() == 44 && value.ends_with('=')));
    let passwords: BTreeSet<String> =
        (0..50).map(|_| generate_password().expose_secret().to_owned()).collect();
    assert_eq!(passwords.len(), 50);
}

#[test]
fn a_derived_key_is_the_same_each_time_and_stands_in_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let key = derive_key(&Store::open(directory.path()).unwrap(), "one");
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(derive_key(&store, "one"), key);
    assert_ne!(derive_key(&store, "two"), key);
    assert_ne!(derive_key(&Store::open(other.path()).unwrap(), "one"), key);
    assert_ne!(fs::read(directory.path().join(KEY_FILE)).unwrap(), key);
    assert!(fs::read_dir(directory.path()).unwrap().all(|entry| {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        !bytes.windows(key.len()).any(|window| window == key)
    }));
}
