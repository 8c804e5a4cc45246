//! Texts that are made to cost much: all are refused, quickly, with a reason.

use std::fmt::Write;

use blueprint::{Code, SIZE_LIMIT_BYTES};

use crate::support::tolerant;

fn refused_as(text: &str, code: Code) {
    let reading = tolerant(text);
    assert!(!reading.is_accepted());
    assert!(reading.problems.iter().any(|finding| finding.code == code), "{:?}", reading.problems);
}

#[test]
fn aliases_cannot_blow_a_file_up() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let items = vec![format!("*a{}", level - 1); 9].join(", ");
        writeln!(text, "a{level}: &a{level} [{items}]").unwrap();
    }
    refused_as(&text, Code::TooManyNodes);
}

#[test]
fn aliases_cannot_nest_deeper_than_brackets() {
    let mut text = "a0: &a0 [x]\n".to_owned();
    for level in 1..500 {
        writeln!(text, "a{level}: &a{level} [*a{}]", level - 1).unwrap();
    }
    refused_as(&text, Code::TooDeep);
}

#[test]
fn an_alias_of_itself_is_refused() {
    refused_as("services: &a [*a]\n", Code::TooDeep);
    refused_as("services:\n  - &a\n    name: x\n    envVars: *a\n", Code::TooDeep);
}

#[test]
fn deep_nesting_is_refused() {
    refused_as(&"[".repeat(100_000), Code::TooDeep);
    refused_as(&"- ".repeat(100_000), Code::TooDeep);
    let blocks: String = (0..1000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    refused_as(&blocks, Code::TooDeep);
}

#[test]
fn a_file_larger_than_ten_megabytes_is_refused() {
    refused_as(&"#".repeat(SIZE_LIMIT_BYTES + 1), Code::TooLarge);
}

#[test]
fn a_broken_file_of_many_lines_is_refused_without_delay() {
    let mut text = "services:\n".to_owned();
    for number in 0..20_000 {
        writeln!(text, "  - name: a{number}\n   b: [").unwrap();
    }
    refused_as(&text, Code::NotYaml);
}

#[test]
fn control_characters_and_lone_marks_are_no_reason_to_panic() {
    for text in [
        "\0",
        "\u{feff}",
        "%YAML 1.2\n---\n",
        "---\n---\n---\n",
        "!!map {}",
        "? a",
        "\t",
        "'",
        "&",
        "*",
        "|",
        "...",
        "{{}}: a",
    ] {
        assert!(!tolerant(text).is_accepted(), "{text:?}");
    }
}

#[test]
fn many_resources_on_one_line_are_read_in_a_moment() {
    let services: Vec<String> = (0..6000)
        .map(|number| format!("{{type: worker, name: same, Runtime: go, startCommand: x, envVars: [{{key: A, fromDatabase: {{name: d{number}, property: host}}}}]}}"))
        .collect();
    let reading = tolerant(&format!("services: [{}]\n", services.join(", ")));
    assert!(reading.is_accepted());
    assert_eq!(reading.blueprint.unwrap().services().count(), 6000);
}
