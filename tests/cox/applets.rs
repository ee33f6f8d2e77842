//! supervise, sv, s6-svstat and s6-svwait: ours beside those of runit and s6 in the same state; and
//! what Debian's s6 finds in our trees besides status and control.

use crate::harness::{Cox, Tree, applet, cox_binary, finish, have, namespace};
use coracle::sys::fifo;
use std::process::Command;

const SLEEPS: &str = "echo start >$E; exec sleep 10000";

#[test]
fn supervise_is_over_once_it_is_told_to_forget_its_service() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo start; exec sleep 10000");
    tree.script("web/log/run", "while read line; do echo logged $line >$E; done; echo end >$E");
    let dir = tree.service("web");
    let cox = Cox::start(namespace().arg(cox_binary()).args(["supervise", &dir]));
    tree.expect("logged start");
    // There can be only one.
    let (code, _, text) = applet(&["supervise", &dir]);
    let taken = format!("supervise: {dir}/supervise: already supervised by another process\n");
    assert_eq!((code, text), (111, taken));
    applet(&["svc", "-t", &dir]);
    tree.expect("logged start");
    assert_eq!(applet(&["svc", "-x", &dir]).0, 0);
    tree.expect("end");
    assert_eq!(cox.wait(), (0, String::new()));
    let (code, _, text) = applet(&["supervise", &tree.service("none")]);
    assert_eq!(code, 111);
    assert!(text.contains("none: no such file or directory"), "{text}");
}

#[test]
fn s6_waits_for_what_happens_in_our_trees() {
    if !have("s6-svc") {
        return;
    }
    let mut tree = Tree::new();
    tree.script("web/run", SLEEPS);
    tree.script("web/finish", "test -e hold || exit 0; echo finish >$E; read line <hold; exit 125");
    let dir = tree.service("web");
    let cox = tree.supervise(&[]);
    tree.expect("start");
    let run = |words: &str| {
        let mut words = words.split(' ');
        let mut command = Command::new(words.next().unwrap());
        finish(command.args(words).arg(&dir)).0
    };
    assert_eq!(run("s6-svwait -u -t 30000"), 0);
    assert_eq!(run("s6-svc -wD -T 30000 -d"), 0);
    assert_eq!(run("s6-svwait -D -t 30000"), 0);
    assert_eq!(run("s6-svc -wu -T 30000 -u"), 0);
    assert_eq!(run("s6-svc -wd -T 30000 -d"), 0);
    assert_eq!(run("s6-svc -wu -T 30000 -u"), 0);
    assert_eq!(run("s6-svwait -d -t 1000"), 99);
    // Ready once it says so.
    tree.script("web/run", "echo start >$E; read line <go; echo >&3; exec sleep 10000");
    tree.file("web/notification-fd", "3\n");
    let go = tree.services().join("web/go");
    fifo::make(&go, 0o600).unwrap();
    assert_eq!(run("s6-svc -wD -T 30000 -d"), 0);
    assert_eq!(run("s6-svc -wu -T 30000 -u"), 0);
    assert_eq!(run("s6-svwait -U -t 1000"), 99);
    std::fs::write(&go, "go\n").unwrap();
    assert_eq!(run("s6-svwait -U -t 30000"), 0);
    // It is given up: whoever waits for it to be up again is told.
    let hold = tree.services().join("web/hold");
    fifo::make(&hold, 0o600).unwrap();
    assert_eq!(run("s6-svc -t"), 0);
    tree.after("finish");
    let mut waits = Command::new("s6-svwait");
    let mut waits = waits.args(["-u", "-t", "30000", &dir]).spawn().unwrap();
    let listeners = tree.services().join("web/event");
    while !std::fs::read_dir(&listeners)
        .unwrap()
        .flatten()
        .any(|file| file.file_name().to_string_lossy().starts_with("ftrig1:"))
    {
        assert_eq!(waits.try_wait().unwrap(), None);
    }
    std::fs::write(&hold, "end\n").unwrap();
    assert_eq!(waits.wait().unwrap().code(), Some(1));
    assert_eq!(run("s6-svstat -u"), 0);
    assert_eq!(cox.stop().0, 0);
    assert_eq!(run("s6-svstat -u"), 1);
}

#[test]
fn s6_counts_the_deaths_in_our_trees() {
    if !have("s6-svdt") || !have("s6-permafailon") {
        return;
    }
    let mut tree = Tree::new();
    tree.script("web/run", "echo start >$E; test -e crash && exit 3; exec sleep 10000");
    tree.script("web/finish", "exec s6-permafailon 60 3 1-9,SIGSEGV true");
    tree.file("web/max-death-tally", "4\n");
    let dir = tree.service("web");
    let mut cox = tree.supervise(&[]);
    tree.expect("start");
    for letter in ["-t", "-k", "-k"] {
        applet(&["svc", letter, &dir]);
        tree.expect("start");
    }
    let ends = || {
        let (code, text, _) = finish(Command::new("s6-svdt").arg(&dir));
        assert_eq!(code, 0);
        let ends: Vec<String> =
            text.lines().map(|line| line.split_once(' ').unwrap().1.to_string()).collect();
        ends
    };
    assert_eq!(ends(), ["signal SIGTERM", "signal SIGKILL", "signal SIGKILL"]);
    // Of those it does not mind; the third of the others is the last.
    std::fs::write(tree.services().join("web/crash"), "").unwrap();
    applet(&["svc", "-k", &dir]);
    let line = cox.stderr.after("s6-permafailon: info: PERMANENT FAILURE triggered after 3 events");
    assert!(line.starts_with("involving exit code 3"), "{line}");
    cox.stderr.after("cox: web: stays down");
    assert_eq!(ends(), ["signal SIGKILL", "exitcode 3", "exitcode 3", "exitcode 3"]);
    assert_eq!(cox.stop().0, 0);
}
