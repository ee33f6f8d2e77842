//! `network ls`: the table of networks.

use super::{Filter, SCOPE};
use crate::cli::command::Command;
use crate::cli::output;
use crate::cli::table::table;
use crate::cli::template::Template;
use crate::engine::Engine;
use crate::engine::report::Network;
use crate::error::Result;
use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

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
    format: Option<Template>,
    no_trunc: bool,
    quiet: bool,
}

impl Command for Ls {
    type Args = Args;
    const NAME: &'static str = "network ls";
    const USAGE: &'static str = "";

    fn new(args: Args) -> Result<Ls> {
        let keys = ["dangling", "driver", "id", "label", "name", "scope", "type"];
        let filters = args.filter.iter().map(|text| Filter::parse(text, &keys));
        Ok(Ls {
            filters: filters.collect::<Result<_>>()?,
            format: Template::wanted(args.format)?,
            no_trunc: args.no_trunc,
            quiet: args.quiet,
        })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        output::rendered(self.format.as_ref(), &self.render(&engine.all_networks()?)?)?;
        Ok(0)
    }
}

impl Ls {
    fn render(&self, networks: &[Network]) -> Result<String> {
        let shown = networks.iter().filter(|network| Filter::all_match(&self.filters, network));
        if self.quiet {
            return Ok(shown.map(|network| format!("{}\n", self.id(network))).collect());
        }
        if let Some(template) = &self.format {
            let shown: Vec<&Network> = shown.collect();
            let fields: Vec<Value> = shown.iter().map(|one| self.fields(one)).collect();
            return template.render_all(&fields, &|at| Some(&shown[at].definition.labels));
        }
        let mut lines = vec![["NETWORK ID", "NAME", "DRIVER", "SCOPE"].map(String::from).to_vec()];
        lines.extend(shown.map(|network| {
            let name = network.definition.name.clone();
            vec![self.id(network), name, network.driver.clone(), SCOPE.to_string()]
        }));
        Ok(table(&lines))
    }

    fn id(&self, network: &Network) -> String {
        let id = &network.definition.id;
        if self.no_trunc { id.clone() } else { id[..12].to_string() }
    }

    fn fields(&self, network: &Network) -> Value {
        let definition = &network.definition;
        let labels = definition.labels.iter().map(|(key, value)| format!("{key}={value}"));
        json!({
            "CreatedAt": definition.created,
            "Driver": network.driver,
            "ID": self.id(network),
            "IPv4": "true",
            "IPv6": definition.subnet6.is_some().to_string(),
            "Internal": definition.internal.to_string(),
            "Labels": labels.collect::<Vec<_>>().join(","),
            "Name": definition.name,
            "Scope": SCOPE,
        })
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
            Ls::new(args).unwrap().render(&networks).unwrap()
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
