//! Commands that only look: `status`, `logs`.

use serde_json::{Value, json};

use super::support::{Answer, Server, run_in};

fn service(id: &str, name: &str, state: &str) -> Value {
    json!({ "id": id, "name": name, "slug": name, "kind": "web", "runtime": "node", "state": state,
            "state_detail": "", "urls": [format!("http://{name}.localhost:8080")], "instances": [] })
}

fn status() -> Value {
    let project = |name: &str, services: &[Value]| {
        json!({ "name": name, "source": format!("/src/{name}"), "stopped": false, "missing": [],
            "environments": [{ "id": "evm-1", "name": "production", "databases": [], "services": services }] })
    };
    json!({ "sequence": 1, "projects": [
        project("blog", &[service("srv-1", "web", "live")]),
        project("shop", &[service("srv-2", "web", "live"), service("srv-3", "api", "crash_looping")]),
    ] })
}

fn line(service: &str, text: &str) -> Value {
    json!({ "at": "2026-11-21T10:00:00Z", "service": service, "environment": "production",
            "instance": "ins-1", "stream": "stdout", "text": text })
}

fn server() -> Server {
    Server::start(|what, _| match what.split('?').next().unwrap() {
        "GET /v1/server" => Answer::Json(json!({ "version": "0.1.0", "pid": 1, "engine": "native",
            "engine_note": "", "listen": [], "state_dir": "/s", "started_at": "2026-11-21T10:00:00Z" })),
        "GET /v1/status" => Answer::Json(status()),
        "GET /v1/logs" => Answer::Lines(vec![
            line("api", "\u{1b}[31mlistening\u{1b}[0m on 4000"),
            line("web", "ready"),
            line("worker", "not asked for"),
        ]),
        other => panic!("{other}"),
    })
}

#[test]
fn status_shows_everything_and_fails_when_something_is_broken() {
    insta::assert_snapshot!(server().run(&["status"]).whole(), @r"
        exit 1
        --- stdout
        blog  /src/blog

          SERVICE  STATE  WHERE                      RELEASE  MEMORY  SINCE
          web      live   http://web.localhost:8080

        shop  /src/shop

          SERVICE  STATE     WHERE                      RELEASE  MEMORY  SINCE
          web      live      http://web.localhost:8080
          api      crashing  http://api.localhost:8080
        --- stderr
        ");
    assert_eq!(server().run(&["status", "blog"]).code, 0);
    insta::assert_snapshot!(server().run(&["status", "nosuch"]).whole(), @r"
        exit 1
        --- stdout
        --- stderr
        error: there is no project `nosuch` [not-found]
          projects: blog, shop
        ");
}

#[test]
fn status_tells_how_an_instance_ended_and_how_often_it_was_started_again() {
    let server = Server::start(|what, _| match what.split('?').next().unwrap() {
        "GET /v1/server" => Answer::Json(json!({ "version": "0.1.0", "pid": 1, "engine": "native",
            "engine_note": "", "listen": [], "state_dir": "/s", "started_at": "2026-11-21T10:00:00Z" })),
        "GET /v1/status" => {
            let mut web = service("srv-1", "web", "live");
            web["instances"] = json!([{ "id": "ins-1", "state": "healthy", "restarts": 3, "release": 1,
                "last_exit": { "what": "was ended by signal 9 (KILL)", "at": "2026-11-21T10:00:00Z" } }]);
            Answer::Json(json!({ "sequence": 1, "projects": [{ "name": "blog", "source": "/src",
                "stopped": false, "missing": [], "environments": [{ "id": "evm-1",
                "name": "production", "databases": [], "services": [web] }] }] }))
        }
        other => panic!("{other}"),
    });
    let said = server.run(&["status"]).stdout;
    assert!(said.contains("note: web was ended by signal 9 (KILL)"), "{said}");
    assert!(said.contains(" ago and was started again 3 times"), "{said}");
}

#[test]
fn without_a_server_nothing_runs_and_that_is_no_failure() {
    let directory = tempfile::tempdir().unwrap();
    let run = |command: &str| run_in(directory.path(), &[command, "--state-dir", "state"]);
    insta::assert_snapshot!(run("status").whole(), @r"
        exit 0
        --- stdout
        nothing is here yet; `gable up` in a folder with a render.yaml or compose.yaml starts it
        --- stderr
        ");
    insta::assert_snapshot!(run("down").whole(), @r"
        exit 0
        --- stdout
        --- stderr
        nothing runs here
        ");
    let logs = run("logs");
    assert_eq!(logs.code, 1);
    assert!(
        logs.stderr.contains("[server-not-running]") && logs.stderr.contains("hint: `gable up`")
    );
    assert!(!directory.path().join("state").exists());
}

#[test]
fn logs_of_several_services_are_named_and_those_of_one_are_not() {
    insta::assert_snapshot!(server().run(&["logs", "api", "shop/production/web"]).whole(), @r"
        exit 0
        --- stdout
        api │ listening on 4000
        web │ ready
        --- stderr
        ");
    let server = server();
    let one = server.run(&["logs", "-f", "api", "-n", "all"]);
    assert_eq!(one.stdout.lines().next(), Some("listening on 4000"));
    assert!(
        server.asked().contains(&"GET /v1/logs?build=false&follow=true&service=srv-3".to_owned())
    );
}

#[test]
fn logs_keep_their_colours_when_colours_are_wanted() {
    let said = server().run(&["logs", "api", "--color", "always"]);
    assert!(said.stdout.starts_with("\u{1b}[31mlistening\u{1b}[0m on 4000"), "{:?}", said.stdout);
}

#[test]
fn programs_get_one_json_value_per_line() {
    let said = server().run(&["logs", "api", "--json"]);
    let texts: Vec<_> = said
        .stdout
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["service"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(texts, ["api", "web", "worker"]);
}

#[test]
fn a_name_that_means_several_services_is_not_guessed() {
    insta::assert_snapshot!(server().run(&["logs", "web"]).whole(), @r"
        exit 1
        --- stdout
        --- stderr
        error: `web` names several services [ambiguous]
          they are: blog/production/web, shop/production/web

        hint: say more of the name, such as `blog/production/web`
        ");
    insta::assert_snapshot!(server().run(&["logs", "apj", "--json"]).whole(), @r#"
        exit 1
        --- stdout
        {"ok":false,"problem":{"code":"not-found","message":"there is no service `apj`","detail":"there is: api, web","hint":"did you mean `api`?"}}
        --- stderr
        error: there is no service `apj` [not-found]
          there is: api, web

        hint: did you mean `api`?
        "#);
}

#[test]
fn the_end_of_a_reader_is_the_quiet_end_of_the_writer() {
    use std::io::{BufRead, BufReader};
    let server = server();
    let mut command = server.gable();
    command
        .args(["logs", "api"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut first = String::new();
    BufReader::with_capacity(8, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
