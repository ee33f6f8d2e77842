//! What goes wrong around cox: processes killed in every state, a full disk, too few descriptors or
//! processes, odd files in service directories, writers without end, directories that vanish.

use crate::harness::{
    Cox, Tree, applet, children, cox_binary, finish, look_for, namespace, skip, until,
};
use coracle::sys::fifo;
use coracle::types::{Pid, Signal};
use std::fs;
use std::io::Write;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

const RUN: &str = "echo start $$ >$E; exec sleep 10000";

impl Tree {
    /// The state of a service, as coxctl names it.
    fn state(&self, name: &str) -> String {
        let (_, text, error) = self.ctl(&["status", "--json", name]);
        let all: serde_json::Value =
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{error}"));
        all[0]["state"].as_str().unwrap().to_string()
    }

    fn wait_for_state(&self, name: &str, state: &str) {
        until(|| self.state(name) == state);
    }

    /// As `ctl`, once cox has made its socket; it is made before the first service is started.
    fn ctl_once_up(&self, args: &[&str]) -> (i32, String, String) {
        look_for(|| Some(self.ctl(args)).filter(|(code, ..)| *code != 111))
    }

    /// That cox still does what it is asked to.
    #[track_caller]
    fn assert_responsive(&self, name: &str) {
        let (code, out, error) = self.ctl(&["--timeout", "30", "restart", name]);
        assert_eq!(code, 0, "{out}{error}");
    }
}

fn kill(cox: &Cox, pid: &str) {
    cox.inside(&format!("kill -9 {pid}"));
}

/// The processor time that a process has used, in ticks (proc_pid_stat(5)).
fn ticks(cox: &Cox) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", cox.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn a_run_killed_before_it_is_ready_is_followed_by_the_next() {
    let mut tree = Tree::new();
    tree.script("web/run", RUN);
    tree.file("web/notification-fd", "3");
    let cox = tree.supervise(&[]);
    let first = tree.after("start");
    tree.wait_for_state("web", "starting");
    kill(&cox, &first);
    assert_ne!(tree.after("start"), first);
    assert_eq!(cox.stop().0, 0);
}

#[test]
fn a_run_killed_while_it_is_told_to_stop_stays_down() {
    let mut tree = Tree::new();
    tree.script("web/run", &format!("trap '' TERM; {RUN}"));
    let cox = tree.supervise(&[]);
    let first = tree.after("start");
    applet(&["svc", "-d", &tree.service("web")]);
    tree.wait_for_state("web", "stopping");
    kill(&cox, &first);
    tree.wait_for_state("web", "down");
    // Wanted up meanwhile, it comes back.
    applet(&["svc", "-u", &tree.service("web")]);
    let second = tree.after("start");
    applet(&["svc", "-du", &tree.service("web")]);
    tree.wait_for_state("web", "stopping");
    kill(&cox, &second);
    tree.after("start");
    let (code, text) = cox.stop();
    assert_eq!(code, 0, "{text}");
}

#[test]
fn elsewhere_than_pid_1_services_die_with_a_cox_that_is_killed() {
    let mut tree = Tree::new();
    let run = "command = \"exec 9>$D/alive; echo start >$E; exec sleep 10000\"";
    tree.toml(&format!("[service.web]\n{run}\n[service.other]\n{run}\nuser = \"65534\""));
    for name in ["alive", "input"] {
        fifo::make(&tree.dir.join(name), 0o600).unwrap();
        fs::set_permissions(tree.dir.join(name), fs::Permissions::from_mode(0o666)).unwrap();
    }
    // Once both are gone the FIFO has no writer, and no second copy can meet them.
    let script = format!(
        "cd {} && exec <>input 3<>alive && {{ {} cox.toml 3<&- & }} && read line &&
         exec 4<alive 3<&- && kill -9 $! && cat <&4 && echo gone >events",
        tree.dir.display(),
        cox_binary().display(),
    );
    let mut command = namespace();
    command.args(["sh", "-c", &script]).env("COX_SOCKET", tree.socket());
    let outer = Cox::start(&mut command);
    tree.expect_all(["start", "start"]);
    fs::write(tree.dir.join("input"), "go\n").unwrap();
    tree.expect("gone");
    outer.wait();
}

