//! What every end-to-end test stands on.
//!
//! ```ignore
//! let t = test!(busybox);
//! t.coracle(["run", "--rm", "busybox", "echo", "hi"]).stdout("hi\n").ok();
//! ```
//!
//! A `Test` gives the command under test a machine of its own: a state root on a tmpfs, and mount
//! and network namespaces entered by the test's thread. When it is dropped, everything is removed
//! through the engine and the leak guard compares the machine with what it was before.
//!
//! What is tested is `$CORACLE_BIN`, else the binary that cargo has just built, with the storage
//! driver `$CORACLE_STORAGE_DRIVER`, else the one that the engine chooses. No test sleeps:
//! all waiting is for an end of file, a line, a process, a link or a directory entry, each with a
//! limit that is only reached when something is broken.

pub mod command;
pub mod guard;
pub mod host;
pub mod image;
pub mod server;
pub mod tmux;
pub mod transcript;

use command::Run;
use coracle::sys::{netlink, pidfd};
use coracle::types::{Pid, Signal};
use guard::Before;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longer than anything takes, also on a slow machine.
pub const LIMIT: Duration = Duration::from_secs(30);

/// The disk of a test: small enough to be filled.
const DISK: &str = "mode=755,size=256m";

/// `test!()` is a `Test` with an empty store, `test!(busybox)` one that holds that image. Where the
/// machine lacks something, the test is skipped with a word; with `MUST_WORK=1` it fails.
#[macro_export]
macro_rules! test {
    () => {
        match $crate::common::Test::new() {
            Ok(test) => test,
            Err(lack) => return $crate::common::skipped(&lack),
        }
    };
    (busybox) => {{
        let test = $crate::test!();
        test.import_busybox();
        test
    }};
}

pub fn skipped(lack: &str) {
    assert!(std::env::var_os("MUST_WORK").is_none(), "cannot run: {lack}");
    eprintln!("skipped: {lack}");
}

pub struct Test {
    /// A tmpfs: `root` is the state root, `tmp` is TMPDIR, the rest is the test's own.
    base: PathBuf,
    before: Before,
    /// Tests take turns: the guard compares machines.
    _turn: File,
}

impl Test {
    /// The error tells what the machine lacks.
    pub fn new() -> Result<Test, String> {
        Test::with_disk(DISK)
    }

