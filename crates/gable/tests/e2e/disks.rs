//! The state itself: a disk that is full, a database that is lost.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use testkit::Platform;

use crate::heals::{gable, until};
use crate::rollouts::{next_version, repository};

/// Size of the file system that the state lies on.
const DISK_MIB: u64 = 160;
const PAGE_TIME_MAX: Duration = Duration::from_secs(10);

/// A small file system in memory, for as long as it lives.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Self {
        let options = format!("size={DISK_MIB}m,mode=700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "gable-test"])
            .arg(at)
            .status()
            .unwrap();
        assert!(mounted.success(), "a tmpfs can be mounted");
        Self(at.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What is still open keeps it until it ends.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

/// Fills a directory until nothing more can be written to it.
fn fill(file: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(file).unwrap();
    for size in [1 << 20, 4096] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
}

async fn serves(platform: &Platform, version: &str) {
    platform.get_until("app", "/", PAGE_TIME_MAX, |answer| answer.body == version).await.unwrap();
}

async fn has_reserve(platform: &Platform) {
    let reserve = platform.state_dir().join("reserve");
    until("there is no reserve", async || reserve.exists().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_the_build_that_fills_it_and_nothing_else() {
    let test = "a_full_disk_ends_the_build_that_fills_it_and_nothing_else";
    let Some(_turn) = crate::turn(test).await else { return };
    let repository = repository(0);
    let platform = crate::platform(&[]);
    let disk = SmallDisk::mount(&platform.state_dir());
    crate::up(&platform, &repository).await;
    next_version(&repository, 1);
    crate::up(&platform, &repository).await;
    serves(&platform, "v1").await;
    has_reserve(&platform).await;

    let check = "node --check server.js";
    let filling = "while head -c 1000000 /dev/zero >> big; do true; done; sleep 600";
    repository.replace("render.yaml", check, filling).unwrap();
    repository.commit("fills the disk").unwrap();
    let full = platform.up(repository.path(), &[]).await.unwrap();
    assert_eq!(full.code, 1, "{full}");
    assert!(full.stderr.contains("[disk-full]"), "{full}");
    assert!(full.stderr.contains("MiB builds under way"), "who holds it: {full}");
    serves(&platform, "v1").await;

    // Nothing can be built on a disk that somebody else keeps full, and everything else works.
    let ballast = platform.state_dir().join("ballast");
    // What the build wrote is taken away, and the reserve made again.
    has_reserve(&platform).await;
    fill(&ballast);
    until("the reserve is not given back", async || {
        (!platform.state_dir().join("reserve").exists()).then_some(())
    })
    .await;
    let refused = until("a full disk is not noticed", async || {
        let refused = platform.up(repository.path(), &[]).await.unwrap();
        refused.stderr.contains("[disk-full]").then_some(refused)
    })
    .await;
    assert_eq!(refused.code, 1, "{refused}");
    gable(&platform, &["rollback", "app"]).await.ok().unwrap();
    serves(&platform, "v0").await;
    let log = std::fs::read_to_string(platform.state_dir().join("server.log")).unwrap();
    assert!(log.contains("is full"), "{log}");

    std::fs::remove_file(&ballast).unwrap();
    repository.replace("render.yaml", filling, check).unwrap();
    next_version(&repository, 2);
    until("there is no room again", async || {
        let run = platform.up(repository.path(), &[]).await.unwrap();
        (run.code == 0).then_some(())
    })
    .await;
    serves(&platform, "v2").await;
    gable(&platform, &["down", "--purge", "--yes"]).await.ok().unwrap();
    until("something goes on", async || platform.all_processes().is_empty().then_some(())).await;
    // What is mounted at the end counts as left behind.
    drop(disk);
    platform.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_database_is_refused_and_a_copy_takes_its_place() {
    let test = "a_lost_database_is_refused_and_a_copy_takes_its_place";
    let Some(_turn) = crate::turn(test).await else { return };
    let repository = repository(0);
    let platform = crate::platform(&[]);
    crate::up(&platform, &repository).await;
    let before = platform.service("app").await.unwrap()["instances"].clone();
    until("no copy is made", async || {
        let list = gable(&platform, &["server", "restore", "--list", "--json"]).await;
        let list: Value = serde_json::from_str(&list.stdout).ok()?;
        (!list[0]["projects"].as_array()?.is_empty()).then_some(())
    })
    .await;
    platform.kill_server().unwrap();
    for name in ["gable.db", "gable.db-wal", "gable.db-shm"] {
        drop(std::fs::remove_file(platform.state_dir().join(name)));
    }
    let refused = gable(&platform, &["server", "start"]).await;
    assert_eq!(refused.code, 1, "{refused}");
    assert!(refused.stderr.contains("state-older"), "{refused}");
    serves(&platform, "v0").await;

    gable(&platform, &["server", "restore", "--yes"]).await.ok().unwrap();
    gable(&platform, &["server", "start"]).await.ok().unwrap();
    serves(&platform, "v0").await;
    let after = platform.service("app").await.unwrap()["instances"].clone();
    assert_eq!(after[0]["id"], before[0]["id"], "what ran was stopped: {before:#} {after:#}");
    next_version(&repository, 1);
    crate::up(&platform, &repository).await;
    serves(&platform, "v1").await;
    platform.stop().await.unwrap();
}
