//! Loggers of service directories (`log/run`), which come and go with the services that they are of:
//! the one before has gone before the next one comes.

use crate::harness::{Tree, applet, until};
use std::fs;
use std::io::Write;

/// Reads to the end of its pipe, and then waits for a line in `$E.go` before it ends.
const SLOW_LOGGER: &str =
    "echo log >$E; cat >/dev/null; echo end >$E; read x <$E.go; echo gone >$E";

#[test]
fn a_service_that_is_forgotten_comes_back_with_its_logger() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo line; echo start >$E; exec sleep 10000");
    tree.script("web/log/run", "while read x; do echo log $x >$E; done; echo end >$E; sleep 0.3");
    let cox = tree.supervise(&[]);
    let both = |tree: &mut Tree| {
        let mut got = [tree.events.next(), tree.events.next()];
        got.sort();
        assert_eq!(got, ["log line", "start"]);
    };
    both(&mut tree);
    for _ in 0..3 {
        applet(&["svc", "-x", &tree.service("web")]);
        tree.expect("end");
        both(&mut tree);
    }
    // One that is paused reads to the end all the same.
    applet(&["svc", "-p", &tree.service("web/log")]);
    applet(&["svc", "-x", &tree.service("web")]);
    tree.expect("end");
    both(&mut tree);
    assert_eq!(cox.stop(), (0, String::new()));
}

#[test]
fn a_directory_made_anew_waits_until_the_logger_of_the_old_one_has_gone() {
    let mut tree = Tree::new();
    let mut go = tree.go("go");
    for name in ["web", "../web"] {
        tree.script(&format!("{name}/run"), "echo start >$E; exec sleep 10000");
        tree.script(&format!("{name}/log/run"), SLOW_LOGGER);
    }
    let cox = tree.supervise(&[]);
    tree.expect_all(["log", "start"]);
    fs::rename(tree.services().join("web"), tree.dir.join("old")).unwrap();
    fs::rename(tree.dir.join("web"), tree.services().join("web")).unwrap();
    tree.expect("end");
    // Its writer has gone, and cox looks at what is there.
    assert_eq!(tree.ctl(&["reload"]).0, 0);
    assert_eq!(tree.names(), ["web/log"]);
    go.write_all(b"\n").unwrap();
    tree.expect("gone");
    tree.expect_all(["log", "start"]);
    drop(cox);
}

#[test]
fn a_logger_taken_away_and_put_back_is_not_started_beside_itself() {
    for again in ["old", "other"] {
        let mut tree = Tree::new();
        let mut go = tree.go("go");
        tree.script("web/run", "echo start >$E; exec sleep 10000");
        tree.script("web/log/run", SLOW_LOGGER);
        tree.script("../other/run", SLOW_LOGGER);
        let cox = tree.supervise(&[]);
        tree.expect_all(["log", "start"]);
        let log = tree.services().join("web/log");
        fs::rename(&log, tree.dir.join("old")).unwrap();
        applet(&["svc", "-t", &tree.service("web")]);
        tree.expect_all(["end", "start"]);
        fs::rename(tree.dir.join(again), &log).unwrap();
        applet(&["svc", "-t", &tree.service("web")]);
        tree.expect("start");
        assert_eq!(tree.names(), ["web", "web/log"]);
        go.write_all(b"\n").unwrap();
        tree.expect("gone");
        until(|| tree.names() == ["web"]);
        applet(&["svc", "-t", &tree.service("web")]);
        tree.expect_all(["log", "start"]);
        drop(cox);
    }
}
