//! Text level: line ends, documents, anchors, keys that stand twice, and layouts that are no YAML.

use crate::support::{fixture, tolerant, understood};

#[test]
fn a_planned_file_with_lists_at_two_indentations_is_understood() {
    insta::assert_snapshot!(understood(&fixture("planned.yaml")));
}

#[test]
fn windows_line_ends_a_byte_order_mark_and_a_missing_final_newline_change_nothing() {
    let plain = "---\nservices:\n  - type: web\n    name: größe\n    runtime: node\n    startCommand: node .\n";
    let windows = plain.replace('\n', "\r\n");
    let marked = format!("\u{feff}{plain}");
    let open = plain.trim_end();
    let expected = tolerant(plain).blueprint.unwrap();
    for text in [&windows, &marked, open] {
        let reading = tolerant(text);
        assert!(reading.is_clean(), "{:?}", reading.problems);
        assert!(reading.blueprint.unwrap().means_the_same_as(&expected));
    }
}

#[test]
fn places_are_given_in_the_text_as_written() {
    let text = "\u{feff}services:\r\n  - type: web\r\n    name: a\r\n    runtime: node\r\n    startCommand: x\r\n    envVars:\r\n      - key: Ä\r\n        value: b\r\n";
    let blueprint = tolerant(text).blueprint.unwrap();
    let span = blueprint.span("services[0].envVars[0].value").unwrap();
    assert_eq!((span.line, span.column, &text[span.bytes.clone()]), (8, 16, "b"));
    let span = blueprint.span("services[0]").unwrap();
    assert_eq!((span.line, span.column), (2, 5));
}

#[test]
fn several_documents_and_lists_that_stand_twice_are_joined() {
    insta::assert_snapshot!(understood(
        "services:\n  - {type: web, name: a, runtime: node, startCommand: x}\ndatabases: []\nservices:\n  - {type: worker, name: b, runtime: go, startCommand: y}\n---\ndatabases:\n  - name: d\n"
    ), @r#"
    scope demo/-
      database d d_user/d postgres 18 0.1c-256mb
      service a web node 0.5c-512mb start="x"
      service b worker go 0.5c-512mb start="y"
    4:1 repair duplicate-key: `services` stands twice (first in line 1); both lists are read [fix]
    7:1 repair several-documents: the file holds 2 documents; they were read as one
    "#);
}

#[test]
fn of_other_keys_that_stand_twice_the_last_counts() {
    insta::assert_snapshot!(understood(
        "services:\n  - type: web\n    name: a\n    runtime: node\n    startCommand: first\n    startCommand: second\n"
    ), @r#"
    scope demo/-
      service a web node 0.5c-512mb start="second"
    6:5 repair duplicate-key: `startCommand` stands twice (first in line 5); this one counts [fix]
    "#);
}

#[test]
fn anchors_aliases_and_merge_keys_are_followed() {
    insta::assert_snapshot!(understood(
        "version: \"1\"\nservices:\n  - &base\n    type: web\n    name: a\n    runtime: node\n    startCommand: x\n    envVars: &vars\n      - key: A\n        value: 1\n  - <<: *base\n    name: b\n    type: worker\n  - {type: worker, name: c, runtime: node, startCommand: z, envVars: *vars}\n"
    ), @r#"
    scope demo/-
      service a web node 0.5c-512mb start="x"
        A = "1"
      service b worker node 0.5c-512mb start="x"
        A = "1"
      service c worker node 0.5c-512mb start="z"
        A = "1"
    "#);
}

#[test]
fn an_alias_without_an_anchor_counts_as_empty() {
    insta::assert_snapshot!(understood(
        "services:\n  - type: worker\n    name: a\n    runtime: node\n    startCommand: x\n    region: *where\n"
    ), @r#"
    scope demo/-
      service a worker node 0.5c-512mb start="x"
    6:5 repair empty-field: `region` has no value; it counts as absent [fix]
    6:13 repair unknown-alias: there is no anchor `&where`
    "#);
}

#[test]
fn scalars_keep_their_source_text() {
    insta::assert_snapshot!(understood(
        "services:\n  - type: worker\n    name: a\n    runtime: node\n    startCommand: x\n    autoDeployTrigger: off\n    envVars:\n      - {key: A, value: 3.10}\n      - {key: B, value: 1_000}\n      - {key: C, value: 007}\n      - {key: D, value: off}\n      - {key: E, value: 0.050}\n      - {key: F, value: 1e3}\n      - {key: G, value: 0x1F}\n      - {key: H, value: 2026-01-02}\n      - {key: I, value: \"a\\tb\"}\n      - {key: J, value: 'it''s'}\n      - key: K\n        value: |\n          one\n          two\n      - key: L\n        value: >-\n          one\n          two\n      - {key: M, value: true}\n"
    ), @r#"
    scope demo/-
      service a worker node 0.5c-512mb start="x"
        A = "3.10"
        B = "1_000"
        C = "007"
        D = "off"
        E = "0.050"
        F = "1e3"
        G = "0x1F"
        H = "2026-01-02"
        I = "a\tb"
        J = "it's"
        K = "one\ntwo\n"
        L = "one two"
        M = "true"
    26:25 repair boolean-value: a value has to be a text, and is true or false; its text was taken [fix]
    "#);
}

#[test]
fn small_mistakes_of_layout_are_mended_with_their_place() {
    let head = "services:\n  - type: worker\n    name: a\n    runtime: node\n";
    let check = |tail: &str| understood(&format!("{head}{tail}"));
    insta::assert_snapshot!(check("     startCommand: x\n"), @r#"
    scope demo/-
      service a worker node 0.5c-512mb start="x"
    5:6 repair indentation: line 5 stands at column 6, where what they belong to is at column 5 [fix]
    "#);
    insta::assert_snapshot!(check("    startCommand: echo a: b\n"), @r#"
    scope demo/-
      service a worker node 0.5c-512mb start="echo a: b"
    5:19 repair unquoted-text: the value of `startCommand` needs quotes: it holds characters that mean something in YAML [fix]
    "#);
    insta::assert_snapshot!(check("\tstartCommand: x\n"), @r#"
    scope demo/-
      service a worker node 0.5c-512mb start="x"
    5:1 repair tabs: 1 line is indented with tabs, which YAML forbids [fix]
    "#);
    insta::assert_snapshot!(check("    startCommand: \"it's\" here\n"), @r#"
    scope demo/-
      service a worker node 0.5c-512mb start="\"it's\" here"
    5:19 repair unquoted-text: the value of `startCommand` needs quotes: it holds characters that mean something in YAML [fix]
    "#);
    insta::assert_snapshot!(check("    startCommand:x\n"), @r#"
    scope demo/-
      service a worker node 0.5c-512mb start="x"
    5:17 repair missing-space: this colon has no space behind it [fix]
    "#);
    insta::assert_snapshot!(check("    envVars:\n      - key: A\n        value: @b\n     - key: C\n       value: `d`\n"), @r#"
    refused
    7:16 error blueprint-not-yaml: this is not YAML: unexpected character: `@'
    "#);
}

#[test]
fn what_no_small_change_makes_yaml_is_refused_with_a_place() {
    insta::assert_snapshot!(understood("services:\n<<<<<<< HEAD\n  - type: web\n=======\n  - type: worker\n>>>>>>> other\n"), @r#"
    refused
    2:1 error blueprint-not-yaml: this is not YAML: simple key expected ':'
    "#);
    insta::assert_snapshot!(understood("services: [\n  {type: web, name: a\n"), @r#"
    refused
    2:3 error blueprint-not-yaml: this is not YAML: unclosed bracket '{'
    "#);
}
