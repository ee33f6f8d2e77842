//! The tables of iptables-legacy (x_tables), read as those of nf_tables are: what others have at
//! the forward hook.
//!
//! A table is one block of entries, chain after chain; each chain but those at hooks begins with an
//! entry whose target is ERROR and has its name. Those of IPv4 and IPv6 differ in where an entry has
//! what. Source: linux/netfilter_ipv4/ip_tables.h, linux/netfilter_ipv6/ip6_tables.h and
//! linux/netfilter/x_tables.h.

use super::netlink::nftables::{Chain, Expression, FORWARD, Family, Source, Verdict};
use super::{inet, raw};
use crate::error::{Error, Result};
use crate::types::Protocol;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;

const FILTER: &str = "filter";

const GET_INFO: i32 = 64;
const GET_ENTRIES: i32 = 65;
const NAME: usize = 32;

/// struct ipt_getinfo: where the chain at each hook begins, its last entry (the policy), and the
/// size of the block.
const INFO: usize = 84;
const HOOKS: usize = 36;
const POLICIES: usize = 56;
const SIZE: usize = 80;
/// struct ipt_get_entries: before the block.
const HEAD: usize = 40;

/// The tables of one version of IP.
struct Version {
    family: Family,
    /// Those that the kernel has already: to ask for another one would make it.
    names: &'static str,
    any: IpAddr,
    level: i32,
    /// The size of struct ipt_entry, or ip6t_entry.
    entry: usize,
    /// What is in front of the names of links: two addresses and their masks.
    addresses: usize,
    protocol: usize,
    flags: usize,
    inverted: usize,
    goto: u8,
    target: usize,
    next: usize,
}

static VERSIONS: [Version; 2] = [
    Version {
        family: Family::Ipv4,
        names: "/proc/net/ip_tables_names",
        any: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        level: libc::IPPROTO_IP,
        entry: 112,
        addresses: 16,
        protocol: 80,
        flags: 82,
        inverted: 83,
        goto: 2,
        target: 88,
        next: 90,
    },
    Version {
        family: Family::Ipv6,
        names: "/proc/net/ip6_tables_names",
        any: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        level: libc::IPPROTO_IPV6,
        entry: 168,
        addresses: 64,
        protocol: 128,
        flags: 131,
        inverted: 132,
        goto: 4,
        target: 140,
        next: 142,
    },
];

const LINK: usize = 16;
/// struct xt_entry_target and xt_entry_match: size, name, then their own data.
const OWN: usize = 32;

/// The chains of the tables `filter` of both versions, where there are any, each with its rules.
pub fn filter() -> Result<Vec<(Chain, Vec<Vec<Expression>>)>> {
    let mut all = Vec::new();
    for version in &VERSIONS {
        all.extend(version.filter()?);
    }
    Ok(all)
}

impl Version {
    fn filter(&self) -> Result<Vec<(Chain, Vec<Vec<Expression>>)>> {
        let names = fs::read_to_string(self.names).unwrap_or_default();
        if !names.lines().any(|name| name == FILTER) {
            return Ok(Vec::new());
        }
        let failed = |e| Error::os("read", "the tables of iptables-legacy", e);
        let socket = inet::open(SocketAddr::new(self.any, 0), Protocol::Udp).map_err(failed)?;
        let ask = |option, size: usize, length: u32| -> Result<Vec<u8>> {
            let mut answer = vec![0; size];
            answer[..FILTER.len()].copy_from_slice(FILTER.as_bytes());
            if size > INFO {
                answer[NAME..NAME + 4].copy_from_slice(&length.to_ne_bytes());
            }
            raw::get_option(socket.as_fd(), self.level, option, &mut answer)
                .map_err(|e| failed(e.into()))?;
            Ok(answer)
        };
        let info = ask(GET_INFO, INFO, 0)?;
        let size = word(&info, SIZE).unwrap_or(0);
        let block = ask(GET_ENTRIES, HEAD + size as usize, size)?;
        Ok(self.chains(&info, block.get(HEAD..).unwrap_or_default()))
    }

