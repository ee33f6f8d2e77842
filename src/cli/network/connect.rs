//! `network connect`.

use crate::cli::command::Command;
use crate::engine::Engine;
use crate::engine::options::Membership;
use crate::error::{Error, Result};
use argh::{ArgsInfo, FromArgs};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Put a container on a network, at once where it runs
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// one more name by which others find it there
    #[argh(option, arg_name = "list")]
    alias: Vec<String>,
    /// the address it is to have there
    #[argh(option, arg_name = "address")]
    ip: Option<String>,
    /// the same by IPv6: it has the same place in both ranges
    #[argh(option, arg_name = "address")]
    ip6: Option<String>,
    #[argh(positional)]
    names: Vec<String>,
}

pub struct Connect {
    container: String,
    wanted: Membership,
}

impl Command for Connect {
    type Args = Args;
    const NAME: &'static str = "network connect";
    const USAGE: &'static str = "NETWORK CONTAINER";

    fn new(args: Args) -> Result<Connect> {
        let [network, container] = args.names.try_into().unwrap_or_default();
        let address = args.ip.map(|text| address("--ip", &text)).transpose()?;
        let address6 = args.ip6.map(|text| address6("--ip6", &text)).transpose()?;
        let wanted = Membership { network, aliases: args.alias, address, address6 };
        Ok(Connect { container, wanted })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        engine.connect(&self.container, &self.wanted).map(|()| 0)
    }
}

/// Reads the value of a flag.
pub fn address(flag: &str, text: &str) -> Result<Ipv4Addr> {
    text.parse().map_err(|_| Error::invalid(format!("{flag}: \"{text}\" is no IPv4 address")))
}

pub fn address6(flag: &str, text: &str) -> Result<Ipv6Addr> {
    text.parse().map_err(|_| Error::invalid(format!("{flag}: \"{text}\" is no IPv6 address")))
}
