//! Variables in compose files.

use blueprint::compose::{Input, render};

use super::support::{findings, one, service, settled, several, understood};

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
fn files_of_variables_follow_the_rules_of_docker() {
    let input = several(&[
        (
            "compose.yaml",
            "services:\n  a:\n    image: x\n    env_file: [app.env, {path: raw.env, format: raw}]\n",
        ),
        ("app.env", "MOTTO='it\\'s fine # really'\nTAIL=b\nCOLOUR=#fff\nURL=http://$HOST/${X:?}\n"),
        ("raw.env", "RAW='$A' # x\n"),
    ]);
    insta::assert_snapshot!(understood(&input), @r"
    refused
    compose.yaml:4:16 error variable-required: the variable `X` needs a value
    compose.yaml:4:16 note variable-unset: the variable `HOST` has no value and no default
    ");
    let mut input = input;
    for name in ["HOST", "X"] {
        input.variables.insert(name.to_owned(), "h".to_owned());
    }
    insta::assert_snapshot!(understood(&input), @r##"
    service a worker x no limit
      MOTTO = "it's fine # really"
      TAIL = "b"
      COLOUR = "#fff"
      URL = "http://h/h"
      RAW = "'$A' # x"
    "##);
}

#[test]
fn what_a_file_of_variables_says_behind_a_quote_is_an_error_at_its_place() {
    let input = several(&[
        (
            "compose.yaml",
            "include: [sub/c.yaml]\nservices:\n  a: {image: x, env_file: app.env}\n  b: {image: x, env_file: app.env}\n",
        ),
        ("app.env", "A=1\nMOTTO='it' hunter2\n"),
        ("sub/c.yaml", "services: {c: {image: x}}\n"),
        ("sub/.env", "  B=\"hunter2\n"),
    ]);
    let reading = settled(&input);
    insta::assert_snapshot!(findings(&reading.problems), @r"
    sub/.env:1:5 error env-file-line: the quote is never closed
    app.env:2:12 error env-file-line: there is something after the closing quote
    ");
    for finding in &reading.problems {
        assert!(!render(finding, &input, None).contains("hunter2"));
    }
    let env = blueprint::compose::read_env_file(".env", "A='b'c\n", &Default::default());
    insta::assert_snapshot!(findings(&env.unwrap_err()), @".env:1:6 error env-file-line: there is something after the closing quote");
}

#[test]
fn an_included_file_can_be_read_without_the_variables_beside_it() {
    let files = |include: &str| {
        several(&[
            ("compose.yaml", include),
            ("sub/c.yaml", "services: {c: {image: 'x:${TAG:-none}'}}\n"),
            ("sub/.env", "TAG=beside\n"),
        ])
    };
    let image = |include: &str| service(&files(include)).image.unwrap().url;
    assert_eq!(image("include: [sub/c.yaml]\n"), "x:beside");
    assert_eq!(image("include: [{path: sub/c.yaml, env_file: /dev/null}]\n"), "x:none");
    assert_eq!(image("include: [{path: sub/c.yaml, env_file: [/dev/null]}]\n"), "x:none");
}

#[test]
fn a_default_that_is_not_needed_requires_nothing() {
    let url = |text: &str| {
        let mut input = one(&format!("services: {{a: {{image: \"{text}\"}}}}\n"));
        input.variables.insert("A".to_owned(), "one".to_owned());
        let reading = settled(&input);
        let names: Vec<String> = reading.missing.iter().map(|it| it.name.clone()).collect();
        let url = reading.blueprint.map(|it| it.scopes[0].services[0].image.clone().unwrap().url);
        format!("{} {}", url.unwrap_or_default(), names.join(","))
    };
    assert_eq!(url("x:${A:-${B:?}}"), "x:one ");
    assert_eq!(url("x:${A-${B:?why}}"), "x:one ");
    assert_eq!(url("x:${B:-${A:-${C:?}}}"), "x:one ");
    assert_eq!(url("x:${B:+${C:?}}y"), "x:y ");
    assert_eq!(url("x:${B:-${C:?}}"), " C");
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
