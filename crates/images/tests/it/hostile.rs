//! Layers of strangers who mean no good: each is refused by name and leaves nothing.

use std::fs;
use std::path::Path;

use images::{Error, Image, Limits};
use serde_json::{Value, json};
use tar::EntryType;

use crate::files::write_layout;
use crate::layer::{Entry, Layer, Made, architecture, assemble, gzip, image, manifest};
use crate::world::{World, silent};

async fn import(world: &World, made: &Made) -> Result<Image, Error> {
    let dir = tempfile::tempdir().unwrap();
    write_layout(dir.path(), &[made]);
    world.images.import_layout(dir.path(), &silent).await
}

/// Imports an image that must fail with this code, and looks at what is left.
async fn fails(world: &World, made: &Made, code: &str) -> String {
    let error = import(world, made).await.unwrap_err();
    let problem = error.problem();
    assert_eq!(problem.code, code, "{problem:?}");
    assert!(problem.hint.is_some(), "{problem:?}");
    assert_eq!(world.counts(), (0, 0, 0), "{problem:?}");
    problem.message
}

async fn check(world: &World, layer: Layer, entry: &str, reason: &str) {
    let layer = Layer(Layer::new().dir("before").0.into_iter().chain(layer.0).collect());
    let message = fails(world, &image(&[layer], &json!({})), "image-refused").await;
    assert!(message.contains(&format!("`{entry}`")), "{message}");
    assert!(message.contains(reason), "{message}");
}

#[tokio::test]
async fn entries_that_reach_outside_are_refused_by_name() {
    let Some(world) = World::new() else { return };
    let new = Layer::new;
    let outside = world.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    fs::create_dir(outside.join("sub")).unwrap();
    let deep = "../".repeat(20) + outside.to_str().unwrap().trim_start_matches('/');
    check(&world, new().file("../x", ""), "../x", "goes up").await;
    check(&world, new().file("a/../../x", ""), "a/../../x", "goes up").await;
    check(&world, new().file("/etc/x", ""), "/etc/x", "begins at the root").await;
    check(&world, new().symlink("up", &deep).file("up/x", ""), "up/x", "leads out").await;
    check(&world, new().symlink("up", "a/../..").dir("a").dir("up/x"), "up/x", "leads out").await;
    let below = new().symlink("up", &deep).file("up/sub/x", "");
    check(&world, below, "up/sub/x", "leads out").await;
    check(&world, new().symlink("l", "l").file("l/x", ""), "l/x", "circle").await;
    check(
        &world,
        new().symlink("up", &deep).file("up/.wh.secret", ""),
        "up/.wh.secret",
        "leads out",
    )
    .await;
    check(
        &world,
        new().symlink("up", &deep).file("up/.wh..wh..opq", ""),
        "up/.wh..wh..opq",
        "leads out",
    )
    .await;
    check(&world, new().hard_link("h", "../../etc/passwd"), "h", "outside").await;
    check(&world, new().hard_link("h", "/etc/passwd"), "h", "outside").await;
    check(&world, new().hard_link("h", "etc/passwd"), "h", "not there").await;
    let linked = new().symlink("up", &deep).hard_link("h", "up/secret");
    check(&world, linked, "h", "leads out").await;
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 2);
    assert_eq!(fs::read_dir(outside.join("sub")).unwrap().count(), 0);
    assert_eq!(fs::read_to_string(outside.join("secret")).unwrap(), "secret");
}

#[tokio::test]
async fn an_absolute_link_leads_into_the_layer_and_not_to_the_host() {
    let Some(world) = World::new() else { return };
    let outside = world.dir.path().join("outside");
    fs::create_dir_all(outside.join("sub")).unwrap();
    let layer = Layer::new()
        .symlink("link", outside.to_str().unwrap())
        .file("link/x", "1")
        .file("link/sub/x", "1");
    let image = import(&world, &image(&[layer], &json!({}))).await.unwrap();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read_dir(outside.join("sub")).unwrap().count(), 0);
    let inside = image.layers[0].join(outside.strip_prefix("/").unwrap()).join("x");
    assert_eq!(fs::read_to_string(inside).unwrap(), "1");
}