    /// One whose disk is mounted with these options.
    pub fn with_disk(disk: &str) -> Result<Test, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);

        if !nix::unistd::geteuid().is_root() {
            return Err("needs root".into());
        }
        if !Path::new("/bin/busybox").exists() {
            return Err("needs /bin/busybox (Debian's busybox-static)".into());
        }
        let turn = File::create("/run/coracle-test.lock").expect("create the lock of the tests");
        turn.lock().expect("wait for the other tests");

        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let base =
            std::env::temp_dir().join(format!("coracle-test-{}-{number}", std::process::id()));
        fs::create_dir(&base).expect("make the test's directory");
        fs::create_dir_all("/run/coracle").expect("make /run/coracle");
        enter_namespaces(&base, disk).map_err(|e| format!("cannot enter namespaces: {e}"))?;
        fs::create_dir(base.join("tmp")).expect("make the test's TMPDIR");
        Ok(Test { before: Before::look(&base), base, _turn: turn })
    }

    /// `coracle --root ... ARGS`, to be run by `.ok()`.
    pub fn coracle<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I) -> Run<'_> {
        Run::new(self, args)
    }

    /// A shell script in a container of busybox, in the background.
    #[track_caller]
    pub fn script(&self, name: &str, options: &[&str], script: &str) {
        let run = [&["run", "-d", "--name", name], options, &["busybox", "sh", "-c", script]];
        self.coracle(run.concat()).ok();
    }

    /// Like `coracle`, its standard output without the final newline.
    pub fn says<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I) -> String {
        self.coracle(args).ok().stdout_text().trim_end().to_string()
    }

    /// Whether containers get a copy of their image's files: the storage driver `copy`.
    pub fn copies(&self) -> bool {
        self.says(["info", "--format", "{{.Driver}}"]) == "copy"
    }

    /// The state root.
    pub fn root(&self) -> PathBuf {
        self.base.join("root")
    }

    /// A path for the test's own use.
    pub fn path(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// A new directory for the test's own use.
    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("make a directory");
        path
    }

    /// What a shell script says that calls us `docker`; every line of it must succeed.
    #[track_caller]
    pub fn shell(&self, script: &str) -> String {
        let mut shell = std::process::Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", script]).current_dir(&self.base);
        shell.envs(self.docker()).env("TMPDIR", self.path("tmp"));
        let output = shell.stdin(std::process::Stdio::null()).output().expect("run bash");
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success() && err.is_empty(), "{script}\n---\n{out}---\n{err}");
        out.trim_end().to_string()
    }

    /// What a script of examples/ says, which must be content with it.
    #[track_caller]
    pub fn example(&self, name: &str) -> String {
        let script = format!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/{}/run.sh"), name);
        let mut example = std::process::Command::new(script);
        example.env("CORACLE_BIN", command::program()).env("CORACLE_ROOT", self.root());
        let output = example.output().expect("run the example");
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{out}\n{err}");
        out
    }

    pub fn import_busybox(&self) {
        self.coracle(["import", "--change", "CMD [\"/bin/sh\"]", "-", "busybox"])
            .stdin(image::busybox())
            .ok();
    }

    pub fn inspect(&self, name: &str) -> Value {
        let text = self.says(["inspect", name]);
        let all: Value = serde_json::from_str(&text).expect("inspect prints JSON");
        all[0].clone()
    }

    /// The status as `inspect` has it: `created`, `running`, `restarting`, `exited`.
    pub fn status(&self, name: &str) -> String {
        self.inspect(name)["State"]["Status"].as_str().expect("a status").to_string()
    }

    /// The pid of a running container's PID 1.
    pub fn pid(&self, name: &str) -> Pid {
        let pid = self.inspect(name)["State"]["Pid"].as_i64().expect("a pid");
        Pid::from_raw(pid as i32).unwrap_or_else(|| panic!("{name} has no pid: it does not run"))
    }

    /// Waits until `inspect` says so: a policy goes through several states by itself.
    #[track_caller]
    pub fn wait_for_status(&self, name: &str, status: &str) {
        let began = Instant::now();
        while self.status(name) != status {
            assert!(began.elapsed() < LIMIT, "{name} does not come to be {status}");
        }
    }

    /// Waits until a file is at least so large.
    #[track_caller]
    pub fn wait_for_size(&self, path: &Path, size: u64) {
        let began = Instant::now();
        while fs::metadata(path).map_or(0, |meta| meta.len()) < size {
            assert!(began.elapsed() < LIMIT, "{} does not grow to {size}", path.display());
            std::thread::yield_now();
        }
    }

    /// The directory of a container's records.
    pub fn records(&self, name: &str) -> PathBuf {
        let id = self.inspect(name)["Id"].as_str().expect("an id").to_string();
        self.root().join("containers").join(id)
    }

    /// The directory of a container's socket and FIFOs.
    pub fn run_dir(&self, name: &str) -> PathBuf {
        let id = self.inspect(name)["Id"].as_str().expect("an id").to_string();
        let home = coracle::types::Home::new(&self.root()).expect("an absolute root");
        home.run.join("c").join(id)
    }

    /// Leaves no room on the disk of the state root, until the file that is returned goes.
    pub fn fill_disk(&self) -> FullDisk {
        let path = self.path("fill");
        let mut file = File::create(&path).expect("make a file");
        for size in [1 << 20, 4096] {
            while std::io::Write::write(&mut file, &vec![0; size]).is_ok() {}
        }
        FullDisk(path)
    }

    /// Follows the container's log until a line holds `text`; gives that line.
    pub fn wait_for_log(&self, name: &str, text: &str) -> String {
        self.coracle(["logs", "-f", name]).spawn().line_with(text)
    }

    /// Waits until `count` lines of the log hold `text`.
    #[track_caller]
    pub fn wait_for_logs(&self, name: &str, text: &str, count: usize) {
        let began = Instant::now();
        while self.says(["logs", name]).matches(text).count() < count {
            assert!(began.elapsed() < LIMIT, "{name} does not say {text:?} {count} times");
        }
    }

    /// The monitor of a container: the parent of its PID 1.
    pub fn monitor(&self, name: &str) -> Pid {
        parent(self.pid(name))
    }

    /// The ids of all containers.
    pub fn containers(&self) -> Vec<String> {
        let ids = self.says(["ps", "-a", "-q", "--no-trunc"]);
        ids.lines().map(String::from).collect()
    }

    /// The host's mounts as the engine's callers see them.
    pub fn mounts(&self) -> String {
        guard::mounts()
    }
}

