//! Instances whose root is made of an image's layers. The images are made here, of one static
//! program.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Instant;

use engine::{Driver, InstanceSpec, Root};
use nix::sys::stat::{Mode, SFlag, mknod};

use crate::rig::{Rig, is_root};

/// Programs of the image, all of them one.
const APPLETS: [&str; 21] = [
    "awk", "cat", "df", "dd", "echo", "env", "grep", "head", "hostname", "id", "kill", "ls",
    "mkdir", "mkfifo", "pwd", "readlink", "rm", "sh", "sleep", "stat", "touch",
];

/// Directories of layers, lowest first.
pub(crate) struct Image {
    pub(crate) layers: Vec<PathBuf>,
}

impl Image {
    /// Three layers: a userland, what an application adds, and what a later step hides.
    pub(crate) fn make(rig: &Rig) -> Self {
        let layers: Vec<_> =
            (1..=3).map(|number| rig.state.path().join(format!("layers/{number}"))).collect();
        let [base, app, last] = &layers[..] else { unreachable!() };
        for directory in ["bin", "etc", "root", "run", "opt/hidden", "var/lib/app/deep"] {
            fs::create_dir_all(base.join(directory)).unwrap();
        }
        fs::copy(busybox(), base.join("bin/busybox")).unwrap();
        for applet in APPLETS {
            symlink("busybox", base.join("bin").join(applet)).unwrap();
        }
        fs::create_dir(base.join("tmp")).unwrap();
        fs::set_permissions(base.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        for (path, text) in [
            ("etc/old", "lower"),
            ("etc/release", "lower"),
            ("opt/hidden/below", "lower"),
            ("tmp/seed", "the image's own"),
            ("run/seed", "the image's own"),
            ("var/lib/app/first", "content"),
        ] {
            fs::write(base.join(path), text).unwrap();
        }
        fs::create_dir_all(app.join("etc")).unwrap();
        fs::write(app.join("etc/release"), "upper").unwrap();
        fs::create_dir_all(last.join("etc")).unwrap();
        fs::create_dir_all(last.join("opt/hidden")).unwrap();
        fs::write(last.join("opt/hidden/above"), "upper").unwrap();
        mknod(&last.join("etc/old"), SFlag::S_IFCHR, Mode::empty(), 0).unwrap();
        make_opaque(&last.join("opt/hidden"));
        let image = Self { layers };
        image.own_data();
        image
    }

    /// What a database's image has: a directory of its user's own.
    fn own_data(&self) {
        let data = self.layers[0].join("var/lib/app");
        fs::hard_link(data.join("first"), data.join("deep/second")).unwrap();
        symlink("/etc/release", data.join("link")).unwrap();
        for path in ["", "first", "deep"] {
            chown(data.join(path), Some(70), Some(71)).unwrap();
        }
        fs::set_permissions(&data, fs::Permissions::from_mode(0o2750)).unwrap();
    }

    /// A spec that runs a script in it as root.
    pub(crate) fn shell(&self, rig: &Rig, script: &str) -> InstanceSpec {
        let mut spec = rig.spec(&["sh", "-c", script]);
        spec.root = Root::Layers(self.layers.clone());
        spec.user = engine::User::alone(0, "root", "/root");
        spec.cwd = "/".into();
        spec.env = vec![("PATH".to_owned(), "/bin".to_owned())];
        spec
    }
}

fn busybox() -> PathBuf {
    let places = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from);
    let found = places.into_iter().find(|path| path.exists());
    found.expect("busybox is not here; `scripts/setup test` installs it")
}

fn make_opaque(directory: &Path) {
    let program = "import os, sys; os.setxattr(sys.argv[1], 'trusted.overlay.opaque', b'y')";
    let mut python = std::process::Command::new("python3");
    assert!(python.args(["-c", program]).arg(directory).status().unwrap().success());
}

