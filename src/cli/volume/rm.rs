//! `volume rm`.

use crate::cli::command::{Command, each};
use crate::engine::Engine;
use crate::error::Result;
use argh::{ArgsInfo, FromArgs};

/// Remove one or more volumes that no container uses
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// those that are not there are fine
    #[argh(switch, short = 'f')]
    force: bool,
    #[argh(positional)]
    volumes: Vec<String>,
}

pub struct Rm(Args);

impl Command for Rm {
    type Args = Args;
    const NAME: &'static str = "volume rm";
    const USAGE: &'static str = "VOLUME [VOLUME...]";

    fn new(args: Args) -> Result<Rm> {
        Ok(Rm(args))
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        each(&self.0.volumes, |name| engine.remove_volume(name, self.0.force))
    }
}
