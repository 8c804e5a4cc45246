//! `gable explain`.

use wire::Problem;

use super::args::ExplainArgs;
use super::printer::Printer;
use super::stop::{DONE, Outcome, Stop};

/// Runs it.
pub(crate) fn run(printer: Printer, args: &ExplainArgs) -> Outcome {
    let Some(code) = &args.code else {
        let codes: Vec<_> = reconcile::diagnosis::codes().collect();
        if printer.json {
            return printer.json(&codes).map(|()| DONE);
        }
        return printer.data(&codes.join("\n")).map(|()| DONE);
    };
    let code = code.trim_matches(['[', ']']);
    let Some(page) = reconcile::diagnosis::page(code) else {
        let problem = Problem::new("not-found", format!("there is no page about `{code}`"));
        return Err(Stop::failed(problem.hint("`gable explain` lists all codes")));
    };
    if printer.json {
        return printer.json(&serde_json::json!({ "code": code, "page": page })).map(|()| DONE);
    }
    let paint = printer.out();
    let lines = page.lines().map(|line| match line.trim_start_matches('#') {
        title if title.len() < line.len() => paint.bold(title.trim()),
        _ => line.to_owned(),
    });
    printer.data(&lines.collect::<Vec<_>>().join("\n")).map(|()| DONE)
}
