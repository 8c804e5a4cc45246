//! Requests per second through the edge, beside nginx and without any proxy, in one run.
//!
//! ```sh
//! cargo run --release -p edge --example bench_edge
//! ```
//!
//! It needs `nginx` and `wrk`. The target is an nginx that answers 200 with 11 bytes. Everything
//! is on loopback and takes about 30 s: three rounds, in each of them every candidate once, so
//! that a busy moment of the machine hits all of them. The medians are compared.
#![expect(clippy::print_stdout, reason = "the result of a benchmark is its output")]

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use edge::{Client, Config, Settings};
use model::route::{Backend, Generation, Route, RouteTable, Target};
use model::{InstanceId, ServiceId};
use uuid::Uuid;

const ROUNDS: usize = 3;
const ROUND_SECONDS: u32 = 3;
const CONNECTIONS: u32 = 64;
const WRK_THREADS: u32 = 1;
/// The role in which this program runs the edge: what is measured is a process of its own.
const EDGE_ROLE: &str = "edge";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, directory, port] = arguments.as_slice()
        && role == EDGE_ROLE
    {
        edge::run(config(Path::new(directory), port.parse()?))?;
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let target_port = free_port()?;
    let target = format!(
        "server {{ listen 127.0.0.1:{target_port} reuseport; keepalive_requests 10000000;
           location / {{ default_type text/plain; return 200 'hello world'; }} }}"
    );
    let _target = Nginx::start(directory.path(), "target", &target, target_port)?;
    let nginx_port = free_port()?;
    let proxy = format!(
        "upstream target {{ server 127.0.0.1:{target_port}; keepalive 128; keepalive_requests 10000000; }}
         server {{ listen 127.0.0.1:{nginx_port} reuseport; keepalive_requests 10000000;
           location / {{ proxy_pass http://target; proxy_http_version 1.1; proxy_set_header Connection '';
             proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr;
             proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host;
             proxy_set_header X-Request-Id $request_id; }} }}"
    );
    let _proxy = Nginx::start(directory.path(), "proxy", &proxy, nginx_port)?;
    let edge_port = free_port()?;
    let edge = EdgeProcess::start(directory.path(), edge_port, target_port)?;
    println!("edge, idle: {}", edge.memory()?);

    let candidates = [("direct", target_port), ("nginx", nginx_port), ("edge", edge_port)];
    let mut results: Vec<Vec<Measured>> = vec![vec![]; candidates.len()];
    for _ in 0..ROUNDS {
        for ((_, port), results) in candidates.iter().zip(&mut results) {
            results.push(wrk(*port)?);
        }
    }
    println!("{:<8} {:>12} {:>10} {:>8}", "", "requests/s", "p99", "failed");
    let medians: Vec<f64> = candidates
        .iter()
        .zip(&mut results)
        .map(|((name, _), results)| {
            results.sort_by(|left, right| left.per_second.total_cmp(&right.per_second));
            let median = &results[ROUNDS / 2];
            let failed: u64 = results.iter().map(|result| result.failed).sum();
            println!("{name:<8} {:>12.0} {:>10} {failed:>8}", median.per_second, median.p99);
            median.per_second
        })
        .collect();
    println!("edge / nginx: {:.2}", medians[2] / medians[1]);
    println!("edge / direct: {:.2}", medians[2] / medians[0]);
    println!("edge, after the load: {}", edge.memory()?);
    Ok(())
}

