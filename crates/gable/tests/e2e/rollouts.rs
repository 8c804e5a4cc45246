//! Deploys under load: nobody who asks notices, whatever is killed meanwhile.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::wrk::{self, WrkOptions};
use testkit::{Load, Platform, Repository};

/// Every release hard-codes the same port, so two of them can only run side by side in networks of
/// their own.
const PORT: u16 = 4000;
const REDEPLOYS: usize = 20;
/// A phase that was asked for begins within this time.
const PHASE_TIME_MAX: Duration = Duration::from_secs(60);
/// What is left of a deploy after a restart, the whole of it at worst: three phases of a second,
/// and what a busy machine needs.
const END_TIME_MAX: Duration = Duration::from_secs(12);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A server that answers with `v0`; each phase of its deploy takes so many seconds.
pub(crate) fn repository(seconds_per_phase: u32) -> Repository {
    let repository = Repository::new().unwrap();
    let blueprint = format!(
        "services:\n  - type: web\n    name: app\n    runtime: node\n    plan: starter\n    \
         buildCommand: sleep {seconds_per_phase} && node --check server.js\n    \
         preDeployCommand: sleep {seconds_per_phase}\n    startCommand: sleep \
         {seconds_per_phase} && exec node server.js\n    healthCheckPath: /health\n"
    );
    let server = format!(
        "const http = require('node:http');\nconst version = 'v0';\nconst server = \
         http.createServer((request, response) => setTimeout(() => response.end(version), \
         request.url === '/slow' ? 1500 : 5));\nserver.listen({PORT}, \
         '0.0.0.0');\nprocess.on('SIGTERM', () => {{ server.close(() => process.exit(0)); \
         server.closeIdleConnections(); }});\n"
    );
    repository.write("render.yaml", &blueprint).unwrap().write("server.js", &server).unwrap();
    repository.commit("v0").unwrap();
    repository
}

