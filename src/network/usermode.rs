//! Networks of containers that have no root to make them: a program beside each one moves packets
//! between a tap device in its namespace and sockets of its own (pasta(1), slirp4netns(1)).
//!
//! ```text
//! <run>/c/<id>/helper     the program's process, which cannot be mistaken
//!              netns      where the program finds the namespace, mounted for its eyes only
//!              ready      pasta writes its pid here when all is set up: a FIFO
//!              api        where slirp4netns is asked for ports: a socket
//!              helper.log what the program has to say
//! ```
//!
//! The program is written down before it is executed: it waits for that, and ends where we end
//! first. It lives on when the container's monitor dies, and whoever clears up after the container
//! ends it. (pasta ends by itself too, when `netns` is removed.) What it cannot do is hear of the
//! container's end: then both of them, monitor and container, were killed, and the next sweep comes.
//! Where it dies first, the device and its addresses go with it, and the monitor executes another
//! (`engine::network::helper`).
//!
//! What has no capability of ours in it may not look at the processes of the namespace: so
//! `/proc/PID/ns/net` would be refused, and the program gets a file on which the namespace is
//! mounted, in a mount namespace of its own, which it leaves at once.

use crate::error::{Cause, Context, Error, OsContext, Result};
use crate::oci::create;
use crate::sys::child::Plan;
use crate::sys::poll::Interest;
use crate::sys::step::{Exec, FdSource, Missing, Step, Target, Variables};
use crate::sys::{fd, fifo, fs as files, mount, namespace, netns, pidfd, poll, signal};
use crate::types::{Pid, Protocol, Published, Signal, UserMode};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longer than the programs take.
const LIMIT: Duration = Duration::from_secs(20);

/// Where the programs are looked for: a monitor has no PATH.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// RLIMIT_FSIZE
const FILE_SIZE: i32 = 1;
const LOG: &str = "helper.log";
/// Its bytes.
const MOST_SAID: u64 = 1 << 16;

/// Where pasta takes questions for names; nobody's address (RFC 3927), and as with Podman.
const PASTA_DNS: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
const SLIRP_DNS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
const SLIRP_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 100);

/// The first of the programs that is installed; on a host without a way out, rather one that can do
/// without.
pub fn find() -> Result<UserMode> {
    let installed = || UserMode::ALL.into_iter().filter(|mode| program(*mode).is_some());
    let works = |mode: &UserMode| !addresses(*mode).is_empty();
    installed().find(works).or_else(|| installed().next()).ok_or_else(|| {
        let text = "without root a network needs pasta or slirp4netns, and neither is installed";
        Error::not_found(text).hint(
            "install passt (the package of pasta) or slirp4netns, or use --network none or host",
        )
    })
}

fn program(mode: UserMode) -> Option<PathBuf> {
    let dirs = PATH.split(':').map(|dir| Path::new(dir).join(mode.word()));
    dirs.into_iter().find(|path| path.is_file())
}

/// Who answers questions for names.
pub fn name_server(mode: UserMode) -> IpAddr {
    match mode {
        UserMode::Pasta => PASTA_DNS.into(),
        UserMode::Slirp4netns => SLIRP_DNS.into(),
    }
}

/// The addresses of a container: with pasta, those that the host goes out by.
pub fn addresses(mode: UserMode) -> Vec<IpAddr> {
    match mode {
        UserMode::Slirp4netns => vec![SLIRP_ADDRESS.into()],
        UserMode::Pasta => {
            let v6: IpAddr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into();
            [Ipv4Addr::new(192, 0, 2, 1).into(), v6].into_iter().filter_map(way_to).collect()
        }
    }
}

/// The address by which this host goes to another; nothing is sent.
fn way_to(other: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match other {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((other, 9)).ok()?;
    let own = socket.local_addr().ok()?.ip();
    (!own.is_loopback() && !own.is_unspecified()).then_some(own)
}

/// What the program of a container needs.
pub struct Wanted<'a> {
    pub mode: UserMode,
    /// The container's directory in the run directory.
    pub run: &'a Path,
    /// The container's first process, which is kept from ending meanwhile.
    pub process: Pid,
    pub ports: &'a [Published],
}

/// Executes the program, and waits until the network is there. `write_down` keeps its process for
/// `end`.
pub fn start(wanted: &Wanted, write_down: impl FnOnce(Pid) -> Result<()>) -> Result<()> {
    let starting = begin(wanted, write_down)?;
    let until = Instant::now() + LIMIT;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match starting.is_ready(left)? {
            None if !left.is_zero() => {}
            is_ready => return starting.finish(wanted, is_ready == Some(true), LIMIT).map(drop),
        }
    }
}