#[test]
fn a_finish_that_is_killed_has_finished() {
    let mut tree = Tree::new();
    tree.script("web/run", RUN);
    tree.script("web/finish", "echo finish $$ >$E; exec sleep 10000");
    tree.file("web/timeout-finish", "0");
    let cox = tree.supervise(&[]);
    let first = tree.after("start");
    kill(&cox, &first);
    let finish = tree.after("finish");
    tree.wait_for_state("web", "finishing");
    // Of the next, which stops, it is the limit that kills it.
    tree.file("web/timeout-finish", "100");
    tree.script("web/finish", "echo finish $$ >$E; kill -STOP $$; echo not here >$E");
    kill(&cox, &finish);
    let second = tree.after("start");
    applet(&["svc", "-t", &tree.service("web")]);
    tree.after("finish");
    tree.after("start");
    assert_ne!(first, second);
    assert_eq!(cox.stop().0, 0);
}

#[test]
fn a_logger_that_is_killed_is_replaced_and_a_group_that_is_killed_too() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo start $$ >$E; sleep 10000 & sleep 10000 & read x <$E.web; wait");
    fifo::make(&tree.dir.join("events.web"), 0o600).unwrap();
    let logger = "echo log $$ >$E; while read line; do echo line $line >$E; done; echo end >$E";
    tree.script("web/log/run", logger);
    let cox = tree.supervise(&[]);
    let mut pids = [tree.events.next(), tree.events.next()];
    pids.sort();
    let log = pids[0].strip_prefix("log ").unwrap();
    let run = pids[1].strip_prefix("start ").unwrap();
    kill(&cox, log);
    tree.after("log");
    cox.inside(&format!("kill -s KILL -- -{run}"));
    tree.after("start");
    // Nothing of the old group is left, which would be orphans now: the new run, and the logger.
    until(|| children(cox.pid()).len() == 2);
    assert_eq!(cox.stop().0, 0);
    tree.expect("end");
}

#[test]
fn a_check_that_is_killed_is_asked_again() {
    let mut tree = Tree::new();
    tree.script("web/run", "exec sleep 10000");
    tree.script("web/check", "echo check $$ >$E; [ -e ../../ok ] || exec sleep 10000");
    let cox = tree.supervise(&[]);
    for _ in 0..3 {
        let check = tree.after("check");
        kill(&cox, &check);
    }
    assert_eq!(tree.state("web"), "starting");
    let last = tree.after("check");
    fs::write(tree.dir.join("ok"), "").unwrap();
    // Unless it has seen that.
    cox.inside(&format!("kill -9 {last} || true"));
    tree.wait_for_state("web", "up");
    assert_eq!(cox.stop().0, 0);
}

