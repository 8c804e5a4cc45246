//! Mending files: small, and without a change of meaning.

use blueprint::{Mode, fix, unified_diff};

use crate::support::{findings, fixture, options, tolerant};

/// The difference that mending makes, and what is left.
fn check(text: &str) -> String {
    let fixed = fix(text, &options(Mode::Tolerant));
    let before = tolerant(text);
    let after = tolerant(&fixed.text);
    assert!(after.problems.len() <= before.problems.len());
    if let (Some(before), Some(after)) = (&before.blueprint, &after.blueprint) {
        assert!(before.means_the_same_as(after));
    }
    let again = fix(&fixed.text, &options(Mode::Tolerant));
    assert!(again.applied.is_empty() && again.text == fixed.text, "mending twice is mending once");
    let mut shown = unified_diff(text, &fixed.text, "render.yaml");
    shown.push_str("left:\n");
    shown.push_str(&findings(&after));
    shown
}

#[test]
fn quirks_are_mended_and_comments_stay() {
    insta::assert_snapshot!(check(&fixture("quirks.yaml")));
}

#[test]
fn a_planned_file_is_mended_as_far_as_possible() {
    insta::assert_snapshot!(check(&fixture("planned.yaml")));
}

#[test]
fn a_clean_file_is_left_alone() {
    let text = fixture("complete.yaml");
    assert_eq!(fix(&text, &options(Mode::Tolerant)).text, text);
}

#[test]
fn redis_moves_from_databases_to_services() {
    insta::assert_snapshot!(check(
        "# Shop\nservices:\n- type: web # public\n  name: a\n  runtime: node\n  startCommand: x\n\ndatabases:\n  # Main\n  - name: main\n  # Queue\n  - name: queue # fast\n    plan: free\n    maxmemoryPolicy: noeviction # keep all\n"
    ), @r#"
    --- a/render.yaml
    +++ b/render.yaml
    @@ -4,11 +4,13 @@
       name: a
       runtime: node
       startCommand: x
    +# Queue
    +- name: queue # fast
    +  type: keyvalue
    +  ipAllowList: []
    +  plan: free
    +  maxmemoryPolicy: noeviction # keep all
     
     databases:
       # Main
       - name: main
    -  # Queue
    -  - name: queue # fast
    -    plan: free
    -    maxmemoryPolicy: noeviction # keep all
    left:
    "#);
}

#[test]
fn lists_that_stand_twice_are_joined_with_their_comments() {
    insta::assert_snapshot!(check(
        "services:\n  - type: worker\n    name: a\n    runtime: go\n    startCommand: x\ndatabases:\n  - name: d\n# Cache\nservices:\n    # the queue\n    - type: keyvalue\n      name: k\n      ipAllowList: []"
    ), @r#"
    --- a/render.yaml
    +++ b/render.yaml
    @@ -3,11 +3,10 @@
         name: a
         runtime: go
         startCommand: x
    +  # the queue
    +  - type: keyvalue
    +    name: k
    +    ipAllowList: []
     databases:
       - name: d
     # Cache
    -services:
    -    # the queue
    -    - type: keyvalue
    -      name: k
    -      ipAllowList: []
    \ No newline at end of file
    left:
    "#);
}

#[test]
fn a_database_among_services_moves_with_its_references() {
    insta::assert_snapshot!(check(
        "services:\n  - type: web\n    name: a\n    runtime: node\n    startCommand: x\n    envVars:\n      - key: DATABASE_URL\n        fromService:\n          type: pserv\n          name: d\n          property: connectionString\n  # Data\n  - type: pserv\n    name: d\n    env: postgres\n    plan: free\n    ipAllowList: []\n    disk:\n      name: x\n      mountPath: /var/lib/postgresql/data\n      sizeGB: 5\n"
    ), @r#"
    --- a/render.yaml
    +++ b/render.yaml
    @@ -5,17 +5,13 @@
         startCommand: x
         envVars:
           - key: DATABASE_URL
    -        fromService:
    -          type: pserv
    +        fromDatabase:
               name: d
               property: connectionString
    +
    +databases:
       # Data
    -  - type: pserv
    -    name: d
    -    env: postgres
    +  - name: d
         plan: free
         ipAllowList: []
    -    disk:
    -      name: x
    -      mountPath: /var/lib/postgresql/data
    -      sizeGB: 5
    +    diskSizeGB: 5
    left:
    "#);
}

#[test]
fn mappings_of_variables_become_lists() {
    insta::assert_snapshot!(check(
        "services:\n  - type: worker\n    name: a\n    runtime: go\n    startCommand: x\n    envVars:\n      # first\n      A: 1 # one\n      B: two words\n"
    ), @r#"
    --- a/render.yaml
    +++ b/render.yaml
    @@ -5,5 +5,7 @@
         startCommand: x
         envVars:
           # first
    -      A: 1 # one
    -      B: two words
    +      - key: A
    +        value: 1 # one
    +      - key: B
    +        value: two words
    left:
    "#);
}

#[test]
fn an_unknown_field_that_stands_for_a_missing_one_is_renamed() {
    insta::assert_snapshot!(check(
        "services:\n  - type: worker\n    nam: a # its name\n    runtime: go\n    startCommand: x\n"
    ), @r"
    --- a/render.yaml
    +++ b/render.yaml
    @@ -1,5 +1,5 @@
     services:
       - type: worker
    -    nam: a # its name
    +    name: a # its name
         runtime: go
         startCommand: x
    left:
    ");
}

#[test]
fn an_unknown_field_is_not_renamed_to_one_that_is_there_or_of_another_kind() {
    insta::assert_snapshot!(check(
        "services:\n  - type: worker\n    name: a\n    nam: b\n    runtime: go\n    startCommand: x\n    dik: 5\n"
    ), @r"
    --- a/render.yaml
    +++ b/render.yaml
    @@ -1,7 +1,5 @@
     services:
       - type: worker
         name: a
    -    nam: b
         runtime: go
         startCommand: x
    -    dik: 5
    left:
    ");
}

#[test]
fn windows_line_ends_stay() {
    let text = "services:\r\n  - type: redis\r\n    name: a\r\n";
    let fixed = fix(text, &options(Mode::Tolerant));
    assert_eq!(
        fixed.text,
        "services:\r\n  - type: keyvalue\r\n    name: a\r\n    ipAllowList: []\r\n"
    );
    assert!(fixed.remaining.is_empty());
}
