//! Starting an instance, running `true` in it, and learning its exit code: a one-off job, against
//! the container engine of this machine if there is one, and against the kernel alone.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use testkit::Repository;
use tokio::process::Command;

use crate::{Row, median, millis, platform, program};

const ROUNDS: usize = 15;

pub(crate) async fn run() -> Result<Vec<Row>> {
    let repository = Repository::copy_of(&testkit::examples().join("hello"))?;
    let platform = platform()?;
    platform.up(repository.path(), &[]).await?.ok()?;
    let (mut gable, mut peer) = (Vec::new(), Vec::new());
    let (peer_name, peer_command) = peer_of_this_machine().await;
    for _ in 0..ROUNDS {
        gable.push(platform.gable(&["run", "hello", "--", "true"]).await?.ok()?.took);
        peer.push(time(peer_command).await?);
    }
    platform.stop().await?;
    Ok(vec![Row {
        what: "one-off job `true`, whole command".into(),
        gable: millis(median(&gable)),
        peer: format!("{} {peer_name}", millis(median(&peer))),
        note: "with network, files, user and limits of its own".into(),
    }])
}

const DOCKER: [&str; 5] = ["docker", "run", "--rm", "busybox", "true"];
const NAMESPACES: [&str; 8] =
    ["unshare", "--fork", "--pid", "--mount", "--net", "--uts", "--ipc", "true"];

/// Docker, if it works here: the program may be there without its daemon. Trying it also downloads
/// the image, which is not what is measured.
async fn peer_of_this_machine() -> (&'static str, &'static [&'static str]) {
    if program("docker").is_some() && time(&DOCKER).await.is_ok() {
        return ("docker run", &DOCKER);
    }
    ("unshare", &NAMESPACES)
}

async fn time(command: &[&str]) -> Result<Duration> {
    let began = Instant::now();
    let output = Command::new(command[0]).args(&command[1..]).output().await?;
    ensure!(output.status.success(), "{}: {}", command[0], String::from_utf8_lossy(&output.stderr));
    Ok(began.elapsed())
}
