//! `gable blueprint`: check, mend and explain files. Needs no server.

use std::io::Read;
use std::path::{Path, PathBuf};

use ::blueprint::{Field, Mode, ReadOptions, Reading, Severity, Treatment};

use super::args::{BlueprintArgs, BlueprintCommand, ExplainFieldArgs, FixArgs, ValidateArgs};
use super::paint::Paint;
use super::printer::Printer;
use super::render::{self, Table};
use super::stop::{DONE, FAILED, Outcome, Stop};

/// Names that are tried, in this order.
const DEFAULT_NAMES: [&str; 2] = ["render.yaml", "render.yml"];
/// What stands for the standard input.
const STDIN: &str = "-";

/// Runs it.
pub(crate) fn run(printer: Printer, args: &BlueprintArgs) -> Outcome {
    match &args.command {
        BlueprintCommand::Validate(args) => validate(printer, args),
        BlueprintCommand::Fix(args) => fix(printer, args),
        BlueprintCommand::Explain(args) => explain(printer, args),
    }
}

/// A file that was read.
struct Text {
    /// Where it lies; `None` for the standard input.
    path: Option<PathBuf>,
    text: String,
    options: ReadOptions,
}

impl Text {
    fn load(file: Option<&Path>, mode: Mode) -> Result<Self, Stop> {
        if file == Some(Path::new(STDIN)) {
            let mut bytes = Vec::new();
            std::io::stdin()
                .read_to_end(&mut bytes)
                .map_err(|error| Stop::usage(format!("stdin cannot be read: {error}")))?;
            let options = options(mode, "stdin", "blueprint");
            return Ok(Self { path: None, text: utf8(bytes, "stdin")?, options });
        }
        let path = match file {
            Some(path) => inside(path),
            None => default_file()?,
        };
        let name = path.display().to_string();
        let bytes = std::fs::read(&path)
            .map_err(|error| Stop::usage(format!("{name} cannot be read: {error}")))?;
        let folder = std::path::absolute(&path).ok().and_then(|path| {
            path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned())
        });
        let options = options(mode, &name, folder.as_deref().unwrap_or("blueprint"));
        Ok(Self { path: Some(path), text: utf8(bytes, &name)?, options })
    }

    fn name(&self) -> &str {
        &self.options.file_name
    }
}

fn options(mode: Mode, file_name: &str, project_name: &str) -> ReadOptions {
    ReadOptions { mode, file_name: file_name.to_owned(), project_name: project_name.to_owned() }
}

fn utf8(bytes: Vec<u8>, name: &str) -> Result<String, Stop> {
    String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes()[..error.utf8_error().valid_up_to()].split(|b| *b == b'\n').count();
        Stop::usage(format!("{name} is not UTF-8: see line {line}"))
    })
}

/// A folder stands for the file in it.
fn inside(path: &Path) -> PathBuf {
    if !path.is_dir() {
        return path.to_owned();
    }
    let candidates = DEFAULT_NAMES.map(|name| path.join(name));
    let found = candidates.iter().find(|path| path.exists());
    found.unwrap_or(&candidates[0]).clone()
}

fn default_file() -> Result<PathBuf, Stop> {
    let found = DEFAULT_NAMES.iter().map(PathBuf::from).find(|path| path.exists());
    found.ok_or_else(|| {
        Stop::usage("there is no render.yaml here").hint("name the file, or go to its folder")
    })
}

fn validate(printer: Printer, args: &ValidateArgs) -> Outcome {
    let mode = if args.strict { Mode::Strict } else { Mode::Tolerant };
    let file = Text::load(args.file.as_deref(), mode)?;
    let reading = ::blueprint::read(&file.text, &file.options);
    let exit = if reading.is_accepted() { DONE } else { FAILED };
    if printer.json {
        let report = serde_json::json!({
            "ok": reading.is_accepted(),
            "file": file.name(),
            "mode": mode,
            "findings": reading.problems,
            "holds": holds(&reading),
        });
        return printer.json_pretty(&report).map(|()| exit);
    }
    let paint = printer.out();
    let mut text = String::new();
    for finding in reading.problems.iter().filter(|finding| finding.severity != Severity::Note) {
        text.push_str(&::blueprint::render(finding, &file.text, file.name(), paint.is_on()));
        text.push_str("\n\n");
    }
    text.push_str(&notes(&reading, file.name(), paint));
    text.push_str(&verdict(&reading, file.name(), paint));
    printer.data(&text).map(|()| exit)
}

