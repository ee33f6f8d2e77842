//! Containers of a user who is not root, and has a range of further ids.

use crate::common::command::{Run, program};
use crate::common::host::{HERE, Host, THERE};
use crate::common::{LIMIT, Test, eventually, image, kill, parent, skipped, wait_ended};
use crate::test;
use coracle::types::Pid;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::Value;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

const UID: u32 = 4000;
const SUBUIDS: u32 = 200_000;

/// A user of this host, with a home and a state root.
pub struct User<'t> {
    t: &'t Test,
    home: PathBuf,
    mounted: Vec<PathBuf>,
}

impl<'t> User<'t> {
    fn new(t: &'t Test, has_range: bool) -> Option<User<'t>> {
        for needed in ["/usr/bin/newuidmap", "/usr/bin/setpriv"] {
            if !Path::new(needed).exists() {
                skipped(&format!("needs {needed} (Debian's uidmap, util-linux)"));
                return None;
            }
        }
        let home = t.dir("home");
        chown(&home, Some(UID), Some(UID)).expect("give the user a home");
        fs::copy(program(), t.path("coracle")).expect("copy the program");
        fs::set_permissions(t.path("coracle"), PermissionsExt::from_mode(0o755)).expect("chmod");
        let mut user = User { t, home, mounted: Vec::new() };
        let passwd = fs::read_to_string("/etc/passwd").expect("read /etc/passwd");
        let line = format!("boatman:x:{UID}:{UID}::{}:/bin/sh\n", user.home.display());
        user.instead("/etc/passwd", &(passwd + &line));
        let range = format!("boatman:{SUBUIDS}:65536\n");
        for file in ["/etc/subuid", "/etc/subgid"] {
            user.instead(file, if has_range { &range } else { "" });
        }
        Some(user)
    }

    /// Has a file of the host say this, for the time of the test.
    pub fn instead(&mut self, path: &str, text: &str) {
        let own = self.t.path(&path.replace('/', "-"));
        fs::write(&own, text).expect("write a file");
        self.cover(&own, path);
    }

    fn cover(&mut self, own: &Path, path: &str) {
        let file = File::options().create(true).append(true).open(path);
        drop(file.expect("have a file to mount on"));
        let none: Option<&str> = None;
        mount(Some(own), path, none, MsFlags::MS_BIND, none).expect("mount a file");
        self.mounted.push(path.into());
    }

    fn root(&self) -> PathBuf {
        self.home.join(".local/share/coracle")
    }

    fn by(&self) -> String {
        format!(
            "shift; exec setpriv --reuid {UID} --regid {UID} --clear-groups --inh-caps=-all {} \"$@\"",
            self.t.path("coracle").display()
        )
    }

    /// `coracle ARGS` as this user.
    pub fn coracle(&self, args: &[&str]) -> Run<'t> {
        let root = self.root();
        // The second `--root` counts.
        let args = [&["--root", root.to_str().expect("a path in UTF-8")], args].concat();
        self.t.coracle(args).by(&self.by()).env("HOME", self.home.to_str().expect("in UTF-8"))
    }

    pub fn says(&self, args: &[&str]) -> String {
        self.coracle(args).ok().stdout_text().trim_end().to_string()
    }

    fn import(&self) {
        self.coracle(&["import", "-", "busybox"]).stdin(image::busybox()).ok();
    }

    fn pid(&self, name: &str) -> Pid {
        let pid = self.says(&["inspect", "--format", "{{.State.Pid}}", name]);
        Pid::from_raw(pid.parse().expect("a number")).expect("it runs")
    }

    /// A shell script in a container, in the background.
    pub fn script(&self, name: &str, options: &[&str], script: &str) {
        let run = [&["run", "-d", "--name", name], options, &["busybox", "sh", "-c", script]];
        self.coracle(&run.concat()).ok();
    }

    pub fn wait_for_log(&self, name: &str, text: &str) {
        self.coracle(&["logs", "-f", name]).spawn().line_with(text);
    }
}

