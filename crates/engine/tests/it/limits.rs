//! What ends an instance that wants too much.

use std::time::Duration;

use engine::{Driver, Mount};

use crate::rig::{Rig, is_root};

#[tokio::test(flavor = "multi_thread")]
async fn running_out_of_memory_is_reported_as_that() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let mut spec = rig.spec(&["python3", "-c", "x = bytearray(512 << 20)"]);
    spec.limits.memory_bytes = Some(64 << 20);
    let exit = rig.run(&spec).await;
    assert!(exit.out_of_memory, "{exit:?}");
    assert_eq!(exit.signal, Some(9));
    assert!(rig.output(&spec.id).contains("the instance ran out of memory"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_runs_out_of_memory_explains_the_failure_of_its_parent() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let mut spec = rig.shell("python3 -c 'x = bytearray(512 << 20)'; echo code $?; exit 1");
    spec.limits.memory_bytes = Some(64 << 20);
    let exit = rig.run(&spec).await;
    assert!(exit.out_of_memory && exit.code == Some(1), "{exit:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_in_use_can_be_asked_for() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let mut spec = rig.spec(&[
        "python3",
        "-c",
        "x = bytearray(64 << 20); print('held', flush=True); import time; time.sleep(600)",
    ]);
    spec.limits.memory_bytes = Some(256 << 20);
    rig.start(&spec).await;
    rig.said(&spec.id, "held").await;
    let bytes = rig.driver().memory_bytes(&spec.id).await.unwrap();
    assert!((64 << 20..128 << 20).contains(&bytes), "{bytes} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_processes_than_allowed_can_be_made() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let mut spec = rig.shell("for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; wait");
    spec.limits.pids = Some(4);
    let exit = rig.run(&spec).await;
    assert_ne!(exit.code, Some(0), "{exit:?}");
    assert!(rig.output(&spec.id).contains("ork"), "{}", rig.output(&spec.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_limit_ends_it_and_says_so() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let mut spec = rig.shell("exec sleep 600 && true");
    spec.limits.time = Some(Duration::from_millis(200));
    let exit = rig.run(&spec).await;
    assert_eq!(exit.limit.as_deref(), Some("it took longer than 200 ms"));
    assert_eq!(exit.signal, Some(15));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_output_limit_ends_it_and_says_so() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let mut spec = rig.shell("trap '' TERM; while :; do echo 0123456789; done");
    spec.limits.output_bytes = Some(5000);
    let exit = rig.run(&spec).await;
    assert_eq!(exit.limit.as_deref(), Some("it wrote more than 5000 bytes of output"));
    let output = rig.output(&spec.id);
    let written = output.lines().filter(|line| line.starts_with("0123")).count();
    assert!((450..=455).contains(&written), "{written} lines");
}

#[tokio::test(flavor = "multi_thread")]
async fn processor_time_is_limited() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let mut spec = rig.shell(
        "cat /sys/fs/cgroup/cpu.max 2>/dev/null; \
         python3 -c 'import time\nbegan = time.monotonic()\nwhile time.process_time() < 0.2: pass\nprint(\"wall\", time.monotonic() - began)'",
    );
    spec.limits.cpu_millis = Some(200);
    let exit = rig.run(&spec).await;
    assert!(exit.is_success(), "{exit:?}");
    let output = rig.output(&spec.id);
    let wall: f64 = output.rsplit(' ').next().unwrap().trim().parse().unwrap();
    assert!(wall > 0.5, "0.2 s of a fifth of a processor take about 1 s: {output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn processor_time_can_be_limited_while_an_instance_runs() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    // The limit is there before the file that it waits for.
    let go = rig.state.path().join("go");
    let mut spec = rig.shell(
        "while [ ! -e /go/now ]; do sleep 0.02; done; \
         python3 -c 'import time\nbegan = time.monotonic()\nwhile time.process_time() < 0.2: pass\nprint(\"wall\", time.monotonic() - began)'",
    );
    std::fs::create_dir(&go).unwrap();
    spec.mounts.push(Mount::Bind { source: go.clone(), target: "/go".into(), read_only: true });
    rig.start(&spec).await;
    rig.driver().limit_cpu(&spec.id, Some(200)).await.unwrap();
    std::fs::write(go.join("now"), "").unwrap();
    assert!(rig.ended(&spec.id).await.is_success());
    let output = rig.output(&spec.id);
    let wall: f64 = output.rsplit(' ').next().unwrap().trim().parse().unwrap();
    assert!(wall > 0.5, "0.2 s of a fifth of a processor take about 1 s: {output}");
}
