//! `save`: images into an archive.

use super::command::Command;
use super::output;
use crate::engine::Engine;
use crate::engine::image::save;
use crate::error::{Error, OsContext, Result};
use argh::{ArgsInfo, FromArgs};
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};

/// Save images to an archive that other engines load too
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// write to this file, not stdout
    #[argh(option, short = 'o', arg_name = "file")]
    output: Option<String>,
    #[argh(positional)]
    images: Vec<String>,
}

pub struct Save(Args);

impl Command for Save {
    type Args = Args;
    const NAME: &'static str = "save";
    const USAGE: &'static str = "IMAGE [IMAGE...]";

    fn new(args: Args) -> Result<Save> {
        if args.output.is_none() && std::io::stdout().is_terminal() {
            return Err(Error::invalid("stdout is a terminal, no place for an archive")
                .hint("use save -o FILE, or save >FILE"));
        }
        Ok(Save(args))
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let store = engine.images()?;
        match &self.0.output {
            None => save(&store, &self.0.images, &mut output::Stdout)?,
            Some(path) => {
                // Written aside: a failure leaves what was there.
                let aside = format!("{path}.coracle-{}", std::process::id());
                let written = save_to(&aside, |out| save(&store, &self.0.images, out))
                    .and_then(|()| std::fs::rename(&aside, path).on("rename", &aside));
                if written.is_err() {
                    // The error to tell is the other one.
                    let _ = std::fs::remove_file(&aside);
                }
                written?;
            }
        }
        Ok(0)
    }
}

fn save_to(path: &str, save: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let mut out = BufWriter::new(File::create(path).on("create", path)?);
    save(&mut out)?;
    out.flush().on("write", path)
}
