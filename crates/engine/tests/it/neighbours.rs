//! What a hostile program finds: instances with the host's userland and of an image, beside
//! neighbours of its own environment and of others. Each test holds one wall; what the others say
//! of networks, users, memory and processes is in `network`, `isolation` and `limits`.

use std::fs;
use std::fs::File;
use std::io::{Read, Seek};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;

use engine::{Driver, ExecRequest, InstanceSpec};
use model::InstanceId;

use crate::images::Image;
use crate::network::Outside;
use crate::rig::{Rig, cgroups_of, is_root};

/// Output of one more command in an instance.
async fn exec(rig: &Rig, id: &InstanceId, command: &[&str]) -> String {
    let mut output = tempfile::tempfile().unwrap();
    let to_file = || OwnedFd::from(output.try_clone().unwrap());
    let request = ExecRequest {
        command: command.iter().map(ToString::to_string).collect(),
        cwd: None,
        env: Vec::new(),
        stdio: [OwnedFd::from(File::open("/dev/null").unwrap()), to_file(), to_file()],
        terminal: false,
        time: None,
    };
    rig.driver().exec(id, request).await.unwrap();
    let mut text = String::new();
    output.rewind().unwrap();
    output.read_to_string(&mut text).unwrap();
    text
}

/// Root of an image with a capability more than usual, and a user of the host's userland.
fn both(rig: &Rig, image: &Image, script: &str) -> [InstanceSpec; 2] {
    let mut root = image.shell(rig, script);
    root.container.cap_add = vec!["NET_ADMIN".to_owned()];
    root.env[0].1 = "/bin:/usr/bin".to_owned();
    [rig.shell(script), root]
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_a_cloud_is_out_of_reach() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    let (metadata, internet) = (Outside::new("169.254"), Outside::new("198.18"));
    // What is asked is there, and the way to it is open to the host.
    for outside in [&metadata, &internet] {
        std::net::TcpStream::connect((outside.address.as_str(), 7777)).unwrap();
    }
    let script = format!(
        "for address in {} {}; do
            busybox nc -w 1 $address 7777 </dev/null 2>/dev/null | grep -q . && echo reached $address
        done; echo done",
        metadata.address, internet.address
    );
    for spec in both(&rig, &image, &script) {
        rig.run(&spec).await;
        let expected = format!("reached {}\ndone", internet.address);
        assert_eq!(rig.output(&spec.id), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_address_of_the_host_and_no_other_environment_is_in_reach() {
    if !is_root() {
        return;
    }
    let mut rig = Rig::new();
    let image = Image::make(&rig);
    let other = rig.other_environment();
    let server = |environment: &model::EnvironmentId| {
        let mut spec =
            rig.spec(&["python3", "-u", "-c", "import http.server as h; h.test(port=4000)"]);
        spec.environment_id = environment.clone();
        spec
    };
    let (beside, foreign) = (server(&rig.environment), server(&other));
    let (beside_at, foreign_at) = (rig.start(&beside).await, rig.start(&foreign).await);
    rig.said(&beside.id, "Serving").await;
    rig.said(&foreign.id, "Serving").await;
    let everywhere = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = everywhere.local_addr().unwrap().port();
    let outside = Outside::new("198.18");
    let own_gateway = rig.driver().ensure_network(&rig.environment).await.unwrap().gateway;
    let other_gateway = rig.driver().ensure_network(&other).await.unwrap().gateway;
    let _dns = TcpListener::bind((other_gateway, 53)).unwrap();
    let script = format!(
        "ask() {{ busybox nc -w 1 $1 $2 </dev/null >/dev/null 2>&1 && echo reached $1 $2; }}
        ask {beside_at} 4000; ask {foreign_at} 4000; ask 127.0.0.1 {port}; ask {own_gateway} {port}
        ask {other_gateway} {port}; ask {other_gateway} 53; ask {} {port}; echo done",
        outside.host_address
    );
    for spec in both(&rig, &image, &script) {
        rig.run(&spec).await;
        assert_eq!(rig.output(&spec.id), format!("reached {beside_at} 4000\ndone"));
    }
}

/// Makes system calls by number and prints what they answer.
const CALLS: &str = r#"
import ctypes, errno, mmap, platform, threading
libc = ctypes.CDLL(None, use_errno=True)
x86 = platform.machine() == 'x86_64'
def call(name, number, *arguments):
    ctypes.set_errno(0)
    found = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(one) for one in arguments])
    print(name, errno.errorcode.get(ctypes.get_errno(), 'OK') if found < 0 else 'OK')
NEWUSER = 0x10000000
for name, on_x86, else_, *arguments in [
    ('unshare', 272, 97, NEWUSER), ('clone', 56, 220, NEWUSER | 17), ('clone3', 435, 435, 0, 0),
    ('mount', 165, 40, 0, 0, 0, 0, 0), ('umount2', 166, 39, 0, 0), ('pivot_root', 155, 41, 0, 0),
    ('setns', 308, 268, -1, 0), ('bpf', 321, 280, 0, 0, 0), ('perf_event_open', 298, 241, 0, 0, 0, 0, 0),
    ('userfaultfd', 323, 282, 1), ('keyctl', 250, 219, 0, -3, 0), ('add_key', 248, 217, 0, 0, 0, 0, 0),
    ('io_uring_setup', 425, 425, 0, 0), ('kexec_load', 246, 104, 0, 0, 0, 0),
    ('init_module', 175, 105, 0, 0, 0), ('finit_module', 313, 273, -1, 0, 0),
    ('open_by_handle_at', 304, 265, -1, 0, 0), ('reboot', 169, 142, 0, 0, 0),
    ('swapon', 167, 224, 0, 0), ('fsopen', 430, 430, 0, 0), ('AF_ALG', 41, 198, 38, 5, 0),
    ('newer', 900, 900), ('getpid', 39, 172),
]:
    call(name, on_x86 if x86 else else_, *arguments)
if x86:
    call('x32', 0x40000000 + 39)
    # mov eax, 310 (unshare of 32-bit programs); mov ebx, NEWUSER; int 0x80; ret
    code = bytes.fromhex('53b836010000bb00000010cd805bc3')
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    at = ctypes.addressof(ctypes.c_char.from_buffer(page))
    print('int80', errno.errorcode.get(-ctypes.CFUNCTYPE(ctypes.c_int)(at)(), 'OK'))
thread = threading.Thread(target=lambda: print('thread OK'))
thread.start(); thread.join()
"#;

fn check_calls(output: &str) {
    let answers = |answer: &str| {
        let lines = output.lines().filter_map(|line| line.split_once(' '));
        lines
            .filter(|(_, found)| *found == answer)
            .map(|(name, _)| name.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(answers("OK"), ["getpid", "thread"], "{output}");
    let mut unknown = answers("ENOSYS");
    unknown.retain(|name| name != "x32");
    assert_eq!(unknown, ["clone3", "newer"], "{output}");
    let refused = answers("EPERM");
    let count = output.lines().count() - 4 - usize::from(cfg!(target_arch = "x86_64"));
    assert_eq!(refused.len(), count, "{output}");
    assert_eq!(refused.contains(&"int80".to_owned()), cfg!(target_arch = "x86_64"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_reach_the_machine_are_refused_to_every_program() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    let script = "grep -E 'Seccomp:|NoNewPrivs' /proc/self/status; echo ready; sleep 600";
    for spec in both(&rig, &image, script) {
        rig.start(&spec).await;
        rig.said(&spec.id, "ready").await;
        let status = "NoNewPrivs:\t1\nSeccomp:\t2\n";
        assert_eq!(rig.output(&spec.id), format!("{status}ready"));
        let grep = ["grep", "-E", "Seccomp:|NoNewPrivs", "/proc/self/status"];
        assert_eq!(exec(&rig, &spec.id, &grep).await, status);
    }
    let main = rig.spec(&["python3", "-c", CALLS]);
    assert!(rig.run(&main).await.is_success(), "{}", rig.output(&main.id));
    check_calls(&rig.output(&main.id));
    let holder = rig.shell("sleep 600");
    rig.start(&holder).await;
    check_calls(&exec(&rig, &holder.id, &["python3", "-c", CALLS]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_sees_its_own_limits_and_cannot_change_them() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    let script = "cd /sys/fs/cgroup
        cat memory/memory.limit_in_bytes memory.max 2>/dev/null
        cat pids/pids.max pids.max 2>/dev/null
        for file in memory/memory.limit_in_bytes memory.max pids/pids.max pids.max; do
            test -e $file && (echo 900000000 > $file) 2>/dev/null && echo wrote $file
        done
        mkdir memory/mine mine pids/mine 2>/dev/null && echo made one
        for other in */gable* gable*; do test -e $other && echo sees $other; done
        echo done";
    for mut spec in both(&rig, &image, script) {
        spec.limits.memory_bytes = Some(96 << 20);
        spec.limits.pids = Some(77);
        rig.run(&spec).await;
        assert_eq!(rig.output(&spec.id), "100663296\n77\ndone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_is_swapped_out_counts_and_devices_are_the_usual_ones() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    for mut spec in both(&rig, &image, "sleep 600") {
        spec.limits.memory_bytes = Some(96 << 20);
        rig.start(&spec).await;
        let cgroups = cgroups_of(&spec.id);
        let read = |name: &str| {
            let files: Vec<_> =
                cgroups.iter().map(|path| path.join(name)).filter(|path| path.exists()).collect();
            files.first().map(|file| fs::read_to_string(file).unwrap())
        };
        let swap = [read("memory.memsw.limit_in_bytes"), read("memory.swap.max")];
        for found in swap.into_iter().flatten() {
            assert!(matches!(found.trim(), "100663296" | "0"), "{found}");
        }
        if let Some(devices) = read("devices.list") {
            assert_eq!(devices.lines().filter(|line| line.starts_with(['a', 'b'])).count(), 0);
            assert_eq!(devices.lines().count(), 10, "{devices}");
        }
        let output = exec(&rig, &spec.id, &["sh", "-c", "head -c 1 /dev/zero | cat >/dev/null; head -c 4 /dev/urandom >/dev/null && echo open"]).await;
        assert_eq!(output, "open\n");
    }
    assert!(Path::new("/dev/null").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_kernel_can_be_written() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    let script = "
        for file in /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sysrq-trigger \\
            /sys/kernel/uevent_helper /sys/kernel/mm/transparent_hugepage/enabled \\
            /sys/fs/cgroup/release_agent /sys/fs/cgroup/memory/release_agent; do
            (echo x > $file) 2>/dev/null && echo wrote $file
        done
        (busybox mknod /tmp/disk b 252 0) 2>/dev/null && echo made a device
        (busybox mount -t tmpfs none /tmp) 2>/dev/null && echo mounted
        (busybox chroot / true) 2>/dev/null
        (busybox unshare -U true) 2>/dev/null && echo made a namespace
        cat /proc/kcore 2>/dev/null | head -c 1 | grep -q . && echo read the memory
        echo done";
    for spec in both(&rig, &image, script) {
        rig.run(&spec).await;
        assert_eq!(rig.output(&spec.id), "done");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forks_and_memory_are_limited_whatever_they_are_used_for() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    let forks = "i=0; while [ $i -lt 200 ]; do sleep 60 & i=$((i+1)); done 2>/dev/null
        set -- /proc/[0-9]*; echo $#; kill 0";
    for mut spec in both(&rig, &image, forks) {
        spec.limits.pids = Some(40);
        rig.run(&spec).await;
        let output = rig.output(&spec.id);
        let most = output.lines().filter_map(|line| line.parse::<u32>().ok()).max().unwrap_or(0);
        assert!(most <= 42, "{output}");
    }
    for hoard in ["busybox tail", "busybox dd of=/dev/shm/x bs=1M"] {
        let script = format!("head -c 250000000 /dev/zero | {hoard} >/dev/null 2>&1; exit $?");
        for mut spec in both(&rig, &image, &script) {
            spec.limits.memory_bytes = Some(64 << 20);
            let exit = rig.run(&spec).await;
            assert!(exit.out_of_memory, "{hoard}: {exit:?}\n{}", rig.output(&spec.id));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_the_host_other_than_root_do_not_reach_instances() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let server = rig.spec(&["python3", "-u", "-c", "import http.server as h; h.test(port=4000)"]);
    let address = rig.start(&server).await;
    rig.said(&server.id, "Serving").await;
    let reaches = |uid: u32| {
        let script = format!(
            "import os, socket; os.setuid({uid}); socket.create_connection(('{address}', 4000), 1.5)"
        );
        let done = std::process::Command::new("python3").args(["-c", &script]).output().unwrap();
        done.status.success()
    };
    assert!(reaches(0), "Gable itself is root");
    assert!(!reaches(65_534));
}
