//! Images: starting an instance of one that is present, and building one again after a change,
//! beside Docker doing the same.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testkit::{Docker, Repository, docker};
use tokio::process::Command;

use crate::{Row, binary, median, millis, platform};

const ROUNDS: usize = 7;

const DOCKERFILE: &str = "FROM scratch AS base\nCOPY bin /bin\nRUN [\"/bin/sh\", \"-c\", \"echo \
    base > /base\"]\nFROM base\nCOPY round /round\nRUN [\"/bin/sh\", \"-c\", \"echo made > \
    /made\"]\nCMD [\"/bin/sleep\", \"1000000\"]\n";
const BLUEPRINT: &str = "services:\n  - type: worker\n    name: box\n    runtime: docker\n    \
    plan: standard\n";

pub(crate) async fn run() -> Result<Vec<Row>> {
    let Some(docker) = Docker::start()? else {
        let note = "Docker is not installed: `scripts/setup bench`".into();
        let what = "images beside Docker".into();
        return Ok(vec![Row { what, gable: "-".into(), peer: "-".into(), note }]);
    };
    Ok(vec![start(&docker).await?, build(&docker).await?])
}

/// Start to exit of `true` in an instance of an image that is there.
async fn start(docker: &Docker) -> Result<Row> {
    let example = example()?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let output = Command::new(&example).arg(docker.root()).output().await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let micros = String::from_utf8_lossy(&output.stdout).trim().parse()?;
        ours.push(Duration::from_micros(micros));
        let began = Instant::now();
        docker.run(["run", "--rm", docker::IMAGE, "/bin/true"])?;
        theirs.push(began.elapsed());
    }
    let (ours, theirs) = (median(&ours), median(&theirs));
    Ok(Row {
        what: "instance of an image, start to exit".into(),
        gable: format!("{:.1} ms", ours.as_secs_f64() * 1e3),
        peer: format!("{} docker run", millis(theirs)),
        note: format!(
            "{:.1} times as fast; the engine alone, against client and daemon",
            theirs.as_secs_f64() / ours.as_secs_f64()
        ),
    })
}

/// A Dockerfile whose last steps changed, until an instance of the new image runs.
async fn build(docker: &Docker) -> Result<Row> {
    let repository = Repository::new()?;
    repository.write("Dockerfile", DOCKERFILE)?.write("render.yaml", BLUEPRINT)?;
    repository.write("round", "first")?;
    copy_bin(&docker.root(), repository.path())?;
    repository.commit("An image")?;
    let platform = platform()?;
    platform.up(repository.path(), &[]).await?.ok()?;
    let by_hand = |round: usize| -> Result<Duration> {
        let (tag, name) = (format!("box:{round}"), format!("box-{round}"));
        let folder = repository.path().display().to_string();
        let began = Instant::now();
        docker.run(["build", "--quiet", "--tag", &tag, &folder])?;
        docker.run(["run", "--detach", "--rm", "--name", &name, &tag])?;
        Ok(began.elapsed())
    };
    by_hand(ROUNDS)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        repository.write("round", &round.to_string())?;
        repository.commit(&format!("Round {round}"))?;
        ours.push(platform.up(repository.path(), &[]).await?.ok()?.took);
        theirs.push(by_hand(round)?);
    }
    platform.stop().await?;
    Ok(Row {
        what: "Dockerfile changed, until it runs".into(),
        gable: millis(median(&ours)),
        peer: format!("{} docker build + run", millis(median(&theirs))),
        note: "Gable's with snapshot, plan, health and switch; a worker settles for 1 s".into(),
    })
}

fn copy_bin(root: &Path, repository: &Path) -> Result<()> {
    let mut copy = std::process::Command::new("cp");
    copy.arg("-a").arg(root.join("bin")).arg(repository);
    ensure!(copy.status()?.success(), "cp failed");
    Ok(())
}

/// The engine's own measurement, built beside the binary.
fn example() -> Result<PathBuf> {
    let binary = binary()?;
    let folder = binary.parent().context("a binary lies in a folder")?;
    let path = folder.join("examples/instance_start");
    ensure!(path.exists(), "{} is not there: `make bench` builds it", path.display());
    Ok(path)
}
