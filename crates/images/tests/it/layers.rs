//! Layers as they come out, seen through a real overlay.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use images::Image;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::json;
use tar::EntryType;

use crate::files::write_layout;
use crate::layer::{Entry, Layer, Made, architecture, assemble, gzip, image, noise};
use crate::world::{Mounted, World, silent};

async fn import(world: &World, made: &Made) -> Image {
    let dir = tempfile::tempdir().unwrap();
    write_layout(dir.path(), &[made]);
    world.images.import_layout(dir.path(), &silent).await.unwrap()
}

#[tokio::test]
async fn deleted_things_are_gone_and_replaced_ones_are_new() {
    let Some(world) = World::new() else { return };
    let base = Layer::new()
        .dir("etc")
        .file("etc/keep", "base")
        .file("etc/gone", "base")
        .dir("opaque")
        .file("opaque/old", "base")
        .dir("remade")
        .file("remade/old", "base")
        .dir("remade-late")
        .file("remade-late/old", "base")
        .file("was-file", "base")
        .dir("was-dir")
        .file("was-dir/x", "base");
    let top = Layer::new()
        .file("etc/.wh.gone", "")
        .file("opaque/new", "top")
        .file("opaque/.wh..wh..opq", "")
        .file(".wh.remade", "")
        .dir("remade")
        .file("remade/new", "top")
        .dir("remade-late")
        .file("remade-late/new", "top")
        .file(".wh.remade-late", "")
        .file(".wh.was-dir", "")
        .dir("was-file")
        .file("was-file/x", "top")
        .file(".wh..wh.plnk", "a note of another file system");
    let image = import(&world, &image(&[base, top], &json!({}))).await;
    let root = Mounted::new(&image);
    assert_eq!(root.names("etc"), ["keep"]);
    assert_eq!(root.names("opaque"), ["new"]);
    assert_eq!(root.names("remade"), ["new"]);
    assert_eq!(root.names("remade-late"), ["new"]);
    assert_eq!(root.names("was-file"), ["x"]);
    assert_eq!(root.names(""), ["etc", "opaque", "remade", "remade-late", "was-file"]);
    assert_eq!(root.read("etc/keep").unwrap(), "base");
    // Layers are shared and stay as they are.
    fs::write(root.path("etc/keep"), "instance").unwrap();
    assert_eq!(fs::read_to_string(image.layers[0].join("etc/keep")).unwrap(), "base");
}

#[tokio::test]
async fn a_layer_that_hides_everything_leaves_nothing_of_those_below() {
    let Some(world) = World::new() else { return };
    let layers = [
        Layer::new().file("base", "1"),
        Layer::new().file(".wh..wh..opq", "").file("top", "2"),
        Layer::new().file("more", "3"),
    ];
    let image = import(&world, &image(&layers, &json!({}))).await;
    assert_eq!(Mounted::new(&image).names(""), ["more", "top"]);
}

#[tokio::test]
async fn a_layer_that_is_there_twice_is_mounted_once() {
    let Some(world) = World::new() else { return };
    let twice = Layer::new().file("a", "twice");
    let layers = [twice.clone(), Layer::new().file("a", "between").file("b", "1"), twice];
    let image = import(&world, &image(&layers, &json!({}))).await;
    let root = Mounted::new(&image);
    assert_eq!(root.read("a").unwrap(), "twice");
    assert_eq!(root.names(""), ["a", "b"]);
}

