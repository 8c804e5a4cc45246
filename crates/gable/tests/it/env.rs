//! `gable env` and `gable psql`.

use serde_json::json;

use super::support::{Answer, Server};

fn server() -> Server {
    Server::start(|what, body| match what.split('?').next().unwrap() {
        "GET /v1/server" => Answer::Json(json!({ "version": "0.1.0", "pid": 1, "engine": "native",
            "engine_note": "", "listen": [], "state_dir": "/s", "started_at": "2026-11-21T10:00:00Z" })),
        "GET /v1/status" => Answer::Json(json!({ "sequence": 1, "projects": [{ "name": "shop",
            "source": "/src/shop", "stopped": false, "missing": [], "environments": [{ "id": "evm-1",
            "name": "production",
            "services": [{ "id": "srv-1", "name": "api", "slug": "api", "kind": "web", "runtime": "node",
                "state": "live", "state_detail": "", "urls": [], "instances": [] }],
            "databases": [{ "id": "dpg-1", "name": "shop-db", "kind": "postgres", "version": "16",
                "state": "available", "state_detail": "", "host": "shop-db", "port": 5432 }] }] }] })),
        "GET /v1/env" => {
            let reveal = what.contains("reveal=true");
            Answer::Json(json!([
                { "key": "SECRET", "value": reveal.then_some("hunter2"), "is_set": true, "secret": true,
                  "phase": "both", "origin": "generated", "readers": ["web"], "set_by_hand": false },
                { "key": "STRIPE_KEY", "is_set": false, "secret": true, "phase": "both",
                  "origin": "sync: false", "readers": [], "set_by_hand": false },
            ]))
        }
        "POST /v1/env" => Answer::Json(json!({ "changed": !body.contains("same"), "deploys": [] })),
        "GET /v1/instance" => Answer::Json(json!({
            "instance_id": format!("ins-{}", "0".repeat(26)), "label": "shop-db" })),
        "GET /v1/databases/connection" => Answer::Json(json!({
            "argv": ["psql"], "env": [["PGPASSWORD", "hunter2"]],
            "internal_url": "postgresql://shop:hunter2@shop-db:5432/shop" })),
        other => panic!("{other}"),
    })
}

