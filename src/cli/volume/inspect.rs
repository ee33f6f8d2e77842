//! `volume inspect`: all about volumes, in Docker's JSON.

use crate::cli::command::Command;
use crate::cli::template::Template;
use crate::cli::{json, output};
use crate::engine::Engine;
use crate::engine::report::InspectVolume;
use crate::error::{Error, Result};
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
        let (mut found, mut errors) = (Vec::new(), Vec::new());
        for name in &self.volumes {
            match engine.volume(name) {
                Ok(volume) => found.push(InspectVolume::from(&volume)),
                Err(e) => errors.push(e),
            }
        }
        // What there is, is shown, whatever else there is not.
        output::rendered(self.format.as_ref(), &self.render(&found)?)?;
        Error::collect(errors).map(|()| 0)
    }
}

impl Inspect {
    fn render(&self, volumes: &[InspectVolume]) -> Result<String> {
        let Some(template) = &self.format else { return Ok(json::pretty(&volumes) + "\n") };
        let values = volumes.iter().map(serde_json::to_value);
        let values: std::result::Result<Vec<_>, _> = values.collect();
        template.render(&values.map_err(|e| Error::invalid(e.to_string()))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::volume::sample;

    #[test]
    fn the_json_is_dockers() {
        let volume = InspectVolume::from(&sample("web", &[("tier", "front")], true));
        let inspect = Inspect { format: None, volumes: Vec::new() };
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
        assert_eq!(inspect.render(&[volume]).unwrap(), expected);
        assert_eq!(inspect.render(&[]).unwrap(), "[]\n");
    }
}
