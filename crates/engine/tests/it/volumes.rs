//! What is mounted on top of an image.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;

use engine::{Driver, Mount, PlacedFile};

use crate::images::Image;
use crate::rig::{Rig, is_root};

fn volume(rig: &Rig) -> PathBuf {
    let path = rig.state.path().join("volumes/data");
    fs::create_dir_all(&path).unwrap();
    path
}

fn at(source: PathBuf, target: &str) -> Mount {
    Mount::Volume { source, target: target.into(), read_only: false }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_volume_begins_with_what_the_image_has() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    let volume = volume(&rig);
    let script = "cd /var/lib/app; stat -c '%u:%g %a' . first; cat first deep/second; \
                  readlink link; rm deep/second; echo new > first";
    let mut spec = image.shell(&rig, script);
    spec.mounts = vec![at(volume.clone(), "/var/lib/app")];
    let exit = rig.run(&spec).await;
    let output = rig.output(&spec.id);
    assert!(exit.is_success(), "{exit:?}\n{output}");
    assert_eq!(output, "70:71 2750\n70:71 644\ncontentcontent/etc/release");
    assert_eq!(fs::metadata(&volume).unwrap().uid(), 70);
    assert_eq!(fs::read_to_string(volume.join("first")).unwrap(), "new\n");
    // Nothing else is left beside it, and the next instance finds what this one wrote.
    assert_eq!(fs::read_dir(volume.parent().unwrap()).unwrap().count(), 1);
    let mut spec = image.shell(&rig, "cat /var/lib/app/first; ls /var/lib/app/deep");
    spec.mounts = vec![at(volume, "/var/lib/app")];
    rig.run(&spec).await;
    assert_eq!(rig.output(&spec.id), "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_was_being_filled_at_a_crash_is_filled_by_the_next_start() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    // Killed while it copied: the copy is worth nothing.
    let volume = volume(&rig);
    let beside = |word: &str| volume.with_file_name(format!(".data.{word}"));
    fs::create_dir_all(beside("copying").join("half")).unwrap();
    let mut spec = image.shell(&rig, "ls /var/lib/app");
    spec.mounts = vec![at(volume.clone(), "/var/lib/app")];
    rig.run(&spec).await;
    assert_eq!(rig.output(&spec.id), "deep\nfirst\nlink");
    assert!(!beside("copying").exists());
    // Killed while it moved: what is left of the copy is moved.
    fs::create_dir(beside("copied")).unwrap();
    for name in ["first", "deep"] {
        fs::rename(volume.join(name), beside("copied").join(name)).unwrap();
    }
    let mut spec = image.shell(&rig, "ls /var/lib/app");
    spec.mounts = vec![at(volume.clone(), "/var/lib/app")];
    rig.run(&spec).await;
    assert_eq!(rig.output(&spec.id), "deep\nfirst\nlink");
    assert!(!beside("copied").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_that_start_at_once_fill_a_volume_once() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    let volume = volume(&rig);
    let specs: [_; 3] = std::array::from_fn(|_| {
        let mut spec = image.shell(&rig, "ls /var/lib/app; touch /var/lib/app/first");
        spec.mounts = vec![at(volume.clone(), "/var/lib/app")];
        spec
    });
    let [one, two, three] = &specs;
    tokio::join!(rig.run(one), rig.run(two), rig.run(three));
    for spec in &specs {
        assert_eq!(rig.output(&spec.id), "deep\nfirst\nlink");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_takes_nothing_from_outside_the_image() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    let secret = rig.state.path().join("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("key"), "the host's").unwrap();
    symlink(&secret, image.layers[1].join("data")).unwrap();
    let volume = volume(&rig);
    let mut spec = image.shell(&rig, "ls /data");
    spec.mounts = vec![at(volume.clone(), "/data")];
    let _ = rig.driver().start(&spec).await;
    assert_eq!(fs::read_dir(&volume).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_root_leaves_its_mounts_writable() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    let script = "
        for place in / /tmp /run /etc /scratch /var/lib/app /memory /dev/shm; do
            touch $place/x 2>/dev/null && echo writes $place
        done
        cat /etc/hostname /conf/one; stat -c '%a %u' /conf/one /memory; grep ' /memory ' /proc/mounts
        dd if=/dev/zero of=/memory/big bs=1M count=8 2>&1 | grep -o 'No space'";
    let mut spec = image.shell(&rig, script);
    spec.container.is_read_only = true;
    spec.mounts = vec![
        at(volume(&rig), "/var/lib/app"),
        Mount::Scratch { target: "/scratch".into() },
        Mount::Tmpfs { target: "/memory".into(), size_bytes: Some(4 << 20) },
    ];
    let mode = 0o440;
    spec.files = vec![PlacedFile { target: "/conf/one".into(), text: "text\n".to_owned(), mode }];
    rig.run(&spec).await;
    let output = rig.output(&spec.id);
    let expect = "writes /scratch\nwrites /var/lib/app\nwrites /memory\nwrites /dev/shm\nweb\ntext\n440 0\n1777 0\n";
    assert!(output.starts_with(expect), "{output}");
    assert!(output.contains("size=4096k") && output.contains("nodev,noexec"), "{output}");
    assert!(output.ends_with("No space"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_does_not_replace_what_keeps_instances_apart() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    for target in ["/", "/proc", "/proc/sys", "/sys/fs", "/data/../proc", "relative"] {
        let mut spec = rig.shell("true");
        spec.mounts = vec![at(volume(&rig), target)];
        let error = rig.driver().start(&spec).await.unwrap_err();
        assert!(error.to_string().contains(&format!("mount at {target}:")), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_volume_only_the_named_part_is_seen() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    let volume = volume(&rig);
    fs::create_dir(volume.join("sub")).unwrap();
    fs::write(volume.join("a"), "1").unwrap();
    fs::write(volume.join("sub/b"), "2").unwrap();
    let outside = rig.state.path().join("secret");
    fs::write(&outside, "of the host").unwrap();
    symlink(&outside, volume.join("leads-out")).unwrap();
    let part = |subpath: &str, target: &str| Mount::Part {
        volume: volume.clone(),
        subpath: subpath.into(),
        target: target.into(),
        read_only: false,
    };
    let mut spec = image.shell(&rig, "ls /only; cat /file; echo 3 > /only/c");
    spec.mounts = vec![part("sub", "/only"), part("a", "/file")];
    assert!(rig.run(&spec).await.is_success(), "{}", rig.output(&spec.id));
    assert_eq!(rig.output(&spec.id), "b\n1");
    assert_eq!(fs::read_to_string(volume.join("sub/c")).unwrap(), "3\n");

    for absent in ["not-there", "leads-out", "a/below"] {
        let mut spec = image.shell(&rig, "true");
        spec.mounts = vec![part(absent, "/only")];
        let error = rig.run(&spec).await.start_error.unwrap();
        assert!(error.contains(&format!("`{absent}` of a volume")), "{error}");
        assert!(error.contains("nothing there"), "{error}");
    }
}

#[test]
fn a_volume_that_begins_with_a_directory_takes_it_whole_and_once() {
    let place = tempfile::tempdir().unwrap();
    let from = place.path().join("from");
    fs::create_dir_all(from.join("deep")).unwrap();
    fs::write(from.join("deep/file"), "kept").unwrap();
    symlink("/etc/hostname", from.join("link")).unwrap();
    let volumes = place.path().join("volumes");
    // What was cut off is worth nothing.
    fs::create_dir_all(volumes.join(".data.begins/half")).unwrap();
    let volume = volumes.join("data");
    engine::begin_volume(&from, &volume).unwrap();
    assert_eq!(fs::read_to_string(volume.join("deep/file")).unwrap(), "kept");
    assert_eq!(fs::read_link(volume.join("link")).unwrap(), PathBuf::from("/etc/hostname"));
    assert_eq!(fs::read_dir(&volumes).unwrap().count(), 1);

    fs::write(volume.join("deep/file"), "changed").unwrap();
    engine::begin_volume(&from, &volume).unwrap();
    assert_eq!(fs::read_to_string(volume.join("deep/file")).unwrap(), "changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_image_holds_is_mounted_read_only_whole_or_in_part() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    let mounted = |subpath: Option<&str>, target: &str| Mount::Image {
        layers: image.layers.clone(),
        subpath: subpath.map(PathBuf::from),
        target: target.into(),
    };
    let script = "cat /all/etc/release; echo; ls /part; echo x > /all/new || echo refused";
    let mut spec = image.shell(&rig, script);
    spec.mounts = vec![mounted(None, "/all"), mounted(Some("var/lib/app"), "/part")];
    assert!(rig.run(&spec).await.is_success(), "{}", rig.output(&spec.id));
    let output = rig.output(&spec.id);
    assert!(output.starts_with("upper\ndeep\nfirst\nlink\n"), "{output}");
    assert!(output.ends_with("refused"), "{output}");
    assert!(image.layers.iter().all(|layer| !layer.join("new").exists()));

    let mut spec = image.shell(&rig, "true");
    spec.mounts = vec![mounted(Some("not-there"), "/part")];
    let error = rig.driver().start(&spec).await.unwrap_err().to_string();
    assert!(error.contains("`not-there` of the image"), "{error}");
}
