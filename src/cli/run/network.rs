//! What `--network` says of a container.

use crate::cli::network::{address, address6};
use crate::engine::options::{Membership, NetworkMode};
use crate::error::{Error, Result};
use crate::network::DEFAULT;

/// What `--network` says, each time.
pub fn networks(texts: &[String], networking: bool) -> Result<(NetworkMode, Vec<Membership>)> {
    let mut modes = Vec::new();
    let mut memberships = Vec::new();
    for text in texts {
        match (text.as_str(), text.strip_prefix("container:")) {
            ("", _) => {
                return Err(Error::invalid("--network: \"\" is no network")
                    .hint("leave it away for the default one"));
            }
            ("none", _) => modes.push(NetworkMode::None),
            ("host", _) => modes.push(NetworkMode::Host),
            (_, Some("")) => {
                return Err(Error::invalid("--network: container: is without a name")
                    .hint("write container:NAME or container:ID"));
            }
            (_, Some(name)) => modes.push(NetworkMode::Container(name.to_string())),
            _ => match text.parse() {
                Ok(mode) => modes.push(NetworkMode::UserMode(mode)),
                Err(_) => memberships.push(membership(text)?),
            },
        }
    }
    if !networking {
        return match &texts {
            [] => Ok((NetworkMode::None, memberships)),
            [name] if name == "none" => Ok((NetworkMode::None, memberships)),
            [name, ..] => Err(Error::invalid(format!(
                "--networking=false and --network {name} exclude each other"
            ))),
        };
    }
    match (modes.pop(), texts) {
        (None, _) => Ok((NetworkMode::Bridge, memberships)),
        (Some(mode), [_]) => Ok((mode, memberships)),
        (Some(mode), _) => {
            Err(Error::invalid(format!("--network {mode} and other networks exclude each other")))
        }
    }
}

/// What is said of the first network: names and addresses on it.
pub fn place(
    aliases: &[String],
    [ip, ip6]: [&Option<String>; 2],
    networks: &mut [Membership],
) -> Result<()> {
    let asked =
        [("--network-alias", aliases.first()), ("--ip", ip.as_ref()), ("--ip6", ip6.as_ref())];
    let ip = ip.as_ref().map(|text| address("--ip", text)).transpose()?;
    let ip6 = ip6.as_ref().map(|text| address6("--ip6", text)).transpose()?;
    match (networks, asked.iter().find_map(|(flag, text)| Some((flag, (*text)?)))) {
        (_, None) => {}
        ([], Some((flag, text))) => {
            return Err(Error::invalid(format!(
                "{flag} {text}: it is for a network of the user's"
            ))
            .hint("choose one with --network NAME"));
        }
        ([first, ..], _) => {
            first.aliases.extend(aliases.iter().cloned());
            first.address = ip.or(first.address);
            first.address6 = ip6.or(first.address6);
        }
    }
    Ok(())
}

/// `NAME`, or `name=NAME,alias=...,ip=...` as Docker has it.
fn membership(text: &str) -> Result<Membership> {
    let wrong = |error: Error| error.doing(format!("--network {text}"));
    if !text.contains('=') {
        return Ok(Membership::new(if text == "default" { DEFAULT } else { text }));
    }
    let mut wanted = Membership::new("");
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("name", name)) => wanted.network = name.to_string(),
            Some(("alias", alias)) => wanted.aliases.push(alias.to_string()),
            Some(("ip", ip)) => wanted.address = Some(address("ip", ip).map_err(wrong)?),
            Some(("ip6", ip)) => wanted.address6 = Some(address6("ip6", ip).map_err(wrong)?),
            _ => {
                return Err(wrong(Error::invalid(format!("\"{part}\" is unknown")))
                    .hint("write name=NAME,alias=NAME,ip=ADDRESS,ip6=ADDRESS"));
            }
        }
    }
    match wanted.network.is_empty() {
        true => Err(wrong(Error::invalid("name= is missing"))),
        false => Ok(wanted),
    }
}
