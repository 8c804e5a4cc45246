use std::fs;

use telemetry::{LogLine, LogWriter, Stream, files, read_since, tail};

use crate::texts;

#[test]
fn the_tail_of_several_instances_is_in_order_of_time() {
    let directory = tempfile::tempdir().unwrap();
    let a = directory.path().join("ins-a.log");
    let b = directory.path().join("ins-b.log");
    fs::write(&a, "1000001 o a1\n1000003 o a2\n1000005 e a3\n").unwrap();
    fs::write(&b, "1000002 o b1\n1000004 s b2\n").unwrap();
    let paths = files(directory.path()).unwrap();
    assert_eq!(paths, [a, b]);
    let lines = tail(&paths, 4).unwrap();
    assert_eq!(texts(&lines), ["b1", "a2", "b2", "a3"]);
    assert_eq!(lines[2].instance, "ins-b");
    assert_eq!(lines[2].stream, Stream::Gable);
    assert_eq!(texts(&tail(&paths, 0).unwrap()), Vec::<&str>::new());
    assert_eq!(tail(&paths, 100).unwrap().len(), 5);
}

#[test]
fn an_old_file_is_still_read_when_the_new_ones_are_short() {
    let directory = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..5).map(|n| directory.path().join(format!("ins-{n}.log"))).collect();
    for path in &paths {
        LogWriter::open(path).unwrap().say("only line");
    }
    assert_eq!(tail(&paths, 5).unwrap().len(), 5);
    assert_eq!(tail(&paths, 3).unwrap().len(), 3);
}

#[test]
fn the_tail_of_a_large_file_is_its_last_lines() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ins-1.log");
    let mut content = String::new();
    for number in 0..50_000 {
        content.push_str(&format!(
            "{} o {number} {}\n",
            1_000_000 + number,
            "y".repeat(number % 97)
        ));
    }
    fs::write(&path, &content).unwrap();
    let all: Vec<LogLine> =
        content.lines().filter_map(|line| LogLine::parse(line.as_bytes(), "ins-1")).collect();
    for count in [1, 7, 1000, 12_345, 60_000] {
        let lines = tail(std::slice::from_ref(&path), count).unwrap();
        assert_eq!(lines, all[all.len().saturating_sub(count)..], "{count}");
    }
}

#[test]
fn reading_on_from_an_offset_misses_and_repeats_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ins-1.log");
    assert!(read_since(&path, 17).unwrap().is_end);
    let mut writer = LogWriter::open(&path).unwrap();
    let mut offset = 0;
    let mut seen = Vec::new();
    for number in 0..20 {
        writer.say(&number.to_string());
        if number % 3 == 0 {
            let chunk = read_since(&path, offset).unwrap();
            offset = chunk.next_offset;
            seen.extend(chunk.lines);
        }
    }
    seen.extend(read_since(&path, offset).unwrap().lines);
    let expected: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    assert_eq!(texts(&seen), expected);
}

#[test]
fn files_that_are_no_logs_are_read_without_harm() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ins-1.log");
    fs::write(&path, vec![0xfe; 3_000_000]).unwrap();
    assert_eq!(tail(std::slice::from_ref(&path), 10).unwrap(), []);
    let chunk = read_since(&path, 0).unwrap();
    assert_eq!((chunk.lines.len(), chunk.is_end), (0, true));
}

#[test]
fn a_line_that_is_being_written_is_not_shown_yet() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ins-1.log");
    fs::write(&path, "1 o whole\n2 o hal").unwrap();
    assert_eq!(texts(&tail(&[path], 10).unwrap()), ["whole"]);
}
