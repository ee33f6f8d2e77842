//! What others have in nf_tables: the chains, and of their rules as much as tells whether a packet
//! of a link passes.

use super::{Family, GET_CHAIN, GET_RULE, Source, Tables, general, message, refused};
use crate::error::Result;
use crate::sys::netlink::{DUMP, Message, attribute, attributes, text, u32_at};

/// A chain of IP packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    pub family: Family,
    pub table: String,
    pub name: String,
    /// Where packets enter it, if they do.
    pub hook: Option<u32>,
    /// What becomes of packets that leave it at its end.
    pub drops: bool,
}

/// An expression of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// Holds if what was loaded begins with this (`is`), or does not.
    Compare {
        source: Source,
        is: bool,
        start: Vec<u8>,
    },
    /// Holds if the set has what was loaded (`is`), or has not.
    Lookup {
        source: Source,
        is: bool,
        set: String,
    },
    /// Counts, or writes to a log.
    Note,
    Verdict(Verdict),
    /// May hold or not.
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    Drop,
    Return,
    Jump(String),
    Goto(String),
}

impl Tables {
    pub fn chains(&mut self) -> Result<Vec<Chain>> {
        let all_families = Message::new(super::SUBSYSTEM << 8 | GET_CHAIN, DUMP, &general(0, 0));
        self.list(all_families, "the chains", chain)
    }

    /// The rules of a chain, in order.
    pub fn rules(&mut self, chain: &Chain) -> Result<Vec<Vec<Expression>>> {
        let mut request = message(chain.family, GET_RULE, DUMP);
        request.put_name(1, &chain.table);
        request.put_name(2, &chain.name);
        let mut rules =
            self.list(request, &chain.name, |body| Some((rule_chain(body)?, rule(body))))?;
        // Older kernels tell those of the whole table.
        rules.retain(|(name, _)| *name == chain.name);
        Ok(rules.into_iter().map(|(_, rule)| rule).collect())
    }

    fn list<T>(
        &mut self,
        request: Message,
        target: &str,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>> {
        let mut all = Vec::new();
        let request = request.finish();
        let asked = self.socket.exchange(&request, &mut |_, body| all.extend(parse(body)));
        match asked {
            // Somebody changes it: what was told will do.
            Err(refusal) if refusal.source.kind() == std::io::ErrorKind::Interrupted => Ok(all),
            other => other.map(|()| all).map_err(|refusal| refused(refusal, "read", target)),
        }
    }
}

fn chain(body: &[u8]) -> Option<Chain> {
    const NF_DROP: u32 = 0;
    let family = match body.first()? {
        1 => Family::Inet,
        2 => Family::Ipv4,
        10 => Family::Ipv6,
        _ => return None,
    };
    let attributes = body.get(4..)?;
    let hook = attribute(attributes, 4).and_then(|hook| number(attribute(hook, 1)?));
    Some(Chain {
        family,
        table: text(attribute(attributes, 1)?),
        name: text(attribute(attributes, 3)?),
        hook,
        drops: attribute(attributes, 5).and_then(number) == Some(NF_DROP),
    })
}

fn rule_chain(body: &[u8]) -> Option<String> {
    attribute(body.get(4..)?, 2).map(text)
}

fn rule(body: &[u8]) -> Vec<Expression> {
    let list = body.get(4..).and_then(|attributes| attribute(attributes, 4));
    let mut loaded = None;
    attributes(list.unwrap_or_default())
        .filter_map(|(_, element)| {
            let name = text(attribute(element, 1)?);
            let data = attribute(element, 2).unwrap_or_default();
            expression(&name, data, &mut loaded)
        })
        .collect()
}

/// `loaded` is a register and what is in it.
fn expression(name: &str, data: &[u8], loaded: &mut Option<(u32, Source)>) -> Option<Expression> {
    let word = |kind| attribute(data, kind).and_then(number);
    let source = |register| loaded.filter(|(at, _)| register == Some(*at)).map(|(_, what)| what);
    Some(match name {
        "counter" | "log" => Expression::Note,
        // iptables' own: a comment says nothing, REJECT is an answer.
        "match" if attribute(data, 1).map(text)? == "comment" => Expression::Note,
        "target" if attribute(data, 1).map(text)? == "REJECT" => Expression::Verdict(Verdict::Drop),
        "reject" => Expression::Verdict(Verdict::Drop),
        "meta" => {
            let known = [Source::Family, Source::InputName, Source::OutputName];
            let is_it = |source: &Source| source.meta_key() == word(2);
            let known = known.into_iter().find(is_it);
            *loaded = word(1).zip(known);
            return None;
        }
        "cmp" => match (source(word(1)), word(2)) {
            (Some(source), Some(operator @ 0..=1)) => {
                let start = attribute(attribute(data, 3)?, 1)?.to_vec();
                Expression::Compare { source, is: operator == 0, start }
            }
            _ => Expression::Other,
        },
        "lookup" => match (source(word(2)), word(3)) {
            (Some(source), None) => {
                let is = word(5).is_none_or(|flags| flags & 1 == 0);
                Expression::Lookup { source, is, set: text(attribute(data, 1)?) }
            }
            _ => Expression::Other,
        },
        "immediate" => verdict(data).map_or(Expression::Other, Expression::Verdict),
        _ => Expression::Other,
    })
}

fn verdict(data: &[u8]) -> Option<Verdict> {
    let verdict = attribute(attribute(data, 2)?, 2)?;
    let chain = || attribute(verdict, 2).map(text);
    Some(match number(attribute(verdict, 1)?)? as i32 {
        0 => Verdict::Drop,
        1 => Verdict::Accept,
        -3 => Verdict::Jump(chain()?),
        -4 => Verdict::Goto(chain()?),
        -5 => Verdict::Return,
        _ => return None,
    })
}

fn number(data: &[u8]) -> Option<u32> {
    u32_at(data, 0).map(u32::from_be)
}
