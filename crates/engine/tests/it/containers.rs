//! What a container's programs are told and allowed, and how they are asked and stopped.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use engine::probe::{self, ProbeResult};
use engine::{Driver, ExecRequest, User};
use model::{InstanceId, Ulimit};

use crate::images::Image;
use crate::rig::{Rig, is_root};

/// The usual capabilities of containers, without the one to make device nodes.
const USUAL: &str = "00000000a00425fb";
const NONE: &str = "0000000000000000";
const NET_ADMIN: &str = "0000000000001000";

async fn exec(rig: &Rig, id: &InstanceId, script: &str) -> String {
    let mut output = tempfile::tempfile().unwrap();
    let null = || OwnedFd::from(File::open("/dev/null").unwrap());
    let to_file = || OwnedFd::from(output.try_clone().unwrap());
    let request = ExecRequest {
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        cwd: None,
        env: Vec::new(),
        stdio: [null(), to_file(), to_file()],
        terminal: false,
        time: None,
    };
    rig.driver().exec(id, request).await.unwrap();
    let mut text = String::new();
    output.rewind().unwrap();
    output.read_to_string(&mut text).unwrap();
    text
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .unwrap_or_else(|| panic!("no {name} in {status}"))
        .trim()
}

#[tokio::test(flavor = "multi_thread")]
async fn root_of_an_image_has_the_usual_capabilities_and_what_is_added() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    for (add, drop, expect) in [
        ("", "", USUAL),
        ("NET_ADMIN", "ALL", NET_ADMIN),
        ("cap_net_admin", "CHOWN,NET_ADMIN", "00000000a00425fa"),
    ] {
        let words =
            |text: &str| text.split(',').filter(|w| !w.is_empty()).map(str::to_owned).collect();
        let mut spec = image.shell(&rig, "cat /proc/self/status; sleep 600");
        spec.container.cap_add = words(add);
        spec.container.cap_drop = words(drop);
        rig.start(&spec).await;
        rig.said(&spec.id, "voluntary").await;
        let inside = exec(&rig, &spec.id, "cat /proc/self/status").await;
        for status in [rig.output(&spec.id), inside] {
            for set in ["CapBnd", "CapEff", "CapPrm"] {
                assert_eq!(field(&status, set), expect, "{set} of +{add} -{drop}");
            }
            assert_eq!((field(&status, "CapInh"), field(&status, "CapAmb")), (NONE, NONE));
            assert_eq!(field(&status, "NoNewPrivs"), "1");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_of_an_image_has_its_groups_and_no_capability() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    let mut spec = image.shell(&rig, "cat /proc/self/status; sleep 600");
    spec.user = User { gid: 1001, groups: vec![2001, 2002], ..User::alone(1000, "app", "/") };
    rig.start(&spec).await;
    rig.said(&spec.id, "voluntary").await;
    let inside = exec(&rig, &spec.id, "cat /proc/self/status").await;
    for status in [rig.output(&spec.id), inside] {
        assert_eq!(field(&status, "Uid"), "1000\t1000\t1000\t1000");
        assert_eq!(field(&status, "Gid"), "1001\t1001\t1001\t1001");
        assert_eq!(field(&status, "Groups"), "2001 2002");
        assert_eq!((field(&status, "CapEff"), field(&status, "CapPrm")), (NONE, NONE));
        assert_eq!(field(&status, "CapBnd"), USUAL);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_of_an_image_cannot_reach_the_host() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    let script = "
        busybox mknod /dev/disk b 8 0 2>/dev/null && echo makes a device
        busybox mount -t tmpfs x /tmp 2>/dev/null && echo mounts
        cat /proc/1/environ /proc/1/mem >/dev/null 2>&1 && echo reads the shim
        ls /proc/1/root/ /proc/1/fd/ >/dev/null 2>&1 && echo enters the shim
        kill -9 1 2>/dev/null; busybox hostname other 2>/dev/null && echo renames
        echo 1 2>/dev/null >/proc/sys/kernel/printk && echo writes sysctl
        echo b 2>/dev/null >/proc/sysrq-trigger && echo restarts the machine
        head -c 1 /proc/kcore 2>/dev/null | grep -q . && echo reads memory
        busybox nsenter -t 1 -m true 2>/dev/null && echo leaves
        mkfifo /tmp/pipe && echo still here";
    let spec = image.shell(&rig, script);
    rig.run(&spec).await;
    assert_eq!(rig.output(&spec.id), "still here");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_instance_is_given_is_refused_all_at_once() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let mut spec = Image::make(&rig).shell(&rig, "true");
    spec.container.cap_add = vec!["SYS_ADMIN".to_owned(), "NET_ADMIN".to_owned()];
    spec.container.cap_drop = vec!["BREW_TEA".to_owned()];
    spec.container.sysctls = vec![("vm.overcommit_memory".to_owned(), "1".to_owned())];
    spec.container.stop_signal = Some("SIGNAL".to_owned());
    spec.container.ulimits = vec![Ulimit { name: "nofile".to_owned(), soft: 2, hard: 1 }];
    spec.container.extra_hosts = vec![("db".to_owned(), "nowhere".to_owned())];
    let error = rig.driver().start(&spec).await.unwrap_err().to_string();
    for part in [
        "capability SYS_ADMIN: with it",
        "capability BREW_TEA: there is no such",
        "kernel setting vm.overcommit_memory: it is of the whole machine",
        "stop signal SIGNAL: there is no such",
        "limit nofile: the soft limit is above",
        "name db: its address",
    ] {
        assert!(error.contains(part), "{part} is not in {error}");
    }
    assert!(!error.contains("NET_ADMIN"), "{error}");
    assert_eq!(rig.driver().observe(&spec.id).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_settings_names_and_shared_memory_are_as_declared() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    let script = "ulimit -n; ulimit -Hn; ulimit -c; cat /proc/sys/net/core/somaxconn \
                  /proc/sys/kernel/msgmax; grep -o 'size=65536k' /proc/mounts; \
                  grep example /etc/hosts; hostname; cat /etc/hostname; sleep 600";
    let mut spec = image.shell(&rig, script);
    spec.hostname = "db-1".to_owned();
    let limit = |name: &str, soft, hard| Ulimit { name: name.to_owned(), soft, hard };
    spec.container.ulimits = vec![limit("nofile", 4096, 8192), limit("core", 0, u64::MAX)];
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    spec.container.sysctls =
        vec![pair("net.core.somaxconn", "4242"), pair("kernel.msgmax", "9000")];
    spec.container.shm_bytes = Some(64 << 20);
    spec.container.extra_hosts =
        vec![pair("a.example", "192.0.2.7"), pair("host.example", "host-gateway")];
    let address = rig.start(&spec).await;
    rig.said(&spec.id, "db-1\ndb-1").await;
    let std::net::IpAddr::V4(address) = address else { panic!("{address}") };
    let [a, b, c, _] = address.octets();
    assert_eq!(
        rig.output(&spec.id),
        format!(
            "4096\n8192\n0\n4242\n9000\nsize=65536k\n192.0.2.7\ta.example\n{a}.{b}.{c}.1\thost.example\ndb-1\ndb-1"
        )
    );
    assert_eq!(exec(&rig, &spec.id, "ulimit -n; ulimit -Hn").await, "4096\n8192\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_this_kernel_does_not_have_is_named() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let mut spec = Image::make(&rig).shell(&rig, "true");
    spec.container.sysctls = vec![("net.core.no_such_thing".to_owned(), "1".to_owned())];
    let error = rig.driver().start(&spec).await.unwrap_err().to_string();
    assert!(error.contains("net.core.no_such_thing"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_stop_signal_goes_to_the_main_process_alone() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    let script = "
        trap 'echo child TERM' TERM; trap 'echo child QUIT' QUIT
        ( while :; do sleep 0.05; done ) &
        trap 'echo main TERM' TERM; trap 'echo main QUIT; exit 7' QUIT
        echo ready; while :; do sleep 0.05; done";
    for (signal, expect) in [("SIGQUIT", "ready\nmain QUIT"), ("3", "ready\nmain QUIT")] {
        let mut spec = image.shell(&rig, script);
        spec.container.stop_signal = Some(signal.to_owned());
        rig.start(&spec).await;
        rig.said(&spec.id, "ready").await;
        rig.driver().stop(&spec.id, Duration::from_secs(10)).await.unwrap();
        assert_eq!(rig.ended(&spec.id).await.code, Some(7));
        assert_eq!(rig.output(&spec.id), expect);
    }
    // One that it does not end by is followed by KILL.
    let mut spec = image.shell(&rig, "trap : USR1; echo ready; while :; do sleep 0.05; done");
    spec.container.stop_signal = Some("USR1".to_owned());
    rig.start(&spec).await;
    rig.said(&spec.id, "ready").await;
    rig.driver().stop(&spec.id, Duration::from_millis(200)).await.unwrap();
    assert_eq!(rig.ended(&spec.id).await.signal, Some(9));
}

async fn check(rig: &Rig, id: &InstanceId, script: &str, timeout: Duration) -> ProbeResult {
    let command = ["sh", "-c", script].map(str::to_owned);
    probe::command(rig.driver(), id, &command, timeout).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_command_says_how_it_went() {
    const LONG: Duration = Duration::from_secs(20);
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    let spec = image.shell(&rig, "sleep 600");
    rig.start(&spec).await;
    let healthy = ProbeResult::Healthy { status: 0 };
    assert_eq!(check(&rig, &spec.id, "echo fine", LONG).await, healthy);
    // What a check leaves running, with the output open, does not hold it up.
    assert_eq!(check(&rig, &spec.id, "sleep 600 & exit 0", LONG).await, healthy);
    let failed = check(&rig, &spec.id, "echo first; echo no connection >&2; exit 2", LONG).await;
    assert_eq!(failed, ProbeResult::Error("the command exited with 2: no connection".to_owned()));
    let loud = "dd if=/dev/zero bs=1M count=4 2>/dev/null; printf '\\n\\033[31mred\\n\\n'; exit 1";
    let loud = check(&rig, &spec.id, loud, LONG).await;
    assert_eq!(loud, ProbeResult::Error("the command exited with 1: [31mred".to_owned()));
    let command = ["nowhere".to_owned()];
    let missing = probe::command(rig.driver(), &spec.id, &command, LONG).await;
    assert!(matches!(&missing, ProbeResult::Error(why) if why.contains("nowhere")), "{missing:?}");
    rig.driver().stop(&spec.id, Duration::ZERO).await.unwrap();
    let gone = check(&rig, &spec.id, "true", LONG).await;
    assert!(matches!(&gone, ProbeResult::Error(why) if why.contains("does not run")), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_command_that_takes_too_long_is_killed_with_all_it_started() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    let spec = image.shell(&rig, "sleep 600");
    rig.start(&spec).await;
    let processes = || async {
        let count = exec(&rig, &spec.id, "set -- /proc/[0-9]*; echo $#").await;
        count.trim().parse::<usize>().unwrap()
    };
    let before = processes().await;
    let began = Instant::now();
    let script = "trap '' TERM HUP INT; (sleep 300; echo) & busybox setsid sleep 300 & sh -c 'trap \"\" HUP; sleep 300' & wait";
    let result = check(&rig, &spec.id, script, Duration::from_millis(300)).await;
    assert_eq!(result, ProbeResult::Timeout);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let deadline = Instant::now() + crate::rig::PATIENCE;
    while processes().await > before {
        assert!(Instant::now() < deadline, "processes of the check are left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_insists_on_being_process_1_is_and_others_are_not() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    let init = image.layers[1].join("init");
    let script = "#!/bin/sh\ntest $$ = 1 || exit 100\ntrap 'echo bye; exit 3' TERM\n\
                  ( trap 'echo child' TERM; while :; do sleep 0.05; done ) &\n\
                  echo first; while :; do sleep 0.05; done";
    std::fs::write(&init, script).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&init, executable).unwrap();
    let mut spec = image.shell(&rig, "");
    spec.command = vec!["/init".to_owned()];
    rig.start(&spec).await;
    rig.said(&spec.id, "first").await;
    let inside =
        exec(&rig, &spec.id, "readlink /proc/1/exe; test $$ -gt 1 && echo beside it").await;
    assert_eq!(inside, "/bin/busybox\nbeside it\n");
    let code = check(&rig, &spec.id, "exit 9", crate::rig::PATIENCE).await;
    assert_eq!(code, ProbeResult::Error("the command exited with 9".to_owned()));
    let killed = check(&rig, &spec.id, "kill -9 $$", crate::rig::PATIENCE).await;
    assert_eq!(killed, ProbeResult::Error("the command exited with 137".to_owned()));
    let slow = check(&rig, &spec.id, "sleep 300", Duration::from_millis(200)).await;
    assert_eq!(slow, ProbeResult::Timeout);
    rig.driver().stop(&spec.id, Duration::from_secs(10)).await.unwrap();
    assert_eq!(rig.ended(&spec.id).await.code, Some(3));
    assert_eq!(rig.output(&spec.id), "first\nbye");
    let spec = image.shell(&rig, "test $$ -gt 1");
    assert_eq!(rig.run(&spec).await.code, Some(0));
    // Asked for.
    let mut spec = image.shell(&rig, "test $$ = 1");
    spec.container.is_first_process = true;
    assert_eq!(rig.run(&spec).await.code, Some(0));
}
