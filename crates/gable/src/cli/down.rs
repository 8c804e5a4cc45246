//! `gable down`, and the end of a foreground `up`.

use indicatif::{ProgressBar, ProgressStyle};
use wire::{Client, DownRequest, Event, ShutdownRequest, StatusQuery};

use super::args::DownArgs;
use super::connect;
use super::context::Context;
use super::escape::shown;
use super::interrupts::Interrupts;
use super::selector;
use super::stop::{DONE, FAILED, INTERRUPTED, Outcome, Stop, render_problem};
use super::up::ask;

/// Milliseconds between two drawings of the mark that turns.
const DRAW_INTERVAL_MS: u64 = 100;
/// What has not changed for this long is told where nothing can be drawn.
const TELLING_TIME: std::time::Duration = std::time::Duration::from_secs(2);
/// The kind of event that says what a stop waits for.
const WAITING: &str = "stopping";

/// Runs it.
pub(crate) async fn run(context: &Context, args: &DownArgs) -> Outcome {
    let printer = context.printer;
    // What was stopped earlier may still have data to be removed.
    let found = match args.purge {
        true => context.server().await,
        false => connect::find(&context.paths).await,
    };
    let client = match found {
        Ok(connected) => connected.client,
        Err(stop) if stop.is_not("server-not-running") => return Err(stop),
        Err(_) => {
            printer.say("nothing runs here");
            return Ok(DONE);
        }
    };
    let status = client.status(&StatusQuery::default()).await?;
    if status.projects.is_empty() && args.project.is_none() {
        client.shutdown(&ShutdownRequest { only_if_idle: true }).await?;
        printer.say("nothing runs here");
        return Ok(DONE);
    }
    let project = selector::project(&status, args.project.as_deref(), context.here().as_deref())?;
    if args.purge && !args.yes {
        let question = format!(
            "This removes the databases, disks, values and history of {}, for ever. Go on?",
            project.name
        );
        if !printer.can_ask() {
            return Err(Stop::usage("`--purge` removes data for ever").hint("`--yes` agrees to it"));
        }
        if !ask::agreement(printer, &question)? {
            return Ok(FAILED);
        }
    }
    let is_clean = stop(context, &client, &project.name, args.purge).await?;
    if printer.json {
        printer.json(&serde_json::json!({ "ok": is_clean, "project": project.name }))?;
    }
    client.shutdown(&ShutdownRequest { only_if_idle: true }).await?;
    Ok(if is_clean { DONE } else { FAILED })
}

/// Stops a project that this process keeps up. A second interrupt leaves at once.
pub(crate) async fn stop_and_leave(
    context: &Context,
    client: &Client,
    project: &str,
    interrupts: &mut Interrupts,
) -> Outcome {
    if context.printer.is_live() {
        // The terminal has written `^C` and stands behind it.
        context.printer.say("");
    }
    let work = async {
        let is_clean = stop(context, client, project, false).await?;
        client.shutdown(&ShutdownRequest { only_if_idle: true }).await?;
        Ok(if is_clean { DONE } else { FAILED })
    };
    tokio::select! {
        outcome = work => outcome,
        () = interrupts.next() => {
            context.printer.say("left; the server goes on stopping what runs");
            Ok(INTERRUPTED)
        }
    }
}

/// Stops a project. Returns whether everything went well.
async fn stop(
    context: &Context,
    client: &Client,
    project: &str,
    purge: bool,
) -> Result<bool, Stop> {
    let printer = context.printer;
    let paint = printer.err();
    let spinner = printer.is_live().then(|| spinner(&format!("stopping {project}")));
    if spinner.is_none() {
        printer.say(&format!("stopping {project}"));
    }
    let request = DownRequest { project: project.to_owned(), purge };
    let mut events = client.down(&request).await?;
    let mut is_clean = true;
    let mut waiting: Option<String> = None;
    loop {
        let event = match tokio::time::timeout(TELLING_TIME, events.next()).await {
            Ok(event) => event?,
            Err(_) => {
                // What takes its time is worth a line of its own.
                if let Some(text) = waiting.take()
                    && spinner.is_none()
                {
                    printer.say(&text);
                }
                continue;
            }
        };
        let Some(event) = event else { break };
        if event.kind == WAITING {
            waiting = Some(event.message.clone());
        }
        if let Some(spinner) = &spinner {
            spinner.set_message(shown(&stopping(project, &event)).into_owned());
        }
        // What a service tells of itself meanwhile says nothing about the stop.
        if let Some(problem) = event.problem.as_ref().filter(|_| event.service.is_empty()) {
            is_clean = false;
            let text = render_problem(problem, paint);
            match &spinner {
                Some(spinner) => spinner.suspend(|| printer.say(&text)),
                None => printer.say(&text),
            }
        }
    }
    if let Some(spinner) = spinner {
        spinner.finish_and_clear();
    }
    printer.say(&match (is_clean, purge) {
        (false, _) => format!("{project} could not be stopped as a whole"),
        (true, true) => format!("{project} is gone, with its data"),
        (true, false) => {
            format!(
                "{project} is stopped; its data is kept in {}",
                context.paths.state_dir.display()
            )
        }
    });
    Ok(is_clean)
}

fn stopping(project: &str, event: &Event) -> String {
    match event.service.as_str() {
        "" if event.kind == WAITING => format!("stopping {project}: {}", event.message),
        "" => format!("stopping {project}"),
        service => format!("stopping {project}: {service}"),
    }
}

fn spinner(text: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}").expect("the template is constant");
    let spinner =
        ProgressBar::new_spinner().with_style(style).with_message(shown(text).into_owned());
    spinner.enable_steady_tick(std::time::Duration::from_millis(DRAW_INTERVAL_MS));
    spinner
}
