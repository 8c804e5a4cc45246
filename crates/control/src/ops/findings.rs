//! What the reader of Blueprints has to say about a file, for a person.

use blueprint::Severity as Found;

use crate::ops::blueprints::Draft;

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
    /// What the reader has to say, in the order of the file's lines as far as it has one.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let finding = |found: &blueprint::Finding| Finding {
            severity: match found.severity {
                Found::Error => Severity::Error,
                Found::Repair => Severity::Repair,
                Found::Note => Severity::Note,
            },
            code: found.code.to_string(),
            message: found.message.clone(),
            file: found.file.clone().unwrap_or_else(|| self.blueprint_file.clone()),
            line: u32::try_from(found.span.line).unwrap_or(u32::MAX),
            column: u32::try_from(found.span.column).unwrap_or(u32::MAX),
            rendered: self.render(found),
            hint: found.hint.clone(),
        };
        self.findings.iter().map(finding).collect()
    }

    fn render(&self, found: &blueprint::Finding) -> String {
        let file = found.file.as_deref().unwrap_or(&self.blueprint_file);
        let text = self.texts.get(file).map_or("", String::as_str);
        blueprint::render(found, text, file, None)
    }
}
