//! Requests per second through the edge and through nginx, in front of the same instance: nginx
//! with a fixed answer, so that the proxy is what is measured. All of it shares this machine.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use testkit::platform::free_port;
use testkit::wrk::{self, Report, WrkOptions};
use testkit::{Platform, Repository, http, process};
use tokio::process::{Child, Command};

use crate::{Row, median, platform, program};

const ROUNDS: usize = 3;
const TIME: Duration = Duration::from_secs(5);
const CONNECTIONS: u32 = 64;
const START_TIME_MAX: Duration = Duration::from_secs(10);

const BACKEND: &str = "worker_processes 1;\ndaemon off;\npid /tmp/nginx.pid;\nerror_log stderr;\n\
    events {}\nhttp {\n  access_log off;\n  client_body_temp_path /tmp/b;\n  proxy_temp_path /tmp/p;\n  \
    fastcgi_temp_path /tmp/f;\n  uwsgi_temp_path /tmp/u;\n  scgi_temp_path /tmp/s;\n  \
    keepalive_requests 1000000;\n  server {\n    listen 10000;\n    location / { return 200 \
    \"a small answer\\n\"; }\n  }\n}\n";

pub(crate) async fn run() -> Result<Vec<Row>> {
    let nginx = program("nginx").context("nginx is not installed: `scripts/setup bench`")?;
    let repository = Repository::new()?;
    let blueprint = format!(
        "services:\n  - type: web\n    name: fixed\n    runtime: node\n    plan: pro\n    \
         buildCommand: \"\"\n    startCommand: exec {} -e stderr -c $PWD/nginx.conf\n",
        nginx.display()
    );
    repository.write("render.yaml", &blueprint)?.write("nginx.conf", BACKEND)?;
    repository.commit("A fixed answer")?;
    let platform = platform()?;
    platform.up(repository.path(), &[]).await?.ok()?;
    let peer = Nginx::start(&nginx, &address(&platform).await?).await?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let host = format!("fixed.localhost:{}", platform.port());
        ours.push(measure(platform.port(), Some(host)).await?);
        theirs.push(measure(peer.port, None).await?);
    }
    drop(peer);
    platform.stop().await?;
    Ok(rows(&ours, &theirs))
}

/// The instance's own address, which nginx is given too.
async fn address(platform: &Platform) -> Result<String> {
    let service = platform.service("fixed").await?;
    let address = service["instances"][0]["address"].as_str();
    Ok(address.context("the instance has no address")?.to_owned())
}

async fn measure(port: u16, host: Option<String>) -> Result<Report> {
    let options = WrkOptions {
        url: format!("http://127.0.0.1:{port}/"),
        host,
        threads: 1,
        connections: CONNECTIONS,
        time: TIME,
    };
    let report = wrk::run(&options).await?;
    ensure!(report.failed() == 0, "{report:?}");
    Ok(report)
}

fn rows(ours: &[Report], theirs: &[Report]) -> Vec<Row> {
    let rate = |reports: &[Report]| {
        median(&reports.iter().map(|report| report.requests_per_second).collect::<Vec<_>>())
    };
    let p99 = |reports: &[Report]| {
        median(&reports.iter().map(|report| report.latency_p99).collect::<Vec<_>>())
    };
    let share = 100.0 * rate(ours) / rate(theirs);
    let micros = |time: Duration| format!("{} µs", time.as_micros());
    vec![
        Row {
            what: "edge, requests per second".into(),
            gable: format!("{:.0}", rate(ours)),
            peer: format!("{:.0} nginx", rate(theirs)),
            note: format!("{share:.0} % of nginx; {CONNECTIONS} kept connections"),
        },
        Row {
            what: "edge, 99th percentile of latency".into(),
            gable: micros(p99(ours)),
            peer: format!("{} nginx", micros(p99(theirs))),
            note: String::new(),
        },
    ]
}

/// nginx as a proxy, in the foreground, ended with this value.
struct Nginx {
    port: u16,
    process: Child,
    _folder: TempDir,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // TERM: its workers end with it.
        process::end(&self.process.id().into_iter().collect::<Vec<_>>());
    }
}

impl Nginx {
    async fn start(program: &Path, backend: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = free_port()?;
        let path = folder.path().display();
        let config = format!(
            "worker_processes auto;\ndaemon off;\npid {path}/pid;\nerror_log stderr;\nevents {{ \
             worker_connections 4096; }}\nhttp {{\n  access_log off;\n  client_body_temp_path \
             {path}/b;\n  proxy_temp_path {path}/p;\n  fastcgi_temp_path {path}/f;\n  \
             uwsgi_temp_path {path}/u;\n  scgi_temp_path {path}/s;\n  keepalive_requests \
             1000000;\n  upstream app {{ server {backend}:10000; keepalive 64; \
             keepalive_requests 1000000; }}\n  server {{\n    listen 127.0.0.1:{port};\n    \
             location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header \
             Connection \"\"; proxy_set_header Host $host; }}\n  }}\n}}\n"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config)?;
        let process = Command::new(program).arg("-c").arg(&file).stderr(Stdio::null()).spawn()?;
        let began = Instant::now();
        let address = (std::net::Ipv4Addr::LOCALHOST, port).into();
        while http::get(address, "localhost", "/").await.is_err() {
            ensure!(began.elapsed() < START_TIME_MAX, "nginx does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { port, process, _folder: folder })
    }
}
