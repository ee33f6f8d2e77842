//! `top`: the processes of a container, as ps(1) lists them.
//!
//! Without options they are read from /proc, in the columns of `ps -ef`. With options the host's ps
//! is asked, as Docker does, and of what it says the lines of the container are kept, known by the
//! column PID. Where the host has no ps, `-ef`, `aux` and the common columns of `-o` are told all the
//! same.

use super::report::Processes;
use super::{Engine, spec};
use crate::error::{Error, OsContext, Result};
use crate::sys::namespace;
use crate::types::Pid;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Output};

/// Kernel clock ticks a second, in /proc (always 100 for user space: time(7)).
const TICKS: u64 = 100;

const FULL: [&str; 8] = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];

/// The columns of ours that `-o` calls by these names: the title of ps, and the one above.
const COLUMNS: &[(&str, &str, &str)] = &[
    ("args", "COMMAND", "CMD"),
    ("c", "C", "C"),
    ("cmd", "CMD", "CMD"),
    ("command", "COMMAND", "CMD"),
    ("comm", "COMMAND", "COMM"),
    ("cputime", "TIME", "TIME"),
    ("pid", "PID", "PID"),
    ("ppid", "PPID", "PPID"),
    ("stime", "STIME", "STIME"),
    ("time", "TIME", "TIME"),
    ("tty", "TT", "TTY"),
    ("uid", "UID", "UID"),
    ("user", "USER", "UID"),
];

impl Engine {
    /// `options` are those of ps.
    pub fn top(&self, name: &str, options: &[String]) -> Result<Processes> {
        let dir = self.find(name)?;
        let first = self.process(&dir, name)?;
        let cgroup = self.cgroups()?.open(&spec::cgroup_path(&dir))?;
        let pids = match cgroup.is_there() {
            true => cgroup.processes()?,
            // Without one, those of its pid namespace, which a privileged program may leave.
            false => namespace::processes_beside(first.pid).on("read", "/proc")?,
        };
        match options.is_empty() {
            true => own(&pids, &FULL.map(|title| (title, title))),
            false => match ask(options, &pids) {
                Err(e) if e.kind() == ErrorKind::NotFound => own(&pids, &columns(options)?),
                asked => {
                    let asked = asked.on("run", "ps")?;
                    if !asked.status.success() {
                        let said = String::from_utf8_lossy(&asked.stderr);
                        let said = said.trim().lines().next().unwrap_or("it fails").to_string();
                        return Err(Error::invalid(format!("ps {}: {said}", options.join(" "))));
                    }
                    keep(&String::from_utf8_lossy(&asked.stdout), &pids)
                }
            },
        }
    }
}

/// Asks the host's ps for these processes; for all that it tells by itself where its options do
/// not go with that. By itself it may tell those of our own terminal only.
fn ask(options: &[String], pids: &[Pid]) -> std::io::Result<Output> {
    let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
    let asked = Command::new("ps").args(options).arg(format!("-q{}", pids.join(","))).output()?;
    match asked.status.success() {
        true => Ok(asked),
        false => Command::new("ps").args(options).output(),
    }
}

/// The lines of ps that are about these processes, in cells: as many as there are titles, of which
/// the last has all the rest.
fn keep(text: &str, pids: &[Pid]) -> Result<Processes> {
    let mut lines = text.lines();
    let titles: Vec<String> =
        lines.next().unwrap_or_default().split_whitespace().map(str::to_string).collect();
    let at = titles.iter().position(|title| title == "PID").ok_or_else(|| {
        Error::invalid("these options of ps do not tell the PID of processes")
            .hint("add it: -o pid,comm")
    })?;
    let rows = lines.filter_map(|line| {
        let mut rest = line.trim();
        let mut cells = Vec::new();
        while cells.len() + 1 < titles.len() {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            cells.push(rest[..end].to_string());
            rest = rest[end..].trim_start();
        }
        cells.push(rest.to_string());
        let pid: i32 = cells.get(at)?.parse().ok()?;
        pids.iter().any(|one| one.raw() == pid).then_some(cells)
    });
    Ok(Processes { rows: rows.collect(), titles })
}

/// What options of ps ask for, as titles and the columns of ours.
fn columns(options: &[String]) -> Result<Vec<(&'static str, &'static str)>> {
    let unknown = || {
        Error::not_found(format!("this host has no ps for the options {}", options.join(" ")))
            .hint("without it there are -ef, aux, and -o of pid, ppid, user, time, comm, args")
    };
    let mut all = Vec::new();
    let mut rest = options.iter().map(String::as_str);
    while let Some(word) = rest.next() {
        let letters = word.trim_start_matches('-');
        match letters.split_once('o') {
            Some((before, list)) if before.chars().all(|c| "eA".contains(c)) => {
                let list = if list.is_empty() { rest.next().ok_or_else(unknown)? } else { list };
                for name in list.trim_start_matches('=').split(',') {
                    let found = COLUMNS.iter().find(|(own, ..)| *own == name);
                    let (_, title, column) = found.ok_or_else(unknown)?;
                    all.push((*title, *column));
                }
            }
            _ if letters.chars().all(|c| "aeAfuxw".contains(c)) => {}
            _ => return Err(unknown()),
        }
    }
    match all.is_empty() {
        true => Ok(FULL.map(|title| (title, title)).to_vec()),
        false => Ok(all),
    }
}

