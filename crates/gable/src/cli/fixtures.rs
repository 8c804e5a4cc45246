//! Replies as a server sends them, for tests of rendering.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wire::{EnvEntry, Event, PlanReply, Status};

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn change(action: &str, noun: &str, kind: &str, name: &str, details: &[&str]) -> Value {
    json!({ "action": action, "noun": noun, "kind": kind, "name": name,
            "environment": "production", "details": details })
}

/// A Blueprint that is applied for the first time.
pub(crate) fn first_plan() -> PlanReply {
    let finding = |line: u32, column: u32, message: &str, rendered: &str| {
        json!({ "severity": "repair", "code": "env-alias", "message": message, "file": "render.yaml",
                "line": line, "column": column, "rendered": rendered })
    };
    let rendered = "error[env-alias]: `env` is the old name of `runtime`\n --> render.yaml:4:5\n  |\n4 |     env: node\n  |     ^^^\nhint: write `runtime: node`\n";
    read(json!({
        "project": "shop", "blueprint_file": "render.yaml", "refused": false,
        "source": { "path": "/src/shop", "commit": "1a2b3c4d5e6f7a8b9c0d1a2b3c4d5e6f7a8b9c0d",
                    "branch": "main", "subject": "prices", "dirty": true, "notes": [] },
        "findings": [
            finding(4, 5, "`env` is the old name of `runtime`", rendered),
            finding(19, 9, "`3.10` keeps its zero: values are text", ""),
        ],
        "changes": [
            change("create", "database", "PostgreSQL 16", "shop-db", &[]),
            change("create", "key_value", "Valkey 8", "cache", &[]),
            change("create", "service", "web · node", "web", &[]),
            change("create", "service", "web · python", "api", &[]),
            change("unsupported", "service", "web · docker", "images",
                   &["Dockerfiles come with the next version"]),
        ],
        "missing": [{ "environment": "production", "service": "api", "key": "STRIPE_KEY",
                      "why": "sync: false" }],
        "notes": ["node 22 is asked for and 20 is installed"],
    }))
}

fn service(id: &str, name: &str, kind: &str, state: &str, more: &Value) -> Value {
    let mut service = json!({ "id": id, "name": name, "slug": name, "kind": kind, "runtime": "node",
        "state": state, "state_detail": "", "urls": [], "instances": [] });
    for (key, value) in more.as_object().unwrap() {
        service[key] = value.clone();
    }
    service
}

fn instance(id: &str, state: &str) -> Value {
    json!({ "id": id, "state": state, "address": "10.77.0.5", "port": 4000, "restarts": 0,
            "memory_bytes": 61_400_000, "started_at": "2026-11-21T09:55:00Z", "release": 3 })
}

fn deploy(status: &str, more: &Value) -> Value {
    let mut deploy = json!({ "id": "dep-1", "status": status, "trigger": "blueprint_sync",
        "created_at": "2026-11-21T09:50:00Z", "phase_since": "2026-11-21T09:50:00Z" });
    for (key, value) in more.as_object().unwrap() {
        deploy[key] = value.clone();
    }
    deploy
}

