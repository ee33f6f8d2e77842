//! The monitor: what it costs, and what happens when it dies.

use crate::common::{LIMIT, Test, kill, wait_ended};
use crate::test;
use coracle::types::Signal;
use std::fs;
use std::time::{Duration, Instant};

#[test]
fn a_container_survives_its_monitor_and_is_adopted() {
    let t = test!(busybox);
    let script = "trap 'echo on; ' USR1; trap 'exit 4' TERM; echo ready; while :; do sleep 1 & wait $!; done";
    t.script("c", &[], script);
    t.wait_for_log("c", "ready");
    let pid = t.pid("c");
    kill(t.monitor("c"));
    // Readers only report.
    assert_eq!(t.status("c"), "running");
    // A mutating command starts an adopter; the log goes on, and the exit is recorded.
    t.coracle(["kill", "-s", "USR1", "c"]).ok();
    assert_eq!(t.pid("c"), pid);
    t.wait_for_log("c", "on");
    t.coracle(["stop", "c"]).ok();
    assert_eq!(t.status("c"), "exited");
    // Where the kernel tells it to a stranger, the code is the true one.
    let code = t.inspect("c")["State"]["ExitCode"].as_i64();
    assert!(matches!(code, Some(4 | 137)), "{code:?}");
}

#[test]
fn what_was_written_between_two_monitors_is_not_lost() {
    let t = test!(busybox);
    let script = "mkfifo /go; echo 1; cat /go; echo 2; echo 3 >&2; echo done >/said; sleep 1000";
    t.script("c", &[], script);
    t.wait_for_log("c", "1");
    // exec does not need the monitor, and is no reason to adopt until it has ended.
    let monitor = t.monitor("c");
    t.coracle(["exec", "c", "sh", "-c", "until test -p /go; do :; done"]).ok();
    kill(monitor);
    t.coracle(["exec", "c", "sh", "-c", "echo >/go; until test -e /said; do :; done"]).ok();
    t.coracle(["stop", "-t", "0", "c"]).ok();
    t.coracle(["logs", "c"]).stdout("1\n\n2\n").stderr("3\n").ok();
}

#[test]
fn a_container_that_dies_without_a_monitor_is_found_by_the_next_command() {
    let t = test!(busybox);
    t.coracle(["run", "-d", "--name", "c", "busybox", "sleep", "1000"]).ok();
    let pid = t.pid("c");
    kill(t.monitor("c"));
    kill(pid);
    wait_ended(pid);
    assert_eq!(t.status("c"), "exited");
    t.coracle(["run", "--rm", "busybox", "true"]).ok();
    assert_eq!(t.inspect("c")["State"]["ExitCode"], 137);
    t.coracle(["start", "c"]).ok();
    assert_eq!(t.status("c"), "running");
}

#[test]
fn an_idle_monitor_costs_little_and_does_not_wake_up() {
    let t = test!(busybox);
    // What they share, the pages of the program, is a part of each one's share.
    let names: Vec<String> = (0..10).map(|n| format!("c{n}")).collect();
    for name in &names {
        t.coracle(["run", "-d", "--net=none", "--name", name, "busybox", "sleep", "1000"]).ok();
    }
    let monitors: Vec<_> = names.iter().map(|name| t.monitor(name)).collect();
    let sum = |file: &str, key: &str| -> u64 {
        let read = |pid| fs::read_to_string(format!("/proc/{pid}/{file}")).expect("it lives");
        monitors.iter().map(|pid| number(&read(pid), key)).sum()
    };
    let pss = sum("smaps_rollup", "Pss:") / 10;
    assert!(pss <= 400, "a monitor's PSS is {pss} kB");

    // The last to start may be on its way to its first sleep.
    let began = Instant::now();
    for pid in &monitors {
        let status = || fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
        while !status().contains("State:\tS") {
            assert!(began.elapsed() < LIMIT, "{pid} does not go to sleep");
        }
    }
    let before = sum("status", "voluntary_ctxt_switches:");
    let mut wait = t.coracle(["wait", "c0"]).spawn();
    assert!(!wait.ends_within(Duration::from_millis(500)));
    // For the client of `wait` that came: its connection, its greeting, its having read ours.
    let woken = sum("status", "voluntary_ctxt_switches:") - before;
    assert!(woken <= 4, "{woken} wake-ups");
    t.coracle(["kill", "c0"]).ok();
    assert_eq!(wait.wait(), 0);
}

fn number(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|l| l.strip_prefix(key)).expect("the key is there");
    line.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number")
}

#[test]
fn the_monitor_shows_which_container_it_serves() {
    let t = test!(busybox);
    let id = t.says(["run", "-d", "--name", "c", "busybox", "sleep", "1000"]);
    let line = fs::read(format!("/proc/{}/cmdline", t.monitor("c"))).expect("it lives");
    assert!(String::from_utf8_lossy(&line).contains(&id[..12]));
}

