//! Services of a cox.toml: their order, readiness, health, ends; and reading the file again.

use crate::harness::{Cox, Tree, cox_binary};
use coracle::types::Signal;
use std::fs;
use std::process::Command;

impl Tree {
    /// The shell text of a service that tells its start and its stop, and hears TERM at once.
    fn telling(name: &str) -> String {
        format!(
            "trap 'echo {name} stops >$E; exit' TERM; echo {name} >$E; touch $E.{name}; read x <>$E.wait"
        )
    }

    /// Makes the FIFO that a service of `telling` sleeps on.
    fn waiting(&self) {
        coracle::sys::fifo::make(&self.dir.join("events.wait"), 0o666).unwrap();
    }
}

#[test]
fn services_start_after_what_they_require_and_stop_before_it() {
    let mut tree = Tree::new();
    tree.waiting();
    let service = |name: &str, more: &str| {
        format!("[service.{name}]\ncommand = \"{}\"\n{more}\n", Tree::telling(name))
    };
    tree.toml(&format!(
        "{}{}{}",
        service("web", "requires = ['app']"),
        service("app", "requires = ['db']\nready = { file = '$E.app' }"),
        service("db", "start = 'manual'\nready = { command = 'test -e $E.db' }"),
    ));
    let cox = tree.run_toml(&[]);
    for name in ["db", "app", "web"] {
        tree.expect(name);
    }
    assert_eq!(cox.stop(), (0, String::new()));
    for name in ["web stops", "app stops", "db stops"] {
        tree.expect(name);
    }
}

#[test]
fn oneshots_come_first_and_a_failed_one_holds_up_only_those_that_require_it() {
    let mut tree = Tree::new();
    tree.toml(
        "[service.migrate]\ntype = 'oneshot'\ncommand = 'echo migrate >$E'\n\
         [service.broken]\ntype = 'oneshot'\ncommand = 'echo broken >$E; exit 3'\nafter = ['migrate']\n\
         [service.web]\ncommand = 'echo web >$E; exec sleep 1000'\nrequires = ['migrate']\nafter = ['broken']\n\
         [service.never]\ncommand = 'echo never >$E; exec sleep 1000'\nrequires = ['broken']\n\
         [service.last]\ncommand = 'echo last >$E; exec sleep 1000'\nafter = ['never', 'web']\n",
    );
    let mut cox = tree.run_toml(&[]);
    tree.expect("migrate");
    tree.expect("broken");
    tree.expect_all(["last", "web"]);
    assert_eq!(cox.stderr.next(), "cox: broken: exited with code 3");
    assert_eq!(cox.stop(), (0, String::new()));
}

#[test]
fn cycles_and_unknown_names_are_told_and_the_others_start() {
    let mut tree = Tree::new();
    let run = "command = 'echo start >$E; exec sleep 1000'";
    tree.toml(&format!(
        "[service.a]\n{run}\nrequires = ['b']\n[service.b]\n{run}\nafter = ['a']\n\
         [service.c]\n{run}\nrequires = ['nobody']\n\
         [service.d]\ncommand = 'echo d >$E; exec sleep 1000'\nafter = ['nothing']\n"
    ));
    let mut cox = tree.run_toml(&[]);
    tree.expect("d");
    let mut said: Vec<String> = (0..3).map(|_| cox.stderr.next()).collect();
    said.sort();
    assert_eq!(
        said,
        [
            "cox: a, b: each waits for the next, and a is the next of the last; none is started",
            "cox: c: requires nobody, which does not exist; it is not started",
            "cox: d: comes after nothing, which does not exist; that is ignored",
        ]
    );
    assert_eq!(cox.stop(), (0, String::new()));
}

#[test]
fn one_that_was_left_out_for_a_fault_is_not_said_not_to_exist() {
    let mut tree = Tree::new();
    let text = "scan = 'services'\n[service.db]\nargv = ['sleep', '1000']\nFAULT\n\
                [service.app]\nargv = ['sleep', '1000']\nrequires = ['db']\n\
                [service.web]\ncommand = 'echo web >$E; exec sleep 1000'\nafter = ['cache']\n";
    tree.toml(&text.replace("FAULT", "restrat = 1"));
    tree.script("cache/run", "exec sleep 1000");
    tree.file("cache/timeout-kill", "soon\n");
    let mut cox = tree.run_toml(&[]);
    tree.expect("web");
    let mut said: Vec<String> = (0..4).map(|_| cox.stderr.next()).collect();
    said.sort();
    let fault = "which was left out for a fault";
    assert!(said[0].contains("timeout-kill:1: ") || said[1].contains("timeout-kill:1: "));
    assert_eq!(said[2], format!("cox: app: requires db, {fault}; it is not started"));
    assert_eq!(said[3], format!("cox: web: comes after cache, {fault}; that is ignored"));
    let (_, why, _) = tree.ctl(&["why", "app"]);
    assert!(why.contains(&format!("requires db, {fault}")), "{why}");
    let (_, lines, _) = tree.ctl(&["tree", "app"]);
    assert!(lines.contains("  requires db (was left out for a fault)"), "{lines}");
    tree.toml(&text.replace("FAULT", ""));
    assert_eq!(tree.ctl(&["reload"]).0, 0);
    assert_eq!(tree.ctl(&["wait", "app", "--ready"]).0, 0);
    assert_eq!(cox.stop().0, 0);
}

