//! What is said over a monitor's socket: length-prefixed frames.
//!
//! ```text
//! u32 little-endian   length of kind and payload
//! u8                  kind
//! ...                 payload
//! ```
//!
//! Each side begins with `Hello {version, features}`. A frame of an unknown kind is answered with
//! `Unknown`, not fatal: a client of release N speaks to monitors N-2 to N.

use super::log::Place;
use std::io;

pub const VERSION: u16 = 1;
/// The longest frame either side accepts.
pub const MAX_LEN: usize = 1 << 18;

/// Whether a container that ended is started anew. Who asked for that, and hears that its policy
/// wants it, was not heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Again {
    No = 0,
    ByPolicy = 1,
    Asked = 2,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    Hello {
        version: u16,
        features: u32,
    },
    // --- to the monitor
    /// Send us these outputs from here on, and take our stdin where asked.
    Attach {
        stdin: bool,
        stdout: bool,
        stderr: bool,
    },
    Stdin(Vec<u8>),
    /// End-of-file on the container's stdin.
    StdinClose,
    Resize {
        rows: u16,
        columns: u16,
    },
    /// Stop the container: this signal, then SIGKILL after `seconds` (never, where `None`). With
    /// `restart` it is started again, whatever its policy.
    Stop {
        signal: u8,
        seconds: Option<u32>,
        restart: bool,
    },
    /// Thaw the container when this client has gone, and do not start it again before: it is
    /// about to be frozen.
    Hold,
    /// Thaw it now, unless others hold it.
    Release,
    /// It is on other networks than before, as its record says: have its name server follow.
    Networks,
    /// Have its health checked now.
    Check,
    // --- from the monitor
    /// What the container has to do without; it starts all the same.
    Warning(String),
    /// The program is being executed.
    Started,
    /// It could not be started: the exit code for it, the error and its hint.
    Failed {
        code: u8,
        text: String,
        hint: String,
    },
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    /// The answer to `Attach`, and what ends a `Lagged`: output from here on is in the log from
    /// this place on.
    Attached {
        log: Place,
    },
    /// The client did not keep up: no output comes until it has taken all that was sent. What it
    /// missed it reads from the log, up to the offset of the `Attached` that follows.
    Lagged,
    /// It ended, is recorded, and what was its is cleared away; its log up to the offset `log` is
    /// complete.
    Exited {
        code: i32,
        again: Again,
        log: Place,
    },
    /// The answer to `Hold`.
    Held,
    /// The answer to `Release`.
    Released,
    /// The answer to `Networks`: what went wrong, or nothing.
    Followed(String),
    /// The answer to `Check`: the exit code of the check, -1 where it could not be executed or took
    /// too long; `None` where none was made, as the container does not run just now.
    Checked(Option<i32>),
    /// What the service manager of whoever started it is to hear (sd_notify(3)).
    Notify(String),
    Unknown {
        kind: u8,
    },
}

mod kind {
    pub const HELLO: u8 = 1;
    pub const ATTACH: u8 = 2;
    pub const STDIN: u8 = 3;
    pub const STDIN_CLOSE: u8 = 4;
    pub const RESIZE: u8 = 5;
    pub const STOP: u8 = 6;
    pub const HOLD: u8 = 7;
    pub const RELEASE: u8 = 8;
    pub const NETWORKS: u8 = 9;
    pub const CHECK: u8 = 10;
    pub const STARTED: u8 = 65;
    pub const FAILED: u8 = 66;
    pub const STDOUT: u8 = 67;
    pub const STDERR: u8 = 68;
    pub const LAGGED: u8 = 69;
    pub const ATTACHED: u8 = 71;
    pub const EXITED: u8 = 70;
    pub const WARNING: u8 = 72;
    pub const HELD: u8 = 73;
    pub const RELEASED: u8 = 74;
    pub const FOLLOWED: u8 = 75;
    pub const NOTIFY: u8 = 76;
    pub const CHECKED: u8 = 77;
    pub const UNKNOWN: u8 = 127;
}

