//! `top`: the processes of a container.

use super::command::Command;
use super::output;
use super::table::table;
use crate::engine::Engine;
use crate::error::Result;
use argh::{ArgsInfo, FromArgs};

/// List the processes of a container
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    #[argh(positional)]
    container: String,
}

pub struct Top(Args);

impl Command for Top {
    type Args = Args;
    const NAME: &'static str = "top";
    const USAGE: &'static str = "CONTAINER";

    fn new(args: Args) -> Result<Top> {
        Ok(Top(args))
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let processes = engine.top(&self.0.container)?;
        let mut lines = vec![processes.titles];
        lines.extend(processes.rows);
        output::text(&table(&lines))?;
        Ok(0)
    }
}
