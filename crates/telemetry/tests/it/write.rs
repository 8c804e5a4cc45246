use std::fs;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use telemetry::{CUT, Limits, LogWriter, MAX_TEXT_BYTES, Stream, tail};

use crate::lines;

#[test]
fn a_line_that_comes_in_pieces_is_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("srv/ins-1.log");
    let mut writer = LogWriter::open(&path).unwrap();
    writer.write(Stream::Stdout, b"hel");
    writer.write(Stream::Stderr, b"oh");
    writer.write(Stream::Stdout, b"lo\nwor");
    assert_eq!(lines(&path), [(Stream::Stdout, "hello".to_owned())]);
    writer.flush();
    let all = [(Stream::Stdout, "hello"), (Stream::Stdout, "wor"), (Stream::Stderr, "oh")];
    assert_eq!(lines(&path), all.map(|(stream, text)| (stream, text.to_owned())));
}

#[test]
fn colours_and_tabs_stay_and_other_control_characters_go() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ins-1.log");
    let mut writer = LogWriter::open(&path).unwrap();
    writer.write(Stream::Stdout, b"\x1b[31mred\x1b[0m\ta\x00b\x07\x7f\r\n\xff\xfe\n");
    let expected = ["\u{1b}[31mred\u{1b}[0m\tab", "\u{fffd}\u{fffd}"];
    assert_eq!(lines(&path), expected.map(|text| (Stream::Stdout, text.to_owned())));
}

#[test]
fn a_line_of_ordinary_length_is_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ins-1.log");
    let mut writer = LogWriter::open(&path).unwrap();
    let text = "x".repeat(20_000);
    for chunk in text.as_bytes().chunks(16 * 1024) {
        writer.write(Stream::Stdout, chunk);
    }
    writer.write(Stream::Stdout, b"\nnext\n");
    assert_eq!(crate::texts(&tail(&[path], 10).unwrap()), [text, "next".to_owned()]);
}

#[test]
fn a_line_that_is_drawn_over_keeps_its_last_state() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ins-1.log");
    let mut writer = LogWriter::open(&path).unwrap();
    writer.write(Stream::Stdout, b"a 10%\ra 50%");
    writer.write(Stream::Stdout, b"\ra 100%\nplain\r\n");
    // More than a line can be, all of it drawn over but the end.
    for number in 0..100_000 {
        writer.write(Stream::Stdout, format!("\rstep {number}").as_bytes());
    }
    writer.write(Stream::Stdout, b"\n");
    assert_eq!(crate::texts(&tail(&[path], 10).unwrap()), ["a 100%", "plain", "step 99999"]);
}

#[test]
fn a_long_line_is_split_between_characters() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ins-1.log");
    let text = format!("a{}", "é€🦀".repeat(100_000));
    let mut writer = LogWriter::open(&path).unwrap();
    for chunk in text.as_bytes().chunks(1000) {
        writer.write(Stream::Stdout, chunk);
    }
    writer.flush();
    let lines = lines(&path);
    let (last, cut) = lines.split_last().unwrap();
    assert!(cut.len() >= 3 && cut.iter().all(|(_, text)| text.ends_with(CUT)));
    assert!(lines.iter().all(|(_, text)| text.len() <= MAX_TEXT_BYTES + CUT.len()));
    assert!(!last.1.ends_with(CUT), "its end is told from a cut");
    assert_eq!(joined(&lines), text);
}

#[test]
fn a_full_file_is_set_aside_and_the_one_before_it_goes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ins-1.log");
    let mut writer = LogWriter::open_with(&path, Limits { file_bytes: 1000 }).unwrap();
    for number in 0..200 {
        writer.write(Stream::Stdout, format!("line {number}\n").as_bytes());
    }
    let aside = directory.path().join("ins-1.log.1");
    assert!(fs::metadata(&path).unwrap().len() <= 1000);
    assert!(fs::metadata(&aside).unwrap().len() <= 1000);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    let last = tail(&[path], 40).unwrap();
    let expected: Vec<String> = (160..200).map(|number| format!("line {number}")).collect();
    assert_eq!(crate::texts(&last), expected);
}