/// The next release: `v1` after `v0`.
pub(crate) fn next_version(repository: &Repository, number: usize) {
    let (from, to) = (format!("'v{}'", number - 1), format!("'v{number}'"));
    repository.replace("server.js", &from, &to).unwrap();
    repository.commit(&to).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_redeploys_of_a_fixed_port_fail_no_request() {
    let Some(_turn) = crate::turn("twenty_redeploys_of_a_fixed_port_fail_no_request").await else {
        return;
    };
    let repository = repository(0);
    let platform = crate::platform(&[]);
    crate::up(&platform, &repository).await;
    let load = crate::load(&platform, "app", "/", 4);
    load.wait_for(50).await;
    let heavy = wrk::start(&WrkOptions {
        url: format!("http://127.0.0.1:{}/", platform.port()),
        host: Some(format!("app.localhost:{}", platform.port())),
        threads: 1,
        connections: 8,
        time: Duration::from_secs(300),
    });
    let heavy = heavy.unwrap();
    for number in 1..=REDEPLOYS {
        next_version(&repository, number);
        crate::up(&platform, &repository).await;
        load.wait_for(10).await;
    }
    let report = heavy.stop().await.unwrap();
    let tally = load.stop().await;
    assert_eq!(report.failed(), 0, "{report:?}");
    assert!(report.requests > 20 * REDEPLOYS as u64, "wrk was at work all the time: {report:?}");
    assert_eq!(tally.failed, 0, "{tally:?}");
    assert_eq!(tally.bodies.len(), REDEPLOYS + 1, "every release answered: {:?}", tally.bodies);
    platform.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_control_plane_in_any_phase_fails_no_request() {
    let Some(_turn) = crate::turn("killing_the_control_plane_in_any_phase_fails_no_request").await
    else {
        return;
    };
    let repository = repository(1);
    let platform = crate::platform(&[]);
    crate::up(&platform, &repository).await;
    let load = crate::load(&platform, "app", "/", 8);
    // There is always something to drain when a deploy has gone live.
    let slow = crate::load(&platform, "app", "/slow", 2);
    let phases = ["build_in_progress", "pre_deploy_in_progress", "update_in_progress", "live"];
    for (number, phase) in (1..).zip(phases) {
        next_version(&repository, number);
        kill_in(&platform, &repository, phase, &load).await;
        let answer = platform.get("app", "/").await.unwrap();
        assert_eq!(answer.body, format!("v{number}"), "after a kill in {phase}");
        nothing_is_left_to_do(&platform, &repository).await;
    }
    let last = phases.len() + 1;
    next_version(&repository, last);
    follower_outlives_a_kill(&platform, &repository).await;
    assert_eq!(platform.get("app", "/").await.unwrap().body, format!("v{last}"));
    for tally in [load.stop().await, slow.stop().await] {
        assert_eq!(tally.failed, 0, "{tally:?}");
    }
    platform.stop().await.unwrap();
}

/// Begins a deploy and kills the control plane in a phase of it. Requests are answered meanwhile,
/// and the same deploy is live soon after the restart.
async fn kill_in(platform: &Platform, repository: &Repository, phase: &str, load: &Load) {
    let before = deploy(platform).await;
    let mut follower = platform.up_command(repository.path(), &[]).unwrap();
    let mut follower = follower.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let killed = wait_for_phase(platform, &before, phase).await;
    // Whoever follows starts the server again: here it is the test that says when.
    follower.kill().await.unwrap();
    platform.kill_server().unwrap();
    load.wait_for(100).await;
    assert!(platform.processes("server").is_empty(), "nobody has started it again");

    platform.start_server().unwrap();
    let began = Instant::now();
    let after = loop {
        let now = deploy(platform).await;
        if now["status"] == "live" && is_settled(platform).await {
            break now;
        }
        assert!(began.elapsed() < END_TIME_MAX, "killed in {phase}, still {now:#}");
        tokio::time::sleep(LOOK_EVERY).await;
    };
    assert_eq!(after["id"], killed["id"], "killed in {phase}: it is the same deploy that ends");
    assert_eq!(after["proof"]["failed"], 0, "killed in {phase}: {after:#}");
}

/// The newest deploy, as soon as the server answers.
pub(crate) async fn deploy(platform: &Platform) -> Value {
    let until = Instant::now() + PHASE_TIME_MAX;
    loop {
        match platform.service("app").await {
            Ok(service) => return service["deploy"].clone(),
            Err(error) if Instant::now() >= until => panic!("{error:#}"),
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// Whether the old release has been drained, has stopped, and the deploy's proof is there.
pub(crate) async fn is_settled(platform: &Platform) -> bool {
    let service = platform.service("app").await.unwrap();
    service["instances"].as_array().is_some_and(|all| all.len() == 1)
        && service["deploy"]["proof"].is_object()
}

/// Waits until a newer deploy is in this phase, and returns it.
pub(crate) async fn wait_for_phase(platform: &Platform, before: &Value, phase: &str) -> Value {
    let until = Instant::now() + PHASE_TIME_MAX;
    while Instant::now() < until {
        let now = deploy(platform).await;
        if now["id"] != before["id"] && now["status"] == phase {
            return now;
        }
    }
    panic!("no deploy was seen in {phase}");
}

async fn nothing_is_left_to_do(platform: &Platform, repository: &Repository) {
    let before = deploy(platform).await;
    crate::up(platform, repository).await;
    assert_eq!(deploy(platform).await["id"], before["id"]);
}

/// Who follows a deploy with `up` starts a server that went away, and sees the deploy to its end.
async fn follower_outlives_a_kill(platform: &Platform, repository: &Repository) {
    let before = deploy(platform).await;
    let mut follower = platform.up_command(repository.path(), &[]).unwrap();
    let follower = follower.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_phase(platform, &before, "pre_deploy_in_progress").await;
    platform.kill_server().unwrap();
    let output = follower.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        format!("app {}", platform.url("app"))
    );
}
