//! `rmi`: names of images, and images without the last of them, go.

use super::command::{Command, each_answer};
use crate::engine::Engine;
use crate::engine::image::{ImageUser, Removed, RmiOptions, rmi};
use crate::error::Result;
use crate::types::Digest;
use argh::{ArgsInfo, FromArgs};

/// Remove one or more images
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// remove all names of an image, and names that stopped containers use
    #[argh(switch, short = 'f')]
    force: bool,
    /// leave the images without a name that it was made from
    #[argh(switch)]
    no_prune: bool,
    #[argh(positional)]
    images: Vec<String>,
}

pub struct Rmi(Args);

impl Command for Rmi {
    type Args = Args;
    const NAME: &'static str = "rmi";
    const USAGE: &'static str = "IMAGE [IMAGE...]";

    fn new(args: Args) -> Result<Rmi> {
        Ok(Rmi(args))
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        engine.begin()?;
        let store = engine.images()?;
        let options = RmiOptions { force: self.0.force, no_prune: self.0.no_prune };
        let users = |id: &Digest| users_of(engine, id);
        each_answer(&self.0.images, |image| {
            let meant = store.resolve(image).ok();
            let removed = rmi(&store, image, options, &users)?;
            for one in &removed {
                match (one, &meant) {
                    (Removed::Untagged(name), Some(id)) => {
                        engine.tell_of_image("untag", id, &name.to_string());
                    }
                    (Removed::Untagged(_), None) => {}
                    (Removed::Image(id), _) => {
                        engine.tell_of_image("delete", id, &id.to_string());
                    }
                }
            }
            Ok(removed.iter().map(text).collect::<Vec<_>>().join("\n"))
        })
    }
}

fn users_of(engine: &Engine, id: &Digest) -> Result<Vec<ImageUser>> {
    let users = engine.image_users()?.into_iter().filter(|(image, ..)| image == id);
    Ok(users.map(|(_, container, running)| ImageUser { container, running }).collect())
}

pub fn text(removed: &Removed) -> String {
    match removed {
        Removed::Untagged(name) => format!("Untagged: {name}"),
        Removed::Image(id) => format!("Deleted: {id}"),
    }
}
