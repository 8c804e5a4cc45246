//! What an instance may write to the disk of the machine.

use std::fs;
use std::os::unix::fs::chown;
use std::time::Duration;

use engine::{Driver, Mount};

use crate::images::Image;
use crate::rig::{Rig, is_root};

const LIMIT: u64 = 64 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_too_much_to_the_disk_is_ended_however_it_is_hidden() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let image = Image::make(&rig);
    let fill = "head -c 200000000 /dev/zero";
    let many = "import os
os.makedirs('/tmp/deep/er')
for number in range(20000): open(f'/tmp/deep/er/{number}', 'w').close()
import time; time.sleep(600)";
    for mut spec in [
        rig.shell(&format!("{fill} > /tmp/large; sleep 600")),
        rig.shell(&format!("cd $HOME; {fill} > large; sleep 600")),
        rig.shell(&format!("exec 3>/tmp/large; rm /tmp/large; {fill} >&3; sleep 600")),
        rig.spec(&["python3", "-c", many]),
        image.shell(&rig, &format!("{fill} > /etc/large; sleep 600")),
    ] {
        spec.limits.disk_bytes = Some(LIMIT);
        let exit = rig.run(&spec).await;
        let words = "it wrote more than 64 MB to the disk of this machine";
        assert!(exit.limit.as_deref().is_some_and(|limit| limit.starts_with(words)), "{exit:?}");
        assert!(exit.is_disk_limit());
        assert!(rig.output(&spec.id).contains(words));
        rig.driver().remove(&spec.id).await.unwrap();
        assert!(!rig.state.path().join("scratch").join(spec.id.as_str()).exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_to_a_mounted_disk_or_within_the_limit_ends_nobody() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let disk = rig.state.path().join("disk");
    fs::create_dir(&disk).unwrap();
    chown(&disk, Some(900_123), Some(900_123)).unwrap();
    let script = "head -c 200000000 /dev/zero > /var/data/large
        for round in 1 2 3 4 5; do head -c 40000000 /dev/zero > /tmp/mine; sleep 0.3; rm /tmp/mine; done
        echo done";
    let mut spec = rig.shell(script);
    spec.mounts = vec![Mount::Bind { source: disk, target: "/var/data".into(), read_only: false }];
    spec.limits.disk_bytes = Some(LIMIT);
    let exit = rig.run(&spec).await;
    assert!(exit.is_success(), "{exit:?}");
    assert_eq!(rig.output(&spec.id), "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reserve_of_the_disk_is_kept_from_who_writes_on() {
    if !is_root() {
        return;
    }
    let mut rig = Rig::new();
    rig.driver = None;
    // More than any disk has: it is as if nothing but the reserve were left.
    let config = engine::Config { disk_reserve_bytes: Some(u64::MAX / 2), ..rig.config() };
    rig.driver = Some(std::sync::Arc::new(engine::NativeDriver::new(config).unwrap()));
    let mut modest = rig.shell("head -c 50000000 /dev/zero > /tmp/x; echo written; sleep 600");
    let mut greedy = rig.shell("head -c 400000000 /dev/zero > /tmp/x; sleep 600");
    for spec in [&mut modest, &mut greedy] {
        spec.limits.disk_bytes = Some(u64::MAX);
    }
    rig.start(&modest).await;
    rig.said(&modest.id, "written").await;
    let exit = rig.run(&greedy).await;
    assert!(exit.limit.as_deref().is_some_and(|limit| limit.contains("reserve")), "{exit:?}");
    assert!(exit.is_disk_limit(), "{exit:?}");
    rig.driver().stop(&modest.id, Duration::ZERO).await.unwrap();
    assert_eq!(rig.ended(&modest.id).await.limit, None);
}
