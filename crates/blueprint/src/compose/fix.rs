//! The smallest change of compose files after which less has to be repaired.

use std::collections::BTreeSet;

use super::{Input, read};
use crate::finding::{Finding, Mode};
use crate::fix::{Understood, mend};

/// Mended files.
#[derive(Debug, Clone)]
pub struct Fixed {
    /// The files with their new texts, those that came from [`Input::more_files`] included.
    pub input: Input,
    /// Paths of the files that changed.
    pub changed: Vec<String>,
    /// Findings that are gone, with positions in the text that each was found in.
    pub applied: Vec<Finding>,
    /// Findings that are left, with positions in the new texts.
    pub remaining: Vec<Finding>,
}

/// Mends what can be mended without changing what the files mean, one file after the other.
/// [`Input::more_files`] has to hold all that the files need.
#[must_use]
pub fn fix(input: &Input) -> Fixed {
    let mut input = Input { mode: Mode::Tolerant, ..input.clone() };
    let (mut changed, mut applied) = (Vec::new(), Vec::new());
    let first = read(&input).problems;
    let patched = first.iter().filter(|finding| finding.repair.is_some());
    let paths: BTreeSet<String> = patched.filter_map(|finding| finding.file.clone()).collect();
    for path in paths {
        let text = input.text(&path).to_owned();
        let fixed = mend(&text, &|text| understand(&input, &path, text));
        if fixed.text != text {
            input = with(&input, &path, &fixed.text);
            changed.push(path);
            applied.extend(fixed.applied);
        }
    }
    let remaining = read(&input).problems;
    Fixed { input, changed, applied, remaining }
}

/// The same files with another text in one of them.
fn with(input: &Input, path: &str, text: &str) -> Input {
    let mut input = input.clone();
    match input.files.iter_mut().find(|(known, _)| known == path) {
        Some((_, known)) => text.clone_into(known),
        None => drop(input.more_files.insert(path.to_owned(), Some(text.to_owned()))),
    }
    input
}

/// What is found when a file has another text. Only that file is to be mended: positions in others
/// mean nothing in it.
fn understand(input: &Input, path: &str, text: &str) -> Option<Understood> {
    let reading = read(&with(input, path, text));
    if !reading.needs.is_empty() {
        return None;
    }
    let mut problems = reading.problems;
    for finding in &mut problems {
        finding.repair = finding.repair.take().filter(|_| finding.file.as_deref() == Some(path));
    }
    Some(Understood { blueprint: reading.blueprint, problems })
}
