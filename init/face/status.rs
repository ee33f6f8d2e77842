//! The status file of a service, in the one form that the tools of three families read.
//!
//! ```text
//!  0-11   since when it is so: TAI64N (below)
//! 12-15   pid, little endian; 0 if down
//!    16   paused: 0 or 1
//!    17   want: 'u', 'd', or 0 for once
//!    18   was told to stop: 0 or 1            } runit adds these two to daemontools' 18 bytes
//!    19   0 down, 1 run, 2 finish             }
//! 20-23   0
//! 24-31   pid, big endian                     } s6 2.11 reads these where its own 35 bytes have
//! 32-33   wait status of the last run, b. e.  } them; what it takes for the time of readiness
//!    34   1 paused, 2 finish, 4 want up,      } (12-23) is none
//!         8 ready, 16 down for good           }
//! 35-46   since when it is ready: TAI64N      our own tools alone
//! ```
//!
//! daemontools reads the first 18 bytes, runit 20, s6 35, and none minds what follows. TAI64N: seconds
//! since 1970 plus 2^62 plus 10 (8 bytes, big endian), nanoseconds (4 bytes, big endian;
//! cr.yp.to/libtai/tai64.html). s6 adds the 27 leap seconds since 1972 to that, which the others do not
//! count: in bytes that are read by all, ours has none. As in s6, a service is ready too once it is
//! completely down.

use crate::tai;
use coracle::sys::pidfd::Exit;
use coracle::types::Pid;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What s6's labels have more.
const LEAP_SECONDS: u64 = 27;

const PAUSED: u8 = 1;
const FINISH: u8 = 2;
const WANT_UP: u8 = 4;
const READY: u8 = 8;
const GAVE_UP: u8 = 16;

/// What a service is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    pub since: SystemTime,
    pub pid: Option<Pid>,
    pub paused: bool,
    /// `u`, `d`, or 0 for once.
    pub want: u8,
    pub told: bool,
    pub phase: Phase,
    /// How the last run ended; code 0 before the first end.
    pub exit: Exit,
    pub ready: Option<SystemTime>,
    /// It is down for good: its `finish` said so, or it ended too often.
    pub gave_up: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    Down,
    Run,
    Finish,
}

impl Status {
    pub const LEN: usize = 47;

    pub fn encode(&self) -> [u8; Status::LEN] {
        let pid = self.pid.map_or(0, Pid::raw);
        let phase = match self.phase {
            Phase::Down => 0,
            Phase::Run => 1,
            Phase::Finish => 2,
        };
        let flags = [
            (self.paused, PAUSED),
            (self.phase == Phase::Finish, FINISH),
            (self.want == b'u', WANT_UP),
            (self.ready.is_some(), READY),
            (self.gave_up, GAVE_UP),
        ];
        let flags = flags.iter().filter(|(set, _)| *set).fold(0, |sum, (_, flag)| sum | flag);
        let fields = tai64n(self.since).into_iter().chain(pid.to_le_bytes());
        let fields = fields.chain([u8::from(self.paused), self.want, u8::from(self.told), phase]);
        let fields = fields.chain([0; 4]).chain(i64::from(pid).to_be_bytes());
        let fields = fields.chain(wait_status(self.exit).to_be_bytes()).chain([flags]);
        let fields = fields.chain(self.ready.map_or([0; 12], tai64n));
        let mut bytes = [0; Status::LEN];
        for (byte, field) in bytes.iter_mut().zip(fields) {
            *byte = field;
        }
        bytes
    }

    /// Takes runit's and daemontools' bytes too, and s6's.
    pub fn decode(bytes: &[u8]) -> Option<Status> {
        let (stamp, rest) = bytes.split_first_chunk()?;
        let since = from_tai64n(stamp)?;
        match bytes.len() {
            18 | 20 | Status::LEN => Status::decode_runit(since, rest),
            35 => Status::decode_s6(leapless(since)?, rest),
            _ => None,
        }
    }

    fn decode_runit(since: SystemTime, bytes: &[u8]) -> Option<Status> {
        let (pid, rest) = bytes.split_first_chunk()?;
        let (&[paused, want], rest) = rest.split_first_chunk()?;
        let pid = Pid::from_raw(i32::from_le_bytes(*pid));
        let (told, phase) = match rest {
            [told, 2, ..] => (*told, Phase::Finish),
            [told, ..] => (*told, if pid.is_some() { Phase::Run } else { Phase::Down }),
            [] => (0, if pid.is_some() { Phase::Run } else { Phase::Down }),
        };
        let mut status = Status {
            since,
            pid,
            paused: paused != 0,
            want,
            told: told != 0,
            phase,
            exit: Exit::Code(0),
            // runit and daemontools know no readiness; down is down.
            ready: (phase == Phase::Down).then_some(since),
            gave_up: false,
        };
        if let Some(tail) = rest.get(14..)
            && let Some((wait, tail)) = tail.split_first_chunk()
            && let Some((flags, tail)) = tail.split_first()
        {
            status.exit = exit(u16::from_be_bytes(*wait));
            status.gave_up = flags & GAVE_UP != 0;
            let stamp = tail.first_chunk().and_then(from_tai64n);
            status.ready = stamp.filter(|_| flags & READY != 0);
        }
        Some(status)
    }

