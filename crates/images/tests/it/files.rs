//! Images from files: OCI layouts and archives.

use std::fs;
use std::path::Path;
use std::process::Command;

use images::{Digest, Image};
use serde_json::json;
use tar::EntryType;

use crate::layer::{Entry, Layer, Made, architecture, image};
use crate::world::{World, silent};

fn made() -> Made {
    let layers = [Layer::new().file("a", "1"), Layer::new().file("b", "2")];
    image(&layers, &json!({"Cmd": ["/a"]}))
}

/// Writes a layout with this image, as `index` describes it.
pub(crate) fn write_layout(dir: &Path, images: &[&Made]) {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    for made in images {
        for blob in made.blobs.iter().chain([&made.config, &made.manifest]) {
            fs::write(blobs.join(Digest::of(blob).hex()), blob).unwrap();
        }
    }
    let manifests: Vec<_> = images.iter().map(|made| made.descriptor(architecture())).collect();
    let index = json!({"schemaVersion": 2, "manifests": manifests});
    fs::write(dir.join("index.json"), index.to_string()).unwrap();
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
}

fn check(image: &Image, made: &Made) {
    assert_eq!(image.layers.len(), made.blobs.len());
    assert_eq!(fs::read_to_string(image.layers[1].join("b")).unwrap(), "2");
    assert_eq!(image.config.command, ["/a"]);
}

#[tokio::test]
async fn a_layout_is_imported_and_may_be_removed_then() {
    let Some(world) = World::new() else { return };
    let (made, dir) = (made(), tempfile::tempdir().unwrap());
    write_layout(dir.path(), &[&made]);
    let image = world.images.import_layout(dir.path(), &silent).await.unwrap();
    assert_eq!(image.digest, made.digest());
    dir.close().unwrap();
    check(&image, &made);
    assert_eq!(world.images.find(&made.digest()).unwrap(), Some(image));
    assert_eq!(world.counts(), (0, 2, 2));
}

#[tokio::test]
async fn what_buildah_pushes_is_imported() {
    let Some(world) = World::new() else { return };
    let dir = tempfile::tempdir().unwrap();
    let context = dir.path().join("context");
    fs::create_dir(&context).unwrap();
    fs::write(
        context.join("Dockerfile"),
        "FROM scratch\nCOPY hello /hello\nUSER 7:8\nCMD [\"/hello\"]\n",
    )
    .unwrap();
    fs::write(context.join("hello"), "hello").unwrap();
    let storage = ["--storage-driver", "vfs", "--root", "root", "--runroot", "run"];
    let buildah = |arguments: &[&str]| {
        let output = Command::new("buildah")
            .args(storage)
            .args(arguments)
            .current_dir(dir.path())
            .output()
            .expect("buildah is needed; `scripts/setup test` installs it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    buildah(&["build", "--isolation", "chroot", "--tag", "made", "context"]);
    buildah(&["push", "made", "oci:layout"]);
    buildah(&["push", "made", "docker-archive:old.tar:made:1"]);
    buildah(&["push", "made", "oci-archive:new.tar"]);
    let path = |name: &str| dir.path().join(name);
    let from_layout = world.images.import_layout(&path("layout"), &silent).await.unwrap();
    let from_old = world.images.import_archive(&path("old.tar"), &silent).await.unwrap();
    let from_new = world.images.import_archive(&path("new.tar"), &silent).await.unwrap();
    assert_eq!(from_layout.layers, from_old.layers);
    assert_eq!(from_layout, from_new);
    assert_eq!(from_layout.config.user, "7:8");
    assert_eq!(fs::read_to_string(from_layout.layers[0].join("hello")).unwrap(), "hello");
}

#[tokio::test]
async fn an_archive_in_the_older_form_is_imported() {
    let Some(world) = World::new() else { return };
    let layers = [Layer::new().file("a", "1"), Layer::new().file("b", "2")];
    let made = image(&layers, &json!({"Cmd": ["/a"]}));
    // The second layer is there as a link, as older Docker writes layers that it saved before.
    let manifest = json!([{"Config": "c.json", "RepoTags": ["app:1"],
                           "Layers": ["one/layer.tar", "two/layer.tar"]}]);
    let archive = Layer::new()
        .dir("one")
        .bytes("one/layer.tar", &layers[0].tar())
        .bytes("three/layer.tar", &layers[1].tar())
        .symlink("two/layer.tar", "../three/layer.tar")
        .bytes("c.json", &made.config)
        .file("manifest.json", &manifest.to_string());
    let path = world.dir.path().join("saved.tar");
    fs::write(&path, archive.tar()).unwrap();
    let image = world.images.import_archive(&path, &silent).await.unwrap();
    check(&image, &made);
    assert_eq!(world.images.import_archive(&path, &silent).await.unwrap(), image);
}

#[tokio::test]
async fn a_layout_with_two_images_or_none_is_refused() {
    let Some(world) = World::new() else { return };
    let dir = tempfile::tempdir().unwrap();
    let other = image(&[Layer::new().file("c", "3")], &json!({}));
    for (images, count) in [(vec![&made(), &other], "2"), (vec![], "0")] {
        write_layout(dir.path(), &images);
        let error = world.images.import_layout(dir.path(), &silent).await.unwrap_err();
        assert_eq!(error.problem().code, "image-ambiguous");
        assert!(error.to_string().contains(count), "{error}");
    }
    // The same one under two names is one.
    write_layout(dir.path(), &[&other, &other]);
    world.images.import_layout(dir.path(), &silent).await.unwrap();
}

#[tokio::test]
async fn a_layout_cannot_lead_to_files_outside_of_it() {
    let Some(world) = World::new() else { return };
    let (made, dir) = (made(), tempfile::tempdir().unwrap());
    write_layout(dir.path(), &[&made]);
    let blob = dir.path().join("blobs/sha256").join(Digest::of(&made.blobs[0]).hex());
    let outside = world.dir.path().join("outside");
    fs::rename(&blob, &outside).unwrap();
    std::os::unix::fs::symlink(&outside, &blob).unwrap();
    world.images.import_layout(dir.path(), &silent).await.unwrap_err();
    assert_eq!(world.counts().0, 0);
}

#[tokio::test]
async fn what_is_no_image_is_said_so() {
    let Some(world) = World::new() else { return };
    let path = world.dir.path().join("file");
    for (bytes, reason) in [
        (b"hello".to_vec(), "archive"),
        (crate::layer::gzip(&Layer::new().tar()), "uncompressed"),
        (Layer::new().file("a", "1").tar(), "index.json"),
        (Layer::new().file("manifest.json", "{}").tar(), "manifest.json"),
        (
            Layer::new()
                .entry(&Entry { data: b"[]", ..Entry::new("manifest.json", EntryType::Regular) })
                .tar(),
            "0 images",
        ),
    ] {
        fs::write(&path, bytes).unwrap();
        let error = world.images.import_archive(&path, &silent).await.unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
    world.images.import_layout(world.dir.path(), &silent).await.unwrap_err();
    assert_eq!(world.counts(), (0, 0, 0));
}
