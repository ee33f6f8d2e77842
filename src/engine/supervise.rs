//! The life of a monitor: start the container (or adopt it), stand by it, record its end, clear
//! up, and start it again where its policy says so.
//!
//! What a SIGKILL of the monitor leaves at each point, and who goes on (`sweep`):
//!
//! - before the container is written down as running: its process waits at the gate, sees the
//!   gate close and ends, or is just past it and is killed; the container counts as down. Until then
//!   that process has a copy of our lock, with our signature: the sweep waits for it;
//! - after that: the container runs on, its output waits in the FIFOs, a new monitor adopts it;
//! - after its end was recorded: only clearing up is left, and can be done twice; or it waits for
//!   its next start, and a new monitor goes on waiting.

use super::devices::{self, Grant};
use super::kill::First;
use super::monitor::{CLIENT_FD, LIVE_FD};
use super::network::digest_of;
use super::privileges::privileges;
use super::remove::Left;
use super::spec::{self, Given, May};
use super::sweep::{Ran, UNKNOWN_EXIT};
use super::{Engine, Mode, resources, user};
use crate::container::log::{Driver, Keeping};
use crate::container::notify::{self, Notify};
use crate::container::{
    Again, Asked, Client, Config, Dir, Frame, Limits, Live, Monitor, Network, Pipes, ProcessId,
    Services, Status, Want,
};
use crate::error::{Context, Error, OsContext, Result};
use crate::network::ports::Reservation;
use crate::oci::cgroup::Cgroup;
use crate::oci::create::{self, Create, Running, Stdio};
use crate::oci::spec::NamespaceKind;
use crate::sys::exec::{Environment, replace};
use crate::sys::lock::Guard;
use crate::sys::{fd, fifo, mount, userns};
use crate::types::{ContainerId, ContainerName, Timestamp};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::time::{Duration, Instant};

/// How long a restart waits for clients to fetch the end of the last run.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long a restart waits for the containers that it links to or whose network it joins, and how
/// often it looks.
const OTHERS: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// Told where limits were asked for.
const UNLIMITED: &str = "the container runs without its limits: they need a delegated cgroup v2";

/// A container on its way up, or adopted.
struct Up<'e> {
    process: OwnedFd,
    pipes: Pipes,
    cgroup: Option<Cgroup>,
    ports: Reservation,
    services: Services<'e>,
    /// What it has to do without.
    warnings: Vec<String>,
    /// What it is called.
    name: ContainerName,
}

impl Engine {
    /// The body of `coracle monitor`. Returns when nothing is left to do for the container; on a
    /// restart it does not return.
    pub fn supervise(&self, id: &ContainerId, mode: Mode) -> Result<()> {
        let dir = Dir::new(&self.home, id);
        let guard = fd::inherited(LIVE_FD)
            .map(Guard::from_fd)
            .ok_or_else(|| Error::invalid("a monitor is started by the engine, not by hand"))?;
        let live = Live::inherit(&dir, guard);
        live.sign();
        let client = match mode {
            Mode::Start => fd::inherited(CLIENT_FD),
            Mode::Restart | Mode::Adopt => None,
        };
        let config = dir.config()?;
        let listening = self
            .lay_run_dir(&dir, &config, mode)
            .and_then(|()| Monitor::new(&dir, keeping(&dir, &config)?, !config.auto_remove));
        let mut monitor = match listening {
            Ok(monitor) => monitor,
            Err(error) => return self.fail_unheard(&dir, &config, live, client, mode, error),
        };
        if let Some(client) = client {
            monitor.welcome(client)?;
        }
        if mode == Mode::Restart && self.wait_out(&dir, &config, &mut monitor)? {
            let state = dir.update_state(|state| {
                state.status = Status::Exited;
                state.clone()
            })?;
            let finished = self.finish(&dir, &config, live);
            let ended = monitor.exited(state.exit_code, Again::No);
            monitor.farewell(&ended, None);
            return finished;
        }
        let up = match mode {
            Mode::Adopt => self.adopt(&dir, &config),
            Mode::Start | Mode::Restart => self.bring_up(&dir, &config),
        };
        let up = match up {
            Ok(up) => up,
            Err(error) if mode == Mode::Adopt => {
                // Its end came first: it is recorded as any other. Else it lives, and the next
                // to look tries again.
                return match self.is_alive(&dir)? {
                    false => self.end(&dir, &config, live, monitor, UNKNOWN_EXIT),
                    true => Err(error),
                };
            }
            Err(error) => return self.give_up(&dir, &config, live, monitor, error),
        };
        let Up { process, pipes, cgroup, ports, services, warnings, name } = up;
        for warning in cgroup.iter().flat_map(Cgroup::warnings).chain(&warnings) {
            monitor.tell(&Frame::Warning(warning.clone()));
        }
        if mode != Mode::Adopt {
            self.tell_of_places(&dir, &config, "connect");
            self.tell_of_mounts(&config, "mount");
            self.tell_of_this(&config, &name, "start", &[]);
        }
        monitor.tell(&Frame::Started);
        self.place_monitor();
        if dir.state()?.want == Want::Down {
            // Asked for while there was nobody to hear.
            let seconds = Some(config.stop_timeout);
            monitor.stop(process.as_fd(), config.stop_signal, seconds)?;
        }
        monitor.cgroup = cgroup;
        monitor.outlives_first = !config.namespaces.pid.is_own();
        monitor.services = services;
        let follow = || self.name_server_again(&dir, &config, process.as_fd());
        let exit = monitor.watch(process.as_fd(), pipes, &follow)?;
        // Before anybody hears of the end.
        drop(ports);
        let code = exit.map_or(UNKNOWN_EXIT, |exit| exit.code());
        self.end(&dir, &config, live, monitor, code)
    }