impl Drop for User<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let ids = self.says(&["ps", "-a", "-q"]);
            if !ids.is_empty() {
                let rm: Vec<&str> = ["rm", "-f"].into_iter().chain(ids.lines()).collect();
                self.coracle(&rm).ok();
            }
            let mut left = Vec::new();
            sockets_and_fifos(&self.root().join("run"), &mut left);
            assert!(left.is_empty(), "left behind: {left:?}");
        }
        for path in self.mounted.iter().rev() {
            umount2(path, MntFlags::MNT_DETACH).expect("take a mount away");
        }
    }
}

/// What belongs to a container that runs.
fn sockets_and_fifos(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let kind = entry.file_type().expect("look at a file");
        if kind.is_dir() {
            sockets_and_fifos(&entry.path(), found);
        } else if !kind.is_file() {
            found.push(entry.path());
        }
    }
}

fn namespace(pid: Pid) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/ns/user")).expect("it lives")
}

macro_rules! user {
    ($t:ident) => {
        match User::new(&$t, true) {
            Some(user) => user,
            None => return,
        }
    };
}

#[test]
fn a_user_runs_containers_from_import_to_rm() {
    let t = test!();
    let user = user!(t);
    user.import();
    user.coracle(&["run", "--rm", "--net=none", "busybox", "id"])
        .stdout("uid=0(root) gid=0(root) groups=0(root)\n")
        .ok();
    let map = user.says(&["run", "--rm", "--net=none", "busybox", "cat", "/proc/self/uid_map"]);
    let numbers: Vec<&str> = map.split_ascii_whitespace().collect();
    assert_eq!(numbers, ["0", "4000", "1", "1", "200000", "65536"]);
    user.script("c", &["--net=none"], "trap 'exit 3' TERM; rm /bin/vi; echo up; read x </dev/zero");
    user.wait_for_log("c", "up");
    assert_eq!(user.says(&["ps", "--format", "{{.Names}} {{.Image}}"]), "c busybox");
    user.coracle(&["exec", "-u", "app", "c", "id", "-u"]).stdout("1000\n").ok();
    user.coracle(&["top", "c"]).stdout_has("read x").ok();
    user.coracle(&["diff", "c"]).stdout("C /bin\nD /bin/vi\n").ok();
    user.coracle(&["commit", "c", "changed"]).stderr_has("the container runs on meanwhile").ok();
    user.coracle(&["run", "--rm", "--net=none", "changed", "ls", "/bin/vi"])
        .code(1)
        .stderr_has("No such file")
        .ok();
    let stats = user.coracle(&["stats", "--no-stream", "c"]);
    stats.stderr_has("needs a delegated cgroup v2").ok();
    user.coracle(&["run", "--rm", "--net=none", "-m", "16m", "busybox", "true"])
        .stderr_has("runs without its limits: they need a delegated cgroup v2")
        .ok();
    user.coracle(&["stop", "c"]).ok();
    let code = user.says(&["inspect", "--format", "{{.State.ExitCode}}", "c"]);
    assert!(["0", "3", "137", "143"].contains(&code.as_str()), "{code}");
    user.coracle(&["start", "c"]).ok();
    user.coracle(&["restart", "-t", "0", "c"]).ok();
    user.coracle(&["rm", "-f", "c"]).ok();
    let caps = ["run", "--rm", "--net=none", "--privileged", "busybox", "mount", "-t", "tmpfs"];
    user.coracle(&[&caps[..], &["none", "/mnt"]].concat()).any_stderr().code(255).ok();
    user.coracle(&["run", "--rm", "--net=host", "busybox", "ls", "/sys/class/net"])
        .stdout_has("lo")
        .ok();
    let devices =
        "echo x >/dev/null && head -c 3 /dev/zero | wc -c && head -c 2 /dev/urandom | wc -c";
    user.coracle(&["run", "--rm", "--net=none", "busybox", "sh", "-c", devices])
        .stdout("3\n2\n")
        .ok();
}

