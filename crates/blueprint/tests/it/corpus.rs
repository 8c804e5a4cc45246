//! Every Blueprint of the corpus that lies beside the workspace, if it is there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use blueprint::{Mode, Reading, Severity, explain, fix, read, render};

use crate::support::options;

/// The folder of real files; `None`, with a line that says so, where it is not.
fn corpus() -> Option<Vec<(String, String)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/render");
    let Ok(entries) = std::fs::read_dir(&root) else {
        println!("skipped: there is no corpus at {}", root.display());
        return None;
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    Some(
        paths
            .iter()
            .map(|path| {
                (name(path), String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned())
            })
            .collect(),
    )
}

fn errors(reading: &Reading) -> impl Iterator<Item = &blueprint::Finding> {
    reading.problems.iter().filter(|finding| finding.severity == Severity::Error)
}

#[test]
fn every_file_of_the_corpus_is_understood_or_refused_with_a_place() {
    let Some(files) = corpus() else { return };
    let (mut clean, mut repaired, mut refused) = (0, 0, Vec::new());
    let mut codes: BTreeMap<(Severity, &str), (usize, usize)> = BTreeMap::new();
    for (name, text) in &files {
        let reading = read(text, &options(Mode::Tolerant));
        let mut seen = std::collections::BTreeSet::new();
        for finding in &reading.problems {
            assert!(finding.span.line >= 1 && finding.span.column >= 1, "{name}");
            let shown = render(finding, text, name, None);
            assert!(
                shown.contains(&format!("{name}:{}:{}", finding.span.line, finding.span.column)),
                "{shown}"
            );
            if std::env::var_os("SHOW").is_some() {
                println!("{shown}\n");
            }
            let key = (finding.severity, finding.code.name());
            let count = codes.entry(key).or_default();
            count.0 += 1;
            count.1 += usize::from(seen.insert(key));
        }
        assert!(!explain(&reading).is_empty() || errors(&reading).count() > 0, "{name}");
        if !reading.is_accepted() {
            refused.push(name);
            for finding in errors(&reading) {
                println!("{}\n", render(finding, text, name, None));
            }
        } else if reading.is_clean() {
            clean += 1;
        } else {
            repaired += 1;
        }
    }
    println!(
        "{} files: {clean} clean, {repaired} repaired, {} refused",
        files.len(),
        refused.len()
    );
    for ((severity, code), (findings, in_files)) in codes {
        println!("  {severity:<7} {code:<26} {findings:>4} in {in_files:>3} files");
    }
    let strict =
        files.iter().filter(|(_, text)| read(text, &options(Mode::Strict)).is_accepted()).count();
    println!("strict: {strict} of {} accepted", files.len());
}

#[test]
fn mending_a_file_takes_findings_away_and_never_changes_what_it_means() {
    let Some(files) = corpus() else { return };
    let (mut whole, mut changed) = (0, 0);
    for (name, text) in &files {
        let before = read(text, &options(Mode::Tolerant));
        let fixed = fix(text, &options(Mode::Tolerant));
        let after = read(&fixed.text, &options(Mode::Tolerant));
        assert!(after.problems.len() <= before.problems.len(), "{name}");
        assert_eq!(after.problems, fixed.remaining, "{name}");
        if let (Some(before), Some(after)) = (&before.blueprint, &after.blueprint) {
            assert!(before.means_the_same_as(after), "{name}");
        }
        let again = fix(&fixed.text, &options(Mode::Tolerant));
        assert_eq!(again.text, fixed.text, "{name} is not mended in one call");
        let comments =
            |text: &str| text.lines().filter(|line| line.trim_start().starts_with('#')).count();
        assert_eq!(comments(&fixed.text), comments(text), "{name} lost comments");
        changed += usize::from(fixed.text != *text);
        whole += usize::from(after.is_clean());
        if std::env::var_os("SHOW").is_some() && !after.is_clean() {
            for finding in
                after.problems.iter().filter(|finding| finding.severity == Severity::Repair)
            {
                println!("left: {}\n", render(finding, &fixed.text, name, None));
            }
        }
    }
    println!("{changed} files changed, {whole} of {} are clean afterwards", files.len());
}
