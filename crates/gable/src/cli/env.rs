//! `gable env`.

use std::io::Read;

use model::text::{NameFault, check_variable_name};
use wire::{EnvChange, EnvQuery, Pair};

use super::args::{EnvArgs, EnvChangeArgs, EnvCommand, EnvListArgs, EnvSetArgs, EnvUnsetArgs};
use super::context::Context;
use super::deploys;
use super::render;
use super::stop::{DONE, Outcome, Stop};
use super::up::ask;

/// Runs it.
pub(crate) async fn run(context: &Context, args: &EnvArgs) -> Outcome {
    match (&args.command, &args.list) {
        (Some(EnvCommand::List(list)), _) | (None, Some(list)) => show(context, list).await,
        (Some(EnvCommand::Set(arguments)), _) => set(context, arguments).await,
        (Some(EnvCommand::Unset(arguments)), _) => unset(context, arguments).await,
        (None, None) => Err(Stop::usage("whose variables?").hint("`gable env SERVICE`")),
    }
}

async fn show(context: &Context, args: &EnvListArgs) -> Outcome {
    let named = deploys::named(context, &args.service).await?;
    let query = EnvQuery { service: named.id, reveal: args.reveal };
    let entries = named.client.env(&query).await?;
    if context.printer.json {
        context.printer.json_pretty(&entries)?;
    } else {
        context.printer.data(&render::variables(&entries, args.reveal, context.printer.out()))?;
    }
    Ok(DONE)
}

async fn set(context: &Context, args: &EnvSetArgs) -> Outcome {
    let alone = args.assignments.iter().filter(|text| !text.contains('=')).count();
    let mut pairs = Vec::new();
    for (index, text) in args.assignments.iter().enumerate() {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (text.as_str(), None),
        };
        check_variable_name(key).map_err(|fault| no_name(index, fault))?;
        pairs.push((key, value));
    }
    let named = deploys::named(context, &args.service).await?;
    let mut set = Vec::new();
    for (key, value) in pairs {
        let value = match value {
            Some(value) => value.to_owned(),
            None => given(context, key, alone)?,
        };
        set.push(Pair { key: key.to_owned(), value });
    }
    let change = EnvChange {
        service: named.id.clone(),
        set,
        unset: Vec::new(),
        deploy: !args.change.no_deploy,
    };
    send(context, named, &change, &args.change).await
}

/// Without the word itself: it may be a value whose name was forgotten.
fn no_name(index: usize, fault: NameFault) -> Stop {
    let message = match fault {
        NameFault::Empty => "there is no name before the `=`".to_owned(),
        fault => format!("word {} begins with no name of a variable: {fault}", index + 1),
    };
    Stop::usage(message).hint("write `KEY=VALUE`, or KEY alone to be asked for the value")
}

/// The value of a key that stands alone: asked for on a terminal, else all of stdin. Nothing is no
/// value: an unset variable of a script, or a command before the pipe that failed.
fn given(context: &Context, key: &str, alone: usize) -> Result<String, Stop> {
    let printer = context.printer;
    if printer.can_ask() {
        let value = ask::unseen(printer, &format!("{key} "))?;
        return value.filter(|value| !value.is_empty()).ok_or_else(|| no_value(key, "typed"));
    }
    if alone > 1 {
        return Err(Stop::usage("stdin can hold the value of one KEY only"));
    }
    let mut value = String::new();
    std::io::stdin()
        .read_to_string(&mut value)
        .map_err(|error| Stop::usage(format!("stdin cannot be read: {error}")))?;
    match value.strip_suffix('\n').unwrap_or(&value) {
        "" => Err(no_value(key, "on stdin")),
        value => Ok(value.to_owned()),
    }
}

fn no_value(key: &str, place: &str) -> Stop {
    Stop::usage(format!("there is no value for {key} {place}; nothing was changed")).hint(format!(
        "`{key}=` sets it to the empty text, `gable env unset SERVICE {key}` takes it back"
    ))
}

async fn unset(context: &Context, args: &EnvUnsetArgs) -> Outcome {
    let named = deploys::named(context, &args.service).await?;
    let change = EnvChange {
        service: named.id.clone(),
        set: Vec::new(),
        unset: args.keys.clone(),
        deploy: !args.change.no_deploy,
    };
    send(context, named, &change, &args.change).await
}

async fn send(
    context: &Context,
    named: deploys::Named,
    change: &EnvChange,
    args: &EnvChangeArgs,
) -> Outcome {
    let reply = named.client.change_env(change).await?;
    if !reply.changed {
        context.printer.say("nothing changed");
    } else if reply.deploys.is_empty() {
        context.printer.say(&format!("kept for the next deploy of {}", named.name));
    }
    deploys::finish(context, named, reply.deploys, args.no_wait).await
}
