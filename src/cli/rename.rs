//! `rename`.

use super::command::Command;
use crate::engine::Engine;
use crate::error::Result;
use crate::types::ContainerName;
use argh::{ArgsInfo, FromArgs};

/// Give a container another name
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    #[argh(positional)]
    container: String,
    #[argh(positional)]
    name: String,
}

pub struct Rename {
    container: String,
    name: ContainerName,
}

impl Command for Rename {
    type Args = Args;
    const NAME: &'static str = "rename";
    const USAGE: &'static str = "CONTAINER NEW_NAME";

    fn new(args: Args) -> Result<Rename> {
        Ok(Rename { container: args.container, name: args.name.parse()? })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        engine.rename(&self.container, &self.name)?;
        Ok(0)
    }
}
