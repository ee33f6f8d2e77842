//! Questions and answers, byte by byte.

use super::*;

/// A question as glibc sends it.
pub fn ask(name: &str, kind: u16) -> Vec<u8> {
    asked_with(name, kind, None)
}

/// With an OPT record, where there is a size for it.
pub fn asked_with(name: &str, kind: u16, size: Option<u16>) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(size.is_some())];
    packet.extend(if name.is_empty() { vec![0] } else { written(name).unwrap() });
    packet.extend(kind.to_be_bytes());
    packet.extend(IN.to_be_bytes());
    if let Some(size) = size {
        packet.extend([0, 0, 41]);
        packet.extend(size.to_be_bytes());
        packet.extend([0; 6]);
    }
    packet
}

fn code_of(packet: &[u8]) -> Option<u8> {
    match Question::read(packet) {
        Ok(_) => Some(0),
        Err(NoQuestion::Answer(answer)) => Some(code(&answer)),
        Err(NoQuestion::Ignore) => None,
    }
}

#[test]
fn a_question_is_read_in_lower_case() {
    let question = Question::read(&asked_with("WWW.Example.ORG", AAAA, Some(1400))).unwrap();
    assert_eq!(question.name.as_deref(), Some("www.example.org"));
    assert_eq!((question.id, question.kind, question.class), (0x1234, AAAA, IN));
    assert_eq!(question.udp_limit(), 1400);
    assert_eq!(Question::read(&ask("", 2)).unwrap().name.as_deref(), Some(""));
    // A dot or a slash inside of a label, a blank, a letter beyond ASCII.
    for odd in [b'.', b'/', b' ', 0xe4, 0] {
        let mut packet = ask("web", A);
        packet[14] = odd;
        assert_eq!(Question::read(&packet).unwrap().name, None);
    }
}

#[test]
fn an_answer_is_what_others_send() {
    let question = Question::read(&asked_with("db", A, Some(4096))).unwrap();
    let data = [Data::Address("172.18.0.3".parse().unwrap())];
    let expected = b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\x01\x02db\0\0\x01\0\x01\
                     \xc0\x0c\0\x01\0\x01\0\0\x02\x58\0\x04\xac\x12\0\x03\
                     \0\0\x29\x04\xd0\0\0\0\0\0\0";
    assert_eq!(question.answer(Code::NoError, &data, 512), expected);

    let question = Question::read(&ask("3.0.18.172.in-addr.arpa", PTR)).unwrap();
    let data = [Data::Name("db.net".into())];
    let answer = question.answer(Code::NoError, &data, 512);
    let end = b"\xc0\x0c\0\x0c\0\x01\0\0\x02\x58\0\x08\x02db\x03net\0";
    assert!(answer.ends_with(end), "{answer:02x?}");
}

#[test]
fn what_is_no_question_is_refused_or_ignored() {
    let good = asked_with("web", A, Some(1232));
    let with = |at: usize, byte: u8| {
        let mut packet = good.clone();
        packet[at] = byte;
        packet
    };
    const FORMERR: Option<u8> = Some(1);
    const NOTIMP: Option<u8> = Some(4);
    for (what, packet, expected) in [
        ("whole", good.clone(), Some(0)),
        ("nothing", vec![], None),
        ("half a header", good[..11].to_vec(), None),
        ("an answer", with(2, 0x81), None),
        ("an update", with(2, 5 << 3), NOTIMP),
        ("no question", with(5, 0), FORMERR),
        ("two questions", with(5, 2), FORMERR),
        ("a header alone", good[..12].to_vec(), FORMERR),
        ("a name that ends early", good[..15].to_vec(), FORMERR),
        ("a question without a class", good[..19].to_vec(), FORMERR),
        ("a record that is not there", with(11, 2), FORMERR),
        ("half a record", good[..good.len() - 1].to_vec(), FORMERR),
        ("data that is not there", with(good.len() - 1, 1), FORMERR),
        ("a pointer to itself", [&good[..12], &[0xc0, 12, 0, 1, 0, 1]].concat(), FORMERR),
        ("a label of 64", with(12, 64), FORMERR),
    ] {
        assert_eq!(code_of(&packet), expected, "{what}");
    }
    let twice = [&with(11, 2)[..], &good[21..]].concat();
    assert_eq!(code_of(&twice), FORMERR, "two OPT records");
    // One that refers to itself, behind the question: nobody follows it.
    let mut circle = [&good[..21], &[0xc0, 21, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    circle[11] = 1;
    assert_eq!(code_of(&circle), Some(0));
}

#[test]
fn names_are_as_long_as_they_may_be() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    assert_eq!(Question::read(&ask(&longest, A)).unwrap().name, Some(longest.clone()));
    assert_eq!(written(&format!("{longest}a")), None);
    assert_eq!(written(&"a".repeat(64)), None);
    assert_eq!(written("a..b"), None);
    let mut packet = ask(&longest, A);
    // One letter more in the last label.
    packet[12 + 3 * 64] += 1;
    packet.insert(12 + 3 * 64 + 1, b'a');
    assert_eq!(code_of(&packet), Some(1));
}

#[test]
fn reversed_names_are_addresses() {
    for (name, address) in [
        ("3.0.18.172.in-addr.arpa", Some("172.18.0.3")),
        ("1.2.3.in-addr.arpa", None),
        ("256.0.18.172.in-addr.arpa", None),
        ("in-addr.arpa", None),
        ("b.0.0.in-addr.arpa", None),
        (
            "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
            Some("fd00::2"),
        ),
        ("0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", None),
        ("+.0.ip6.arpa", None),
    ] {
        assert_eq!(reversed_address(name), address.map(|a| a.parse().unwrap()), "{name}");
    }
}

#[test]
fn packets_of_the_corpus_and_changed_ones_harm_nobody() {
    crate::types::corpus::fuzz("dns", &["\x00", "\u{1}", "arpa"], 20_000, |packet| {
        match Question::read(packet) {
            Ok(question) => {
                let data = [Data::Address(IpAddr::from([1, 2, 3, 4])), Data::Name("a.b".into())];
                for limit in [PLAIN_UDP, question.udp_limit(), TCP] {
                    let answer = question.answer(Code::NoError, &data, limit);
                    assert!(answer.len() <= limit);
                    assert!(question.is_answered_by(&answer, question.id));
                    assert!(!question.is_answered_by(packet, question.id), "an echo");
                }
                let name = question.name.unwrap_or_default();
                assert!(name.len() < 255 && name == name.to_lowercase() && !name.contains('/'));
                reversed_address(&name);
                Ok(())
            }
            Err(NoQuestion::Ignore) => Err("ignored".into()),
            Err(NoQuestion::Answer(answer)) => {
                assert_eq!((answer.len(), &answer[..2]), (12, &packet[..2]));
                Err("refused".into())
            }
        }
    });
}
