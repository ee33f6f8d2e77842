//! nf_tables: tables of chains of rules, and the sets and maps that rules look things up in.
//!
//! Changes go in batches, which the kernel takes whole or not at all. Source:
//! linux/netfilter/nf_tables.h, linux/netfilter/nfnetlink.h; how a listing by nft(8) gets its words,
//! libnftables' datatype.h.

mod listing;
mod step;

pub use listing::*;
pub use step::*;

use super::{ACK, DUMP, Message, Refusal, Socket, acknowledged, attribute, attributes, text};
use crate::error::{Error, Result};
use crate::sys::raw;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;

/// Whose packets a table sees (netfilter.h).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// IPv4 and IPv6.
    Inet = 1,
    Ipv4 = 2,
    Ipv6 = 10,
    /// Frames, between the ports of bridges.
    Bridge = 7,
}

/// `Source::Family`
pub const NFPROTO_IPV4: u8 = Family::Ipv4 as u8;
pub const NFPROTO_IPV6: u8 = Family::Ipv6 as u8;

const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const SUBSYSTEM: u16 = 10;

const NEW_TABLE: u16 = 0;
const GET_TABLE: u16 = 1;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const GET_CHAIN: u16 = 4;
const NEW_RULE: u16 = 6;
const GET_RULE: u16 = 7;
const NEW_SET: u16 = 9;
const GET_SET: u16 = 10;
const NEW_ELEMENT: u16 = 12;
const GET_ELEMENT: u16 = 13;
const DELETE_ELEMENT: u16 = 14;

const CREATE: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_CREATE) as u16;
const APPEND: u16 = CREATE | libc::NLM_F_APPEND as u16;
const REQUEST: u16 = libc::NLM_F_REQUEST as u16;

/// Elements of one message: its list has two bytes for its length.
const ELEMENTS_MAX: usize = 400;
/// What a socket takes at once without being told.
const SEND_BUFFER: usize = 64 << 10;

/// Where packets are looked at (netfilter.h), by which kind of chain, and in which order.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    pub kind: &'static str,
    pub number: u32,
    pub priority: i32,
}

pub const PREROUTING: u32 = 0;
pub const INPUT: u32 = 1;
pub const FORWARD: u32 = 2;
pub const OUTPUT: u32 = 3;
pub const POSTROUTING: u32 = 4;

/// The parts of keys and values, by nft's numbers for them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    Ipv4 = 7,
    Ipv6 = 8,
    Protocol = 12,
    Port = 13,
}

/// An entry of a set (without a value) or a map.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Element {
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

/// Changes of tables, for `Tables::commit`.
#[derive(Debug)]
pub struct Batch {
    /// Those of the next change.
    table: String,
    family: Family,
    bytes: Vec<u8>,
    /// Where the last message begins.
    last: usize,
    count: u32,
    removes: bool,
}

impl Batch {
    /// One that begins with changes of the inet table called `table`.
    pub fn new(table: &str) -> Batch {
        let (table, family) = (table.to_string(), Family::Inet);
        let (bytes, removes) = (Vec::new(), false);
        let mut batch = Batch { table, family, bytes, last: 0, count: 0, removes };
        batch.push(Message::new(BATCH_BEGIN, REQUEST, &general(0, SUBSYSTEM)));
        batch
    }

    /// The changes from here on are of the inet table of this name.
    pub fn turn_to_table(&mut self, table: &str) {
        self.table = table.to_string();
        self.family = Family::Inet;
    }

    /// The changes from here on are of the table of this family.
    pub fn turn_to(&mut self, family: Family) {
        self.family = family;
    }

    /// Makes the table; `comment` is what a listing shows, and `Tables::table` tells.
    pub fn make_table(&mut self, comment: &str) {
        let mut message = message(self.family, NEW_TABLE, CREATE);
        message.put_name(1, &self.table);
        message.put(6, &user_data(comment));
        self.push(message);
    }

