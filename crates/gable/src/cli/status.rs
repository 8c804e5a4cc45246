//! `gable status`.

use jiff::Timestamp;
use wire::{Status, StatusQuery};

use super::args::StatusArgs;
use super::context::Context;
use super::render;
use super::selector;
use super::stop::{DONE, FAILED, Outcome};
use super::watch;

/// What is said where there is state and no server.
const NOTHING_RUNS: &str = "nothing runs here; `gable up` starts a project, and `gable server start` \
    what ran before a restart of the machine";

/// Runs it. Exits with 1 when something does not do what it should.
pub(crate) async fn run(context: &Context, args: &StatusArgs) -> Outcome {
    let mut status = match context.running().await {
        Ok(connected) => connected.client.status(&StatusQuery::default()).await?,
        Err(stop) if stop.is_not("server-not-running") => return Err(stop),
        Err(stop) if args.project.is_some() => return Err(stop),
        Err(_) => {
            if context.has_state() {
                context.printer.say(NOTHING_RUNS);
            }
            Status::default()
        }
    };
    if let Some(name) = &args.project {
        let project = selector::project(&status, Some(name), None)?.clone();
        status.projects = vec![project];
    }
    if context.printer.json {
        context.printer.json_pretty(&status)?;
    } else if !(status.projects.is_empty() && context.has_state()) {
        let text = render::status(&status, Timestamp::now(), context.printer.out());
        context.printer.data(&text)?;
    }
    let is_broken = status.projects.iter().any(|project| !watch::broken(project).is_empty());
    Ok(if is_broken { FAILED } else { DONE })
}