#[test]
fn files_on_a_bind_mount_belong_to_the_user() {
    let t = test!();
    let user = user!(t);
    user.import();
    let dir = user.home.join("shared");
    let volume = format!("{}:/v", dir.display());
    let script = "echo x >/v/own; echo y >/v/other; chown 7:8 /v/other; chmod 4755 /v/other";
    user.coracle(&["run", "--rm", "--net=none", "-v", &volume, "busybox", "sh", "-c", script]).ok();
    let owner =
        |name: &str| fs::metadata(dir.join(name)).map(|m| (m.uid(), m.gid())).expect("it is");
    assert_eq!(owner("own"), (UID, UID));
    assert_eq!(owner("other"), (SUBUIDS + 6, SUBUIDS + 7));
    let write = "touch /v/f; stat -c %u:%g /v/f";
    for named in ["-v=data:/v", "--mount=type=volume,target=/v"] {
        user.coracle(&["run", "--rm", "--net=none", named, "busybox", "sh", "-c", write])
            .stdout("0:0\n")
            .ok();
    }
}

#[test]
fn a_container_outlives_its_monitor_and_is_adopted() {
    let t = test!();
    let user = user!(t);
    user.import();
    user.script("c", &["--net=none"], "echo up; sleep 1000");
    user.wait_for_log("c", "up");
    let pid = user.pid("c");
    let before = namespace(pid);
    // Now the container alone is in the namespace.
    kill(parent(pid));
    user.coracle(&["exec", "c", "true"]).ok();
    user.coracle(&["volume", "prune", "-f"]).ok();
    assert_eq!(user.pid("c"), pid);
    user.script("d", &["--net=none"], "echo up; sleep 1000");
    assert_eq!(namespace(user.pid("d")), before);
    user.coracle(&["stop", "-t", "0", "c"]).ok();
    let (monitor, pid) = (parent(user.pid("d")), user.pid("d"));
    kill(monitor);
    kill(pid);
    wait_ended(pid);
    user.coracle(&["start", "d"]).ok();
    assert_ne!(user.pid("d"), pid);
}

#[test]
fn commands_of_one_user_share_a_namespace_whoever_is_first_and_whoever_dies() {
    let t = test!();
    let user = user!(t);
    user.import();
    let name = |n: usize| format!("c{n}");
    let started: Vec<_> = (0..12)
        .map(|n| {
            let run = ["run", "-d", "--net=none", "--name", &name(n), "busybox", "sleep", "1000"];
            let run = user.coracle(&run).spawn();
            // Each third is killed somewhere on its way.
            if n % 3 == 0 {
                kill_soon(&run.pid(), n);
            }
            (n, run)
        })
        .collect();
    for (n, mut run) in started {
        let code = run.wait();
        let said = String::from_utf8_lossy(&run.rest_of_stderr()).into_owned();
        assert!(code == 0 || n % 3 == 0, "{code} {said}");
    }
    user.coracle(&["volume", "prune", "-f"]).ok();
    let all = user.says(&["ps", "--format", "{{.Names}}"]);
    assert!(all.lines().count() >= 8, "{all}");
    let namespaces: HashSet<_> = all.lines().map(|name| namespace(user.pid(name))).collect();
    assert_eq!(namespaces.len(), 1);
}

#[test]
fn who_is_in_another_pid_namespace_is_told_and_splits_nothing() {
    let t = test!();
    let user = user!(t);
    user.import();
    user.script("c", &["--net=none"], "echo up; sleep 1000");
    user.wait_for_log("c", "up");
    let elsewhere = |args: &[&str]| {
        let unshare = "exec unshare --pid --fork --kill-child --mount-proc";
        user.coracle(args).by(&user.by().replace("exec", unshare))
    };
    for args in [&["exec", "c", "true"][..], &["run", "--rm", "--net=none", "busybox", "true"]] {
        elsewhere(args)
            .code(125)
            .stderr_has("containers or commands of this state root run in another pid namespace")
            .ok();
    }
    // Of its end there is nobody to tell.
    kill(parent(user.pid("c")));
    user.coracle(&["exec", "c", "true"]).ok();
    user.coracle(&["rm", "-f", "c"]).ok();
    elsewhere(&["run", "--rm", "--net=none", "busybox", "echo", "hi"]).stdout("hi\n").ok();
    user.coracle(&["run", "--rm", "--net=none", "busybox", "echo", "hi"]).stdout("hi\n").ok();
}