    fn chains(&self, info: &[u8], block: &[u8]) -> Vec<(Chain, Vec<Vec<Expression>>)> {
        let forward = |table: usize| word(info, table + 4 * FORWARD as usize).map(|at| at as usize);
        let (start, policy) = (forward(HOOKS), forward(POLICIES));
        let chain = |name: String, hook| Chain {
            family: self.family,
            table: FILTER.into(),
            name,
            hook,
            drops: false,
        };
        // First the names: rules jump to places.
        let starts: Vec<(usize, String)> = self
            .entries(block)
            .filter_map(|(at, entry)| {
                let is_name = self.target(entry) == b"ERROR";
                let name = text(self.own(entry).filter(|_| is_name)?);
                Some((at + entry.len(), name))
            })
            .collect();
        let mut found: Vec<(Chain, Vec<Vec<Expression>>)> = Vec::new();
        let mut is_ours = false;
        for (at, entry) in self.entries(block) {
            if let Some((_, name)) = starts.iter().find(|(start, _)| *start == at) {
                found.push((chain(name.clone(), None), Vec::new()));
                is_ours = true;
            } else if Some(at) == start {
                found.push((chain("FORWARD".into(), Some(FORWARD)), Vec::new()));
                is_ours = true;
            }
            let Some((chain, rules)) = found.last_mut().filter(|_| is_ours) else { continue };
            let rule = self.rule(entry, &starts);
            if Some(at) == policy {
                chain.drops = rule.contains(&Expression::Verdict(Verdict::Drop));
                // What follows is the chain of another hook, or the first that has a name.
                is_ours = false;
            } else {
                rules.push(rule);
            }
        }
        found
    }

    /// Each entry and where it is.
    fn entries<'a>(&self, block: &'a [u8]) -> impl Iterator<Item = (usize, &'a [u8])> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let length = usize::from(half(block, at + self.next)?);
            let entry = block.get(at..at + length).filter(|entry| entry.len() >= self.entry)?;
            at += length;
            Some((at - length, entry))
        })
    }

    fn target<'a>(&self, entry: &'a [u8]) -> &'a [u8] {
        let at = half(entry, self.target).map_or(0, usize::from);
        let name = entry.get(at + 2..at + OWN - 1).unwrap_or_default();
        name.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// The target's own data.
    fn own<'a>(&self, entry: &'a [u8]) -> Option<&'a [u8]> {
        entry.get(usize::from(half(entry, self.target)?) + OWN..)
    }

    fn rule(&self, entry: &[u8], starts: &[(usize, String)]) -> Vec<Expression> {
        const VIA_IN: u8 = 1;
        const VIA_OUT: u8 = 2;
        let inverted = entry[self.inverted];
        let mut rule = Vec::new();
        // The names of both links, then their masks.
        for (nth, source, flag) in
            [(0, Source::InputName, VIA_IN), (1, Source::OutputName, VIA_OUT)]
        {
            let at = self.addresses + nth * LINK;
            let mask = &entry[at + 2 * LINK..][..LINK];
            let named = mask.iter().take_while(|byte| **byte != 0);
            let start = entry[at..at + named.count()].to_vec();
            if !start.is_empty() {
                rule.push(Expression::Compare { source, is: inverted & flag == 0, start });
            }
        }
        // Addresses, a protocol, fragments; and whatever matches ask for.
        let of_all = entry[..self.addresses].iter().all(|byte| *byte == 0)
            && half(entry, self.protocol) == Some(0)
            && entry[self.flags] & !self.goto == 0
            && inverted & !(VIA_IN | VIA_OUT) == 0;
        let matches = usize::from(half(entry, self.target).unwrap_or(0));
        if !of_all || !are_comments(entry.get(self.entry..matches).unwrap_or_default()) {
            rule.push(Expression::Other);
        }
        let verdict = || self.own(entry).and_then(|own| word(own, 0)).map(|verdict| verdict as i32);
        let verdict = match self.target(entry) {
            b"REJECT" => Verdict::Drop,
            b"" => match verdict() {
                Some(-1) => Verdict::Drop,
                Some(-2) => Verdict::Accept,
                Some(-5) => Verdict::Return,
                Some(to) => match starts.iter().find(|(at, _)| i32::try_from(*at) == Ok(to)) {
                    Some((_, name)) if entry[self.flags] & self.goto != 0 => {
                        Verdict::Goto(name.clone())
                    }
                    Some((_, name)) => Verdict::Jump(name.clone()),
                    None => return rule,
                },
                None => return rule,
            },
            _ => return rule,
        };
        rule.push(Expression::Verdict(verdict));
        rule
    }
}

fn are_comments(mut matches: &[u8]) -> bool {
    while let Some(length) = half(matches, 0).map(usize::from).filter(|length| *length >= OWN) {
        if !matches[2..].starts_with(b"comment\0") {
            return false;
        }
        matches = matches.get(length..).unwrap_or_default();
    }
    true
}

fn text(bytes: &[u8]) -> String {
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}
