//! `gable up` and `gable down`: what they ask, what they show, how they end.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::support::{Answer, Server};

fn info() -> Value {
    json!({ "version": "0.1.0", "pid": 1, "engine": "native", "engine_note": "",
            "listen": ["127.0.0.1:8080"], "state_dir": "/s", "started_at": "2026-11-21T10:00:00Z" })
}

fn plan(action: &str) -> Value {
    json!({ "project": "shop", "blueprint_file": "render.yaml", "refused": false,
        "source": { "path": "/src/shop", "commit": "1a2b3c4d5e6f", "branch": "main", "dirty": false, "notes": [] },
        "findings": [], "missing": [], "notes": [],
        "changes": [{ "action": action, "noun": "service", "kind": "web · node", "name": "web",
                      "environment": "production", "details": [] }] })
}

fn apply(plan: &Value, deploys: &[&str]) -> Value {
    let deploys: Vec<_> = deploys
        .iter()
        .map(
            |id| json!({ "id": id, "service": "web", "environment": "production", "sequence": 10 }),
        )
        .collect();
    json!({ "project": "shop", "plan": plan, "applied": true, "sequence": 10, "deploys": deploys })
}

fn event(sequence: u64, status: &str, more: &Value) -> Value {
    let mut event = json!({ "sequence": sequence, "at": jiff::Timestamp::now(), "project": "shop",
        "environment": "production", "service": "web", "noun": "service", "deploy": "dep-1",
        "kind": status, "status": status, "message": format!("web is {status}") });
    for (key, value) in more.as_object().unwrap() {
        event[key] = value.clone();
    }
    event
}

fn status(state: &str, deploy: &str) -> Value {
    let failure = (deploy == "build_failed").then(problem);
    json!({ "sequence": 12, "projects": [{ "name": "shop", "source": "/src/shop", "stopped": false,
        "missing": [], "environments": [{ "id": "evm-1", "name": "production", "databases": [],
            "services": [{ "id": "srv-1", "name": "web", "slug": "web", "kind": "web", "runtime": "node",
                "state": state, "state_detail": "", "urls": ["http://web.localhost:8080"], "instances": [],
                "deploy": { "id": "dep-1", "status": deploy, "trigger": "blueprint_sync",
                    "created_at": "2026-11-21T10:00:00Z", "phase_since": "2026-11-21T10:00:00Z",
                    "failure": failure } }] }] }] })
}

fn problem() -> Value {
    json!({ "code": "package-version-missing", "message": "left-pad@9 does not exist",
            "hint": "pin a version that exists" })
}

/// A server whose one service becomes what the last event says, once the events were asked for.
fn server(
    plan: Value,
    deploys: &'static [&'static str],
    events: Vec<Value>,
    end: (&'static str, &'static str),
) -> Server {
    // The first look after following began still sees the deploy under way.
    let looks_left = Mutex::new(if deploys.is_empty() { Some(0) } else { None });
    Server::start(move |what, _| match what.split('?').next().unwrap() {
        "GET /v1/server" => Answer::Json(info()),
        "POST /v1/plan" => Answer::Json(plan.clone()),
        "POST /v1/apply" => Answer::Json(apply(&plan, deploys)),
        "GET /v1/events" => {
            looks_left.lock().unwrap().get_or_insert(1);
            Answer::Open(events.clone())
        }
        "GET /v1/status" => {
            let mut looks_left = looks_left.lock().unwrap();
            if *looks_left == Some(0) {
                return Answer::Json(status(end.0, end.1));
            }
            *looks_left = looks_left.map(|looks| looks - 1);
            Answer::Json(status("deploying", "created"))
        }
        "GET /v1/logs" => Answer::Lines(vec![
            json!({ "at": "2026-11-21T10:00:00Z", "service": "web", "environment": "production",
                    "instance": "ins-1", "stream": "stderr", "text": "npm error code ETARGET" }),
        ]),
        "POST /v1/down" => Answer::Lines(vec![
            json!({ "sequence": 20, "at": "2026-11-21T10:00:00Z", "project": "shop", "environment": "production",
                    "service": "web", "noun": "service", "kind": "stopped", "message": "web is stopped" }),
        ]),
        "POST /v1/shutdown" => Answer::Json(json!({ "stopping": true, "projects": [] })),
        other => panic!("{other}"),
    })
}

