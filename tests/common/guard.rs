//! The leak guard: what a test may not leave behind.
//!
//! Mounts, links, firewall rules, what links are told and the run directory are those of the test's own namespaces, so
//! that nothing else on the machine disturbs the comparison. Processes are ours if they live in
//! the test's network namespace or see the test's directory among their mounts; control groups, of
//! which a machine has only one tree, if they are new, named after us and empty.
//!
//! What may stay: the bridge `coracle0` (those of other networks go with `network prune`, which comes
//! first), the groups `coracle` and `coracle/monitors`, and in the
//! run directory plain files (locks, lists). Half-written files may not.

use coracle::sys::{atomic, pidfd};
use coracle::types::{Pid, Signal};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long what is on its way out may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The machine as it was.
pub struct Before {
    mounts: String,
    links: BTreeSet<String>,
    rules: Option<String>,
    told: BTreeMap<PathBuf, String>,
    groups: BTreeSet<PathBuf>,
    network: PathBuf,
}

impl Before {
    pub fn look(_base: &Path) -> Before {
        Before {
            mounts: mounts(),
            links: links(),
            rules: rules(),
            told: told(),
            groups: groups(),
            network: fs::read_link("/proc/thread-self/ns/net").expect("a network namespace"),
        }
    }

    /// A line for each thing that is there and was not.
    pub fn leaks(&self, base: &Path) -> Vec<String> {
        let mut leaks = Vec::new();

        // Monitors are on their way out when `rm` returns; the rest goes with the processes.
        for (pid, name) in self.processes(base) {
            let ended = pidfd::open(pid)
                .is_ok_and(|fd| !pidfd::wait_ended(fd.as_fd(), Some(LIMIT)).unwrap_or(true));
            if ended {
                leaks.push(format!("process {pid}: {name}"));
            }
        }
        let mounts = mounts();
        let lines = |text: &str| text.lines().map(String::from).collect::<BTreeSet<_>>();
        for line in lines(&mounts).symmetric_difference(&lines(&self.mounts)) {
            leaks.push(format!("mount {line}"));
        }
        leaks.extend(self.leaked_links().into_iter().map(|name| format!("link {name}")));
        if let (Some(before), Some(after)) = (&self.rules, rules())
            && *before != after
        {
            leaks.push(format!("nftables rules:\n{after}"));
        }
        let mut told = told();
        told.retain(|path, now| self.told.get(path).is_some_and(|before| before != now));
        leaks.extend(told.iter().map(|(path, now)| format!("{}: {now}", path.display())));
        leaks.extend(self.leaked_groups().iter().map(|dir| format!("cgroup {}", dir.display())));
        files(&base.join("tmp"), &mut |path, _| leaks.push(format!("file {}", path.display())));
        files(Path::new("/run/coracle"), &mut |path, kind| {
            let half_written = path.iter().any(|name| name == "live.new");
            if kind.is_socket() || kind.is_fifo() || half_written {
                leaks.push(format!("{}", path.display()));
            }
        });
        files(&base.join("root"), &mut |path, _| {
            if path.file_name().is_some_and(atomic::is_leftover) {
                leaks.push(format!("{}", path.display()));
            }
        });
        // Addresses and names of containers that are gone; records of networks.
        files(&base.join("root/networks"), &mut |path, _| {
            if !path.ends_with("bridge/network.json") {
                leaks.push(format!("{}", path.display()));
            }
        });
        for directory in ["containers", "names"] {
            for entry in fs::read_dir(base.join("root").join(directory)).into_iter().flatten() {
                let entry = entry.expect("read the state root");
                leaks.push(format!("{}", entry.path().display()));
            }
        }
        leaks
    }

    /// Ends what a failed test has started.
    pub fn kill_all(&self, base: &Path) {
        let until = Instant::now() + LIMIT;
        loop {
            let processes = self.processes(base);
            if processes.is_empty() || Instant::now() > until {
                return;
            }
            for (pid, _) in processes {
                if let Ok(fd) = pidfd::open(pid) {
                    let _ = pidfd::send_signal(fd.as_fd(), Signal::KILL);
                    let _ = pidfd::wait_ended(fd.as_fd(), Some(LIMIT));
                }
            }
        }
    }

