use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use jiff::{SignedDuration, Timestamp};
use telemetry::{Removed, Retention, retain};

fn log(directory: &Path, name: &str, bytes: usize, modified_second: u64) -> PathBuf {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().expect("a log has a directory")).expect("can be made");
    fs::write(&path, vec![b'x'; bytes]).expect("can be written");
    let file = File::options().write(true).open(&path).expect("can be opened");
    file.set_modified(UNIX_EPOCH + Duration::from_secs(modified_second)).expect("can be dated");
    path
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

#[test]
fn the_old_go_and_then_the_oldest_until_the_rest_fits() {
    let directory = tempfile::tempdir().unwrap();
    let old = log(directory.path(), "srv-1/ins-1.log", 10, 100);
    let running = log(directory.path(), "srv-2/ins-2.log", 10, 200);
    let aside = log(directory.path(), "srv-2/ins-2.log.1", 10, 800);
    let middle = log(directory.path(), "srv-2/ins-3.log", 10, 900);
    let new = log(directory.path(), "srv-2/ins-4.log", 10, 950);
    let retention = Retention {
        now: at(1000),
        max_bytes: 30,
        max_age: SignedDuration::from_secs(500),
        is_running: &|id| id == "ins-2",
    };
    let removed = retain(directory.path(), &retention).unwrap();
    assert_eq!(removed, Removed { files: 2, bytes: 20 });
    assert!(!old.exists() && !aside.exists());
    assert!(running.exists() && middle.exists() && new.exists());
    assert!(!directory.path().join("srv-1").exists());
    assert_eq!(retain(directory.path(), &retention).unwrap(), Removed::default());
}

#[test]
fn no_logs_are_nothing_to_do() {
    let retention = Retention {
        now: at(0),
        max_bytes: 0,
        max_age: SignedDuration::ZERO,
        is_running: &|_| false,
    };
    let removed = retain(Path::new("/nonexistent/logs"), &retention).unwrap();
    assert_eq!(removed, Removed::default());
}