/// Kills a process that may end by itself meanwhile, after some work of our own.
fn kill_soon(pid: &Pid, work: usize) {
    for _ in 0..work * 20 {
        let _ = fs::read_to_string("/proc/self/status");
    }
    let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
}

/// What is said at a port in answer to a question.
pub fn fetch(at: &str, port: u16) -> std::io::Result<String> {
    let mut client = TcpStream::connect((at, port))?;
    client.set_read_timeout(Some(LIMIT))?;
    client.write_all(b"GET /file HTTP/1.0\r\n\r\n")?;
    let mut said = String::new();
    client.read_to_string(&mut said)?;
    Ok(said)
}

/// Everybody may open the tun device, as where udev cares for it.
fn open_tun(t: &Test, user: &mut User) {
    let node = t.path("tun");
    let mut mknod = Command::new("mknod");
    let made = mknod.args(["-m", "666"]).arg(&node).args(["c", "10", "200"]).status();
    assert!(made.expect("run mknod").success());
    fs::create_dir_all("/dev/net").expect("make /dev/net");
    user.cover(&node, "/dev/net/tun");
}

/// A user whose containers have this network, and another host, by which all ways lead.
pub fn connected<'t>(t: &'t Test, mode: &str) -> Option<(User<'t>, Host<'t>)> {
    let mut user = User::new(t, true)?;
    if !["/usr/bin", "/bin"].iter().any(|dir| Path::new(dir).join(mode).exists()) {
        skipped(&format!("{mode} is not installed"));
        return None;
    }
    open_tun(t, &mut user);
    let other = Host::join(t);
    let route = Command::new("ip").args(["route", "add", "default", "via", THERE]).status();
    assert!(route.expect("run ip").success());
    user.import();
    Some((user, other))
}

fn networked(mode: &str) {
    let t = test!();
    let Some((user, other)) = connected(&t, mode) else { return };
    let net = format!("--net={mode}");
    let serve = "echo served >/file; httpd -p 80 -h /; echo up; exec sleep 1000";
    let ports = ["-p", "8080:80", "-p", "127.0.0.1:9090:90/udp"];
    user.script("web", &[&[net.as_str()], &ports[..]].concat(), serve);
    user.wait_for_log("web", "up");
    for at in ["127.0.0.1", HERE] {
        eventually(at, || fetch(at, 8080).is_ok_and(|said| said.ends_with("served\n")));
    }
    let there = other
        .command("busybox")
        .args(["wget", "-qO-"])
        .arg(format!("http://{HERE}:8080/file"))
        .output();
    assert_eq!(there.expect("run wget").stdout, b"served\n");
    // Out of it, to another host; and not to this one's loopback.
    let mut server = other.command("busybox");
    let _ = fs::write(t.path("served"), "elsewhere\n");
    let server = server.args(["httpd", "-f", "-p", "8000", "-h"]).arg(t.path("")).spawn();
    let mut server = server.expect("run httpd");
    let url = format!("http://{THERE}:8000/served");
    eventually("the other host answers", || {
        let run = user.coracle(&["exec", "web", "wget", "-qO-", &url]);
        let mut run = run.spawn();
        run.wait() == 0 && run.rest_of_stdout() == b"elsewhere\n"
    });
    server.kill().and_then(|()| server.wait()).expect("stop httpd");
    let own = TcpListener::bind(("127.0.0.1", 7777)).expect("listen");
    for at in ["127.0.0.1", "10.0.2.2", HERE] {
        user.coracle(&["exec", "web", "timeout", "2", "nc", "-w", "1", at, "7777"]).spawn().wait();
    }
    own.set_nonblocking(true).expect("do not wait");
    let nobody = own.accept().expect_err("the host's loopback is its own");
    assert_eq!(nobody.kind(), ErrorKind::WouldBlock);

    assert_eq!(user.says(&["port", "web", "80"]), "0.0.0.0:8080");
    assert_eq!(user.says(&["inspect", "--format", "{{.HostConfig.NetworkMode}}", "web"]), mode);
    user.coracle(&["run", "--rm", &net, "-p", "8080:80", "busybox", "true"])
        .code(125)
        .stderr_has("port is already allocated to container web")
        .ok();
    user.coracle(&["run", "--rm", &net, "-p", "80:80", "busybox", "true"])
        .code(125)
        .stderr_has("publish 80:80/tcp: permission denied")
        .stderr_has("net.ipv4.ip_unprivileged_port_start")
        .ok();
    let beside = ["run", "--rm", "--net=container:web", "busybox", "wget", "-qO-"];
    user.coracle(&[&beside[..], &["http://127.0.0.1/file"]].concat()).stdout("served\n").ok();

    user.coracle(&["restart", "-t", "0", "web"]).ok();
    user.wait_for_log("web", "up");
    eventually("it serves again", || {
        fetch(HERE, 8080).is_ok_and(|said| said.ends_with("served\n"))
    });
    // The way stays without the monitor, and goes with the container.
    let pid = user.pid("web");
    kill(parent(pid));
    assert!(fetch(HERE, 8080).expect("an answer").ends_with("served\n"));
    user.coracle(&["volume", "prune", "-f"]).ok();
    assert!(fetch(HERE, 8080).expect("an answer").ends_with("served\n"));
    user.coracle(&["restart", "-t", "0", "web"]).ok();
    let (monitor, pid) = (parent(user.pid("web")), user.pid("web"));
    kill(monitor);
    kill(pid);
    wait_ended(pid);
    user.coracle(&["volume", "prune", "-f"]).ok();
    let _ = TcpListener::bind(("0.0.0.0", 8080)).expect("the port is free");
    let _ = UdpSocket::bind(("127.0.0.1", 9090)).expect("the port is free");
    user.coracle(&["start", "web"]).ok();
    eventually("it serves again", || {
        fetch(HERE, 8080).is_ok_and(|said| said.ends_with("served\n"))
    });
    user.coracle(&["stop", "-t", "0", "web"]).ok();
    let _ = TcpListener::bind(("0.0.0.0", 8080)).expect("the port is free");
}