    /// There is no socket to be reached by: tells the one who started us, if anybody did.
    fn fail_unheard(
        &self,
        dir: &Dir,
        config: &Config,
        live: Live,
        client: Option<OwnedFd>,
        mode: Mode,
        error: Error,
    ) -> Result<()> {
        if mode == Mode::Adopt {
            // It lives: the next to look tries again.
            return Err(error);
        }
        let failed = self.record_failure(dir, config, live, &error);
        if let Some(client) = client {
            // Where the client is gone there is nobody to tell.
            let _ = Client::new(client).and_then(|mut client| client.send(&failure(&error)));
        }
        failed.and(Err(error))
    }

    /// Records the end, clears up, tells the clients, and goes on by the policy.
    fn end(
        &self,
        dir: &Dir,
        config: &Config,
        live: Live,
        monitor: Monitor,
        code: i32,
    ) -> Result<()> {
        let oom_killed = monitor.cgroup.as_ref().is_some_and(|cgroup| cgroup.oom_killed());
        let restart = monitor.asked == Some(Asked::Restart);
        let is_log_torn = !monitor.is_log_complete;
        let ran = Ran { oom_killed, restart, is_log_torn, ..Ran::default() };
        let settings = dir.settings()?;
        let again = self.record_end(dir, settings.restart, code, ran)?;
        if oom_killed {
            self.tell_of_this(config, &settings.name, "oom", &[]);
        }
        self.tell_of_end(dir, config, &settings.name, code, &[]);
        if again.is_some() {
            // What cannot be cleared now is cleared before the next start.
            let _ = self.clear(dir, Left::of(config));
            let again = if restart { Again::Asked } else { Again::ByPolicy };
            let ended = monitor.exited(code, again);
            monitor.farewell(&ended, Some(LAST_WORDS));
            return self.become_monitor(dir, live, Mode::Restart);
        }
        let finished = self.finish(dir, config, live);
        let ended = monitor.exited(code, Again::No);
        monitor.farewell(&ended, None);
        finished
    }

    /// Takes away what is left of a container that ended: all of it with --rm. What cannot go now
    /// is tried again by the sweep, as `live` stays behind.
    fn finish(&self, dir: &Dir, config: &Config, live: Live) -> Result<()> {
        match config.auto_remove {
            true => self.discard(dir, live),
            false => self.clear(dir, Left::of(config)).and_then(|()| live.finish()),
        }
    }

    /// The container did not come up: written down, cleared away, told.
    fn give_up(
        &self,
        dir: &Dir,
        config: &Config,
        live: Live,
        monitor: Monitor,
        error: Error,
    ) -> Result<()> {
        let recorded = self.record_failure(dir, config, live, &error);
        monitor.farewell(&failure(&error), None);
        recorded
    }

    fn record_failure(&self, dir: &Dir, config: &Config, live: Live, error: &Error) -> Result<()> {
        dir.update_state(|state| {
            state.status = Status::Exited;
            state.want = Want::Down;
            state.exit_code = i32::from(error.exit_code());
            state.error = error.to_string();
            state.process = None;
            state.ports.clear();
            state.finished = Timestamp::now();
        })?;
        self.finish(dir, config, live)
    }

