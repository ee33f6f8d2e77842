//! A start that is killed at each of its steps, in the client or in the monitor: after the next
//! command the container is up with all that leads to it, or down with nothing. strace kills whom it
//! traces, and nobody else: what the dead had just started goes on, or ends, at its own pace.

use crate::commit_harm::{KILL, Step, harming, lacks_strace, steps_in};
use crate::common::{Test, eventually};
use crate::network_changes::{is_in_rules, line};
use crate::networks::{network, page, run, serve};
use crate::test;
use coracle::container::{Dir, Status, Want};
use coracle::sys::child::{Child, Plan, spawn};
use coracle::sys::pidfd;
use coracle::sys::step::{Exec, FdSource, Step as ChildStep, Variables};
use coracle::types::Home;
use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

const AT: &str = "10.77.1.9";

/// Where a monitor finds the right to the container (engine::monitor).
const LIVE_FD: i32 = 4;

/// The call in which a monitor waits.
const WAITS: &str = "epoll_pwait";

/// What a start does besides what a commit does.
const MORE: [&str; 12] = [
    "bind",
    "clone3",
    "execveat",
    "fsconfig",
    "listen",
    "mknod",
    "mount_setattr",
    "open_tree",
    "setns",
    "socketpair",
    "symlink",
    "truncate",
];

/// A container that is down, another with a link to it, and a network on which only links lead to
/// anybody.
fn linked(t: &Test) -> Dir {
    let apart = ["--subnet", "10.77.1.0/24", "-o", "com.docker.network.bridge.enable_icc=false"];
    network(t, "web", &apart);
    serve(t, "db", &["--net", "web", "--ip", AT, "--expose", "80", "-p", "8001:80"]);
    run(t, "app", &["--net", "web", "--link", "db:base"]);
    let id = t.inspect("db")["Id"].as_str().expect("an id").parse().expect("an id");
    let dir = Dir::new(&Home::new(&t.root()).expect("an absolute root"), &id);
    is_settled(t, &dir, 0, "at first");
    dir
}

fn status(dir: &Dir) -> Status {
    dir.state().expect("a state").status
}

/// Whether the container was up; it is stopped. `round` chooses who comes next.
#[track_caller]
fn is_settled(t: &Test, dir: &Dir, round: usize, at: &str) -> bool {
    let now = status(dir);
    assert!(matches!(now, Status::Running | Status::Exited), "{at}: {now:?}");
    let is_up = now == Status::Running;
    let is_odd = round % 2 == 1;
    if is_odd {
        // Has all rules made anew, of those who are there or on their way.
        t.coracle(["run", "--rm", "--net", "web", "busybox", "true"]).ok();
    }
    assert_eq!(is_in_rules(AT), is_up, "{at}");
    assert_eq!(line(t, "app", "base"), if is_up { AT } else { "" }, "{at}");
    t.coracle(["stop", "-t", "0", "db"]).ok();
    if !is_odd {
        let flush = Command::new("nft").args(["flush", "ruleset"]).status().expect("run nft");
        assert!(flush.success());
    }
    is_up
}

/// In the end it works as ever.
fn still_works(t: &Test, seen: [usize; 2]) {
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    t.coracle(["start", "db"]).ok();
    eventually("it serves", || page(t, "app", "base") == "db");
}

