//! What an instance can see and do.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::OwnedFd;

use engine::{Driver, ExecRequest};
use model::InstanceId;

use crate::rig::{Rig, is_root};

#[tokio::test(flavor = "multi_thread")]
async fn it_has_no_capabilities_and_cannot_gain_any() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let spec = rig.shell("cat /proc/self/status");
    assert!(rig.run(&spec).await.is_success());
    let status = rig.output(&spec.id);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(status.contains(&format!("{set}:\t0000000000000000")), "{status}");
    }
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(status.contains("Uid:\t900123\t900123\t900123\t900123"), "{status}");
    assert!(status.contains("Gid:\t900123\t900123\t900123\t900123"), "{status}");
    assert!(status.lines().any(|line| line.trim_end() == "Groups:"), "{status}");
    // A program that finds SIGPIPE ignored or a signal blocked behaves unlike in any terminal.
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
    // 32 and 33 are the C library's own; nobody can set them.
    let ignored = u64::from_str_radix(ignored, 16).unwrap() & !(0b11 << 31);
    assert_eq!(ignored, 0, "{status}");
    assert!(status.contains("SigBlk:\t0000000000000000"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_cannot_see_what_is_the_hosts_alone() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let script = "
        for path in /etc/shadow /etc/ssh /root/. /home/* /srv/* /etc/sudoers /etc/ssl/private /boot; do
            ls $path >/dev/null 2>&1 && echo sees $path
        done
        cat /proc/1/environ >/dev/null 2>&1 && echo reads the shim
        ls /proc/1/root/ >/dev/null 2>&1 && echo enters the shim
        kill -9 1 2>/dev/null && echo signals the shim
        set -- /proc/[0-9]*; echo processes $#
        echo descriptors $(ls /proc/self/fd | wc -l)
        env | sort
        touch /usr/x 2>/dev/null && echo writes /usr
        touch /etc/x 2>/dev/null && echo writes /etc
        touch /x 2>/dev/null && echo writes /
        echo 1 2>/dev/null >/proc/sys/kernel/printk && echo writes sysctl
        mount -t tmpfs x /tmp 2>/dev/null && echo mounts
        cat /etc/passwd /proc/self/oom_score_adj";
    let spec = rig.shell(script);
    rig.run(&spec).await;
    let output = rig.output(&spec.id);
    for forbidden in ["sees ", "reads ", "enters ", "signals ", "writes ", "mounts"] {
        assert!(!output.contains(forbidden), "{output}");
    }
    assert!(output.contains("processes 2"), "the shim and the shell:\n{output}");
    assert!(output.contains("descriptors 4"), "0, 1, 2 and the directory itself:\n{output}");
    assert!(output.contains("SECRET=only for the instance"));
    assert!(!output.contains("CARGO"), "nothing is inherited:\n{output}");
    assert!(output.contains("render:x:900123:900123:render:/opt/render:"), "{output}");
    assert!(output.ends_with("\n0"), "the score of the out-of-memory choice is neutral:\n{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_has_what_programs_expect() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let script = "
        set -e
        touch /tmp/mine $HOME/mine /dev/shm/mine /run/mine
        test $(stat -c %a /tmp) = 1777
        test $(hostname) = web
        getent hosts web | grep '^10\\.'
        getent hosts localhost >/dev/null
        python --version
        python3 -c 'import ssl; assert len(ssl.create_default_context().get_ca_certs()) > 50'
        test $(id -un) = render
        head -c 1 /dev/urandom >/dev/null
        echo x > /dev/null
        test $(ulimit -n) -ge 1024
        echo all is there";
    let spec = rig.shell(script);
    let exit = rig.run(&spec).await;
    let output = rig.output(&spec.id);
    assert!(exit.is_success() && output.ends_with("all is there"), "{exit:?}\n{output}");
}

async fn exec(rig: &Rig, id: &InstanceId, script: &str) -> (i32, String) {
    let mut output = tempfile::tempfile().unwrap();
    let null = || OwnedFd::from(File::open("/dev/null").unwrap());
    let to_file = || OwnedFd::from(output.try_clone().unwrap());
    let request = ExecRequest {
        command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        cwd: None,
        env: vec![("MORE".to_owned(), "from exec".to_owned())],
        stdio: [null(), to_file(), to_file()],
        terminal: false,
        time: None,
    };
    let code = rig.driver().exec(id, request).await.unwrap();
    let mut text = String::new();
    output.rewind().unwrap();
    output.read_to_string(&mut text).unwrap();
    (code, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_can_be_run_inside_and_is_like_the_instance() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let mut spec = rig.shell("touch /tmp/mine; echo ready; sleep 600");
    spec.limits.memory_bytes = Some(256 << 20);
    rig.start(&spec).await;
    rig.said(&spec.id, "ready").await;
    let script = "ls /tmp; hostname; id -u; echo $SECRET $MORE; grep -E 'Cap(Bnd|Eff|Prm)|NoNewPrivs|Groups' /proc/self/status; grep memory /proc/self/cgroup; cat /etc/shadow 2>/dev/null; pwd; exit 5";
    let (code, output) = exec(&rig, &spec.id, script).await;
    assert_eq!(code, 5, "{output}");
    assert!(output.starts_with("mine\nweb\n900123\nonly for the instance from exec\n"), "{output}");
    assert_eq!(output.matches("0000000000000000").count(), 3, "{output}");
    assert!(output.contains("NoNewPrivs:\t1"), "{output}");
    assert!(!output.contains("root:"), "{output}");
    assert!(output.ends_with("/tmp\n"), "{output}");
    assert_eq!(exec(&rig, &spec.id, "kill -KILL $$").await.0, 128 + 9);

    // Its memory is the instance's.
    let before = rig.driver().memory_bytes(&spec.id).await.unwrap();
    let (code, _) = exec(&rig, &spec.id, "python3 -c 'x = bytearray(400 << 20)'").await;
    assert_ne!(code, 0, "{before} bytes, and 400 MB fit into 256");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cannot_be_run_inside_is_named() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let spec = rig.shell("sleep 600");
    rig.start(&spec).await;
    let null = || OwnedFd::from(File::open("/dev/null").unwrap());
    let request = ExecRequest {
        command: vec!["nowhere".to_owned()],
        cwd: None,
        env: Vec::new(),
        stdio: [null(), null(), null()],
        terminal: false,
        time: None,
    };
    let error = rig.driver().exec(&spec.id, request).await.unwrap_err();
    assert!(error.to_string().contains("command not found: nowhere"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_becomes_the_controlling_one() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let spec = rig.shell("sleep 600");
    rig.start(&spec).await;
    let pty = nix::pty::openpty(None, None).unwrap();
    let side = || pty.slave.try_clone().unwrap();
    let request = ExecRequest {
        command: ["/bin/sh", "-c", "test -t 0 && echo typed > /dev/tty"]
            .map(str::to_owned)
            .to_vec(),
        cwd: None,
        env: Vec::new(),
        stdio: [side(), side(), side()],
        terminal: true,
        time: None,
    };
    assert_eq!(rig.driver().exec(&spec.id, request).await.unwrap(), 0);
    let mut shown = String::new();
    while !shown.contains("typed") {
        let mut buffer = [0; 256];
        let length = nix::unistd::read(&pty.master, &mut buffer).unwrap();
        shown.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
}