    /// Waits out the back-off. Says whether a stop was asked for.
    fn wait_out(&self, dir: &Dir, config: &Config, monitor: &mut Monitor) -> Result<bool> {
        let state = dir.state()?;
        if state.want == Want::Up {
            monitor.pause(Duration::from_millis(state.backoff), state.exit_code)?;
            let until = Instant::now() + OTHERS;
            let others = || self.waits_for_others(dir, config);
            while monitor.asked.is_none() && others()? && Instant::now() < until {
                monitor.pause(LOOK, state.exit_code)?;
            }
        }
        let asked = monitor.asked.take();
        let want = dir.update_state(|state| {
            if asked == Some(Asked::Restart) {
                // It counts anew, as after every start by the user.
                (state.restarts, state.backoff) = (0, 0);
            }
            state.want
        })?;
        Ok(asked == Some(Asked::Stop) || want == Want::Down)
    }

    fn lay_run_dir(&self, dir: &Dir, config: &Config, mode: Mode) -> Result<()> {
        if mode == Mode::Adopt {
            return match fs::remove_file(dir.socket()) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    Err(Error::os("remove", dir.socket().display().to_string(), e))
                }
                _ => Ok(()),
            };
        }
        dir.remove_run()?;
        let run = dir.run_path();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(run).on("create", run)?;
        if config.tty.is_none() {
            for stream in ["stdin", "stdout", "stderr"] {
                let path = dir.fifo(stream);
                fifo::make(&path, 0o600).on("create", &path)?;
            }
        }
        Ok(())
    }

    /// Says whether it was asked for or is the image's.
    fn name_user(&self, config: &Config, error: Error) -> Error {
        let image = self.images().and_then(|store| store.image(&config.image));
        let is_its = image.is_ok_and(|image| image.config.config.user == config.user);
        error.doing(if is_its { "the image's user" } else { "--user" })
    }

    fn bring_up(&self, dir: &Dir, config: &Config) -> Result<Up<'_>> {
        let settings = dir.settings()?;
        let root_mount = self.root_mount(dir, config)?;
        let root = self.mount_root(&root_mount)?;
        let (passwd, group) = (root.read("etc/passwd"), root.read("etc/group"));
        let account = user::look_up(config, &config.user, &passwd, &group)
            .map_err(|error| self.name_user(config, error))?;
        let (uid, gid) = (account.user.uid, account.user.gid);
        if !(userns::is_initial() || userns::has_uid(uid) && userns::has_gid(gid)) {
            let text = format!("the image's user {uid}:{gid} is none of yours");
            return Err(Error::invalid(text).hint(userns::MORE_IDS));
        }
        let channels = Channels::open(dir, config, uid)?;
        let ports = self.reserve_ports(dir, config)?;
        let (attachment, links) = self.prepare_network(dir, config, ports.published())?;
        let mut attached = self.spec_mounts(config, &root)?;
        let has_cgroup = userns::is_initial() || self.cgroups()?.version().is_some();
        let grants = devices::granted(&config.isolation)?;
        let resources = resources::resources(&config.isolation, &settings.limits, &grants)?;
        let mounts = &mut attached.mounts;
        let mut devices = Vec::new();
        match userns::is_initial() {
            true => devices.extend(grants.into_iter().map(|grant| grant.device)),
            false => mounts.extend(grants.iter().map(Grant::bind)),
        }
        let patient = account.clone();
        let notify = dir.state()?.notifies.then(|| Notify::open(dir)).transpose()?;
        if notify.is_some() {
            let (source, words) = (dir.notify(), ["bind", "ro"].map(String::from).to_vec());
            mounts.push(spec::mount(notify::INSIDE, "bind", &source.display().to_string(), words));
        }
        let shared = self.share(config)?;
        let privileges = privileges(&config.isolation)?;
        let withheld = privileges.withheld(&config.isolation)?;
        let given = Given {
            root: root_mount,
            files: attachment.files().unwrap_or(dir),
            joined: {
                let network = attachment.namespace().map(|path| (NamespaceKind::Network, path));
                shared.paths().chain(network).collect()
            },
            mounts: &attached.mounts,
            account,
            links: &links,
            privileges,
            resources,
            devices,
            sensors: devices::sensors(),
            may: May {
                cgroup: has_cgroup,
                last_group: match userns::is_initial() {
                    true => i32::MAX as u32,
                    false => [65535, 0].into_iter().find(|gid| userns::has_gid(*gid)).unwrap_or(0),
                },
                tty_group: userns::has_gid(5),
                sysfs: userns::is_initial() || config.network != Network::Host,
            },
        };
        let mut spec = spec::compose(config, dir, given);
        if notify.is_some() {
            spec.process.env.push(format!("{}={}", notify::VARIABLE, notify::SOCKET));
        }
        let create = Create {
            spec: &spec,
            cgroups: self.cgroups()?,
            stdio: channels.inside(),
            network: attachment.requests(),
            shared_memory: shared.memory(),
            init: config.isolation.init,
        };
        let created = create::create(create, &root)?;
        drop(root);
        let written = ProcessId::of(created.child.pid).and_then(|process| {
            dir.update_state(|state| {
                state.process = Some(process);
                state.resolv_conf = digest_of(&dir.resolv_conf());
            })
        });
        let pid = created.child.pid;
        let connected = written
            .and_then(|()| attachment.connect(pid))
            .and_then(|()| self.start_usermode(dir, config, pid, &ports));
        if let Err(error) = connected {
            return Err(created.abandon(error));
        }
        let process = created.child.pidfd.as_fd();
        let served = self
            .name_server(dir, config, process)
            .and_then(|names| Ok((names, self.health_checks(dir, config, process, &patient)?)));
        let (names, health) = match served {
            Ok(served) => served,
            Err(error) => return Err(created.abandon(error)),
        };
        // That somebody else cannot be told is no reason not to run.
        let told = self.tell_linkers(dir, &attachment.endpoints());
        let told = told.err().map(|error| error.to_string());
        let limits = settings.limits != Limits::default() && !has_cgroup;
        let limits = limits.then(|| UNLIMITED.to_string());
        let warnings = attachment.obstacles().into_iter().chain(told).chain(limits);
        let mut warnings: Vec<String> = warnings.chain(withheld).collect();
        let Running { child, cgroup, terminal } = created.start()?;
        if let Some(Err(error)) = attachment.joined().map(|joined| self.look_again(joined)) {
            warnings.push(error.to_string());
        }
        dir.update_state(|state| {
            state.status = Status::Running;
            state.paused = false;
            state.error.clear();
            state.exit_code = 0;
            state.oom_killed = false;
            state.started = Timestamp::now();
        })?;
        let network = self.look_after_network(dir, config, child.pidfd.as_fd());
        let network = or_warn(network, &mut warnings);
        let pipes = channels.outside(terminal)?;
        let notify = notify.map(|one| Box::new(one) as _);
        let services = [names.map(|names| names as _), health, notify, network];
        let name = settings.name;
        Ok(Up { process: child.pidfd, pipes, cgroup, ports, services, warnings, name })
    }

    /// Holds a container whose monitor died.
    fn adopt(&self, dir: &Dir, config: &Config) -> Result<Up<'_>> {
        let state = dir.state()?;
        let first = state.process.and_then(|id| Some(First { fd: id.open()?, pid: id.pid }));
        let first =
            first.ok_or_else(|| Error::conflict("the container ended while it was adopted"))?;
        let mut pipes = match config.tty {
            // Its terminal died with the last monitor.
            Some(_) => Pipes::default(),
            None => outside_fifos(dir, config)?,
        };
        if config.stdin_once {
            // The program has seen the end of it when the last monitor died.
            pipes.stdin = None;
        }
        let cgroup = self.cgroups()?.open(&spec::cgroup_path(dir))?;
        if !state.paused {
            // Whoever had it frozen has lost its hold with the last monitor.
            cgroup.thaw()?;
        }
        let ports = match config.network {
            // They are its program's.
            Network::UserMode(_) => Reservation::default(),
            _ => Reservation::again(&state.ports),
        };
        let (names, mut warnings) = self.name_server_in_time(dir, config, first.fd.as_fd());
        let health = or_warn(self.health_checks_again(dir, config, &first), &mut warnings);
        let notify = state.notifies.then(|| Notify::open(dir)).transpose();
        let notify = or_warn(notify, &mut warnings).map(|one| Box::new(one) as _);
        let network = self.look_after_network(dir, config, first.fd.as_fd());
        let network = or_warn(network, &mut warnings);
        let services = [names.map(|names| names as _), health, notify, network];
        let name = dir.settings()?.name;
        Ok(Up { process: first.fd, pipes, cgroup: Some(cgroup), ports, services, warnings, name })
    }

    /// Becomes the next monitor of the same container, with the same pid, from the installed
    /// binary: a restart is an upgrade too.
    fn become_monitor(&self, dir: &Dir, live: Live, mode: Mode) -> Result<()> {
        let args = self.monitor_args(dir, mode)?;
        let sealed = mount::sealed(&self.program).on("mount", &self.program)?;
        let live_fd = live.guard.as_fd().try_clone_to_owned().on("dup", "")?;
        replace(sealed.as_fd(), args, Environment::Empty, &[(live_fd.as_fd(), LIVE_FD)])
            .on("execute", &self.program)
            .doing(|| "restart".into())
    }

    /// Moves this process to a cgroup of the monitors', so that it does not die with the service
    /// or session of whoever started the container. Not being able to is no reason to stop.
    pub(super) fn place_monitor(&self) {
        let _ = self.cgroups().and_then(|cgroups| cgroups.enter_monitors());
    }
}

