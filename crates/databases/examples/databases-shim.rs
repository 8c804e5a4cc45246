//! The program that the tests' engine starts for each instance.

fn main() {
    std::process::exit(engine::shim_main(std::env::args_os().skip(1)));
}
