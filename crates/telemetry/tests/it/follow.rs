use std::fs;

use telemetry::{Follower, Limits, LogWriter};

use crate::texts;

#[test]
fn new_instances_are_followed_from_their_first_line() {
    let directory = tempfile::tempdir().unwrap();
    let owner = directory.path().join("srv-1");
    let mut follower = Follower::from_start(vec![owner.clone()]);
    assert_eq!(follower.poll(), []);
    let mut first = LogWriter::open(owner.join("ins-1.log")).unwrap();
    first.say("one");
    assert_eq!(texts(&follower.poll()), ["one"]);
    let mut second = LogWriter::open(owner.join("ins-2.log")).unwrap();
    second.say("two");
    first.say("three");
    let lines = follower.poll();
    assert_eq!(texts(&lines), ["two", "three"]);
    assert_eq!(lines[0].instance, "ins-2");
    assert_eq!(follower.poll(), []);
}

#[test]
fn nothing_is_missed_or_repeated_between_the_tail_and_what_follows() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ins-1.log");
    let mut writer = LogWriter::open(&path).unwrap();
    for number in 0..5 {
        writer.say(&number.to_string());
    }
    let (lines, mut follower) = Follower::from_tail(vec![path], 2).unwrap();
    assert_eq!(texts(&lines), ["3", "4"]);
    assert_eq!(follower.poll(), []);
    writer.say("5");
    assert_eq!(texts(&follower.poll()), ["5"]);
}

#[test]
fn a_log_that_is_set_aside_between_two_looks_is_read_to_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ins-1.log");
    let mut writer = LogWriter::open_with(&path, Limits { file_bytes: 2000 }).unwrap();
    let mut follower = Follower::from_start(vec![directory.path().to_owned()]);
    let mut seen = Vec::new();
    for number in 0..500 {
        writer.say(&number.to_string());
        // Less than two files' worth between two looks.
        if number % 90 == 0 {
            seen.extend(follower.poll());
        }
    }
    seen.extend(follower.poll());
    let expected: Vec<String> = (0..500).map(|number| number.to_string()).collect();
    assert_eq!(texts(&seen), expected);
}

#[test]
fn a_log_that_disappears_is_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ins-1.log");
    let mut writer = LogWriter::open(&path).unwrap();
    let mut follower = Follower::from_start(vec![directory.path().to_owned()]);
    follower.poll();
    writer.say("last words");
    fs::remove_file(&path).unwrap();
    assert_eq!(texts(&follower.poll()), ["last words"]);
    assert_eq!(follower.poll(), []);
}