    fn decode_s6(since: SystemTime, bytes: &[u8]) -> Option<Status> {
        let (ready, rest) = bytes.split_first_chunk()?;
        let (pid, rest) = rest.split_first_chunk()?;
        let (wait, rest) = rest.split_first_chunk()?;
        let flags = rest.first()?;
        let pid = i32::try_from(u64::from_be_bytes(*pid)).ok().and_then(Pid::from_raw);
        Some(Status {
            since,
            pid,
            paused: flags & PAUSED != 0,
            want: if flags & WANT_UP != 0 { b'u' } else { b'd' },
            told: false,
            phase: match pid {
                Some(_) if flags & FINISH != 0 => Phase::Finish,
                Some(_) => Phase::Run,
                None => Phase::Down,
            },
            exit: exit(u16::from_be_bytes(*wait)),
            ready: leapless(from_tai64n(ready)?).filter(|_| flags & READY != 0),
            gave_up: false,
        })
    }
}

fn tai64n(time: SystemTime) -> [u8; 12] {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = tai::EPOCH.saturating_add(since.as_secs()).to_be_bytes();
    let mut bytes = [0; 12];
    let fields = seconds.into_iter().chain(since.subsec_nanos().to_be_bytes());
    for (byte, field) in bytes.iter_mut().zip(fields) {
        *byte = field;
    }
    bytes
}

/// As s6 writes it.
pub fn tai64n_of_s6(time: SystemTime) -> [u8; 12] {
    tai64n(time.checked_add(Duration::from_secs(LEAP_SECONDS)).unwrap_or(time))
}

fn leapless(time: SystemTime) -> Option<SystemTime> {
    time.checked_sub(Duration::from_secs(LEAP_SECONDS))
}

fn from_tai64n(bytes: &[u8; 12]) -> Option<SystemTime> {
    let (seconds, rest) = bytes.split_first_chunk()?;
    let nanoseconds = u32::from_be_bytes(*rest.first_chunk()?);
    let seconds = u64::from_be_bytes(*seconds).saturating_sub(tai::EPOCH);
    let since = Duration::from_secs(seconds);
    UNIX_EPOCH.checked_add(since.saturating_add(Duration::from_nanos(nanoseconds.into())))
}

/// As waitpid(2) has it.
fn wait_status(exit: Exit) -> u16 {
    match exit {
        Exit::Code(code) => (code as u16 & 0xff).wrapping_shl(8),
        Exit::Signal(signal) => signal as u16 & 0x7f,
    }
}

fn exit(wait_status: u16) -> Exit {
    match i32::from(wait_status & 0x7f) {
        0 => Exit::Code(i32::from(wait_status.wrapping_shr(8))),
        signal => Exit::Signal(signal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_as_runit_daemontools_and_s6_wrote_it() {
        // Recorded from runit 2.1.2: state run; and from daemontools 0.76.
        let runit = *b"\x40\0\0\0\x6b\x02\x6c\x9f\x28\x91\x14\x14\xb2\0\0\0\0u\0\x01";
        let status = Status::decode(&runit).unwrap();
        assert_eq!(status.pid, Pid::from_raw(0xb2));
        assert_eq!((status.want, status.phase), (b'u', Phase::Run));
        assert_eq!(status.encode()[..20], runit);
        let daemontools = *b"\x40\0\0\0\x6b\x02\x6c\x99\x24\xbc\x03\xbc\x8e\0\0\0\0u";
        let status = Status::decode(&daemontools).unwrap();
        assert_eq!((status.pid, status.phase), (Pid::from_raw(0x8e), Phase::Run));
        assert_eq!(status.encode()[..18], daemontools);
        let mut s6 = [0; 35];
        s6[..12].copy_from_slice(&runit[..12]);
        s6[31] = 0x8e;
        s6[33] = 9;
        s6[34] = 4;
        let status = Status::decode(&s6).unwrap();
        assert_eq!((status.pid, status.phase), (Pid::from_raw(0x8e), Phase::Run));
        assert_eq!((status.want, status.exit, status.ready), (b'u', Exit::Signal(9), None));
        // Where s6 looks, ours says the same.
        assert_eq!(status.encode()[24..35], s6[24..]);
    }

    #[test]
    fn a_clock_before_1970_is_1970() {
        let before = UNIX_EPOCH - Duration::from_secs(86_400);
        assert_eq!(tai64n(before), tai64n(UNIX_EPOCH));
        assert_eq!(from_tai64n(&[0; 12]), Some(UNIX_EPOCH));
        assert_eq!(from_tai64n(&[0xff; 12]), None);
    }

    #[test]
    fn a_status_comes_back_and_a_torn_one_is_none() {
        let mut status = Status {
            since: UNIX_EPOCH,
            pid: None,
            paused: true,
            want: 0,
            told: true,
            phase: Phase::Down,
            exit: Exit::Code(111),
            ready: Some(UNIX_EPOCH + Duration::new(3, 5)),
            gave_up: true,
        };
        let bytes = status.encode();
        assert_eq!(Status::decode(&bytes), Some(status));
        for short in (0..Status::LEN).filter(|len| ![18, 20, 35].contains(len)) {
            assert_eq!(Status::decode(&bytes[..short]), None);
        }
        status.exit = Exit::Signal(15);
        status.phase = Phase::Finish;
        status.pid = Pid::from_raw(70_000);
        status.ready = None;
        assert_eq!(Status::decode(&status.encode()), Some(status));
    }
}