#[test]
fn a_health_command_that_is_killed_says_no_and_the_next_is_asked() {
    let mut tree = Tree::new();
    tree.toml(
        "[service.web]\ncommand = 'echo start $$ >$E; exec sleep 10000'\n\
         health = { command = 'sleep 10000 & echo asked $$ >$E; read yes <$E.yes', \
         interval = '10ms', timeout = '60s', retries = 3 }\n",
    );
    let yes = tree.dir.join("events.yes");
    fifo::make(&yes, 0o600).unwrap();
    let mut yes = fifo::open_both_ends(&yes).unwrap();
    let mut cox = tree.run_toml(&[]);
    // Nothing else happens than that.
    let next = |tree: &mut Tree, what: &str| {
        let event = tree.events.next();
        event.strip_prefix(what).unwrap_or_else(|| panic!("{event}, not {what}")).to_string()
    };
    // One run, and one that is asked; a child that outlives its parent would be cox's.
    let one_of_each = |cox: &Cox| until(|| children(cox.pid()).len() == 2);
    next(&mut tree, "start ");
    for healthy in ["-", "healthy"] {
        for _ in 0..2 {
            kill(&cox, &next(&mut tree, "asked "));
        }
        let asked = next(&mut tree, "asked ");
        one_of_each(&cox);
        let (_, status, _) = tree.ctl(&["status", "web"]);
        let words: Vec<&str> = status.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!((words[1], words[5]), ("up", healthy), "{status}");
        if healthy == "-" {
            yes.write_all(b"\n").unwrap();
        } else {
            // The third in a row.
            kill(&cox, &asked);
        }
    }
    assert_eq!(cox.stderr.next(), "cox: web: is unhealthy");
    assert!(cox.stderr.next().starts_with("cox: web: was unhealthy and ended by SIGTERM; start 2"));
    // Killed before, after and with the run it is asked about.
    let mut run = next(&mut tree, "start ");
    for order in ["RUN ASKED", "ASKED RUN", "RUN"] {
        let asked = next(&mut tree, "asked ");
        kill(&cox, &order.replace("RUN", &run).replace("ASKED", &asked));
        run = next(&mut tree, "start ");
    }
    next(&mut tree, "asked ");
    one_of_each(&cox);
    assert_eq!(cox.stop().0, 0);
}

#[test]
fn a_stop_command_that_is_killed_is_followed_by_the_signal() {
    let mut tree = Tree::new();
    tree.toml(
        "[service.web]\ncommand = 'echo start $$ >$E; exec sleep 10000'\n\
         stop-command = 'echo stop $$ >$E; exec sleep 10000'\n",
    );
    let mut cox = tree.run_toml(&[]);
    tree.after("start");
    assert_eq!(tree.ctl(&["stop", "--no-wait", "web"]).0, 0);
    let stop = tree.after("stop");
    kill(&cox, &stop);
    let line = cox.stderr.next();
    assert_eq!(line, "cox: web: its stop command ended by SIGKILL; sending SIGTERM");
    tree.wait_for_state("web", "down");
    // One that outlives its service has no say in the stop of the next run.
    assert_eq!(tree.ctl(&["start", "--no-wait", "web"]).0, 0);
    let run = tree.after("start");
    assert_eq!(tree.ctl(&["stop", "--no-wait", "web"]).0, 0);
    let old = tree.after("stop");
    kill(&cox, &run);
    tree.wait_for_state("web", "down");
    assert_eq!(tree.ctl(&["start", "--no-wait", "web"]).0, 0);
    let run = tree.after("start");
    assert_eq!(tree.ctl(&["stop", "--no-wait", "web"]).0, 0);
    tree.after("stop");
    kill(&cox, &old);
    assert_eq!(tree.state("web"), "stopping");
    kill(&cox, &run);
    tree.wait_for_state("web", "down");
    let (code, said) = cox.stop();
    assert_eq!((code, said.as_str()), (0, ""));
}

#[test]
fn whoever_is_stopped_by_a_signal_can_be_told_down() {
    let mut tree = Tree::new();
    tree.script("web/run", "trap 'echo told >$E; exit' TERM; nap; echo start >$E; wait");
    tree.script("own/run", "trap 'echo told >$E; exit' TERM; nap; kill -STOP $$; wait");
    let cox = tree.supervise(&[]);
    tree.expect("start");
    applet(&["svc", "-p", &tree.service("web")]);
    applet(&["svc", "-d", &tree.service("web")]);
    tree.expect("told");
    tree.wait_for_state("web", "down");
    let stat = |pid: Pid| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    until(|| children(cox.pid()).into_iter().any(|pid| stat(pid).contains(") T ")));
    applet(&["svc", "-d", &tree.service("own")]);
    tree.expect("told");
    tree.wait_for_state("own", "down");
}