/// Takes all the room there is, until dropped.
pub struct FullDisk(PathBuf);

impl Drop for FullDisk {
    fn drop(&mut self) {
        fs::remove_file(&self.0).expect("make room");
    }
}

impl Drop for Test {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The failure that is under way is the one to report; only tidy up.
            self.before.kill_all(&self.base);
        } else {
            let ids = self.containers();
            if !ids.is_empty() {
                let rm = ["rm", "-f"].map(String::from);
                self.coracle(rm.into_iter().chain(ids)).ok();
            }
            if self.root().join("networks").exists() {
                self.coracle(["network", "prune", "-f"]).ok();
            }
            let leaks = self.before.leaks(&self.base);
            if !leaks.is_empty() {
                self.before.kill_all(&self.base);
            }
            remove(&self.base);
            assert!(leaks.is_empty(), "left behind:\n  {}", leaks.join("\n  "));
            return;
        }
        remove(&self.base);
    }
}

fn remove(base: &Path) {
    let _ = nix::mount::umount2(base, nix::mount::MntFlags::MNT_DETACH);
    let _ = fs::remove_dir(base);
}

/// Moves this thread, and with it all that it starts, into new mount and network namespaces.
fn enter_namespaces(base: &Path, disk: &str) -> nix::Result<()> {
    let none: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)?;
    let up = netlink::link_up(netlink::LOOPBACK);
    netlink::Socket::open().and_then(|mut s| s.request("bring up", "lo", &up)).expect("lo");
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(Some("test"), base, Some("tmpfs"), MsFlags::empty(), Some(disk))?;
    mount(Some("test"), "/run/coracle", Some("tmpfs"), MsFlags::empty(), Some("mode=755"))?;
    // Most hosts share their mounts; here a mount that escapes a container becomes visible.
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SHARED, none)
}

/// Waits for what tells nobody that it happens.
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
    }
}

/// Waits until the process has ended.
#[track_caller]
pub fn wait_ended(pid: Pid) {
    // It may be gone already, and reaped.
    if let Ok(fd) = pidfd::open(pid) {
        let ended = pidfd::wait_ended(fd.as_fd(), Some(LIMIT)).expect("wait for a process");
        assert!(ended, "process {pid} still runs");
    }
}

/// Kills one process, which must be alive, and waits for its end.
#[track_caller]
pub fn kill(pid: Pid) {
    let fd = pidfd::open(pid).expect("open the process to kill");
    pidfd::send_signal(fd.as_fd(), Signal::KILL).expect("kill the process");
    let ended = pidfd::wait_ended(fd.as_fd(), Some(LIMIT)).expect("wait for a process");
    assert!(ended, "process {pid} survives SIGKILL");
}

/// The parent of a process.
#[track_caller]
pub fn parent(pid: Pid) -> Pid {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find_map(|l| l.strip_prefix("PPid:")).expect("a PPid line");
    Pid::from_raw(line.trim().parse().expect("a number")).expect("a parent in this namespace")
}