#[test]
fn readiness_comes_by_sd_notify_tcp_and_file() {
    let mut tree = Tree::new();
    tree.script(
        "notify",
        "echo notify >$E; read x <$E.go
         exec python3 -c 'import os, socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(chr(0) + os.environ[\"NOTIFY_SOCKET\"][1:])
s.send(b\"STATUS=hello\\nREADY=1\")
time.sleep(1000)'",
    );
    tree.script(
        "tcp",
        "echo tcp >$E; read x <$E.go
         exec python3 -c 'import socket, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((\"127.0.0.1\", 47113)); s.listen(); time.sleep(1000)'",
    );
    tree.script("file", "echo file >$E; read x <$E.go; touch $E.ready; exec sleep 1000");
    let go = tree.dir.join("events.go");
    coracle::sys::fifo::make(&go, 0o600).unwrap();
    let mut go = coracle::sys::fifo::open_both_ends(&go).unwrap();
    let dir = tree.services().display().to_string();
    tree.toml(&format!(
        "[service.notify]\nargv = ['{dir}/notify']\nready = 'notify'\n\
         [service.tcp]\nargv = ['{dir}/tcp']\nready = {{ tcp = 47113 }}\nrequires = ['notify']\n\
         [service.file]\nargv = ['{dir}/file']\nready = {{ file = '$E.ready' }}\nrequires = ['tcp']\n\
         [service.end]\ncommand = 'echo end >$E; exec sleep 1000'\nrequires = ['file']\n"
    ));
    let mut command = Command::new("unshare");
    command.args(["--net", "--pid", "--fork", "--mount-proc", "--kill-child", "--", "sh", "-c"]);
    let script = format!(
        "ip link set lo up; exec {} {}/cox.toml",
        cox_binary().display(),
        tree.dir.display()
    );
    let cox = Cox::start(command.arg(script).env("COX_SOCKET", "none"));
    for name in ["notify", "tcp", "file"] {
        tree.expect(name);
        std::io::Write::write_all(&mut go, b"\n").unwrap();
    }
    tree.expect("end");
    assert_eq!(cox.stop(), (0, String::new()));
}

#[test]
fn one_that_is_not_ready_in_time_is_stopped_and_tried_again() {
    let mut tree = Tree::new();
    tree.toml(
        "[service.web]\ncommand = 'echo start >$E; exec sleep 1000'\nready = 'notify'\n\
         ready-timeout = '50ms'\ngive-up = { deaths = 2 }\n",
    );
    let mut cox = tree.run_toml(&[]);
    tree.expect("start");
    let line = cox.stderr.next();
    let start = "cox: web: was not ready in time and ended by SIGTERM; start 2 in ";
    assert!(line.starts_with(start), "{line}");
    tree.expect("start");
    let stays = "cox: web: stays down: it ended too often";
    let told = [cox.stderr.next(), cox.stderr.next()];
    assert!(told.iter().any(|line| line == stays), "{told:?}");
    assert_eq!(cox.stop(), (0, String::new()));
}

#[test]
fn the_unhealthy_is_started_again_or_ends_everything() {
    let mut tree = Tree::new();
    let service = |action: &str| {
        format!(
            "[service.web]\ncommand = 'echo start >$E; exec sleep 1000'\n\
             health = {{ file = '$E.healthy', interval = '20ms', retries = 2, action = '{action}' }}\n"
        )
    };
    let healthy = tree.dir.join("events.healthy");
    fs::write(&healthy, "").unwrap();
    tree.toml(&service("restart"));
    let mut cox = tree.run_toml(&[]);
    tree.expect("start");
    fs::remove_file(&healthy).unwrap();
    assert_eq!(cox.stderr.next(), "cox: web: is unhealthy");
    let line = cox.stderr.next();
    assert!(
        line.starts_with("cox: web: was unhealthy and ended by SIGTERM; start 2 in "),
        "{line}"
    );
    tree.expect("start");
    assert_eq!(cox.stop().0, 0);

    tree.toml(&service("stop"));
    let mut cox = tree.run_toml(&[]);
    tree.expect("start");
    assert_eq!(cox.stderr.next(), "cox: web: is unhealthy");
    assert_eq!(cox.wait().0, 1);
}

#[test]
fn a_command_that_is_asked_about_health_is_killed_when_it_takes_too_long() {
    let mut tree = Tree::new();
    tree.toml(
        "[service.web]\ncommand = 'echo start >$E; exec sleep 1000'\n\
         health = { command = 'echo asked >$E; sleep 1000', interval = '10ms', timeout = '20ms', \
         retries = 3, action = 'stop' }\n",
    );
    let cox = tree.run_toml(&[]);
    tree.expect("start");
    let (code, text) = cox.wait();
    assert_eq!((code, text.as_str()), (1, "cox: web: is unhealthy\n"));
    for _ in 0..3 {
        tree.expect("asked");
    }
}

#[test]
fn the_end_of_a_service_ends_everything_with_its_code_where_it_says_so() {
    for (more, code) in [("", 7), ("restart = 'on-failure'\npermanent-exit-codes = [7]", 7)] {
        let tree = Tree::new();
        tree.toml(&format!(
            "[service.web]\ncommand = 'exit 7'\non-end = 'stop'\n{more}\n\
             [service.other]\ncommand = 'exec sleep 1000'\n"
        ));
        let (got, text) = tree.run_toml(&["--explain-exit"]).wait();
        assert_eq!(got, code, "{more}: {text}");
        let last = text.lines().last().unwrap();
        assert_eq!(last, "cox: exit 7: service web exited with code 7 (on-end = stop)");
    }
}

#[test]
fn programs_of_init_directories_run_before_everything_and_a_failure_ends_it() {
    let mut tree = Tree::new();
    tree.script("../init/10-first", "echo first >$E");
    tree.script("../init/20-second", "echo second >$E");
    tree.script("web/run", "echo web >$E; exec sleep 1000");
    let dir = tree.dir.display().to_string();
    tree.toml(&format!(
        "init = ['{dir}/init']\nscan = ['{dir}/services']\n\
         [service.app]\ncommand = 'echo app >$E; exec sleep 1000'\n"
    ));
    let cox = tree.run_toml(&[]);
    tree.expect("first");
    tree.expect("second");
    tree.expect_all(["app", "web"]);
    assert_eq!(cox.stop(), (0, String::new()));

    tree.script("../init/15-bad", "exit 9");
    let (code, text) = tree.run_toml(&["--explain-exit"]).wait();
    tree.expect("first");
    assert_eq!(code, 9, "{text}");
    assert!(text.contains("init/15-bad exited with code 9"), "{text}");
    tree.toml("[service.web]\ncommand = 'echo nothing else >$E; exec sleep 1000'\n");
    let cox = tree.run_toml(&[]);
    tree.expect("nothing else");
    drop(cox);
}

#[test]
fn a_changed_file_counts_after_hup() {
    let mut tree = Tree::new();
    let service = |name: &str, word: &str| {
        format!("[service.{name}]\ncommand = 'echo {word} >$E; exec sleep 1000'\n")
    };
    tree.toml(&format!("{}{}", service("kept", "kept"), service("going", "going")));
    let cox = tree.run_toml(&[]);
    tree.expect_all(["going", "kept"]);
    tree.toml(&format!("{}{}", service("kept", "changed"), service("new", "new")));
    cox.signal(Signal::HUP);
    tree.expect("new");
    // What is gone was stopped; what changed runs on, and counts from its next start.
    let children = cox.inside("cat /proc/1/task/1/children");
    assert_eq!(children.split_whitespace().count(), 2, "{children}");
    cox.inside("kill -TERM $(cut -d' ' -f1 /proc/1/task/1/children)");
    tree.expect("changed");
    // A file that cannot be read changes nothing.
    fs::write(tree.dir.join("cox.toml"), "[service.kept\n").unwrap();
    cox.signal(Signal::HUP);
    let (code, text) = cox.stop();
    assert_eq!(code, 0);
    assert!(text.contains("cox.toml:1: "), "{text}");
}

#[test]
fn a_stop_command_stops_and_the_signal_comes_where_it_fails() {
    let mut tree = Tree::new();
    tree.waiting();
    let run = Tree::telling("web");
    tree.toml(&format!(
        "[service.web]\ncommand = \"{run}\"\nstop-command = 'echo by command >$E; kill $MAINPID'\n"
    ));
    let cox = tree.run_toml(&[]);
    tree.expect("web");
    assert_eq!(cox.stop(), (0, String::new()));
    tree.expect("by command");
    tree.expect("web stops");
    tree.toml(&format!("[service.web]\ncommand = \"{run}\"\nstop-command = 'exit 5'\n"));
    let cox = tree.run_toml(&[]);
    tree.expect("web");
    let (code, text) = cox.stop();
    assert_eq!(code, 0);
    assert_eq!(text, "cox: web: its stop command exited with code 5; sending SIGTERM\n");
    tree.expect("web stops");
}

#[test]
fn a_service_that_cannot_hear_does_not_keep_the_others_from_being_told() {
    let mut tree = Tree::new();
    tree.waiting();
    tree.toml(&format!(
        "stop-timeout = '400ms'\n\
         [service.db]\ncommand = \"{}\"\n\
         [service.deaf]\ncommand = \"trap '' TERM; echo deaf >$E; while :; do read x <>$E.wait; done\"\n\
         requires = ['db']\n",
        Tree::telling("db")
    ));
    let cox = tree.run_toml(&[]);
    tree.expect_all(["db", "deaf"]);
    assert_eq!(cox.stop().0, 0);
    tree.expect("db stops");
}