    /// Has the table, which is there, see packets or none.
    pub fn wake_table(&mut self, awake: bool) {
        const DORMANT: u32 = 1;
        let flags = if awake { 0 } else { DORMANT };
        let mut message = message(self.family, NEW_TABLE, CREATE);
        message.put_name(1, &self.table);
        message.put(2, &flags.to_be_bytes());
        self.push(message);
    }

    /// Removes the table, which is there, and all that is in it.
    pub fn remove_table(&mut self) {
        self.removes = true;
        let mut message = message(self.family, DELETE_TABLE, REQUEST);
        message.put_name(1, &self.table);
        self.push(message);
    }

    /// A chain that rules jump to, or that a hook leads to.
    pub fn chain(&mut self, name: &str, hook: Option<Hook>) {
        let mut message = message(self.family, NEW_CHAIN, CREATE);
        message.put_name(1, &self.table);
        message.put_name(3, name);
        if let Some(hook) = hook {
            message.nest(4, |nest| {
                nest.put(1, &hook.number.to_be_bytes());
                nest.put(2, &hook.priority.to_be_bytes());
            });
            message.put_name(7, hook.kind);
        }
        self.push(message);
    }

    /// A set, or, with fields for values, a map.
    pub fn set(&mut self, name: &str, key: &[Field], value: &[Field]) {
        const MAP: u32 = 8;
        let mut message = message(self.family, NEW_SET, CREATE);
        message.put_name(1, &self.table);
        message.put_name(2, name);
        let flags = if value.is_empty() { 0 } else { MAP };
        message.put(3, &flags.to_be_bytes());
        message.put(4, &kind_of(key).to_be_bytes());
        message.put(5, &length_of(key).to_be_bytes());
        if !value.is_empty() {
            message.put(6, &kind_of(value).to_be_bytes());
            message.put(7, &length_of(value).to_be_bytes());
        }
        // Any number that no other set of the batch has.
        message.put(10, &self.count.to_be_bytes());
        self.push(message);
    }

    /// Adds a rule at the end of a chain; `comment` is what a listing shows beside it.
    pub fn rule(&mut self, chain: &str, comment: &str, steps: &[Step]) {
        let mut message = message(self.family, NEW_RULE, APPEND);
        message.put_name(1, &self.table);
        message.put_name(2, chain);
        message.nest(4, |list| steps.iter().for_each(|step| step.put(list)));
        message.put(7, &user_data(comment));
        self.push(message);
    }

    pub fn add(&mut self, set: &str, elements: &[Element]) {
        self.elements(NEW_ELEMENT, CREATE, set, elements);
    }

    /// Removes elements that are there.
    pub fn remove(&mut self, set: &str, elements: &[Element]) {
        self.removes |= !elements.is_empty();
        self.elements(DELETE_ELEMENT, REQUEST, set, elements);
    }

    fn elements(&mut self, kind: u16, flags: u16, set: &str, elements: &[Element]) {
        for elements in elements.chunks(ELEMENTS_MAX) {
            let mut message = message(self.family, kind, flags);
            message.put_name(1, &self.table);
            message.put_name(2, set);
            message.nest(3, |list| {
                for element in elements {
                    list.nest(1, |nest| {
                        nest.nest(1, |key| key.put(1, &element.key));
                        if let Some(value) = &element.value {
                            nest.nest(2, |data| data.put(1, value));
                        }
                    });
                }
            });
            self.push(message);
        }
    }

    /// Whether nothing was put into it.
    pub fn is_empty(&self) -> bool {
        self.count == 1
    }

    /// Each message has its number for a sequence.
    fn push(&mut self, message: Message) {
        self.last = self.bytes.len();
        let mut bytes = message.finish();
        bytes[8..12].copy_from_slice(&self.count.to_ne_bytes());
        self.bytes.extend(bytes);
        self.count += 1;
    }
}

