//! Files that are made to cost much: all are refused, quickly, with a reason.

use std::fmt::Write;

use blueprint::Code;
use blueprint::compose::Input;

use super::support::{findings, one, settled, several};

fn refused_as(input: &Input, code: Code) {
    let reading = settled(input);
    assert!(!reading.is_accepted());
    let shown = findings(&reading.problems);
    assert!(reading.problems.iter().any(|finding| finding.code == code), "{shown}");
    assert!(reading.problems.len() < 1000);
}

#[test]
fn aliases_and_deep_nesting_cannot_blow_a_file_up() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let items = vec![format!("*a{}", level - 1); 9].join(", ");
        writeln!(text, "a{level}: &a{level} [{items}]").unwrap();
    }
    refused_as(&one(&text), Code::TooManyNodes);
    refused_as(&one(&"[".repeat(100_000)), Code::TooDeep);
    refused_as(&one("services: &a {a: *a}\n"), Code::TooDeep);
}

#[test]
fn long_texts_behind_aliases_are_counted_each_time() {
    let long = "x".repeat(1 << 20);
    let items = vec!["*a"; 100].join(", ");
    refused_as(&one(&format!("x-a: &a {long}\nx-b: [{items}]\n")), Code::TooMuch);
}

#[test]
fn variables_cannot_grow_without_bound() {
    let mut input = one("services: {a: {image: '${A}${A}${A}'}}\n");
    input.variables.insert("A".to_owned(), "x".repeat(1 << 19));
    refused_as(&input, Code::TooMuch);
    let deep = format!("services: {{a: {{image: '{}x{}'}}}}\n", "${A:-".repeat(50), "}".repeat(50));
    refused_as(&one(&deep), Code::TooMuch);
}

#[test]
fn chains_of_extends_are_cut_off() {
    let mut text = "services:\n  s0: {image: x}\n".to_owned();
    for number in 1..2000 {
        writeln!(text, "  s{number}: {{extends: s{}}}", number - 1).unwrap();
    }
    refused_as(&one(&text), Code::FileCircle);
}

#[test]
fn one_heavy_service_is_not_copied_without_end() {
    let heavy: String = (0..2000).map(|number| format!("V{number}: 1, ")).collect();
    let mut text = format!("services:\n  base: {{image: x, environment: {{{heavy}}}}}\n");
    for number in 0..2000 {
        writeln!(text, "  s{number}: {{extends: base}}").unwrap();
    }
    refused_as(&one(&text), Code::TooMuch);
}

#[test]
fn many_included_files_and_many_ports_are_refused() {
    let names: Vec<String> = (0..400).map(|number| format!("f{number}.yaml")).collect();
    let text = format!("include: [{}]\nservices: {{a: {{image: x}}}}\n", names.join(", "));
    let mut files = vec![("compose.yaml", text.as_str()), (".env", "")];
    files.extend(names.iter().map(|name| (name.as_str(), "services: {}\n")));
    refused_as(&several(&files), Code::TooMuch);
    let ports = "services: {a: {image: x, ports: ['1-65535:1-65535']}}\n";
    refused_as(&one(ports), Code::BadValue);
}

#[test]
fn long_chains_of_dependencies_are_followed() {
    let mut text = "services:\n  s0: {image: x}\n".to_owned();
    for number in 1..3000 {
        writeln!(text, "  s{number}: {{image: x, depends_on: [s{}]}}", number - 1).unwrap();
    }
    assert!(settled(&one(&text)).is_accepted());
}

#[test]
fn many_services_with_many_references_are_read_in_a_moment() {
    let mut text = "services:\n".to_owned();
    for number in 0..3000 {
        let ports = format!("127.0.{}.{}:1-999:1-999", number / 250, number % 250);
        writeln!(text, "  s{number}: {{image: x, volumes: ['v{number}:/x', 'none:/y'], depends_on: [x{number}], ports: ['{ports}']}}").unwrap();
    }
    text.push_str("volumes:\n");
    for number in 0..3000 {
        writeln!(text, "  v{number}:").unwrap();
    }
    let reading = settled(&one(&text));
    assert!(!reading.is_accepted());
    assert!(reading.problems.len() <= 500, "what nobody reads is left out");
    let services: String = (0..9000).map(|number| format!("s{number}: {{image: x}}, ")).collect();
    refused_as(&one(&format!("services: {{{services}}}\n")), Code::TooMuch);
}

#[test]
fn long_lists_of_variables_are_read_in_a_moment() {
    let pairs: String =
        (0..50_000).map(|number| format!("      - V{number}=$X{number}\n")).collect();
    let text = format!("services:\n  a:\n    image: x\n    environment:\n{pairs}");
    let reading = settled(&one(&text));
    assert_eq!(reading.missing.len(), 50_000);
    assert_eq!(reading.blueprint.unwrap().services().next().unwrap().env.len(), 50_000);
}
