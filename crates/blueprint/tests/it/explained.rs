//! What becomes of each field.

use blueprint::{Treatment, explain, known_fields};

use crate::support::tolerant;

#[test]
fn every_field_of_a_file_is_explained() {
    let reading = tolerant(
        "services:\n  - type: web\n    name: a\n    runtime: node\n    region: ohio\n    plan: starter\n    startCommand: npm start\n    frobnicate: 1\n    envVars:\n      - key: TOKEN\n        value: hunter2\n      - key: B\n        sync: false\n  - type: worker\n    name: b\n    runtime: docker\n",
    );
    let lines: Vec<String> = explain(&reading)
        .iter()
        .map(|one| {
            format!(
                "{}:{} {} = {} -> {}: {}",
                one.span.line, one.span.column, one.path, one.value, one.treatment, one.why
            )
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    1:1 services = 2 items -> equivalent: everything that runs, except PostgreSQL
    2:5 services[0].type = web -> equivalent: decides what the service is
    3:5 services[0].name = a -> equivalent: the identity of the service and its name in the private network
    4:5 services[0].runtime = node -> equivalent: which tools the build and the service find
    5:5 services[0].region = ohio -> not-applicable: everything runs on this machine
    6:5 services[0].plan = starter -> translated: gives each instance its memory and processor limit; nothing is billed
    7:5 services[0].startCommand = npm start -> equivalent: runs in each instance
    8:5 services[0].frobnicate = … -> not-applicable: there is no such field; it was ignored
    9:5 services[0].envVars = 2 items -> equivalent: the environment of build and instances
    10:9 services[0].envVars[0].key = TOKEN -> equivalent: the name of the variable
    11:9 services[0].envVars[0].value = •••••• -> equivalent: its value, exactly as written
    12:9 services[0].envVars[1].key = B -> equivalent: the name of the variable
    13:9 services[0].envVars[1].sync = false -> equivalent: `false`: a person gives the value, or it stays unset
    14:5 services[1].type = worker -> equivalent: decides what the service is
    15:5 services[1].name = b -> equivalent: the identity of the service and its name in the private network
    16:5 services[1].runtime = docker -> equivalent: which tools the build and the service find
    "#);
}

#[test]
fn the_catalog_names_each_field_by_its_place() {
    let patterns: Vec<String> = known_fields().map(blueprint::Field::pattern).collect();
    for pattern in [
        "services[].region",
        "databases[].readReplicas[].name",
        "previews.generation",
        "envVarGroups[].envVars",
    ] {
        assert!(patterns.iter().any(|known| known == pattern), "{pattern}");
    }
    let region = known_fields().find(|field| field.pattern() == "services[].region").unwrap();
    assert_eq!(region.treatment, Treatment::NotApplicable);
}

#[test]
fn no_field_of_images_and_dockerfiles_is_called_not_yet() {
    let of_containers = |path: &str| {
        let path = path.to_ascii_lowercase();
        ["docker", "image", "registry"].iter().any(|word| path.contains(word))
    };
    let later: Vec<String> = known_fields()
        .filter(|field| field.treatment == Treatment::Later)
        .map(blueprint::Field::pattern)
        .filter(|pattern| of_containers(pattern))
        .collect();
    assert!(later.is_empty(), "{later:?}");
}
