//! Everything that the format has, and the defaults.

use blueprint::{Noun, PreviewGeneration};
use model::service::AutoDeploy;

use crate::support::{fixture, strict, tolerant};

#[test]
fn a_file_with_every_field_is_read_whole_and_clean() {
    let text = fixture("complete.yaml");
    let reading = tolerant(&text);
    assert!(reading.problems.is_empty(), "{:#?}", reading.problems);
    assert!(strict(&text).problems.is_empty());
    insta::assert_debug_snapshot!(reading.blueprint.unwrap());
}

#[test]
fn the_examples_of_this_project_are_clean_in_both_readings() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut count = 0;
    for entry in std::fs::read_dir(&root).unwrap() {
        let path = entry.unwrap().path().join("render.yaml");
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        count += 1;
        for reading in [tolerant(&text), strict(&text)] {
            assert!(
                reading.is_accepted() && reading.is_clean(),
                "{}: {:#?}",
                path.display(),
                reading.problems
            );
        }
    }
    assert!(count >= 2, "the examples are there");
}

#[test]
fn defaults_are_filled_in() {
    let reading = tolerant(
        "services:\n  - {type: web, name: a, runtime: node, startCommand: x}\n  - {type: keyvalue, name: k, ipAllowList: []}\n  - {type: keyvalue, name: f, plan: free, ipAllowList: []}\n  - {type: web, name: d, runtime: docker}\ndatabases:\n  - name: Main Db\n",
    );
    let blueprint = reading.blueprint.unwrap();
    let scope = &blueprint.scopes[0];
    assert_eq!((scope.project.as_deref(), scope.environment.as_deref()), (Some("demo"), None));
    let service = &scope.services[0];
    assert_eq!(service.instance_type.name, "0.5c-512mb");
    assert_eq!((service.instances, service.max_shutdown_delay_seconds), (1, 30));
    assert_eq!(service.auto_deploy, AutoDeploy::Commit);
    let docker = scope.services[1].docker.as_ref().unwrap();
    assert_eq!((docker.dockerfile_path.as_str(), docker.context.as_str()), ("Dockerfile", "."));
    let database = &scope.databases[0];
    assert_eq!(
        (database.database_name.as_str(), database.user.as_str()),
        ("main_db", "main_db_user")
    );
    assert_eq!((database.major_version, database.instance_type.memory_bytes), (18, 256 << 20));
    assert_eq!(scope.key_values[0].persistence_mode.to_string(), "journal-snapshot");
    assert_eq!(scope.key_values[1].persistence_mode.to_string(), "off");
    assert_eq!(scope.origin(Noun::Service, "d"), Some("services[3]"));
    assert_eq!(blueprint.previews.generation, PreviewGeneration::Off);
}

#[test]
fn databases_are_open_and_key_values_closed_unless_told_otherwise() {
    let reading = tolerant(
        "databases:\n  - name: a\n  - name: b\n    ipAllowList: []\nservices:\n  - {type: keyvalue, name: c}\n",
    );
    let blueprint = reading.blueprint.unwrap();
    let scope = &blueprint.scopes[0];
    assert_eq!(scope.database_settings["a"].ip_allow_list, None);
    assert_eq!(scope.database_settings["b"].ip_allow_list, Some(Vec::new()));
    assert_eq!(scope.key_value_settings["c"].ip_allow_list, Vec::new());
}

#[test]
fn workflows_are_kept_apart_from_services() {
    let reading = tolerant(
        "services:\n  - {type: workflow, name: W f, runtime: python, buildCommand: b, startCommand: s}\n  - type: web\n    name: a\n    runtime: node\n    startCommand: x\n    envVars:\n      - key: SLUG\n        fromService: {type: workflow, name: W f, property: slug}\n",
    );
    assert!(reading.is_clean(), "{:?}", reading.problems);
    let blueprint = reading.blueprint.unwrap();
    assert_eq!(blueprint.scopes[0].workflows[0].name, "W f");
    assert_eq!(blueprint.services().count(), 1);
    assert_eq!(crate::support::source(&blueprint.scopes[0].services[0].env[0].source), "\"w-f\"");
}

#[test]
fn who_connects_to_a_key_value_instance_without_its_whole_address_is_known() {
    let connects = |variable: &str| {
        let text = format!(
            "services:\n  - {{type: keyvalue, name: cache, ipAllowList: []}}\n  - {{type: keyvalue, name: other, ipAllowList: []}}\n  - type: web\n    name: a\n    runtime: node\n    startCommand: x\n    buildCommand: x\n    envVars:\n      - {{key: A, {variable}}}\n"
        );
        tolerant(&text).blueprint.unwrap().scopes[0].connects_by_parts("cache")
    };
    let reference = |name: &str, property: &str| {
        format!("fromService: {{name: {name}, type: keyvalue, property: {property}}}")
    };
    assert!(!connects(&reference("cache", "connectionString")));
    assert!(!connects(&reference("other", "host")));
    assert!(!connects("value: cache"));
    for property in ["host", "port", "hostport"] {
        assert!(connects(&reference("cache", property)), "{property}");
    }
    assert!(connects("value: 'redis://cache:6379/0'"));
}