/// A program that was executed, until the network is there: for who must not wait for that.
pub struct Starting {
    process: OwnedFd,
    /// It says here that it is ready.
    reader: File,
}

/// The first half of `start`.
pub fn begin(wanted: &Wanted, write_down: impl FnOnce(Pid) -> Result<()>) -> Result<Starting> {
    let Wanted { mode, run, process, .. } = *wanted;
    let doing = || doing(mode);
    let path = program(mode).ok_or_else(|| {
        let text = format!("{mode} is not installed");
        Error::not_found(text).hint(format!("install {}", package(mode)))
    })?;
    let path = CString::new(path.as_os_str().as_bytes()).unwrap_or_default();
    if mode == UserMode::Pasta {
        trust_addresses(process)?;
    }
    let net = format!("/proc/{process}/ns/net");
    let net = mount::open_place(&CString::new(net.as_str()).unwrap_or_default()).on("open", net)?;
    let net = mount::clone_place(net.as_fd(), false).on("mount", "a network namespace")?;
    let log = run.join(LOG);
    let output = File::create(&log).on("create", &log)?;
    let null = File::options().read(true).write(true).open("/dev/null").on("open", "/dev/null")?;
    let ready = run.join("ready");
    // That of an earlier one, which may have ended at any moment.
    let _ = std::fs::remove_file(&ready);
    fifo::make(&ready, 0o600).on("create", &ready)?;
    let reader = fifo::open_for_reading(&ready).on("open", &ready)?;
    // A FIFO that has had a writer tells its end; pasta is the first.
    let writer = match mode {
        UserMode::Pasta => None,
        UserMode::Slirp4netns => fifo::open_for_writing(&ready).on("open", &ready)?,
    };
    let (gate, inner) = fd::socket_pair().on("socketpair", "")?;
    let at = Target::new(run.join("netns").as_os_str().as_bytes(), Missing::MakeFile);
    let at = at.map_err(|_| Error::invalid("a path with a NUL byte"))?;

    let mut plan = Plan::new();
    plan.push(Step::Close(gate.as_fd()));
    plan.push(Step::NewSession);
    plan.push(Step::DefaultSignals { set: signal::ALL, mask: 0 });
    // What it says beyond that is lost: containers can make it say much.
    plan.push(Step::ResourceLimit { resource: FILE_SIZE, soft: MOST_SAID, hard: MOST_SAID });
    plan.push(Step::IgnoreSignals(signal::bit(Signal::XFSZ)));
    plan.push(Step::Unshare(namespace::MOUNT));
    plan.push(Step::PrivateMounts);
    plan.push(Step::OpenRoot);
    plan.push(Step::Tree(net.as_fd()));
    plan.push(Step::Attach { what: "the network namespace".into(), at });
    plan.push(Step::Chdir(CString::new(run.as_os_str().as_bytes()).unwrap_or_default()));
    plan.push(Step::Await(inner.as_fd()));
    let streams = [null.as_fd(), output.as_fd(), output.as_fd()];
    let mut fds: Vec<_> = streams.into_iter().map(FdSource::Fd).zip(0..).collect();
    fds.extend(writer.as_ref().map(|writer| (FdSource::Fd(writer.as_fd()), READY_FD)));
    plan.push(Step::Descriptors(fds));
    plan.push(Step::Report);
    let args = words(wanted).into_iter().map(|word| CString::new(word).unwrap_or_default());
    plan.push(Step::Exec(Exec::new(vec![path], args.collect(), Variables::new(Vec::new()))));
    let (child, report) = create::clone(&plan, 0)?;
    let steps = create::describe(&plan);
    drop(plan);
    drop((writer, inner));
    let go = || {
        write_down(child.pid)?;
        fd::send(gate.as_fd(), b"g").on("start", mode.word())?;
        create::outcome(report.as_fd(), &steps, mode.word())
    };
    match go() {
        Ok(()) => Ok(Starting { process: child.pidfd, reader }),
        Err(error) => end(child.pidfd).and(Err(error)).doing(doing),
    }
}

impl Starting {
    /// Readable when there is something to look at.
    pub fn sources(&self) -> [BorrowedFd<'_>; 2] {
        [self.reader.as_fd(), self.process.as_fd()]
    }

