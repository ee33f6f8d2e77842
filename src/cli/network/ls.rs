//! `network ls`: the table of networks.

use super::{Filter, SCOPE};
use crate::cli::command::Command;
use crate::cli::listing::{Listing, Row, labels};
use crate::engine::Engine;
use crate::engine::report::Network;
use crate::error::Result;
use argh::{ArgsInfo, FromArgs};
use serde_json::json;

/// List networks
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// show only: name=part, id=start, driver=..., label=key[=value], type=builtin|custom, dangling=true|false
    #[argh(option, short = 'f', arg_name = "filter")]
    filter: Vec<String>,
    /// show whole ids
    #[argh(switch)]
    no_trunc: bool,
    /// print by a template: json, '{{.Name}}' or 'table {{.Name}}\t{{.Driver}}'
    #[argh(option, arg_name = "string")]
    format: Option<String>,
    /// show ids only
    #[argh(switch, short = 'q')]
    quiet: bool,
}

pub struct Ls {
    filters: Vec<Filter>,
    listing: Listing,
    no_trunc: bool,
}

const HEAD: [&str; 4] = ["NETWORK ID", "NAME", "DRIVER", "SCOPE"];

impl Command for Ls {
    type Args = Args;
    const NAME: &'static str = "network ls";
    const USAGE: &'static str = "";

    fn new(args: Args) -> Result<Ls> {
        let keys = ["dangling", "driver", "id", "label", "name", "scope", "type"];
        let filters = args.filter.iter().map(|text| Filter::parse(text, &keys));
        Ok(Ls {
            filters: filters.collect::<Result<_>>()?,
            listing: Listing::new(args.format, args.quiet, ("ID", HEAD[0]))?,
            no_trunc: args.no_trunc,
        })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        self.listing.show(&HEAD, self.rows(&engine.all_networks()?))?;
        Ok(0)
    }
}

impl Ls {
    fn rows<'a>(&self, networks: &'a [Network]) -> Vec<Row<'a>> {
        let shown = networks.iter().filter(|network| Filter::all_match(&self.filters, network));
        shown.map(|network| self.row(network)).collect()
    }

    fn row<'a>(&self, network: &'a Network) -> Row<'a> {
        let (definition, driver) = (&network.definition, &network.driver);
        let id = match self.no_trunc {
            true => definition.id.clone(),
            false => definition.id[..12].to_string(),
        };
        let fields = json!({
            "CreatedAt": definition.created.in_go(),
            "Driver": driver,
            "ID": id,
            "IPv4": "true",
            "IPv6": definition.subnet6.is_some().to_string(),
            "Internal": definition.internal.to_string(),
            "Labels": labels(&definition.labels),
            "Name": definition.name,
            "Scope": SCOPE,
        });
        let cells = [&id[..], &definition.name, driver, SCOPE].map(String::from).to_vec();
        Row { name: id, cells, fields, labels: &definition.labels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::network::sample;

    #[test]
    fn the_table_is_dockers() {
        let networks = [sample("data", &[]), sample("web", &[("a", "1"), ("b", "")])];
        let rendered = |args: &[&str]| {
            let args = Args::from_args(&["network ls"], args).unwrap();
            let ls = Ls::new(args).unwrap();
            ls.listing.render(&HEAD, ls.rows(&networks)).unwrap()
        };
        assert_eq!(
            rendered(&[]),
            "NETWORK ID     NAME      DRIVER    SCOPE\n\
             070707070707   data      bridge    local\n\
             070707070707   web       bridge    local\n"
        );
        let whole = "07".repeat(32) + "\n";
        assert_eq!(rendered(&["--quiet", "--no-trunc", "--filter", "label=a"]), whole);
        let format = "{{.Name}} {{.Labels}} {{.Internal}} {{.IPv6}} {{.Label \"a\"}}";
        let format = ["--format", format, "--filter", "name=w"];
        assert_eq!(rendered(&format), "web a=1,b= false false 1\n");
    }
}