#[test]
fn the_example_runs() {
    let t = test!();
    let mut user = user!(t);
    open_tun(&t, &mut user);
    let _other = Host::join(&t);
    let route = Command::new("ip").args(["route", "add", "default", "via", THERE]).status();
    assert!(route.expect("run ip").success());
    // The checkout may lie where only root goes.
    let script = t.path("examples-rootless-run.sh");
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/rootless/run.sh"), &script)
        .expect("copy");
    let mut example = Command::new("setpriv");
    example.args(["--reuid=4000", "--regid=4000", "--clear-groups", "--inh-caps=-all", "sh"]);
    example.arg(&script).env_remove("XDG_DATA_HOME").env("HOME", &user.home);
    example.env("CORACLE_BIN", t.path("coracle")).env("TMPDIR", &user.home).current_dir(&user.home);
    let output = example.output().expect("run the example");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(
        out.contains("the port says: aboard\n") && out.contains("80/tcp -> 127.0.0.1:18080"),
        "{out}"
    );
    // Where a state root is without being told.
    assert!(user.root().join("version").exists());
}

#[test]
fn ports_are_published_by_pasta() {
    networked("pasta");
}

#[test]
fn ports_are_published_by_slirp4netns() {
    networked("slirp4netns");
}

/// The program of a container's network dies, and comes back or not.
fn dying(mode: &str) {
    let t = test!();
    let mut user = user!(t);
    let Ok(installed) = fs::canonicalize(format!("/usr/bin/{mode}")) else {
        return skipped(&format!("{mode} is not installed"));
    };
    open_tun(&t, &mut user);
    let _other = Host::join(&t);
    let route = Command::new("ip").args(["route", "add", "default", "via", THERE]).status();
    assert!(route.expect("run ip").success());
    // In its place stands a script that counts, and breaks where it is told to.
    let (tries, broken) = (user.home.join("tries"), user.home.join("broken"));
    let (real, script) = (t.dir("real").join(mode), t.path("script"));
    fs::copy(&installed, &real).expect("copy the program");
    let text = format!(
        "#!/bin/sh\necho tried >>{}\ntest -e {} && echo out of order >&2 && exit 1\nexec {} \"$@\"\n",
        tries.display(),
        broken.display(),
        real.display()
    );
    fs::write(&script, text).expect("write a script");
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).expect("chmod");
    user.cover(&script, installed.to_str().expect("a plain path"));

    user.import();
    let net = format!("--net={mode}");
    let serve = "echo served >/file; httpd -p 80 -h /; echo up; exec sleep 1000";
    user.script("web", &[&net, "-p", "8080:80"], serve);
    user.wait_for_log("web", "up");
    let helper = || {
        let mut places = vec![user.root().join("run")];
        while let Some(place) = places.pop() {
            match fs::read(place.join("helper")) {
                Ok(text) => {
                    let process: Value = serde_json::from_slice(&text).expect("a process");
                    let pid = process["pid"].as_i64().expect("a number");
                    return Pid::from_raw(pid as i32).expect("a pid");
                }
                Err(_) => {
                    let entries = fs::read_dir(place).into_iter().flatten().flatten();
                    places.extend(entries.map(|entry| entry.path()).filter(|path| path.is_dir()));
                }
            }
        }
        panic!("no program is written down");
    };
    let serves = || {
        eventually("it serves", || fetch(HERE, 8080).is_ok_and(|said| said.ends_with("served\n")));
    };
    let all = ["events", "--since", "1h", "--filter", "event=network_status"];
    let mut events = user.coracle(&[&all[..], &["--format", "{{.Action}}"]].concat()).spawn();
    let error = || user.says(&["inspect", "--format", "{{.State.Error}}", "web"]);
    let status = || user.says(&["ps", "--format", "{{.Status}}"]);
    serves();
    let monitor = parent(user.pid("web"));

    kill(helper());
    events.line_with("network_status: lost");
    events.line_with("network_status: restored");
    serves();
    assert_eq!((error(), status().contains("lost")), (String::new(), false));
    assert_eq!(parent(helper()), monitor);

    // One that dies at once is tried again and again, and spoken of once.
    let count = || fs::read_to_string(&tries).expect("some tries").lines().count();
    fs::write(&broken, "").expect("write");
    let before = count();
    kill(helper());
    events.line_with("network_status: lost");
    eventually("it is tried again", || count() >= before + 3);
    assert!(status().ends_with(" (network lost)"), "{}", status());
    let told = format!("the network is lost: set up the network by {mode}: out of order");
    eventually("it is said why", || error() == told);
    user.coracle(&["exec", "web", "true"]).ok();
    fs::remove_file(&broken).expect("mend it");
    events.line_with("network_status: restored");
    serves();

    // With the monitor, and while there is none.
    kill(monitor);
    kill(helper());
    assert!(status().contains("monitor lost"));
    user.coracle(&["volume", "prune", "-f"]).ok();
    events.line_with("network_status: lost");
    events.line_with("network_status: restored");
    serves();
    user.coracle(&["restart", "-t", "0", "web"]).ok();
    serves();
    kill(parent(user.pid("web")));
    user.coracle(&["volume", "prune", "-f"]).ok();
    kill(helper());
    events.line_with("network_status: lost");
    events.line_with("network_status: restored");
    serves();

    // It ends with its container, also where another one was about to come up.
    fs::write(&broken, "").expect("write");
    kill(helper());
    events.line_with("network_status: lost");
    user.coracle(&["stop", "-t", "0", "web"]).ok();
    assert_eq!(error(), "");
    fs::remove_file(&broken).expect("mend it");
    user.coracle(&["start", "web"]).ok();
    serves();
    let last = helper();
    user.coracle(&["rm", "-f", "web"]).ok();
    wait_ended(last);
    let _ = TcpListener::bind(("0.0.0.0", 8080)).expect("the port is free");
    let told = user.says(&[&all[..], &["--until", "0s", "--format", "{{.Action}}"]].concat());
    let lost = told.lines().filter(|line| line.ends_with("lost")).count();
    assert_eq!((told.lines().count(), lost), (9, 5), "{told}");
}