/// What could not be had is told, and done without.
fn or_warn<T>(had: Result<Option<T>>, warnings: &mut Vec<String>) -> Option<T> {
    had.unwrap_or_else(|error| {
        warnings.push(error.to_string());
        None
    })
}

/// How its log is kept.
fn keeping(dir: &Dir, config: &Config) -> Result<Keeping> {
    let log = &config.log;
    let tag = match log.has_tag() {
        false => None,
        true => {
            let (name, image) = (dir.settings()?.name, config.image.to_string());
            log.tag(config.id.as_str(), name.as_str(), &config.image_name, &image)?
        }
    };
    Ok(Keeping {
        keeps: log.driver != Driver::None,
        bounds: log.bounds()?,
        buffer: log.buffer()?,
        attributes: log.attributes(&config.labels, &config.env, tag),
    })
}

/// Why a container did not come up, for who asked for it.
fn failure(error: &Error) -> Frame {
    let hint = error.hints().join("; ");
    Frame::Failed { code: error.exit_code(), text: error.to_string(), hint }
}

/// A container's standard descriptors, both ends.
struct Channels {
    /// `None` with a terminal, which the container makes itself.
    inside: Option<[OwnedFd; 3]>,
    outside: Pipes,
}

impl Channels {
    fn open(dir: &Dir, config: &Config, uid: u32) -> Result<Channels> {
        if config.tty.is_some() {
            let outside = Pipes { stdin_once: config.stdin_once, ..Pipes::default() };
            return Ok(Channels { inside: None, outside });
        }
        // With both ends open in the container, no death of a reader reaches it.
        let output = |stream: &str| -> Result<OwnedFd> {
            let path = dir.fifo(stream);
            let file = fifo::open_both_ends(&path).on("open", &path)?;
            // The program may open /dev/stdout again, as whoever it is.
            std::os::unix::fs::fchown(&file, Some(uid), None).on("chown", &path)?;
            fd::set_nonblocking(file.as_fd(), false).on("prepare", &path)?;
            Ok(file.into())
        };
        // Its reader is no writer too, or it would never see the end of its input.
        let stdin: OwnedFd = match config.open_stdin {
            true => {
                let path = dir.fifo("stdin");
                let file = fifo::open_for_reading(&path).on("open", &path)?;
                fd::set_nonblocking(file.as_fd(), false).on("prepare", &path)?;
                file.into()
            }
            false => File::open("/dev/null").on("open", "/dev/null")?.into(),
        };
        let inside = Some([stdin, output("stdout")?, output("stderr")?]);
        Ok(Channels { inside, outside: outside_fifos(dir, config)? })
    }

