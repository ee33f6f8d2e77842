//! `top`: the processes of a container, with the options of ps(1).

use super::argv::Flags;
use super::command::Command;
use super::output;
use super::table::table_of;
use crate::engine::Engine;
use crate::error::Result;
use argh::{ArgsInfo, FromArgs};

/// List the processes of a container
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    #[argh(positional)]
    container_and_options: Vec<String>,
}

/// The least width of its columns, then as now.
const WIDTH: usize = 20;

pub struct Top(Args);

impl Command for Top {
    type Args = Args;
    const NAME: &'static str = "top";
    const USAGE: &'static str = "CONTAINER [PS_OPTION...]";
    const FLAGS: Flags = Flags::First;

    fn new(args: Args) -> Result<Top> {
        Ok(Top(args))
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let (container, options) = self.0.container_and_options.split_first().unzip();
        let container = container.map(String::as_str).unwrap_or_default();
        let processes = engine.top(container, options.unwrap_or_default())?;
        let mut lines = vec![processes.titles];
        lines.extend(processes.rows);
        output::text(&table_of(&lines, WIDTH))?;
        Ok(0)
    }
}
