//! `coxctl`: asks a cox that runs, by the socket of `face::coxctl`.
//!
//! The words go as they are; the answer comes as lines that are printed. Only the limit of time is
//! kept here, and cells are aligned here.

use super::logs;
use crate::applets::Call;
use crate::dialect::units::seconds;
use crate::face::coxctl::NAME;
use crate::face::request::{Request, Verb};
use crate::face::runtime_dir;
use coracle::error::{Error, OsContext, Result};
use coracle::sys::fd::{self, STDOUT};
use coracle::sys::poll;
use std::ffi::OsString;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub const HELP: &str = "\
Asks a cox that runs, or commands it.

status [--json] [SERVICE...]             what they are doing
start|stop|restart|once SERVICE...       and wait until it is done; --no-wait
pause|cont SERVICE...                    STOP, CONT
signal SIGNAL SERVICE...
why SERVICE...                           why it is as it is
events [--json] [SERVICE...]             each change of a state, as it happens
logs [-f] SERVICE...                     their lines, from their log files; -f: and what comes
tree [SERVICE...]                        who waits for whom
healthy [SERVICE...]                     exits 1 unless they are up, ready and not unhealthy
wait SERVICE... [--ready|--down|--done]  until that is so
reload                                   look at the sources again, as by HUP

--socket PATH      where cox listens; also $COX_SOCKET (the runtime directory's control)
--timeout SECONDS  how long to wait: exits 99 after that (60; wait: without end)
--help, --version

SERVICE may be a pattern with * and ?, or all. Exits 0; 1 if a service could not or does not exist;
99 after the limit; 100 for wrong usage; 111 if no cox answers.
";

/// Where the socket is, if nothing else says so.
pub const VARIABLE: &str = "COX_SOCKET";
const TIMED_OUT: u8 = 99;
const LIMIT: Duration = Duration::from_secs(60);

/// How the client itself is to go about it.
#[derive(Debug, Default)]
struct Options {
    socket: Option<PathBuf>,
    timeout: Option<Duration>,
}

pub fn coxctl(call: &Call) -> u8 {
    let (options, words) = match split(&call.args) {
        Ok(split) => split,
        Err(problem) => return call.usage(&problem),
    };
    let request = match Request::parse(&words) {
        Ok(request) => request,
        Err(problem) => return call.usage(&problem),
    };
    if options.timeout.is_some() && !request.waits() {
        return call.usage("--timeout is for what waits");
    }
    let limit = match request.verb {
        Verb::Wait(_) => options.timeout,
        _ => request.waits().then(|| options.timeout.unwrap_or(LIMIT)),
    };
    let table = request.verb == Verb::Status && !request.json;
    let mut logs = Vec::new();
    let answered = ask(call, &options, &words, table, limit, &mut logs);
    let mut code = answered.unwrap_or_else(|error| call.fail(&error));
    if let Verb::Logs { follow } = request.verb
        && !logs.is_empty()
        && let Err(error) = logs::show(logs, follow)
    {
        code = call.fail(&error);
    }
    if code == TIMED_OUT {
        let mut why = vec!["why".to_string(), "--".to_string()];
        why.extend(request.names);
        call.say("it takes too long:");
        // Whatever it says, the time was up.
        let _ = ask(call, &options, &why, false, Some(LIMIT), &mut Vec::new());
    }
    code
}

/// The client's own options, and all other words.
fn split(args: &[OsString]) -> std::result::Result<(Options, Vec<String>), String> {
    let mut options = Options::default();
    let mut words = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let text = arg.to_str().ok_or("an argument is not UTF-8")?;
        if text.contains(['\t', '\n']) {
            return Err("a tab or a newline in an argument; use ? for it".into());
        }
        if text == "--" {
            words.push(text.to_string());
            words.extend(args.by_ref().map(|word| word.to_string_lossy().into_owned()));
            break;
        }
        let (option, value) = match text.split_once('=') {
            Some((option, value)) => (option, Some(value)),
            None => (text, None),
        };
        if !["--socket", "--timeout"].contains(&option) {
            words.push(text.to_string());
            continue;
        }
        let value = value.or_else(|| args.next().and_then(|word| word.to_str()));
        let value = value.filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| format!("{option} needs a value"))?;
        if option == "--socket" {
            options.socket = Some(PathBuf::from(value));
        } else {
            let problem = || format!("\"{value}\" is not a number of seconds, such as 8 or 0.5");
            options.timeout = Some(seconds(value).ok_or_else(problem)?);
        }
    }
    Ok((options, words))
}

