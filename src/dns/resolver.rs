//! What becomes of a question: an answer from the names of the container's networks, or on to the
//! servers of the host.
//!
//! A name that is known is never asked for elsewhere, of whatever kind the question is: a host
//! without an IPv6 address has none, and must not seem to be missing (musl's and busybox's old
//! resolvers take one "no such name" for both families).

use super::message::{self, A, AAAA, ANY, Code, Data, IN, NoQuestion, PTR, Question, TCP};
use std::net::IpAddr;

/// The names of a container's networks.
pub trait Names {
    /// The addresses that a name leads to, in order; none where it is unknown. `name` is in lower
    /// case and has no dot at its end.
    fn addresses(&self, name: &str) -> Vec<IpAddr>;

    /// The name of the container with that address.
    fn name_of(&self, address: IpAddr) -> Option<String>;
}

/// How a question came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    Udp,
    Tcp,
}

impl Over {
    /// The most bytes that an answer to `question` may have.
    pub fn limit(self, question: &Question) -> usize {
        match self {
            Over::Udp => question.udp_limit(),
            Over::Tcp => TCP,
        }
    }
}

#[derive(Debug)]
pub enum Decision {
    /// Nobody waits for an answer.
    Ignore,
    Answer(Vec<u8>),
    Forward(Question),
}

pub struct Resolver {
    names: Box<dyn Names>,
    /// Whose turn it is to be the first of several addresses.
    turn: usize,
}

impl Resolver {
    pub fn new(names: Box<dyn Names>) -> Resolver {
        Resolver { names, turn: 0 }
    }

    pub fn decide(&mut self, packet: &[u8], over: Over) -> Decision {
        let question = match Question::read(packet) {
            Ok(question) => question,
            Err(NoQuestion::Ignore) => return Decision::Ignore,
            Err(NoQuestion::Answer(answer)) => return Decision::Answer(answer),
        };
        let Some(data) = self.known(&question) else { return Decision::Forward(question) };
        let limit = over.limit(&question);
        Decision::Answer(match question.is_of_later_version() {
            true => question.answer(Code::BadVersion, &[], limit),
            false => question.answer(Code::NoError, &data, limit),
        })
    }

    /// What we know about the name of a question; `None` where the name is not ours.
    fn known(&mut self, question: &Question) -> Option<Vec<Data>> {
        let name = question.name.as_ref().filter(|_| [IN, ANY].contains(&question.class))?;
        if let Some(address) = message::reversed_address(name) {
            let name = self.names.name_of(address)?;
            let is_asked = [PTR, ANY].contains(&question.kind);
            return Some(is_asked.then_some(Data::Name(name)).into_iter().collect());
        }
        let mut addresses = self.names.addresses(name);
        if addresses.is_empty() {
            return None;
        }
        addresses.retain(|address| match question.kind {
            A => address.is_ipv4(),
            AAAA => address.is_ipv6(),
            kind => kind == ANY,
        });
        if addresses.len() > 1 {
            let first = self.turn % addresses.len();
            addresses.rotate_left(first);
            self.turn = self.turn.wrapping_add(1);
        }
        Some(addresses.into_iter().map(Data::Address).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::{ask, asked_with};
    use super::*;

    struct Known;

    impl Names for Known {
        fn addresses(&self, name: &str) -> Vec<IpAddr> {
            let text: &[&str] = match name {
                "web" => &["172.18.0.2"],
                "db" => &["172.18.0.3", "fd00::3"],
                "shared" => &["172.18.0.4", "172.18.0.5", "172.18.0.6"],
                "many" => return (0..100u8).map(|n| IpAddr::from([10, 0, 0, n])).collect(),
                _ => &[],
            };
            text.iter().map(|address| address.parse().unwrap()).collect()
        }

        fn name_of(&self, address: IpAddr) -> Option<String> {
            (address == IpAddr::from([172, 18, 0, 2])).then(|| "web.net".to_string())
        }
    }

    fn decide(packet: &[u8], over: Over) -> Decision {
        Resolver::new(Box::new(Known)).decide(packet, over)
    }

    /// Code and number of answers.
    #[track_caller]
    fn answered(packet: &[u8]) -> (u8, u8) {
        match decide(packet, Over::Udp) {
            Decision::Answer(answer) => (message::code(&answer), answer[7]),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_known_name_is_answered_whatever_is_asked_about_it() {
        const HTTPS: u16 = 65;
        for (name, kind, answers) in [
            ("web", A, 1),
            ("WEB", A, 1),
            ("db", A, 1),
            ("db", AAAA, 1),
            ("db", ANY, 2),
            ("shared", A, 3),
            ("web", AAAA, 0),
            ("web", HTTPS, 0),
            ("2.0.18.172.in-addr.arpa", PTR, 1),
            ("2.0.18.172.in-addr.arpa", A, 0),
        ] {
            assert_eq!(answered(&ask(name, kind)), (0, answers), "{name} {kind}");
        }
    }

    #[test]
    fn what_is_unknown_is_passed_on() {
        for (name, kind) in
            [("nothing", A), ("web.example", AAAA), ("9.0.18.172.in-addr.arpa", PTR), ("", 2)]
        {
            assert!(matches!(decide(&ask(name, kind), Over::Udp), Decision::Forward(_)), "{name}");
        }
        // Of another class than the internet's.
        let mut packet = ask("web", A);
        *packet.last_mut().unwrap() = 3;
        assert!(matches!(decide(&packet, Over::Udp), Decision::Forward(_)));
    }

    #[test]
    fn each_address_of_a_shared_name_is_the_first_in_turn() {
        let mut resolver = Resolver::new(Box::new(Known));
        let mut first = || match resolver.decide(&ask("shared", A), Over::Udp) {
            // The last byte of the first address.
            Decision::Answer(answer) => answer[ask("shared", A).len() + 15],
            other => panic!("{other:?}"),
        };
        assert_eq!([first(), first(), first(), first()], [4, 5, 6, 4]);
    }

    #[test]
    fn an_answer_is_no_larger_than_the_asker_takes() {
        for (size, over, limit) in [
            (None, Over::Udp, 512),
            (Some(100), Over::Udp, 512),
            (Some(1232), Over::Udp, 1232),
            (Some(4096), Over::Udp, 4096),
            (None, Over::Tcp, 65535),
        ] {
            let Decision::Answer(answer) = decide(&asked_with("many", A, size), over) else {
                panic!("not answered");
            };
            assert!(answer.len() <= limit, "{} over {limit}", answer.len());
            let is_whole = answer[7] == 100;
            assert_eq!(answer[2] & 2 != 0, !is_whole, "{size:?}");
            assert_eq!(is_whole, limit > 1700);
            assert!(answer[7] > 25, "as many as there is room for");
        }
    }

    #[test]
    fn a_version_of_edns_that_is_not_there_yet_is_refused() {
        let mut packet = asked_with("web", A, Some(1232));
        let version = packet.len() - 5;
        packet[version] = 1;
        let Decision::Answer(answer) = decide(&packet, Over::Udp) else { panic!() };
        // The upper bits of code 16 stand where the OPT record has its time to live.
        assert_eq!((answer[3] & 15, answer[7], answer[answer.len() - 6]), (0, 0, 1));
    }
}
