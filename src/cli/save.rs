//! `save`: images into an archive.

use super::command::Command;
use super::output;
use crate::engine::Engine;
use crate::engine::image::save;
use crate::error::{Error, Result};
use argh::{ArgsInfo, FromArgs};

/// Save images to an archive that other engines, also those of 2014, load too
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// docker-archive or oci-archive: every archive is both
    #[argh(option, arg_name = "string")]
    format: Option<String>,
    /// write to this file, not stdout
    #[argh(option, short = 'o', arg_name = "file")]
    output: Option<String>,
    #[argh(positional)]
    images: Vec<String>,
}

/// Podman's names of what one archive is.
const FORMATS: [&str; 2] = ["docker-archive", "oci-archive"];

pub struct Save(Args);

impl Command for Save {
    type Args = Args;
    const NAME: &'static str = "save";
    const USAGE: &'static str = "IMAGE [IMAGE...]";

    fn new(args: Args) -> Result<Save> {
        if let Some(format) = &args.format
            && !FORMATS.contains(&format.as_str())
        {
            return Err(Error::invalid(format!("--format: cannot save as \"{format}\""))
                .hint(format!("use one of {}", FORMATS.join(", "))));
        }
        output::check_archive(Save::NAME, args.output.as_deref())?;
        Ok(Save(args))
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let store = engine.images()?;
        output::archive(self.0.output.as_deref(), |out| save(&store, &self.0.images, out))?;
        for image in &self.0.images {
            // A repository stands for all its names.
            if let Ok(id) = store.resolve(image) {
                engine.tell_of_image("save", &id, image);
            }
        }
        Ok(0)
    }
}