#[test]
fn pasta_is_executed_again_where_it_dies() {
    dying("pasta");
}

#[test]
fn slirp4netns_is_executed_again_where_it_dies() {
    dying("slirp4netns");
}

#[test]
fn what_needs_root_is_refused_with_the_cure() {
    let t = test!();
    let user = user!(t);
    user.import();
    let refused = |args: &[&str], code: i32, text: &str| {
        user.coracle(args).code(code).stderr_has(text).stderr_has("hint: ").ok();
    };
    refused(&["network", "create", "lan"], 1, "network create needs root");
    refused(&["run", "--net=lan", "busybox", "true"], 125, "--network NAME needs root");
    refused(&["run", "--link=a:b", "busybox", "true"], 125, "--link needs root");
    assert_eq!(user.says(&["ps", "-a", "-q"]), "");
    // A store of the other kind.
    t.coracle(["--root", user.root().to_str().expect("in UTF-8"), "ps"])
        .code(125)
        .stderr_has("was made without root")
        .ok();
    t.import_busybox();
    let roots = t.root();
    let roots = roots.to_str().expect("in UTF-8");
    user.coracle(&["--root", roots, "ps"])
        .code(125)
        .stderr_has("belongs to uid 0, not to you")
        .ok();
    t.coracle(["run", "--net=pasta", "busybox", "true"])
        .code(125)
        .stderr_has("--network pasta is for containers without root")
        .ok();
}

