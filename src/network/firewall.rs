//! Rules of others that are in the way of containers: ufw, firewalld, Docker beside us.
//!
//! Every chain at the forward hook has its say, whatever ours lets through. So we follow a packet
//! into the bridge and one out of it through each of theirs, as packets that nobody makes an
//! exception for, of each version that the bridge has: what depends on more than the name of the bridge is passed over. Where such a
//! packet is dropped, we tell which rule would let it through, and add none: the chain is not ours.
//!
//! Chains of iptables-nft are such chains; those of iptables-legacy are read as if they were.

use super::Bridge;
use super::rules::{Version, transit, version};
use crate::error::Result;
use crate::sys::netlink::nftables::{
    self as nft, Chain, Element, Expression, Family, Source, Tables, Verdict,
};
use crate::sys::xtables;

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

/// The rules of others.
trait Ruleset {
    /// What a user changes them with, where they are of iptables.
    const IPTABLES: &str;

    fn rules(&mut self, chain: &Chain) -> Result<Vec<Vec<Expression>>>;
    fn elements(&mut self, chain: &Chain, set: &str) -> Result<Vec<Element>>;
}

impl Ruleset for Tables {
    const IPTABLES: &str = "iptables";

    fn rules(&mut self, chain: &Chain) -> Result<Vec<Vec<Expression>>> {
        Tables::rules(self, chain)
    }

    fn elements(&mut self, chain: &Chain, set: &str) -> Result<Vec<Element>> {
        Tables::elements(self, chain.family, &chain.table, set)
    }
}

/// Those of iptables-legacy: each chain with its rules.
struct Legacy(Vec<(Chain, Vec<Vec<Expression>>)>);

impl Ruleset for Legacy {
    const IPTABLES: &str = "iptables-legacy";

    fn rules(&mut self, chain: &Chain) -> Result<Vec<Vec<Expression>>> {
        let is_it = |other: &Chain| other.name == chain.name && other.family == chain.family;
        let found = self.0.iter().find(|(other, _)| is_it(other));
        Ok(found.map(|(_, rules)| rules.clone()).unwrap_or_default())
    }

    fn elements(&mut self, _: &Chain, _: &str) -> Result<Vec<Element>> {
        Ok(Vec::new())
    }
}

/// A sentence for each chain that is in the way of what comes from the bridge or goes there.
pub(super) fn obstacles(tables: &mut Tables, bridge: &Bridge) -> Result<Vec<String>> {
    let chains = tables.chains()?;
    let mut found = obstacles_in(tables, &chains, bridge)?;
    let legacy = xtables::filter()?;
    let chains: Vec<Chain> = legacy.iter().map(|(chain, _)| chain.clone()).collect();
    found.extend(obstacles_in(&mut Legacy(legacy), &chains, bridge)?);
    Ok(found)
}

fn obstacles_in<R: Ruleset>(
    rules: &mut R,
    chains: &[Chain],
    bridge: &Bridge,
) -> Result<Vec<String>> {
    let versions = version::all(bridge.subnet6.is_some());
    let bridge = bridge.name.as_str();
    let mut found = Vec::new();
    let ours = [bridge, transit::NAME];
    let is_theirs = |c: &&Chain| c.hook == Some(nft::FORWARD) && !ours.contains(&c.table.as_str());
    for chain in chains.iter().filter(is_theirs) {
        let mut dropped = Vec::new();
        let sees = |version: &&Version| [Family::Inet, version.table].contains(&chain.family);
        for way in Way::ALL {
            let mut passes = true;
            for version in versions.iter().filter(sees) {
                let family = version.family;
                let mut walk = Walk { rules, chains, bridge, family, way, is_named: false };
                let let_through = walk.follow(chain, 0)?.unwrap_or(!chain.drops);
                // firewalld has put the bridge into a zone, whose rules it may have.
                passes &= let_through || (chain.table == FIREWALLD && walk.is_named);
            }
            if !passes {
                dropped.push(way);
            }
        }
        if !dropped.is_empty() {
            found.push(warning(R::IPTABLES, chains, chain, bridge, &dropped));
        }
    }
    Ok(found)
}

const FIREWALLD: &str = "firewalld";

struct Walk<'a, R> {
    rules: &'a mut R,
    chains: &'a [Chain],
    bridge: &'a str,
    /// `NFPROTO_...`
    family: u8,
    way: Way,
    /// A rule asks for the bridge.
    is_named: bool,
}

impl<R: Ruleset> Walk<'_, R> {
    /// Whether the packet is accepted or dropped on its way through a chain, if either.
    fn follow(&mut self, chain: &Chain, depth: usize) -> Result<Option<bool>> {
        if depth == DEEPEST {
            return Ok(None);
        }
        for rule in self.rules.rules(chain)? {
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
                    let elements = self.rules.elements(chain, set)?;
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
            (Source::Family, _) => test(&[self.family]) == is,
            (Source::InputName, Way::Out) | (Source::OutputName, Way::In) => {
                self.is_named |= test(&name);
                test(&name) == is
            }
            // Any other link: all that is known is that it is not the bridge.
            _ => !is && test(&name),
        }
    }
}

fn warning(
    iptables: &str,
    chains: &[Chain],
    chain: &Chain,
    bridge: &str,
    dropped: &[Way],
) -> String {
    let family = match chain.family {
        Family::Inet => "inet",
        Family::Ipv6 => "ip6",
        _ => "ip",
    };
    let iptables = match chain.family {
        Family::Ipv6 => iptables.replacen("ip", "ip6", 1),
        _ => iptables.to_string(),
    };
    let Chain { table, name, .. } = chain;
    let has = |name: &str| {
        let is_it = |c: &Chain| c.name == name && c.table == *table && c.family == chain.family;
        chains.iter().any(is_it)
    };
    let is_iptables = family != "inet" && table == "filter" && name == "FORWARD";
    let cure = |way: &Way| {
        let [option, word] = way.words();
        match is_iptables {
            true if has("ufw-user-forward") => {
                let word = if *way == Way::Out { "in" } else { "out" };
                format!("ufw route allow {word} on {bridge}")
            }
            true if has("DOCKER-USER") => {
                format!("{iptables} -I DOCKER-USER {option} {bridge} -j ACCEPT")
            }
            true => format!("{iptables} -I FORWARD {option} {bridge} -j ACCEPT"),
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
