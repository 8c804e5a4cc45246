//! Pulling: what is asked for, what is not asked for again, and who is asked.

use std::sync::Mutex;

use images::{Images, Progress, Registries};
use serde_json::json;

use crate::layer::{Layer, Made, architecture, assemble, image, noise};
use crate::registry::Registry;
use crate::world::{World, silent};

fn two_layers() -> Made {
    let base = Layer::new().dir("etc").file("etc/name", "base");
    let top = Layer::new().dir("app").bytes("app/data", &noise(1, 300_000));
    image(
        &[base, top],
        &json!({"Entrypoint": ["/app/run"], "Env": ["A=1"], "ExposedPorts": {"80/tcp": {}}}),
    )
}

#[tokio::test]
async fn an_image_is_pulled_once_and_then_needs_no_registry() {
    let Some(world) = World::new() else { return };
    let mut registry = Registry::start();
    let made = two_layers();
    registry.push("team/app", "1", &made).await;
    let reference = registry.reference("team/app:1");
    assert_eq!(world.images.known(&reference), None);
    assert_eq!(world.images.resolve(&reference, None).await.unwrap(), made.digest());

    let steps = Mutex::new(Vec::new());
    let hear = |progress| steps.lock().unwrap().push(progress);
    let image = world.images.pull(&reference, None, None, &hear).await.unwrap();
    assert_eq!(image.digest, made.digest());
    assert_eq!(image.layers.len(), 2);
    assert_eq!(image.config.entrypoint, ["/app/run"]);
    assert_eq!(image.config.exposed_ports, [80]);
    assert_eq!(std::fs::read(image.layers[1].join("app/data")).unwrap(), noise(1, 300_000));
    let steps = steps.into_inner().unwrap();
    assert_eq!(steps.first(), Some(&Progress::Resolving));
    assert_eq!(steps.last(), Some(&Progress::Present));
    let total: u64 = made.blobs.iter().map(|blob| blob.len() as u64).sum();
    assert!(steps.contains(&Progress::Downloading { done_bytes: total, total_bytes: total }));
    assert!(steps.contains(&Progress::Unpacking { layer: 2, layers: 2 }));
    // Only the manifest and the configuration are kept as blobs.
    assert_eq!(world.counts(), (0, 2, 2));

    registry.stop();
    assert_eq!(world.images.known(&reference), Some(made.digest()));
    let again = world.images.pull(&reference, None, None, &silent).await.unwrap();
    assert_eq!(again, image);
    drop(world.images);
    let images = Images::open(images::Config::new(world.dir.path().join("images"))).unwrap();
    assert_eq!(images.find(&made.digest()).unwrap(), Some(image));
    let error = images.resolve(&reference, None).await.unwrap_err();
    assert_eq!(error.problem().code, "registry-unreachable");
    assert!(error.problem().detail.unwrap().contains("refused"), "{:?}", error.problem());
}

#[tokio::test]
async fn a_moved_tag_is_noticed_and_a_pin_holds() {
    let Some(world) = World::new() else { return };
    let registry = Registry::start();
    let (old, new) = (two_layers(), image(&[Layer::new().file("new", "1")], &json!({})));
    registry.push("app", "latest", &old).await;
    let reference = registry.reference("app");
    world.images.pull(&reference, None, None, &silent).await.unwrap();
    registry.push("app", "latest", &new).await;

    assert_eq!(world.images.known(&reference), Some(old.digest()));
    let now = world.images.resolve(&reference, None).await.unwrap();
    assert_eq!(now, new.digest());
    let image = world.images.pull(&reference, Some(&now), None, &silent).await.unwrap();
    assert_eq!(image.digest, new.digest());
    assert_eq!(world.images.known(&reference), Some(new.digest()));

    // An older release that is wanted again does not change what the tag means.
    let image = world.images.pull(&reference, Some(&old.digest()), None, &silent).await.unwrap();
    assert_eq!(image.digest, old.digest());
    assert_eq!(world.images.known(&reference), Some(new.digest()));
    registry.push("app", "latest", &old).await;
    assert_eq!(world.images.resolve(&reference, None).await.unwrap(), old.digest());
    assert_eq!(world.images.known(&reference), Some(old.digest()));

    let pinned = registry.reference(&format!("app@{}", old.digest()));
    assert_eq!(world.images.known(&pinned), Some(old.digest()));
    let image = world.images.pull(&pinned, None, None, &silent).await.unwrap();
    assert_eq!(image.digest, old.digest());
}

#[tokio::test]
async fn layers_are_shared_by_images_and_fetched_once() {
    let Some(world) = World::new() else { return };
    let registry = Registry::start();
    let base = Layer::new().bytes("base", &noise(2, 200_000));
    let one = image(&[base.clone(), Layer::new().file("one", "1")], &json!({}));
    let other = image(&[base, Layer::new().file("other", "2")], &json!({}));
    registry.push("one", "1", &one).await;
    registry.push("other", "1", &other).await;
    let (one_name, other_name) = (registry.reference("one:1"), registry.reference("other:1"));
    // At the same time, several of each.
    let pull = |name| world.images.pull(name, None, None, &silent);
    let (a, b, c, d) =
        tokio::join!(pull(&one_name), pull(&other_name), pull(&one_name), pull(&other_name));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!((a.clone(), b.clone()), (c.unwrap(), d.unwrap()));
    assert_eq!(a.layers[0], b.layers[0]);
    assert_eq!(world.counts(), (0, 3, 4));
    let blob = images::Digest::of(&one.blobs[0]);
    assert_eq!(registry.requests(blob.as_str()), 1);
}

