//! `logs`: what a container wrote, its stdout to ours and its stderr to ours.

use super::command::{Command, number};
use super::output;
use crate::container::log::{Piece, Query, Stream};
use crate::engine::Engine;
use crate::error::{Context, Error, Result};
use crate::types::{Timestamp, parse_moment};
use argh::{ArgsInfo, FromArgs};
use std::cell::RefCell;
use std::io::Write;
use std::os::fd::AsFd;

/// How much is gathered before it is written.
const BATCH: usize = 64 << 10;

/// Fetch the logs of a container
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// show what was asked to be kept with each line (--log-opt labels=...)
    #[argh(switch)]
    details: bool,
    /// follow the log as it grows
    #[argh(switch, short = 'f')]
    follow: bool,
    /// show what was written since (a time in UTC, or how long ago: 10m)
    #[argh(option, arg_name = "time")]
    since: Option<String>,
    /// show so many of the last lines (all by default)
    #[argh(option, short = 'n', arg_name = "lines")]
    tail: Option<String>,
    /// show when each line was written
    #[argh(switch, short = 't')]
    timestamps: bool,
    /// show what was written until (a time in UTC, or how long ago: 10m)
    #[argh(option, arg_name = "time")]
    until: Option<String>,
    #[argh(positional)]
    container: String,
}

#[derive(Debug)]
pub struct Logs {
    container: String,
    query: Query,
    follow: bool,
    timestamps: bool,
    details: bool,
}

impl Command for Logs {
    type Args = Args;
    const NAME: &'static str = "logs";
    const USAGE: &'static str = "CONTAINER";

    fn new(args: Args) -> Result<Logs> {
        let now = Timestamp::now();
        let moment = |flag: &'static str, text: Option<String>| {
            text.map(|text| parse_moment(&text, now).doing(|| flag.to_string())).transpose()
        };
        let tail = match args.tail.as_deref() {
            None | Some("all") => None,
            // Docker takes any negative number for "all".
            Some(text) => u64::try_from(number::<i64>("--tail", text)?).ok(),
        };
        Ok(Logs {
            container: args.container,
            query: Query {
                tail,
                since: moment("--since", args.since)?,
                until: moment("--until", args.until)?,
            },
            follow: args.follow,
            timestamps: args.timestamps,
            details: args.details,
        })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let gathered = RefCell::new(Gathered { stream: Stream::Stdout, bytes: Vec::new() });
        let mut sink = |piece: Piece| {
            let mut gathered = gathered.borrow_mut();
            if gathered.stream != piece.stream || gathered.bytes.len() >= BATCH {
                gathered.write()?;
            }
            gathered.stream = piece.stream;
            self.show(&piece, &mut gathered.bytes);
            Ok(())
        };
        let mut rest = || gathered.borrow_mut().write();
        let stdout = std::io::stdout();
        let (name, audience) = (&self.container, stdout.as_fd());
        let read = engine.logs(name, self.query, self.follow, &mut sink, &mut rest, audience);
        let written = gathered.borrow_mut().write();
        read.and(written).map(|()| 0)
    }
}

/// Lines of one stream that are to be written together.
struct Gathered {
    stream: Stream,
    bytes: Vec<u8>,
}

impl Gathered {
    fn write(&mut self) -> Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let written = match self.stream {
            Stream::Stdout => output::bytes(&self.bytes),
            Stream::Stderr => std::io::stderr()
                .write_all(&self.bytes)
                .map_err(|e| Error::os("write", "standard error", e)),
        };
        self.bytes.clear();
        written
    }
}

impl Logs {
    fn show(&self, piece: &Piece, out: &mut Vec<u8>) {
        if self.timestamps && piece.begins_line {
            out.extend_from_slice(piece.time.to_string().as_bytes());
            out.push(b' ');
        }
        if self.details && piece.begins_line {
            let pairs = piece.details.into_iter().flatten();
            let pairs: Vec<String> = pairs.map(|(key, value)| format!("{key}={value}")).collect();
            out.extend_from_slice(pairs.join(",").as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(piece.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(line: &[&str]) -> Result<Logs> {
        Logs::new(Args::from_args(&["logs"], line).unwrap())
    }

    #[test]
    fn the_query_is_read_from_the_flags() {
        let logs = |line: &[&str]| logs(line).unwrap().query;
        assert_eq!(logs(&["c"]).tail, None);
        assert_eq!(logs(&["--tail", "all", "c"]).tail, None);
        assert_eq!(logs(&["--tail", "-1", "c"]).tail, None);
        assert_eq!(logs(&["--tail", "0", "c"]).tail, Some(0));
        let since = logs(&["--since", "2026-11-22T13:00:00Z", "c"]).since;
        assert_eq!(since, Some("2026-11-22T13:00:00Z".parse().unwrap()));
    }

    #[test]
    fn bad_values_name_their_flag() {
        let error = |line: &[&str]| logs(line).unwrap_err().to_string();
        assert_eq!(error(&["--tail", "x", "c"]), "--tail: \"x\" is not a whole number");
        assert_eq!(error(&["--until", "x", "c"]), "--until: invalid time \"x\"");
    }

    #[test]
    fn a_time_stands_at_the_start_of_each_line_only() {
        let logs = logs(&["--timestamps", "c"]).unwrap();
        let piece = |bytes, begins_line| Piece {
            stream: Stream::Stdout,
            bytes,
            time: Timestamp::from_unix(1_700_000_000),
            begins_line,
            details: None,
        };
        let mut out = Vec::new();
        logs.show(&piece(b"a", true), &mut out);
        logs.show(&piece(b"b\n", false), &mut out);
        assert_eq!(out, b"2023-11-14T22:13:20.000000000Z ab\n");
    }
}