    /// Whether it has said so; `false` where it has ended, `None` where neither came within `limit`.
    pub fn is_ready(&self, limit: Duration) -> Result<Option<bool>> {
        let fds = self.sources().map(|fd| (fd, Interest::Read));
        Ok(match poll::ready(&fds, Some(limit)).on("wait for", "the network")?[..] {
            [_, true] => Some(false),
            [true, _] => match (&self.reader).read(&mut [0; 16]) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => None,
                said => Some(said.is_ok_and(|n| n > 0)),
            },
            _ => None,
        })
    }

    /// The second half of `start`: asks for the ports, each answer at most for `limit`. Gives the
    /// program's process.
    pub fn finish(self, wanted: &Wanted, is_ready: bool, limit: Duration) -> Result<OwnedFd> {
        let Wanted { mode, run, ports, .. } = *wanted;
        let error = match (is_ready, mode) {
            (true, UserMode::Pasta) => None,
            (true, UserMode::Slirp4netns) => forward(run, ports, limit).err(),
            (false, _) => {
                let error = Error::from(Cause::Reported { code: 125, text: last_words(run) });
                Some(match addresses(mode).is_empty() {
                    true => error.hint(
                        "this host has no way out, which pasta needs: use --network none, or \
                         install slirp4netns",
                    ),
                    false => error,
                })
            }
        };
        match error {
            None => Ok(self.process),
            Some(error) => end(self.process).and(Err(error)).doing(|| doing(mode)),
        }
    }
}

fn doing(mode: UserMode) -> String {
    format!("set up the network by {mode}")
}

/// Has the container's link use its IPv6 addresses at once, without asking for a second or two whether
/// somebody has them: its only neighbour is the program. A child of ours goes there for that: we
/// could not come back.
fn trust_addresses(process: Pid) -> Result<()> {
    const ASKS: &CStr = c"/proc/sys/net/ipv6/conf/default/accept_dad";
    if !Path::new("/proc/sys/net/ipv6").exists() {
        return Ok(());
    }
    let namespace = netns::of(process).on("open", "the container's network")?;
    let mut plan = Plan::new();
    plan.push(Step::SetNamespace { fd: namespace.as_fd(), kinds: namespace::NETWORK });
    plan.push(Step::Sysctl { file: ASKS.to_owned(), value: b"0".to_vec() });
    plan.push(Step::Report);
    let (child, report) = create::clone(&plan, 0)?;
    let done = create::outcome(report.as_fd(), &create::describe(&plan), "");
    pidfd::wait(child.pidfd.as_fd()).on("wait for", "a child")?;
    done
}

/// Where slirp4netns finds whom to tell that it is ready.
const READY_FD: i32 = 3;

/// The command line.
fn words(wanted: &Wanted) -> Vec<String> {
    let netns = wanted.run.join("netns").display().to_string();
    let own = |words: &[&str]| words.iter().map(|word| word.to_string()).collect::<Vec<_>>();
    if wanted.mode == UserMode::Slirp4netns {
        let mut words = own(&["slirp4netns", "--configure", "--mtu=65520"]);
        words.extend(own(&["--disable-host-loopback", "--enable-sandbox", "--enable-seccomp"]));
        words.extend(own(&["--api-socket=api", "--netns-type=path"]));
        words.extend([format!("--ready-fd={READY_FD}"), netns, "tap0".into()]);
        return words;
    }
    let mut words = own(&["pasta", "--foreground", "--quiet", "--config-net", "--no-map-gw"]);
    // Nothing of the host's loopback shows in the container: both are `auto` by default.
    words.extend(own(&["--tcp-ns", "none", "--udp-ns", "none"]));
    for (flag, protocol) in [("--tcp-ports", Protocol::Tcp), ("--udp-ports", Protocol::Udp)] {
        let mut none = true;
        for one in wanted.ports.iter().filter(|one| one.port.protocol == protocol) {
            let (address, host, inside) = (one.address, one.host, one.port.number);
            none = false;
            // It takes a port once: without an address it is that of all, of both versions.
            let is_twin = |other: &&Published| {
                let is_same = other.host == host && other.port == one.port;
                is_same && other.address != address && other.address.is_unspecified()
            };
            match wanted.ports.iter().find(is_twin).filter(|_| address.is_unspecified()) {
                Some(_) if address.is_ipv6() => {}
                Some(_) => words.extend([flag.into(), format!("{host}:{inside}")]),
                None => words.extend([flag.into(), format!("{address}/{host}:{inside}")]),
            }
        }
        if none {
            words.extend(own(&[flag, "none"]));
        }
    }
    words.extend(["--dns-forward".into(), PASTA_DNS.to_string()]);
    words.extend(own(&["--pid", "ready", "--ns-ifname", "eth0", "--netns-only", "--netns"]));
    words.push(netns);
    words
}

