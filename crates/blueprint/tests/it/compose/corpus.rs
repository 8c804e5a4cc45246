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

#[test]
fn every_file_of_the_corpus_is_understood_or_refused_with_a_place() {
    let Some(samples) = corpus() else { return };
    let (mut clean, mut repaired, mut refused) = (0, 0, 0);
    let mut codes: BTreeMap<(Severity, &str), (usize, usize)> = BTreeMap::new();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for sample in &samples {
        let mut input = Input::of(&sample.path, &sample.text);
        input.profiles = vec!["*".to_owned()];
        let reading = settled(&mut input);
        let mut seen = BTreeSet::new();
        for finding in &reading.problems {
            let file = finding.file.as_deref().unwrap();
            let shown = render(finding, &input, false);
            let place = format!("{file}:{}:{}", finding.span.line, finding.span.column);
            assert!(shown.contains(&place), "{shown}");
            if std::env::var_os("SHOW").is_some() {
                println!("{}\n{shown}\n", sample.name);
            }
            let key = (finding.severity, finding.code.name());
            let count = codes.entry(key).or_default();
            count.0 += 1;
            count.1 += usize::from(seen.insert(key));
        }
        assert!(!explain(&input).is_empty(), "{}", sample.name);
        let errors = reading.problems.iter().filter(|finding| finding.severity == Severity::Error);
        let codes: BTreeSet<Code> = errors.clone().map(|finding| finding.code).collect();
        if !reading.is_accepted() {
            refused += 1;
            for finding in errors {
                println!("{}\n{}\n", sample.name, render(finding, &input, false));
            }
            let names: Vec<&str> = codes.iter().map(|code| code.name()).collect();
            *reasons.entry(names.join(" ")).or_default() += 1;
        } else if reading.is_clean() {
            clean += 1;
        } else {
            repaired += 1;
        }
    }
    println!("{} files: {clean} clean, {repaired} repaired, {refused} refused", samples.len());
    for (reason, count) in reasons {
        println!("  {count:>3} refused: {reason}");
    }
    for ((severity, code), (findings, in_files)) in codes {
        println!("  {severity:<7} {code:<26} {findings:>4} in {in_files:>3} files");
    }
}