fn config(directory: &Path, port: u16) -> Config {
    Config {
        listen: vec![([127, 0, 0, 1], port).into()],
        control_socket: directory.join("edge.sock"),
        table_path: directory.join("routes.json"),
        dns_port: 53,
        dns_upstreams: None,
        authority: None,
        threads: 0,
        settings: Settings::default(),
    }
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn wait_for(port: u16) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if Instant::now() > deadline {
            bail!("nothing listens on port {port}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// An nginx of our own, in the foreground.
struct Nginx(Child);

impl Nginx {
    fn start(directory: &Path, name: &str, server: &str, port: u16) -> anyhow::Result<Self> {
        let root = directory.join(name);
        fs::create_dir(&root)?;
        let path = root.join("nginx.conf");
        let root = root.display();
        fs::write(
            &path,
            format!(
                "daemon off; worker_processes auto; pid {root}/pid; error_log stderr crit;
                 events {{ worker_connections 4096; }}
                 http {{ access_log off; client_body_temp_path {root}; proxy_temp_path {root};
                   fastcgi_temp_path {root}; uwsgi_temp_path {root}; scgi_temp_path {root}; {server} }}"
            ),
        )?;
        let child = Command::new("nginx")
            .arg("-c")
            .arg(&path)
            .spawn()
            .context("nginx is needed for comparison (hint: install the package `nginx`)")?;
        let nginx = Self(child);
        wait_for(port)?;
        Ok(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // TERM, so that the master takes its workers with it.
        if let Ok(pid) = i32::try_from(self.0.id())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

struct EdgeProcess(Child);

impl EdgeProcess {
    fn start(directory: &Path, port: u16, target_port: u16) -> anyhow::Result<Self> {
        let child = Command::new(std::env::current_exe()?)
            .arg(EDGE_ROLE)
            .arg(directory)
            .arg(port.to_string())
            .spawn()?;
        let process = Self(child);
        wait_for(port)?;
        let table = RouteTable {
            generation: Generation(1),
            routes: vec![Route {
                hosts: vec!["127.0.0.1".into()],
                path_prefix: "/".into(),
                strip_prefix: false,
                service_id: ServiceId::from_uuid(Uuid::now_v7()),
                service_name: "bench".into(),
                headers: vec![],
                rules: vec![],
                backend: Backend::Targets(vec![Target {
                    id: InstanceId::from_uuid(Uuid::now_v7()),
                    address: SocketAddr::from(([127, 0, 0, 1], target_port)),
                }]),
            }],
            zones: vec![],
            listeners: vec![],
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let client = Client::new(directory.join("edge.sock"));
            // The port is open a moment before the control socket is.
            while client.status().await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            client.apply(&table).await
        })?;
        Ok(process)
    }

    /// Resident and proportional size.
    fn memory(&self) -> anyhow::Result<String> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0.id()))?;
        let field = |name: &str| {
            text.lines()
                .find_map(|line| {
                    line.strip_prefix(name)?.split_whitespace().next()?.parse::<f64>().ok()
                })
                .map_or(f64::NAN, |kib| kib / 1024.0)
        };
        Ok(format!("RSS {:.1} MiB, PSS {:.1} MiB", field("Rss:"), field("Pss:")))
    }
}

impl Drop for EdgeProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[derive(Debug, Clone)]
struct Measured {
    per_second: f64,
    p99: String,
    failed: u64,
}

fn wrk(port: u16) -> anyhow::Result<Measured> {
    let output = Command::new("wrk")
        .args(["--latency", "-t", &WRK_THREADS.to_string(), "-c", &CONNECTIONS.to_string()])
        .args(["-d", &format!("{ROUND_SECONDS}s"), &format!("http://127.0.0.1:{port}/")])
        .stderr(Stdio::inherit())
        .output()
        .context("wrk is needed to make the load (hint: install the package `wrk`)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let after =
        |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name).map(str::trim));
    let numbers = |line: &str| -> u64 {
        line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse::<u64>().ok()).sum()
    };
    Ok(Measured {
        per_second: after("Requests/sec:")
            .and_then(|text| text.parse().ok())
            .with_context(|| format!("wrk said: {text}"))?,
        p99: after("99%").unwrap_or("?").to_owned(),
        failed: after("Socket errors:").map_or(0, numbers)
            + after("Non-2xx or 3xx responses:").map_or(0, numbers),
    })
}