    fn inside(&self) -> Stdio<'_> {
        match &self.inside {
            None => Stdio::Terminal,
            Some([a, b, c]) => Stdio::Files([a.as_fd(), b.as_fd(), c.as_fd()]),
        }
    }

    /// The monitor's ends; the container's are closed here.
    fn outside(self, terminal: Option<OwnedFd>) -> Result<Pipes> {
        let Some(master) = terminal else {
            return Ok(self.outside);
        };
        fd::set_nonblocking(master.as_fd(), true).on("prepare", "the terminal")?;
        let stdin = master.try_clone().on("dup", "the terminal")?;
        Ok(Pipes { stdin: Some(stdin), stdout: Some(master), terminal: true, ..self.outside })
    }
}

fn outside_fifos(dir: &Dir, config: &Config) -> Result<Pipes> {
    let reader = |stream: &str| -> Result<Option<OwnedFd>> {
        let path = dir.fifo(stream);
        Ok(Some(fifo::open_for_reading(&path).on("open", &path)?.into()))
    };
    let stdin = match config.open_stdin {
        true => fifo::open_for_writing(&dir.fifo("stdin")).on("open", dir.fifo("stdin"))?,
        false => None,
    };
    Ok(Pipes {
        stdin: stdin.map(OwnedFd::from),
        stdout: reader("stdout")?,
        stderr: reader("stderr")?,
        terminal: false,
        stdin_once: config.stdin_once,
    })
}