#[tokio::test]
async fn the_variant_for_this_machine_is_chosen_from_an_index() {
    let Some(world) = World::new() else { return };
    let registry = Registry::start();
    let other = if architecture() == "amd64" { "arm64" } else { "amd64" };
    let layer = |text: &str| vec![Layer::new().file("which", text)];
    let ours = image(&layer("ours"), &json!({}));
    let blobs = vec![crate::layer::gzip(&layer("theirs")[0].tar())];
    let theirs = assemble(&layer("theirs"), blobs, &json!({}), other);
    registry.push("app", "ours", &ours).await;
    registry.push("app", "theirs", &theirs).await;
    let both = [theirs.descriptor(other), ours.descriptor(architecture())];
    let index = registry.push_index("app", "1", &both).await;
    let reference = registry.reference("app:1");

    assert_eq!(world.images.resolve(&reference, None).await.unwrap(), ours.digest());
    let image = world.images.pull(&reference, None, None, &silent).await.unwrap();
    assert_eq!(image.digest, ours.digest());
    assert_eq!(world.images.known(&reference), Some(ours.digest()));
    // The digest of the index means the same image.
    assert_eq!(world.images.find(&index).unwrap(), Some(image));

    let foreign = world.images.for_platform(format!("linux/{other}").parse().unwrap());
    assert_eq!(foreign.known(&reference), None);
    let image = foreign.pull(&reference, None, None, &silent).await.unwrap();
    assert_eq!(image.digest, theirs.digest());

    registry.push_index("app", "theirs-only", &both[..1]).await;
    for name in ["app:theirs-only", "app:theirs"] {
        let reference = registry.reference(name);
        let error = world.images.pull(&reference, None, None, &silent).await.unwrap_err();
        let problem = error.problem();
        assert_eq!(problem.code, "image-platform-missing");
        assert!(problem.detail.unwrap().contains(other));
    }
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_the_registry_when_it_fails() {
    let (origin, mut mirror) = (Registry::start(), Registry::start());
    let Some(world) = World::with(|config| {
        let mirrors = vec![format!("{}/cache", mirror.host)];
        config.registries = Registries {
            mirrors: [(origin.host.clone(), mirrors)].into(),
            ..Registries::default()
        };
    }) else {
        return;
    };
    let (at_both, at_origin) = (two_layers(), image(&[Layer::new().file("x", "1")], &json!({})));
    origin.push("app", "1", &at_both).await;
    mirror.push("cache/app", "1", &at_both).await;
    origin.push("app", "2", &at_origin).await;
    let pull = async |name: &str| {
        world
            .images
            .pull(&origin.reference(name), None, None, &silent)
            .await
            .map(|image| image.digest)
    };
    assert_eq!(pull("app:1").await.unwrap(), at_both.digest());
    assert_eq!(origin.requests("/v2/app"), 0);
    assert_eq!(pull("app:2").await.unwrap(), at_origin.digest());
    // A blob that the mirror lost comes from the registry.
    world.images.collect_garbage(&[]).await.unwrap();
    std::fs::write(mirror.blob_path(&at_both.blobs[1]), "lost").unwrap();
    assert_eq!(pull("app:1").await.unwrap(), at_both.digest());
    world.images.collect_garbage(&[]).await.unwrap();
    mirror.stop();
    assert_eq!(pull("app:1").await.unwrap(), at_both.digest());
}

#[tokio::test]
async fn what_nobody_keeps_is_removed_and_what_is_kept_stays_whole() {
    let Some(world) = World::new() else { return };
    let registry = Registry::start();
    let base = Layer::new().file("base", "1");
    let kept = image(&[base.clone(), Layer::new().file("kept", "1")], &json!({}));
    let gone = image(&[base, Layer::new().bytes("gone", &noise(3, 50_000))], &json!({}));
    registry.push("kept", "1", &kept).await;
    registry.push("gone", "1", &gone).await;
    let names = [registry.reference("kept:1"), registry.reference("gone:1")];
    for name in &names {
        world.images.pull(name, None, None, &silent).await.unwrap();
    }
    let freed = world.images.collect_garbage(&[kept.digest()]).await.unwrap();
    assert_eq!((freed.layers, freed.blobs), (1, 2));
    assert!(freed.size_bytes > 50_000);
    assert_eq!(world.counts(), (0, 2, 2));
    assert!(world.images.find(&kept.digest()).unwrap().is_some());
    assert_eq!(world.images.find(&gone.digest()).unwrap(), None);
    assert_eq!(world.images.known(&names[0]), Some(kept.digest()));
    assert_eq!(world.images.known(&names[1]), None);
    world.images.pull(&names[1], None, None, &silent).await.unwrap();
}

#[tokio::test]
async fn an_image_that_is_not_there_is_said_so() {
    let Some(world) = World::new() else { return };
    let registry = Registry::start();
    registry.push("app", "1", &two_layers()).await;
    for name in ["app:2", "other:1"] {
        let reference = registry.reference(name);
        let error = world.images.pull(&reference, None, None, &silent).await.unwrap_err();
        assert_eq!(error.problem().code, "image-not-found");
        assert!(error.to_string().contains(&registry.host), "{error}");
    }
    assert_eq!(world.counts(), (0, 0, 0));
}
