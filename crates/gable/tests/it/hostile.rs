//! What names, lines and errors of strangers do to the terminal: nothing.

use serde_json::{Value, json};

use super::support::{Answer, Said, Server};

/// Clears the screen, sets a title, goes a line up, writes from right to left, begins a command
/// with one letter, and forges one of our styles.
const EVIL: &str = "w\u{1b}[2J\u{1b}]0;title\u{7}\u{1b}[1A\u{202e}\u{9b}2K\u{8}\u{7f}\u{fdd0}2Jeb";

fn problem() -> Value {
    json!({ "code": "variable-missing", "message": format!("{EVIL} ended at once"),
            "detail": format!("KeyError: {EVIL}"), "hint": format!("set {EVIL}") })
}

fn status() -> Value {
    let failed = json!({ "id": "dep-1", "status": "build_failed", "trigger": "blueprint_sync",
        "created_at": "2026-11-21T09:50:00Z", "phase_since": "2026-11-21T09:50:00Z",
        "waiting": EVIL, "failure": problem() });
    let service = |id: &str, name: &str| {
        json!({ "id": id, "name": name, "slug": name, "kind": "web", "runtime": "node",
            "state": "failed", "state_detail": EVIL, "urls": [format!("http://{EVIL}:8080")],
            "internal": EVIL, "instances": [], "deploy": failed })
    };
    let database = json!({ "id": "dpg-1", "name": EVIL, "kind": "postgres", "version": EVIL,
        "state": "available", "state_detail": EVIL, "host": EVIL, "port": 5432 });
    json!({ "sequence": 1, "projects": [{ "name": EVIL, "source": format!("/src/{EVIL}"),
        "stopped": false, "missing": [{ "environment": EVIL, "service": EVIL, "key": EVIL, "why": EVIL }],
        "environments": [{ "id": "evm-1", "name": EVIL, "databases": [database],
            "services": [service("srv-1", EVIL), service("srv-2", "api")] }] }] })
}

fn plan() -> Value {
    let finding = |severity: &str| {
        json!({ "severity": severity, "code": "unknown-field", "message": EVIL, "file": EVIL,
            "line": 1, "column": 1, "rendered": format!("error[x]: {EVIL}\n --> {EVIL}:1:1"), "hint": EVIL })
    };
    json!({ "project": EVIL, "blueprint_file": EVIL, "refused": true,
        "source": { "path": EVIL, "commit": "1a2b3c4d5e6f", "branch": EVIL, "subject": EVIL, "dirty": false,
                    "notes": [EVIL] },
        "findings": [finding("error"), finding("repair")],
        "missing": [{ "environment": EVIL, "service": EVIL, "key": EVIL, "why": EVIL }], "notes": [EVIL],
        "changes": [{ "action": "create", "noun": "service", "kind": EVIL, "name": EVIL,
                      "environment": EVIL, "details": [EVIL] }] })
}

fn server() -> Server {
    Server::start(|what, _| match what.split('?').next().unwrap() {
        "GET /v1/server" => Answer::Json(json!({ "version": "0.1.0", "pid": 1, "engine": "native",
            "engine_note": EVIL, "listen": [], "state_dir": "/s", "started_at": "2026-11-21T10:00:00Z" })),
        "GET /v1/status" => Answer::Json(status()),
        "GET /v1/logs" => {
            Answer::Lines(vec![json!({ "at": "2026-11-21T10:00:00Z", "service": EVIL,
            "environment": EVIL, "instance": EVIL, "stream": "stdout",
            "text": format!("\u{1b}[32mready\u{1b}[0m {EVIL}") })])
        }
        "GET /v1/env" => {
            Answer::Json(json!([{ "key": EVIL, "value": EVIL, "is_set": true, "secret": false,
            "phase": "both", "origin": EVIL, "readers": [EVIL], "set_by_hand": false }]))
        }
        "POST /v1/env" => Answer::Json(json!({ "changed": true, "deploys": [
            { "id": "dep-1", "service": EVIL, "environment": EVIL, "sequence": 1 }] })),
        "POST /v1/plan" => Answer::Json(plan()),
        "POST /v1/down" => {
            Answer::Lines(vec![json!({ "sequence": 2, "at": "2026-11-21T10:00:00Z",
            "project": EVIL, "environment": EVIL, "service": "", "noun": "project", "kind": "stop",
            "message": EVIL, "problem": problem() })])
        }
        "GET /v1/events" => {
            Answer::Open(vec![json!({ "sequence": 2, "at": "2026-11-21T10:00:00Z",
            "project": EVIL, "environment": EVIL, "service": EVIL, "noun": "service", "deploy": "dep-1",
            "kind": "build_failed", "status": "build_failed", "message": EVIL, "problem": problem() })])
        }
        "POST /v1/shutdown" => Answer::Json(json!({ "ending": false })),
        other => panic!("{other}"),
    })
}

/// Nothing but letters, lines and colours.
fn check(arguments: &[&str], said: &Said) {
    for text in [&said.stdout, &said.stderr] {
        let mut rest = text.as_str();
        while let Some(at) = rest.find(|letter: char| letter.is_control() && letter != '\n') {
            let found = &rest[at..];
            let is_colour = found.strip_prefix("\u{1b}[").is_some_and(|codes| {
                codes
                    .trim_start_matches(|code: char| code.is_ascii_digit() || code == ';')
                    .starts_with('m')
            });
            assert!(is_colour, "{arguments:?} wrote {:?}", &text[text.len() - rest.len()..]);
            rest = &found[1..];
        }
        assert!(!text.contains('\u{202e}'), "{arguments:?}: {text:?}");
    }
    assert!(said.stdout.contains('w') || said.stderr.contains('w'), "{arguments:?}: {said:?}");
}

#[test]
fn nothing_that_strangers_wrote_steers_the_terminal_of_a_reading_command() {
    let server = server();
    let commands: &[&[&str]] = &[
        &["status"],
        &["status", "nosuch"],
        &["logs"],
        &["logs", "api", "-t"],
        &["logs", "nosuch"],
        &["env", "api"],
        &["env", "api", "--reveal"],
        &["env", "set", "api", "A=1"],
        &["plan"],
        &["up", "--detach"],
        &["down"],
    ];
    for command in commands {
        for more in [&["--color", "always"][..], &["--color", "never"], &["--json"]] {
            let arguments = [*command, more].concat();
            check(&arguments, &server.run(&arguments));
        }
    }
}

#[test]
fn a_line_of_a_program_cannot_forge_a_line_of_another_service() {
    let said = server().run(&["logs", "--color", "always"]);
    assert_eq!(said.stdout.lines().count(), 1, "{:?}", said.stdout);
    assert!(
        said.stdout.contains("\u{1b}[32mready\u{1b}[0m"),
        "its colours stay: {:?}",
        said.stdout
    );
}

#[test]
fn a_file_that_is_read_steers_no_terminal_and_is_written_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let text = "# w\u{202e}\nservices:\n  - type: web\n    name: api\n    env: node\n    \
                startCommand: \"x \\e[2J\\x9b2K\"\n    \"pl\\e[2Jan\": 1\n";
    std::fs::write(directory.path().join("render.yaml"), text).unwrap();
    let run = |arguments: &[&str]| super::support::run_in(directory.path(), arguments);
    for command in ["validate", "explain"] {
        let arguments = ["blueprint", command, "render.yaml", "--color", "always"];
        check(&arguments, &run(&arguments));
    }
    let fixed = run(&["blueprint", "fix", "render.yaml"]);
    assert!(fixed.stdout.starts_with("# w\u{202e}\nservices:\n"), "{fixed:?}");
}
