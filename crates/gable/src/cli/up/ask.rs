//! Questions to the person.

use wire::{Assignment, Missing, Problem, Twin};

use crate::cli::printer::Printer;
use crate::cli::render::{self, ANY_KEY, full_key};
use crate::cli::stop::{INTERRUPTED, Stop};
use crate::cli::terminal::{self, Typed};

/// Asks for values that nobody has given; each can be skipped.
///
/// # Errors
/// When the person gives up, or the terminal cannot be read.
pub(crate) fn values(printer: Printer, missing: &[Missing]) -> Result<Vec<Assignment>, Stop> {
    let mut set = Vec::new();
    if missing.iter().all(|value| value.key == ANY_KEY) {
        return Ok(set);
    }
    let paint = printer.err();
    printer.say("These values are yours to give. They are not shown; Enter leaves one unset.");
    for value in missing.iter().filter(|value| value.key != ANY_KEY) {
        let name = full_key(value);
        let Some(text) = unseen(printer, &format!("  {} ", paint.bold(&name)))? else { break };
        if !text.is_empty() {
            set.push(Assignment {
                service: Some(value.service.clone()).filter(|service| !service.is_empty()),
                key: value.key.clone(),
                value: text,
            });
        }
    }
    printer.say("");
    Ok(set)
}

/// Asks for one value. `None` at the end of the input.
///
/// # Errors
/// When the person gives up, or the terminal cannot be read.
pub(crate) fn unseen(printer: Printer, question: &str) -> Result<Option<String>, Stop> {
    printer.ask(question);
    let typed = terminal::read_unseen().map_err(|error| unreadable(&error))?;
    printer.say(match &typed {
        Typed::Line(line) if !line.is_empty() => "••••••",
        _ => "–",
    });
    match typed {
        Typed::Line(line) => Ok(Some(line)),
        Typed::End => Ok(None),
        Typed::Interrupt => Err(Stop::quiet(INTERRUPTED)),
    }
}

/// Asks which project a folder is meant for: the one of its name, or one of its own.
///
/// # Errors
/// When neither is wanted, or the terminal cannot be read.
pub(crate) fn project(printer: Printer, twin: &Twin, own: &str) -> Result<String, Stop> {
    let Twin { project, source, gone } = twin;
    let why = if *gone { ", which is gone" } else { "" };
    printer.say(&format!("`{project}` was applied from {source}{why}."));
    let question = match gone {
        true => format!("Was it moved here, and is `{project}` to go on with its data?"),
        false => format!("Is `{project}` to go on from this folder, with its data?"),
    };
    if agreement(printer, &question)? {
        return Ok(project.clone());
    }
    let question = format!("Is this another one, `{own}`, with databases of its own?");
    match agreement(printer, &question)? {
        true => Ok(own.to_owned()),
        false => Err(render::which_project(twin, own)),
    }
}

/// Asks yes or no; anything but yes is no.
///
/// # Errors
/// When the terminal cannot be read.
pub(crate) fn agreement(printer: Printer, question: &str) -> Result<bool, Stop> {
    printer.ask(&format!("{question} [y/N] "));
    match terminal::read_line().map_err(|error| unreadable(&error))? {
        Typed::Line(line) => Ok(matches!(line.to_ascii_lowercase().as_str(), "y" | "yes")),
        Typed::End | Typed::Interrupt => Ok(false),
    }
}

fn unreadable(error: &std::io::Error) -> Stop {
    Stop::failed(
        Problem::new("host-error", "the terminal cannot be read").detail(error.to_string()),
    )
}
