//! `port`: where the ports of a container are on the host; and the column of `ps` that tells it.

use super::command::Command;
use super::output;
use crate::engine::Engine;
use crate::engine::report::Container;
use crate::error::{Error, Result};
use crate::types::{Port, PortRange, Protocol, Published};
use argh::{ArgsInfo, FromArgs};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// Show where the ports of a container are on the host
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    #[argh(positional)]
    container: String,
    #[argh(positional)]
    port: Option<String>,
}

pub struct PortCommand {
    container: String,
    /// As it was written, and what it means.
    port: Option<(String, Port)>,
}

impl Command for PortCommand {
    type Args = Args;
    const NAME: &'static str = "port";
    const USAGE: &'static str = "CONTAINER [PRIVATE_PORT[/PROTO]]";

    fn new(args: Args) -> Result<PortCommand> {
        let port = args.port.map(|text| text.parse().map(|port| (text, port))).transpose()?;
        Ok(PortCommand { container: args.container, port })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let container = engine.container(&self.container)?;
        let published = sorted(container.published());
        let lines = match self.port {
            None => published.iter().map(|one| format!("{} -> {}", one.port, place(one))).collect(),
            Some((text, port)) => {
                let lines = places(&published, port);
                if lines.is_empty() {
                    let name = self.container;
                    let text = format!("no public port '{text}' published for {name}");
                    return Err(Error::not_found(text));
                }
                lines
            }
        };
        output::text(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())?;
        Ok(0)
    }
}

/// `0.0.0.0:8080`, `[::]:8080`
fn place(one: &Published) -> SocketAddr {
    SocketAddr::new(one.address, one.host.get())
}

/// The places of one port. What is on every address is told once, by `0.0.0.0`: the documentation's
/// scripts take the answer for one line.
fn places(published: &[Published], port: Port) -> Vec<String> {
    let all = || published.iter().filter(|one| one.port == port);
    let is_twin = |one: &Published| {
        let other = |v4: &Published| v4.address.is_ipv4() && v4.address.is_unspecified();
        let twin = |v4: &Published| other(v4) && v4.host == one.host;
        one.address.is_ipv6() && one.address.is_unspecified() && all().any(twin)
    };
    all().filter(|one| !is_twin(one)).map(|one| place(one).to_string()).collect()
}

fn sorted(published: &[Published]) -> Vec<Published> {
    let mut all = published.to_vec();
    all.sort_by_key(|one| (one.port.number, one.address, one.host, one.port.protocol));
    all
}

/// The column PORTS: what is published and what is exposed only. Ports next to each other that
/// keep their number are told as a range, before all others (docker/cli, DisplayablePorts).
pub fn column(container: &Container) -> String {
    if !container.is_running() {
        return String::new();
    }
    let published = sorted(container.published());
    let mut all: BTreeSet<(Port, Option<IpAddr>)> = BTreeSet::new();
    let mut others = Vec::new();
    for one in &published {
        match one.host == one.port.number {
            true => drop(all.insert((one.port, Some(one.address)))),
            false => others.push(one.to_string()),
        }
    }
    for text in &container.config.exposed_ports {
        match text.parse::<Port>() {
            Ok(port) if published.iter().any(|one| one.port == port) => {}
            Ok(port) => drop(all.insert((port, None))),
            Err(_) => others.push(text.clone()),
        }
    }
    let mut groups: Vec<(Option<IpAddr>, Protocol, PortRange)> = Vec::new();
    let mut told = Vec::new();
    for (Port { number, protocol }, address) in all {
        let start = PortRange::of(number);
        match groups.iter_mut().find(|(at, of, _)| (*at, *of) == (address, protocol)) {
            None => groups.push((address, protocol, start)),
            Some((.., range)) if range.last.checked_add(1) == Some(number) => range.last = number,
            Some(group) => {
                told.push(group_text(group));
                group.2 = start;
            }
        }
    }
    told.extend(groups.iter().map(group_text));
    told.extend(others);
    told.join(", ")
}

fn group_text((address, protocol, range): &(Option<IpAddr>, Protocol, PortRange)) -> String {
    let inside = format!("{range}/{}", protocol.word());
    match address {
        Some(IpAddr::V6(address)) => format!("[{address}]:{range}->{inside}"),
        Some(address) => format!("{address}:{range}->{inside}"),
        None => inside,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::Status;
    use crate::engine::report::sample;

    fn published(text: &str) -> Vec<Published> {
        text.split_whitespace().map(|one| one.parse().unwrap()).collect()
    }

    #[test]
    fn the_column_is_dockers() {
        for (exposed, open, expected) in [
            ("", "", ""),
            ("53/udp 80/tcp", "", "53/udp, 80/tcp"),
            ("80/tcp", "0.0.0.0:8080->80/tcp", "0.0.0.0:8080->80/tcp"),
            (
                "53/udp 80/tcp",
                "[::]:8080->80/tcp 0.0.0.0:8080->80/tcp",
                "53/udp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp",
            ),
            ("8000/tcp 8001/tcp 8002/tcp 8004/tcp", "", "8000-8002/tcp, 8004/tcp"),
            (
                "80/tcp",
                "0.0.0.0:80->80/tcp 0.0.0.0:81->81/tcp [::]:80->80/tcp [::]:81->81/tcp",
                "0.0.0.0:80-81->80-81/tcp, [::]:80-81->80-81/tcp",
            ),
            ("80-81", "", "80-81"),
        ] {
            let mut web = sample("web", "6");
            web.config.exposed_ports = exposed.split_whitespace().map(String::from).collect();
            web.state.ports = published(open);
            assert_eq!(column(&web), "", "it does not run");
            web.state.status = Status::Running;
            assert_eq!(column(&web), expected);
        }
    }

    #[test]
    fn a_port_is_told_in_one_line_where_it_has_one_number() {
        let all = published(
            "0.0.0.0:8080->80/tcp [::]:8080->80/tcp 127.0.0.1:9->80/tcp [::]:7->7/tcp [::]:53->53/udp",
        );
        let places = |text: &str| places(&sorted(&all), text.parse().unwrap()).join(" ");
        assert_eq!(places("80"), "0.0.0.0:8080 127.0.0.1:9");
        assert_eq!(places("7/tcp"), "[::]:7");
        assert_eq!(places("53"), "");
    }
}
