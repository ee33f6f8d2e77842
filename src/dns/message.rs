//! DNS messages, as far as they matter to a resolver that knows some names and passes on the rest:
//! questions are read, answers composed, and answers of others held against their questions.
//!
//! A name in a question is not compressed, as nothing stands before it that it could refer to; in
//! other places names are passed over and not followed, so no message can lead us in a circle.
//! Source: RFC 1035 (messages), RFC 6891 (EDNS), RFC 3596 (IPv6), RFC 4343 (letters of names).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HEADER: usize = 12;

pub const A: u16 = 1;
pub const PTR: u16 = 12;
pub const AAAA: u16 = 28;
pub const ANY: u16 = 255;
const OPT: u16 = 41;

/// The class of the internet.
pub const IN: u16 = 1;

const RESPONSE: u16 = 1 << 15;
const OPCODE: u16 = 15 << 11;
const TRUNCATED: u16 = 1 << 9;
const RECURSION_DESIRED: u16 = 1 << 8;
const RECURSION_AVAILABLE: u16 = 1 << 7;
const CHECKING_DISABLED: u16 = 1 << 4;

/// How a question went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Code {
    NoError = 0,
    FormatError = 1,
    ServerFailure = 2,
    NotImplemented = 4,
    /// Of EDNS: its upper bits stand in the OPT record.
    BadVersion = 16,
}

/// What a UDP packet may have where nobody says otherwise.
pub const PLAIN_UDP: usize = 512;
/// What a message over TCP may have.
pub const TCP: usize = u16::MAX as usize;
/// What we take by UDP ourselves: no packet of this size is split on its way.
const OUR_UDP: u16 = 1232;

/// How long an answer of ours may be kept: as long as Docker's.
const SECONDS_TO_LIVE: u32 = 600;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    pub id: u16,
    flags: u16,
    /// In lower case and without the dot at the end. `None` where it has characters that no name
    /// of a host has.
    pub name: Option<String>,
    pub kind: u16,
    pub class: u16,
    /// Name, kind and class as they were written.
    written: Vec<u8>,
    edns: Option<Edns>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Edns {
    /// What the asker takes by UDP.
    size: u16,
    version: u8,
}

/// Why there is no question in a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NoQuestion {
    /// Nobody waits for an answer to it.
    Ignore,
    Answer(Vec<u8>),
}

/// Data of an answer to a question; its name and class are those of the question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Data {
    Address(IpAddr),
    Name(String),
}

impl Question {
    /// Reads a packet as a question.
    pub fn read(packet: &[u8]) -> Result<Question, NoQuestion> {
        let mut reader = Reader { packet, at: 0 };
        let mut head = [0; 6];
        for field in &mut head {
            *field = reader.number().ok_or(NoQuestion::Ignore)?;
        }
        let [id, flags, questions, answers, authorities, more] = head;
        if flags & RESPONSE != 0 {
            return Err(NoQuestion::Ignore);
        }
        let refuse = |code| {
            let nothing =
                Question { written: Vec::new(), edns: None, ..Question::blank(id, flags) };
            NoQuestion::Answer(nothing.answer(code, &[], PLAIN_UDP))
        };
        if flags & OPCODE != 0 {
            return Err(refuse(Code::NotImplemented));
        }
        if questions != 1 {
            return Err(refuse(Code::FormatError));
        }
        let records = [answers, authorities, more].map(usize::from).iter().sum();
        let question = reader.question(Question::blank(id, flags), records);
        question.ok_or_else(|| refuse(Code::FormatError))
    }

    fn blank(id: u16, flags: u16) -> Question {
        Question { id, flags, name: None, kind: 0, class: 0, written: Vec::new(), edns: None }
    }

    /// The size of an answer that its asker takes by UDP.
    pub fn udp_limit(&self) -> usize {
        self.edns.map_or(PLAIN_UDP, |edns| usize::from(edns.size).max(PLAIN_UDP))
    }

    /// It speaks a later version of EDNS than there is.
    pub fn is_of_later_version(&self) -> bool {
        self.edns.is_some_and(|edns| edns.version > 0)
    }

