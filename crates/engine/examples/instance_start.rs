//! Measures how long instances take to start, and what they cost while they idle.
//!
//! Needs root and the example `engine_shim` beside it. Run with
//! `cargo run --release -p engine --example instance_start`. With the directory of a layer that has
//! `/bin/true`, it runs that in an instance of the layer, as `docker run` would, and prints the
//! median of start to exit in microseconds.
#![expect(clippy::print_stdout, reason = "a measurement is for people to read")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use engine::{Config, ContainerSpec, Driver, InstanceSpec, Limits, NativeDriver, Root, User};
use model::{EnvironmentId, InstanceId};
use uuid::Uuid;

const STARTS: usize = 20;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let state = tempfile::tempdir()?;
    let run = tempfile::tempdir_in("/dev/shm")?;
    let shim = std::env::current_exe()?.with_file_name("engine_shim");
    let config = Config::new(state.path().to_owned(), run.path().to_owned(), vec![shim.into()]);
    let driver = NativeDriver::new(config)?;
    let environment = EnvironmentId::from_uuid(Uuid::now_v7());
    driver.ensure_network(&environment).await?;
    if let Some(layer) = std::env::args_os().nth(1) {
        let median = one_offs(&driver, &environment, state.path(), layer.into()).await;
        driver.remove_network(&environment).await?;
        println!("{}", median?.as_micros());
        return Ok(());
    }

    let mut starts = Vec::new();
    let mut stops = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..STARTS {
        let spec = spec(&environment, state.path());
        let began = Instant::now();
        driver.start(&spec).await?;
        starts.push(began.elapsed());
        ids.push(spec.id);
    }
    // Printed at the end only: a reader that goes away must not leave instances behind.
    let mut report = vec![format!(
        "start of {STARTS} instances, spec to running process: {}",
        summary(&mut starts)
    )];
    let shims = shims(run.path())?;
    let (mut pss, mut private) = (0, 0);
    for pid in &shims {
        pss += rollup(*pid, "Pss:")?;
        private += rollup(*pid, "Private_Dirty:")?;
    }
    report.push(format!(
        "{} idle shims: {pss} kB PSS together, {} kB each; {} kB private and dirty each",
        shims.len(),
        pss / shims.len().max(1),
        private / shims.len().max(1)
    ));
    for id in &ids {
        let began = Instant::now();
        driver.stop(id, Duration::ZERO).await?;
        stops.push(began.elapsed());
        driver.remove(id).await?;
    }
    driver.remove_network(&environment).await?;
    report.push(format!("stop: {}", summary(&mut stops)));
    println!("{}", report.join("\n"));
    Ok(())
}

async fn one_offs(
    driver: &NativeDriver,
    environment: &EnvironmentId,
    state: &Path,
    layer: PathBuf,
) -> Result<Duration, Box<dyn std::error::Error>> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let mut spec = spec(environment, state);
        spec.root = Root::Layers(vec![layer.clone()]);
        spec.command = vec!["/bin/true".to_owned()];
        let began = Instant::now();
        driver.start(&spec).await?;
        driver.wait(&spec.id).await?;
        times.push(began.elapsed());
        driver.remove(&spec.id).await?;
    }
    times.sort();
    Ok(times[times.len() / 2])
}

fn spec(environment: &EnvironmentId, state: &Path) -> InstanceSpec {
    let id = InstanceId::from_uuid(Uuid::now_v7());
    InstanceSpec {
        hostname: "web".to_owned(),
        environment_id: environment.clone(),
        root: Root::HostUserland,
        user: User::alone(900_001, "render", "/opt/render"),
        command: vec!["/bin/sleep".to_owned(), "600".to_owned()],
        cwd: PathBuf::from("/"),
        env: Vec::new(),
        mounts: Vec::new(),
        files: Vec::new(),
        limits: Limits {
            cpu_millis: Some(500),
            memory_bytes: Some(512 << 20),
            pids: Some(512),
            disk_bytes: Some(10 << 30),
            time: None,
            output_bytes: None,
        },
        log: state.join(format!("logs/{id}.log")),
        is_lasting: false,
        has_input: false,
        port_hint: None,
        label: "measurement".to_owned(),
        container: ContainerSpec::default(),
        id,
    }
}

fn summary(times: &mut [Duration]) -> String {
    times.sort();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
    format!(
        "median {:.1} ms, fastest {:.1} ms, slowest {:.1} ms",
        at(50).as_secs_f64() * 1e3,
        at(0).as_secs_f64() * 1e3,
        times.last().copied().unwrap_or_default().as_secs_f64() * 1e3
    )
}

fn shims(run: &Path) -> std::io::Result<Vec<i64>> {
    let mut pids = Vec::new();
    for entry in std::fs::read_dir(run.join("instances"))? {
        let record = std::fs::read(entry?.path().join("shim.json"))?;
        let record: serde_json::Value = serde_json::from_slice(&record)?;
        pids.extend(record["pid"].as_i64());
    }
    Ok(pids)
}

fn rollup(pid: i64, field: &str) -> std::io::Result<usize> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    Ok(line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or_default())
}
