//! `wait`: exit codes, as the containers end.

use super::command::{Command, each_answer};
use crate::engine::Engine;
use crate::error::Result;
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
        each_answer(&self.0.containers, |name| engine.wait(name))
    }
}