impl Frame {
    /// Appends the frame to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend([0; 4]);
        match self {
            Frame::Hello { version, features } => {
                out.push(kind::HELLO);
                out.extend(version.to_le_bytes());
                out.extend(features.to_le_bytes());
            }
            Frame::Attach { stdin, stdout, stderr } => {
                let bits = u8::from(*stdin) | u8::from(*stdout) << 1 | u8::from(*stderr) << 2;
                out.extend([kind::ATTACH, bits]);
            }
            Frame::Stdin(data) => {
                out.push(kind::STDIN);
                out.extend(data);
            }
            Frame::StdinClose => out.push(kind::STDIN_CLOSE),
            Frame::Resize { rows, columns } => {
                out.push(kind::RESIZE);
                out.extend(rows.to_le_bytes());
                out.extend(columns.to_le_bytes());
            }
            Frame::Stop { signal, seconds, restart } => {
                out.extend([kind::STOP, *signal]);
                out.extend(seconds.unwrap_or(u32::MAX).to_le_bytes());
                out.push(u8::from(*restart));
            }
            Frame::Warning(text) => output(out, kind::WARNING, text.as_bytes()),
            Frame::Followed(text) => output(out, kind::FOLLOWED, text.as_bytes()),
            Frame::Notify(text) => output(out, kind::NOTIFY, text.as_bytes()),
            Frame::Hold => out.push(kind::HOLD),
            Frame::Release => out.push(kind::RELEASE),
            Frame::Networks => out.push(kind::NETWORKS),
            Frame::Check => out.push(kind::CHECK),
            Frame::Checked(code) => {
                out.push(kind::CHECKED);
                out.extend(code.iter().flat_map(|code| code.to_le_bytes()));
            }
            Frame::Held => out.push(kind::HELD),
            Frame::Released => out.push(kind::RELEASED),
            Frame::Started => out.push(kind::STARTED),
            Frame::Failed { code, text, hint } => {
                out.extend([kind::FAILED, *code]);
                out.extend((text.len() as u32).to_le_bytes());
                out.extend(text.as_bytes());
                out.extend(hint.as_bytes());
            }
            Frame::Stdout(data) => output(out, kind::STDOUT, data),
            Frame::Stderr(data) => output(out, kind::STDERR, data),
            Frame::Attached { log } => {
                out.push(kind::ATTACHED);
                place(out, log);
            }
            Frame::Lagged => out.push(kind::LAGGED),
            Frame::Exited { code, again, log } => {
                out.push(kind::EXITED);
                out.extend(code.to_le_bytes());
                out.push(*again as u8);
                place(out, log);
            }
            Frame::Unknown { kind } => out.extend([kind::UNKNOWN, *kind]),
        }
        let len = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    }

    /// Whether `buffer` begins with a whole frame.
    pub fn is_whole(buffer: &[u8]) -> bool {
        match buffer.get(..4) {
            Some(&[a, b, c, d]) => buffer.len() >= 4 + u32::from_le_bytes([a, b, c, d]) as usize,
            _ => false,
        }
    }

    /// Takes the first frame off `buffer`; `None` where it is not complete yet. The inner error
    /// is the kind of a frame that this release does not know.
    ///
    /// Errors: `InvalidData` where the peer does not speak this protocol.
    pub fn decode(buffer: &mut Vec<u8>) -> io::Result<Option<Result<Frame, u8>>> {
        let Some(&[a, b, c, d]) = buffer.get(..4) else {
            return Ok(None);
        };
        let len = u32::from_le_bytes([a, b, c, d]) as usize;
        if len == 0 || len > MAX_LEN {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let Some(body) = buffer.get(4..4 + len) else {
            return Ok(None);
        };
        let frame = parse(body).ok_or(io::ErrorKind::InvalidData)?;
        buffer.drain(..4 + len);
        Ok(Some(frame))
    }
}

/// Of releases before bounded logs it is the offset alone.
fn place(out: &mut Vec<u8>, place: &Place) {
    out.extend(place.offset.to_le_bytes());
    out.extend(place.inode.to_le_bytes());
}

fn output(out: &mut Vec<u8>, kind: u8, data: &[u8]) {
    out.push(kind);
    out.extend(data);
}

