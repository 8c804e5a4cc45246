//! Environment variables: shapes, references, templates, secrets.

use blueprint::{explain, render};

use crate::support::{findings, strict, tolerant, understood};

const STORES: &str = "databases:\n  - name: main\nservices:\n  - {type: keyvalue, name: cache, ipAllowList: []}\n  - {type: web, name: api, runtime: node, startCommand: x, envVars: [{key: TOKEN, generateValue: true}]}\n  - type: worker\n    name: w\n    runtime: node\n    startCommand: x\n    envVars:\n";

fn with(vars: &str) -> String {
    let indented: String = vars.lines().map(|line| format!("      {line}\n")).collect();
    understood(&format!("{STORES}{indented}"))
        .lines()
        .skip(5)
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn every_form_of_the_format_is_read() {
    insta::assert_snapshot!(with(
        "- {key: A, value: plain}\n- {key: B, generateValue: true}\n- {key: C, sync: false}\n- {key: D, value: x, previewValue: y}\n- {key: E, fromDatabase: {name: main, property: connectionString}}\n- {key: F, fromService: {type: keyvalue, name: cache, property: connectionString}}\n- {key: G, fromService: {type: redis, name: cache, property: hostport}}\n- {key: H, fromService: {type: web, name: api, property: host}}\n- {key: I, fromService: {type: web, name: api, envVarKey: TOKEN}}\n- {key: J, fromService: {type: web, name: api, envVarKey: RENDER_EXTERNAL_URL}}\n- {key: K, fromService: {type: worker, name: w, envVarKey: A}}\n- {key: discovery.type, value: single-node}"
    ), @r#"
    service w worker node 0.5c-512mb start="x"
      A = "plain"
      B = generated
      C = asked for
      D = "x"
      E = database main.connectionString
      F = service cache.connectionString
      G = service cache.hostport
      H = service api.host
      I = copy of api's TOKEN
      J = copy of api's RENDER_EXTERNAL_URL
      K = copy of w's A
      discovery.type = "single-node"
    "#);
}

#[test]
fn other_shapes_are_understood() {
    insta::assert_snapshot!(with(
        "- A=1\n- key: B\n- value: 2\n- C: 3\n- {key: D, value: x, sync: false}\n- {key: E, generateValue: true, sync: false}\n- {key: F}\n- {key: F, value: 4}\n- {key: G, value: }\n- {name: H, value: 5, description: five, sensitive: true}\n- {key: I, sycn: false}\n- {key: J, value: [1, 2]}\n- {key: K, fromGroup: shared}\n-\n- {key: L, value: 6, colour: red}"
    ), @r#"
      service w worker node 0.5c-512mb start="x" groups=["shared"]
        A = "1"
        B = "2"
        C = "3"
        D = "x"
        E = generated
        F = "4"
        G = asked for
        H = "5"
        I = asked for
        J = "[1, 2]"
        L = "6"
    11:9 repair env-var-shape: variable `A` is written as a text; read as `key` and `value`
    13:9 repair env-var-shape: the value of `B` stands in an item of its own; the two were joined
    14:9 repair env-var-shape: variable `C` is written as a pair; read as `key` and `value`
    15:15 repair env-var-conflict: variable `D` says in 2 ways where its value comes from; `value` counts
    16:15 repair env-var-conflict: variable `E` says in 2 ways where its value comes from; `generateValue` counts
    17:15 note env-var-without-value: variable `F` has no value; it stays unset until it has one
    18:15 repair env-var-twice: variable `F` stands twice (first in line 17); this one counts
    19:15 note env-var-without-value: variable `G` has no value; it stays unset until it has one
    20:10 repair field-spelling: there is no field `name`; read as `key` [fix]
    20:29 repair unknown-field: there is no field `description`: Render has no such field; a comment does the same
    20:48 repair unknown-field: there is no field `sensitive`: every value is treated as a secret
    21:18 repair field-spelling: there is no field `sycn`; read as `sync` [fix]
    22:18 repair env-var-shape: a value has to be a text; the source text was taken
    23:10 repair env-var-conflict: `key` has no meaning beside `fromGroup`; it was ignored
    23:29 note group-not-declared: group `shared` is not declared in the file; its variables stay unset until they have values
    24:8 repair empty-field: an item of `envVars` is empty; it was ignored
    25:28 repair unknown-field: a variable has no field `colour`; it was ignored
    "#);
    insta::assert_snapshot!(understood(
        "services:\n  - type: worker\n    name: w\n    runtime: node\n    startCommand: x\n    envVars:\n      A: 1\n      B: off\n"
    ), @r#"
    scope demo/-
      service w worker node 0.5c-512mb start="x"
        A = "1"
        B = "off"
    6:5 repair env-vars-mapping: `envVars` has to be a list, and is a mapping; its keys were read as names of variables [fix]
    "#);
}

#[test]
fn mistaken_references_are_understood() {
    insta::assert_snapshot!(with(
        "- {key: A, fromService: {type: pserv, name: main, property: connectionString}}\n- {key: B, fromDatabase: {name: cache, property: connectionString}}\n- {key: C, fromService: {name: api, property: hostport}}\n- {key: D, fromService: {type: pserv, name: api, property: host}}\n- {key: E_URL, fromService: {type: web, name: api, property: url}}\n- {key: F, fromDatabase: {name: main, property: hostport}}\n- {key: G, fromService: {type: web, name: api, property: TOKEN}}\n- {key: H, fromService: api}\n- {key: I, fromDatabase: {name: Main, property: url}}\n- {key: J, fromDatabase: {name: main}}\n- {key: K, fromService: {type: '', name: api, property: port}}\n- {key: L, fromDatabase: {name: api, property: connectionString}}\n- {key: M, fromService: {type: web, name: api, property: colour}}\n- {key: N_URL, fromService: {type: web, name: api, property: host}}"
    ), @r#"
      service w worker node 0.5c-512mb start="x"
        A = database main.connectionString
        B = service cache.connectionString
        C = service api.hostport
        D = service api.host
        E_URL = service api.url
        F = template database main.host + ":" + database main.port
        G = copy of api's TOKEN
        H = service api.hostport
        I = database main.connectionString
        J = database main.connectionString
        K = service api.port
        L = database main.connectionString
        M = asked for
        N_URL = service api.host
    11:18 repair reference-kind: `main` is a database, not a service; read as `fromDatabase`
    12:18 repair reference-kind: `cache` is no database; read as `fromService` [fix]
    13:38 repair reference-shape: the reference to `api` has no `type`; it is `web` [fix]
    14:38 repair reference-kind: `api` has type `web`, not `pserv` [fix]
    15:68 repair reference-property: Render has no property `url` here; it was understood all the same
    16:55 repair reference-property: Render has no property `hostport` here; it was understood all the same
    17:64 repair reference-property: `TOKEN` is a variable of `api`, not a property; read as `envVarKey`
    18:18 repair reference-shape: the reference of `H` asks for nothing; read as `property: hostport`
    18:31 repair reference-shape: `fromService` has to be a mapping; its text was taken as the name
    18:31 repair reference-shape: the reference to `api` has no `type`; it is `web`
    19:39 repair reference-shape: nothing is named `Main`; read as `main` [fix]
    19:55 repair reference-property: there is no property `url`; read as `connectionString` [fix]
    20:18 repair reference-shape: the reference of `J` asks for nothing; read as `property: connectionString` [fix]
    21:48 repair reference-shape: the reference to `api` has no `type`; it is `web` [fix]
    22:39 repair reference-kind: `api` is a service, not a database; read as `main`, the only database [fix]
    23:64 repair reference-property: a service has no such property; the variable stays unset
    24:15 note host-as-url: variable `N_URL` is named like a URL and gets the bare host name of `api`
    "#);
}

#[test]
fn references_that_lead_nowhere_are_notes() {
    insta::assert_snapshot!(with(
        "- {key: A, fromDatabase: {name: other, property: connectionString}}\n- {key: B, fromService: {type: web, name: apo, property: host}}\n- {key: C, fromService: {type: web, name: api, envVarKey: NOWHERE}}\n- fromGroup: unknown"
    ), @r#"
      service w worker node 0.5c-512mb start="x" groups=["unknown"]
        A = database other.connectionString
        B = service apo.host
        C = copy of api's NOWHERE
    11:39 note reference-leads-nowhere: database `other` is not declared in the file; the variable stays unset until it has a value
    12:49 note reference-leads-nowhere: service `apo` is not declared in the file; the variable stays unset until it has a value
    13:18 note reference-leads-nowhere: service `api` declares no variable `NOWHERE`; this one stays unset until it has a value
    14:20 note group-not-declared: group `unknown` is not declared in the file; its variables stay unset until they have values
    "#);
}

#[test]
fn templates_are_understood_when_every_part_is_known() {
    insta::assert_snapshot!(with(
        "- {key: A, value: '${RENDER_GIT_TAG:-preview}-${RENDER_GIT_COMMIT:0:7}'}\n- {key: B, value: '${api.url}/v1'}\n- {key: C, value: '${services.api.hostport}'}\n- {key: D, value: 'x${A}y'}\n- {key: E, value: '${main.connectionString}'}\n- {key: F, value: '${cache.url}'}\n- {key: G, value: '${RENDER_SERVICE_DEPLOY_TIME}'}\n- {key: H, value: '${NOBODY}'}\n- {key: I, value: '${{ secrets.X }}'}\n- {key: J, value: '$RENDER_EXTERNAL_URL/x'}\n- {key: K, value: '%N$c+pass'}\n- {key: L, value: '${api.colour}'}\n- {key: M, value: '${M}'}"
    ), @r#"
      service w worker node 0.5c-512mb start="x"
        A = template RENDER_GIT_TAG or "preview" + "-" + RENDER_GIT_COMMIT 0+7
        B = template service api.url + "/v1"
        C = template service api.hostport
        D = template "x" + A + "y"
        E = template database main.connectionString
        F = template service cache.connectionString
        G = template RENDER_SERVICE_DEPLOY_TIME
        H = "${NOBODY}"
        I = "${{ secrets.X }}"
        J = "$RENDER_EXTERNAL_URL/x"
        K = "%N$c+pass"
        L = "${api.colour}"
        M = "${M}"
    11:25 repair interpolated-value: the value of `A` is a template, which Render does not have; `RENDER_GIT_TAG` or a default, 7 characters of `RENDER_GIT_COMMIT` from 0 is put in
    12:25 repair interpolated-value: the value of `B` is a template, which Render does not have; `api.url` is put in
    13:25 repair interpolated-value: the value of `C` is a template, which Render does not have; `api.hostport` is put in
    14:25 repair interpolated-value: the value of `D` is a template, which Render does not have; `A` is put in
    15:25 repair interpolated-value: the value of `E` is a template, which Render does not have; `main.connectionString` is put in
    16:25 repair interpolated-value: the value of `F` is a template, which Render does not have; `cache.connectionString` is put in
    17:25 repair interpolated-value: the value of `G` is a template, which Render does not have; `RENDER_SERVICE_DEPLOY_TIME` is put in; `RENDER_SERVICE_DEPLOY_TIME` is never set and counts as empty
    18:25 note value-not-interpolated: the value of `H` holds `${NOBODY}`, which names nothing known; it stays as it is
    19:25 note value-not-interpolated: the value of `I` holds `$`, which is not replaced; it stays as it is
    20:25 note value-not-interpolated: the value of `J` holds `$`, which is not replaced; it stays as it is
    22:25 note value-not-interpolated: the value of `L` holds `${api.colour}`, which names nothing known; it stays as it is
    23:25 note value-not-interpolated: the value of `M` holds `${M}`, which names nothing known; it stays as it is
    "#);
}

#[test]
fn strict_reading_replaces_nothing() {
    let text = format!("{STORES}      - {{key: A, value: '${{api.url}}'}}\n");
    let reading = strict(&text);
    insta::assert_snapshot!(findings(&reading), @r#"11:25 note value-not-interpolated: the value of `A` holds `$`, which is not replaced; it stays as it is"#);
    let blueprint = reading.blueprint.unwrap();
    let source = &blueprint.scopes[0].services[1].env[0].source;
    assert_eq!(crate::support::source(source), "\"${api.url}\"");
}

#[test]
fn names_are_looked_up_in_the_same_environment_first() {
    insta::assert_snapshot!(understood(
        "databases:\n  - name: shared\nprojects:\n  - name: p\n    environments:\n      - name: staging\n        databases:\n          - name: main\n      - name: production\n        services:\n          - type: worker\n            name: w\n            runtime: go\n            startCommand: x\n            envVars:\n              - {key: A, fromDatabase: {name: shared, property: host}}\n              - {key: B, fromDatabase: {name: main, property: host}}\n"
    ), @r#"
    scope -/-
      database shared shared_user/shared postgres 18 0.1c-256mb
    scope p/staging
      database main main_user/main postgres 18 0.1c-256mb
    scope p/production
      service w worker go 0.5c-512mb start="x"
        A = database shared.host
        B = database main.host
    17:47 note reference-leads-nowhere: database `main` is not declared in the file; the variable stays unset until it has a value
    "#);
}

#[test]
fn groups_may_be_empty_and_hold_what_render_forbids() {
    insta::assert_snapshot!(understood(
        "envVarGroups:\n  - name: a/b c\n    envVars:\n  - name: empty\n  - name: g\n    envVars:\n      - {key: A, sync: false}\n      - {key: B, fromDatabase: {name: d, property: host}}\n      - fromGroup: empty\ndatabases:\n  - name: d\nservices:\n  - {type: worker, name: w, runtime: go, startCommand: x, envVars: [{fromGroup: g}]}\n"
    ), @r#"
    scope demo/-
      group a/b c
      group empty
      group g
        A = asked for
        B = database d.host
      database d d_user/d postgres 18 0.1c-256mb
      service w worker go 0.5c-512mb start="x" groups=["g"]
    3:5 repair empty-field: `envVars` has no value; it counts as absent [fix]
    4:5 repair missing-field: group `empty` has no `envVars`; it is empty [fix]
    7:15 note sync-in-group: Render ignores `sync: false` in groups; here `A` can be given a value
    8:18 repair reference-in-group: variable `B` of a group refers to another resource, which Render does not allow
    9:20 repair reference-in-group: a group cannot link another group; it was ignored
    "#);
}

#[test]
fn no_finding_and_no_explanation_holds_a_value() {
    let secret = "hunter2";
    let vars = [
        "- {key: A, value: true, sync: false, extra: hunter2}",
        "- key: B\n  valeu: hunter2",
        "- key: C\n  vlaue: hunter2\n  value: hunter2",
        "- D=hunter2",
        "- E: hunter2",
        "- key: F\n  value: ${NOBODY:-hunter2}",
        "- key: API_TOKEN\n  value: hunter2hunter2",
        "- key: G\n  value: [hunter2]",
        "- key: H\n  sync: hunter2",
        "- key: I\n  generateValue: hunter2",
        "- key: J\n  fromService: {type: web, name: api, property: hunter2}",
        "- key: K\n  value: |\n    hunter2\n    more: hunter2",
        "- key: L\n  value: \"hunter2\" hunter2",
        "- key: M\n  value: hunter2: hunter2",
        "- key: N\n   value: hunter2",
        "- key: O\n  previewValue: hunter2",
        "- key: P\n  value:\n    - hunter2",
        "- X: [hunter2",
    ];
    for var in vars {
        let indented: String = var.lines().map(|line| format!("      {line}\n")).collect();
        let text = format!("{STORES}{indented}");
        for reading in [tolerant(&text), strict(&text)] {
            for finding in &reading.problems {
                assert!(!format!("{finding:?}").contains(secret), "{var}: {finding:?}");
                let shown = render(finding, &text, "render.yaml", None);
                assert!(!shown.contains(secret), "{var}:\n{shown}");
            }
            assert!(!format!("{:?}", explain(&reading)).contains(secret), "{var}");
        }
    }
}

#[test]
fn a_name_that_no_process_can_be_given_is_refused_with_its_position() {
    let reading = tolerant(
        "services:\n  - type: worker\n    name: w\n    runtime: node\n    startCommand: x\n    buildCommand: x\n    envVars:\n      - {key: MY KEY, value: hunter2}\n      - {key: \"A\\nB\", value: hunter2}\n      - {key: A=B, value: hunter2}\n      - {key: fine.name, value: x}\nenvVarGroups:\n  - name: \"g\\e[2J\"\n    envVars: [{key: \"G\\x9b\", value: x}]\n",
    );
    assert!(reading.blueprint.is_none());
    let refused: String = findings(&reading)
        .lines()
        .filter(|line| line.contains("bad-name"))
        .map(|line| format!("{line}\n"))
        .collect();
    insta::assert_snapshot!(refused, @r"
    8:15 error bad-name: this cannot be the name of a variable: it holds a blank at position 3
    9:15 error bad-name: this cannot be the name of a variable: it holds a line break at position 2
    10:15 error bad-name: this cannot be the name of a variable: it holds a `=` at position 2
    13:5 error bad-name: this cannot be the name of a group: it holds the character \u{1b} at position 2
    14:21 error bad-name: this cannot be the name of a variable: it holds the character \u{9b} at position 2
    ");
}