#[test]
fn fifty_crash_loops_cost_little_and_hold_up_nobody() {
    const LOOPS: u64 = 50;
    const ROUNDS: u64 = 6;
    let mut tree = Tree::new();
    for n in 0..LOOPS {
        tree.script(&format!("crash{n}/run"), "exit 1");
    }
    tree.script("good/run", RUN);
    let mut cox = tree.supervise(&[]);
    tree.after("start");
    let said = |cox: &mut Cox, count: u64| {
        for _ in 0..count {
            let line = cox.stderr.next();
            assert!(line.contains("exited with code 1; start "), "{line}");
        }
    };
    said(&mut cox, LOOPS);
    let before = ticks(&cox);
    for _ in 1..ROUNDS {
        said(&mut cox, LOOPS);
        tree.assert_responsive("good");
        tree.after("start");
    }
    // A tick is 10 ms; a restart, its end and its line take a tenth of that.
    let used = ticks(&cox) - before;
    assert!(used <= LOOPS * (ROUNDS - 1) / 2, "{used} ticks");
    assert_eq!(cox.stop().0, 0);
}

#[test]
fn on_a_full_disk_services_run_and_their_status_is_right() {
    let mut tree = Tree::new();
    tree.script("web/run", RUN);
    let (cox, services) = (cox_binary(), tree.services());
    let full = tree.dir.join("full");
    fs::create_dir(&full).unwrap();
    let (cox, services, full) = (cox.display(), services.display(), full.display());
    let script = format!(
        "mount -t tmpfs -o size=256k none {full} && cp -a {services}/. {full} && exec {cox} {full}"
    );
    let mut command = namespace();
    command.args(["sh", "-c", &script]).env("COX_SOCKET", tree.socket());
    let cox_runs = Cox::start(&mut command);
    tree.after("start");
    cox_runs.inside(&format!("head -c 1M /dev/zero >{full}/fill 2>/dev/null || true"));
    let status = || cox_runs.inside(&format!("{cox} svstat {full}/web"));
    for _ in 0..3 {
        let old = tree.ctl(&["status", "--json", "web"]).1;
        let old: serde_json::Value = serde_json::from_str(&old).unwrap();
        kill(&cox_runs, &old[0]["pid"].to_string());
        let new = tree.after("start");
        until(|| status().contains(&format!("up (pid {new})")));
        cox_runs.inside(&format!("{cox} svc -d {full}/web"));
        until(|| status().contains(": down "));
        cox_runs.inside(&format!("{cox} svc -u {full}/web"));
        let new = tree.after("start");
        until(|| status().contains(&format!("up (pid {new})")));
    }
    cox_runs.inside(&format!("rm {full}/fill"));
    cox_runs.inside(&format!("{cox} svc -t {full}/web"));
    let new = tree.after("start");
    until(|| status().contains(&format!("up (pid {new})")));
    let (code, said) = cox_runs.stop();
    assert_eq!(code, 0);
    // The first end was written down, or it was said that it could not be.
    for line in said.lines() {
        let expected = line.contains("ended by SIG")
            || line.contains("death_tally: no space left on device")
            || line.contains("write status of web: no space left on device");
        assert!(expected, "{line}");
    }
}

#[test]
fn on_a_disk_without_inodes_services_have_their_state_elsewhere() {
    let mut tree = Tree::new();
    tree.script("web/run", RUN);
    let (services, cox) = (tree.services(), cox_binary());
    // The inode of the mount's root, of `web` and of `run` are all that there are.
    let script = format!(
        "mount -t tmpfs none /run && cp -r {0}/web /run && mount -t tmpfs -o nr_inodes=3 none {0} &&
         cp -r /run/web {0} && exec {1} {0}",
        services.display(),
        cox.display(),
    );
    let outer = Cox::start(namespace().args(["sh", "-c", &script]));
    tree.after("start");
    let ask = format!("{} svstat {}/web", cox.display(), services.display());
    until(|| outer.inside(&ask).contains(": up (pid "));
    assert_eq!(outer.stop(), (0, String::new()));
}