/// These columns, from /proc. A process that ended meanwhile is left out.
fn own(pids: &[Pid], columns: &[(&str, &str)]) -> Result<Processes> {
    let uptime = fs::read_to_string("/proc/uptime").on("read", "/proc/uptime")?;
    let uptime = uptime.split(['.', ' ']).next().and_then(|s| s.parse().ok());
    let now = crate::types::Timestamp::now().unix_seconds();
    let boot = now - uptime.unwrap_or(0);
    let places = columns.iter().map(|(_, column)| FULL.iter().position(|title| title == column));
    // Behind those of `FULL` comes COMM.
    let places: Vec<usize> = places.map(|at| at.unwrap_or(FULL.len())).collect();
    let rows = pids.iter().filter_map(|pid| {
        let cells = row(*pid, boot, now)?;
        Some(places.iter().map(|at| cells[*at].clone()).collect())
    });
    let titles = columns.iter().map(|(title, _)| title.to_string()).collect();
    Ok(Processes { titles, rows: rows.collect() })
}

fn row(pid: Pid, boot: i64, now: i64) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    let uid = fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    let seconds = (number(11) + number(12)) / TICKS;
    let started = boot + i64::try_from(number(19) / TICKS).ok()?;
    let args = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let short = head.split_once('(')?.1;
    let command = match args.is_empty() {
        true => format!("[{short}]"),
        false => String::from_utf8_lossy(&args).trim_end_matches('\0').replace('\0', " "),
    };
    // As ps(1) shows them.
    let command = command.replace(char::is_control, "?");
    let age = u64::try_from(now - started).unwrap_or(0).max(1);
    Some(vec![
        user_name(uid),
        pid.to_string(),
        number(1).to_string(),
        (seconds * 100 / age).min(99).to_string(),
        clock(started, now),
        tty_name(number(4)),
        format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
        command,
        short.replace(char::is_control, "?"),
    ])
}

/// The host's name for a user, or the number.
fn user_name(uid: u32) -> String {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_string())
    });
    found.unwrap_or_else(|| uid.to_string())
}

/// `13:34`, or for what is older than a day `Nov22`; in UTC, as all our times.
fn clock(started: i64, now: i64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = crate::types::Timestamp::from_unix(started).to_string();
    if now - started < 86_400 {
        return text[11..16].to_string();
    }
    let month = text[5..7].parse::<usize>().unwrap_or(1);
    format!("{}{}", MONTHS[(month - 1) % 12], &text[8..10])
}

/// Terminals of /dev/pts have major numbers from 136 (proc(5), tty_nr).
fn tty_name(dev: u64) -> String {
    let (major, minor) = namespace::device_numbers(dev);
    match major {
        0 => "?".into(),
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        _ => format!("{major}:{minor}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_string).collect()
    }

    #[test]
    fn lines_of_ps_are_known_by_their_pid() {
        let pids = [7, 12].map(|pid| Pid::from_raw(pid).unwrap());
        let text = "USER       PID %CPU COMMAND\nroot         1  0.0 /sbin/init\n\
                    www-data    12  0.1 nginx: worker  process\n";
        let kept = keep(text, &pids).unwrap();
        assert_eq!(kept.titles, ["USER", "PID", "%CPU", "COMMAND"]);
        assert_eq!(kept.rows, [["www-data", "12", "0.1", "nginx: worker  process"]]);
        let error = keep("COMMAND\ninit\n", &pids).unwrap_err();
        assert!(error.hints().join("").contains("-o pid,comm"));
        assert!(keep("", &pids).is_err());
    }

    #[test]
    fn the_common_options_need_no_ps() {
        for line in ["-ef", "aux", "-e -f", "-A"] {
            assert_eq!(columns(&words(line)).unwrap().len(), 8, "{line}");
        }
        for line in ["-eo pid,comm", "-o pid,comm", "-opid -o comm", "-e -o pid,comm"] {
            let expected = [("PID", "PID"), ("COMMAND", "COMM")];
            assert_eq!(columns(&words(line)).unwrap(), expected, "{line}");
        }
        for line in ["-o nosuch", "-o", "--forest", "-p 1"] {
            assert!(columns(&words(line)).unwrap_err().to_string().contains("no ps"), "{line}");
        }
        let me = [Pid::from_raw(std::process::id() as i32).unwrap()];
        let own = own(&me, &[("PID", "PID"), ("COMMAND", "COMM")]).unwrap();
        assert_eq!(own.titles, ["PID", "COMMAND"]);
        assert_eq!(own.rows[0][0], me[0].to_string());
    }
}
