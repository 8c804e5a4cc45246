//! Whom a stop asks to end. The programs are stand-ins for real ones, which `make stopping` runs.

use std::time::Duration;

use engine::{Driver, InstanceSpec};
use model::Exit;

use crate::plain::Plain;
use crate::rig::{Rig, is_root, until};

/// Longer than anything here may take: what is left after it has been killed.
const GRACE: Duration = Duration::from_secs(15);

/// As Celery's and gunicorn's: the child dies of TERM and loses its job; the parent lets it finish.
const PREFORK: &str = r#"
import os, signal
wake, tell = os.pipe()
finish, go = os.pipe()
signal.signal(signal.SIGTERM, lambda *_: os.write(tell, b"x"))
child = os.fork()
if child == 0:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    print("job begun", flush=True)
    os.read(finish, 1)
    print("job done", flush=True)
    os._exit(0)
os.read(wake, 1)
os.write(go, b"x")
os._exit(0 if os.waitpid(child, 0)[1] == 0 else 9)
"#;

/// A server that finishes a request before it ends.
const SERVER: &str = r#"
import os, signal, sys
wake, tell = os.pipe()
signal.signal(signal.SIGTERM, lambda *_: os.write(tell, b"x"))
print("up", flush=True)
os.read(wake, 1)
print("request finished", flush=True)
sys.exit(0)
"#;

/// As npm: it dies of TERM at once and tells nobody, and ends as its script does otherwise.
const NPM: &str = r#"
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
sys.exit(subprocess.call(["/bin/sh", "-c", "python3 -c \"$SERVER\"; exit $?"]))
"#;

fn with(mut spec: InstanceSpec) -> InstanceSpec {
    for (key, value) in [("PREFORK", PREFORK), ("SERVER", SERVER), ("NPM", NPM)] {
        spec.env.push((key.to_owned(), value.to_owned()));
    }
    spec
}

/// Runs a script as a plain process until it has said a word, stops it, and returns its end and
/// what it said.
async fn stopped(script: &str, word: &str) -> (Exit, String) {
    let plain = Plain::new();
    let spec = with(plain.shell(script));
    plain.driver().start(&spec).await.unwrap();
    until(&format!("`{word}`"), || plain.log(&spec).contains(word)).await;
    plain.driver().stop(&spec.id, GRACE).await.unwrap();
    (plain.ended(&spec).await, plain.log(&spec))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefork_parent_is_asked_and_its_children_finish_what_they_do() {
    let (exit, log) = stopped("python3 -c \"$PREFORK\"; exit $?", "job begun").await;
    assert!(log.contains("job done"), "{log}");
    assert_eq!(exit.code, Some(0), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_below_a_package_manager_is_asked_and_not_the_package_manager() {
    let script = "cd / && bash -c 'exec -a \"npm start\" python3 -c \"$NPM\"'; exit $?";
    let (exit, log) = stopped(script, "up").await;
    assert!(log.contains("request finished"), "{log}");
    assert_eq!(exit.code, Some(0), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_with_a_trap_is_asked_itself() {
    let script = "trap 'echo trapped; kill -TERM $server; wait $server; exit 7' TERM
        python3 -c \"$SERVER\" & server=$!; wait";
    let (exit, log) = stopped(script, "up").await;
    assert!(log.contains("trapped") && log.contains("request finished"), "{log}");
    assert_eq!(exit.code, Some(7), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_shell_with_a_trap_waits_for_is_asked_before_it_would_be_killed() {
    let script = "trap 'echo trapped; exit 7' TERM; python3 -c \"$SERVER\"; echo went on";
    let (exit, log) = stopped(script, "up").await;
    assert!(log.contains("request finished") && log.contains("trapped"), "{log}");
    assert_eq!(exit.code, Some(7), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_application_below_a_shell_is_asked() {
    let script = "python3 -c \"$PREFORK\" & python3 -c \"$SERVER\" & wait; echo both ended";
    let plain = Plain::new();
    let spec = with(plain.shell(script));
    plain.driver().start(&spec).await.unwrap();
    let log = || plain.log(&spec);
    until("both", || log().contains("job begun") && log().contains("up")).await;
    plain.driver().stop(&spec.id, GRACE).await.unwrap();
    let log = plain.log(&spec);
    let all = ["job done", "request finished", "both ended"];
    assert!(all.iter().all(|word| log.contains(word)), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reads_an_applications_output_shows_its_last_lines() {
    let script = "python3 -c \"$SERVER\" | while read line; do echo \"read: $line\"; done";
    let (_, log) = stopped(script, "read: up").await;
    assert!(log.contains("read: request finished"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_when_the_application_has_ended_is_asked_too() {
    let script = "python3 -c \"$SERVER\" & exec python3 -c 'import time; print(\"main\", flush=True); time.sleep(600)'";
    let (exit, log) = stopped(script, "up").await;
    assert!(log.contains("request finished"), "{log}");
    assert_eq!(exit.signal, Some(15), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_namespace_of_its_own_the_application_is_asked_as_well() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let script = "cd / && bash -c 'exec -a \"npm start\" python3 -c \"$NPM\"'; exit $?";
    for (script, begun, done) in [
        ("python3 -c \"$PREFORK\"; exit $?", "job begun", "job done"),
        (script, "up", "request finished"),
    ] {
        let spec = with(rig.shell(script));
        rig.start(&spec).await;
        rig.said(&spec.id, begun).await;
        rig.driver().stop(&spec.id, GRACE).await.unwrap();
        assert!(rig.output(&spec.id).contains(done), "{}", rig.output(&spec.id));
        assert_eq!(rig.ended(&spec.id).await.code, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_beside_the_main_one_does_not_keep_the_instance_from_ending() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let spec = with(rig.shell("exec python3 -c \"$SERVER\""));
    rig.start(&spec).await;
    rig.said(&spec.id, "up").await;
    let null = || std::fs::File::options().read(true).write(true).open("/dev/null").unwrap().into();
    let request = engine::ExecRequest {
        command: ["/bin/sh", "-c", "trap '' TERM HUP; touch /tmp/begun; while :; do sleep 1; done"]
            .map(str::to_owned)
            .to_vec(),
        cwd: None,
        env: Vec::new(),
        stdio: [null(), null(), null()],
        terminal: false,
        time: None,
    };
    let driver = rig.driver.clone().unwrap();
    let id = spec.id.clone();
    let command = tokio::spawn(async move { driver.exec(&id, request).await });
    let began = || {
        let look = ["/bin/sh", "-c", "test -e /tmp/begun"].map(str::to_owned).to_vec();
        let request = engine::ExecRequest {
            command: look,
            cwd: None,
            env: Vec::new(),
            stdio: [null(), null(), null()],
            terminal: false,
            time: None,
        };
        rig.driver().exec(&spec.id, request)
    };
    while began().await.unwrap() != 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Far beyond the test's patience: only an end that does not wait for the command is one.
    let stop = rig.driver().stop(&spec.id, Duration::from_secs(600));
    tokio::time::timeout(crate::rig::PATIENCE, stop).await.unwrap().unwrap();
    let _ = command.await.unwrap();
    assert_eq!(rig.ended(&spec.id).await.code, Some(0));
}