#[test]
fn with_few_descriptors_some_services_run_and_the_others_are_named() {
    const MANY: usize = 60;
    let mut tree = Tree::new();
    for n in 10..10 + MANY {
        tree.script(&format!("s{n}/run"), "echo start $$ >$E; exec sleep 10000");
        if n % 4 == 0 {
            tree.script(&format!("s{n}/log/run"), "exec cat >/dev/null");
        }
        if n % 4 == 1 {
            tree.file(&format!("s{n}/notification-fd"), "4");
        }
    }
    let mut command = namespace();
    command.args(["prlimit", "--nofile=64:64"]).arg(cox_binary()).arg(tree.services());
    let mut cox = Cox::start(command.env("COX_SOCKET", tree.socket()));
    // Each is started, or refused.
    let (code, text, error) = tree.ctl_once_up(&["status"]);
    assert_eq!(code, 0, "{error}");
    let running = text.lines().skip(1).filter(|line| !line.contains("/log ")).count();
    assert!((10..MANY).contains(&running), "{text}");
    let mut refused = 0;
    while refused < MANY - running {
        let line = cox.stderr.next();
        assert!(line.contains("raise the limit of open files (ulimit -n)"), "{line}");
        refused += usize::from(!line.contains("log"));
    }
    let first = (0..running).map(|_| tree.after("start")).next().unwrap();
    // They can still be restarted, and coxctl can ask.
    let before = ticks(&cox);
    kill(&cox, &first);
    assert_ne!(tree.after("start"), first);
    for _ in 0..20 {
        assert_eq!(tree.ctl(&["restart", "s10"]).0, 0);
        tree.after("start");
    }
    assert!(ticks(&cox) - before < 50, "it spins");
    // Where there is room again, others come.
    for n in 10..20 {
        fs::remove_dir_all(tree.services().join(format!("s{n}"))).unwrap();
    }
    cox.signal(Signal::HUP);
    until(|| !tree.ctl(&["status"]).1.contains("s10"));
    cox.signal(Signal::HUP);
    tree.after("start");
    assert_eq!(cox.stop().0, 0);
}

#[test]
fn what_cannot_be_cloned_is_tried_again() {
    const USER: &str = "54321";
    let mut tree = Tree::new();
    for name in ["a", "b", "c"] {
        tree.script(&format!("{name}/run"), &format!("echo {name} >$E; exec sleep 10000"));
        let owner = USER.parse().ok();
        std::os::unix::fs::chown(tree.services().join(name), owner, owner).unwrap();
    }
    fs::set_permissions(&tree.dir, fs::Permissions::from_mode(0o777)).unwrap();
    let mut command = namespace();
    // cox and two more.
    command.args(["prlimit", "--nproc=3:3", "setpriv", "--reuid", USER, "--regid", USER]);
    command.arg("--clear-groups").arg(cox_binary()).arg(tree.services());
    let mut cox = Cox::start(command.env("COX_SOCKET", tree.socket()));
    let started = [tree.events.next(), tree.events.next()];
    let third = ["a", "b", "c"].into_iter().find(|name| !started.contains(&name.to_string()));
    let third = third.unwrap();
    let line = cox.stderr.next();
    assert_eq!(line, format!("cox: {third}: start a process: resource temporarily unavailable"));
    assert_eq!(tree.ctl(&["stop", &started[0]]).0, 0);
    tree.expect(third);
    let (code, text) = cox.stop();
    assert!(code == 0, "{text}");
}