/// Starts the container as `coracle start` does, but that its monitor runs under strace.
fn start_under(dir: &Dir, root: &Path, options: &[String]) -> Child {
    let live = dir.wait_live().expect("the right to start it");
    let started = dir.update_state(|state| {
        state.want = Want::Up;
        state.status = Status::Starting;
    });
    started.expect("write the state");
    let program = crate::common::command::program().display().to_string();
    let monitor = [&program, "monitor", &root.display().to_string(), dir.id.as_str(), "start"];
    let words = ["strace", "-qq"].map(String::from).into_iter().chain(options.iter().cloned());
    let words = words.chain(monitor.map(String::from)).chain([program.clone()]);
    let words = words.map(|word| CString::new(word).expect("no NUL")).collect();
    let null = File::options().read(true).write(true).open("/dev/null").expect("open /dev/null");
    let (_frames, report) = std::io::pipe().expect("a pipe");
    let mut fds: Vec<_> = (0..3).map(|n| (FdSource::Fd(null.as_fd()), n)).collect();
    fds.push((FdSource::Fd(live.guard.as_fd()), LIVE_FD));
    let mut plan = Plan::new();
    plan.push(ChildStep::NewSession);
    plan.push(ChildStep::Descriptors(fds));
    let strace = vec![c"/usr/bin/strace".to_owned()];
    plan.push(ChildStep::Exec(Exec::new(strace, words, Variables::new(Vec::new()))));
    spawn(&plan, 0, report.as_fd(), 0).expect("start strace")
}

fn wait(child: &Child) {
    pidfd::wait(child.pidfd.as_fd()).expect("wait for strace");
}

/// The steps of a monitor until it has nothing to do but wait.
fn steps_of_monitor(t: &Test, dir: &Dir) -> Vec<Step> {
    let trace = t.path("trace");
    let child = start_under(dir, &t.root(), &["-o".into(), trace.display().to_string()]);
    eventually("it runs", || status(dir) == Status::Running);
    t.coracle(["stop", "-t", "0", "db"]).ok();
    wait(&child);
    let text = fs::read_to_string(trace).expect("read the trace");
    let until_it_waits = text.lines().take_while(|line| !line.starts_with(WAITS));
    let steps = steps_in(until_it_waits, &MORE);
    assert!(steps.len() > 60, "a start has only {} steps", steps.len());
    steps
}

#[test]
fn a_monitor_that_is_killed_while_starting_leaves_all_or_nothing() {
    let t = test!(busybox);
    if lacks_strace() {
        return;
    }
    let (dir, mut seen) = (linked(&t), [0, 0]);
    for (round, step) in steps_of_monitor(&t, &dir).into_iter().enumerate() {
        // One that has less to do this time ends when it has nothing to do but wait.
        let last = format!("inject={WAITS}:{KILL}:when=1");
        let mut options = harming(KILL, step).to_vec();
        options[1].extend([",", WAITS]);
        options.extend(["-e", &last, "-o", "/dev/null"].map(String::from));
        wait(&start_under(&dir, &t.root(), &options));
        t.coracle(["gc"]).ok();
        let at = format!("killed at {step:?}");
        seen[usize::from(is_settled(&t, &dir, round, &at))] += 1;
    }
    still_works(&t, seen);
}

#[test]
fn a_client_that_is_killed_while_starting_leaves_all_or_nothing() {
    let t = test!(busybox);
    if lacks_strace() {
        return;
    }
    let (dir, mut seen) = (linked(&t), [0, 0]);
    let trace = t.path("trace");
    t.coracle(["start", "db"]).by(&format!("strace -qq -o {} \"$@\"", trace.display())).ok();
    t.coracle(["stop", "-t", "0", "db"]).ok();
    let steps = steps_in(fs::read_to_string(trace).expect("read the trace").lines(), &MORE);
    assert!(steps.iter().any(|(call, _)| *call == "clone3"), "{steps:?}");
    for (round, step) in steps.into_iter().enumerate() {
        let words = harming(KILL, step).join(" ");
        let strace = format!("exec strace -qq -o /dev/null {words} \"$@\"");
        t.coracle(["start", "db"]).by(&strace).spawn().wait();
        t.coracle(["gc"]).ok();
        // A monitor that was made by then goes on.
        let at = format!("killed at {step:?}");
        eventually(&at, || status(&dir) != Status::Starting);
        seen[usize::from(is_settled(&t, &dir, round, &at))] += 1;
    }
    still_works(&t, seen);
}
