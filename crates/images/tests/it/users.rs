//! Who an image's processes run as.

use std::path::Path;

use images::{Identity, Image};
use serde_json::json;

use crate::files::write_layout;
use crate::layer::{Layer, image};
use crate::world::{World, silent};

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\nbroken\n\
                      app:x:1000:1001:App:/srv/app:/bin/sh\nhomeless:x:7:8:::\n";
const GROUP: &str = "root:x:0:\napp:x:1001:\nweb:x:33:app,root\nlogs:x:44:other,app\n";

async fn with(layers: &[Layer], user: &str) -> Option<(World, Image)> {
    let world = World::new()?;
    let dir = tempfile::tempdir().unwrap();
    write_layout(dir.path(), &[&image(layers, &json!({"User": user}))]);
    let image = world.images.import_layout(dir.path(), &silent).await.unwrap();
    Some((world, image))
}

fn base() -> Layer {
    Layer::new().dir("etc").file("etc/passwd", PASSWD).file("etc/group", GROUP)
}

fn show(identity: &Identity) -> String {
    let Identity { uid, gid, groups, name, home } = identity;
    format!("{uid}:{gid} {groups:?} {name} {}", home.display())
}

#[tokio::test]
async fn names_and_numbers_mean_what_they_mean_in_the_image() {
    let Some((_world, image)) = with(&[base()], "app").await else { return };
    let check = |user: Option<&str>, groups: &[&str], expect: &str| {
        let groups: Vec<String> = groups.iter().map(|&group| group.to_owned()).collect();
        let shown = match image.identity(user, &groups) {
            Ok(identity) => show(&identity),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expect, "{user:?}");
    };
    check(None, &[], "1000:1001 [33, 44] app /srv/app");
    check(Some(""), &[], "0:0 [33] root /root");
    check(Some("1000"), &[], "1000:1001 [33, 44] app /srv/app");
    check(Some("app:web"), &[], "1000:33 [] app /srv/app");
    check(Some("app:99"), &[], "1000:99 [] app /srv/app");
    check(Some("5:6"), &[], "5:6 [] 5 /");
    check(Some("5"), &["web", "12", "web"], "5:0 [12, 33] 5 /");
    check(Some("homeless"), &[], "7:8 [] homeless /");
    check(Some("nobody"), &[], "the image has no user `nobody`");
    check(Some("app:nobody"), &[], "the image has no group `nobody`");
    check(Some("-1"), &[], "the image has no user `-1`");
    check(Some("4294967295"), &[], "the image has no user `4294967295`");
}

#[tokio::test]
async fn lists_of_users_are_read_through_the_layers() {
    let other = "app:x:2000:2000::/other:/bin/sh\n";
    let deleted = Layer::new().file("etc/.wh.passwd", "");
    let replaced = Layer::new().file("etc/passwd", other);
    let hidden = Layer::new().file("etc/.wh..wh..opq", "").file("etc/x", "");
    let linked = Layer::new().file("run/users", other).symlink("etc/passwd", "../run/users");
    let absolute = Layer::new().symlink("etc", "/usr/etc").file("usr/etc/passwd", other);
    for (layers, expect) in [
        (vec![base(), replaced.clone()], Some(2000)),
        (vec![base(), deleted.clone()], None),
        (vec![base(), hidden], None),
        (vec![base(), deleted, replaced], Some(2000)),
        (vec![base(), linked], Some(2000)),
        (vec![base(), absolute], Some(2000)),
        (vec![Layer::new()], None),
    ] {
        let Some((_world, image)) = with(&layers, "app").await else { return };
        let uid = image.identity(None, &[]).ok().map(|identity| identity.uid);
        assert_eq!(uid, expect);
    }
}

#[tokio::test]
async fn a_link_to_the_hosts_users_leads_nowhere() {
    let up = "../".repeat(30) + "etc/passwd";
    for target in ["/etc/passwd", &up, "loop"] {
        let layer = Layer::new().symlink("etc/loop", "loop").symlink("etc/passwd", target);
        let Some((_world, image)) = with(&[layer], "daemon").await else { return };
        assert!(Path::new("/etc/passwd").exists());
        let error = image.identity(None, &[]).unwrap_err();
        assert_eq!(error.problem().code, "image-user-missing");
    }
}
