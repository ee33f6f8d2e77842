//! `healthcheck run`: the exit codes are Podman's.

use super::USAGE;
use super::command::Command;
use super::output;
use crate::engine::Engine;
use crate::error::{Error, Result};
use argh::{ArgsInfo, FromArgs};

/// Check a container's health now: 0 is healthy, 1 unhealthy, 125 no answer
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    #[argh(positional)]
    container: String,
}

pub struct Run(Args);

impl Command for Run {
    type Args = Args;
    const NAME: &'static str = "healthcheck run";
    const USAGE: &'static str = "CONTAINER";

    fn new(args: Args) -> Result<Run> {
        Ok(Run(args))
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        if engine.healthcheck(&self.0.container)? {
            return Ok(0);
        }
        output::line("unhealthy")?;
        Ok(1)
    }

    fn exit_code(_: &Error) -> u8 {
        USAGE
    }
}
