//! `top`: the processes of a container, as `ps -ef` lists them, read from /proc.

use super::report::Processes;
use super::{Engine, spec};
use crate::error::{OsContext, Result};
use crate::types::Pid;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Kernel clock ticks a second, in /proc (always 100 for user space: time(7)).
const TICKS: u64 = 100;

impl Engine {
    pub fn top(&self, name: &str) -> Result<Processes> {
        let dir = self.find(name)?;
        self.process(&dir, name)?;
        let pids = self.cgroups()?.open(&spec::cgroup_path(&dir))?.processes()?;
        let uptime = fs::read_to_string("/proc/uptime").on("read", "/proc/uptime")?;
        let uptime = uptime.split(['.', ' ']).next().and_then(|s| s.parse().ok());
        let now = crate::types::Timestamp::now().unix_seconds();
        let boot = now - uptime.unwrap_or(0);
        let titles = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];
        // A process that ended meanwhile is left out.
        let rows = pids.into_iter().filter_map(|pid| row(pid, boot, now)).collect();
        Ok(Processes { titles: titles.map(String::from).to_vec(), rows })
    }
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
    let command = match args.is_empty() {
        true => format!("[{}]", head.split_once('(')?.1),
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
    let (major, minor) = crate::sys::namespace::device_numbers(dev);
    match major {
        0 => "?".into(),
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        _ => format!("{major}:{minor}"),
    }
}
