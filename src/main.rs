//! The engine's entry point: everything is in the library, so that tests can reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    coracle::cli::main(std::env::args_os().collect())
}
