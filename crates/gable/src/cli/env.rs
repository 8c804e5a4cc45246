//! `gable env`.

use std::io::Read;

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
    let named = deploys::named(context, &args.service).await?;
    let alone = args.assignments.iter().filter(|text| !text.contains('=')).count();
    let mut set = Vec::new();
    for text in &args.assignments {
        set.push(match text.split_once('=') {
            Some(("", _)) => return Err(Stop::usage("there is no name before the `=`")),
            Some((key, value)) => Pair { key: key.to_owned(), value: value.to_owned() },
            None => Pair { key: text.clone(), value: given(context, text, alone)? },
        });
    }
    let change = EnvChange {
        service: named.id.clone(),
        set,
        unset: Vec::new(),
        deploy: !args.change.no_deploy,
    };
    send(context, named, &change, &args.change).await
}

/// The value of a key that stands alone: asked for on a terminal, else all of stdin.
fn given(context: &Context, key: &str, alone: usize) -> Result<String, Stop> {
    let printer = context.printer;
    if printer.can_ask() {
        let value = ask::unseen(printer, &format!("{key} "))?;
        return value.ok_or_else(|| Stop::usage(format!("no value for {key}")));
    }
    if alone > 1 {
        return Err(Stop::usage("stdin can hold the value of one KEY only"));
    }
    let mut value = String::new();
    std::io::stdin()
        .read_to_string(&mut value)
        .map_err(|error| Stop::usage(format!("stdin cannot be read: {error}")))?;
    Ok(value.strip_suffix('\n').unwrap_or(&value).to_owned())
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
