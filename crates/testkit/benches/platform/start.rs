//! Starting an instance, running `true` in it, and learning its exit code: a one-off job, against
//! `docker run`, or against the kernel alone where Docker is not installed.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use testkit::{Docker, Repository, docker};

use crate::{Row, median, millis, platform};

const ROUNDS: usize = 15;

pub(crate) async fn run() -> Result<Vec<Row>> {
    let repository = Repository::copy_of(&testkit::examples().join("hello"))?;
    let platform = platform()?;
    platform.up(repository.path(), &[]).await?.ok()?;
    let (mut gable, mut peer) = (Vec::new(), Vec::new());
    let docker = Docker::start()?;
    for _ in 0..ROUNDS {
        gable.push(platform.gable(&["run", "hello", "--", "true"]).await?.ok()?.took);
        peer.push(peer_run(docker.as_ref())?);
    }
    platform.stop().await?;
    Ok(vec![Row {
        what: "one-off job `true`, whole command".into(),
        gable: millis(median(&gable)),
        peer: format!(
            "{} {}",
            millis(median(&peer)),
            if docker.is_some() { "docker run" } else { "unshare" }
        ),
        note: "with network, files, user and limits of its own".into(),
    }])
}

const NAMESPACES: [&str; 7] = ["--fork", "--pid", "--mount", "--net", "--uts", "--ipc", "true"];

/// The same by Docker, or where it is not installed by the kernel alone.
fn peer_run(docker: Option<&Docker>) -> Result<Duration> {
    let began = Instant::now();
    match docker {
        Some(docker) => drop(docker.run(["run", "--rm", docker::IMAGE, "/bin/true"])?),
        None => {
            let status = std::process::Command::new("unshare").args(NAMESPACES).status()?;
            ensure!(status.success(), "unshare failed");
        }
    }
    Ok(began.elapsed())
}
