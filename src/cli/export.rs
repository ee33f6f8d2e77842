//! `export`: a container's files as a tar.

use super::command::Command;
use super::output;
use crate::engine::Engine;
use crate::error::Result;
use argh::{ArgsInfo, FromArgs};

/// Write a container's files to a tar
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// write to this file, not stdout
    #[argh(option, short = 'o', arg_name = "file")]
    output: Option<String>,
    #[argh(positional)]
    container: String,
}

pub struct Export(Args);

impl Command for Export {
    type Args = Args;
    const NAME: &'static str = "export";
    const USAGE: &'static str = "CONTAINER";

    fn new(args: Args) -> Result<Export> {
        output::check_archive(Export::NAME, args.output.as_deref())?;
        Ok(Export(args))
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        output::archive(self.0.output.as_deref(), |out| engine.export(&self.0.container, out))?;
        Ok(0)
    }
}
