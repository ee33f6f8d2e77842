//! `network create`.

use super::connect::{address, address6};
use crate::cli::command::{Command, labels, value};
use crate::cli::output;
use crate::engine::{Engine, NetworkOptions};
use crate::error::{Error, Result};
use crate::network::{self, Driver};
use argh::{ArgsInfo, FromArgs};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Make a network
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// an address of the range that something else has (router=172.20.0.9): no container gets it
    #[argh(option, arg_name = "list")]
    aux_address: Vec<String>,
    /// shown by inspect: every container can be put on every network
    #[argh(switch)]
    attachable: bool,
    /// refused: networks come from no other
    #[argh(option, arg_name = "network")]
    config_from: Option<String>,
    /// refused, as --config-from
    #[argh(switch)]
    config_only: bool,
    /// how containers are joined: bridge, macvlan or ipvlan
    #[argh(option, short = 'd', arg_name = "string")]
    driver: Option<String>,
    /// the address of the gateway in the range
    #[argh(option, arg_name = "address")]
    gateway: Vec<String>,
    /// refused: there is no swarm
    #[argh(switch)]
    ingress: bool,
    /// nothing leads out of it or into it
    #[argh(switch)]
    internal: bool,
    /// the part of the range that containers get their addresses from
    #[argh(option, arg_name = "range")]
    ip_range: Option<String>,
    /// true; refused otherwise: a container's place is its IPv4 address
    #[argh(option, arg_name = "bool")]
    ipv4: Option<String>,
    /// containers have IPv6 addresses too
    #[argh(switch)]
    ipv6: bool,
    /// set a label (key=value)
    #[argh(option, arg_name = "list")]
    label: Vec<String>,
    /// what the driver is told: mtu=1400, parent=eth0, mode=l3, com.docker.network.bridge...
    #[argh(option, short = 'o', arg_name = "list")]
    opt: Vec<String>,
    /// how far it reaches: local
    #[argh(option, arg_name = "string")]
    scope: Option<String>,
    /// its range of addresses (172.20.0.0/16); one that is free where none is given. A second one may
    /// be of IPv6 (fd00:1:2:3::/64)
    #[argh(option, arg_name = "range")]
    subnet: Vec<String>,
    #[argh(positional)]
    name: String,
}

pub struct Create(NetworkOptions);

impl Command for Create {
    type Args = Args;
    const NAME: &'static str = "network create";
    const USAGE: &'static str = "NETWORK";

    fn new(args: Args) -> Result<Create> {
        network::check_name(&args.name)?;
        if args.ingress || args.scope.as_deref().is_some_and(|scope| scope != "local") {
            return Err(Error::invalid("--ingress and --scope: a network is on this host alone")
                .hint("leave them out: there is no swarm"));
        }
        if args.config_only || args.config_from.is_some() {
            return Err(Error::invalid(
                "--config-only and --config-from: networks come from no other",
            )
            .hint("give the network its own --subnet, --label and --opt"));
        }
        if args.ipv4.is_some_and(|text| text != "true") {
            return Err(Error::invalid("--ipv4: every network has IPv4")
                .hint("leave it out: --ipv6 adds IPv6"));
        }
        let [subnet, subnet6] = either("--subnet", args.subnet)?;
        let [gateway, gateway6] = either("--gateway", args.gateway)?;
        let mut options = NetworkOptions {
            name: args.name,
            driver: Driver::Bridge,
            subnet: subnet.map(|text| value("--subnet", &text)).transpose()?,
            gateway: gateway.map(|text| address("--gateway", &text)).transpose()?,
            pool: args.ip_range.map(|text| value("--ip-range", &text)).transpose()?,
            reserved: reserved(&args.aux_address)?,
            is_attachable: args.attachable,
            ipv6: args.ipv6,
            subnet6: subnet6.map(|text| value("--subnet", &text)).transpose()?,
            gateway6: gateway6.map(|text| address6("--gateway", &text)).transpose()?,
            internal: args.internal,
            labels: labels("--label", &args.label)?,
            options: Default::default(),
        };
        if let Some(driver) = args.driver {
            options.driver = value("--driver", &driver)?;
        }
        for text in &args.opt {
            let (key, value) = text.split_once('=').ok_or_else(|| {
                Error::invalid(format!("--opt: \"{text}\" has no value")).hint("write key=value")
            })?;
            options.options.insert(key.to_string(), value.to_string());
        }
        Ok(Create(options))
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        output::line(engine.create_network(&self.0)?)?;
        Ok(0)
    }
}

/// `router=172.20.0.9`
fn reserved(texts: &[String]) -> Result<BTreeMap<String, Ipv4Addr>> {
    let mut reserved = BTreeMap::new();
    for text in texts {
        let (name, at) =
            text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
                Error::invalid(format!("--aux-address: \"{text}\" has no name"))
                    .hint("write name=address")
            })?;
        reserved.insert(name.to_string(), address("--aux-address", at)?);
    }
    Ok(reserved)
}

/// At most one of IPv4 and one of IPv6, in this order.
fn either(flag: &str, given: Vec<String>) -> Result<[Option<String>; 2]> {
    let mut found = [None, None];
    for text in given {
        let place = &mut found[usize::from(text.contains(':'))];
        if place.replace(text).is_some() {
            return Err(Error::invalid(format!(
                "{flag}: give one of IPv4 and one of IPv6 at most"
            )));
        }
    }
    Ok(found)
}
