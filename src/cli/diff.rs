//! `diff`: what a container changed in the files of its image.

use super::command::Command;
use super::output;
use crate::engine::Engine;
use crate::error::{OsContext, Result};
use crate::image::changes::Kind;
use argh::{ArgsInfo, FromArgs};

/// List what a container added (A), changed (C) or deleted (D)
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    #[argh(positional)]
    container: String,
}

pub struct Diff(Args);

impl Command for Diff {
    type Args = Args;
    const NAME: &'static str = "diff";
    const USAGE: &'static str = "CONTAINER";

    fn new(args: Args) -> Result<Diff> {
        Ok(Diff(args))
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        output::stream(|out| {
            engine.diff(&self.0.container, &mut |kind, path| {
                let letter = match kind {
                    Kind::Added => "A ",
                    Kind::Changed => "C ",
                    Kind::Deleted => "D ",
                };
                let line = [letter.as_bytes(), &output::name(path), b"\n"].concat();
                out.write_all(&line).on("write", output::TARGET)
            })
        })?;
        Ok(0)
    }
}