/// Everything below a directory that could show that it was written to.
fn inventory(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let (mode, size) = (metadata.mode(), metadata.size());
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        found.push(format!("{} {mode:o} {} {size} {changed:?}", path.display(), metadata.uid()));
        if metadata.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_share_layers_and_none_sees_what_another_writes() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    let layers = rig.state.path().join("layers");
    let before = inventory(&layers);
    let script = "
        cat /etc/release /opt/hidden/*; echo
        ls /etc/old /opt/hidden/below 2>&1 | grep -c 'No such'
        echo mine > /etc/release; rm /bin/awk /tmp/seed; rm -r /opt/hidden; mkdir -p /new/place
        echo changed; sleep 600";
    let one = image.shell(&rig, script);
    rig.start(&one).await;
    rig.said(&one.id, "changed").await;
    assert_eq!(rig.output(&one.id), "upperupper\n2\nchanged");
    let two = image
        .shell(&rig, "cat /etc/release /tmp/seed /run/seed; ls /bin/awk /opt/hidden /new 2>&1");
    rig.run(&two).await;
    let output = rig.output(&two.id);
    assert!(output.contains("upperthe image's ownthe image's own"), "{output}");
    assert!(output.contains("/bin/awk") && output.contains("above"), "{output}");
    assert!(output.contains("/new: No such file"), "{output}");
    assert_eq!(inventory(&layers), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_layers_than_a_page_of_options_holds_are_a_root() {
    const LAYERS: usize = 130;
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let mut image = Image::make(&rig);
    let deep = rig.state.path().join("layers, of: one".repeat(12)).join("d".repeat(200));
    for number in 0..LAYERS {
        let layer = deep.join(format!("{number:0>64}"));
        fs::create_dir_all(layer.join("etc")).unwrap();
        fs::write(layer.join("etc/release"), number.to_string()).unwrap();
        fs::write(layer.join(format!("layer-{number}")), "").unwrap();
        image.layers.push(layer);
    }
    // An image may have one layer several times: an empty one, mostly.
    let again = image.layers[LAYERS / 2].clone();
    image.layers.push(again);
    let spec = image.shell(&rig, "cat /etc/release; echo; ls / | grep -c layer-; touch /new");
    let exit = rig.run(&spec).await;
    let output = rig.output(&spec.id);
    assert!(exit.is_success(), "{exit:?}\n{output}");
    assert_eq!(output, format!("{}\n{LAYERS}", LAYERS / 2 - 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_root_is_named() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let mut spec = rig.shell("true");
    spec.root = Root::Layers(Vec::new());
    let error = rig.driver().start(&spec).await.unwrap_err();
    assert!(error.to_string().contains("0 layers: the kernel takes 1 to 500"), "{error}");
    spec.root = Root::Layers(vec![rig.state.path().join("removed")]);
    let error = rig.driver().start(&spec).await.unwrap_err();
    assert!(error.to_string().contains("removed: No such file"), "{error}");
    assert_eq!(rig.driver().observe(&spec.id).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_are_looked_up_in_the_image_and_a_missing_one_is_named() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    let mut spec = image.shell(&rig, "");
    // The host has it, the image does not.
    spec.command = vec!["python3".to_owned()];
    let exit = rig.run(&spec).await;
    assert_eq!(exit.start_error.as_deref(), Some("command not found: python3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_working_directory_that_the_image_lacks_is_made_inside() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    let trap = rig.state.path().join("trap");
    fs::create_dir(&trap).unwrap();
    symlink(&trap, image.layers[1].join("way-out")).unwrap();
    symlink("/var/lib", image.layers[1].join("way-in")).unwrap();
    let volume = rig.state.path().join("volume");
    fs::create_dir(&volume).unwrap();
    for (cwd, expect) in [
        ("/srv/app/current", Some("/srv/app/current")),
        ("/way-in/new/place", Some("/var/lib/new/place")),
        ("/data/in/volume", Some("/data/in/volume")),
        ("/way-out/x", None),
    ] {
        let mut spec = image.shell(&rig, "pwd -P");
        spec.cwd = cwd.into();
        spec.mounts = vec![engine::Mount::Bind {
            source: volume.clone(),
            target: "/data".into(),
            read_only: false,
        }];
        match rig.driver().start(&spec).await {
            Ok(_) => {
                rig.ended(&spec.id).await;
                assert_eq!(Some(rig.output(&spec.id).as_str()), expect, "{cwd}");
            }
            Err(error) => {
                assert_eq!(expect, None, "{error}");
                assert!(error.to_string().contains("working directory /way-out/x"), "{error}");
            }
        }
    }
    assert!(volume.join("in/volume").is_dir());
    assert_eq!(fs::read_dir(&trap).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_start_of_an_image_is_measured() {
    const STARTS: usize = 20;
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    rig.run(&image.shell(&rig, "true")).await;
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let spec = image.shell(&rig, "sleep 600");
        let began = Instant::now();
        rig.start(&spec).await;
        times.push(began.elapsed());
        rig.driver().stop(&spec.id, std::time::Duration::ZERO).await.unwrap();
        rig.driver().remove(&spec.id).await.unwrap();
    }
    times.sort();
    println!(
        "start of an instance of 3 layers: median {:?}, best {:?}, worst {:?}",
        times[STARTS / 2],
        times[0],
        times[STARTS - 1]
    );
}
