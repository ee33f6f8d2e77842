//! `rm`.

use super::command::{Command, each};
use crate::engine::Engine;
use crate::error::Result;
use argh::{ArgsInfo, FromArgs};

/// Remove one or more containers
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// kill those that run
    #[argh(switch, short = 'f')]
    force: bool,
    /// remove a link (PARENT/ALIAS), not a container
    #[argh(switch, short = 'l')]
    link: bool,
    /// remove their anonymous volumes too, unless others use them
    #[argh(switch, short = 'v')]
    volumes: bool,
    #[argh(positional)]
    containers: Vec<String>,
}

pub struct Rm(Args);

impl Command for Rm {
    type Args = Args;
    const NAME: &'static str = "rm";
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";

    fn new(args: Args) -> Result<Rm> {
        Ok(Rm(args))
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        each(&self.0.containers, |name| match self.0.link {
            true => engine.unlink(name),
            false => engine.remove(name, self.0.force, self.0.volumes),
        })
    }
}