fn parse(body: &[u8]) -> Option<Result<Frame, u8>> {
    let (&kind, rest) = body.split_first()?;
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let u16_at = |i: usize| Some(u16::from_le_bytes(rest.get(i..i + 2)?.try_into().ok()?));
    let u32_at = |i: usize| Some(u32::from_le_bytes(rest.get(i..i + 4)?.try_into().ok()?));
    let u64_at = |i: usize| Some(u64::from_le_bytes(rest.get(i..i + 8)?.try_into().ok()?));
    let place_at =
        |i: usize| Some(Place { offset: u64_at(i)?, inode: u64_at(i + 8).unwrap_or_default() });
    Some(Ok(match kind {
        kind::HELLO => Frame::Hello { version: u16_at(0)?, features: u32_at(2)? },
        kind::ATTACH => {
            let bits = *rest.first()?;
            Frame::Attach { stdin: bits & 1 != 0, stdout: bits & 2 != 0, stderr: bits & 4 != 0 }
        }
        kind::STDIN => Frame::Stdin(rest.to_vec()),
        kind::STDIN_CLOSE => Frame::StdinClose,
        kind::RESIZE => Frame::Resize { rows: u16_at(0)?, columns: u16_at(2)? },
        kind::STOP => {
            let seconds = Some(u32_at(1)?).filter(|s| *s != u32::MAX);
            Frame::Stop { signal: *rest.first()?, seconds, restart: *rest.get(5)? != 0 }
        }
        kind::WARNING => Frame::Warning(words(rest)),
        kind::HOLD => Frame::Hold,
        kind::RELEASE => Frame::Release,
        kind::NETWORKS => Frame::Networks,
        kind::CHECK => Frame::Check,
        kind::CHECKED => Frame::Checked(u32_at(0).map(|code| code as i32)),
        kind::HELD => Frame::Held,
        kind::RELEASED => Frame::Released,
        kind::FOLLOWED => Frame::Followed(words(rest)),
        kind::NOTIFY => Frame::Notify(words(rest)),
        kind::STARTED => Frame::Started,
        kind::FAILED => {
            let text = rest.get(5..)?;
            let (text, hint) = text.split_at_checked(u32_at(1)? as usize)?;
            Frame::Failed { code: *rest.first()?, text: words(text), hint: words(hint) }
        }
        kind::STDOUT => Frame::Stdout(rest.to_vec()),
        kind::STDERR => Frame::Stderr(rest.to_vec()),
        kind::ATTACHED => Frame::Attached { log: place_at(0)? },
        kind::LAGGED => Frame::Lagged,
        kind::EXITED => {
            let again = match rest.get(4)? {
                0 => Again::No,
                1 => Again::ByPolicy,
                _ => Again::Asked,
            };
            Frame::Exited { code: u32_at(0)? as i32, again, log: place_at(5)? }
        }
        kind::UNKNOWN => Frame::Unknown { kind: *rest.first()? },
        unknown => return Some(Err(unknown)),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_round_trip_however_they_are_cut() {
        let frames = [
            Frame::Hello { version: 1, features: 7 },
            Frame::Attach { stdin: true, stdout: false, stderr: true },
            Frame::Stdin(b"x\0y".to_vec()),
            Frame::StdinClose,
            Frame::Resize { rows: 24, columns: 80 },
            Frame::Stop { signal: 15, seconds: Some(10), restart: false },
            Frame::Stop { signal: 15, seconds: None, restart: true },
            Frame::Hold,
            Frame::Release,
            Frame::Networks,
            Frame::Check,
            Frame::Held,
            Frame::Released,
            Frame::Started,
            Frame::Failed { code: 127, text: "no".into(), hint: "yes".into() },
            Frame::Warning("without".into()),
            Frame::Stdout(vec![]),
            Frame::Stderr(vec![255; 300]),
            Frame::Attached { log: Place { inode: 7, offset: 1 << 40 } },
            Frame::Lagged,
            Frame::Exited {
                code: -1,
                again: Again::ByPolicy,
                log: Place { inode: 7, offset: 1 << 40 },
            },
            Frame::Followed(String::new()),
            Frame::Checked(Some(-1)),
            Frame::Checked(None),
            Frame::Notify("READY=1".into()),
            Frame::Unknown { kind: 9 },
        ];
        let mut wire = Vec::new();
        frames.iter().for_each(|f| f.encode(&mut wire));
        let (mut buffer, mut seen) = (Vec::new(), Vec::new());
        for byte in wire {
            buffer.push(byte);
            let whole = Frame::is_whole(&buffer);
            assert_eq!(whole, Frame::decode(&mut buffer.clone()).unwrap().is_some());
            while let Some(frame) = Frame::decode(&mut buffer).unwrap() {
                seen.push(frame.unwrap());
            }
        }
        assert_eq!(seen, frames);
    }

    #[test]
    fn unknown_kinds_pass_and_nonsense_does_not() {
        let mut buffer = vec![2, 0, 0, 0, 99, 1];
        assert_eq!(Frame::decode(&mut buffer).unwrap(), Some(Err(99)));
        assert!(buffer.is_empty());
        assert!(Frame::decode(&mut vec![255; 8]).is_err());
        assert!(Frame::decode(&mut vec![1, 0, 0, 0, 1]).is_err());
    }
}
