//! `gable blueprint validate`.

use blueprint::{Blueprint, Finding, Mode, Severity};

use super::files::Files;
use crate::cli::args::ValidateArgs;
use crate::cli::paint::Paint;
use crate::cli::printer::Printer;
use crate::cli::render::{self, Table};
use crate::cli::stop::{DONE, FAILED, Outcome};

/// What was read, whatever it is.
struct Verdict<'f> {
    /// The files, for a person.
    name: String,
    /// What they declare; `None` when they are refused.
    blueprint: Option<&'f Blueprint>,
    findings: &'f [Finding],
}

/// Runs it.
pub(super) fn run(printer: Printer, args: &ValidateArgs) -> Outcome {
    let mode = if args.strict { Mode::Strict } else { Mode::Tolerant };
    let files = Files::load(args.files.paths(), mode, &args.files.reading)?;
    let verdict = Verdict::of(&files);
    let exit = if verdict.blueprint.is_some() { DONE } else { FAILED };
    if printer.json {
        let mut report = serde_json::json!({
            "ok": verdict.blueprint.is_some(),
            "file": verdict.name,
            "mode": mode,
            "findings": verdict.findings,
            "holds": verdict.holds(),
        });
        if let Files::Compose(compose) = &files {
            report["missing"] = serde_json::json!(compose.reading.missing);
        }
        return printer.json_pretty(&report).map(|()| exit);
    }
    let paint = printer.out();
    let mut text = String::new();
    let findings = verdict.findings.iter();
    for finding in findings.filter(|finding| finding.severity != Severity::Note) {
        text.push_str(&match &files {
            Files::Blueprint(file) => {
                blueprint::render(finding, &file.text, file.name(), paint.mark())
            }
            Files::Compose(compose) => {
                blueprint::compose::render(finding, &compose.input, paint.mark())
            }
        });
        text.push_str("\n\n");
    }
    text.push_str(&verdict.notes(paint));
    text.push_str(&verdict.last_line(paint));
    printer.data(&text).map(|()| exit)
}

impl<'f> Verdict<'f> {
    fn of(files: &'f Files) -> Self {
        match files {
            Files::Blueprint(file) => Self {
                name: file.name().to_owned(),
                blueprint: file.reading.blueprint.as_ref(),
                findings: &file.reading.problems,
            },
            Files::Compose(compose) => Self {
                name: compose.name(),
                blueprint: compose.reading.blueprint.as_ref(),
                findings: &compose.reading.problems,
            },
        }
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// What has no effect here, in one line each.
    fn notes(&self, paint: Paint) -> String {
        let mut table = Table::default();
        for note in self.findings.iter().filter(|finding| finding.severity == Severity::Note) {
            let file = note.file.as_deref().unwrap_or(&self.name);
            let place = format!("{file}:{}:{}", note.span.line, note.span.column);
            table.row([paint.busy("note"), paint.dim(&place), note.message.clone()]);
        }
        if table.is_empty() { String::new() } else { table.render(0) + "\n" }
    }

    fn last_line(&self, paint: Paint) -> String {
        let name = &self.name;
        if self.blueprint.is_none() {
            let errors = render::count(self.count(Severity::Error).max(1), "error");
            return format!("{} {name}: {errors}\n", paint.bad("refused"));
        }
        let things: Vec<_> = self
            .holds()
            .into_iter()
            .filter(|(_, number)| *number > 0)
            .map(|(noun, number)| render::count(number, noun))
            .collect();
        let things = if things.is_empty() { "nothing".to_owned() } else { things.join(", ") };
        let repairs = match self.count(Severity::Repair) {
            0 => String::new(),
            number => {
                let repairs = render::count(number, "repair");
                let is_fixable = self.findings.iter().any(|finding| finding.repair.is_some());
                let advice =
                    if is_fixable { ", `gable blueprint fix` writes them down" } else { "" };
                format!("; {repairs}{advice}")
            }
        };
        format!("{} {name}: {things}{repairs}\n", paint.good("ok"))
    }

    /// How many of each noun are declared.
    fn holds(&self) -> Vec<(&'static str, usize)> {
        let scopes = self.blueprint.map(|blueprint| blueprint.scopes.as_slice());
        let scopes = scopes.unwrap_or_default();
        let sum = |count: fn(&blueprint::Scope) -> usize| scopes.iter().map(count).sum();
        vec![
            ("service", sum(|scope| scope.services.len())),
            ("workflow", sum(|scope| scope.workflows.len())),
            ("database", sum(|scope| scope.databases.len())),
            ("Key Value instance", sum(|scope| scope.key_values.len())),
            ("group", sum(|scope| scope.env_groups.len())),
        ]
    }
}
