//! The platform's own share of a deploy: `gable up` of a new commit, against the same commands by
//! hand: clone, build, start, ask until it answers.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use testkit::{Repository, http};
use tokio::process::Command;

use crate::{Row, median, millis, platform};

const ROUNDS: usize = 7;
const ASK_EVERY: Duration = Duration::from_millis(2);
const START_TIME_MAX: Duration = Duration::from_secs(30);

pub(crate) async fn run() -> Result<Vec<Row>> {
    let repository = Repository::copy_of(&testkit::examples().join("hello"))?;
    let platform = platform()?;
    platform.up(repository.path(), &[]).await?.ok()?;
    let (mut gable, mut by_hand) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        repository.write("ROUND", &round.to_string())?;
        repository.commit(&format!("Round {round}"))?;
        gable.push(platform.up(repository.path(), &[]).await?.ok()?.took);
        by_hand.push(hand(&repository).await?);
    }
    platform.stop().await?;
    let (gable, by_hand) = (median(&gable), median(&by_hand));
    Ok(vec![Row {
        what: "deploy of a new commit (hello)".into(),
        gable: millis(gable),
        peer: format!("{} by hand", millis(by_hand)),
        note: format!("Gable's own share {}", millis(gable.saturating_sub(by_hand))),
    }])
}

async fn hand(repository: &Repository) -> Result<Duration> {
    let folder = tempfile::tempdir()?;
    let tree = folder.path().join("tree");
    let port = testkit::platform::free_port()?;
    let began = Instant::now();
    let clone = Command::new("git")
        .args(["clone", "--quiet", "--depth=1"])
        .arg(format!("file://{}", repository.path().display()))
        .arg(&tree)
        .status();
    anyhow::ensure!(clone.await?.success(), "git clone failed");
    let mut build = Command::new("/bin/sh");
    build.args(["-c", "node --check server.js"]).current_dir(&tree);
    anyhow::ensure!(build.status().await?.success(), "the build failed");
    let mut server = Command::new("/bin/sh")
        .args(["-c", "exec node server.js"])
        .env("PORT", port.to_string())
        .current_dir(&tree)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let address = (std::net::Ipv4Addr::LOCALHOST, port).into();
    while http::get(address, "localhost", "/").await.is_err() {
        anyhow::ensure!(began.elapsed() < START_TIME_MAX, "the server does not answer");
        tokio::time::sleep(ASK_EVERY).await;
    }
    let took = began.elapsed();
    server.kill().await.context("failed to end the server")?;
    Ok(took)
}
