//! `gable completions`.

use clap::CommandFactory;

use super::args::{Cli, CompletionsArgs};
use super::printer::Printer;
use super::stop::{DONE, Outcome};

/// Runs it.
pub(crate) fn run(printer: Printer, args: &CompletionsArgs) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "gable", &mut script);
    printer.file(&String::from_utf8_lossy(&script)).map(|()| DONE)
}