#[test]
fn variables_are_shown_with_their_origin_and_secrets_only_when_asked_for() {
    insta::assert_snapshot!(server().run(&["env", "api"]).whole(), @r"
        exit 0
        --- stdout
        KEY         VALUE     FROM         READ BY
        SECRET      ••••••••  generated    web
        STRIPE_KEY  unset     sync: false
        --- stderr
        ");
    let server = server();
    assert!(server.run(&["env", "list", "api", "--reveal"]).stdout.contains("hunter2"));
    assert!(server.asked().contains(&"GET /v1/env?reveal=true&service=srv-1".to_owned()));
}

#[test]
fn a_variable_is_set_from_the_command_line_or_from_stdin() {
    let server = server();
    insta::assert_snapshot!(server.run(&["env", "set", "api", "A=1", "B=x=y"]).whole(), @r"
        exit 0
        --- stdout
        --- stderr
        kept for the next deploy of api
        ");
    let said = server.run_with(&["env", "set", "api", "KEY", "--no-deploy"], "hunter2\n");
    assert_eq!(said.code, 0, "{}", said.stderr);
    insta::assert_snapshot!(server.run(&["env", "set", "api", "A=same"]).whole(), @r"
        exit 0
        --- stdout
        --- stderr
        nothing changed
        ");
    assert_eq!(server.run(&["env", "unset", "api", "A", "B"]).code, 0);
    let asked = server.asked();
    let changes: Vec<_> =
        asked.iter().filter_map(|asked| asked.strip_prefix("POST /v1/env ")).collect();
    insta::assert_snapshot!(changes.join("\n"), @r#"
        {"service":"srv-1","set":[{"key":"A","value":"1"},{"key":"B","value":"x=y"}],"unset":[],"deploy":true}
        {"service":"srv-1","set":[{"key":"KEY","value":"hunter2"}],"unset":[],"deploy":false}
        {"service":"srv-1","set":[{"key":"A","value":"same"}],"unset":[],"deploy":true}
        {"service":"srv-1","set":[],"unset":["A","B"],"deploy":true}
        "#);
}

#[test]
fn an_empty_stdin_is_no_value_and_changes_nothing() {
    let server = server();
    for input in ["", "\n"] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(server.run_with(&["env", "set", "api", "KEY"], input).whole(), @r"
            exit 2
            --- stdout
            --- stderr
            error: there is no value for KEY on stdin; nothing was changed

            hint: `KEY=` sets it to the empty text, `gable env unset SERVICE KEY` takes it back
            ");
        }
    }
    let asked = server.asked();
    assert!(!asked.iter().any(|asked| asked.starts_with("POST")), "{asked:?}");
    assert_eq!(server.run(&["env", "set", "api", "KEY="]).code, 0);
    assert!(server.asked().iter().any(|asked| asked.contains(r#"{"key":"KEY","value":""}"#)));
}

#[test]
fn a_name_that_no_variable_can_have_is_refused_with_its_position() {
    let server = server();
    let directory = server.directory.path();
    std::fs::write(directory.join("bad.env"), "A=1\nmy api.B C=hunter2\n").unwrap();
    let cases: &[(&[&str], &str)] = &[
        (
            &["env", "set", "api", "A=1", "MY KEY=hunter2"],
            "word 2 begins with no name of a variable: it holds a blank at position 3",
        ),
        (&["env", "set", "api", "A\nB=hunter2"], "it holds a line break at position 2"),
        (&["env", "set", "api", "A\u{1b}=hunter2"], "it holds the character \\u{1b} at position 2"),
        (&["plan", "--set", "MY KEY=hunter2"], "it holds a blank at position 3"),
        (&["plan", "--set", "my api.A\tB=hunter2"], "it holds the character \\u{9} at position 9"),
        (&["plan", "--env-file", "bad.env"], "bad.env:2:9: the name before the `=` holds a blank"),
        (
            &["plan", "--operator-env", "bad.env"],
            "bad.env:2:9: the name before the `=` holds a blank",
        ),
    ];
    for (arguments, told) in cases {
        let said = server.run(arguments);
        assert_eq!(said.code, 2, "{arguments:?}: {}", said.whole());
        assert!(said.stderr.contains(told), "{arguments:?}: {}", said.stderr);
        assert!(!said.stderr.contains("hunter2"), "{}", said.stderr);
    }
    assert!(!server.asked().iter().any(|asked| asked.starts_with("POST")));
}

#[test]
fn mistakes_with_variables_name_no_value() {
    insta::assert_snapshot!(server().run(&["env", "set", "api", "=hunter2"]).whole(), @r"
        exit 2
        --- stdout
        --- stderr
        error: there is no name before the `=`

        hint: write `KEY=VALUE`, or KEY alone to be asked for the value
        ");
    assert_eq!(server().run(&["env", "set", "api", "A", "B"]).code, 2);
    assert_eq!(server().run(&["env"]).code, 2);
}

#[test]
fn the_url_of_a_database_is_data_and_its_client_runs_inside_its_instance() {
    let server = server();
    let said = server.run(&["psql", "--url"]);
    assert_eq!(said.stdout, "postgresql://shop:hunter2@shop-db:5432/shop\n");
    let asked = server.asked();
    assert!(asked.contains(&"GET /v1/databases/connection?database=dpg-1&reveal=true".to_owned()));
    // No such instance runs here, and the password is not told.
    let said = server.run(&["psql", "shop-db", "--", "-c", "select 1"]);
    assert_eq!(said.code, 125);
    assert!(said.stderr.contains("[exec-failed]"), "{}", said.stderr);
    assert!(!said.whole().contains("hunter2"), "{}", said.whole());
}
