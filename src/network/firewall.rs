//! Rules of others that are in the way of containers: ufw, firewalld, Docker beside us.
//!
//! Every chain at the forward hook has its say, whatever ours lets through. So we follow a packet
//! into the bridge and one out of it through each of theirs, as packets that nobody makes an
//! exception for: what depends on more than the name of the bridge is passed over. Where such a
//! packet is dropped, we tell which rule would let it through, and add none: the chain is not ours.
//!
//! Chains of iptables-nft are such chains. Those of iptables-legacy are not seen.

use crate::error::Result;
use crate::sys::netlink::nftables::{
    self as nft, Chain, Expression, Family, Source, Tables, Verdict,
};

/// Chains jump no deeper (NFT_JUMP_STACK_SIZE).
const DEEPEST: usize = 16;

/// Which name the packet has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Out,
    In,
}

impl Way {
    const ALL: [Way; 2] = [Way::Out, Way::In];

    /// As in iptables and in nft.
    fn words(self) -> [&'static str; 2] {
        match self {
            Way::Out => ["-i", "iifname"],
            Way::In => ["-o", "oifname"],
        }
    }
}

/// A sentence for each chain that is in the way of what comes from the bridge or goes there.
pub(super) fn obstacles(tables: &mut Tables, bridge: &str) -> Result<Vec<String>> {
    let chains = tables.chains()?;
    let mut found = Vec::new();
    // Ours has the bridge's name.
    let is_theirs = |c: &&Chain| c.hook == Some(nft::FORWARD) && c.table != bridge;
    for chain in chains.iter().filter(is_theirs) {
        let mut dropped = Vec::new();
        for way in Way::ALL {
            let mut walk = Walk { tables, chains: &chains, bridge, way, is_named: false };
            let passes = walk.follow(chain, 0)?.unwrap_or(!chain.drops);
            // firewalld has put the bridge into a zone, whose rules it may have.
            let is_known = chain.table == FIREWALLD && walk.is_named;
            if !passes && !is_known {
                dropped.push(way);
            }
        }
        if !dropped.is_empty() {
            found.push(warning(&chains, chain, bridge, &dropped));
        }
    }
    Ok(found)
}

const FIREWALLD: &str = "firewalld";

struct Walk<'a> {
    tables: &'a mut Tables,
    chains: &'a [Chain],
    bridge: &'a str,
    way: Way,
    /// A rule asks for the bridge.
    is_named: bool,
}

impl Walk<'_> {
    /// Whether the packet is accepted or dropped on its way through a chain, if either.
    fn follow(&mut self, chain: &Chain, depth: usize) -> Result<Option<bool>> {
        if depth == DEEPEST {
            return Ok(None);
        }
        for rule in self.tables.rules(chain)? {
            let Some(verdict) = self.verdict(chain, &rule)? else { continue };
            let (to, is_goto) = match verdict {
                Verdict::Accept => return Ok(Some(true)),
                Verdict::Drop => return Ok(Some(false)),
                Verdict::Return => return Ok(None),
                Verdict::Jump(to) => (to, false),
                Verdict::Goto(to) => (to, true),
            };
            let is_it = |other: &&Chain| {
                other.name == to && other.table == chain.table && other.family == chain.family
            };
            let next = self.chains.iter().find(is_it);
            let told = next.map_or(Ok(None), |next| self.follow(next, depth + 1))?;
            if told.is_some() || is_goto {
                return Ok(told);
            }
        }
        Ok(None)
    }

    /// That of a rule which certainly holds.
    fn verdict(&mut self, chain: &Chain, rule: &[Expression]) -> Result<Option<Verdict>> {
        let mut holds = true;
        let mut verdict = None;
        for expression in rule {
            holds &= match expression {
                Expression::Note => true,
                Expression::Other => false,
                Expression::Verdict(found) => {
                    verdict = Some(found.clone());
                    true
                }
                Expression::Compare { source, is, start } => {
                    self.holds(*source, *is, |value| value.starts_with(start))
                }
                Expression::Lookup { source, is, set } => {
                    let elements = self.tables.elements(chain.family, &chain.table, set)?;
                    self.holds(*source, *is, |value| {
                        elements.iter().any(|element| value.starts_with(&element.key))
                    })
                }
            };
        }
        Ok(verdict.filter(|_| holds))
    }

    fn holds(&mut self, source: Source, is: bool, test: impl Fn(&[u8]) -> bool) -> bool {
        let name = nft::link_name(self.bridge);
        match (source, self.way) {
            (Source::Family, _) => test(&[nft::NFPROTO_IPV4]) == is,
            (Source::InputName, Way::Out) | (Source::OutputName, Way::In) => {
                self.is_named |= test(&name);
                test(&name) == is
            }
            // Any other link: all that is known is that it is not the bridge.
            _ => !is && test(&name),
        }
    }
}

fn warning(chains: &[Chain], chain: &Chain, bridge: &str, dropped: &[Way]) -> String {
    let family = match chain.family {
        Family::Inet => "inet",
        _ => "ip",
    };
    let Chain { table, name, .. } = chain;
    let has = |name: &str| chains.iter().any(|other| other.name == name && other.table == *table);
    let is_iptables = family == "ip" && table == "filter" && name == "FORWARD";
    let cure = |way: &Way| {
        let [option, word] = way.words();
        match is_iptables {
            true if has("ufw-user-forward") => {
                let word = if *way == Way::Out { "in" } else { "out" };
                format!("ufw route allow {word} on {bridge}")
            }
            true if has("DOCKER-USER") => {
                format!("iptables -I DOCKER-USER {option} {bridge} -j ACCEPT")
            }
            true => format!("iptables -I FORWARD {option} {bridge} -j ACCEPT"),
            false => format!("nft insert rule {family} {table} {name} {word} {bridge} accept"),
        }
    };
    let cures = match table == FIREWALLD {
        true => format!(
            "firewall-cmd --permanent --zone=trusted --add-interface={bridge}; firewall-cmd --reload"
        ),
        false => dropped.iter().map(cure).collect::<Vec<_>>().join("; "),
    };
    let what = match dropped {
        [Way::Out] => "what containers send",
        [Way::In] => "what is sent to containers",
        _ => "what containers send and are sent",
    };
    format!(
        "the chain {name} of the firewall's table {family} {table} drops {what}; to let it through: \
         {cures}"
    )
}
