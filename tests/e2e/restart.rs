//! `--restart`: the policy, its limits, and who may overrule it.

use crate::common::kill;
use crate::test;

#[test]
fn always_starts_again_whatever_the_code() {
    let t = test!(busybox);
    t.script("c", &["--restart", "always"], "echo up; exec sleep 1000");
    for runs in 1..3 {
        t.wait_for_logs("c", "up", runs);
        kill(t.pid("c"));
    }
    t.wait_for_logs("c", "up", 3);
    assert_eq!(t.inspect("c")["RestartCount"], 2);
}

#[test]
fn on_failure_gives_up_after_its_count() {
    let t = test!(busybox);
    let policy = "on-failure:2";
    t.coracle([
        "run",
        "-d",
        "--restart",
        policy,
        "--name",
        "c",
        "busybox",
        "sh",
        "-c",
        "echo try; exit 3",
    ])
    .ok();
    // The first run and two more.
    t.wait_for_status("c", "exited");
    t.coracle(["wait", "c"]).stdout("3\n").ok();
    assert_eq!(t.says(["logs", "c"]), "try\ntry\ntry");
    assert_eq!(t.inspect("c")["RestartCount"], 2);
}

#[test]
fn on_failure_lets_a_success_be() {
    let t = test!(busybox);
    t.coracle(["run", "-d", "--restart", "on-failure", "--name", "c", "busybox", "true"]).ok();
    t.coracle(["wait", "c"]).stdout("0\n").ok();
    assert_eq!(t.inspect("c")["RestartCount"], 0);
}

#[test]
fn stop_is_stronger_than_the_policy() {
    let t = test!(busybox);
    for policy in ["always", "unless-stopped"] {
        t.coracle(["run", "-d", "--restart", policy, "--name", policy, "busybox", "sleep", "1000"])
            .ok();
        t.coracle(["stop", "-t", "0", policy]).ok();
        assert_eq!(t.status(policy), "exited");
    }
}

#[test]
fn stop_reaches_a_container_that_waits_for_its_next_try() {
    let t = test!(busybox);
    t.coracle(["run", "-d", "--restart", "always", "--name", "c", "busybox", "false"]).ok();
    t.coracle(["stop", "c"]).stdout("c\n").ok();
    assert_eq!(t.status("c"), "exited");
    t.coracle(["rm", "c"]).stdout("c\n").ok();
}

#[test]
fn a_restarted_container_can_be_removed_by_force() {
    let t = test!(busybox);
    t.coracle(["run", "-d", "--restart", "always", "--name", "c", "busybox", "false"]).ok();
    t.coracle(["rm", "-f", "c"]).stdout("c\n").ok();
    assert!(t.containers().is_empty());
}

#[test]
fn rm_and_a_policy_exclude_each_other() {
    let t = test!(busybox);
    t.coracle(["run", "--rm", "--restart", "always", "busybox", "true"])
        .code(125)
        .stderr_has("--rm")
        .ok();
}

#[test]
fn a_restart_asked_for_during_the_back_off_comes_at_once() {
    let t = test!(busybox);
    t.script("c", &["--restart", "always"], "test -e /stay && exec sleep 1000; exit 3");
    t.wait_for_status("c", "restarting");
    let upper = t.records("c").join("upper");
    std::fs::write(upper.join("stay"), "").expect("write into the container");
    t.coracle(["restart", "c"]).ok();
    assert_eq!(t.status("c"), "running");
    assert_eq!(t.inspect("c")["RestartCount"], 0);
}
