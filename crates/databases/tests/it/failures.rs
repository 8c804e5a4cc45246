//! What a person is told when a store cannot be had.

use std::fs;
use std::sync::Arc;

use crate::processes::Processes;
use crate::stage::Stage;
use crate::world::{World, runtime};

fn stage() -> Stage {
    Stage::new(Arc::new(Processes::default()), World::new())
}

#[test]
fn a_closed_network_says_what_to_install() {
    let mut stage = stage();
    let config = &mut stage.world.config;
    config.installed_postgres = "/nonexistent".into();
    config.installed_key_value.clear();
    // Nothing listens on port 9 of loopback.
    config.operator_env = [
        ("PIP_INDEX_URL", "http://someone:s3cret@127.0.0.1:9/simple"),
        ("PIP_RETRIES", "0"),
        ("NO_PROXY", "127.0.0.1"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .to_vec();
    let error = runtime().block_on(stage.try_ensure(&stage.declare("shop", 17))).unwrap_err();
    let problem = error.problem();
    assert_eq!(problem.code, "postgres-unavailable");
    assert!(problem.hint.unwrap().contains("apt-get install postgresql-17"));
    let detail = problem.detail.unwrap();
    assert!(!detail.contains("s3cret"), "{detail}");
    let steps = &stage.steps;
    let key_value = databases::binaries::key_value(&stage.world.config, steps);
    let problem = runtime().block_on(key_value).unwrap_err().problem();
    assert!(problem.hint.unwrap().contains("apt-get install valkey-server"));
}

#[test]
fn data_of_another_major_is_left_alone() {
    let stage = stage();
    let declared = stage.declare("shop", 16);
    let data = stage.world.config.data_dir.join(declared.id.as_str()).join("pgdata");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("PG_VERSION"), "15\n").unwrap();
    let problem = runtime().block_on(stage.try_ensure(&declared)).unwrap_err().problem();
    assert_eq!(problem.code, "postgres-version-mismatch");
    assert!(problem.hint.unwrap().contains("postgresMajorVersion: \"15\""));
    let left: Vec<_> = fs::read_dir(data.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(!stage.world.config.binaries_dir.exists(), "nothing was obtained");
}

#[test]
fn a_major_out_of_support_is_refused_with_the_range() {
    let stage = stage();
    let problem =
        runtime().block_on(stage.try_ensure(&stage.declare("old", 12))).unwrap_err().problem();
    assert_eq!(problem.code, "postgres-version-unsupported");
}
