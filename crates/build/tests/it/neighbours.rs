//! What builds must not reach: the host, its other addresses, private networks of others, and what
//! clouds tell a machine of itself.

use std::io::Write as _;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::time::Duration;

use engine::{ContainerSpec, Driver as _, InstanceSpec, Limits, Root, User};
use model::{EnvironmentId, InstanceId, InstanceState, Runtime};
use uuid::Uuid;

use crate::docker::Scene;
use crate::platform::{OWNER_UID, Platform, npm_reaches_its_registry, service};
use crate::repository::Repository;

/// What everything here answers that can be reached.
const HELLO: &str = "hello-from-outside";

/// Answers whoever connects, until the test ends.
fn greeter(address: &str) -> u16 {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(HELLO.as_bytes());
        }
    });
    port
}

/// An instance in an environment, that answers on its port 5432.
struct Neighbour {
    environment: EnvironmentId,
    instance: InstanceId,
    address: IpAddr,
}

impl Neighbour {
    async fn start(platform: &Platform, environment: EnvironmentId) -> Self {
        let instance = InstanceId::from_uuid(Uuid::now_v7());
        let program = format!(
            "import socket\nlistening = socket.create_server(('0.0.0.0', 5432))\n\
             while True: listening.accept()[0].send(b'{HELLO}')"
        );
        let spec = InstanceSpec {
            id: instance.clone(),
            hostname: "db".to_owned(),
            environment_id: environment.clone(),
            root: Root::HostUserland,
            user: User::alone(OWNER_UID, "render", "/opt/render"),
            command: vec!["/usr/bin/python3".to_owned(), "-c".to_owned(), program],
            cwd: "/".into(),
            env: Vec::new(),
            mounts: Vec::new(),
            files: Vec::new(),
            limits: Limits::default(),
            log: platform.dir.path().join("logs/neighbour.log"),
            is_lasting: false,
            has_input: false,
            port_hint: None,
            label: "neighbour".to_owned(),
            container: ContainerSpec::default(),
        };
        platform.driver.ensure_network(&environment).await.unwrap();
        let state = platform.driver.start(&spec).await.unwrap();
        let InstanceState::Running { address, .. } = state else { panic!("{state:?}") };
        while platform.driver.listeners(&instance).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        TcpStream::connect((address, 5432)).expect("the host reaches it");
        Self { environment, instance, address }
    }

    async fn end(self, platform: &Platform) {
        platform.driver.stop(&self.instance, Duration::ZERO).await.unwrap();
        platform.driver.remove(&self.instance).await.unwrap();
        if self.environment != platform.environment_id {
            platform.driver.remove_network(&self.environment).await.unwrap();
        }
    }
}

