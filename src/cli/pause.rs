//! `pause` and `unpause`.

use super::command::{Command, each};
use crate::engine::Engine;
use crate::error::Result;
use argh::{ArgsInfo, FromArgs};

/// Have all processes of containers stand still
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    #[argh(positional)]
    containers: Vec<String>,
}

pub struct Pause(Args);
pub struct Unpause(Args);

impl Command for Pause {
    type Args = Args;
    const NAME: &'static str = "pause";
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";

    fn new(args: Args) -> Result<Pause> {
        Ok(Pause(args))
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        each(&self.0.containers, |name| engine.pause(name))
    }
}

impl Command for Unpause {
    type Args = Args;
    const NAME: &'static str = "unpause";
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";
    const ABOUT: Option<&'static str> = Some("Have paused containers go on");

    fn new(args: Args) -> Result<Unpause> {
        Ok(Unpause(args))
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        each(&self.0.containers, |name| engine.unpause(name))
    }
}
