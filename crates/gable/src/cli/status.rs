//! `gable status`.

use jiff::Timestamp;
use wire::{ShutdownRequest, Status, StatusQuery};

use super::args::StatusArgs;
use super::context::Context;
use super::render;
use super::selector;
use super::stop::{DONE, FAILED, Outcome};
use super::watch;

/// Runs it. Exits with 1 when something does not do what it should.
pub(crate) async fn run(context: &Context, args: &StatusArgs) -> Outcome {
    let mut status = match context.server().await {
        Ok(connected) => {
            let status = connected.client.status(&StatusQuery::default()).await?;
            if connected.is_new {
                // It was started for this answer, unless there was something to take up again.
                connected.client.shutdown(&ShutdownRequest { only_if_idle: true }).await?;
            }
            status
        }
        Err(stop) if stop.is_not("server-not-running") => return Err(stop),
        Err(stop) if args.project.is_some() => return Err(stop),
        Err(_) => Status::default(),
    };
    if let Some(name) = &args.project {
        let project = selector::project(&status, Some(name), None)?.clone();
        status.projects = vec![project];
    }
    if context.printer.json {
        context.printer.json_pretty(&status)?;
    } else {
        let text = render::status(&status, Timestamp::now(), context.printer.out());
        context.printer.data(&text)?;
    }
    let is_broken = status.projects.iter().any(|project| !watch::broken(project).is_empty());
    Ok(if is_broken { FAILED } else { DONE })
}
