//! `rmi`: names of images, and images without the last of them, go.

use super::command::{Command, each_answer};
use crate::engine::Engine;
use crate::engine::image::{ImageUser, Removed, RmiOptions, Users, rmi};
use crate::error::Result;
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
        let users = || users(engine);
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

fn users(engine: &Engine) -> Result<Users> {
    let mut users = Users::new();
    for (image, container, running) in engine.image_users()? {
        users.entry(image).or_default().push(ImageUser { container, running });
    }
    Ok(users)
}

pub fn text(removed: &Removed) -> String {
    match removed {
        Removed::Untagged(name) => format!("Untagged: {name}"),
        Removed::Image(id) => format!("Deleted: {id}"),
    }
}
