//! What an instance has as its file system.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};

use engine::{Mount, PlacedFile, Root};

use crate::rig::{Rig, is_root};

#[tokio::test(flavor = "multi_thread")]
async fn an_overlay_can_be_written_and_what_is_below_stays_as_it_is() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let lower = rig.state.path().join("artifact, with: odd name");
    fs::create_dir_all(lower.join("src")).unwrap();
    fs::write(lower.join("src/file"), "as built").unwrap();
    for path in ["", "src", "src/file"] {
        chown(lower.join(path), Some(900_123), Some(900_123)).unwrap();
    }
    let mut spec = rig.shell(
        "set -e; pwd; cat src/file; echo; echo changed > src/file; rm src/file; mkdir new; echo x > new/file; ls; stat -c %u .",
    );
    spec.cwd = "/opt/render/project/src".into();
    spec.mounts = vec![Mount::Overlay { lower: lower.clone(), target: spec.cwd.clone() }];
    let exit = rig.run(&spec).await;
    let output = rig.output(&spec.id);
    assert!(exit.is_success(), "{exit:?}\n{output}");
    assert_eq!(output, "/opt/render/project/src\nas built\nnew\nsrc\n900123");
    assert_eq!(fs::read_to_string(lower.join("src/file")).unwrap(), "as built");
    assert!(!lower.join("new").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_have_each_their_own_tmp_and_home() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let one = rig.shell("touch /tmp/one $HOME/one /var/tmp/two; echo ready; sleep 600");
    rig.start(&one).await;
    rig.said(&one.id, "ready").await;
    let two = rig.shell("ls -A /tmp $HOME");
    rig.run(&two).await;
    assert_eq!(rig.output(&two.id), "/opt/render:\n\n/tmp:");
    assert!(!std::path::Path::new("/tmp/one").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_keeps_what_is_written_and_a_read_only_one_refuses() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let disk = rig.state.path().join("disk");
    fs::create_dir(&disk).unwrap();
    chown(&disk, Some(900_123), Some(900_123)).unwrap();
    let mut spec = rig.shell(
        "echo kept > /var/data/file; echo no > /read-only/file; echo no > /etc/secrets/key; cat /etc/secrets/key",
    );
    spec.mounts = vec![
        Mount::Bind { source: disk.clone(), target: "/var/data".into(), read_only: false },
        Mount::Bind { source: disk.clone(), target: "/read-only".into(), read_only: true },
        Mount::Scratch { target: "/scratch".into() },
    ];
    spec.files = vec![PlacedFile::readable("/etc/secrets/key", "a secret")];
    rig.run(&spec).await;
    assert_eq!(fs::read_to_string(disk.join("file")).unwrap(), "kept\n");
    assert_eq!(fs::metadata(disk.join("file")).unwrap().uid(), 900_123);
    let output = rig.output(&spec.id);
    assert_eq!(output.matches("Read-only file system").count(), 2, "{output}");
    assert!(output.ends_with("a secret"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_an_artifact_does_not_lead_a_mount_out_of_the_root() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let lower = rig.state.path().join("artifact");
    let trap = rig.state.path().join("trap");
    fs::create_dir(&lower).unwrap();
    fs::create_dir(&trap).unwrap();
    std::os::unix::fs::symlink(&trap, lower.join("data")).unwrap();
    let mut spec = rig.shell("echo x > /app/data/file; ls /app/data/");
    spec.mounts = vec![
        Mount::Overlay { lower, target: "/app".into() },
        Mount::Scratch { target: "/app/data/deep".into() },
    ];
    // Refused or kept inside: either way nothing appears on the host.
    let _ = engine::Driver::start(rig.driver(), &spec).await;
    assert_eq!(fs::read_dir(&trap).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_of_nothing_is_named_and_leaves_nothing_behind() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let mut spec = rig.shell("true");
    let source = rig.state.path().join("nowhere");
    spec.mounts = vec![Mount::Bind { source, target: "/x".into(), read_only: false }];
    let error = engine::Driver::start(rig.driver(), &spec).await.unwrap_err();
    assert!(error.to_string().contains("nowhere: No such file"), "{error}");
    assert_eq!(engine::Driver::observe(rig.driver(), &spec.id).await, None);
    assert!(!rig.run.path().join("run/instances").join(spec.id.as_str()).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_of_an_image_are_a_root_of_their_own() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let (lower, upper) = (rig.state.path().join("layer-1"), rig.state.path().join("layer-2"));
    for directory in ["bin", "usr", "lib", "lib64", "etc"] {
        fs::create_dir_all(lower.join(directory)).unwrap();
    }
    fs::create_dir_all(upper.join("tmp")).unwrap();
    chown(upper.join("tmp"), Some(900_123), None).unwrap();
    fs::write(lower.join("etc/release"), "lower").unwrap();
    fs::create_dir_all(upper.join("etc")).unwrap();
    fs::write(upper.join("etc/release"), "upper").unwrap();
    let mut spec = rig.shell("cat /etc/release; echo; cat /etc/hostname; echo x > /tmp/x && echo wrote; test -e /etc/alternatives || echo no host");
    spec.root = Root::Layers(vec![lower.clone(), upper]);
    spec.cwd = "/".into();
    // The shell and its libraries are the host's; an image would bring its own.
    spec.mounts = ["/usr", "/bin", "/lib", "/lib64"]
        .map(|path| Mount::Bind { source: path.into(), target: path.into(), read_only: true })
        .to_vec();
    let exit = rig.run(&spec).await;
    let output = rig.output(&spec.id);
    assert!(exit.is_success(), "{exit:?}\n{output}");
    assert_eq!(output, "upper\nweb\nwrote\nno host");
    assert!(!lower.join("tmp/x").exists());
}