#[test]
fn a_half_written_line_of_a_killed_writer_does_not_swallow_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ins-1.log");
    fs::write(&path, "1700000000000000 o whole\n1700000000000001 o hal").unwrap();
    LogWriter::open(&path).unwrap().say("started again");
    let texts: Vec<String> = lines(&path).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["whole", "hal", "started again"]);
}

/// A file system of its own, unmounted at the end.
struct SmallDisk<'a>(&'a Path);

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_loses_lines_and_says_so_once_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(place)
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        println!("skipped: a small file system can only be mounted by root");
        return;
    }
    let _disk = SmallDisk(place);
    let path = place.join("ins-1.log");
    let ballast = place.join("ballast");
    let mut writer = LogWriter::open(&path).unwrap();
    writer.write(Stream::Stdout, b"before\n");
    fs::write(&ballast, vec![0; 56 * 1024]).unwrap();
    for _ in 0..10 {
        writer.write(Stream::Stdout, format!("{}\n", "x".repeat(3000)).as_bytes());
    }
    fs::remove_file(&ballast).unwrap();
    writer.write(Stream::Stdout, b"after\n");
    let lines = lines(&path);
    let notes: Vec<&(Stream, String)> =
        lines.iter().filter(|(stream, _)| *stream == Stream::Gable).collect();
    assert_eq!(notes.len(), 1);
    assert!(
        notes[0].1.contains("lines of the log were lost: No space left on device"),
        "{notes:?}"
    );
    assert_eq!(lines.last(), Some(&(Stream::Stdout, "after".to_owned())));
    assert!(
        lines.iter().all(|(_, text)| text.len() != 3000 || text.bytes().all(|byte| byte == b'x'))
    );
}

fn streams() -> impl Strategy<Value = Stream> {
    prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr), Just(Stream::Gable)]
}

/// The pieces of a line without the marks of where it was cut.
fn joined(lines: &[(Stream, String)]) -> String {
    lines.iter().map(|(_, text)| text.strip_suffix(CUT).unwrap_or(text)).collect()
}

/// What the writer promises of a text, said in another way.
fn cleaned(bytes: &[u8]) -> Vec<String> {
    let mut lines: Vec<String> = bytes
        .split(|byte| *byte == b'\n')
        .map(|line| {
            let line = String::from_utf8_lossy(line).into_owned();
            let states = line.trim_end_matches('\r');
            let last = states.rsplit('\r').next().unwrap_or_default().to_owned();
            last.chars().filter(|c| *c == '\t' || *c == '\x1b' || !c.is_control()).collect()
        })
        .collect();
    // The last one has no end; if it is empty it is no line.
    if bytes.is_empty() || bytes.ends_with(b"\n") {
        lines.pop();
    }
    lines
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_written_is_read_again(
        writes in prop::collection::vec((streams(), prop::collection::vec(prop_oneof![4 => any::<u8>(), 1 => Just(b'\n'), 3 => b'a'..=b'z'], 0..80)), 0..20)
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ins-1.log");
        let mut writer = LogWriter::open(&path).unwrap();
        let mut said: [Vec<u8>; 3] = Default::default();
        for (stream, bytes) in &writes {
            writer.write(*stream, bytes);
            said[*stream as usize].extend_from_slice(bytes);
        }
        drop(writer);
        let all = lines(&path);
        for stream in [Stream::Stdout, Stream::Stderr, Stream::Gable] {
            let read: Vec<String> = all.iter().filter(|(of, _)| *of == stream).map(|(_, text)| text.clone()).collect();
            prop_assert_eq!(read, cleaned(&said[stream as usize]));
        }
        let from_end = tail(&[path], usize::MAX).unwrap();
        prop_assert_eq!(from_end.len(), all.len());
        prop_assert!(from_end.is_sorted_by_key(|line| line.at));
    }

    #[test]
    fn a_long_line_loses_nothing_but_its_form(text in "[a-zé€🦀]{0,9000}", times in 1usize..40, pieces in 300usize..70_000) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ins-1.log");
        let mut writer = LogWriter::open(&path).unwrap();
        let text = text.repeat(times);
        for piece in text.as_bytes().chunks(pieces) {
            writer.write(Stream::Stderr, piece);
        }
        drop(writer);
        prop_assert_eq!(joined(&lines(&path)), text);
    }
}
