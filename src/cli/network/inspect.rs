//! `network inspect`: all about networks, in Docker's JSON.

use crate::cli::command::Command;
use crate::cli::inspect::show;
use crate::cli::template::Template;
use crate::engine::Engine;
use crate::engine::report::InspectNetwork;
use crate::error::Result;
use argh::{ArgsInfo, FromArgs};

/// Show all about one or more networks
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// print by a template: json or '{{.Driver}}'
    #[argh(option, short = 'f', arg_name = "string")]
    format: Option<String>,
    #[argh(positional)]
    networks: Vec<String>,
}

pub struct Inspect {
    format: Option<Template>,
    networks: Vec<String>,
}

impl Command for Inspect {
    type Args = Args;
    const NAME: &'static str = "network inspect";
    const USAGE: &'static str = "NETWORK [NETWORK...]";

    fn new(args: Args) -> Result<Inspect> {
        let format = Template::wanted(args.format)?;
        Ok(Inspect { format, networks: args.networks })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        show(self.format.as_ref(), &self.networks, |name| {
            Ok(InspectNetwork::from(&engine.inspect_network(name)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::inspect::render;
    use crate::cli::network::sample;

    #[test]
    fn the_json_is_dockers() {
        let network = InspectNetwork::from(&sample("web", &[("tier", "front")]));
        let id = "07".repeat(32);
        let expected = format!(
            r#"[
    {{
        "Name": "web",
        "Id": "{id}",
        "Created": "2014-05-13T16:53:20.000000000Z",
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv4": true,
        "EnableIPv6": false,
        "IPAM": {{
            "Driver": "default",
            "Options": {{}},
            "Config": [
                {{
                    "Subnet": "172.18.0.0/16",
                    "Gateway": "172.18.0.1"
                }}
            ]
        }},
        "Internal": false,
        "Attachable": false,
        "Ingress": false,
        "Containers": {{}},
        "Options": {{}},
        "Labels": {{
            "tier": "front"
        }}
    }}
]
"#
        );
        assert_eq!(render(None, &[network]).unwrap(), expected);
    }
}
