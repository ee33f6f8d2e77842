//! cox as PID 1 of a container: the supervised multi-service image.

use crate::common::{Test, image, kill};
use crate::test;
use coracle::types::Pid;
use std::fs;
use std::path::PathBuf;

/// The static cox; a dynamic one would not run in an image of busybox.
fn cox() -> Option<Vec<u8>> {
    let built = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("dist/cox");
    let path = std::env::var_os("COX_BIN").map_or(built, PathBuf::from);
    fs::read(path).ok()
}

/// Imports an image whose PID 1 is cox over the given service directories: (path, script).
fn services(t: &Test, cox: &[u8], files: &[(&str, &str)]) {
    let mut layer = image::busybox_root();
    layer.file("sbin/cox", 0o755, cox);
    for applet in ["svc", "svstat", "svok", "svscan", "tini"] {
        layer.link(&format!("sbin/{applet}"), "cox");
    }
    layer.dir("etc/services", 0o755);
    let mut made = vec![String::new()];
    for (path, script) in files {
        let parts: Vec<_> = path.split('/').collect();
        for depth in 1..parts.len() {
            let dir = parts[..depth].join("/");
            if !made.contains(&dir) {
                layer.dir(&format!("etc/services/{dir}"), 0o755);
                made.push(dir);
            }
        }
        layer.file(
            &format!("etc/services/{path}"),
            0o755,
            format!("#!/bin/sh\n{script}\n").as_bytes(),
        );
    }
    t.coracle([
        "import",
        "--change",
        "ENTRYPOINT [\"/sbin/cox\"]",
        "--change",
        "CMD [\"/etc/services\"]",
        "-",
        "crew",
    ])
    .stdin(layer.tar())
    .ok();
}

macro_rules! cox_or_skip {
    () => {
        match cox() {
            Some(cox) => cox,
            None => return crate::common::skipped("needs a static cox: make dist"),
        }
    };
}

/// The pid that svstat shows, in the container's own numbers.
fn service_pid(t: &Test, name: &str) -> Option<i32> {
    let text =
        t.coracle(["exec", "c", "svstat", &format!("/etc/services/{name}")]).ok().stdout_text();
    text.split_once("(pid ")?.1.split(')').next()?.parse().ok()
}

#[test]
fn several_services_run_and_a_killed_one_is_back_at_once() {
    let t = test!();
    let cox = cox_or_skip!();
    services(
        &t,
        &cox,
        &[
            ("one/run", "echo one is up; exec sleep 1000"),
            ("two/run", "echo two is up; exec sleep 1000"),
        ],
    );
    t.coracle(["run", "-d", "--name", "c", "crew"]).ok();
    t.wait_for_log("c", "one is up");
    t.wait_for_log("c", "two is up");
    let old = service_pid(&t, "one").expect("one is up");
    t.coracle(["exec", "c", "kill", "-9", &old.to_string()]).ok();
    let mut logs = t.coracle(["logs", "-f", "c"]).spawn();
    logs.line_with("one is up");
    logs.line_with("one is up");
    assert_ne!(service_pid(&t, "one"), Some(old));
    t.coracle(["stop", "c"]).ok();
    assert_eq!(t.inspect("c")["State"]["ExitCode"], 0);
}

#[test]
fn svc_takes_a_service_down_and_up() {
    let t = test!();
    let cox = cox_or_skip!();
    services(&t, &cox, &[("one/run", "echo up; exec sleep 1000")]);
    t.coracle(["run", "-d", "--name", "c", "crew"]).ok();
    t.wait_for_log("c", "up");
    t.coracle(["exec", "c", "svok", "/etc/services/one"]).ok();
    t.coracle(["exec", "c", "svc", "-d", "/etc/services/one"]).ok();
    let down = "until svstat /etc/services/one | grep -q ': down'; do :; done";
    t.coracle(["exec", "c", "sh", "-c", down]).ok();
    t.coracle(["exec", "c", "svc", "-u", "/etc/services/one"]).ok();
    let up = "until svstat /etc/services/one | grep -q ': up'; do :; done";
    t.coracle(["exec", "c", "sh", "-c", up]).ok();
}

#[test]
fn a_service_with_a_logger_keeps_its_pipe() {
    let t = test!();
    let cox = cox_or_skip!();
    services(
        &t,
        &cox,
        &[
            ("one/run", "echo said; exec sleep 1000"),
            ("one/log/run", "while read line; do echo \"logged: $line\"; done"),
        ],
    );
    t.coracle(["run", "-d", "--name", "c", "crew"]).ok();
    t.wait_for_log("c", "logged: said");
    t.coracle(["stop", "c"]).ok();
    assert_eq!(t.says(["logs", "c"]), "logged: said");
}

#[test]
fn cox_in_front_of_a_command_is_a_tiny_init() {
    let t = test!();
    let cox = cox_or_skip!();
    services(&t, &cox, &[]);
    let run = |script: &str, code: i32| {
        t.coracle(["run", "--rm", "--entrypoint", "/sbin/cox", "crew", "--", "sh", "-c", script])
            .code(code)
    };
    run("echo hi; exit 7", 7).stdout("hi\n").ok();
    run("kill -15 $$", 143).ok();
    // Orphans are reaped: none is left when the command ends after them.
    let orphans = "for i in 1 2 3 4 5; do (sleep 0 &) ; done; \
        while ps -o stat,comm | grep -v grep | grep -q '^Z'; do :; done; echo reaped";
    run(orphans, 0).stdout("reaped\n").ok();
    t.coracle(["run", "--rm", "--entrypoint", "/sbin/cox", "crew", "--", "nope"])
        .code(127)
        .any_stderr()
        .ok();
}

#[test]
fn a_service_that_ignores_term_does_not_hold_up_the_stop() {
    let t = test!();
    let cox = cox_or_skip!();
    services(&t, &cox, &[("deaf/run", "trap '' TERM; echo up; while :; do sleep 1; done")]);
    t.coracle(["run", "-d", "--name", "c", "crew"]).ok();
    t.wait_for_log("c", "up");
    // cox escalates before the engine does: the container's code is cox's own.
    t.coracle(["stop", "-t", "20", "c"]).ok();
    assert_eq!(t.inspect("c")["State"]["ExitCode"], 0);
}

#[test]
fn killing_cox_ends_the_container() {
    let t = test!();
    let cox = cox_or_skip!();
    services(&t, &cox, &[("one/run", "echo up; exec sleep 1000")]);
    t.coracle(["run", "-d", "--name", "c", "crew"]).ok();
    t.wait_for_log("c", "up");
    let pid: Pid = t.pid("c");
    kill(pid);
    t.coracle(["wait", "c"]).stdout("137\n").ok();
}
