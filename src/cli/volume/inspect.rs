//! `volume inspect`: all about volumes, in Docker's JSON.

use crate::cli::command::Command;
use crate::cli::inspect::show;
use crate::cli::template::Template;
use crate::engine::Engine;
use crate::engine::report::InspectVolume;
use crate::error::Result;
use argh::{ArgsInfo, FromArgs};

/// Show all about one or more volumes
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// print by a template: json or '{{.Mountpoint}}'
    #[argh(option, short = 'f', arg_name = "string")]
    format: Option<String>,
    #[argh(positional)]
    volumes: Vec<String>,
}

pub struct Inspect {
    format: Option<Template>,
    volumes: Vec<String>,
}

impl Command for Inspect {
    type Args = Args;
    const NAME: &'static str = "volume inspect";
    const USAGE: &'static str = "VOLUME [VOLUME...]";

    fn new(args: Args) -> Result<Inspect> {
        let format = Template::wanted(args.format)?;
        Ok(Inspect { format, volumes: args.volumes })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        show(self.format.as_ref(), &self.volumes, |name| {
            Ok(InspectVolume::from(&engine.volume(name)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::inspect::render;
    use crate::cli::volume::sample;

    #[test]
    fn the_json_is_dockers() {
        let volume = InspectVolume::from(&sample("web", &[("tier", "front")], true));
        let expected = r#"[
    {
        "CreatedAt": "2014-05-13T16:53:20.000000000Z",
        "Driver": "local",
        "Labels": {
            "tier": "front"
        },
        "Mountpoint": "/root/volumes/web/data",
        "Name": "web",
        "Options": null,
        "Scope": "local"
    }
]
"#;
        assert_eq!(render(None, &[volume]).unwrap(), expected);
        assert_eq!(render::<InspectVolume>(None, &[]).unwrap(), "[]\n");
    }
}
