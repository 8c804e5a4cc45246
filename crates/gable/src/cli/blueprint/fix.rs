//! `gable blueprint fix`.

use std::path::PathBuf;

use blueprint::{Finding, Mode, Severity, compose, unified_diff};

use super::compose::Compose;
use super::files::{Blueprint, Files};
use crate::cli::args::FixArgs;
use crate::cli::paint::Paint;
use crate::cli::printer::Printer;
use crate::cli::render;
use crate::cli::stop::{DONE, FAILED, Outcome, Stop};

/// A file with the text that it had and the one that it gets.
struct Change {
    name: String,
    /// Where it lies; `None` for the standard input.
    path: Option<PathBuf>,
    old: String,
    new: String,
}

/// What mending came to.
struct Mended {
    /// The files, for a person.
    name: String,
    /// The files that were named, and others that change.
    changes: Vec<Change>,
    applied: Vec<Finding>,
    remaining: Vec<Finding>,
    /// What is left and forbids to run the files, ready to be shown.
    errors: Vec<String>,
}

/// Runs it.
pub(super) fn run(printer: Printer, args: &FixArgs) -> Outcome {
    let files = Files::load(args.files.paths(), Mode::Tolerant, &args.files.reading)?;
    let style = printer.err().mark();
    let mended = match &files {
        Files::Blueprint(file) => Mended::blueprint(file, style),
        Files::Compose(files) => Mended::compose(files, style),
    };
    let is_ok = mended.errors.is_empty();
    let is_changed = mended.changes.iter().any(Change::is_one);
    let diff: String = mended.changes.iter().filter(|one| one.is_one()).map(Change::diff).collect();
    if printer.json {
        let report = serde_json::json!({
            "ok": is_ok, "changed": is_changed, "applied": mended.applied,
            "remaining": mended.remaining, "diff": diff,
        });
        printer.json_pretty(&report)?;
    } else if args.diff {
        match printer.out().is_on() {
            true => printer.data(&coloured(&diff, printer.out()))?,
            // For `patch`, as it is.
            false => printer.file(&diff)?,
        }
    } else if !args.write {
        let [one] = mended.changes.as_slice() else {
            return Err(Stop::usage("several files cannot be printed as one")
                .hint("`--diff` shows what would change, `--write` changes the files"));
        };
        printer.file(&one.new)?;
    }
    if args.write {
        for change in mended.changes.iter().filter(|change| change.is_one()) {
            change.write()?;
        }
    }
    for error in &mended.errors {
        printer.say(&format!("{error}\n"));
    }
    let repairs = render::count(mended.applied.len(), "repair");
    let name = &mended.name;
    let what = if mended.changes.len() > 1 { "files" } else { "file" };
    printer.say(&match (is_changed, args.write) {
        (false, _) => format!("{name}: nothing to repair"),
        (true, true) => format!("{name}: wrote {repairs}"),
        (true, false) => format!("{name}: {repairs}; `--write` changes the {what}"),
    });
    Ok(if is_ok { DONE } else { FAILED })
}

fn errors(findings: &[Finding]) -> impl Iterator<Item = &Finding> {
    findings.iter().filter(|finding| finding.severity == Severity::Error)
}

impl Mended {
    fn blueprint(file: &Blueprint, style: Option<&str>) -> Self {
        let fixed = blueprint::fix(&file.text, &file.options);
        let shown = errors(&fixed.remaining)
            .map(|error| blueprint::render(error, &fixed.text, file.name(), style))
            .collect();
        let change = Change {
            name: file.name().to_owned(),
            path: file.path.clone(),
            old: file.text.clone(),
            new: fixed.text,
        };
        Self {
            name: file.name().to_owned(),
            changes: vec![change],
            applied: fixed.applied,
            remaining: fixed.remaining,
            errors: shown,
        }
    }

    fn compose(files: &Compose, style: Option<&str>) -> Self {
        let fixed = compose::fix(&files.input);
        let shown = errors(&fixed.remaining)
            .map(|error| compose::render(error, &fixed.input, style))
            .collect();
        let own: Vec<&String> = files.input.files.iter().map(|(name, _)| name).collect();
        let others = fixed.changed.iter().filter(|name| !own.contains(name));
        let changes = own.iter().copied().chain(others).map(|name| Change {
            name: name.clone(),
            path: files.path_of(name),
            old: files.input.text(name).to_owned(),
            new: fixed.input.text(name).to_owned(),
        });
        Self {
            name: files.name(),
            changes: changes.collect(),
            applied: fixed.applied,
            remaining: fixed.remaining,
            errors: shown,
        }
    }
}

impl Change {
    fn is_one(&self) -> bool {
        self.old != self.new
    }

    fn diff(&self) -> String {
        unified_diff(&self.old, &self.new, &self.name)
    }

    /// Replaces the file as a whole, or leaves it as it is.
    fn write(&self) -> Result<(), Stop> {
        let Some(path) = &self.path else {
            return Err(Stop::usage("stdin cannot be changed in place").hint("leave out `--write`"));
        };
        let failed = |error: std::io::Error| {
            Stop::usage(format!("{} cannot be written: {error}", path.display()))
        };
        // A link stays a link: what it points at is replaced.
        let path = &path.canonicalize().map_err(failed)?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".gable-new");
        let new = path.with_file_name(name);
        let replace = || -> std::io::Result<()> {
            std::fs::copy(path, &new)?;
            std::fs::write(&new, &self.new)?;
            std::fs::File::open(&new)?.sync_all()?;
            std::fs::rename(&new, path)
        };
        replace().map_err(failed)
    }
}

fn coloured(diff: &str, paint: Paint) -> String {
    let colour = |line: &str| match line.as_bytes().first() {
        Some(b'+') => paint.good(line),
        Some(b'-') => paint.bad(line),
        Some(b'@') => paint.dim(line),
        _ => line.to_owned(),
    };
    diff.lines().map(|line| colour(line) + "\n").collect()
}