fn package(mode: UserMode) -> &'static str {
    match mode {
        UserMode::Pasta => "passt",
        UserMode::Slirp4netns => "slirp4netns",
    }
}

/// Why the program ended, in its words.
pub fn last_words(run: &Path) -> String {
    let text = files::read_small(&run.join(LOG), MOST_SAID as usize).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    // Without a system logger pasta complains of that, each time.
    let told = text
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.ends_with("to syslog"));
    told.map_or("it ended without a word".into(), |line| line.replace(char::is_control, "?"))
}

/// Has slirp4netns listen for each port (slirp4netns(1), "API socket"): one question a connection.
fn forward(run: &Path, ports: &[Published], limit: Duration) -> Result<()> {
    let path = run.join("api");
    for one in ports {
        let question = serde_json::json!({
            "execute": "add_hostfwd",
            "arguments": {
                "proto": one.port.protocol.word(),
                "host_addr": one.address.to_string(),
                "host_port": one.host.get(),
                "guest_addr": SLIRP_ADDRESS.to_string(),
                "guest_port": one.port.number.get(),
            },
        });
        let ask = || -> std::io::Result<Vec<u8>> {
            let (_dir, short) = fd::short_path(&path)?;
            let mut socket = UnixStream::connect(short)?;
            socket.set_read_timeout(Some(limit))?;
            socket.write_all(question.to_string().as_bytes())?;
            socket.shutdown(std::net::Shutdown::Write)?;
            let mut answer = Vec::new();
            socket.take(1 << 16).read_to_end(&mut answer)?;
            Ok(answer)
        };
        let answer = ask().on("ask for a port at", &path)?;
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap_or_default();
        if answer.get("return").is_none() {
            let why = answer["error"]["desc"].as_str().unwrap_or("no answer").to_string();
            return Err(Error::conflict(format!("cannot publish {one}: {why}")));
        }
    }
    Ok(())
}

/// Ends the program.
pub fn end(process: OwnedFd) -> Result<()> {
    // It may end at any moment by itself.
    let _ = pidfd::send_signal(process.as_fd(), Signal::KILL);
    pidfd::wait_ended(process.as_fd(), None).on("wait for", "the network's program")?;
    // Where it is our child, nobody else reaps it.
    let _ = pidfd::try_wait(process.as_fd());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(mode: UserMode, ports: &[&str]) -> String {
        let ports: Vec<Published> = ports
            .iter()
            .map(|text| {
                let (address, rest) = text.rsplit_once('/').unwrap();
                let (host, port) = rest.split_once(':').unwrap();
                let (number, protocol) = port.split_once('.').unwrap();
                let port = format!("{number}/{protocol}").parse().unwrap();
                Published { address: address.parse().unwrap(), host: host.parse().unwrap(), port }
            })
            .collect();
        let process = Pid::from_raw(7).unwrap();
        words(&Wanted { mode, run: Path::new("/r"), process, ports: &ports }).join(" ")
    }

    #[test]
    fn nothing_is_published_that_was_not_asked_for() {
        let pasta = line(UserMode::Pasta, &[]);
        for none in ["--tcp-ports none", "--udp-ports none", "--tcp-ns none", "--udp-ns none"] {
            assert!(pasta.contains(none), "{pasta}");
        }
        assert!(pasta.contains("--no-map-gw") && pasta.ends_with("--netns /r/netns"), "{pasta}");
        let slirp = line(UserMode::Slirp4netns, &[]);
        assert!(slirp.contains("--disable-host-loopback"), "{slirp}");
    }

    #[test]
    fn each_port_is_told_with_its_address() {
        let ports = ["0.0.0.0/8080:80.tcp", "::/8080:80.tcp", "127.0.0.1/53:5353.udp"];
        let pasta = line(UserMode::Pasta, &ports);
        let expected = "--tcp-ports 8080:80 --udp-ports 127.0.0.1/53:5353";
        assert!(pasta.contains(expected), "{pasta}");
        let pasta = line(UserMode::Pasta, &["0.0.0.0/8080:80.tcp", "::/8081:80.tcp"]);
        let expected = "--tcp-ports 0.0.0.0/8080:80 --tcp-ports ::/8081:80";
        assert!(pasta.contains(expected), "{pasta}");
    }
}
