//! (being laid)

mod monitor;

use std::ffi::OsString;
use std::process::ExitCode;

pub fn main(args: Vec<OsString>) -> ExitCode {
    // The engine's own word comes first: a monitor parses nothing it does not need.
    if args.get(1).is_some_and(|word| word == "monitor") {
        return match monitor::run(args.get(2..).unwrap_or_default()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    ExitCode::SUCCESS
}
