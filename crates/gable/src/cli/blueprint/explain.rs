//! `gable blueprint explain`.

use std::path::{Path, PathBuf};

use blueprint::{Explanation, Field, Mode, Treatment};

use super::files::{Files, STDIN};
use crate::cli::args::{ExplainFieldArgs, ReadingArgs};
use crate::cli::paint::Paint;
use crate::cli::printer::Printer;
use crate::cli::render::Table;
use crate::cli::stop::{DONE, FAILED, Outcome, Stop};

/// Columns that a value takes at most.
const VALUE_COLUMNS_MAX: usize = 32;

/// Runs it.
pub(super) fn run(printer: Printer, args: &ExplainFieldArgs) -> Outcome {
    let (files, field) = meant(args)?;
    if files.is_empty() {
        return explain_fields(printer, field);
    }
    explain_files(printer, &files, field, &args.reading)
}

/// The files and the field that were meant.
fn meant(args: &ExplainFieldArgs) -> Result<(Vec<PathBuf>, Option<&str>), Stop> {
    let words = &args.words;
    let mut files = args.named_files.clone();
    if files.is_empty() {
        // Behind the first one only a usual ending makes a file: a field may be called like one.
        let is_next = |(index, word): &(usize, &String)| {
            if *index == 0 { is_file(word) } else { has_file_ending(word) }
        };
        files = words.iter().enumerate().take_while(is_next).map(|(_, word)| word.into()).collect();
    }
    let taken = if args.named_files.is_empty() { files.len() } else { 0 };
    match &words[taken..] {
        [] => Ok((files, None)),
        [field] => Ok((files, Some(field))),
        [first, second, ..] => {
            Err(Stop::usage(format!("{first} is no file, and `{second}` is a second field"))
                .hint("`gable blueprint explain [FILE]… [FIELD]`"))
        }
    }
}

/// Whether a word names a file rather than a field. A field that is called like a folder is still
/// a field.
fn is_file(word: &str) -> bool {
    word == STDIN || Path::new(word).is_file() || has_file_ending(word)
}

fn has_file_ending(word: &str) -> bool {
    let extension = Path::new(word).extension().and_then(std::ffi::OsStr::to_str);
    matches!(extension, Some("yaml" | "yml"))
}

/// Each field that files have.
fn explain_files(
    printer: Printer,
    paths: &[PathBuf],
    wanted: Option<&str>,
    args: &ReadingArgs,
) -> Outcome {
    let files = Files::load(paths, Mode::Tolerant, args)?;
    let (mut explanations, as_before, is_accepted) = match &files {
        Files::Blueprint(file) => {
            (blueprint::explain(&file.reading), "as on Render", file.reading.is_accepted())
        }
        Files::Compose(compose) => (
            blueprint::compose::explain(&compose.input),
            "as on Docker",
            compose.reading.is_accepted(),
        ),
    };
    explanations.retain(|one| is_wanted(&one.path, wanted));
    if printer.json {
        return printer.json_pretty(&explanations).map(|()| DONE);
    }
    let is_one = explanations.windows(2).all(|pair| pair[0].file == pair[1].file);
    let place = |one: &Explanation| match &one.file {
        Some(file) if !is_one => format!("{file}:{}:{}", one.span.line, one.span.column),
        _ => format!("{}:{}", one.span.line, one.span.column),
    };
    let paint = printer.out();
    let mut table = Table::default();
    for one in &explanations {
        table.row([
            paint.dim(&place(one)),
            one.path.clone(),
            paint.clip(&one.value, VALUE_COLUMNS_MAX),
            treatment(one.treatment, as_before, paint),
            paint.dim(&one.why),
        ]);
    }
    printer.data(&table.render(0)).map(|()| if is_accepted { DONE } else { FAILED })
}

/// Each field that there is.
fn explain_fields(printer: Printer, wanted: Option<&str>) -> Outcome {
    let fields: Vec<&Field> = blueprint::known_fields()
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
        table.row([
            field.pattern(),
            treatment(field.treatment, "as on Render", paint),
            paint.dim(field.why),
        ]);
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

/// `as_before` says where fields mean the same that mean the same here.
fn treatment(treatment: Treatment, as_before: &str, paint: Paint) -> String {
    match treatment {
        Treatment::Equivalent => paint.good(as_before),
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
