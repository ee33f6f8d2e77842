//! netlink: how the network of a namespace is asked about and changed.
//!
//! ```text
//! route       rtnetlink: links, addresses, routes
//! nftables    nf_tables: what becomes of packets
//! conntrack   the connections that the kernel keeps in mind
//! ```
//!
//! Requests are ready-made bytes, so that a container's child can send them between clone and
//! exec (`Step::Netlink`); `Socket` is for everybody else. Source: netlink(7); a message is a
//! header of 16 bytes, a struct by type, then attributes of four bytes' header each, all padded to
//! four bytes.

pub mod conntrack;
pub mod nftables;
mod route;

/// What the kernel answers where a request cannot be.
pub use libc::{EADDRINUSE, EBUSY, EEXIST, ENODEV, EOPNOTSUPP};
pub use route::*;

use super::raw;
use crate::error::{Error, Result};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// A finished request; it asks for an acknowledgement.
pub type Request = Vec<u8>;

const HEADER: usize = 16;
const ACK: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
const CREATE: u16 = ACK | (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
const REPLACE: u16 = ACK | (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;
const DUMP: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
const NLA_F_NESTED: u16 = 1 << 15;

struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn new(kind: u16, flags: u16, header: &[u8]) -> Message {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend(0u32.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]); // sequence and port
        bytes.extend(header);
        Message { bytes }
    }

    fn put(&mut self, kind: u16, data: &[u8]) {
        self.nest_as(kind, |message| message.bytes.extend(data));
    }

    fn put_name(&mut self, kind: u16, name: &str) {
        self.put(kind, &[name.as_bytes(), b"\0"].concat());
    }

    fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Message)) {
        self.nest_as(kind | NLA_F_NESTED, fill);
    }

    fn nest_as(&mut self, kind: u16, fill: impl FnOnce(&mut Message)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        fill(self);
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Request {
        let length = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes
    }
}

/// A connection to the network configuration of one namespace: that in which it was opened.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    buffer: Vec<u8>,
}

impl Socket {
    /// `protocol` is one of `NETLINK_...`.
    fn new(protocol: libc::c_int) -> io::Result<Socket> {
        let fd = raw::netlink(protocol)?;
        // Errors in words, and without the request repeated. Older kernels do without.
        for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK] {
            let _ = raw::set_option(fd.as_fd(), libc::SOL_NETLINK, option, 1);
        }
        Ok(Socket { fd, buffer: vec![0; 32 << 10] })
    }

    /// Sends a request and waits for its acknowledgement. `op` and `target` are for the error,
    /// which also has the kernel's own words.
    pub fn request(&mut self, op: &'static str, target: &str, request: &[u8]) -> Result<()> {
        self.exchange(request, &mut |_, _| {}).map_err(|refusal| refusal.error(op, target))
    }

    /// Sends a request and hands each answer (type, body) to `each` until the last one.
    fn exchange(
        &mut self,
        request: &[u8],
        each: &mut dyn FnMut(u16, &[u8]),
    ) -> std::result::Result<(), Refusal> {
        let fd = self.fd.as_fd();
        raw::send(fd, request, 0).map_err(io::Error::from)?;
        let mut disturbed = false;
        loop {
            for answer in self.receive()? {
                let Answer { kind, flags, body, .. } = answer?;
                disturbed |= flags & libc::NLM_F_DUMP_INTR != 0;
                match i32::from(kind) {
                    libc::NLMSG_ERROR => return acknowledged(flags, body),
                    libc::NLMSG_DONE if disturbed => {
                        return Err(io::Error::from(io::ErrorKind::Interrupted).into());
                    }
                    libc::NLMSG_DONE => return acknowledged(flags, body),
                    _ => each(kind, body),
                }
                // One message without MULTI to a request without ACK is the whole answer.
                let asked = u16_at(request, 6).map_or(0, i32::from);
                if asked & (libc::NLM_F_ACK | libc::NLM_F_DUMP) == 0 {
                    return Ok(());
                }
            }
        }
    }

    /// What has come, at least one answer.
    fn receive(&mut self) -> io::Result<Answers<'_>> {
        let fd = self.fd.as_fd();
        // The true length is told, and one beyond the buffer refused.
        let receive = || raw::recv(fd, &mut self.buffer, libc::MSG_TRUNC);
        let got = raw::retry(receive).map_err(io::Error::from)?;
        Ok(Answers(self.buffer.get(..got).ok_or(io::ErrorKind::InvalidData)?))
    }
}

struct Answer<'a> {
    kind: u16,
    flags: i32,
    sequence: u32,
    body: &'a [u8],
}

/// The answers of one datagram.
struct Answers<'a>(&'a [u8]);

impl<'a> Iterator for Answers<'a> {
    type Item = io::Result<Answer<'a>>;

    fn next(&mut self) -> Option<io::Result<Answer<'a>>> {
        let length = u32_at(self.0, 0)? as usize;
        let Some(message) = self.0.get(..length).filter(|_| length >= HEADER) else {
            self.0 = &[];
            return Some(Err(io::ErrorKind::InvalidData.into()));
        };
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok(Answer {
            kind: u16_at(message, 4)?,
            flags: i32::from(u16_at(message, 6)?),
            sequence: u32_at(message, 8)?,
            body: message.get(HEADER..)?,
        }))
    }
}

/// The kernel's no.
struct Refusal {
    source: io::Error,
    words: String,
}

impl Refusal {
    fn error(self, op: &'static str, target: &str) -> Error {
        match self.words.as_str() {
            "" => Error::os(op, target, self.source),
            words => Error::os(op, format!("{target} ({words})"), self.source),
        }
    }
}

impl From<io::Error> for Refusal {
    fn from(source: io::Error) -> Refusal {
        Refusal { source, words: String::new() }
    }
}

impl From<io::ErrorKind> for Refusal {
    fn from(kind: io::ErrorKind) -> Refusal {
        io::Error::from(kind).into()
    }
}

/// Reads struct nlmsgerr (or the errno at the end of a dump), and the words behind it.
fn acknowledged(flags: i32, body: &[u8]) -> std::result::Result<(), Refusal> {
    const NLM_F_CAPPED: i32 = 0x100;
    const NLM_F_ACK_TLVS: i32 = 0x200;
    const NLMSGERR_ATTR_MSG: u16 = 1;
    let errno = u32_at(body, 0).map_or(0, |n| (n as i32).wrapping_neg());
    if errno == 0 {
        return Ok(());
    }
    let repeated = match flags & NLM_F_CAPPED {
        0 => u32_at(body, 4).unwrap_or(0) as usize,
        _ => HEADER,
    };
    let words = match flags & NLM_F_ACK_TLVS {
        0 => None,
        _ => attribute(body.get(4 + repeated..).unwrap_or_default(), NLMSGERR_ATTR_MSG),
    };
    Err(Refusal {
        source: io::Error::from_raw_os_error(errno),
        words: words.map(text).unwrap_or_default(),
    })
}

/// Each attribute: its kind and its data.
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)? & !NLA_F_NESTED;
        let data = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, data))
    })
}

/// The first attribute of this kind.
fn attribute(all: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(all).find(|(found, _)| *found == kind).map(|(_, data)| data)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).trim_end_matches('\0').to_string()
}
