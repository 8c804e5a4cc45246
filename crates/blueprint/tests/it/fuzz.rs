//! A bounded run of the fuzzer's properties on changed copies of the fixtures and the corpus.

use std::path::{Path, PathBuf};

use blueprint::{Mode, Severity, explain, fix, read, render};

use crate::support::options;

/// Texts of one run; about four seconds in a debug build.
const ROUNDS: usize = 1000;
/// Every so many texts, mending is tried too: it reads many times.
const MEND_EVERY: usize = 12;

/// A small generator of numbers (xorshift64*), so that a failing run can be repeated.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 1).unwrap() % bound.max(1)
    }
}

/// Pieces that have a meaning somewhere in the format or in YAML.
const PIECES: &[&str] = &[
    "\n",
    "  ",
    "- ",
    ": ",
    "\t",
    "\r\n",
    "---\n",
    "&a ",
    "*a",
    "<<: *a\n",
    "|",
    ">",
    "{",
    "}",
    "[",
    "]",
    "'",
    "\"",
    "#",
    "~",
    "null",
    "true",
    "off",
    "3.10",
    "services:\n",
    "databases:\n",
    "envVars:\n",
    "  - key: A\n",
    "type: web\n",
    "type: pserv\n",
    "env: postgres\n",
    "name: x\n",
    "runtime: node\n",
    "fromService:\n",
    "fromDatabase: x",
    "${A}",
    "${x.url}",
    "${",
    "!!str ",
    "?",
    "\u{feff}",
    "é",
    "日本",
    "\0",
    "projects:\n",
    "sync: false",
    "maxmemoryPolicy: x",
    "%",
];

fn seeds() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [root.join("tests/blueprints"), root.join("../../../shared/corpus/render")];
    let mut paths: Vec<PathBuf> = folders
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let seeds: Vec<String> = paths
        .iter()
        .map(|path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned())
        .filter(|text| text.len() < 6000)
        .collect();
    assert!(seeds.len() >= 3, "the fixtures are there");
    seeds
}

fn boundary(text: &str, mut offset: usize) -> usize {
    offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

fn changed(numbers: &mut Numbers, seeds: &[String]) -> String {
    let mut text = seeds[numbers.below(seeds.len())].clone();
    for _ in 0..=numbers.below(5) {
        let from = boundary(&text, numbers.below(text.len() + 1));
        let to = boundary(&text, from + numbers.below(40)).max(from);
        match numbers.below(6) {
            0 => text.replace_range(from..to, ""),
            1 | 2 => text.insert_str(from, PIECES[numbers.below(PIECES.len())]),
            3 => text.truncate(from.max(1).min(boundary(&text, text.len()))),
            4 => {
                let other = &seeds[numbers.below(seeds.len())];
                let start = boundary(other, numbers.below(other.len()));
                let end = boundary(other, start + numbers.below(300)).max(start);
                text.insert_str(from, &other[start..end]);
            }
            _ => {
                let lines: Vec<&str> = text.split_inclusive('\n').collect();
                let line = numbers.below(lines.len());
                let mut lines: Vec<String> = lines.into_iter().map(str::to_owned).collect();
                if let Some(line) = lines.get_mut(line) {
                    line.insert_str(0, &" ".repeat(numbers.below(5)));
                }
                text = lines.concat();
            }
        }
        let limit = boundary(&text, 8000);
        text.truncate(limit);
    }
    text
}

#[test]
fn no_text_makes_the_reader_panic_or_lie_about_places() {
    let seeds = seeds();
    let seed = 0x6761_626c_6521;
    let mut numbers = Numbers(seed);
    let mut accepted = 0;
    for round in 0..ROUNDS {
        let text = changed(&mut numbers, &seeds);
        let caught = std::panic::catch_unwind(|| {
            let strict = read(&text, &options(Mode::Strict));
            let reading = read(&text, &options(Mode::Tolerant));
            let errors = reading.count(Severity::Error);
            assert_eq!(reading.is_accepted(), errors == 0);
            for finding in strict.problems.iter().chain(&reading.problems) {
                assert!(text.get(finding.span.bytes.clone()).is_some(), "{finding:?}");
                assert!(!render(finding, &text, "render.yaml", Some("\u{1b}[")).is_empty());
            }
            assert!(strict.problems.len() >= usize::from(!strict.is_accepted()));
            assert!(explain(&reading).len() < 100_000);
            if round % MEND_EVERY == 0 {
                let fixed = fix(&text, &options(Mode::Tolerant));
                assert!(fixed.remaining.len() <= reading.problems.len());
                let again = fix(&fixed.text, &options(Mode::Tolerant));
                assert_eq!(again.text, fixed.text, "mending twice is mending once");
            }
            reading.is_accepted()
        });
        match caught {
            Ok(is_accepted) => accepted += usize::from(is_accepted),
            Err(_) => panic!("round {round} of seed {seed:#x} failed on:\n{text}"),
        }
    }
    println!("{ROUNDS} changed texts read, {accepted} of them accepted");
    assert!(accepted > ROUNDS / 20, "most changes are so large that nothing is tested");
}