/// What has no effect here, in one line each.
fn notes(reading: &Reading, file: &str, paint: Paint) -> String {
    let mut table = Table::default();
    for note in reading.problems.iter().filter(|finding| finding.severity == Severity::Note) {
        let place = format!("{file}:{}:{}", note.span.line, note.span.column);
        table.row([paint.busy("note"), paint.dim(&place), note.message.clone()]);
    }
    if table.is_empty() { String::new() } else { table.render(0) + "\n" }
}

fn verdict(reading: &Reading, file: &str, paint: Paint) -> String {
    let errors = reading.count(Severity::Error);
    if !reading.is_accepted() {
        let errors = render::count(errors.max(1), "error");
        return format!("{} {file}: {errors}\n", paint.bad("refused"));
    }
    let things: Vec<_> = holds(reading)
        .into_iter()
        .filter(|(_, number)| *number > 0)
        .map(|(noun, number)| render::count(number, noun))
        .collect();
    let things = if things.is_empty() { "nothing".to_owned() } else { things.join(", ") };
    let repairs = match reading.count(Severity::Repair) {
        0 => String::new(),
        number => {
            format!("; {}, `gable blueprint fix` writes them down", render::count(number, "repair"))
        }
    };
    format!("{} {file}: {things}{repairs}\n", paint.good("ok"))
}

/// How many of each noun it declares.
fn holds(reading: &Reading) -> Vec<(&'static str, usize)> {
    let scopes = reading.blueprint.as_ref().map(|blueprint| blueprint.scopes.as_slice());
    let scopes = scopes.unwrap_or_default();
    let sum = |count: fn(&::blueprint::Scope) -> usize| scopes.iter().map(count).sum();
    vec![
        ("service", sum(|scope| scope.services.len())),
        ("workflow", sum(|scope| scope.workflows.len())),
        ("database", sum(|scope| scope.databases.len())),
        ("Key Value instance", sum(|scope| scope.key_values.len())),
        ("group", sum(|scope| scope.env_groups.len())),
    ]
}

fn fix(printer: Printer, args: &FixArgs) -> Outcome {
    let file = Text::load(args.file.as_deref(), Mode::Tolerant)?;
    let fixed = ::blueprint::fix(&file.text, &file.options);
    let is_changed = fixed.text != file.text;
    let errors = fixed.remaining.iter().filter(|finding| finding.severity == Severity::Error);
    let errors: Vec<_> = errors.collect();
    let diff = ::blueprint::unified_diff(&file.text, &fixed.text, file.name());
    if printer.json {
        let report = serde_json::json!({
            "ok": errors.is_empty(), "changed": is_changed, "applied": fixed.applied,
            "remaining": fixed.remaining, "diff": diff,
        });
        printer.json_pretty(&report)?;
    } else if args.diff {
        printer.data(&coloured(&diff, printer.out()))?;
    } else if !args.write {
        printer.data(&fixed.text)?;
    }
    if args.write && is_changed {
        write(&file, &fixed.text)?;
    }
    for error in &errors {
        let text = ::blueprint::render(error, &fixed.text, file.name(), printer.err().is_on());
        printer.say(&format!("{text}\n"));
    }
    let repairs = render::count(fixed.applied.len(), "repair");
    printer.say(&match (is_changed, args.write) {
        (false, _) => format!("{}: nothing to repair", file.name()),
        (true, true) => format!("{}: wrote {repairs}", file.name()),
        (true, false) => format!("{}: {repairs}; `--write` changes the file", file.name()),
    });
    Ok(if errors.is_empty() { DONE } else { FAILED })
}

