//! Compose files that are mended in place.

use blueprint::compose::{Input, fix};

use super::support::{one, settled};

#[test]
fn each_file_gets_its_own_repairs_and_keeps_its_comments() {
    let mut input = one("services:\n  a:\n    image: x # kept\n    enviroment: {A: 'costs $5'}\n");
    let other = "services:\n  a:\n    comand: sh\n";
    input.files.push(("other.yaml".to_owned(), other.to_owned()));
    input.files.push(("clean.yaml".to_owned(), "services:\n  a: {tty: true}\n".to_owned()));
    let before = settled(&input).blueprint.unwrap();
    let fixed = fix(&input);
    let shown: Vec<String> =
        fixed.changed.iter().map(|name| format!("{name}\n{}", fixed.input.text(name))).collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    compose.yaml
    services:
      a:
        image: x # kept
        environment: {A: 'costs $$5'}

    other.yaml
    services:
      a:
        command: sh
    ");
    assert_eq!(fixed.applied.len(), 3);
    let after = settled(&fixed.input);
    assert!(after.problems.iter().all(|finding| finding.repair.is_none()), "{:?}", after.problems);
    assert!(after.blueprint.unwrap().means_the_same_as(&before));
}

#[test]
fn files_that_others_name_are_mended_and_unreadable_ones_left_alone() {
    let mut input = one("include: [part.yaml]\nservices:\n  a: {image: x, comand: sh}\n");
    assert!(fix(&input).changed.is_empty(), "a file is needed that nobody has looked up");
    let part = "services:\n  b:\n    image: y\n    comand: sh\n".to_owned();
    input.more_files.insert("part.yaml".to_owned(), Some(part));
    let mut input = Input { project_name: "demo".to_owned(), ..input };
    let needs = blueprint::compose::read(&input).needs;
    input.more_files.extend(needs.into_iter().map(|name| (name, None)));
    let fixed = fix(&input);
    assert_eq!(fixed.changed, ["compose.yaml", "part.yaml"]);
    assert!(fixed.input.text("part.yaml").contains("    command: sh\n"));
}
