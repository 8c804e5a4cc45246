//! Several files into one.

use blueprint::compose::{Input, default_files};

use super::support::{one, several, understood};

fn two(base: &str, over: &str) -> Input {
    let mut input = one(base);
    input.files.push(("compose.prod.yaml".to_owned(), over.to_owned()));
    input
}

#[test]
fn later_files_add_to_and_replace_what_earlier_ones_say() {
    insta::assert_snapshot!(understood(&two(
        "services:\n  a:\n    image: x:1\n    command: [one, a]\n    environment: [A=1, B=1]\n    ports: ['80:80']\n    volumes: ['data:/data', './a:/conf']\n    depends_on: [b]\n    networks: [n]\n  b: {image: x}\nvolumes: {data: , more: }\nnetworks: {n: }\n",
        "services:\n  a:\n    image: x:2\n    command: [two]\n    environment: {B: 2, C: 3}\n    ports: ['80:80', '81:81']\n    volumes: ['more:/data']\n    depends_on: {b: {condition: service_healthy}}\n    networks: {n: {aliases: [z]}}\n  c: {image: y}\n"
    )), @r#"
    service a web x:2 no limit
      runs two
      A = "1"
      B = "2"
      C = "3"
      port *:80>80 http
      port *:81>81 http
      mount volume more at /data
      mount project a at /conf
      after b service_healthy
      as z
    service b worker x no limit
    service c worker y no limit
    compose.yaml:6:5 note field-translated: `ports`: HTTP goes through Gable's edge, so that a deploy drops no request; other TCP ports are listened on for the service (2 places)
    compose.yaml:7:29 note field-translated: `volumes`: files of the project are those of the release; what an instance writes there ends with it
    compose.yaml:9:5 note field-translated: `networks`: all services of a project share one private network; aliases become names in it (2 places)
    compose.yaml:12:1 note field-translated: `networks`: all services of a project share one private network of Gable's
    "#);
}

#[test]
fn tags_drop_and_replace() {
    insta::assert_snapshot!(understood(&two(
        "services:\n  a:\n    image: x\n    ports: ['80:80']\n    environment: {A: 1, B: 1}\n    command: one\n    volumes: [/one]\n",
        "services:\n  a:\n    ports: !override ['81:81']\n    environment: {A: !reset null, C: 1}\n    volumes: !reset []\n"
    )), @r#"
    service a web x no limit
      runs one
      B = "1"
      C = "1"
      port *:81>81 http
    compose.yaml:4:5 note field-translated: `ports`: HTTP goes through Gable's edge, so that a deploy drops no request; other TCP ports are listened on for the service (2 places)
    "#);
}

#[test]
fn anchors_and_merge_keys_are_followed() {
    insta::assert_snapshot!(understood(&one(
        "x-base: &base\n  image: x\n  environment: &env {A: 1}\nservices:\n  a: {<<: *base, ports: [80]}\n  b:\n    <<: *base\n    environment: {<<: *env, B: 2}\n"
    )), @r#"
    service a web x no limit
      A = "1"
      port *:any>80 http
    service b worker x no limit
      B = "2"
      A = "1"
    compose.yaml:5:18 note field-translated: `ports`: HTTP goes through Gable's edge, so that a deploy drops no request; other TCP ports are listened on for the service
    "#);
}

#[test]
fn services_extend_others_of_the_same_and_of_other_files() {
    insta::assert_snapshot!(understood(&several(&[
        (
            "compose.yaml",
            "services:\n  a: {extends: {file: common/base.yaml, service: app}, environment: {B: 2}}\n  b: {extends: a, ports: !override ['81:80']}\n",
        ),
        (
            "common/base.yaml",
            "services:\n  root: {build: ., environment: {A: 1, B: 1}}\n  app: {extends: {service: root}, ports: ['80:80'], volumes: ['./conf:/conf']}\n",
        ),
    ])), @r#"
    service a web common/Dockerfile in common no limit
      A = "1"
      B = "2"
      port *:80>80 http
      mount project common/conf at /conf
    service b web common/Dockerfile in common no limit
      A = "1"
      B = "2"
      port *:81>80 http
      mount project common/conf at /conf
    compose.yaml:3:19 note field-translated: `ports`: HTTP goes through Gable's edge, so that a deploy drops no request; other TCP ports are listened on for the service (2 places)
    common/base.yaml:3:63 note field-translated: `volumes`: files of the project are those of the release; what an instance writes there ends with it
    "#);
}

#[test]
fn circles_of_files_and_services_are_refused() {
    insta::assert_snapshot!(understood(&several(&[
        (
            "compose.yaml",
            "include: [other.yaml]\nservices:\n  a: {extends: b}\n  b: {extends: a}\n  c: {extends: nobody}\n",
        ),
        ("other.yaml", "include: [compose.yaml]\nservices: {d: {image: x}}\n"),
    ])), @r"
    refused
    compose.yaml:3:16 error file-circle: services extend each other: a → b → a
    compose.yaml:4:16 error file-circle: services extend each other: b → a → b
    compose.yaml:5:16 error not-declared: there is no service `nobody` to extend in `compose.yaml`
    other.yaml:1:11 error file-circle: files include each other: compose.yaml → other.yaml → compose.yaml
    ");
}

#[test]
fn included_files_have_their_own_directory_and_variables() {
    insta::assert_snapshot!(understood(&several(&[
        (
            "compose.yaml",
            "include:\n  - db/compose.yaml\n  - {path: [more/a.yaml, more/b.yaml], env_file: more/x.env, project_directory: .}\nservices:\n  web: {image: x, depends_on: [store, job]}\n",
        ),
        ("db/compose.yaml", "services: {store: {image: 'mongo:${TAG}', volumes: ['./init:/init']}}\n"),
        ("db/.env", "TAG=7\n"),
        ("more/a.yaml", "services: {job: {build: ., environment: {X: '$X'}}}\n"),
        ("more/b.yaml", "services: {job: {command: go}}\n"),
        ("more/x.env", "X=from file\n"),
    ])), @r#"
    service web worker x no limit
      after store service_started
      after job service_started
    service store worker mongo:7 no limit
      mount project db/init at /init
    service job worker Dockerfile in . no limit
      runs go
      X = "from file"
    db/compose.yaml:1:53 note field-translated: `volumes`: files of the project are those of the release; what an instance writes there ends with it
    "#);
}

#[test]
fn the_file_that_includes_another_one_overrides_parts_of_what_that_one_declares() {
    insta::assert_snapshot!(understood(&several(&[
        (
            "compose.yaml",
            "include: sub/other.yaml\nservices:\n  a: {image: x}\n  b: {image: 'y:2', environment: {B: own}, volumes: !override ['./own:/own'], command: !reset null}\nvolumes:\n  data: {driver_opts: {type: tmpfs}}\n",
        ),
        (
            "sub/other.yaml",
            "services:\n  a: {image: x}\n  b: {image: 'y:1', environment: {A: '1', B: '2'}, volumes: ['./conf:/conf'], command: run, env_file: b.env}\n  c: {image: z, volumes: ['data:/data']}\nvolumes:\n  data:\n",
        ),
        ("sub/b.env", "C=3\n"),
        ("sub/.env", ""),
    ])), @r#"
    service a worker x no limit
    service b worker y:2 no limit
      C = "3"
      A = "1"
      B = "own"
      mount project own at /own
    service c worker z no limit
      mount tmpfs None at /data
    compose.yaml:4:64 note field-translated: `volumes`: files of the project are those of the release; what an instance writes there ends with it
    compose.yaml:6:10 note field-translated: `driver_opts`: a directory that Gable keeps; binds and memory stay what they are
    "#);
}

#[test]
fn two_included_files_must_not_declare_the_same_in_two_ways() {
    insta::assert_snapshot!(understood(&several(&[
        ("compose.yaml", "include: [one.yaml, two.yaml]\nservices: {b: {image: w}}\n"),
        ("one.yaml", "services: {a: {image: x}, b: {image: y}}\n"),
        ("two.yaml", "services: {a: {image: x}, b: {image: z}}\n"),
        (".env", ""),
    ])), @r"
    refused
    one.yaml:1:27 error conflicting-declarations: `b` is declared in two included files
    ");
}

#[test]
fn profiles_decide_what_runs() {
    let text = "services:\n  a: {image: x}\n  b: {image: x, profiles: [debug]}\n  c: {image: x, profiles: [more], depends_on: [a]}\n";
    insta::assert_snapshot!(understood(&one(text)), @r"
    service a worker x no limit
    compose.yaml:3:17 note profile-off: `b` waits for a profile that was not asked for
    compose.yaml:4:17 note profile-off: `c` waits for a profile that was not asked for
    ");
    let input = Input { profiles: vec!["debug".to_owned()], ..one(text) };
    insta::assert_snapshot!(understood(&input), @r"
    service a worker x no limit
    service b worker x no limit
    compose.yaml:4:17 note profile-off: `c` waits for a profile that was not asked for
    ");
}

#[test]
fn the_usual_names_are_found_in_their_order() {
    let check = |listing: &[&str], expected: &[&str]| {
        assert_eq!(default_files(listing), expected, "{listing:?}");
    };
    check(&["docker-compose.yml", "compose.yaml"], &["compose.yaml"]);
    check(
        &["docker-compose.yml", "docker-compose.override.yml", "README.md"],
        &["docker-compose.yml", "docker-compose.override.yml"],
    );
    check(&["compose.yml", "compose.override.yaml"], &["compose.yml", "compose.override.yaml"]);
    check(&["render.yaml"], &[]);
}
