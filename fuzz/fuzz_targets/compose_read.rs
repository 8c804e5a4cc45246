//! No compose file makes the reader panic, ask for files without end, or lie about places.

#![no_main]

use blueprint::compose::{Input, explain, read, render};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // A line of equals signs divides the file from the one that it finds wherever it looks.
    let (text, other) = text.split_once("\n====\n").unwrap_or((text, ""));
    let mut input = Input::of("compose.yaml", text);
    input.variables.insert("TAG".to_owned(), "1".to_owned());
    let mut reading = read(&input);
    for _ in 0..30 {
        for path in &reading.needs {
            assert!(input.more_files.insert(path.clone(), Some(other.to_owned())).is_none());
        }
        if reading.needs.is_empty() {
            break;
        }
        reading = read(&input);
    }
    assert!(reading.needs.is_empty());
    assert!(reading.is_accepted() || !reading.problems.is_empty());
    for finding in &reading.problems {
        assert!(!render(finding, &input, false).is_empty());
    }
    let _ = explain(&input);
});