#[tokio::test]
async fn special_files_and_strange_entries_are_refused_by_name() {
    let Some(world) = World::new() else { return };
    let new = Layer::new;
    let one = |path: &'static str, kind| new().entry(&Entry::new(path, kind));
    check(&world, one("sda", EntryType::Block), "sda", "device").await;
    check(&world, one("etc/null", EntryType::Char), "etc/null", "device").await;
    check(&world, one("pipe", EntryType::Fifo), "pipe", "named pipe").await;
    check(&world, one("sparse", EntryType::GNUSparse), "sparse", "sparse").await;
    check(&world, one("what", EntryType::new(b'Q')), "what", "kind").await;
    check(&world, one("./", EntryType::Symlink), "./", "root of the layer").await;
    check(&world, new().file("a", "").file("a/b", ""), "a/b", "no directory").await;
    check(&world, new().file(".wh.", ""), ".wh.", "no name").await;
    check(&world, new().file(".wh..", ""), ".wh..", "no name").await;
    check(&world, new().file(".wh.a/b", ""), ".wh.a/b", "deleted").await;
    check(&world, new().hard_link("h", "before"), "h", "no file").await;
    check(&world, new().hard_link("h", "."), "h", "root of the layer").await;
    check(&world, new().symlink("s", ""), "s", "link to nothing").await;
    check(
        &world,
        new().dir(&"d/".repeat(49)).file("x\u{1b}[2J/../y", ""),
        "x\u{fffd}[2J/../y",
        "up",
    )
    .await;
    let owner = Entry { owner: (u64::from(u32::MAX), 0), ..Entry::new("o", EntryType::Regular) };
    check(&world, new().entry(&owner), "o", "owner").await;
    let capability = vec![("SCHILY.xattr.security.capability".to_owned(), b"junk".to_vec())];
    let entry = Entry { extended: capability, ..Entry::new("c", EntryType::Regular) };
    check(&world, new().entry(&entry), "c", "attribute").await;
    let path = vec![("path".to_owned(), "d/".repeat(300).into_bytes())];
    let entry = Entry { extended: path, ..Entry::new("x", EntryType::Directory) };
    check(&world, new().entry(&entry), "d/".repeat(150).trim_end_matches('x'), "deep").await;
}

#[tokio::test]
async fn damaged_layers_leave_nothing() {
    let Some(world) = World::new() else { return };
    let layer = Layer::new().bytes("data", &crate::layer::noise(9, 100_000));
    let layers = [layer.clone()];
    let of = |blob: Vec<u8>| assemble(&layers, vec![blob], &json!({}), architecture());
    let whole = gzip(&layer.tar());

    // The digest of the content is another.
    let other = gzip(&Layer::new().file("other", "").tar());
    let message = fails(&world, &of(other), "image-damaged").await;
    assert!(message.contains("its content has the digest"), "{message}");
    // Truncated, as its digest says.
    fails(&world, &of(whole[..whole.len() / 2].to_vec()), "image-damaged").await;
    fails(&world, &of(b"not a tar stream at all".repeat(100)), "image-damaged").await;
    fails(&world, &of(b"BZh91AY".to_vec()), "image-damaged").await;
    fails(&world, &of([&[0x28, 0xb5, 0x2f, 0xfd][..], &[7; 100]].concat()), "image-damaged").await;
    fails(&world, &of([&whole[..], b"trailing"].concat()), "image-damaged").await;
    let mut flipped = layer.tar();
    flipped[3] ^= 1;
    fails(&world, &of(flipped), "image-damaged").await;
    // Another number of contents than of blobs.
    let mut made = of(whole.clone());
    made.blobs.push(whole.clone());
    made.manifest = manifest(&made.config, &made.blobs);
    fails(&world, &made, "image-damaged").await;

    // The bytes in the layout are not those of the digest, or missing.
    let made = of(whole);
    let dir = tempfile::tempdir().unwrap();
    write_layout(dir.path(), &[&made]);
    let blob = dir.path().join("blobs/sha256").join(images::Digest::of(&made.blobs[0]).hex());
    let mut bytes = fs::read(&blob).unwrap();
    bytes[50] ^= 1;
    for change in [Some(bytes.clone()), Some(bytes[..10].to_vec()), None] {
        match change {
            Some(bytes) => fs::write(&blob, bytes).unwrap(),
            None => fs::remove_file(&blob).unwrap(),
        }
        let error = world.images.import_layout(dir.path(), &silent).await.unwrap_err();
        assert_eq!(error.problem().code, "image-damaged");
        assert_eq!(world.counts(), (0, 0, 0));
    }
}

