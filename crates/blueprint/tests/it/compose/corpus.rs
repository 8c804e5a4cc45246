//! Every compose file of the corpus that lies beside the workspace, if it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use blueprint::compose::{Input, Reading, explain, read, render};
use blueprint::{Code, Severity};

/// A file of the corpus: its name, its path in its repository, its text.
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) text: String,
}

/// The real files; `None`, with a line that says so, where they are not.
pub(crate) fn corpus() -> Option<Vec<Sample>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let Ok(index) = std::fs::read_to_string(root.join("INDEX.tsv")) else {
        println!("skipped: there is no corpus at {}", root.display());
        return None;
    };
    let samples = index.lines().filter_map(|line| {
        let columns: Vec<&str> = line.split('\t').collect();
        let (["compose", _, path, ..], Some(file)) = (columns.as_slice(), columns.last()) else {
            return None;
        };
        let text = std::fs::read(root.join(file)).ok()?;
        let text = String::from_utf8_lossy(&text).into_owned();
        Some(Sample { name: (*file).to_owned(), path: (*path).to_owned(), text })
    });
    Some(samples.collect())
}

/// Reads a file whose neighbours are not there: environment files and secrets count as present, other
/// compose files do not, and variables that have to be set are set.
fn settled(input: &mut Input) -> Reading {
    loop {
        let reading = read(input);
        for path in &reading.needs {
            let is_compose = path.ends_with("yml") || path.ends_with("yaml");
            let text = (!is_compose).then(String::new);
            assert!(input.more_files.insert(path.clone(), text).is_none(), "{path} twice");
        }
        if reading.needs.is_empty() {
            let required: Vec<&str> = reading
                .missing
                .iter()
                .filter(|missing| missing.is_required)
                .map(|missing| missing.name.as_str())
                .collect();
            if required.is_empty() {
                return reading;
            }
            for name in required {
                input.variables.insert(name.to_owned(), "8080".to_owned());
            }
        }
    }
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Clean,
    Repaired,
    /// It adds to another file: services without image and build, or dependencies that stand there.
    PartOfAnother,
    /// It names a file that is no part of the corpus.
    NamesAnother,
    /// It is accepted when paths of the host are allowed.
    HostPath,
    Refused,
}

fn verdict(input: &Input, reading: &Reading) -> Verdict {
    if reading.is_accepted() {
        return if reading.is_clean() { Verdict::Clean } else { Verdict::Repaired };
    }
    let allowed = settled(&mut Input {
        allow_host_paths: true,
        root_dir: Some("/srv/root/of/the/project".to_owned()),
        home_dir: Some("/home/somebody".to_owned()),
        ..input.clone()
    });
    if allowed.is_accepted() {
        return Verdict::HostPath;
    }
    let has = |code| reading.problems.iter().any(|finding| finding.code == code);
    if has(Code::FileNotThere) {
        Verdict::NamesAnother
    } else if has(Code::MissingImage) || has(Code::NotDeclared) {
        Verdict::PartOfAnother
    } else {
        Verdict::Refused
    }
}

#[test]
fn every_file_of_the_corpus_is_understood_or_refused_with_a_place() {
    let Some(samples) = corpus() else { return };
    let mut verdicts: BTreeMap<Verdict, Vec<&str>> = BTreeMap::new();
    let mut codes: BTreeMap<(Severity, &str), (usize, usize)> = BTreeMap::new();
    for sample in &samples {
        let mut input = Input::of(&sample.path, &sample.text);
        let mut reading = settled(&mut input);
        if reading.problems.iter().any(|finding| finding.code == Code::EmptyFile) {
            input.profiles = vec!["*".to_owned()];
            reading = settled(&mut input);
        }
        let verdict = verdict(&input, &reading);
        let mut seen = BTreeSet::new();
        for finding in &reading.problems {
            let file = finding.file.as_deref().unwrap();
            let shown = render(finding, &input, None);
            let place = format!("{file}:{}:{}", finding.span.line, finding.span.column);
            assert!(shown.contains(&place), "{shown}");
            let is_worth_showing = finding.severity != Severity::Note
                && !matches!(verdict, Verdict::PartOfAnother | Verdict::HostPath);
            if is_worth_showing || std::env::var_os("SHOW").is_some() {
                println!("{}\n{shown}\n", sample.name);
            }
            let key = (finding.severity, finding.code.name());
            let count = codes.entry(key).or_default();
            count.0 += 1;
            count.1 += usize::from(seen.insert(key));
        }
        assert!(!explain(&input).is_empty(), "{}", sample.name);
        verdicts.entry(verdict).or_default().push(&sample.name);
    }
    println!("{} files", samples.len());
    for (verdict, names) in &verdicts {
        println!("  {verdict:?} {}", names.len());
        if *verdict > Verdict::Repaired {
            println!("    {}", names.join("\n    "));
        }
    }
    for ((severity, code), (findings, in_files)) in codes {
        println!("  {severity:<7} {code:<26} {findings:>4} in {in_files:>3} files");
    }
    let count = |verdict| verdicts.get(&verdict).map_or(0, Vec::len);
    assert!(count(Verdict::Clean) + count(Verdict::Repaired) >= samples.len() * 2 / 3);
    assert!(count(Verdict::Refused) <= samples.len() / 20);
}
