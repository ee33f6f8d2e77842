//! `pause` and `unpause`: what stands still, for how long, and what others make of it.

use crate::common::{Test, eventually, kill};
use crate::test;
use coracle::types::Signal;
use std::fs;
use std::time::Duration;

const COUNT: &str = "trap 'exit 5' TERM; trap 'echo usr1' USR1; n=0; echo ready; \
                     while :; do n=$((n+1)); echo $n >/n; done";

/// A container that counts in its file /n, as fast as it can.
fn counter(t: &Test, options: &[&str]) {
    t.script("c", options, COUNT);
    t.wait_for_log("c", "ready");
}

/// What the kernel says of its processes.
fn is_frozen(t: &Test) -> bool {
    let pid = t.pid("c");
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("its cgroups");
    let v1 = text.lines().find_map(|line| line.split_once(":freezer:"));
    let file = match v1 {
        Some((_, path)) => format!("/sys/fs/cgroup/freezer{path}/freezer.state"),
        None => {
            let path = text.lines().find_map(|l| l.strip_prefix("0::")).expect("a unified group");
            format!("/sys/fs/cgroup{path}/cgroup.freeze")
        }
    };
    let state = fs::read_to_string(file).expect("its state");
    ["FROZEN", "1"].contains(&state.trim())
}

#[test]
fn a_paused_container_stands_still_until_it_is_unpaused() {
    let t = test!(busybox);
    counter(&t, &[]);
    t.coracle(["pause", "c"]).stdout("c\n").ok();
    assert!(is_frozen(&t));
    let state = t.inspect("c")["State"].clone();
    assert_eq!(state["Status"], "paused");
    assert_eq!((&state["Paused"], &state["Running"]), (&true.into(), &true.into()));
    assert!(t.says(["ps", "--format", "{{.Status}}"]).ends_with(" (Paused)"));
    assert_eq!(t.says(["ps", "--filter", "status=paused", "--format", "{{.Names}}"]), "c");
    assert_eq!(t.says(["ps", "-q", "--filter", "status=running"]), "");

    t.coracle(["pause", "c"]).code(1).stderr_has("c is already paused").ok();
    let refused = "container c is paused, unpause the container before exec";
    t.coracle(["exec", "c", "true"]).code(1).stderr_has(refused).ok();
    t.coracle(["attach", "c"]).code(1).stderr_has("is paused").ok();
    t.coracle(["start", "c"]).code(1).stderr_has("try unpause instead").ok();
    t.coracle(["rm", "c"]).code(1).stderr_has("is paused and must be unpaused first").ok();
    // Looking needs nobody to move.
    t.coracle(["logs", "c"]).stdout("ready\n").ok();
    assert_eq!(t.says(["top", "c"]).lines().count(), 2);
    assert_eq!(t.says(["stats", "--no-stream", "--format", "{{.PIDs}}", "c"]), "1");
    // Who holds it for a while lets it stand still.
    t.coracle(["commit", "c", "copy"]).ok();
    assert!(is_frozen(&t));

    let mut wait = t.coracle(["wait", "c"]).spawn();
    t.coracle(["unpause", "c"]).stdout("c\n").ok();
    assert!(!is_frozen(&t) && t.status("c") == "running");
    t.coracle(["exec", "c", "true"]).ok();
    t.coracle(["unpause", "c"]).code(1).stderr_has("c is not paused").ok();
    t.coracle(["stop", "c"]).ok();
    wait.line_with("5");
    t.coracle(["pause", "c"]).code(1).stderr_has("container c is not running").ok();
    t.coracle(["unpause", "c"]).code(1).stderr_has("container c is not running").ok();
    t.coracle(["rmi", "-f", "copy"]).ok();
}

#[test]
fn a_paused_container_takes_the_signals_that_end_it() {
    let t = test!(busybox);
    counter(&t, &[]);
    t.coracle(["pause", "c"]).ok();
    // It hears of the signal, and has its time to act.
    t.coracle(["stop", "c"]).ok();
    assert_eq!(t.inspect("c")["State"]["ExitCode"], 5);
    assert_eq!(t.inspect("c")["State"]["Paused"], false);

    for verb in [&["kill", "c"][..], &["stop", "-t", "0", "c"], &["restart", "-t", "0", "c"]] {
        t.coracle(["start", "c"]).ok();
        t.coracle(["pause", "c"]).ok();
        t.coracle(verb).ok();
        assert_eq!(t.inspect("c")["State"]["Paused"], false, "{verb:?}");
    }
    t.coracle(["pause", "c"]).ok();
    t.coracle(["kill", "-s", "USR1", "c"]).ok();
    assert_eq!(t.status("c"), "running");
    t.wait_for_log("c", "usr1");
    t.coracle(["pause", "c"]).ok();
    t.coracle(["rm", "-f", "c"]).ok();
    assert!(t.containers().is_empty());
}

#[test]
fn it_stays_paused_when_its_monitor_dies_and_is_replaced() {
    let t = test!(busybox);
    counter(&t, &[]);
    t.coracle(["pause", "c"]).ok();
    let old = t.monitor("c");
    kill(old);
    assert!(is_frozen(&t) && t.status("c") == "paused");
    // A mutating command has it adopted.
    t.coracle(["run", "--rm", "--net=none", "busybox", "true"]).ok();
    eventually("somebody stands by it", || t.inspect("c")["State"]["Monitored"] == true);
    assert!(is_frozen(&t) && t.status("c") == "paused");
    t.coracle(["unpause", "c"]).ok();
    assert!(!is_frozen(&t) && t.status("c") == "running");
}

#[test]
fn whoever_pauses_and_is_killed_leaves_it_running_or_paused() {
    let t = test!(busybox);
    counter(&t, &["--net=none"]);
    for steps in 0..12 {
        for verb in ["pause", "unpause"] {
            let mut one = t.coracle([verb, "c"]).spawn();
            // As far as it comes.
            one.ends_within(Duration::from_millis(steps));
            one.signal(Signal::KILL);
            one.wait();
            // Its monitor has seen its end, when it answers.
            let paused = || t.status("c") == "paused";
            eventually("what is said is so", || is_frozen(&t) == paused());
        }
    }
    let paused = t.status("c") == "paused";
    t.coracle([if paused { "unpause" } else { "pause" }, "c"]).ok();
    assert_eq!(is_frozen(&t), !paused);
}
