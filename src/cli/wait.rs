//! `wait`: exit codes, as the containers end.

use super::command::Command;
use super::output;
use crate::engine::Engine;
use crate::error::{Error, Result};
use argh::{ArgsInfo, FromArgs};

/// Wait for one or more containers to end, and print their exit codes
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    #[argh(positional)]
    containers: Vec<String>,
}

pub struct Wait(Args);

impl Command for Wait {
    type Args = Args;
    const NAME: &'static str = "wait";
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";

    fn new(args: Args) -> Result<Wait> {
        Ok(Wait(args))
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let mut errors = Vec::new();
        for name in &self.0.containers {
            match engine.wait(name) {
                Ok(code) => output::line(code)?,
                Err(e) => errors.push(e),
            }
        }
        Error::collect(errors).map(|()| 0)
    }
}