/// Six bits a field.
fn kind_of(fields: &[Field]) -> u32 {
    fields.iter().fold(0, |kind, field| kind << 6 | *field as u32)
}

/// Each field is padded to four bytes.
fn length_of(fields: &[Field]) -> u32 {
    fields.iter().map(|field| if *field == Field::Ipv6 { 16 } else { 4 }).sum()
}

/// An address as a part of a key or a value.
pub fn ipv4(address: Ipv4Addr) -> [u8; 4] {
    address.octets()
}

/// The same of either version.
pub fn address(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

pub fn protocol(number: u8) -> [u8; 4] {
    [number, 0, 0, 0]
}

pub fn port(number: u16) -> [u8; 4] {
    let [high, low] = number.to_be_bytes();
    [high, low, 0, 0]
}

/// The name of a link as it is compared.
pub fn link_name(name: &str) -> [u8; 16] {
    let mut padded = [0; 16];
    for (to, from) in padded.iter_mut().take(15).zip(name.bytes()) {
        *to = from;
    }
    padded
}

/// struct nfgenmsg: family, version, resource.
pub(super) fn general(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

fn message(family: Family, kind: u16, flags: u16) -> Message {
    Message::new(SUBSYSTEM << 8 | kind, flags, &general(family as u8, 0))
}

/// A comment as nft(8) keeps it: type, length, text.
fn user_data(comment: &str) -> Vec<u8> {
    let text = [comment.as_bytes(), b"\0"].concat();
    [&[0, text.len() as u8], text.as_slice()].concat()
}

/// The tables of one network namespace. Where something was removed, the kernel has whoever closes
/// such a socket wait until nobody looks at it any more (ten milliseconds and more), and meanwhile
/// lets nobody else change rules: so it is better kept until the process ends, and we wait for that
/// ourselves before.
#[derive(Debug)]
pub struct Tables {
    pub(super) socket: Socket,
    has_removed: bool,
}

impl Drop for Tables {
    fn drop(&mut self) {
        if self.has_removed {
            // Where the kernel does not wait here, it does so at the close.
            let _ = raw::grace_period();
        }
    }
}

impl Tables {
    /// Errors: the kernel has no nf_tables.
    pub fn open() -> Result<Tables> {
        match Socket::new(libc::NETLINK_NETFILTER) {
            Ok(socket) => Ok(Tables { socket, has_removed: false }),
            Err(e) => Err(Error::os("open", "an nf_tables socket", e)
                .hint("the kernel needs its modules nfnetlink and nf_tables")),
        }
    }

    /// The comment of a table that is there: empty where it has none, or the kernel keeps none
    /// (before 5.10).
    pub fn table(&mut self, family: Family, name: &str) -> Result<Option<String>> {
        let mut request = message(family, GET_TABLE, ACK);
        request.put_name(1, name);
        let mut comment = String::new();
        let asked = self.socket.exchange(&request.finish(), &mut |_, body| {
            let data = body.get(4..).and_then(|attributes| attribute(attributes, 6));
            comment = data.and_then(|data| data.get(2..)).map(text).unwrap_or_default();
        });
        match asked {
            Ok(()) => Ok(Some(comment)),
            Err(refusal) if is_missing(&refusal) => Ok(None),
            Err(refusal) => Err(refused(refusal, "look up table", name)),
        }
    }

    pub fn has_set(&mut self, family: Family, table: &str, set: &str) -> Result<bool> {
        let mut request = message(family, GET_SET, ACK);
        request.put_name(1, table);
        request.put_name(2, set);
        match self.socket.exchange(&request.finish(), &mut |_, _| {}) {
            Ok(()) => Ok(true),
            Err(refusal) if is_missing(&refusal) => Ok(false),
            Err(refusal) => Err(refused(refusal, "look up set", set)),
        }
    }

    /// All elements of a set; none where there is no such set.
    pub fn elements(&mut self, family: Family, table: &str, set: &str) -> Result<Vec<Element>> {
        let mut request = message(family, GET_ELEMENT, DUMP);
        request.put_name(1, table);
        request.put_name(2, set);
        let request = request.finish();
        for _ in 0..10 {
            let mut all = Vec::new();
            let asked = self.socket.exchange(&request, &mut |_, body| parse(body, &mut all));
            match asked {
                Ok(()) => return Ok(all),
                Err(refusal) if is_missing(&refusal) => return Ok(Vec::new()),
                Err(refusal) if refusal.source.kind() == io::ErrorKind::Interrupted => {}
                Err(refusal) => return Err(refused(refusal, "read set", set)),
            }
        }
        Err(Error::conflict(format!("the set {set} changes all the time")))
    }

    /// Makes all the changes, or none.
    pub fn commit(&mut self, mut batch: Batch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.has_removed |= batch.removes;
        let last = batch.count - 1;
        // Refusals always come; the last message tells that all were looked at.
        let flags = batch.last + 6;
        if let Some(flags) = batch.bytes.get_mut(flags..flags + 2) {
            let old = u16::from_ne_bytes([flags[0], flags[1]]);
            flags.copy_from_slice(&(old | ACK).to_ne_bytes());
        }
        batch.push(Message::new(BATCH_END, REQUEST, &general(0, SUBSYSTEM)));
        let sent = self.transact(&batch.bytes, last);
        sent.map_err(|refusal| refused(refusal, "change table", &batch.table))
    }

    fn transact(&mut self, bytes: &[u8], last: u32) -> std::result::Result<(), Refusal> {
        if bytes.len() > SEND_BUFFER {
            let size = bytes.len() as libc::c_int;
            let (socket, level) = (self.socket.fd.as_fd(), libc::SOL_SOCKET);
            // Where it is refused, sending tells.
            let _ = raw::set_option(socket, level, libc::SO_SNDBUFFORCE, size);
        }
        raw::send(self.socket.fd.as_fd(), bytes, 0).map_err(io::Error::from)?;
        let mut first = Ok(());
        loop {
            for answer in self.socket.receive()? {
                let answer = answer?;
                if i32::from(answer.kind) != libc::NLMSG_ERROR {
                    continue;
                }
                let told = acknowledged(answer.flags, answer.body);
                // Number 0 begins the batch: it was refused as a whole.
                let is_end = answer.sequence == last || (answer.sequence == 0 && told.is_err());
                if first.is_ok() {
                    first = told;
                }
                if is_end {
                    return first;
                }
            }
        }
    }
}

/// Of what was asked for by its name: nfnetlink says EINVAL where nobody would answer, in a kernel
/// without nf_tables.
fn is_missing(refusal: &Refusal) -> bool {
    matches!(refusal.source.raw_os_error(), Some(libc::ENOENT | libc::EINVAL))
}

fn refused(refusal: Refusal, op: &'static str, target: &str) -> Error {
    let errno = refusal.source.raw_os_error();
    let error = refusal.error(op, target);
    match errno {
        // Tables, chains and sets that a batch needs are in it: what is missing is the kernel's.
        Some(libc::ENOENT | libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EINVAL) => error.hint(
            "the kernel needs its modules nf_tables, nft_chain_nat, nft_nat, nft_masq, nft_ct and \
             nft_fib_inet (5.2 or later)",
        ),
        _ => error,
    }
}

/// The elements of one message of a dump.
fn parse(body: &[u8], all: &mut Vec<Element>) {
    let list = body.get(4..).and_then(|attributes| attribute(attributes, 3));
    for (_, element) in attributes(list.unwrap_or_default()) {
        let value = |kind| attribute(attribute(element, kind)?, 1).map(<[u8]>::to_vec);
        if let Some(key) = value(1) {
            all.push(Element { key, value: value(2) });
        }
    }
}
