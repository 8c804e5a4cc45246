//! `gable blueprint` with compose files: no server is needed.

use std::path::Path;

use super::support::run_in;

const SHOP: &str = "\
services:
  web:
    build: .
    ports: ['3000:3000']
    environment: {GREETING: '${GREETING:-hello}', KEY: '${KEY:?the key of the shop}'}
    env_file: [web.env]
  db:
    image: postgres:16
    environment: {POSTGRES_PASSWORD: secret}
";

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    directory
}

fn shop() -> tempfile::TempDir {
    folder(&[("compose.yaml", SHOP), (".env", "KEY=k\n"), ("web.env", "COLOUR=red\n")])
}

fn check(directory: &Path, arguments: &[&str]) -> String {
    run_in(directory, &[&["blueprint"], arguments].concat()).whole()
}

#[test]
fn compose_files_of_a_folder_are_found_with_all_that_they_name() {
    let folder = shop();
    insta::assert_snapshot!(check(folder.path(), &["validate"]), @r"
        exit 0
        --- stdout
        note  compose.yaml:4:5   `ports`: HTTP goes through Gable's edge, so that a deploy drops no request; other TCP ports are listened on for the service
        note  compose.yaml:8:12  `db` runs as managed PostgreSQL 16 instead of the image `postgres:16`; its data and its health are Gable's matter

        ok compose.yaml: 1 service, 1 database
        --- stderr
        ");
    let name = folder.path().to_str().unwrap();
    assert_eq!(check(Path::new("/"), &["validate", name]), check(folder.path(), &["validate"]));
    std::fs::write(folder.path().join("compose.override.yml"), "services: {extra: {image: x}}\n")
        .unwrap();
    let both = check(folder.path(), &["validate"]);
    assert!(both.contains("ok compose.yaml + compose.override.yml: 2 services"), "{both}");
    std::fs::write(folder.path().join("render.yaml"), "databases: [{name: db}]\n").unwrap();
    let blueprint = check(folder.path(), &["validate"]);
    assert!(
        blueprint.contains("ok render.yaml: 1 database"),
        "a Blueprint goes first: {blueprint}"
    );
}

#[test]
fn a_file_of_any_name_is_known_by_what_it_holds() {
    let folder = folder(&[("stack.yml", "services: {a: {image: x}}\n")]);
    assert!(check(folder.path(), &["validate", "stack.yml"]).contains("ok stack.yml: 1 service"));
    std::fs::rename(folder.path().join("stack.yml"), folder.path().join("my-compose.txt")).unwrap();
    let said = check(folder.path(), &["validate", "my-compose.txt"]);
    assert!(said.contains("ok my-compose.txt: 1 service"), "{said}");
}

#[test]
fn what_cannot_be_run_is_refused_with_1_and_each_file_named() {
    let folder = shop();
    std::fs::write(folder.path().join(".env"), "").unwrap();
    let prod = "services: {web: {privileged: true, enviroment: {A: b}}}\n";
    std::fs::write(folder.path().join("prod.yaml"), prod).unwrap();
    insta::assert_snapshot!(
        check(folder.path(), &["validate", "-f", "compose.yaml", "-f", "prod.yaml"]), @r"
        exit 1
        --- stdout
        repaired[service-left-out]: `web` is left out, the rest runs: `privileged`: no instance gets the rights of the host
         --> compose.yaml:3:5
          |
        3 |     build: .
          |     ^^^^^^^^

        hint: take the field away that it is left out for, or the service if it is of no use here

        error[variable-required]: the variable `KEY` needs a value: the key of the shop
         --> compose.yaml:5:56
          |
        5 |     environment: ••••••
          |                  ^^^^^^

        hint: write it into `.env` beside the compose file, or give it on the command line

        repaired[field-spelling]: there is no field `enviroment`; read as `environment`
         --> prod.yaml:1:36
          |
        1 | services: {web: {privileged: true, enviroment: {A: b}}}
          |                                    ^^^^^^^^^^

        hint: write `environment`

        note  compose.yaml:4:5   `ports`: HTTP goes through Gable's edge, so that a deploy drops no request; other TCP ports are listened on for the service
        note  compose.yaml:8:12  `db` runs as managed PostgreSQL 16 instead of the image `postgres:16`; its data and its health are Gable's matter
        note  prod.yaml:1:18     `privileged`: no instance gets the rights of the host

        refused compose.yaml + prod.yaml: 1 error
        --- stderr
        ");
    let given = ["validate", "compose.yaml", "--set", "KEY=k"];
    assert_eq!(run_in(folder.path(), &[&["blueprint"], &given[..]].concat()).code, 0);
    let values = folder.path().join("values.env");
    std::fs::write(&values, "KEY=k\n").unwrap();
    let given = ["blueprint", "validate", "--env-file", "values.env"];
    assert_eq!(run_in(folder.path(), &given).code, 0);
}

#[test]
fn nothing_outside_of_the_project_is_read() {
    let folder = folder(&[
        ("secret.env", "PASSWORD=hunter2\n"),
        ("shop/compose.yaml", "services: {a: {image: x, env_file: [linked.env]}}\n"),
    ]);
    let shop = folder.path().join("shop");
    std::os::unix::fs::symlink("../secret.env", shop.join("linked.env")).unwrap();
    insta::assert_snapshot!(check(&shop, &["validate"]), @r"
        exit 1
        --- stdout
        error[file-not-there]: there is no file `linked.env`
         --> compose.yaml:1:37
          |
        1 | services: {a: {image: x, env_file: [linked.env]}}
          |                                     ^^^^^^^^^^

        hint: make it (often by copying an `.env.example`), or write `{path: …, required: false}`

        refused compose.yaml: 1 error
        --- stderr
        ");
    std::fs::create_dir(folder.path().join(".git")).unwrap();
    let inside = check(&shop, &["validate"]);
    assert!(inside.contains("ok shop/compose.yaml"), "below a repository's root: {inside}");
    std::fs::write(folder.path().join("more.yaml"), "services: {}\n").unwrap();
    std::fs::remove_dir(folder.path().join(".git")).unwrap();
    let said = run_in(&shop, &["blueprint", "validate", "compose.yaml", "../more.yaml"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("../more.yaml lies outside the project"), "{}", said.stderr);
}

#[test]
fn flags_and_profiles_change_what_is_understood() {
    let text = "\
services:
  db: {image: 'postgres:16', environment: {POSTGRES_PASSWORD: p}}
  tool: {image: x, profiles: [tools], volumes: ['/srv/data:/data']}
";
    let folder = folder(&[("compose.yaml", text)]);
    let last = |arguments: &[&str]| {
        let said = run_in(folder.path(), &[&["blueprint", "validate"], arguments].concat());
        said.stdout.lines().last().unwrap().to_owned()
    };
    assert_eq!(last(&[]), "ok compose.yaml: 1 database");
    assert_eq!(last(&["--images"]), "ok compose.yaml: 1 service");
    assert_eq!(last(&["--profile", "tools"]), "ok compose.yaml: 1 database; 1 repair");
    assert_eq!(
        last(&["--profile", "tools", "--allow-host-paths"]),
        "ok compose.yaml: 1 service, 1 database"
    );
}

#[test]
fn programs_get_json_about_compose_files() {
    let said = run_in(shop().path(), &["blueprint", "validate", "--json", "--set", "KEY="]);
    let report: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(report["file"], "compose.yaml");
    assert_eq!(report["findings"][0]["file"], "compose.yaml");
    assert_eq!(report["missing"][0]["name"], "KEY");
    assert_eq!(report["missing"][0]["is_required"], true);
}

#[test]
fn explain_says_how_the_fields_of_compose_files_are_treated() {
    let folder = shop();
    let check = |arguments: &[&str]| check(folder.path(), arguments);
    insta::assert_snapshot!(check(&["explain", "compose.yaml", "services.web"]), @r"
        exit 0
        --- stdout
        3:5  services.web.build        .         as on Docker  how its image is built
        4:5  services.web.ports        1 item    translated    HTTP goes through Gable's edge, so that a deploy drops no request; other TCP ports are listened on for the service
        5:5  services.web.environment  2 fields  as on Docker  the environment of its instances
        6:5  services.web.env_file     1 item    as on Docker  files with variables
        --- stderr
        ");
    std::fs::write(folder.path().join("prod.yaml"), "services: {db: {tty: true}}\n").unwrap();
    let several = check(&["explain", "compose.yaml", "prod.yaml", "db"]);
    assert!(
        several.contains("prod.yaml:1:17") && several.contains("compose.yaml:8:5"),
        "{several}"
    );
    assert_eq!(check(&["explain", "-f", "compose.yaml", "-f", "prod.yaml", "db"]), several);
}

#[test]
fn fix_writes_the_repairs_of_each_file() {
    let folder = folder(&[
        ("compose.yaml", "services:\n  a:\n    image: x # kept\n    enviroment: {A: 'costs $5'}\n"),
        ("compose.override.yaml", "services: {a: {comand: sh}}\n"),
    ]);
    let check = |arguments: &[&str]| check(folder.path(), arguments);
    insta::assert_snapshot!(check(&["fix", "--diff"]), @r"
        exit 0
        --- stdout
        --- a/compose.yaml
        +++ b/compose.yaml
        @@ -1,4 +1,4 @@
         services:
           a:
             image: x # kept
        -    enviroment: {A: 'costs $5'}
        +    environment: {A: 'costs $$5'}
        --- a/compose.override.yaml
        +++ b/compose.override.yaml
        @@ -1 +1 @@
        -services: {a: {comand: sh}}
        +services: {a: {command: sh}}
        --- stderr
        compose.yaml + compose.override.yaml: 3 repairs; `--write` changes the files
        ");
    insta::assert_snapshot!(check(&["fix"]), @r"
        exit 2
        --- stdout
        --- stderr
        error: several files cannot be printed as one

        hint: `--diff` shows what would change, `--write` changes the files
        ");
    insta::assert_snapshot!(check(&["fix", "--write"]), @r"
        exit 0
        --- stdout
        --- stderr
        compose.yaml + compose.override.yaml: wrote 3 repairs
        ");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read("compose.override.yaml"), "services: {a: {command: sh}}\n");
    assert!(read("compose.yaml").contains("    environment: {A: 'costs $$5'}\n"));
    assert!(check(&["fix", "--write"]).contains("nothing to repair"));
}
