//! What the reader of Blueprints has to say about a file, for a person.

use std::collections::HashMap;

use blueprint::{Page, Severity as Found};

use crate::ops::blueprints::Draft;

/// Findings of one file that are told; nobody reads more.
const FINDINGS_MAX: usize = 500;

/// One remark about the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name that `gable explain` knows.
    pub code: String,
    /// What is wrong, or was repaired.
    pub message: String,
    /// The file that it is in.
    pub file: String,
    /// Its line in the file, from 1.
    pub line: u32,
    /// Its column in the line, from 1.
    pub column: u32,
    /// The message with the lines it is about, without colours.
    pub rendered: String,
    /// What to do.
    pub hint: Option<String>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The file cannot be run.
    Error,
    /// It was understood as its author evidently meant it.
    Repair,
    /// Something to know.
    Note,
}

impl Draft {
    /// What the reader has to say, in the order of the file's lines as far as it has one; of very
    /// much, what matters most.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let mut pages: HashMap<&str, Page<'_>> = HashMap::new();
        let mut findings = Vec::new();
        for found in self.listed() {
            let file = found.file.as_deref().unwrap_or(&self.blueprint_file);
            let text = self.texts.get(file).map_or("", String::as_str);
            let page = pages.entry(file).or_insert_with(|| Page::new(text));
            findings.push(Finding {
                severity: match found.severity {
                    Found::Error => Severity::Error,
                    Found::Repair => Severity::Repair,
                    Found::Note => Severity::Note,
                },
                code: found.code.to_string(),
                message: found.message.clone(),
                file: file.to_owned(),
                line: u32::try_from(found.span.line).unwrap_or(u32::MAX),
                column: u32::try_from(found.span.column).unwrap_or(u32::MAX),
                rendered: page.render(found, file, None),
                hint: found.hint.clone(),
            });
        }
        findings
    }

    /// How many findings there are besides those that are listed.
    #[must_use]
    pub fn findings_left_out(&self) -> usize {
        self.findings.len().saturating_sub(FINDINGS_MAX)
    }

    /// The findings that are told: all errors before repairs, and those before notes.
    fn listed(&self) -> Vec<&blueprint::Finding> {
        let mut listed: Vec<(usize, &blueprint::Finding)> =
            self.findings.iter().enumerate().collect();
        if listed.len() > FINDINGS_MAX {
            listed.sort_by_key(|(_, found)| found.severity);
            listed.truncate(FINDINGS_MAX);
            listed.sort_by_key(|(index, _)| *index);
        }
        listed.into_iter().map(|(_, found)| found).collect()
    }
}
