//! The ordered stop.

use crate::harness::Tree;
use coracle::types::Signal;

#[test]
fn writers_end_first_and_loggers_by_end_of_file() {
    let mut tree = Tree::new();
    tree.script(
        "web/run",
        "trap 'echo last words; echo web ended >$E; exit' TERM; echo ready >$E; sleep 10000 & wait",
    );
    tree.script(
        "web/log/run",
        "trap 'echo logger got TERM >$E' TERM
        while read -r line; do echo \"logged $line\" >$E; done; echo logger ended >$E",
    );
    let cox = tree.supervise(&[]);
    tree.expect("ready");
    cox.signal(Signal::TERM);
    let mut seen = [tree.events.next(), tree.events.next()];
    seen.sort_unstable();
    assert_eq!(seen, ["logged last words", "web ended"]);
    tree.expect("logger ended");
    assert_eq!(cox.wait(), (0, String::new()));
}

#[test]
fn each_stop_signal_stops() {
    for signal in ["TERM", "INT", "QUIT", "PWR", "RTMIN+3"] {
        let mut tree = Tree::new();
        tree.script("web/run", "echo ready >$E; exec sleep 10000");
        let cox = tree.supervise(&[]);
        tree.expect("ready");
        cox.signal(signal.parse().unwrap());
        assert_eq!(cox.wait(), (0, String::new()), "{signal}");
    }
}

#[test]
fn a_paused_service_is_continued_to_hear_term() {
    let mut tree = Tree::new();
    tree.script("web/run", "trap 'echo heard >$E; exit' TERM; echo ready >$E; sleep 10000 & wait");
    let cox = tree.supervise(&["--stop-timeout", "600"]);
    tree.expect("ready");
    crate::harness::applet(&["svc", "-p", &tree.service("web")]);
    assert_eq!(cox.stop().0, 0);
    tree.expect("heard");
}

#[test]
fn a_deaf_service_is_killed_group_and_all() {
    let mut tree = Tree::new();
    tree.script("web/run", "trap '' TERM; sleep 10000 & echo ready >$E; wait; wait; sleep 10000");
    let cox = tree.supervise(&["--stop-timeout=0.2"]);
    tree.expect("ready");
    assert_eq!(cox.stop(), (0, String::new()));
}

#[test]
fn a_deaf_service_with_a_limit_of_its_own_is_killed_then() {
    let mut tree = Tree::new();
    tree.script("web/run", "trap '' TERM; echo ready >$E; sleep 10000; sleep 10000");
    tree.file("web/timeout-kill", "50");
    let cox = tree.supervise(&["--stop-timeout=600"]);
    tree.expect("ready");
    assert_eq!(cox.stop(), (0, String::new()));
}

#[test]
fn a_deaf_logger_holds_nothing_up_for_longer_than_the_limit() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo ready >$E; exec sleep 10000");
    tree.script(
        "web/log/run",
        "trap 'echo logger got TERM >$E' TERM; while :; do sleep 10000; done",
    );
    let cox = tree.supervise(&["--stop-timeout=0.4"]);
    tree.expect("ready");
    assert_eq!(cox.stop(), (0, String::new()));
}

#[test]
fn asked_twice_it_kills_at_once() {
    let mut tree = Tree::new();
    tree.script(
        "web/run",
        "trap 'echo deaf >$E' TERM; sleep 10000 & echo ready >$E; while :; do wait; done",
    );
    tree.script("web/log/run", "exec cat >/dev/null");
    let cox = tree.supervise(&["--stop-timeout=600"]);
    tree.expect("ready");
    cox.signal(Signal::TERM);
    tree.expect("deaf");
    cox.signal(Signal::TERM);
    assert_eq!(cox.wait(), (0, String::new()));
}

#[test]
fn strangers_are_told_to_stop_and_waited_for() {
    let mut tree = Tree::new();
    tree.script(
        "web/daemon",
        "trap 'echo stranger ended >$E; exit' TERM; nap; echo stranger >$E; wait",
    );
    // In a session of its own, and orphaned: not in the service's group.
    tree.script("web/run", "(setsid ./daemon &); exec sleep 10000");
    let cox = tree.supervise(&["--stop-timeout=600"]);
    tree.expect("stranger");
    cox.signal(Signal::TERM);
    tree.expect("stranger ended");
    assert_eq!(cox.wait(), (0, String::new()));
}

#[test]
fn finish_runs_in_a_stop_too() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo ready >$E; exec sleep 10000");
    tree.script("web/finish", "echo finish $1 $2 >$E");
    let cox = tree.supervise(&[]);
    tree.expect("ready");
    cox.signal(Signal::TERM);
    tree.expect("finish -1 15");
    assert_eq!(cox.wait(), (0, String::new()));
}

#[test]
fn a_service_in_back_off_stays_down() {
    let tree = Tree::new();
    tree.script("web/run", "exit 1");
    let mut cox = tree.supervise(&[]);
    cox.stderr.after("cox: web: exited with code 1; start 4 in ");
    assert_eq!(cox.stop().0, 0);
}