#[test]
fn a_first_up_shows_the_plan_and_the_way_and_ends_with_urls_on_stdout() {
    let events = vec![
        event(11, "build_in_progress", &json!({})),
        event(
            12,
            "live",
            &json!({ "proof": { "in_flight": 0, "drained": 0, "failed": 0, "held": 0 } }),
        ),
    ];
    let server = server(plan("create"), &["dep-1"], events, ("live", "live"));
    let said = server.run(&["up", "--detach", "--set", "web.KEY=hunter2", "--strict"]);
    insta::assert_snapshot!(said.whole(), @r"
        exit 0
        --- stdout
        web http://web.localhost:8080
        --- stderr
        shop  render.yaml · main 1a2b3c4d

          create  web  web · node

        • web  building      TIME
        ✓ web  live          TIME

        shop is up TIME
        ");
    let request =
        server.asked().into_iter().find(|asked| asked.starts_with("POST /v1/apply")).unwrap();
    let request: Value =
        serde_json::from_str(request.split_once(' ').unwrap().1.split_once(' ').unwrap().1)
            .unwrap();
    assert_eq!(request["set"], json!([{ "service": "web", "key": "KEY", "value": "hunter2" }]));
    assert_eq!(request["strict"], true);
    assert!(!said.whole().contains("hunter2"));
}

#[test]
fn an_up_of_an_unchanged_tree_says_so() {
    let server = server(plan("keep"), &[], vec![], ("live", "live"));
    insta::assert_snapshot!(server.run(&["up", "--detach"]).whole(), @r"
        exit 0
        --- stdout
        web http://web.localhost:8080
        --- stderr
        shop  render.yaml · main 1a2b3c4d

          nothing to change

        shop is up, nothing changed TIME
        ");
}

#[test]
fn a_failed_build_shows_the_end_of_its_log_and_what_to_do() {
    let events = vec![event(11, "build_failed", &json!({ "problem": problem() }))];
    let server = server(plan("create"), &["dep-1"], events, ("failed", "build_failed"));
    insta::assert_snapshot!(server.run(&["up", "--detach"]).whole(), @r"
        exit 1
        --- stdout
        --- stderr
        shop  render.yaml · main 1a2b3c4d

          create  web  web · node

        ✗ web  build failed    TIME
        ✗ web
          error: left-pad@9 does not exist [package-version-missing]

          hint: pin a version that exists


        shop did not come up TIME
        ");
    assert!(
        server
            .asked()
            .contains(&"GET /v1/logs?build=true&deploy=dep-1&follow=false&tail=60".to_owned())
    );
}

#[test]
fn programs_get_one_json_value() {
    let server =
        server(plan("create"), &["dep-1"], vec![event(11, "live", &json!({}))], ("live", "live"));
    let said = server.run(&["up", "--detach", "--json"]);
    let value: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((said.code, &value["ok"]), (0, &json!(true)));
    assert_eq!(value["project"]["environments"][0]["services"][0]["state"], "live");
}

#[test]
fn following_goes_on_where_it_broke_off() {
    let streams = AtomicUsize::new(0);
    let server = Server::start(move |what, _| match what.split('?').next().unwrap() {
        "GET /v1/server" => Answer::Json(info()),
        "POST /v1/plan" => Answer::Json(plan("create")),
        "POST /v1/apply" => Answer::Json(apply(&plan("create"), &["dep-1"])),
        "GET /v1/events" if streams.fetch_add(1, Ordering::SeqCst) == 0 => {
            Answer::Lines(vec![event(11, "build_in_progress", &json!({}))])
        }
        "GET /v1/events" => Answer::Open(vec![event(12, "live", &json!({}))]),
        "GET /v1/status" if streams.load(Ordering::SeqCst) > 1 => {
            Answer::Json(status("live", "live"))
        }
        "GET /v1/status" => Answer::Json(status("deploying", "build_in_progress")),
        other => panic!("{other}"),
    });
    assert_eq!(server.run(&["up", "--detach"]).code, 0);
    let asked = server.asked();
    let follows: Vec<_> =
        asked.iter().filter(|asked| asked.starts_with("GET /v1/events")).collect();
    assert_eq!(
        follows,
        [
            "GET /v1/events?follow=true&project=shop&since=10",
            "GET /v1/events?follow=true&project=shop&since=11"
        ]
    );
}

#[test]
fn what_is_learned_only_when_it_is_applied_is_said_before_the_way() {
    let known = plan("keep");
    let (taken, said_before) = ("web is not published at 127.0.0.1:3000: in use", "said before");
    let mut applied = known.clone();
    applied["notes"] = json!([said_before, taken]);
    let mut first = known;
    first["notes"] = json!([said_before]);
    let server = Server::start(move |what, _| match what.split('?').next().unwrap() {
        "GET /v1/server" => Answer::Json(info()),
        "POST /v1/plan" => Answer::Json(first.clone()),
        "POST /v1/apply" => Answer::Json(apply(&applied, &[])),
        "GET /v1/status" => Answer::Json(status("live", "live")),
        "GET /v1/events" => Answer::Open(vec![]),
        other => panic!("{other}"),
    });
    let said = server.run(&["up", "--detach"]);
    assert_eq!(said.code, 0, "{}", said.whole());
    for note in [taken, said_before] {
        assert_eq!(said.stderr.matches(note).count(), 1, "{}", said.stderr);
    }
}

#[test]
fn a_refused_file_is_shown_and_nothing_is_applied() {
    let mut refused = plan("create");
    refused["refused"] = json!(true);
    refused["findings"] = json!([{ "severity": "error", "code": "unknown-type", "message": "there is no type `wbe`",
        "file": "render.yaml", "line": 3, "column": 11,
        "rendered": "error[unknown-type]: there is no type `wbe`\n --> render.yaml:3:11" }]);
    let server = server(refused, &[], vec![], ("live", "live"));
    insta::assert_snapshot!(server.run(&["up", "--detach"]).whole(), @r"
        exit 1
        --- stdout
        --- stderr
        shop  render.yaml · main 1a2b3c4d

        error[unknown-type]: there is no type `wbe`
         --> render.yaml:3:11

        1 error in render.yaml
        ");
    assert!(!server.asked().iter().any(|asked| asked.starts_with("POST /v1/apply")));
}

#[test]
fn what_cannot_be_undone_needs_agreement() {
    let server = server(plan("remove"), &[], vec![], ("live", "live"));
    insta::assert_snapshot!(server.run(&["up", "--detach"]).whole(), @r"
        exit 1
        --- stdout
        --- stderr
        shop  render.yaml · main 1a2b3c4d

          remove  web  web · node

        error: this removes or restarts web [not-agreed]

        hint: `--yes` agrees to it
        ");
    assert_eq!(server.run(&["up", "--detach", "--yes"]).code, 0);
}

#[test]
fn another_port_is_refused_while_the_server_runs() {
    let server = server(plan("keep"), &[], vec![], ("live", "live"));
    insta::assert_snapshot!(server.run(&["up", "--port", "9090"]).whole(), @r"
        exit 1
        --- stdout
        --- stderr
        error: the server that runs does not listen on 127.0.0.1:9090 [other-address]
          it listens on 127.0.0.1:8080

        hint: leave out `--port`, or stop everything with `gable down` first
        ");
}

#[test]
fn plan_writes_to_stdout_and_starts_nothing() {
    let server = server(plan("create"), &[], vec![], ("live", "live"));
    insta::assert_snapshot!(server.run(&["plan"]).whole(), @r"
        exit 0
        --- stdout
        shop  render.yaml · main 1a2b3c4d

          create  web  web · node
        --- stderr
        ");
    let value: Value = serde_json::from_str(&server.run(&["plan", "--json"]).stdout).unwrap();
    assert_eq!(value["changes"][0]["action"], "create");
}

#[test]
fn down_says_where_the_data_is_and_purge_needs_agreement() {
    let server = server(plan("keep"), &[], vec![], ("live", "live"));
    let state = server.directory.path().canonicalize().unwrap().display().to_string();
    let text = |arguments: &[&str]| server.run(arguments).whole().replace(&state, "STATE");
    insta::assert_snapshot!(text(&["down"]), @r"
        exit 0
        --- stdout
        --- stderr
        stopping shop
        shop is stopped; its data is kept in STATE
        ");
    insta::assert_snapshot!(text(&["down", "shop", "--purge"]), @r"
        exit 2
        --- stdout
        --- stderr
        error: `--purge` removes data for ever

        hint: `--yes` agrees to it
        ");
    insta::assert_snapshot!(text(&["down", "shop", "--purge", "--yes"]), @r"
        exit 0
        --- stdout
        --- stderr
        stopping shop
        shop is gone, with its data
        ");
    assert!(
        server.asked().contains(&r#"POST /v1/down {"project":"shop","purge":true}"#.to_owned())
    );
}

#[test]
fn an_interrupted_up_stops_everything_and_says_so() {
    use std::io::Read;
    let server =
        server(plan("create"), &["dep-1"], vec![event(11, "live", &json!({}))], ("live", "live"));
    let mut command = server.gable();
    command.args(["up"]).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let mut said = String::new();
    let mut buffer = [0; 256];
    while !said.contains("Ctrl-C stops everything") {
        let count = stderr.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "it ended: {said}");
        said.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{said}");
    assert!(said.contains("shop is stopped; its data is kept"), "{said}");
    assert!(server.asked().contains(&r#"POST /v1/shutdown {"only_if_idle":true}"#.to_owned()));
}

#[test]
fn a_folder_that_may_be_another_project_is_asked_about_and_scripts_say_which() {
    let mut twin = plan("create");
    twin["project"] = json!("shop-2");
    twin["twin"] = json!({ "project": "shop", "source": "/old/shop", "gone": true });
    let server = Server::start(move |what, body| match what.split('?').next().unwrap() {
        "GET /v1/server" => Answer::Json(info()),
        "POST /v1/plan" if body.contains(r#""project":"shop""#) => Answer::Json(plan("keep")),
        "POST /v1/plan" => Answer::Json(twin.clone()),
        "POST /v1/apply" => Answer::Json(apply(&plan("keep"), &[])),
        "GET /v1/status" => Answer::Json(status("live", "live")),
        "GET /v1/events" => Answer::Open(vec![]),
        other => panic!("{other}"),
    });
    for arguments in [&["up", "--detach"][..], &["up", "--detach", "--yes"]] {
        let said = server.run(arguments);
        assert_eq!(said.code, 1, "{}", said.whole());
        insta::allow_duplicates! {
            insta::assert_snapshot!(said.stderr, @r"
            error: `shop` was applied from /old/shop, which is gone [project-exists]
              this folder would become `shop-2`, with databases and values of its own

            hint: `--project shop` goes on with that one and its data, `--project shop-2` starts another one
            ");
        }
    }
    assert!(!server.asked().iter().any(|asked| asked.starts_with("POST /v1/apply")));
    let said = server.run(&["plan"]);
    assert!(
        said.stdout.contains("note: `shop` was applied from /old/shop, which is gone"),
        "{}",
        said.stdout
    );
    assert_eq!(server.run(&["up", "--detach", "--project", "shop"]).code, 0);
}

#[test]
fn an_overtaken_deploy_is_over_when_the_one_that_overtook_it_is() {
    let looks = AtomicUsize::new(0);
    let server = Server::start(move |what, _| match what.split('?').next().unwrap() {
        "GET /v1/server" => Answer::Json(info()),
        "POST /v1/plan" => Answer::Json(plan("create")),
        "POST /v1/apply" => Answer::Json(apply(&plan("create"), &["dep-1"])),
        "GET /v1/events" => Answer::Open(vec![event(11, "canceled", &json!({}))]),
        // A newer deploy is under way, which fails in the end.
        "GET /v1/status" => {
            let is_over = looks.fetch_add(1, Ordering::SeqCst) > 1;
            let (state, deploy) = match is_over {
                true => ("failed", "build_failed"),
                false => ("deploying", "build_in_progress"),
            };
            let mut status = status(state, deploy);
            status["projects"][0]["environments"][0]["services"][0]["deploy"]["id"] =
                json!("dep-2");
            Answer::Json(status)
        }
        "GET /v1/logs" => Answer::Lines(vec![]),
        other => panic!("{other}"),
    });
    let said = server.run(&["up", "--detach"]);
    assert_eq!(said.code, 1, "{}", said.whole());
    assert!(said.stderr.contains("web: a newer deploy has overtaken this one"), "{}", said.stderr);
    assert!(said.stderr.contains("shop did not come up"), "{}", said.stderr);
    assert!(!said.stderr.contains("shop is up"), "{}", said.stderr);
}

#[test]
fn names_are_whole_for_a_program_that_reads_them() {
    let name = "a-service-with-a-name-that-is-longer-than-any-column";
    let mut deploys = apply(&plan("create"), &["dep-1"]);
    deploys["deploys"][0]["service"] = json!(name);
    let mut live = event(11, "live", &json!({}));
    live["service"] = json!(name);
    let mut after = status("live", "live");
    after["projects"][0]["environments"][0]["services"][0]["name"] = json!(name);
    let looks = AtomicUsize::new(0);
    let server = Server::start(move |what, _| match what.split('?').next().unwrap() {
        "GET /v1/server" => Answer::Json(info()),
        "POST /v1/plan" => Answer::Json(plan("create")),
        "POST /v1/apply" => Answer::Json(deploys.clone()),
        "GET /v1/events" => Answer::Open(vec![live.clone()]),
        "GET /v1/status" if looks.fetch_add(1, Ordering::SeqCst) == 0 => {
            Answer::Json(status("deploying", "build_in_progress"))
        }
        "GET /v1/status" => Answer::Json(after.clone()),
        "GET /v1/logs" => {
            Answer::Lines(vec![json!({ "at": "2026-11-21T10:00:00Z", "service": name,
            "environment": "production", "instance": "ins-1", "stream": "stdout", "text": "hello" })])
        }
        other => panic!("{other}"),
    });
    let said = server.run(&["up", "--detach"]);
    assert!(said.stderr.contains(&format!("{name}  live")), "{}", said.stderr);
    let said = server.run(&["logs"]);
    assert!(said.stdout.contains(&format!("{name} │ hello")), "{}", said.stdout);
}