#[test]
fn odd_files_in_service_directories_hold_up_nobody() {
    let mut tree = Tree::new();
    let odd = |tree: &Tree, name: &str, path: &str| -> PathBuf {
        tree.script(&format!("{name}/run"), "echo odd >$E; exec sleep 10000");
        tree.script(&format!("{name}/finish"), "");
        let path = tree.services().join(name).join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    let files = [
        "timeout-kill",
        "timeout-finish",
        "down-signal",
        "notification-fd",
        "env/X",
        "supervise/lock",
    ];
    for (n, file) in files.iter().enumerate() {
        fifo::make(&odd(&tree, &format!("fifo{n}"), file), 0o600).unwrap();
        let huge = fs::File::create(odd(&tree, &format!("huge{n}"), file)).unwrap();
        huge.set_len(1 << 30).unwrap();
        let path = odd(&tree, &format!("loop{n}"), file);
        symlink(&path, &path).unwrap();
        fs::create_dir(odd(&tree, &format!("dir{n}"), file)).unwrap();
        symlink("/dev/zero", odd(&tree, &format!("zero{n}"), file)).unwrap();
    }
    for file in
        ["finish", "check", "down", "max-death-tally", "supervise/status", "supervise/.status.new"]
    {
        let name = format!("other-{}", file.replace('/', "-"));
        let path = odd(&tree, &name, file);
        let _ = fs::remove_file(&path);
        fifo::make(&path, 0o600).unwrap();
    }
    // Not services at all.
    tree.file("run-fifo/x", "");
    fifo::make(&tree.services().join("run-fifo/run"), 0o777).unwrap();
    tree.file("run-dir/run/x", "");
    symlink("none", tree.services().join("dangling")).unwrap();
    symlink("itself", tree.services().join("itself")).unwrap();
    fifo::make(&tree.services().join("fifo"), 0o600).unwrap();
    tree.script("zz-good/run", "echo good >$E; exec sleep 10000");
    let cox = tree.supervise(&[]);
    tree.after("good");
    for _ in 0..3 {
        tree.assert_responsive("zz-good");
    }
    // `svc -D` and its like, where `down` is odd.
    let mut control = fifo::open_for_writing(&tree.services().join("other-down/supervise/control"))
        .unwrap()
        .unwrap();
    control.write_all(b"DUD").unwrap();
    // Put there later, and met at the next end of a run.
    for name in ["other-check", "zz-good"] {
        let tally = tree.services().join(name).join("supervise/death_tally");
        let _ = fs::remove_file(&tally);
        fifo::make(&tally, 0o600).unwrap();
    }
    tree.assert_responsive("zz-good");
    cox.signal(Signal::HUP);
    tree.assert_responsive("zz-good");
    let (code, said) = cox.stop();
    assert_eq!(code, 0);
    // Each that could not be taken over is named with its file.
    for (n, file) in files.iter().enumerate().filter(|(_, file)| !file.starts_with("supervise")) {
        for kind in ["fifo", "huge", "loop", "dir", "zero"] {
            // A variable is a file, or nothing.
            if *file == "env/X" && kind != "huge" {
                continue;
            }
            let named = format!("/{kind}{n}/{file}");
            assert!(said.contains(&named), "{named}: {said}");
        }
    }
}

#[test]
fn whoever_writes_without_end_holds_up_nobody() {
    let mut tree = Tree::new();
    tree.script("good/run", "exec sleep 10000");
    tree.script("deaf/run", "exec sleep 10000");
    tree.script("bytes/run", "echo bytes >$E; exec cat /dev/zero >&4");
    tree.script("lines/run", "echo lines >$E; exec yes >&4");
    for name in ["bytes", "lines"] {
        tree.file(&format!("{name}/notification-fd"), "4");
    }
    tree.toml(
        "scan = 'services'\n[service.notify]\ncommand = 'echo at $NOTIFY_SOCKET >$E; exec sleep 10000'\n\
         ready = 'notify'\n",
    );
    let socket = tree.socket();
    let cox = tree.run_toml(&["--socket", socket.to_str().unwrap()]);
    let address = tree.after("at @");
    let address = SocketAddr::from_abstract_name(address).unwrap();
    let deaf = tree.services().join("deaf/supervise/control");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let socket = UnixDatagram::unbound().unwrap();
            while !over.load(Ordering::Relaxed) {
                let _ = socket.send_to_addr(&[b'\n'; 1000], &address);
            }
        });
        scope.spawn(|| {
            let mut control = fs::File::options().write(true).open(&deaf).unwrap();
            while !over.load(Ordering::Relaxed) {
                // Commands, and letters that mean nothing.
                control.write_all(&[b'c', b'?', b'u', b'z'].repeat(1000)).unwrap();
            }
        });
        // Judged only after the writers have been told to end.
        let answers: Vec<_> =
            (0..5).map(|_| tree.ctl(&["--timeout", "30", "restart", "good"])).collect();
        over.store(true, Ordering::Relaxed);
        assert!(answers.iter().all(|(code, ..)| *code == 0), "{answers:?}");
    });
    // Ready with its first line; after that it writes to nobody, and dies of it.
    assert_eq!(tree.state("bytes"), "starting");
    assert_eq!(cox.stop().0, 0);
}

