//! The process runs, and nobody hears it.

use super::*;

fn answers(status: u16, body: &str) -> Case {
    let probe = ProbeSeen::Unhealthy { status, body_head: body.into() };
    Case { probe: Some(probe), ..Case::new() }.listens("0.0.0.0", 4000)
}

#[test]
fn a_server_on_loopback_is_told_to_open_up() {
    let case = Case { probe: Some(ProbeSeen::Refused), ..Case::new() };
    check(
        &case.listens("127.0.0.1", 5173).listens("::1", 5173),
        "listens-on-loopback",
        "`api` listens on 127.0.0.1:5173, ::1:5173 only, where nobody else can reach it",
        "",
    );
}

#[test]
fn a_server_without_a_port_is_told_what_port_is() {
    let mut case = Case { probe: Some(ProbeSeen::Refused), ..Case::new() };
    case.log = vec!["warming up the cache".into()];
    check(
        &case,
        "port-not-open",
        "`api` runs, but listens on no port; `PORT` is `10000`",
        "waited 90 s\nwarming up the cache",
    );
}

#[test]
fn waiting_for_a_database_is_said_instead() {
    let mut case = Case { probe: Some(ProbeSeen::Refused), ..Case::new() };
    case.log = vec!["connect ECONNREFUSED 10.77.0.9:5432, trying again".into()];
    check(
        &case,
        "connection-refused",
        "`api` was refused a connection to `10.77.0.9:5432`",
        "connect ECONNREFUSED",
    );
}

#[test]
fn another_port_is_no_trouble_unless_nothing_answers_there() {
    let case = Case { probe: Some(ProbeSeen::Refused), ..Case::new() }.listens("0.0.0.0", 4000);
    check(
        &case,
        "port-not-answering",
        "`api` listens on `0.0.0.0:4000`, but nothing answers there",
        "PORT is 10000",
    );
    check(
        &answers(404, "no"),
        "health-path-not-found",
        "`api` answers, but has no page at its health check path `/health`",
        "GET /health answered 404: no",
    );
}

#[test]
fn statuses() {
    check(
        &answers(401, ""),
        "health-path-unauthorized",
        "`api` answers, but wants a login at its health check path `/health`",
        "GET /health answered 401",
    );
    check(
        &answers(503, "down\nfor maintenance"),
        "health-check-error",
        "`api` answers its health check with `503`",
        "GET /health answered 503: down for maintenance",
    );
    check(
        &answers(405, ""),
        "health-check-refused",
        "`api` answers its health check with `405`",
        "GET /health answered 405",
    );
}

#[test]
fn an_error_page_is_explained_by_the_log() {
    let mut case = answers(500, "Internal Server Error");
    case.log = vec!["error: relation \"users\" does not exist".into()];
    check(
        &case,
        "schema-missing",
        "`api` reads `users`, which the database does not have yet",
        "GET /health answered 500: Internal Server Error\nerror: relation",
    );
}

#[test]
fn a_refused_host_names_the_setting() {
    let mut case = answers(400, "<h1>Bad Request (400)</h1>");
    case.env_keys = vec!["DEBUG".into(), "DJANGO_ALLOWED_HOSTS".into()];
    let message = "`api` answers, but refuses requests for its own public host (`400`)";
    check(&case, "host-not-allowed", message, "GET /health answered 400");
    assert!(case.diagnose().hint.unwrap().contains("DJANGO_ALLOWED_HOSTS"));

    let mut case = answers(403, "Blocked request. This host (\"api.localhost\") is not allowed.");
    check(&case, "host-not-allowed", &message.replace("400", "403"), "GET /health answered 403");
    case.probe = Some(ProbeSeen::Unhealthy { status: 403, body_head: "log in first".into() });
    assert_eq!(case.diagnose().code, "health-path-unauthorized");
}

#[test]
fn answers_that_never_come_or_are_no_http() {
    let case = Case { probe: Some(ProbeSeen::Timeout), ..Case::new() }.listens("0.0.0.0", 4000);
    check(
        &case,
        "health-check-timeout",
        "`api` accepts connections, but does not answer `/health` in time",
        "waited 90 s",
    );
    let error = ProbeSeen::Error("invalid HTTP version".into());
    check(
        &Case { probe: Some(error), ..Case::new() }.listens("0.0.0.0", 4000),
        "health-check-not-http",
        "`api` answers `/health` with something that is not HTTP",
        "invalid HTTP version",
    );
}

#[test]
fn a_worker_needs_no_port() {
    let mut case = Case::new();
    case.service.kind = ServiceKind::Worker;
    check(&case, "not-healthy-in-time", "`api` did not become healthy in time", "waited 90 s");
}
