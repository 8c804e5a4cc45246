//! `gable server restore`: a copy in the place of the server's database.

use control::restore::{self, Copy, Found};
use serde::Serialize;
use wire::Problem;

use super::args::ServerRestoreArgs;
use super::context::Context;
use super::render::Table;
use super::server::refused;
use super::stop::{DONE, FAILED, Outcome, Stop};
use super::up::ask;

/// Runs it.
pub(crate) async fn run(context: &Context, args: &ServerRestoreArgs) -> Outcome {
    let found = restore::list(&context.paths.state_dir).map_err(|error| refused(&error))?;
    if args.list {
        return list(context, &found);
    }
    let printer = context.printer;
    // Whoever has the state directory would go on with what is taken away.
    context.paths.make().map_err(|error| {
        let problem = Problem::new("restore-failed", "the state directory cannot be used");
        Stop::failed(problem.detail(error.to_string()))
    })?;
    let turn = control::server::take(&context.paths.state_dir).map_err(|error| {
        refused(&error).hint("`gable server stop` ends that server; what runs goes on")
    })?;
    let edge_socket = context.paths.run_dir.join("edge.sock");
    if args.accept {
        restore::accept(&turn, &edge_socket).await.map_err(|error| refused(&error))?;
        printer.say("the database is taken as it is; `gable server start` goes on with it");
        return Ok(DONE);
    }
    let copy = choose(&found, args.copy.as_deref())?;
    if !args.yes {
        let question = format!(
            "The copy of {} takes the place of the database; what was changed after it is lost, and \
             what was started after it is stopped. Go on?",
            copy.at
        );
        if !printer.can_ask() {
            return Err(Stop::usage("what was changed after a copy is lost")
                .hint("`--yes` agrees to it; `--list` shows all copies"));
        }
        if !ask::agreement(printer, &question)? {
            return Ok(FAILED);
        }
    }
    let kept =
        restore::restore(&turn, copy, &edge_socket).await.map_err(|error| refused(&error))?;
    printer.say(&format!("the copy of {} is in place", copy.at));
    if let Some(kept) = kept {
        printer.say(&format!("what stood there is kept as {}", kept.display()));
    }
    printer.say("`gable server start` goes on with it");
    Ok(DONE)
}

/// The copy of this name, or the newest that can be used and holds something.
fn choose<'a>(found: &'a [Found], name: Option<&str>) -> Result<&'a Copy, Stop> {
    let is_meant = |(copy, contents): &&Found| match name {
        Some(name) => copy.name() == name,
        None => contents.as_ref().is_ok_and(|contents| !contents.projects.is_empty()),
    };
    let missing = || {
        let message = match name {
            Some(name) => format!("there is no copy {name}"),
            None => "there is no copy that can be used".to_owned(),
        };
        Stop::failed(
            Problem::new("restore-failed", message).hint("`gable server restore --list` shows all"),
        )
    };
    found.iter().find(is_meant).map(|(copy, _)| copy).ok_or_else(missing)
}

/// A copy as programs see it.
#[derive(Debug, Serialize)]
struct Line {
    name: String,
    at: jiff::Timestamp,
    size_bytes: u64,
    projects: Option<Vec<String>>,
    problem: Option<String>,
}

fn list(context: &Context, found: &[Found]) -> Outcome {
    let lines: Vec<Line> = found
        .iter()
        .map(|(copy, contents)| Line {
            name: copy.name(),
            at: copy.at,
            size_bytes: copy.size_bytes,
            projects: contents.as_ref().ok().map(|contents| contents.projects.clone()),
            problem: contents.as_ref().err().map(ToString::to_string),
        })
        .collect();
    let printer = context.printer;
    if printer.json {
        return printer.json_pretty(&lines).map(|()| DONE);
    }
    if lines.is_empty() {
        printer.say("there is no copy yet: the first one is made soon after a change");
        return Ok(DONE);
    }
    let mut table = Table::default();
    for line in lines {
        let holds = match (line.projects, line.problem) {
            (Some(projects), _) if projects.is_empty() => "no project".to_owned(),
            (Some(projects), _) => projects.join(", "),
            (None, problem) => printer.out().bad(&problem.unwrap_or_default()),
        };
        let at = line.at.round(jiff::Unit::Second).unwrap_or(line.at);
        table.row([line.name, at.to_string(), format!("{} KiB", line.size_bytes >> 10), holds]);
    }
    printer.data(&table.render(0)).map(|()| DONE)
}
