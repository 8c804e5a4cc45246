//! From start to removal.

use std::time::Duration;

use engine::Driver;
use model::InstanceState;

use crate::rig::{Rig, cgroups_of, is_root, links, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_code_and_the_output_are_kept() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let spec = rig.shell("echo to out; echo to err >&2; exit 7");
    let exit = rig.run(&spec).await;
    assert_eq!((exit.code, exit.signal), (Some(7), None), "{exit:?}");
    assert!(!exit.out_of_memory && exit.limit.is_none() && exit.start_error.is_none());
    let log = std::fs::read_to_string(rig.log(&spec.id)).unwrap();
    assert!(log.contains(" o to out\n") && log.contains(" e to err\n"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_is_told_in_the_log_and_an_end_that_was_asked_for_is_not() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    for (script, expect) in [
        ("printf last; exit 3", "last\nthe instance exited with code 3"),
        ("exit 0", "the instance exited with code 0"),
        ("kill -KILL $$", "the instance was ended by signal 9 (KILL)"),
    ] {
        let mut spec = rig.shell(script);
        spec.is_lasting = true;
        rig.run(&spec).await;
        assert_eq!(rig.output(&spec.id), expect);
    }
    let mut spec = rig.shell("echo up; exec sleep 600");
    spec.is_lasting = true;
    rig.start(&spec).await;
    rig.said(&spec.id, "up").await;
    rig.driver().stop(&spec.id, Duration::from_secs(10)).await.unwrap();
    assert_eq!(rig.output(&spec.id), "up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_is_told_from_a_code() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let exit = rig.run(&rig.shell("kill -SEGV $$")).await;
    assert_eq!((exit.code, exit.signal), (None, Some(11)), "{exit:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_not_there_is_named() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let exit = rig.run(&rig.spec(&["no-such-program", "--flag"])).await;
    assert_eq!(exit.start_error.as_deref(), Some("command not found: no-such-program"));
    let exit = rig.run(&rig.spec(&["/etc/hosts"])).await;
    assert_eq!(
        exit.start_error.as_deref(),
        Some("permission denied: /etc/hosts is not executable")
    );
    let mut spec = rig.shell("true");
    spec.cwd = "/opt/render/nowhere".into();
    let exit = rig.run(&spec).await;
    assert_eq!(
        exit.start_error.as_deref(),
        Some("working directory /opt/render/nowhere: no such directory")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn term_reaches_the_program_that_a_shell_waits_for() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    // As `migrate && node server` does it: the shell waits for a child that knows nothing of it.
    let spec = rig.shell("true && python3 -c 'import time; print(\"up\", flush=True); time.sleep(600)'; echo shell saw $?");
    rig.start(&spec).await;
    rig.said(&spec.id, "up").await;
    rig.driver().stop(&spec.id, Duration::from_secs(600)).await.unwrap();
    rig.ended(&spec.id).await;
    assert!(rig.output(&spec.id).contains("shell saw 143"), "{}", rig.output(&spec.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ignores_term_is_killed_after_the_grace() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let spec = rig.shell("trap '' TERM; echo ready; while :; do sleep 1; done");
    rig.start(&spec).await;
    rig.said(&spec.id, "ready").await;
    let began = std::time::Instant::now();
    rig.driver().stop(&spec.id, Duration::from_millis(300)).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(rig.ended(&spec.id).await.signal, Some(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_ends_cleanly_on_term_keeps_its_code() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let spec = rig.shell("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done");
    rig.start(&spec).await;
    rig.said(&spec.id, "ready").await;
    rig.driver().stop(&spec.id, Duration::from_secs(10)).await.unwrap();
    assert_eq!(rig.ended(&spec.id).await.code, Some(3));
    assert!(rig.output(&spec.id).contains("bye"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_main_process_leaves_behind_ends_with_it() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let exit = rig.run(&rig.shell("sleep 600 & sleep 601 & exit 0")).await;
    assert_eq!(exit.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn starting_the_same_id_twice_is_the_same_as_once() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let spec = rig.shell("echo once; sleep 600");
    let first = rig.start(&spec).await;
    let second = rig.start(&spec).await;
    assert_eq!(first, second);
    rig.said(&spec.id, "once").await;
    rig.driver().stop(&spec.id, Duration::ZERO).await.unwrap();
    assert_eq!(rig.output(&spec.id), "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_wake_whoever_watches() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let mut changes = rig.driver().changes();
    let spec = rig.shell("sleep 0.1");
    rig.start(&spec).await;
    let ended = async {
        while !matches!(rig.driver().observe(&spec.id).await, Some(InstanceState::Exited(_))) {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(crate::rig::PATIENCE, ended).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_starts_and_stops_leave_nothing_behind() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    rig.run(&rig.shell("true")).await;
    let links_before = links("gv").len();
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let descriptors_before = descriptors();
    let mut ids = Vec::new();
    for _ in 0..50 {
        let spec = rig.shell("sleep 600");
        rig.start(&spec).await;
        rig.driver().stop(&spec.id, Duration::ZERO).await.unwrap();
        rig.driver().remove(&spec.id).await.unwrap();
        assert_eq!(rig.driver().observe(&spec.id).await, None);
        ids.push(spec.id);
    }
    // Other tests run beside this one; links of its own are told by their number only.
    for id in &ids {
        assert_eq!(cgroups_of(id), Vec::<std::path::PathBuf>::new());
        assert!(!rig.run.path().join("run/instances").join(id.as_str()).exists());
        assert!(!rig.state.path().join("scratch").join(id.as_str()).exists());
        assert!(rig.log(id).parent().unwrap().exists());
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!ids.iter().any(|id| mounts.contains(id.as_str())));
    assert!(descriptors() <= descriptors_before + 10, "{} descriptors", descriptors());
    until("the links to be gone", || links("gv").len() <= links_before + 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_to_stop_has_its_grace_all_the_same() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    // It saves what it has before it ends, as a database does.
    let spec = rig.shell(
        "trap 'sleep 0.5; echo saved; exit 0' TERM; echo ready; while :; do sleep 0.1; done",
    );
    rig.start(&spec).await;
    rig.said(&spec.id, "ready").await;
    let socket = rig.run.path().join("run/instances").join(spec.id.as_str()).join("control.sock");
    std::fs::remove_file(socket).unwrap();
    rig.driver().stop(&spec.id, Duration::from_secs(10)).await.unwrap();
    let exit = rig.ended(&spec.id).await;
    assert!(exit.is_success(), "{exit:?}");
    assert!(rig.output(&spec.id).ends_with("saved"), "{}", rig.output(&spec.id));
    // The grace comes with the signal: what does not end is killed after it.
    let stubborn = rig.shell("trap '' TERM; echo ready; while :; do sleep 0.1; done");
    rig.start(&stubborn).await;
    rig.said(&stubborn.id, "ready").await;
    let place = rig.run.path().join("run/instances").join(stubborn.id.as_str());
    std::fs::remove_file(place.join("control.sock")).unwrap();
    rig.driver().stop(&stubborn.id, Duration::from_millis(50)).await.unwrap();
    assert_eq!(rig.ended(&stubborn.id).await.signal, Some(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_starts_nothing_mounts_nothing_and_the_last_one_takes_it_down() {
    if !is_root() {
        return;
    }
    let mut rig = Rig::new();
    rig.driver = None;
    let run_dir = rig.state.path().join("run");
    let mounted = || {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        mounts.contains(&format!("{}/", run_dir.display()))
    };
    let config = engine::Config { run_dir: run_dir.clone(), ..rig.config() };
    let driver = engine::NativeDriver::new(config).unwrap();
    driver.recover().await.unwrap();
    driver.ensure_network(&rig.environment).await.unwrap();
    assert!(!mounted());
    engine::leave(&run_dir);
    assert!(!run_dir.exists());

    let config = engine::Config { run_dir: run_dir.clone(), ..rig.config() };
    let driver = engine::NativeDriver::new(config).unwrap();
    let spec = rig.shell("true");
    driver.start(&spec).await.unwrap();
    assert!(mounted(), "orders hold secrets");
    driver.wait(&spec.id).await.unwrap();
    driver.remove(&spec.id).await.unwrap();
    engine::leave(&run_dir);
    assert!(!mounted() && !run_dir.exists());
}
