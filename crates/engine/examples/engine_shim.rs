//! The `shim` subcommand alone, for the tests and measurements of this crate.

fn main() {
    std::process::exit(engine::shim_main(std::env::args_os().skip(1)));
}
