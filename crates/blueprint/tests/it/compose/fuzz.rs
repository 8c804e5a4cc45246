//! A bounded run of the fuzzer's properties on changed copies of the corpus and of own texts.

use std::collections::BTreeMap;

use blueprint::compose::{Input, explain, read, render};
use blueprint::{Mode, Severity};

use super::corpus::corpus;

/// Texts of one run; a few seconds in a debug build.
const ROUNDS: usize = 800;

/// A text with most of the format, for machines without the corpus.
const OWN: &str = "x-base: &base\n  image: x:${TAG:-1}\n  environment: &env {A: '${A}', B: }\nservices:\n  a:\n    <<: *base\n    ports: ['8080:80', {target: 1, published: 2}]\n    volumes: ['data:/data', './a:/b:ro', {type: tmpfs, target: /t}]\n    depends_on: {db: {condition: service_healthy}}\n    healthcheck: {test: [CMD, x], interval: 1m30s}\n    deploy: {replicas: 2, resources: {limits: {cpus: '0.5', memory: 64m}}}\n    networks: {n: {aliases: [z]}}\n    extra_hosts: ['h:host-gateway']\n    ulimits: {nofile: {soft: 1, hard: 2}}\n    secrets: [s]\n  b: {extends: a, build: {context: ., args: [X=1], no_cache_filter: [x]}, command: run 'it', pre_start: [{command: [a, b]}, {image: y, command: c, environment: {C: d}}]}\n  c: {image: x, network_mode: 'service:b', env_file: c.env, volumes: ['each:/e', {type: image, source: 'i:1', target: /i, image: {subpath: s}}]}\n  db: {image: 'postgres:16', environment: [POSTGRES_PASSWORD=x]}\n  cache: {image: 'redis:7', command: redis-server --appendonly yes}\nvolumes: {data: , each: {x-per-replica: true}}\nnetworks: {n: }\nsecrets: {s: {environment: S}}\n";

/// A file of variables.
const VARIABLES: &str = "# remark\nA='it\\'s # x' # y\nexport B=\"two\\n$A ${C:-d}\"\nC=#fff # z\nD: yaml\nE\nF=\"one\ntwo\"\n";

/// A small one, of which more is left after a change.
const SMALL: &str = "include: [other.yaml]\nservices:\n  one:\n    image: 'y:${TAG}'\n    ports: ['80']\n  two: {build: ./two, env_file: [.env], restart: always}\n";

/// Pieces that have a meaning somewhere in the format or in YAML.
const PIECES: &[&str] = &[
    "\n",
    "  ",
    "- ",
    ": ",
    "\t",
    "---\n",
    "&a ",
    "*a",
    "<<: *a\n",
    "|",
    "{",
    "}",
    "[",
    "]",
    "'",
    "\"",
    "#",
    "null",
    "${",
    "${A:-",
    "}",
    "$",
    "$$",
    "!reset ",
    "!override ",
    "services:\n",
    "include: x.yaml\n",
    "extends: a\n",
    "image: postgres:16\n",
    "image: redis\n",
    "build: ..\n",
    "ports:\n",
    "- 80-90:80-90\n",
    "volumes:\n",
    "- a:b:c:d\n",
    "C:\\x:/y",
    "~/x",
    "é",
    "日本",
    "\0",
    "depends_on: [a]\n",
    "profiles: [p]\n",
    "environment:\n",
    "env_file: .env\n",
    "pre_start: [{command: x}]\n",
    "privileged: true\n",
    "x-per-replica: true\n",
    "env_file: /dev/null\n",
    "network_mode: service:a\n",
    "\\'",
    "=",
    "99999999999999",
];

/// A small generator of numbers (xorshift64*), so that a failing run can be repeated.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D);
        usize::try_from(number >> 1).unwrap() % bound.max(1)
    }

    fn boundary(&mut self, text: &str, from: usize, span: usize) -> usize {
        let mut offset = (from + self.below(span)).min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset.max(from)
    }
}

fn changed(numbers: &mut Numbers, seeds: &[String]) -> String {
    let mut text = seeds[numbers.below(seeds.len())].clone();
    for _ in 0..=numbers.below(3) {
        let length = text.len() + 1;
        let from = numbers.boundary(&text, 0, length);
        let to = numbers.boundary(&text, from, 40);
        match numbers.below(4) {
            0 => text.replace_range(from..to, ""),
            1 | 2 => text.insert_str(from, PIECES[numbers.below(PIECES.len())]),
            _ => {
                let other = &seeds[numbers.below(seeds.len())];
                let start = numbers.boundary(other, 0, other.len());
                let end = numbers.boundary(other, start, 200);
                text.insert_str(from, &other[start..end]);
            }
        }
    }
    text
}

#[test]
fn no_text_makes_the_reader_panic_or_lie_about_places() {
    let mut seeds: Vec<String> = corpus()
        .into_iter()
        .flatten()
        .map(|sample| sample.text)
        .filter(|text| text.len() < 4000)
        .collect();
    seeds.extend([OWN, SMALL].map(str::to_owned));
    let seed = 0x636f_6d70_6f73;
    let mut numbers = Numbers(seed);
    let mut accepted = 0;
    for round in 0..ROUNDS {
        let text = changed(&mut numbers, &seeds);
        let other = match round % 4 {
            0 => changed(&mut numbers, &seeds),
            _ => "services: {other: {image: x}}\n".to_owned(),
        };
        let variables = match round % 3 {
            0 => changed(&mut numbers, &[VARIABLES.to_owned(), "A=1\n".to_owned()]),
            _ => VARIABLES.to_owned(),
        };
        let files = (other.as_str(), variables.as_str());
        let caught = std::panic::catch_unwind(|| check(&text, files, round % 4 == 0));
        match caught {
            Ok(is_accepted) => accepted += usize::from(is_accepted),
            Err(_) => panic!(
                "round {round} of seed {seed:#x} failed on:\n{text}\nand:\n{other}\nand:\n{variables}"
            ),
        }
    }
    println!("{ROUNDS} changed texts read, {accepted} of them accepted");
    assert!(accepted > ROUNDS / 20, "most changes are so large that nothing is tested");
}

/// Reads a text, with another one as second file or as every file that is asked for.
fn check(text: &str, (other, variables): (&str, &str), is_merged: bool) -> bool {
    let mut input = Input::of("compose.yaml", text);
    input.variables = BTreeMap::from([("TAG".to_owned(), "1".to_owned())]);
    if is_merged {
        input.files.push(("over.yaml".to_owned(), other.to_owned()));
        input.profiles = vec!["*".to_owned()];
        input.mode = Mode::Strict;
    }
    let mut reading = read(&input);
    for _ in 0..30 {
        for path in &reading.needs {
            let text = if path.contains(".env") { variables } else { other };
            assert!(input.more_files.insert(path.clone(), Some(text.to_owned())).is_none());
        }
        if reading.needs.is_empty() {
            break;
        }
        reading = read(&input);
    }
    assert!(reading.needs.is_empty(), "files are needed without end");
    assert_eq!(reading.is_accepted(), reading.count(Severity::Error) == 0);
    for finding in &reading.problems {
        assert!(!render(finding, &input, Some("\u{1b}[")).is_empty());
        assert!(finding.file.is_some());
    }
    assert!(explain(&input).len() < 100_000);
    reading.is_accepted()
}
