//! `gable blueprint`: no server is needed.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::support::run_in;

const CLEAN: &str = "\
services:
  - type: web
    name: web
    runtime: node
    buildCommand: npm ci
    startCommand: npm start
";

const REPAIRED: &str = "\
# what customers see
services:
  - type: web
    name: web
    env: node # the old name
    buildCommand: npm ci
    startCommand: npm start
";

fn folder(text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("render.yaml"), text).unwrap();
    directory
}

fn check(directory: &Path, arguments: &[&str]) -> String {
    run_in(directory, &[&["blueprint"], arguments].concat()).whole()
}

#[test]
fn a_clean_file_is_summed_up_in_one_line() {
    insta::assert_snapshot!(check(folder(CLEAN).path(), &["validate"]), @r"
        exit 0
        --- stdout
        ok render.yaml: 1 service
        --- stderr
        ");
}

#[test]
fn a_repair_is_shown_with_its_place_and_is_a_note_where_render_takes_it_too() {
    let folder = folder(REPAIRED);
    insta::assert_snapshot!(check(folder.path(), &["validate"]), @r"
        exit 0
        --- stdout
        repaired[env-for-runtime]: `env` is the old spelling of `runtime`
         --> render.yaml:5:5
          |
        5 |     env: node # the old name
          |     ^^^

        hint: write `runtime`

        ok render.yaml: 1 service; 1 repair, `gable blueprint fix` writes them down
        --- stderr
        ");
    insta::assert_snapshot!(check(folder.path(), &["validate", "render.yaml", "--strict"]), @r"
        exit 0
        --- stdout
        note  render.yaml:5:5  `env` is the old spelling of `runtime`

        ok render.yaml: 1 service
        --- stderr
        ");
}

#[test]
fn a_file_that_makes_no_sense_is_refused_with_1_and_one_that_is_not_there_with_2() {
    let folder = folder("services:\n  - name: web\n    type: web\n    runtime: cobol\n");
    insta::assert_snapshot!(check(folder.path(), &["validate"]), @r"
        exit 1
        --- stdout
        error[unknown-runtime]: there is no runtime `cobol`
         --> render.yaml:4:14
          |
        4 |     runtime: cobol
          |              ^^^^^

        hint: write node, python, ruby, go, rust, elixir, static, docker or image

        refused render.yaml: 1 error
        --- stderr
        ");
    insta::assert_snapshot!(check(folder.path(), &["validate", "other.yaml"]), @r"
        exit 2
        --- stdout
        --- stderr
        error: other.yaml cannot be read: No such file or directory (os error 2)
        ");
    let empty = tempfile::tempdir().unwrap();
    insta::assert_snapshot!(check(empty.path(), &["validate"]), @r"
        exit 2
        --- stdout
        --- stderr
        error: there is no render.yaml and no compose file here

        hint: name the file, or go to its folder
        ");
}

#[test]
fn programs_get_json_about_a_file() {
    let said = run_in(folder(REPAIRED).path(), &["blueprint", "validate", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(report["ok"], true);
    assert_eq!(report["findings"][0]["span"]["line"], 5);
    assert_eq!(report["findings"][0]["severity"], "repair");
}

#[test]
fn fix_shows_the_difference_and_keeps_comments() {
    let folder = folder(REPAIRED);
    insta::assert_snapshot!(check(folder.path(), &["fix", "--diff"]), @r"
        exit 0
        --- stdout
        --- a/render.yaml
        +++ b/render.yaml
        @@ -2,6 +2,6 @@
         services:
           - type: web
             name: web
        -    env: node # the old name
        +    runtime: node # the old name
             buildCommand: npm ci
             startCommand: npm start
        --- stderr
        render.yaml: 1 repair; `--write` changes the file
        ");
    assert_eq!(std::fs::read_to_string(folder.path().join("render.yaml")).unwrap(), REPAIRED);
}

#[test]
fn fix_writes_the_file_in_place_with_its_permissions() {
    let folder = folder(REPAIRED);
    let path = folder.path().join("render.yaml");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    insta::assert_snapshot!(check(folder.path(), &["fix", "--write"]), @r"
        exit 0
        --- stdout
        --- stderr
        render.yaml: wrote 1 repair
        ");
    let mended = std::fs::read_to_string(&path).unwrap();
    assert_eq!(mended, REPAIRED.replace("env: node", "runtime: node"));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    insta::assert_snapshot!(check(folder.path(), &["fix", "--write"]), @r"
        exit 0
        --- stdout
        --- stderr
        render.yaml: nothing to repair
        ");
}

#[test]
fn explain_says_how_fields_are_treated() {
    let folder = folder(CLEAN);
    insta::assert_snapshot!(check(folder.path(), &["explain", "services.region"]), @r"
        exit 0
        --- stdout
        services[].region  no effect here  everything runs on this machine
        --- stderr
        ");
    insta::assert_snapshot!(check(folder.path(), &["explain", "--file", "render.yaml"]), @r"
        exit 0
        --- stdout
        1:1  services                  1 item     as on Render  everything that runs, except PostgreSQL
        2:5  services[0].type          web        as on Render  decides what the service is
        3:5  services[0].name          web        as on Render  the identity of the service and its name in the private network
        4:5  services[0].runtime       node       as on Render  which tools the build and the service find
        5:5  services[0].buildCommand  npm ci     as on Render  runs in an instance of its own, in one shell
        6:5  services[0].startCommand  npm start  as on Render  runs in each instance
        --- stderr
        ");
    assert_eq!(run_in(folder.path(), &["blueprint", "explain", "nosuchfield"]).code, 2);
}

#[test]
fn explain_takes_a_file_where_a_field_may_stand() {
    let folder = folder(CLEAN);
    std::fs::write(folder.path().join("services"), CLEAN).unwrap();
    let check = |arguments: &[&str]| check(folder.path(), arguments);
    let with_option = check(&["explain", "--file", "render.yaml"]);
    assert_eq!(check(&["explain", "render.yaml"]), with_option);
    assert_eq!(check(&["explain", "services"]), with_option, "an existing file is one");
    let one = check(&["explain", "--file", "render.yaml", "startCommand"]);
    assert!(one.contains("services[0].startCommand") && !one.contains("runtime"), "{one}");
    assert_eq!(check(&["explain", "render.yaml", "startCommand"]), one);
    insta::assert_snapshot!(check(&["explain", "gone.yaml"]), @r"
        exit 2
        --- stdout
        --- stderr
        error: gone.yaml cannot be read: No such file or directory (os error 2)
        ");
    insta::assert_snapshot!(check(&["explain", "region", "disk"]), @r"
        exit 2
        --- stdout
        --- stderr
        error: region is no file, and `disk` is a second field

        hint: `gable blueprint explain [FILE]… [FIELD]`
        ");
}
