//! Private networks, on real bridges.

use std::time::Duration;

use engine::probe::{self, ProbeResult};
use engine::{Driver, Listener};

use crate::rig::{Rig, is_root, links};

const SERVER: &str = "import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(sys.argv[1].encode())
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(('0.0.0.0', 4000), H).serve_forever()";

async fn serving(rig: &Rig, spec: &engine::InstanceSpec) -> std::net::IpAddr {
    let address = rig.start(spec).await;
    let port_is_open = async {
        while rig.driver().listeners(&spec.id).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(crate::rig::PATIENCE, port_is_open).await.unwrap();
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_listen_on_one_port_side_by_side() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let old = rig.spec(&["python3", "-c", SERVER, "old"]);
    let new = rig.spec(&["python3", "-c", SERVER, "new"]);
    let (old_address, new_address) = (serving(&rig, &old).await, serving(&rig, &new).await);
    assert_ne!(old_address, new_address);
    for (spec, address) in [(&old, old_address), (&new, new_address)] {
        let expected = Listener { address: "0.0.0.0".parse().unwrap(), port: 4000 };
        assert_eq!(rig.driver().listeners(&spec.id).await.unwrap(), [expected]);
        let found = probe::http(address, 4000, "/", "x", Duration::from_secs(5)).await;
        assert_eq!(found, ProbeResult::Healthy { status: 200 });
    }
    let nobody = probe::http(new_address, 4001, "/", "x", Duration::from_secs(5)).await;
    assert_eq!(nobody, ProbeResult::Refused);
}

/// The hardware address of the bridge that has this gateway.
fn hardware_address(gateway: std::net::IpAddr) -> String {
    let output = std::process::Command::new("ip").args(["-o", "-4", "addr"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.contains(&format!("inet {gateway}/"))).unwrap();
    let name = line.split_whitespace().nth(1).unwrap();
    std::fs::read_to_string(format!("/sys/class/net/{name}/address")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_keeps_its_hardware_address_while_instances_come_and_go() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let stays = rig.spec(&["python3", "-c", SERVER, "stays"]);
    let gateway = rig.driver().ensure_network(&stays.environment_id).await.unwrap().gateway;
    let before = hardware_address(gateway);
    serving(&rig, &stays).await;
    // Without an address of its own a bridge has the lowest of its ports': it changes
    // with every one that is lower, and with the first there is.
    for _ in 0..8 {
        let goes = rig.spec(&["true"]);
        assert!(rig.run(&goes).await.is_success());
        assert_eq!(hardware_address(gateway), before);
        rig.driver().remove(&goes.id).await.unwrap();
        assert_eq!(hardware_address(gateway), before);
    }
}

/// Whether a server at `url` can be reached from inside an environment.
async fn can_reach(rig: &Rig, environment: &model::EnvironmentId, host: &str, port: u16) -> bool {
    let script = format!(
        "import socket
try:
    socket.create_connection(('{host}', {port}), 1.5).close(); print('reached')
except OSError as error: print('not reached', error)"
    );
    let mut spec = rig.spec(&["python3", "-c", &script]);
    spec.environment_id = environment.clone();
    assert!(rig.run(&spec).await.is_success());
    let output = rig.output(&spec.id);
    assert!(output.contains("reached"), "{output}");
    !output.contains("not reached")
}

#[tokio::test(flavor = "multi_thread")]
async fn environments_reach_themselves_and_not_one_another_and_not_the_host() {
    if !is_root() {
        return;
    }
    let mut rig = Rig::new();
    let other = rig.other_environment();
    let own = rig.environment.clone();
    let server = rig.spec(&["python3", "-c", SERVER, "x"]);
    let address = serving(&rig, &server).await.to_string();
    assert!(can_reach(&rig, &own, &address, 4000).await);
    assert!(!can_reach(&rig, &other, &address, 4000).await);

    let own_gateway = rig.driver().ensure_network(&own).await.unwrap().gateway;
    let other_gateway = rig.driver().ensure_network(&other).await.unwrap().gateway;
    assert_ne!(own_gateway, other_gateway);
    // A server of the host's on every interface, and one on its loopback.
    let everywhere = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = everywhere.local_addr().unwrap().port();
    assert!(!can_reach(&rig, &own, &own_gateway.to_string(), port).await);
    assert!(!can_reach(&rig, &own, "127.0.0.1", port).await);
    // Private DNS is asked at the gateway, and only at the own one.
    let dns = std::net::TcpListener::bind((own_gateway, 53)).unwrap();
    assert!(can_reach(&rig, &own, &own_gateway.to_string(), 53).await);
    assert!(!can_reach(&rig, &other, &own_gateway.to_string(), 53).await);
    drop(dns);
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_of_the_host_can_be_opened_to_instances() {
    if !is_root() {
        return;
    }
    let mut rig = Rig::new();
    let server = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = server.local_addr().unwrap().port();
    rig.driver = None;
    let config = engine::Config { host_ports: vec![port], ..rig.config() };
    rig.driver = Some(std::sync::Arc::new(engine::NativeDriver::new(config).unwrap()));
    let own = rig.environment.clone();
    let gateway = rig.driver().ensure_network(&own).await.unwrap().gateway;
    assert!(can_reach(&rig, &own, &gateway.to_string(), port).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_to_the_outside_carry_the_hosts_address() {
    if !is_root() {
        return;
    }
    // Another machine, in a namespace of the test's own: it sees who asks.
    let rig = Rig::new();
    let outside = Outside::new("198.18");
    let script = format!(
        "import socket; s = socket.create_connection(('{}', 7777), 5); print('peer', s.recv(100).decode())",
        outside.address
    );
    let spec = rig.spec(&["python3", "-c", &script]);
    assert!(rig.run(&spec).await.is_success(), "{}", rig.output(&spec.id));
    assert_eq!(rig.output(&spec.id), format!("peer {}", outside.host_address));
    drop(outside);
}

/// A namespace that stands for what is beyond the machine: it tells who asks.
pub(crate) struct Outside {
    name: String,
    /// Where it listens, on port 7777.
    pub(crate) address: String,
    /// The host's own address beside it.
    pub(crate) host_address: String,
    server: std::process::Child,
}

impl Outside {
    /// One with addresses that begin so. What follows is of this process and this call: others test
    /// on this machine as well.
    pub(crate) fn new(prefix: &str) -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("gt{}x{count}", std::process::id());
        let network = format!("{prefix}.{}", (std::process::id() + 61 * count) % 250 + 1);
        let address = format!("{network}.2");
        let host_address = format!("{network}.1");
        let ip = |arguments: &str| {
            let status = std::process::Command::new("ip").args(arguments.split(' ')).status();
            assert!(status.unwrap().success(), "ip {arguments}");
        };
        ip(&format!("netns add {name}"));
        ip(&format!("link add {name} type veth peer name out netns {name}"));
        ip(&format!("addr add {host_address}/24 dev {name}"));
        ip(&format!("link set {name} up"));
        ip(&format!("-n {name} addr add {address}/24 dev out"));
        ip(&format!("-n {name} link set out up"));
        let program = "import socket
s = socket.create_server(('0.0.0.0', 7777)); print('up', flush=True)
while True:
    c, peer = s.accept(); c.sendall(peer[0].encode()); c.close()";
        let mut server = std::process::Command::new("ip")
            .args(["netns", "exec", &name, "python3", "-c", program])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut up = [0; 3];
        std::io::Read::read_exact(server.stdout.as_mut().unwrap(), &mut up).unwrap();
        Self { name, address, host_address, server }
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = std::process::Command::new("ip").args(["netns", "del", &self.name]).status();
        let _ = std::process::Command::new("ip").args(["link", "del", &self.name]).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unprivileged_program_may_have_port_eighty() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let spec = rig.spec(&["python3", "-c", "import socket; socket.create_server(('', 80))"]);
    assert!(rig.run(&spec).await.is_success(), "{}", rig.output(&spec.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_is_removed_when_nobody_uses_it() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let own = rig.environment.clone();
    let spec = rig.shell("sleep 600");
    rig.start(&spec).await;
    let refused = rig.driver().remove_network(&own).await.unwrap_err();
    assert!(refused.to_string().contains("instances still use it"), "{refused}");
    rig.driver().stop(&spec.id, Duration::ZERO).await.unwrap();
    rig.driver().remove(&spec.id).await.unwrap();
    rig.driver().remove_network(&own).await.unwrap();
    rig.driver().remove_network(&own).await.unwrap();
    let record = std::fs::read_to_string(rig.state.path().join("networks.json")).unwrap();
    assert_eq!(record, "{}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_keeps_its_addresses_over_a_restart_of_everything() {
    if !is_root() {
        return;
    }
    let mut rig = Rig::new();
    // Of its own: another test must not take the range while the network is down.
    rig.address_pool = Some("10.78.0.0/16");
    rig.renew();
    let own = rig.environment.clone();
    let before = rig.driver().ensure_network(&own).await.unwrap();
    // As after a reboot: the bridge is gone, the state directory is not.
    let shown = std::process::Command::new("ip").args(["-br", "addr", "show"]).output().unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let line = shown.lines().find(|line| line.contains(&format!(" {}/", before.gateway))).unwrap();
    let bridge = line.split_whitespace().next().unwrap();
    assert!(links("gable").iter().any(|link| link == bridge), "{shown}");
    std::process::Command::new("ip").args(["link", "del", bridge]).status().unwrap();
    rig.renew();
    assert_eq!(rig.driver().ensure_network(&own).await.unwrap(), before);
    rig.start(&rig.shell("sleep 600")).await;
}
