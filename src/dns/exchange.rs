//! One question that was passed on: which server is asked when, which answer counts, and when
//! there will be none. It neither asks nor waits itself; `serve` does, and tells the time.
//!
//! Servers are asked in their order, the next one when the last refuses, cannot be reached or has
//! said nothing for a while; answers of those asked before still count. Each time the question has
//! an id of its own and comes from a socket of its own, so that nobody who does not see it can
//! answer it (RFC 5452).

use super::message::{self, Code, Question};
use super::resolver::Over;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How often a question is sent at most, whoever is asked.
pub const ATTEMPTS: usize = 3;
/// How long a server has before the next is asked too. After the last attempt the asker is told:
/// before its own limit of five seconds (resolv.conf(5)), or it would ask us again instead.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Codes of servers that cannot or will not answer; another one may (resolv.conf(5)).
const FAILURES: [u8; 3] = [2, 4, 5];

pub struct Exchange {
    question: Question,
    packet: Vec<u8>,
    over: Over,
    servers: Vec<SocketAddr>,
    /// The id of each attempt, while it may be answered.
    attempts: Vec<Option<u16>>,
    /// When more has to be done, if nothing comes before.
    pub deadline: Instant,
    /// The answer of a server that would not answer.
    refusal: Option<Vec<u8>>,
}

#[derive(PartialEq, Eq, Debug)]
pub enum Next {
    Wait,
    /// The next attempt, from a new socket.
    Send {
        server: SocketAddr,
        packet: Vec<u8>,
    },
    /// The end.
    Reply(Vec<u8>),
}

impl Exchange {
    /// `packet` is that in which `question` came.
    pub fn new(
        question: Question,
        packet: Vec<u8>,
        over: Over,
        servers: Vec<SocketAddr>,
        now: Instant,
    ) -> Exchange {
        let (attempts, refusal) = (Vec::new(), None);
        Exchange { question, packet, over, servers, attempts, deadline: now, refusal }
    }

    /// Whether this is what was asked already.
    pub fn is_about(&self, question: &Question) -> bool {
        self.question == *question
    }

    /// What is to be done now; `id` is for what is sent.
    pub fn next(&mut self, now: Instant, id: u16) -> Next {
        let waits = self.attempts.iter().any(Option::is_some);
        if waits && now < self.deadline {
            return Next::Wait;
        }
        // A server that failed is not asked again, one that is silent is.
        let left = if waits { ATTEMPTS } else { self.servers.len().min(ATTEMPTS) };
        let sent = self.attempts.len();
        match self.servers.get(sent % self.servers.len().max(1)) {
            Some(server) if sent < left => {
                self.attempts.push(Some(id));
                self.deadline = now + PATIENCE;
                message::set_id(&mut self.packet, id);
                Next::Send { server: *server, packet: self.packet.clone() }
            }
            _ => Next::Reply(self.refusal.take().unwrap_or_else(|| self.failure())),
        }
    }

    /// A packet has come for an attempt: the reply, if it is one. Of what somebody else made up
    /// nothing is believed.
    pub fn answered(&mut self, attempt: usize, mut packet: Vec<u8>) -> Option<Vec<u8>> {
        let id = self.attempts.get(attempt).copied().flatten()?;
        if !self.question.is_answered_by(&packet, id) {
            return None;
        }
        message::set_id(&mut packet, self.question.id);
        if packet.len() > self.over.limit(&self.question) {
            packet = self.question.truncated();
        }
        if FAILURES.contains(&message::code(&packet)) {
            self.failed(attempt);
            self.refusal = Some(packet);
            return None;
        }
        Some(packet)
    }

    /// An attempt cannot be answered any more.
    pub fn failed(&mut self, attempt: usize) {
        if let Some(id) = self.attempts.get_mut(attempt) {
            *id = None;
        }
    }

