//! Secrets, configs, and files that are looked up by the caller.

use blueprint::compose::{Input, read};
use model::{BuildSecret, FileSource};

use super::support::{one, several, understood};

#[test]
fn small_files_come_from_files_variables_texts_and_people() {
    let mut input = several(&[
        (
            "compose.yaml",
            "services:\n  a:\n    image: x\n    secrets: [file, {source: variable, target: /etc/v, mode: 0400}, outside]\n    configs: [text, {source: file, target: conf}]\nsecrets:\n  file: {file: ./s.txt}\n  variable: {environment: TOKEN}\n  outside: {external: true}\nconfigs:\n  text: {content: 'a ${TOKEN}'}\n  file: {file: ./c.txt}\n",
        ),
        ("s.txt", "x"),
        ("c.txt", "x"),
    ]);
    input.variables.insert("TOKEN".to_owned(), "t".to_owned());
    insta::assert_snapshot!(understood(&input), @r#"
    service a worker x no limit
      GABLE_SECRET_VARIABLE = "t"
      GABLE_SECRET_OUTSIDE = Ask
      GABLE_CONFIG_TEXT = "a t"
      file project s.txt at /run/secrets/file 444
      file variable GABLE_SECRET_VARIABLE at /etc/v 400
      file variable GABLE_SECRET_OUTSIDE at /run/secrets/outside 444
      file variable GABLE_CONFIG_TEXT at /text 444
      file project c.txt at /conf 444
    compose.yaml:9:13 note field-translated: `external`: a person gives the text, and Gable keeps it sealed
    "#);
}

#[test]
fn secrets_of_a_build_come_from_where_those_of_services_do() {
    let mut input = several(&[
        (
            "compose.yaml",
            "services:\n  a:\n    build: {context: ., secrets: [file, {source: variable, target: token}]}\n    secrets: [variable]\nsecrets:\n  file: {file: ./s.txt}\n  variable: {environment: TOKEN}\n",
        ),
        ("s.txt", "x"),
    ]);
    input.variables.insert("TOKEN".to_owned(), "t".to_owned());
    let blueprint = read(&input).blueprint.unwrap();
    let service = blueprint.services().next().unwrap();
    let secret = |id: &str, source| BuildSecret { id: id.to_owned(), source };
    let expected = [
        secret("file", FileSource::Project("s.txt".to_owned())),
        secret("token", FileSource::Variable("GABLE_SECRET_VARIABLE".to_owned())),
    ];
    assert_eq!(service.docker.as_ref().unwrap().secrets, expected);
    assert_eq!(service.env.len(), 1, "a value that two have is one: {:?}", service.env);
    assert_eq!(service.container.files.len(), 1);
}

#[test]
fn files_are_asked_for_until_all_are_known() {
    let mut input = one(
        "include: [sub/other.yaml]\nservices:\n  a: {image: x, env_file: .env.a, secrets: [s]}\n  b: {extends: {file: base.yaml, service: z}}\nsecrets: {s: {file: s.txt}}\n",
    );
    let first = read(&input);
    assert!(first.blueprint.is_none() && first.problems.is_empty());
    assert_eq!(first.needs, [".env.a", "base.yaml", "s.txt", "sub/.env"]);
    input.more_files.insert("base.yaml".to_owned(), Some("services: {z: {image: x}}".to_owned()));
    input.more_files.insert("sub/.env".to_owned(), None);
    assert_eq!(read(&input).needs, [".env.a", "s.txt", "sub/other.yaml"]);
    input.more_files.insert(
        "sub/other.yaml".to_owned(),
        Some("services: {c: {image: x, env_file: [{path: c.env}]}}".to_owned()),
    );
    assert_eq!(read(&input).needs, [".env.a", "s.txt", "sub/c.env"]);
    for path in [".env.a", "s.txt", "sub/c.env"] {
        input.more_files.insert(path.to_owned(), Some(String::new()));
    }
    assert!(read(&input).is_accepted());
}

#[test]
fn paths_are_relative_to_the_first_file_and_may_be_absolute_inside_the_project() {
    let mut input = Input::of(
        "deploy/compose.yaml",
        "services:\n  a: {build: .., volumes: ['../data:/data', '/srv/app/conf:/conf', '~/x:/x']}\n",
    );
    input.root_dir = Some("/srv/app".to_owned());
    input.home_dir = Some("/home/me".to_owned());
    insta::assert_snapshot!(understood(&input), @r"
    refused
    deploy/compose.yaml:2:6 error service-left-out: `a` cannot run: a bind of a path of the host that lies outside the project
    deploy/compose.yaml:2:28 note field-translated: `volumes`: files of the project are those of the release; what an instance writes there ends with it (2 places)
    deploy/compose.yaml:2:68 error host-path: a bind of a path of the host that lies outside the project
    ");
    input.allow_host_paths = true;
    insta::assert_snapshot!(understood(&input), @r"
    service a worker Dockerfile in . no limit
      mount project data at /data
      mount project conf at /conf
      mount host /home/me/x at /x
    deploy/compose.yaml:2:28 note field-translated: `volumes`: files of the project are those of the release; what an instance writes there ends with it (2 places)
    ");
}