#[test]
fn a_scan_directory_that_was_removed_is_noticed_when_it_comes_back() {
    let mut tree = Tree::new();
    tree.script("web/run", RUN);
    let cox = tree.supervise(&[]);
    for _ in 0..3 {
        tree.after("start");
        fs::remove_dir_all(tree.services()).unwrap();
        until(|| !tree.ctl(&["status"]).1.contains("web"));
        tree.script("web/run", RUN);
    }
    tree.after("start");
    assert_eq!(cox.stop().0, 0);
}

#[test]
fn a_scan_directory_on_a_file_system_that_is_unmounted_may_be_mounted_again() {
    let mut tree = Tree::new();
    tree.script("web/run", RUN);
    let (copy, services) = (tree.dir.join("copy"), tree.services());
    fs::rename(&services, &copy).unwrap();
    fs::create_dir(&services).unwrap();
    let (cox, copy, services) = (cox_binary(), copy.display(), services.display());
    let mount = format!("mount -t tmpfs none {services} && cp -a {copy}/. {services}");
    let script = format!("{mount} && exec {} {services}", cox.display());
    let mut command = namespace();
    let cox = Cox::start(command.args(["sh", "-c", &script]).env("COX_SOCKET", tree.socket()));
    for _ in 0..3 {
        tree.after("start");
        cox.inside(&format!("umount -l {services}"));
        cox.signal(Signal::HUP);
        until(|| !tree.ctl(&["status"]).1.contains("web"));
        cox.inside(&mount);
        cox.signal(Signal::HUP);
    }
    tree.after("start");
    assert_eq!(cox.stop().0, 0);
}

#[test]
fn a_monotonic_clock_that_is_far_ahead_changes_nothing() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo $(cut -d. -f1 /proc/uptime) $$ >$E; exec sleep 10000");
    tree.script("crash/run", "echo crash >$E; exit 1");
    let mut command = namespace();
    // Beyond half of what 63 bits of nanoseconds hold the kernel takes no more (time_namespaces(7)).
    let seconds = 140u64 * 86_400 * 365;
    let ahead = seconds.to_string();
    let args = [
        "unshare",
        "--time",
        "--monotonic",
        &ahead,
        "--boottime",
        &ahead,
        "--fork",
        "--kill-child",
    ];
    let tried = finish(Command::new(args[0]).args(&args[1..]).arg("true"));
    if tried.0 != 0 {
        return skip(&format!("no time namespaces: {}", tried.2));
    }
    command.args(args).arg(cox_binary()).arg(tree.services());
    let cox = Cox::start(command.env("COX_SOCKET", tree.socket()));
    let mut crashes = 0;
    let mut pid = String::new();
    while crashes < 3 || pid.is_empty() {
        match tree.events.next().split_once(' ') {
            Some((uptime, new)) => {
                // It is that clock.
                assert!(uptime.parse::<u64>().unwrap() >= seconds, "{uptime}");
                pid = new.to_string();
            }
            None => crashes += 1,
        }
    }
    let text = applet(&["svstat", &tree.service("web")]).1;
    assert!(text.contains(&format!("up (pid {pid})")), "{text}");
    tree.assert_responsive("web");
    drop(cox);
}