    fn failure(&self) -> Vec<u8> {
        self.question.answer(Code::ServerFailure, &[], self.over.limit(&self.question))
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::ask;
    use super::*;

    fn exchange(servers: usize, now: Instant) -> Exchange {
        let packet = ask("example.org", message::A);
        let question = Question::read(&packet).unwrap();
        let servers = (0..servers).map(|n| SocketAddr::from(([10, 0, 0, n as u8], 53))).collect();
        Exchange::new(question, packet, Over::Udp, servers, now)
    }

    /// The last byte of the address of who is asked.
    #[track_caller]
    fn sent(next: Next) -> (u8, Vec<u8>) {
        match next {
            Next::Send { server: SocketAddr::V4(server), packet } => {
                (server.ip().octets()[3], packet)
            }
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn code(next: Next) -> u8 {
        match next {
            Next::Reply(packet) => message::code(&packet),
            other => panic!("{other:?}"),
        }
    }

    fn answer(mut packet: Vec<u8>, code: u8) -> Vec<u8> {
        packet[2] |= 0x80;
        packet[3] |= code;
        packet
    }

    #[test]
    fn an_answer_comes_back_as_it_was_with_the_askers_id() {
        let now = Instant::now();
        let mut exchange = exchange(1, now);
        let (_, packet) = sent(exchange.next(now, 0xabcd));
        assert_eq!(packet[..2], [0xab, 0xcd]);
        assert_eq!(exchange.next(now, 1), Next::Wait);
        let mut reply = answer(packet, 3);
        reply.extend(b"whatever else there is");
        let got = exchange.answered(0, reply.clone()).unwrap();
        assert_eq!(got[2..], reply[2..]);
        assert_eq!(got[..2], ask("example.org", message::A)[..2]);
    }

    #[test]
    fn what_was_not_asked_for_is_no_answer() {
        let now = Instant::now();
        let mut exchange = exchange(1, now);
        let (_, packet) = sent(exchange.next(now, 0xabcd));
        let good = answer(packet.clone(), 0);
        let mut other_id = good.clone();
        other_id[1] ^= 1;
        let mut other_name = good.clone();
        other_name[13] = b'x';
        let mut other_kind = good.clone();
        *other_kind.iter_mut().rev().nth(2).unwrap() = 28;
        let no_question = [&good[..4], &[0; 8]].concat();
        let short = good[..11].to_vec();
        for bad in [packet, other_id, other_name, other_kind, no_question, short, Vec::new()] {
            assert_eq!(exchange.answered(0, bad.clone()), None, "{bad:?}");
        }
        assert_eq!(exchange.answered(1, good.clone()), None, "nobody was asked for it");
        // Letters may come back in the other case.
        let mut upper = good;
        upper[13] = b'E';
        assert!(exchange.answered(0, upper).is_some());
    }

    #[test]
    fn a_silent_server_is_asked_again_and_the_others_too() {
        for (servers, expected) in [(1, [0, 0, 0]), (2, [0, 1, 0]), (5, [0, 1, 2])] {
            let mut now = Instant::now();
            let mut exchange = exchange(servers, now);
            for (n, server) in expected.into_iter().enumerate() {
                assert_eq!(sent(exchange.next(now, n as u16)).0, server);
                assert_eq!(exchange.next(now, 9), Next::Wait);
                now = exchange.deadline;
            }
            assert_eq!(code(exchange.next(now, 9)), 2, "SERVFAIL");
        }
    }

    #[test]
    fn a_late_answer_counts() {
        let now = Instant::now();
        let mut exchange = exchange(2, now);
        let (_, first) = sent(exchange.next(now, 7));
        sent(exchange.next(exchange.deadline, 8));
        assert!(exchange.answered(0, answer(first, 0)).is_some());
    }

    #[test]
    fn a_server_that_fails_makes_way_at_once() {
        let now = Instant::now();
        let mut exchange = exchange(2, now);
        let (_, packet) = sent(exchange.next(now, 7));
        assert_eq!(exchange.answered(0, answer(packet, 5)), None);
        assert_eq!(sent(exchange.next(now, 8)).0, 1);
        exchange.failed(1);
        // The only answer there was.
        assert_eq!(code(exchange.next(now, 9)), 5);
    }

    #[test]
    fn without_servers_there_is_an_answer_too() {
        assert_eq!(code(exchange(0, Instant::now()).next(Instant::now(), 1)), 2);
    }

    #[test]
    fn an_answer_that_is_too_large_sends_the_asker_to_tcp() {
        let now = Instant::now();
        let mut exchange = exchange(1, now);
        let (_, packet) = sent(exchange.next(now, 7));
        let mut large = answer(packet, 0);
        large.resize(513, 0);
        let reply = exchange.answered(0, large).unwrap();
        assert!(reply.len() < 100 && reply[2] & 2 != 0, "{reply:?}");
    }
}