#[tokio::test]
async fn what_is_too_large_leaves_nothing() {
    let Some(world) = World::with(|config| {
        config.limits = Limits {
            manifest_bytes: 20_000,
            config_bytes: 20_000,
            blob_bytes: 100_000,
            layer_bytes: 300_000,
            image_bytes: 500_000,
            layer_entries: 100,
            layers: 10,
        };
    }) else {
        return;
    };
    let check = async |layers: &[Layer], run: Value, unit: &str| {
        let message = fails(&world, &image(layers, &run), "image-too-large").await;
        assert!(message.contains(unit), "{message}");
    };
    // Two hundred times smaller than what it becomes.
    check(&[Layer::new().bytes("bomb", &vec![0; 10_000_000])], json!({}), "300000 bytes").await;
    let noise = crate::layer::noise(4, 150_000);
    check(&[Layer::new().bytes("noise", &noise)], json!({}), "100000 bytes").await;
    let many = (0..101).fold(Layer::new(), |layer, n| layer.file(&format!("{n}"), ""));
    check(&[many], json!({}), "100 entries").await;
    let layers: Vec<Layer> = (0..11).map(|n| Layer::new().file(&format!("{n}"), "")).collect();
    check(&layers, json!({}), "10 layers").await;
    check(&[Layer::new()], json!({"User": "x".repeat(20_001)}), "20000 bytes").await;

    // Several that are allowed alone are too much together; what was whole may stay.
    let layers: Vec<Layer> =
        (0..3_u8).map(|n| Layer::new().bytes("zeros", &vec![n; 200_000])).collect();
    let error = import(&world, &image(&layers, &json!({}))).await.unwrap_err();
    assert!(error.to_string().contains("500000 bytes"), "{error}");
    assert_eq!((world.counts().0, world.counts().2), (0, 0));
    world.images.collect_garbage(&[]).await.unwrap();
    assert_eq!(world.counts(), (0, 0, 0));
}

#[tokio::test]
async fn a_directory_that_hides_itself_is_removed_with_the_rest() {
    let Some(world) = World::new() else { return };
    let layer = Layer::new()
        .entry(&Entry { mode: 0, ..Entry::new("closed", EntryType::Directory) })
        .file("closed/x", "")
        .file("../x", "");
    fails(&world, &image(&[layer], &json!({})), "image-refused").await;
    assert!(Path::new(&world.path()).join("tmp").exists());
}

#[tokio::test]
async fn without_root_nothing_is_unpacked_and_the_reason_is_said() {
    let Some(world) = World::new() else { return };
    let dir = tempfile::tempdir().unwrap();
    write_layout(dir.path(), &[&image(&[Layer::new()], &json!({}))]);
    // Of this thread alone, which ends with this test.
    let nobody = rustix::process::Uid::from_raw(65_534);
    let root = rustix::process::Uid::ROOT;
    rustix::thread::set_thread_res_uid(root, nobody, root).unwrap();
    let imported = world.images.import_layout(dir.path(), &silent).await;
    let reference = "127.0.0.1:1/app:1".parse().unwrap();
    let pulled = world.images.pull(&reference, None, None, &silent).await;
    rustix::thread::set_thread_res_uid(root, root, root).unwrap();
    for error in [imported.unwrap_err(), pulled.unwrap_err()] {
        assert_eq!(error.problem().code, "image-needs-root");
        assert!(error.problem().hint.unwrap().contains("root"));
    }
}
