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

#[test]
fn workflows_have_no_plan_and_a_name_of_their_own() {
    let text = "projects:\n  - name: p\n    environments:\n      - name: one\n        services:\n          - {type: workflow, name: w, runtime: python, buildCommand: b, startCommand: s, plan: pro, repo: 'https://x.example/y', branch: main, rootDir: flows}\n      - name: two\n        services:\n          - {type: workflow, name: w, runtime: node, buildCommand: b, startCommand: s}\n";
    insta::assert_snapshot!(findings(&strict(text)), @r"
    6:90 error field-not-for-type: a workflow has no `plan`; it was ignored
    9:30 error render-rule: Render refuses two workflows of the name `w` in a workspace
    ");
    let reading = tolerant(text);
    insta::assert_snapshot!(findings(&reading), @r"
    6:90 repair field-not-for-type: a workflow has no `plan`; it was ignored
    9:30 note render-rule: Render refuses two workflows of the name `w` in a workspace
    ");
    let scopes = reading.blueprint.unwrap().scopes;
    let names: Vec<&str> = scopes.iter().map(|scope| scope.workflows[0].name.as_str()).collect();
    assert_eq!(names, ["w", "w"]);
}

#[test]
fn previews_of_a_service_are_manual_or_automatic() {
    let text = |generation: &str| {
        format!(
            "services:\n  - {{type: web, name: a, runtime: node, startCommand: x, buildCommand: y, previews: {{generation: {generation}}}}}\n"
        )
    };
    for generation in ["manual", "automatic"] {
        assert!(strict(&text(generation)).is_clean(), "{generation}");
    }
    insta::assert_snapshot!(findings(&strict(&text("off"))), @"2:98 error render-rule: `previews.generation` of a service is `manual` or `automatic`; left out, it is off");
    let reading = tolerant(&text("off"));
    assert!(reading.is_accepted());
    insta::assert_snapshot!(findings(&reading), @"2:98 note render-rule: `previews.generation` of a service is `manual` or `automatic`; left out, it is off");
}

#[test]
fn sizes_are_plans_of_data_stores() {
    let text = "services:\n  - {type: keyvalue, name: k, plan: 1g, ipAllowList: []}\ndatabases:\n  - {name: a, plan: 2c-8g}\n  - {name: b, plan: 1g}\n";
    insta::assert_snapshot!(findings(&strict(text)), @"5:21 error value-spelling: `plan` has no value `1g`; read as `0.5c-1g` [fix]");
    let scope = tolerant(text).blueprint.unwrap().scopes.remove(0);
    let size = |it: &model::InstanceType| (it.name.clone(), it.cpu_millis, it.memory_bytes >> 20);
    assert_eq!(size(&scope.databases[0].instance_type), ("2c-8g".to_owned(), 2000, 8192));
    assert_eq!(size(&scope.databases[1].instance_type), ("0.5c-1g".to_owned(), 500, 1024));
    assert_eq!(size(&scope.key_values[0].instance_type), ("1g".to_owned(), 250, 1024));
}

#[test]
fn hosts_of_the_private_network_have_no_domain() {
    let text = "services:\n  - type: web\n    name: a\n    runtime: node\n    buildCommand: y\n    startCommand: x\n    envVars:\n      - {key: API, value: 'http://api.render-internal.com:10000'}\n      - {key: OTHER, value: 'http://api:10000'}\n";
    let readings = [strict(text), tolerant(text)];
    assert!(readings.iter().all(blueprint::Reading::is_accepted));
    let [strict, tolerant] = readings.map(|reading| findings(&reading));
    assert_eq!(strict, tolerant);
    insta::assert_snapshot!(strict, @"8:27 note internal-domain: the value of `API` names a host below `render-internal.com`; hosts of the private network have no domain");
}