    /// An answer of at most `limit` bytes, with as much of `data` as goes in; the asker is told
    /// where that is not all.
    pub fn answer(&self, code: Code, data: &[Data], limit: usize) -> Vec<u8> {
        let code = code as u16;
        let mut flags = RESPONSE | RECURSION_AVAILABLE | (code & 15);
        flags |= self.flags & (OPCODE | RECURSION_DESIRED | CHECKING_DISABLED);
        let opt = self.edns.map_or(0, |_| 11);
        let mut bytes = vec![0; HEADER];
        bytes.extend(&self.written);
        let mut answers = 0u16;
        for data in data {
            let Some((kind, data)) = data.written() else { continue };
            if bytes.len() + HEADER + data.len() + opt > limit {
                flags |= TRUNCATED;
                break;
            }
            // The name is the one that begins behind the header.
            bytes.extend([0xc0, HEADER as u8]);
            bytes.extend(kind.to_be_bytes());
            bytes.extend(IN.to_be_bytes());
            bytes.extend(SECONDS_TO_LIVE.to_be_bytes());
            bytes.extend((data.len() as u16).to_be_bytes());
            bytes.extend(data);
            answers += 1;
        }
        if self.edns.is_some() {
            bytes.push(0);
            bytes.extend(OPT.to_be_bytes());
            bytes.extend(OUR_UDP.to_be_bytes());
            bytes.extend([(code >> 4) as u8, 0, 0, 0, 0, 0]);
        }
        let questions = u16::from(!self.written.is_empty());
        let head = [self.id, flags, questions, answers, 0, u16::from(self.edns.is_some())];
        for (at, field) in bytes.chunks_exact_mut(2).zip(head) {
            at.copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    /// Whether `packet` is an answer to this question, which was sent on with `id`. Some servers
    /// leave the question out where they refuse it.
    pub fn is_answered_by(&self, packet: &[u8], id: u16) -> bool {
        let field =
            |n: usize| packet.get(2 * n..2 * n + 2).map(|b| u16::from_be_bytes([b[0], b[1]]));
        let (Some(flags), Some(questions)) = (field(1), field(2)) else { return false };
        let Some(rest) = packet.get(HEADER..) else { return false };
        let ours = match questions {
            0 => flags & 15 != 0,
            // A length is no letter, so letters can be compared without knowing which are which.
            1 => rest.get(..self.written.len()).is_some_and(|written| {
                let (name, kind) = written.split_at(written.len().saturating_sub(4));
                let (our_name, our_kind) = self.written.split_at(name.len());
                name.eq_ignore_ascii_case(our_name) && kind == our_kind
            }),
            _ => false,
        };
        ours && field(0) == Some(id) && flags & (RESPONSE | OPCODE) == RESPONSE
    }

    /// Tells the asker to come again by TCP.
    pub fn truncated(&self) -> Vec<u8> {
        let mut packet = self.answer(Code::NoError, &[], PLAIN_UDP);
        packet[2] |= (TRUNCATED >> 8) as u8;
        packet
    }
}

/// The code of an answer, without what EDNS adds.
pub fn code(packet: &[u8]) -> u8 {
    packet.get(3).map_or(0, |byte| byte & 15)
}

/// Gives a message another id.
pub fn set_id(packet: &mut [u8], id: u16) {
    if let Some(place) = packet.get_mut(..2) {
        place.copy_from_slice(&id.to_be_bytes());
    }
}

impl Data {
    /// Kind and bytes. `None` for a name that cannot be written.
    fn written(&self) -> Option<(u16, Vec<u8>)> {
        Some(match self {
            Data::Address(IpAddr::V4(address)) => (A, address.octets().to_vec()),
            Data::Address(IpAddr::V6(address)) => (AAAA, address.octets().to_vec()),
            Data::Name(name) => (PTR, written(name)?),
        })
    }
}

/// A name as it stands in messages.
fn written(name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        if label.is_empty() || label.len() > 63 {
            return None;
        }
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    (bytes.len() <= 255).then_some(bytes)
}

/// The address that a name of the reverse tree stands for.
pub fn reversed_address(name: &str) -> Option<IpAddr> {
    if let Some(labels) = name.strip_suffix(".in-addr.arpa") {
        let address: Ipv4Addr = labels.parse().ok()?;
        let [a, b, c, d] = address.octets();
        return Some(Ipv4Addr::new(d, c, b, a).into());
    }
    let labels = name.strip_suffix(".ip6.arpa")?;
    let mut address = 0u128;
    let mut count = 0;
    for label in labels.rsplit('.') {
        let is_digit = label.len() == 1;
        let digit = is_digit.then(|| u128::from_str_radix(label, 16).ok()).flatten()?;
        address = address << 4 | digit;
        count += 1;
    }
    (count == 32).then(|| Ipv6Addr::from(address).into())
}

struct Reader<'a> {
    packet: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let bytes = self.packet.get(self.at..)?.get(..count)?;
        self.at += count;
        Some(bytes)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// The rest of a message with one question and so many records.
    fn question(&mut self, mut question: Question, records: usize) -> Option<Question> {
        question.name = self.name()?;
        question.kind = self.number()?;
        question.class = self.number()?;
        question.written = self.packet.get(HEADER..self.at)?.to_vec();
        for _ in 0..records {
            let is_root = self.packet.get(self.at) == Some(&0);
            self.pass_name()?;
            let (kind, size) = (self.number()?, self.number()?);
            let version = self.take(4)?[1];
            let length = self.number()?;
            self.take(usize::from(length))?;
            if kind == OPT {
                // There is one at most, and it has no name.
                if !is_root || question.edns.is_some() {
                    return None;
                }
                question.edns = Some(Edns { size, version });
            }
        }
        Some(question)
    }

    /// A name of at most 255 bytes, uncompressed.
    fn name(&mut self) -> Option<Option<String>> {
        let start = self.at;
        let mut name = Some(String::new());
        loop {
            let length = self.byte()?;
            if self.at + usize::from(length) - start > 255 || length > 63 {
                return None;
            }
            if length == 0 {
                return Some(name);
            }
            let label = self.take(length.into())?;
            let is_plain = label.iter().all(|b| b.is_ascii_graphic() && *b != b'.' && *b != b'/');
            match &mut name {
                Some(name) if is_plain => {
                    if !name.is_empty() {
                        name.push('.');
                    }
                    name.extend(label.iter().map(|b| char::from(b.to_ascii_lowercase())));
                }
                _ => name = None,
            }
        }
    }

    /// Passes over a name, compressed or not.
    fn pass_name(&mut self) -> Option<()> {
        loop {
            match self.byte()? {
                0 => return Some(()),
                length @ ..64 => drop(self.take(length.into())?),
                192.. => return self.byte().map(drop),
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
pub mod tests;
