//! A pull is killed after each of its steps and called again.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use images::{Config, Images};
use serde_json::json;

use crate::layer::{Layer, image, noise};
use crate::registry::Registry;
use crate::world::{World, counts, silent};

/// The helper of these tests, which cargo builds beside them.
pub(crate) fn helper() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let helper = exe.parent().unwrap().with_file_name("examples").join("images-helper");
    assert!(helper.exists(), "run all targets: `cargo test -p images` makes {}", helper.display());
    helper
}

#[tokio::test]
async fn a_kill_at_any_step_leaves_nothing_that_looks_finished() {
    let Some(world) = World::new() else { return };
    let registry = Registry::start();
    let layers: Vec<Layer> =
        (0..3).map(|n| Layer::new().bytes(&format!("f{n}"), &noise(n, 400_000))).collect();
    let made = image(&layers, &json!({}));
    registry.push("app", "1", &made).await;
    let reference = registry.reference("app:1");
    let dir = world.dir.path().join("killed");
    let mut kills = 0;
    let finished = loop {
        let mut child = Command::new(helper())
            .arg(&dir)
            .arg(reference.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // One step more each time: no step is left out.
        let heard = lines.by_ref().take(kills + 1).count();
        let _ = child.kill();
        let status = child.wait().unwrap();
        let images = Images::open(Config::new(dir.clone())).unwrap();
        assert_eq!(counts(&dir).0, 0, "after {kills} kills");
        let found = images.find(&made.digest()).unwrap();
        if let Some(image) = &found {
            for (n, path) in image.layers.iter().enumerate() {
                assert_eq!(
                    std::fs::read(path.join(format!("f{n}"))).unwrap(),
                    noise(n as u64, 400_000)
                );
            }
        }
        drop(images);
        if heard <= kills || status.success() {
            break found;
        }
        kills += 1;
        assert!(kills < 1000);
    };
    assert!(kills > 3 && finished.is_some());
    // Blobs that came whole came once, but for those that were on their way at a kill.
    let images = Images::open(Config::new(dir.clone())).unwrap();
    images.pull(&reference, None, None, &silent).await.unwrap();
    assert_eq!(counts(&dir), (0, 3, 2));
}

#[tokio::test]
async fn a_blob_that_came_before_a_kill_is_not_fetched_again() {
    let Some(world) = World::new() else { return };
    let registry = Registry::start();
    let layers =
        [Layer::new().bytes("a", &noise(1, 200_000)), Layer::new().bytes("b", &noise(2, 200_000))];
    let made = image(&layers, &json!({}));
    registry.push("app", "1", &made).await;
    let reference = registry.reference("app:1");
    // What a kill between the download and the unpacking leaves.
    let digest = images::Digest::of(&made.blobs[0]);
    let blob = world.path().join("blobs/sha256").join(digest.hex());
    std::fs::write(&blob, &made.blobs[0]).unwrap();
    world.images.pull(&reference, None, None, &silent).await.unwrap();
    assert_eq!(registry.requests(digest.as_str()), 0);
    assert_eq!(registry.requests(images::Digest::of(&made.blobs[1]).as_str()), 1);
    assert!(!blob.exists());
}

#[tokio::test]
async fn a_blob_that_a_kill_left_beside_its_layer_is_removed() {
    let Some(world) = World::new() else { return };
    let registry = Registry::start();
    let made = image(&[Layer::new().file("a", "1")], &json!({}));
    registry.push("app", "1", &made).await;
    let reference = registry.reference("app:1");
    world.images.pull(&reference, None, None, &silent).await.unwrap();
    // What a kill between the unpacking and the removal of the blob leaves.
    let blobs = world.path().join("blobs/sha256");
    std::fs::remove_file(blobs.join(made.digest().hex())).unwrap();
    std::fs::write(blobs.join(images::Digest::of(&made.blobs[0]).hex()), &made.blobs[0]).unwrap();
    world.images.pull(&reference, None, None, &silent).await.unwrap();
    assert_eq!(world.counts(), (0, 1, 2));
}

#[tokio::test]
async fn a_pull_that_nobody_waits_for_leaves_nothing_and_can_be_repeated() {
    let Some(world) = World::new() else { return };
    let registry = Registry::start();
    let made = image(&[Layer::new().bytes("a", &noise(1, 4_000_000))], &json!({}));
    registry.push("app", "1", &made).await;
    let reference = registry.reference("app:1");
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let hear = move |progress| {
        let _ = sender.send(progress);
    };
    tokio::select! {
        _ = world.images.pull(&reference, None, None, &hear) => {}
        () = async { while let Some(images::Progress::Resolving) = receiver.recv().await {} } => {}
    }
    let image = world.images.pull(&reference, None, None, &silent).await.unwrap();
    assert_eq!(image.digest, made.digest());
    assert_eq!(world.counts().0, 0);
}
