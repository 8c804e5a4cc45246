//! The `gable` binary: the command line, and the three roles that it starts itself in: control
//! plane, edge and shim. It is the composition root, the only crate that knows all the others, and
//! it holds no rules.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