    /// Living processes of ours, with their command lines.
    fn processes(&self, base: &Path) -> Vec<(Pid, String)> {
        let base = base.display().to_string();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").expect("read /proc").flatten() {
            let Ok(number) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
            let Some(pid) = Pid::from_raw(number) else { continue };
            if number == std::process::id() as i32 {
                continue;
            }
            let dir = entry.path();
            // The state follows the name, which may hold anything, in its parentheses.
            let stat = fs::read_to_string(dir.join("stat")).unwrap_or_default();
            let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
            if matches!(state, None | Some('Z' | 'X')) {
                continue;
            }
            let network = fs::read_link(dir.join("ns/net")).is_ok_and(|ns| ns == self.network);
            let mounts = fs::read_to_string(dir.join("mountinfo")).unwrap_or_default();
            if network || mounts.contains(&base) {
                let line = fs::read(dir.join("cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                found.push((pid, line.trim_end().to_string()));
            }
        }
        found
    }

    /// A namespace's links go some time after its last process: wait for the kernel to say so.
    fn leaked_links(&self) -> Vec<String> {
        let mut known = self.links.clone();
        known.insert("coracle0".into());
        let news = link_events().ok();
        let until = Instant::now() + LIMIT;
        loop {
            let left: Vec<String> = links().difference(&known).cloned().collect();
            let rest = until.saturating_duration_since(Instant::now());
            if left.is_empty() || rest.is_zero() {
                return left;
            }
            let Some(news) = &news else { return left };
            let mut fds = [PollFd::new(news.as_fd(), PollFlags::POLLIN)];
            let limit = PollTimeout::try_from(rest).unwrap_or(PollTimeout::NONE);
            let _ = poll(&mut fds, limit);
            let mut buffer = [0; 1 << 16];
            let _ = nix::unistd::read(news, &mut buffer);
        }
    }

    /// Other engines on the machine have groups too, which are empty for a moment at their begin
    /// and end; ours stay.
    fn leaked_groups(&self) -> Vec<PathBuf> {
        let mut left: Vec<PathBuf> =
            groups().into_iter().filter(|dir| !self.groups.contains(dir)).collect();
        let until = Instant::now() + LIMIT;
        loop {
            left.retain(|dir| {
                let name = dir.file_name().unwrap_or_default();
                // A populated one is another engine's: our processes are gone.
                name != "coracle" && name != "monitors" && dir.exists() && !populated(dir)
            });
            if left.is_empty() || Instant::now() > until {
                return left;
            }
            std::thread::yield_now();
        }
    }
}

/// The mounts of this thread's namespace.
pub fn mounts() -> String {
    fs::read_to_string("/proc/thread-self/mountinfo").expect("read mountinfo")
}

fn links() -> BTreeSet<String> {
    let table = fs::read_to_string("/proc/thread-self/net/dev").expect("read net/dev");
    let names = table.lines().skip(2).filter_map(|line| line.split_once(':'));
    names.map(|(name, _)| name.trim().to_string()).collect()
}

/// A socket that becomes readable when a link of this network namespace changes.
fn link_events() -> nix::Result<OwnedFd> {
    const RTMGRP_LINK: u32 = 1;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let protocol = SockProtocol::NetlinkRoute;
    let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
    bind(std::os::fd::AsRawFd::as_raw_fd(&fd), &NetlinkAddr::new(0, RTMGRP_LINK))?;
    Ok(fd)
}

/// The firewall of this network namespace, but for the tables that stay with the bridge where they
/// lead to no container, and those that stay and sleep; `None` where `nft` is not installed.
fn rules() -> Option<String> {
    match Command::new("nft").args(["list", "ruleset"]).output() {
        Ok(output) => {
            let all = String::from_utf8_lossy(&output.stdout).into_owned();
            let stays = |table: &&str| {
                let is_ours = table.starts_with("table inet coracle0 {")
                    || table.starts_with("table bridge coracle0 {");
                let sleeps = ["ip", "ip6"].iter().any(|family| {
                    table.starts_with(&format!(
                        "table {family} coracle_transit {{\n\tflags dormant\n"
                    ))
                });
                sleeps || is_ours && !table.contains("elements = ")
            };
            Some(all.split_inclusive("\n}\n").filter(|table| !stays(table)).collect())
        }
        Err(_) => {
            super::skipped("nft is not installed, firewall rules are not compared");
            None
        }
    }
}

/// What of this network namespace may be changed for containers: forwarding, and what links take
/// from others.
fn told() -> BTreeMap<PathBuf, String> {
    const ALL: [(&str, &[&str]); 2] = [
        ("ipv4", &["forwarding", "route_localnet", "accept_redirects"]),
        ("ipv6", &["forwarding", "accept_ra", "disable_ipv6"]),
    ];
    let mut found = BTreeMap::new();
    for (version, names) in ALL {
        let links = fs::read_dir(format!("/proc/sys/net/{version}/conf")).into_iter().flatten();
        for link in links.flatten() {
            for path in names.iter().map(|name| link.path().join(name)) {
                if let Ok(value) = fs::read_to_string(&path) {
                    found.insert(path, value);
                }
            }
        }
    }
    found
}

/// Control groups named after us, in every hierarchy that is mounted.
fn groups() -> BTreeSet<PathBuf> {
    let mounts = mounts();
    let mut found = BTreeSet::new();
    for line in mounts.lines() {
        let Some((mount, file_system)) = line.split_once(" - ") else { continue };
        if file_system.starts_with("cgroup")
            && let Some(point) = mount.split(' ').nth(4)
        {
            walk(Path::new(point), 0, &mut found);
        }
    }
    found
}

fn walk(dir: &Path, depth: u32, found: &mut BTreeSet<PathBuf>) {
    // Deep enough for a scope inside of a slice inside of a nested engine.
    if depth > 6 {
        return;
    }
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let path = entry.path();
            walk(&path, depth + 1, found);
            if path.to_string_lossy().contains("coracle") {
                found.insert(path);
            }
        }
    }
}

fn populated(group: &Path) -> bool {
    let procs = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let events = fs::read_to_string(group.join("cgroup.events")).unwrap_or_default();
    !procs.is_empty() || events.contains("populated 1")
}

/// Everything below `dir` but directories.
fn files(dir: &Path, see: &mut impl FnMut(&Path, fs::FileType)) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            files(&entry.path(), see);
        } else {
            see(&entry.path(), kind);
        }
    }
}