#[tokio::test]
async fn owners_modes_times_links_and_capabilities_survive() {
    let Some(world) = World::new() else { return };
    // cap_net_bind_service, permitted and effective.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0].to_vec();
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
    let layer = Layer::new()
        .entry(&Entry { mode: 0o1777, ..Entry::new("./tmp/", EntryType::Directory) })
        .entry(&Entry {
            mode: 0o4755,
            owner: (10, 20),
            data: b"x",
            ..Entry::new("./su", EntryType::Regular)
        })
        .hard_link("./su-too", "./su")
        .symlink("out", "../../../../etc/shadow")
        .symlink("absolute", "/su")
        .hard_link("link-to-link", "absolute")
        .entry(&Entry {
            extended: vec![
                ("path".into(), long.clone().into_bytes()),
                ("mtime".into(), b"12.5".to_vec()),
                ("SCHILY.xattr.security.capability".into(), capability.clone()),
                ("SCHILY.xattr.trusted.overlay.redirect".into(), b"/etc".to_vec()),
                ("SCHILY.xattr.user.overlay.redirect".into(), b"/etc".to_vec()),
                ("SCHILY.xattr.user.note".into(), b"a=b\n".to_vec()),
            ],
            ..Entry::new("short", EntryType::Regular)
        })
        .entry(&Entry { kind: EntryType::Char, ..Entry::new("dev/console", EntryType::Char) })
        .entry(&Entry::new("dev/pipe", EntryType::Fifo))
        .file("dev/plain", "1");
    let image = import(&world, &image(&[layer, Layer::new().file("z", "")], &json!({}))).await;
    let root = &image.layers[0];
    let stat = |path: &str| fs::symlink_metadata(root.join(path)).unwrap();
    assert_eq!(stat("tmp").mode() & 0o7777, 0o1777);
    let su = stat("su");
    assert_eq!((su.mode() & 0o7777, su.uid(), su.gid()), (0o4755, 10, 20));
    assert_eq!((su.mtime(), su.ino(), su.nlink()), (1_000_000_000, stat("su-too").ino(), 2));
    assert_eq!(stat("tmp").mtime(), 1_000_000_000);
    assert_eq!(fs::read_link(root.join("out")).unwrap().to_str(), Some("../../../../etc/shadow"));
    assert_eq!(stat("absolute").ino(), stat("link-to-link").ino());
    let file = stat(&long);
    assert_eq!((file.mtime(), file.mtime_nsec()), (12, 500_000_000));
    let attribute = |name: &str| {
        let mut value = vec![0; 100];
        let length = rustix::fs::lgetxattr(root.join(&long), name, &mut value).ok()?;
        value.truncate(length);
        Some(value)
    };
    assert_eq!(attribute("security.capability"), Some(capability));
    assert_eq!(attribute("user.note").as_deref(), Some(b"a=b\n".as_slice()));
    assert_eq!(attribute("trusted.overlay.redirect"), None);
    assert_eq!(attribute("user.overlay.redirect"), None);
    assert!(!root.join("dev/console").exists() && !root.join("dev/pipe").exists());
    assert!(root.join("dev/plain").exists());
}

#[tokio::test]
async fn links_inside_a_layer_are_followed_as_a_process_inside_would() {
    let Some(world) = World::new() else { return };
    let layer = Layer::new()
        .dir("usr")
        .symlink("bin", "usr/bin")
        .file("bin/sh", "1")
        .symlink("var/run", "/run")
        .file("var/run/lock/x", "2")
        .dir("a/b")
        .symlink("a/b/up", "../../usr")
        .file("a/b/up/y", "3")
        .file("dir/old", "")
        .file("dir", "now a file")
        .file("file", "")
        .file("./file", "second");
    let image = import(&world, &image(&[layer], &json!({}))).await;
    let read = |path: &str| fs::read_to_string(image.layers[0].join(path)).unwrap();
    assert_eq!(read("usr/bin/sh"), "1");
    assert_eq!(read("run/lock/x"), "2");
    assert_eq!(read("usr/y"), "3");
    assert_eq!(read("dir"), "now a file");
    assert_eq!(read("file"), "second");
}

#[tokio::test]
async fn layers_come_plain_in_gzip_and_in_zstd() {
    let Some(world) = World::new() else { return };
    let layer = |number: u8| Layer::new().bytes("data", &noise(number.into(), 700_000));
    let layers: Vec<Layer> = (0..4).map(layer).collect();
    let zstd = |bytes: &[u8]| compress_to_vec(bytes, CompressionLevel::Fastest);
    // A frame to be skipped, then two with content.
    let mut frames = vec![0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    let tar = layers[3].tar();
    frames.extend(zstd(&tar[..100_000]));
    frames.extend(zstd(&tar[100_000..]));
    let mut members = gzip(&layers[1].tar()[..1000]);
    members.extend(gzip(&layers[1].tar()[1000..]));
    let blobs = vec![layers[0].tar(), members, zstd(&layers[2].tar()), frames];
    let image = import(&world, &assemble(&layers, blobs, &json!({}), architecture())).await;
    for (number, path) in image.layers.iter().enumerate() {
        assert_eq!(fs::read(path.join("data")).unwrap(), noise(number as u64, 700_000));
    }
}

#[tokio::test]
async fn as_many_layers_as_are_allowed_can_be_mounted() {
    let Some(world) = World::new() else { return };
    let layers: Vec<Layer> = (0..127).map(|n| Layer::new().file(&format!("f{n}"), "")).collect();
    let image = import(&world, &image(&layers, &json!({}))).await;
    let names: Vec<&str> =
        image.layers.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names.len(), 127);
    // By names relative to their directory, with room for the directories above.
    assert!(names.join(":").len() < 4096 - 600);
}