/// Waits until a process of the container `c` can write no more.
fn until_blocked(t: &Test) {
    let script = "until grep -q pipe_write /proc/[0-9]*/wchan 2>/dev/null; do :; done";
    t.coracle(["exec", "c", "sh", "-c", script]).ok();
}

#[test]
fn on_a_full_disk_the_container_waits_and_nothing_is_lost() {
    let t = test!(busybox);
    let script = "mkfifo /go; echo ready; cat /go; head -c 2000000 /dev/zero | tr '\\0' x; echo; echo end; exit 3";
    t.script("c", &[], script);
    t.wait_for_log("c", "ready");
    let disk = t.fill_disk();
    t.coracle(["exec", "c", "sh", "-c", "echo >/go"]).ok();
    // The first thing that a full disk keeps from the log is the container's next line.
    until_blocked(&t);
    // The disk being full, everything goes on but writing.
    t.coracle(["ps"]).stdout_has("c").ok();
    drop(disk);
    t.coracle(["wait", "c"]).stdout("3\n").ok();
    let log = t.coracle(["logs", "c"]).ok().stdout;
    assert_eq!(log.len(), "ready\n".len() + 1 + 2_000_000 + "\nend\n".len());
}

#[test]
fn on_a_full_disk_a_container_is_stopped_recorded_and_removed() {
    let t = test!(busybox);
    t.script("c", &[], "trap 'exit 9' TERM; echo ready; while :; do sleep 1000 & wait $!; done");
    t.wait_for_log("c", "ready");
    let _disk = t.fill_disk();
    t.coracle(["stop", "c"]).ok();
    let state = t.inspect("c")["State"].clone();
    assert_eq!((state["Status"].as_str(), state["ExitCode"].as_i64()), (Some("exited"), Some(9)));
    t.coracle(["rm", "c"]).ok();
    assert!(t.containers().is_empty());
}

#[test]
fn what_fails_before_the_monitor_can_be_reached_is_told() {
    let t = test!(busybox);
    t.coracle(["create", "--name", "c", "busybox", "true"]).ok();
    let run = t.run_dir("c");
    fs::create_dir_all(run.parent().expect("a parent")).expect("make the run directory");
    fs::write(&run, "in the way").expect("write a file");
    t.coracle(["start", "c"]).code(1).stderr_has(&run.display().to_string()).ok();
    let state = t.inspect("c")["State"].clone();
    assert_eq!(state["Status"], "exited");
    assert!(state["Error"].as_str().is_some_and(|e| e.contains("remove")), "{state}");
    fs::remove_file(&run).expect("remove it");
    t.coracle(["start", "-a", "c"]).ok();
}

#[test]
fn on_a_full_disk_a_container_without_a_monitor_is_adopted_and_removed() {
    let t = test!(busybox);
    // Its records are of such lengths that the last one fits the disk in part only.
    t.script("c", &[], "mkfifo /go; echo ready; cat /go; yes 0123456789");
    t.wait_for_log("c", "ready");
    let _disk = t.fill_disk();
    t.coracle(["exec", "c", "sh", "-c", "echo >/go"]).ok();
    until_blocked(&t);
    kill(t.monitor("c"));
    t.coracle(["stop", "-t", "0", "c"]).ok();
    assert_eq!(t.status("c"), "exited");
    t.coracle(["rm", "c"]).ok();
}

#[test]
fn a_client_outlives_the_container_and_its_monitor_and_tells_what_it_can() {
    let t = test!(busybox);
    let mut run = t
        .coracle(["run", "--rm", "--name", "c", "busybox", "sh", "-c", "echo said; sleep 1000"])
        .spawn();
    run.line_with("said");
    let (pid, monitor) = (t.pid("c"), t.monitor("c"));
    run.signal(Signal::STOP);
    kill(monitor);
    kill(pid);
    wait_ended(pid);
    // Somebody else's command removes it.
    t.coracle(["run", "--rm", "busybox", "true"]).ok();
    assert!(t.containers().is_empty());
    run.signal(Signal::CONT);
    assert_eq!(run.wait(), 137);
    assert!(run.rest_of_stderr().is_empty());
}

#[test]
fn stdin_that_has_ended_stays_ended_under_the_next_monitor() {
    let t = test!(busybox);
    let script = "echo ready; until test -e /go; do sleep 0.01; done; cat; echo end";
    let mut run = t.coracle(["run", "-i", "--name", "c", "busybox", "sh", "-c", script]).spawn();
    run.line_with("ready");
    run.write("typed\n");
    drop(run.stdin.take());
    // The monitor has it all: what comes after is behind it.
    t.coracle(["exec", "c", "true"]).ok();
    kill(t.monitor("c"));
    t.coracle(["run", "--rm", "busybox", "true"]).ok();
    t.coracle(["exec", "c", "touch", "/go"]).ok();
    run.line_with("end");
    assert_eq!(run.wait(), 0);
}
