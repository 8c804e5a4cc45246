//! Memory of the platform itself with 20 services, idle: control plane, edge and shims, against
//! Docker's daemons and shims with 20 containers, which have no edge yet. What the services use is
//! theirs. Shared pages count in parts.

use std::fmt::Write;
use std::time::Duration;

use anyhow::Result;
use testkit::{Docker, Repository, docker, process};

use crate::{Row, platform};

const SERVICES: usize = 20;
/// What deploys needed is given back within this time.
const SETTLE: Duration = Duration::from_secs(10);

pub(crate) async fn run() -> Result<Vec<Row>> {
    let mut blueprint = String::from("services:\n");
    for number in 0..SERVICES {
        writeln!(
            blueprint,
            "  - type: worker\n    name: idle-{number}\n    runtime: node\n    plan: starter\n    \
             buildCommand: \"\"\n    startCommand: exec sleep 1000000"
        )?;
    }
    let repository = Repository::new()?;
    repository.write("render.yaml", &blueprint)?;
    repository.commit("Twenty services")?;
    let platform = platform()?;
    platform.up(repository.path(), &[]).await?.ok()?;
    tokio::time::sleep(SETTLE).await;
    let of = |role: &str| -> u64 {
        platform.processes(role).into_iter().filter_map(process::memory_bytes).sum()
    };
    let parts = [of("server"), of("edge"), of("shim")];
    platform.stop().await?;
    let peer = match Docker::start()? {
        None => None,
        Some(docker) => {
            for _ in 0..SERVICES {
                docker.run(["run", "--detach", "--rm", docker::IMAGE, "/bin/sleep", "1000000"])?;
            }
            tokio::time::sleep(SETTLE).await;
            Some(docker.memory_bytes())
        }
    };
    let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / (1024.0 * 1024.0));
    let [server, edge, shims] = parts.map(megabytes);
    Ok(vec![Row {
        what: format!("memory, idle, {SERVICES} services"),
        gable: megabytes(parts.iter().sum()),
        peer: peer.map_or("not installed".into(), |bytes| format!("{} Docker", megabytes(bytes))),
        note: format!("control plane {server}, edge {edge}, shims {shims}"),
    }])
}
