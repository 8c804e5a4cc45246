//! `gable run`, `restart`, `rollback`, `cancel`.

use serde_json::{Value, json};

use super::support::{Answer, Server};

fn deploy(id: &str) -> Value {
    json!({ "id": id, "service": "api", "environment": "production", "sequence": 10 })
}

/// A server whose jobs end with `code`, and whose newest deploy has a status.
fn server(job: Value, deploy_status: &'static str) -> Server {
    let state = if deploy_status == "live" { "live" } else { "failed" };
    Server::start(move |what, _| match what.split('?').next().unwrap() {
        "GET /v1/server" => Answer::Json(json!({ "version": "0.1.0", "pid": 1, "engine": "native",
            "engine_note": "", "listen": [], "state_dir": "/s", "started_at": "2026-11-21T10:00:00Z" })),
        "GET /v1/status" => Answer::Json(json!({ "sequence": 1, "projects": [{ "name": "shop",
            "source": "/src/shop", "stopped": false, "missing": [], "environments": [{ "id": "evm-1",
            "name": "production", "databases": [],
            "services": [{ "id": "srv-1", "name": "api", "slug": "api", "kind": "web", "runtime": "node",
                "state": state, "state_detail": "", "urls": [], "instances": [],
                "deploy": { "id": "dep-2", "status": deploy_status, "trigger": "manual",
                    "created_at": "2026-11-21T10:00:00Z", "phase_since": "2026-11-21T10:00:00Z",
                    "failure": { "code": "port-not-open", "message": "api listens on no port" } } }] }] }] })),
        "POST /v1/jobs" => Answer::Json(json!({ "id": "job-1", "instance_id": "ins-9" })),
        "GET /v1/jobs/job-1" => Answer::Json(job.clone()),
        "GET /v1/logs" if what.contains("ins-9") => Answer::Lines(vec![
            json!({ "at": "2026-11-21T10:00:00Z", "service": "api", "environment": "production",
                    "instance": "ins-9", "stream": "stdout", "text": "3 rows" }),
            json!({ "at": "2026-11-21T10:00:00Z", "service": "api", "environment": "production",
                    "instance": "ins-9", "stream": "stderr", "text": "a warning" }),
        ]),
        "GET /v1/logs" => Answer::Lines(vec![]),
        "GET /v1/events" => Answer::Open(vec![]),
        "POST /v1/restart" | "POST /v1/rollback" | "POST /v1/cancel" => {
            Answer::Json(deploy("dep-2"))
        }
        other => panic!("{other}"),
    })
}

#[test]
fn a_job_speaks_on_its_own_streams_and_ends_with_its_own_code() {
    let server = server(json!({ "id": "job-1", "state": "failed", "exit_code": 3 }), "live");
    insta::assert_snapshot!(server.run(&["run", "api", "--", "rake", "stats"]).whole(), @r"
        exit 3
        --- stdout
        3 rows
        --- stderr
        a warning
        ");
    assert!(
        server.asked().contains(
            &r#"POST /v1/jobs {"service":"srv-1","command":["rake","stats"]}"#.to_owned()
        )
    );
}

#[test]
fn a_job_that_cannot_be_started_ends_with_125() {
    let failure = json!({ "code": "no-release", "message": "api was never built" });
    let server = server(json!({ "id": "job-1", "state": "failed", "failure": failure }), "live");
    let said = server.run(&["run", "api", "--", "true"]);
    assert_eq!(said.code, 125);
    assert!(said.stderr.contains("api was never built"), "{}", said.stderr);
    assert_eq!(server.run(&["run", "nosuch", "--", "true"]).code, 125);
}

#[test]
fn a_restart_waits_until_the_service_is_live() {
    insta::assert_snapshot!(server(json!({}), "live").run(&["restart", "api"]).whole(), @r"
        exit 0
        --- stdout
        --- stderr
        api is live
        ");
}

#[test]
fn a_rollback_that_fails_says_why() {
    let server = server(json!({}), "update_failed");
    insta::assert_snapshot!(server.run(&["rollback", "api", "v3"]).whole(), @r"
        exit 1
        --- stdout
        --- stderr
        ✗ api
          error: api listens on no port [port-not-open]

        api is not live
        ");
    assert!(
        server
            .asked()
            .contains(&r#"POST /v1/rollback {"service":"srv-1","revision":3}"#.to_owned())
    );
}

#[test]
fn only_a_deploy_that_is_under_way_can_be_given_up() {
    assert!(
        server(json!({}), "live")
            .run(&["cancel", "api"])
            .stderr
            .contains("no deploy of api is under way")
    );
    let server = server(json!({}), "build_in_progress");
    assert_eq!(server.run(&["cancel", "api"]).code, 0);
    assert!(server.asked().contains(&r#"POST /v1/cancel {"deploy":"dep-2"}"#.to_owned()));
}
