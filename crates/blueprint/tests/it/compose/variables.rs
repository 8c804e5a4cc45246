//! Variables in compose files.

use blueprint::compose::{Input, render};

use super::support::{findings, one, settled, understood};

#[test]
fn variables_are_filled_in_and_missing_ones_named() {
    let mut input = one(
        "services:\n  a:\n    image: ${REGISTRY:-docker.io}/x:${TAG}\n    ports: ['${PORT:-8080}:80']\n    read_only: ${RO:-false}\n    environment: {A: '$$x ${TAG} ${NONE}', B: '${NONE:-${OTHER:-deep}}', C: 'costs $5'}\n",
    );
    input.variables.insert("TAG".to_owned(), "1.2".to_owned());
    insta::assert_snapshot!(understood(&input), @r#"
    service a web docker.io/x:1.2 no limit
      A = "$x 1.2 "
      B = "deep"
      C = "costs $5"
      port *:8080>80 http
    compose.yaml:4:5 note field-translated: `ports`: HTTP goes through Gable's edge, so that a deploy drops no request; other TCP ports are listened on for the service
    compose.yaml:6:22 note variable-unset: the variable `NONE` has no value and no default
    compose.yaml:6:77 repair dollar-alone: a `$` stands in front of no name; read as the character itself [fix]
    "#);
    let missing = settled(&input).missing;
    let names: Vec<String> =
        missing.iter().map(|missing| format!("{} {}", missing.name, missing.span.line)).collect();
    assert_eq!(names, ["NONE 6"]);
}

#[test]
fn required_variables_and_broken_forms_are_errors() {
    insta::assert_snapshot!(understood(&one(
        "services:\n  a:\n    image: x\n    environment:\n      A: ${KEY:?set it in .env}\n      B: ${KEY:?set it in .env}\n      C: ${X/y/z}\n      D: ${OPEN\n"
    )), @r"
    refused
    compose.yaml:5:10 error variable-required: the variable `KEY` needs a value: set it in .env (2 places)
    compose.yaml:7:10 error bad-interpolation: `${…}` is not closed, or holds something else than a name and a default (2 places)
    ");
}

#[test]
fn no_finding_shows_the_value_of_a_variable() {
    let text = "x-env: &env {KEY: hunter2hunter2, OTHER: pa$5hunter2hunter2}\nservices:\n  '${SECRET}': {image: x}\n  a:\n    image: ${SECRET}\n    ports: ['${SECRET}:80', '${SECRET}']\n    expose: ['${SECRET}']\n    volumes: ['${SECRET}:/x', '../../${SECRET}:/y', '${SECRET}']\n    networks: ['${SECRET}']\n    depends_on: ['${SECRET}']\n    links: ['${SECRET}']\n    env_file: ['./${SECRET}.env']\n    environment: ['${SECRET}', 'KEY=hunter2hunter2 $5', *env]\n    restart: ${SECRET}\n    mem_limit: ${SECRET}\n    cpus: ${SECRET}\n    healthcheck: {test: ['${SECRET}'], interval: '${SECRET}'}\n    secrets: ['${SECRET}', {source: s, mode: '${SECRET}'}]\n    extra_hosts: ['${SECRET}:${SECRET}']\n    sysctls: ['${SECRET}=1']\n    ulimits: {nofile: '${SECRET}'}\n    deploy: {update_config: {order: '${SECRET}'}}\n    x-gable: {routes: ['${SECRET}'], protocol: '${SECRET}', health: {path: '${SECRET}'}}\n  b:\n    extends: {file: '${SECRET}.yaml', service: '${SECRET}'}\n  c:\n    extends: ${SECRET}\nsecrets:\n  s: {environment: '${SECRET}'}\n  t: {file: '${SECRET}'}\ninclude: ['${SECRET}.yml']\n";
    let mut input = Input { project_name: "demo".to_owned(), ..one(text) };
    input.variables.insert("SECRET".to_owned(), "hunter2hunter2".to_owned());
    let mut read = input.clone();
    for path in blueprint::compose::read(&input).needs {
        read.more_files.insert(path, None);
    }
    let reading = settled(&read);
    assert!(reading.problems.len() > 15, "{}", findings(&reading.problems));
    for finding in &reading.problems {
        let shown = render(finding, &read, None);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(!format!("{finding:?}").contains("hunter2"), "{finding:?}");
    }
}

#[test]
fn a_name_that_no_process_can_be_given_is_refused_with_its_position() {
    insta::assert_snapshot!(understood(&one(
        "services:\n  a:\n    image: x\n    environment:\n      MY KEY: hunter2\n      \"A\\nB\": hunter2\n      fine.name: x\n  b:\n    image: x\n    environment: [\"C D=hunter2\"]\n"
    )), @r"
    refused
    compose.yaml:5:7 error bad-name: this cannot be the name of a variable: it holds a blank at position 3
    compose.yaml:6:7 error bad-name: this cannot be the name of a variable: it holds a line break at position 2
    compose.yaml:10:19 error bad-name: this cannot be the name of a variable: it holds a blank at position 2
    ");
}