#[test]
fn without_a_range_of_ids_a_user_has_images_of_root_alone() {
    let t = test!();
    let Some(user) = User::new(&t, false) else { return };
    user.import();
    user.coracle(&["run", "--rm", "--net=none", "busybox", "id", "-u"]).stdout("0\n").ok();
    user.coracle(&["run", "--rm", "--net=none", "-u", "app", "busybox", "true"])
        .code(125)
        .stderr_has("the image's user 1000:1000 is none of yours")
        .stderr_has("/etc/subuid")
        .ok();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    header.set_uid(7);
    header.set_mode(0o644);
    tar.append_data(&mut header, "theirs", &[][..]).expect("make a tar");
    let tar = tar.into_inner().expect("make a tar");
    user.coracle(&["import", "-", "theirs"])
        .stdin(&tar[..])
        .code(1)
        .stderr_has("theirs")
        .stderr_has("install uidmap")
        .ok();
    whoever_is_not_there_is_root(&user, &[("theirs", "0:0")], &tar);
}

/// Copies files of the host's root, and those of a tar, into a container.
fn whoever_is_not_there_is_root(user: &User, files: &[(&str, &str)], tar: &[u8]) {
    let script = "exec sleep 1000";
    user.coracle(&["run", "-d", "--net=none", "--name", "c", "busybox", "sh", "-c", script]).ok();
    user.coracle(&["cp", "/etc/passwd", "c:/tmp/passwd"]).ok();
    user.coracle(&["cp", "-", "c:/tmp"]).stdin(tar).ok();
    for (name, owner) in [("passwd", "0:0")].iter().chain(files) {
        let path = format!("/tmp/{name}");
        assert_eq!(user.says(&["exec", "c", "stat", "-c", "%u:%g", &path]), *owner, "{name}");
    }
    user.coracle(&["rm", "-f", "c"]).ok();
}

#[test]
fn with_a_range_of_ids_what_is_copied_in_keeps_those_that_are_there() {
    let t = test!();
    let Some(user) = User::new(&t, true) else { return };
    user.import();
    let mut tar = tar::Builder::new(Vec::new());
    for (name, uid) in [("seven", 7), ("nobody", 65534), ("none", 70_000)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_uid(uid);
        header.set_gid(7);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, &[][..]).expect("make a tar");
    }
    let tar = tar.into_inner().expect("make a tar");
    let files = [("seven", "7:7"), ("nobody", "65534:7"), ("none", "0:7")];
    whoever_is_not_there_is_root(&user, &files, &tar);
}
