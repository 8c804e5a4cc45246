//! No text makes the reader panic; whatever it finds can be shown, and mending never makes it worse.

#![no_main]

use blueprint::{Mode, ReadOptions, explain, fix, read, render};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let options = |mode| ReadOptions {
        mode,
        file_name: "render.yaml".to_owned(),
        project_name: "fuzz".to_owned(),
    };
    let strict = read(text, &options(Mode::Strict));
    let reading = read(text, &options(Mode::Tolerant));
    assert!(reading.is_accepted() || !reading.problems.is_empty());
    for finding in strict.problems.iter().chain(&reading.problems) {
        assert!(text.get(finding.span.bytes.clone()).is_some());
        assert!(!render(finding, text, "render.yaml", false).is_empty());
    }
    let _ = explain(&reading);
    if text.len() < 4096 {
        let fixed = fix(text, &options(Mode::Tolerant));
        assert!(fixed.remaining.len() <= reading.problems.len());
        let again = fix(&fixed.text, &options(Mode::Tolerant));
        assert_eq!(again.text, fixed.text);
    }
});
