//! The steps of rules: expressions that load registers, compare them and act.
//!
//! Registers hold four bytes each, and what is longer, or is looked up together, takes several in
//! a row.

use crate::sys::netlink::Message;

/// What can be loaded into a register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// `ipv4` or `ipv6`, one byte.
    Family,
    /// What a frame carries: two bytes, the number of the Ethernet type.
    EtherType,
    /// Whom the sender meant it for: one byte.
    Receiver,
    /// One byte.
    Protocol,
    /// Sixteen bytes.
    InputName,
    OutputName,
    /// What the links are (`bridge`, `wireguard`), as a name is written; those of hardware are nothing.
    InputKind,
    OutputKind,
    /// The groups of the links: four bytes each.
    InputGroup,
    OutputGroup,
    Ipv4Source,
    Ipv4Destination,
    /// Two bytes, with flags.
    Ipv4Fragment,
    /// Sixteen bytes each.
    Ipv6Source,
    Ipv6Destination,
    /// What follows the header: one byte, the number of a protocol or of an extension.
    Ipv6Next,
    /// Two bytes, with flags, of the extension that a fragment has.
    Ipv6Fragment,
    /// Of TCP, UDP and SCTP alike.
    SourcePort,
    DestinationPort,
    /// One byte.
    IcmpType,
    /// Four bytes of bits.
    ConnectionState,
    ConnectionStatus,
    /// What the destination address is to this host: four bytes.
    DestinationKind,
}

/// `Source::ConnectionState`: packets of connections that are known, or belong to one.
pub const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
/// `Source::ConnectionStatus`: the destination was changed.
pub const DESTINATION_CHANGED: u32 = 1 << 5;
/// `Source::DestinationKind`
pub const LOCAL: u32 = 2;
/// `Source::Receiver` of a frame that a bridge was sent itself.
pub const THE_BRIDGE: u8 = 0;

/// Register n, of 16.
pub type Register = u32;

/// A step of a rule. What does not hold ends the rule.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    Load(Source, Register),
    /// Keeps the bits of a mask.
    Mask(Register, &'a [u8]),
    Is(Register, &'a [u8]),
    IsNot(Register, &'a [u8]),
    /// Holds if the set has what stands from the register on.
    In(&'a str, Register),
    /// Holds if the map has it, and loads the value over it.
    Map(&'a str, Register),
    /// To the address, of this family, and the port in these registers.
    Destination(u8, Register, Register),
    /// The source becomes the address of the link that the packet leaves by.
    Masquerade,
    Accept,
    Drop,
    Jump(&'a str),
}

impl Step<'_> {
    pub(super) fn put(&self, list: &mut Message) {
        let mut expression = |name: &str, fill: &mut dyn FnMut(&mut Message)| {
            list.nest(1, |element| {
                element.put_name(1, name);
                element.nest(2, |data| fill(data));
            });
        };
        match *self {
            Step::Load(source, to) => {
                let (name, numbers) = source.expression(at(to));
                expression(name, &mut |data| put_numbers(data, &numbers));
            }
            Step::Mask(register, mask) => expression("bitwise", &mut |data| {
                put_numbers(data, &[(1, at(register)), (2, at(register)), (3, mask.len() as u32)]);
                data.nest(4, |value| value.put(1, mask));
                data.nest(5, |value| value.put(1, &vec![0; mask.len()]));
            }),
            Step::Is(register, value) => {
                expression("cmp", &mut |data| put_comparison(data, register, 0, value));
            }
            Step::IsNot(register, value) => {
                expression("cmp", &mut |data| put_comparison(data, register, 1, value));
            }
            Step::In(set, register) => expression("lookup", &mut |data| {
                data.put_name(1, set);
                put_numbers(data, &[(2, at(register))]);
            }),
            Step::Map(set, register) => expression("lookup", &mut |data| {
                data.put_name(1, set);
                put_numbers(data, &[(2, at(register)), (3, at(register))]);
            }),
            Step::Destination(family, address, port) => {
                let numbers = [(1, 1), (2, family.into()), (3, at(address)), (5, at(port))];
                expression("nat", &mut |data| put_numbers(data, &numbers));
            }
            Step::Masquerade => expression("masq", &mut |_| {}),
            Step::Accept => expression("immediate", &mut |data| put_verdict(data, 1, None)),
            Step::Drop => expression("immediate", &mut |data| put_verdict(data, 0, None)),
            Step::Jump(chain) => {
                expression("immediate", &mut |data| put_verdict(data, -3, Some(chain)));
            }
        }
    }
}

impl Source {
    /// The kernel's number for it, where it stands beside the packet.
    pub(super) fn meta_key(self) -> Option<u32> {
        let (name, numbers) = self.expression(0);
        numbers.get(1).filter(|_| name == "meta").map(|(_, key)| *key)
    }

    /// The expression that loads it, and its attributes.
    fn expression(self, to: u32) -> (&'static str, Vec<(u16, u32)>) {
        const NETWORK_HEADER: u32 = 1;
        const TRANSPORT_HEADER: u32 = 2;
        let meta = |key| ("meta", vec![(1, to), (2, key)]);
        let connection = |key| ("ct", vec![(1, to), (2, key)]);
        let payload =
            |base, offset, length| ("payload", vec![(1, to), (2, base), (3, offset), (4, length)]);
        match self {
            Source::Family => meta(15),
            Source::EtherType => meta(1),
            Source::Receiver => meta(19),
            Source::Protocol => meta(16),
            Source::InputName => meta(6),
            Source::OutputName => meta(7),
            Source::InputKind => meta(26),
            Source::OutputKind => meta(27),
            Source::InputGroup => meta(21),
            Source::OutputGroup => meta(22),
            Source::Ipv4Source => payload(NETWORK_HEADER, 12, 4),
            Source::Ipv4Destination => payload(NETWORK_HEADER, 16, 4),
            Source::Ipv4Fragment => payload(NETWORK_HEADER, 6, 2),
            Source::Ipv6Source => payload(NETWORK_HEADER, 8, 16),
            Source::Ipv6Destination => payload(NETWORK_HEADER, 24, 16),
            Source::Ipv6Next => payload(NETWORK_HEADER, 6, 1),
            Source::Ipv6Fragment => payload(NETWORK_HEADER, 42, 2),
            Source::SourcePort => payload(TRANSPORT_HEADER, 0, 2),
            Source::IcmpType => payload(TRANSPORT_HEADER, 0, 1),
            Source::DestinationPort => payload(TRANSPORT_HEADER, 2, 2),
            Source::ConnectionState => connection(0),
            Source::ConnectionStatus => connection(2),
            // The kind of an address, by the destination.
            Source::DestinationKind => ("fib", vec![(1, to), (2, 3), (3, 2)]),
        }
    }
}

/// The kernel's number of a register: those of sixteen bytes come first.
fn at(register: Register) -> u32 {
    8 + register
}

fn put_numbers(message: &mut Message, numbers: &[(u16, u32)]) {
    for (kind, number) in numbers {
        message.put(*kind, &number.to_be_bytes());
    }
}

fn put_comparison(data: &mut Message, register: Register, operator: u32, value: &[u8]) {
    put_numbers(data, &[(1, at(register)), (2, operator)]);
    data.nest(3, |nest| nest.put(1, value));
}

fn put_verdict(data: &mut Message, code: i32, chain: Option<&str>) {
    put_numbers(data, &[(1, 0)]);
    data.nest(2, |nest| {
        nest.nest(2, |verdict| {
            verdict.put(1, &code.to_be_bytes());
            if let Some(chain) = chain {
                verdict.put_name(2, chain);
            }
        });
    });
}