/// Two projects that both have a service `web`.
pub(crate) fn two_projects() -> Status {
    let failure = json!({ "code": "variable-missing", "message": "worker ended at once: SECRET_KEY is not set",
        "detail": "KeyError: 'SECRET_KEY'", "hint": "`gable env set worker SECRET_KEY`" });
    let shop = json!([
        service(
            "srv-2",
            "worker",
            "worker",
            "waiting",
            &json!({
            "state_detail": "for shop-db",
            "deploy": deploy("created", &json!({ "waiting": "the database shop-db is being created, which takes a while" })) })
        ),
        service(
            "srv-3",
            "web",
            "web",
            "live",
            &json!({
            "urls": ["http://web.localhost:8080"], "internal": "web:4000", "revision": 3,
            "instances": [instance("ins-1", "healthy"), instance("ins-2", "running")] })
        ),
        service(
            "srv-4",
            "nightly",
            "cron",
            "scheduled",
            &json!({ "next_run": "2026-11-21T13:00:00Z" })
        ),
    ]);
    let blog = json!([service(
        "srv-1",
        "web",
        "web",
        "failed",
        &json!({
        "deploy": deploy("update_failed", &json!({ "failure": failure })) })
    )]);
    let database = json!({ "id": "dpg-1", "name": "shop-db", "kind": "postgres", "version": "16.4",
        "state": "available", "state_detail": "", "host": "shop-db", "port": 5432,
        "memory_bytes": 24_000_000, "started_at": "2026-11-19T10:00:00Z" });
    let project = |name: &str, services: &Value, databases: &Value, missing: &Value| {
        json!({ "name": name, "source": format!("/src/{name}"), "stopped": false, "missing": missing,
            "environments": [{ "id": "evm-1", "name": "production", "services": services,
                               "databases": databases }] })
    };
    read(json!({ "sequence": 40, "projects": [
        project("blog", &blog, &json!([]), &json!([])),
        project("shop", &shop, &json!([database]), &json!([
            { "environment": "production", "service": "web", "key": "STRIPE_KEY", "why": "sync: false" }])),
    ] }))
}

/// A first `up` of a database and two services, one of which does not build.
pub(crate) fn events() -> Vec<Event> {
    let event = |sequence: u64, at: &str, noun: &str, service: &str, kind: &str, more: &Value| {
        let mut event = json!({ "sequence": sequence, "at": format!("2026-11-21T10:{at}Z"),
            "project": "shop", "environment": "production", "service": service, "noun": noun,
            "kind": kind, "message": format!("{service}: {kind}") });
        for (key, value) in more.as_object().unwrap() {
            event[key] = value.clone();
        }
        read(event)
    };
    let status = |status: &str| json!({ "deploy": "dep-1", "status": status });
    vec![
        event(1, "00:00", "database", "shop-db", "creating", &json!({ "database": "creating" })),
        event(2, "00:00", "service", "api", "build_started", &status("build_in_progress")),
        event(3, "00:00", "service", "web", "queued", &status("queued")),
        event(
            4,
            "00:01.5",
            "database",
            "shop-db",
            "available",
            &json!({ "database": "available" }),
        ),
        event(5, "00:02", "service", "web", "build_started", &status("build_in_progress")),
        event(6, "00:03", "service", "api", "tool", &json!({ "deploy": "dep-1" })),
        event(7, "00:30", "service", "web", "update_started", &status("update_in_progress")),
        event(8, "00:42", "service", "api", "build_failed", &status("build_failed")),
    ]
}

/// Variables of all kinds.
pub(crate) fn variables() -> Vec<EnvEntry> {
    let entry = |key: &str, value: Option<&str>, origin: &str, more: &Value| {
        let mut entry = json!({ "key": key, "value": value, "is_set": true, "secret": value.is_none(),
            "phase": "both", "origin": origin, "readers": [], "set_by_hand": false });
        for (key, value) in more.as_object().unwrap() {
            entry[key] = value.clone();
        }
        entry
    };
    read(json!([
        entry("API_URL", Some("http://api.localhost:8080"), "api, RENDER_EXTERNAL_URL", &json!({})),
        entry("DATABASE_URL", None, "shop-db, connectionString", &json!({})),
        entry("JWT_SECRET", None, "generated", &json!({ "readers": ["worker", "admin"] })),
        entry("LOG_LEVEL", Some("debug"), "render.yaml:12", &json!({ "set_by_hand": true })),
        entry("NODE_ENV", Some("production"), "Gable", &json!({ "phase": "run" })),
        entry(
            "RULES",
            Some("a\nb and some more text that is much longer than a column"),
            "render.yaml:14",
            &json!({})
        ),
        entry("STRIPE_KEY", None, "sync: false", &json!({ "is_set": false })),
    ]))
}