/// Replaces the file as a whole, or leaves it as it is.
fn write(file: &Text, text: &str) -> Result<(), Stop> {
    let Some(path) = &file.path else {
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
        std::fs::write(&new, text)?;
        std::fs::File::open(&new)?.sync_all()?;
        std::fs::rename(&new, path)
    };
    replace().map_err(failed)
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

fn explain(printer: Printer, args: &ExplainFieldArgs) -> Outcome {
    match explained(args)? {
        (Some(file), field) => explain_file(printer, &file, field),
        (None, field) => explain_fields(printer, field),
    }
}

/// The file and the field that were meant.
fn explained(args: &ExplainFieldArgs) -> Result<(Option<PathBuf>, Option<&str>), Stop> {
    let (first, second) = (args.first.as_deref(), args.second.as_deref());
    let is_first_file = args.named_file.is_none() && first.is_some_and(is_file);
    let (file, fields) = if is_first_file {
        (first.map(PathBuf::from), [None, second])
    } else {
        (args.named_file.clone(), [first, second])
    };
    match fields {
        [Some(first), Some(second)] => {
            Err(Stop::usage(format!("{first} is no file, and `{second}` is a second field"))
                .hint("`gable blueprint explain [FILE] [FIELD]`"))
        }
        [one, other] => Ok((file, one.or(other))),
    }
}

/// Whether a word names a file rather than a field. A field that is called like a folder is still
/// a field.
fn is_file(word: &str) -> bool {
    let path = Path::new(word);
    let extension = path.extension().and_then(std::ffi::OsStr::to_str);
    word == STDIN || path.is_file() || matches!(extension, Some("yaml" | "yml"))
}

/// Each field that a file has.
fn explain_file(printer: Printer, file: &Path, wanted: Option<&str>) -> Outcome {
    let file = Text::load(Some(file), Mode::Tolerant)?;
    let reading = ::blueprint::read(&file.text, &file.options);
    let mut explanations = ::blueprint::explain(&reading);
    explanations.retain(|one| is_wanted(&one.path, wanted));
    if printer.json {
        return printer.json_pretty(&explanations).map(|()| DONE);
    }
    let paint = printer.out();
    let mut table = Table::default();
    for one in &explanations {
        table.row([
            paint.dim(&format!("{}:{}", one.span.line, one.span.column)),
            one.path.clone(),
            render::clip(&one.value, VALUE_COLUMNS_MAX),
            treatment(one.treatment, paint),
            paint.dim(&one.why),
        ]);
    }
    printer.data(&table.render(0)).map(|()| if reading.is_accepted() { DONE } else { FAILED })
}

/// Columns that a value takes at most.
const VALUE_COLUMNS_MAX: usize = 32;

/// Each field that there is.
fn explain_fields(printer: Printer, wanted: Option<&str>) -> Outcome {
    let fields: Vec<&Field> = ::blueprint::known_fields()
        .filter(|field| !field.is_invented() && is_wanted(&field.pattern(), wanted))
        .collect();
    if fields.is_empty() {
        let message = format!("there is no field `{}`", wanted.unwrap_or_default());
        return Err(Stop::usage(message).hint("`gable blueprint explain` lists all fields"));
    }
    if printer.json {
        let list: Vec<_> = fields
            .iter()
            .map(|field| {
                serde_json::json!({
                    "path": field.pattern(), "treatment": field.treatment, "why": field.why,
                })
            })
            .collect();
        return printer.json_pretty(&list).map(|()| DONE);
    }
    let paint = printer.out();
    let mut table = Table::default();
    for field in fields {
        table.row([field.pattern(), treatment(field.treatment, paint), paint.dim(field.why)]);
    }
    printer.data(&table.render(0)).map(|()| DONE)
}

fn is_wanted(path: &str, wanted: Option<&str>) -> bool {
    let bare = |text: &str| {
        let mut is_inside = false;
        let text = text.chars().filter(|letter| {
            is_inside = *letter == '[' || (is_inside && *letter != ']');
            !is_inside && *letter != ']'
        });
        text.collect::<String>().to_ascii_lowercase()
    };
    wanted.is_none_or(|wanted| bare(path).contains(&bare(wanted)))
}

fn treatment(treatment: Treatment, paint: Paint) -> String {
    match treatment {
        Treatment::Equivalent => paint.good("as on Render"),
        Treatment::Translated => paint.busy("translated"),
        Treatment::NotApplicable => paint.dim("no effect here"),
        Treatment::Later => paint.careful("not yet"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_any_part_of_its_path() {
        assert!(is_wanted("services[].disk.sizeGB", Some("services.disk")));
        assert!(is_wanted("services[3].region", Some("Region")));
        assert!(!is_wanted("services[].region", Some("disk")));
        assert!(is_wanted("services[].region", None));
    }
}
