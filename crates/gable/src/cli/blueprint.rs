//! `gable blueprint`: check, mend and explain files. Needs no server.

mod compose;
mod explain;
mod files;
mod fix;
mod validate;

use super::args::{BlueprintArgs, BlueprintCommand};
use super::printer::Printer;
use super::stop::Outcome;

/// Runs it.
pub(crate) fn run(printer: Printer, args: &BlueprintArgs) -> Outcome {
    match &args.command {
        BlueprintCommand::Validate(args) => validate::run(printer, args),
        BlueprintCommand::Fix(args) => fix::run(printer, args),
        BlueprintCommand::Explain(args) => explain::run(printer, args),
    }
}