/// One request, and its answer printed; the exit code. `logs` gets names and files.
fn ask(
    call: &Call,
    options: &Options,
    words: &[String],
    table: bool,
    limit: Option<Duration>,
    logs: &mut Vec<(String, PathBuf)>,
) -> Result<u8> {
    let mut stream = connect(options)?;
    stream.write_all((words.join("\t") + "\n").as_bytes()).on("write to", "cox")?;
    let end = limit.and_then(|limit| Instant::now().checked_add(limit));
    let mut input = Vec::new();
    let mut rows = Vec::new();
    loop {
        while let Some(length) = input.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = input.drain(..=length).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches('\n');
            let (mark, text) = line.split_at_checked(1).unwrap_or_default();
            match mark {
                "+" if table => rows.push(text.to_string()),
                "+" if !print(&format!("{text}\n"))? => return Ok(0),
                "!" => call.say(text),
                "@" => {
                    let (name, path) = text.split_once('\t').unwrap_or_default();
                    logs.push((name.to_string(), PathBuf::from(path)));
                }
                "=" => {
                    print(&align(&rows))?;
                    return text.parse().map_err(|_| broken());
                }
                _ => {}
            }
        }
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        if !poll::readable(stream.as_fd(), left).on("wait for", "cox")? {
            return Ok(TIMED_OUT);
        }
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes) {
            Ok(0) => return Err(broken()),
            Ok(count) => input.extend_from_slice(bytes.get(..count).unwrap_or_default()),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e).on("read from", "cox"),
        }
    }
}

fn broken() -> Error {
    Error::conflict("the answer broke off: cox has ended, or it came too fast")
}

fn connect(options: &Options) -> Result<UnixStream> {
    let variable = std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
    let told = options.socket.clone().or(variable.map(PathBuf::from));
    if let Some(path) = told {
        return UnixStream::connect(&path).on("connect to", &path);
    }
    let mut refused = None;
    for path in runtime_dir::candidates().map(|dir| dir.join(NAME)) {
        match UnixStream::connect(&path) {
            Ok(stream) => return Ok(stream),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => refused = refused.or(Some((path, e))),
        }
    }
    let error = match refused {
        Some((path, e)) => Error::os("connect to", path.display().to_string(), e),
        None => Error::not_found("no cox listens here"),
    };
    Err(error.hint("cox makes its socket if it supervises services; see --socket"))
}

/// Prints; whether anybody still reads.
fn print(text: &str) -> Result<bool> {
    match fd::write_all(STDOUT, text.as_bytes()) {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
        other => other.on("write", "the answer").map(|()| true),
    }
}

/// Rows of cells as lines, the cells of a column below each other.
fn align(rows: &[String]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (column, cell) in row.split('\t').enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(column) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.split('\t').zip(&widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_options_stand_anywhere_but_behind_two_dashes() {
        let words: Vec<OsString> = "--socket=/s stop --timeout 2.5 web -- --timeout"
            .split(' ')
            .map(OsString::from)
            .collect();
        let (options, rest) = split(&words).unwrap();
        assert_eq!(options.socket, Some(PathBuf::from("/s")));
        assert_eq!(options.timeout, Some(Duration::from_millis(2500)));
        assert_eq!(rest, ["stop", "web", "--", "--timeout"]);
        for bad in ["--timeout", "--timeout=x", "--socket=", "a\tb"] {
            assert!(split(&[OsString::from(bad)]).is_err(), "{bad}");
        }
    }

    #[test]
    fn cells_stand_below_each_other() {
        let rows = ["NAME\tPID\tNOTE", "w\u{e4}b\t7\t", "database\t-\tis late"].map(String::from);
        let text = "NAME      PID  NOTE\nw\u{e4}b       7\ndatabase  -    is late\n";
        assert_eq!(align(&rows), text);
    }
}
