//! Render's verdict, and that both readings say the same where they have to.

use blueprint::Severity;

use crate::support::{findings, fixture, strict, tolerant};

#[test]
fn strict_reading_refuses_what_render_refuses() {
    let reading = strict(
        "services:\n  - type: web\n    name: a\n    env: node\n    startCommand: x\n    plna: free\n    plan: Starter\n    envVars:\n      - {key: A, value: true}\n  - {type: worker, name: b, runtime: node, startCommand: x, plan: free}\n  - {type: keyvalue, name: c}\ndatabases:\n  - name: d\n    postgresMajorVersion: 15\n    maxmemoryPolicy: noeviction\n",
    );
    assert!(!reading.is_accepted());
    insta::assert_snapshot!(findings(&reading), @r#"
    4:5 note env-for-runtime: `env` is the old spelling of `runtime` [fix]
    6:5 error unknown-field: there is no field `plna` here; it was ignored [fix]
    7:11 error value-spelling: `plan` has no value `Starter`; read as `starter` [fix]
    9:25 note boolean-value: a value has to be a text, and is true or false; its text was taken [fix]
    10:67 error render-rule: on Render only web services can have `plan: free`
    11:22 error missing-ip-allow-list: Key Value instance `c` has no `ipAllowList`; it is closed to the outside [fix]
    13:5 error key-value-in-databases: `d` is a Key Value instance (Redis) under `databases`, which is for PostgreSQL; read as `type: keyvalue` [fix]
    "#);
}

#[test]
fn strict_reading_accepts_what_render_accepts_although_its_schema_does_not() {
    let reading = strict(
        "services:\n  - type: web\n    name: a\n    env: node\n    startCommand: x\n    autoDeploy: false\n    envVars:\n      - {key: A, value: false}\n      - {key: B, fromDatabase: {name: elsewhere, property: host}}\n      - fromGroup: elsewhere\n  - {type: redis, name: r, ipAllowList: []}\n",
    );
    assert!(reading.is_accepted(), "{}", findings(&reading));
    assert_eq!(reading.count(Severity::Note), reading.problems.len());
}

#[test]
fn what_is_clean_when_strict_is_clean_when_tolerant() {
    let text = fixture("complete.yaml");
    let (strict, tolerant) = (strict(&text).blueprint.unwrap(), tolerant(&text).blueprint.unwrap());
    assert!(strict.means_the_same_as(&tolerant));
}