fn another_environment() -> EnvironmentId {
    EnvironmentId::from_uuid(Uuid::now_v7())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_reaches_neither_the_host_nor_a_private_network() {
    let Some(scene) = Scene::set("", &[]).await else { return };
    let platform = &scene.platform;
    let own = Neighbour::start(platform, platform.environment_id.clone()).await;
    let other = Neighbour::start(platform, another_environment()).await;
    let gateway = platform.driver.ensure_network(&platform.environment_id).await.unwrap().gateway;
    let (loopback, everywhere) = (greeter("127.0.0.1"), greeter("0.0.0.0"));
    let places = [
        format!("127.0.0.1 {loopback}"),
        format!("127.0.0.1 {everywhere}"),
        format!("$(ip route | sed -n 's/^default via \\([0-9.]*\\).*/\\1/p') {everywhere}"),
        format!("{gateway} {everywhere}"),
        format!("{} 5432", own.address),
        format!("{} 5432", other.address),
        "169.254.169.254 80".to_owned(),
    ];
    let tries: Vec<String> = places
        .iter()
        .map(|place| {
            format!("(nc -w 2 {place} < /dev/null || echo cannot reach {place}) >> /said 2>&1")
        })
        .collect();
    let dockerfile = format!(
        "{}FROM base\nRUN {}\nADD http://127.0.0.1:{loopback}/ /added\n",
        crate::docker::BASE,
        tries.join("; ")
    );
    // Fetching is the builder's own work, and it has the steps' network all the same.
    scene.repository.write(&[("Dockerfile", &dockerfile)]);
    let problem = scene.problem(&[]).await;
    assert!(format!("{problem:?}").contains("ADD http"), "{problem:?}");

    scene.repository.write(&[("Dockerfile", dockerfile.split("ADD").next().unwrap())]);
    let image = scene.image(&[]).await;
    let said = image.text("said");
    assert!(!said.contains(HELLO), "{said}");
    assert_eq!(said.matches("cannot reach").count(), places.len(), "{said}");
    own.end(platform).await;
    other.end(platform).await;
    scene.nothing_is_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_finds_names_and_reaches_the_internet() {
    if !npm_reaches_its_registry() {
        return;
    }
    let url =
        std::process::Command::new("npm").args(["config", "get", "registry"]).output().unwrap();
    let url = String::from_utf8(url.stdout).unwrap();
    let (scheme, rest) = url.trim().split_once("://").unwrap();
    let host = rest.split('/').next().unwrap();
    let (host, port) =
        host.split_once(':').unwrap_or((host, if scheme == "https" { "443" } else { "80" }));
    let dockerfile = format!(
        "FROM base\nRUN nslookup {host} > /found && cat /etc/resolv.conf > /settings && \
         nc -w 10 {host} {port} < /dev/null && echo reached > /reached\n"
    );
    let Some(scene) = Scene::set(&dockerfile, &[]).await else { return };
    let image = scene.image(&[]).await;
    assert_eq!(image.text("reached"), "reached\n");
    assert!(image.text("settings").starts_with("nameserver 10."), "{}", image.text("settings"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_asks_for_a_data_store_says_where_to_do_it_instead() {
    let dockerfile = "FROM base\nRUN nc -w 3 db 5432 < /dev/null\n";
    let Some(scene) = Scene::set(dockerfile, &[]).await else { return };
    let platform = &scene.platform;
    let mut request = platform.request(&scene.repository, &scene.service, &[]).await;
    request.private_names = vec!["db".to_owned()];
    let problem = platform.build(&request).await.unwrap_err().problem;
    assert_eq!(problem.code, "build-private-network", "{problem:?}");
    assert!(problem.message.contains("Dockerfile:5: RUN nc -w 3 db 5432"), "{problem:?}");
    assert!(problem.hint.unwrap().contains("preDeployCommand"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_native_build_reaches_its_own_environment_and_no_other() {
    let Some(platform) = Platform::start().await else { return };
    let own = Neighbour::start(&platform, platform.environment_id.clone()).await;
    let other = Neighbour::start(&platform, another_environment()).await;
    let (loopback, everywhere) = (greeter("127.0.0.1"), greeter("0.0.0.0"));
    let gateway = platform.driver.ensure_network(&platform.environment_id).await.unwrap().gateway;
    let attempt = |address: IpAddr, port: u16| {
        format!(
            "timeout 2 bash -c 'exec 3<>/dev/tcp/{address}/{port} && cat <&3' 2>/dev/null \
             || echo cannot"
        )
    };
    let local = IpAddr::from([127, 0, 0, 1]);
    let command = [
        attempt(own.address, 5432),
        attempt(other.address, 5432),
        attempt(local, loopback),
        attempt(local, everywhere),
        attempt(gateway, everywhere),
        "echo; cat /proc/1/environ /etc/shadow > /dev/null || echo denied".to_owned(),
        format!("ls {} || echo hidden", platform.dir.path().display()),
        "ls -d /proc/[0-9]* | wc -l; ls /dev/sd* /dev/vd* /dev/nvme* /dev/kmsg".to_owned(),
    ]
    .join("; ");
    let repository = Repository::committed(&[("a", "1")]);
    let command = format!("({command}) > said 2>&1; true");
    let service = service(Runtime::Node, &command);
    let request = platform.request(&repository, &service, &[]).await;
    let artifact = platform.build(&request).await.unwrap_or_else(|failure| panic!("{failure:?}"));
    let said = std::fs::read_to_string(format!("{}/tree/said", artifact.path)).unwrap();
    assert_eq!(said.matches(HELLO).count(), 1, "only its own environment answers: {said}");
    assert_eq!(said.matches("cannot\n").count(), 4, "{said}");
    assert!(said.contains("denied") && said.contains("hidden"), "{said}");
    for device in ["/dev/sd", "/dev/vd", "/dev/nvme", "/dev/kmsg"] {
        assert!(said.contains(&format!("'{device}")), "{device} is there: {said}");
    }
    own.end(&platform).await;
    other.end(&platform).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_sees_nothing_of_its_builder() {
    let dockerfile = "FROM base\nARG TOKEN\nRUN for process in /proc/[0-9]*; do \
        tr '\\0' ' ' < $process/environ; ls $process/root/etc/shadow $process/cwd/ $process/fd/; \
        done > /said 2> /refused; id >> /said; true\n";
    let Some(scene) = Scene::set(dockerfile, &[]).await else { return };
    let image = scene.image(&[("TOKEN", "s3cret")]).await;
    let said = image.text("said");
    assert!(!said.contains("CONTAINERS_CONF"), "the builder's environment: {said}");
    assert!(!said.contains("etc/shadow"), "the host's files: {said}");
    assert!(image.text("refused").contains("Permission denied"), "{}", image.text("refused"));
}
