//! The engine's entry point: everything is in the library, so that tests can reach it.

use coracle::sys::heap::Heap;
use std::process::ExitCode;

#[global_allocator]
static HEAP: Heap = Heap::new();

fn main() -> ExitCode {
    coracle::cli::main(std::env::args_os().collect())
}
