//! Health checks: made by the monitor, kept in the records, shown by everything that shows
//! containers, and acted upon.

use crate::common::{Test, eventually, kill};
use crate::test;
use serde_json::Value;
use std::fs;

/// A container that is well while there is a file /ok, is asked for it all the time, and writes a
/// line into its log for each check.
fn patient(t: &Test, name: &str, options: &[&str]) {
    let check = ["--health-cmd", "echo asked >/proc/1/fd/1; test -e /ok"];
    let often = ["--health-interval", "10ms", "--health-retries", "2"];
    t.script(name, &[&check[..], &often, options].concat(), "exec tail -f /dev/null");
}

fn health(t: &Test, name: &str) -> Value {
    t.inspect(name)["State"]["Health"].clone()
}

/// Waits until so many changes of that kind have been told.
fn wait_for(t: &Test, name: &str, status: &str, count: usize) {
    let filter = format!("container={name}");
    let line = ["events", "--since", "1h", "--filter", &filter, "--format", "{{.Action}}"];
    let mut events = t.coracle(line).spawn();
    for _ in 0..count {
        events.line_with(&format!("health_status: {status}"));
    }
}

fn status_column(t: &Test, name: &str) -> String {
    let filter = format!("name={name}");
    t.says(["ps", "-a", "--filter", &filter, "--format", "{{.Status}}"])
}

#[test]
fn a_container_is_starting_then_healthy_or_not_and_everything_shows_it() {
    let t = test!(busybox);
    t.script("plain", &[], "exec tail -f /dev/null");
    patient(&t, "c", &["--health-start-period", "1h", "--health-start-interval", "10ms"]);
    let shown = |filter: &str| t.says(["ps", "--filter", filter, "--format", "{{.Names}}"]);
    // Failures of the start period are none.
    t.wait_for_logs("c", "asked", 4);
    let seen = health(&t, "c");
    assert_eq!((&seen["Status"], &seen["FailingStreak"]), (&"starting".into(), &0.into()));
    assert_eq!(seen["Log"][0]["ExitCode"], 1);
    assert!(status_column(&t, "c").ends_with(" (health: starting)"));
    assert_eq!(shown("health=starting"), "c");

    t.coracle(["exec", "c", "touch", "/ok"]).ok();
    wait_for(&t, "c", "healthy", 1);
    assert_eq!(health(&t, "c")["FailingStreak"], 0);
    assert!(status_column(&t, "c").ends_with(" (healthy)"));
    assert_eq!(t.says(["inspect", "-f", "{{.State.Health.Status}}", "c"]), "healthy");
    assert_eq!((shown("health=healthy"), shown("health=none")), ("c".into(), "plain".into()));

    // After a success they count, though its start is not long ago.
    t.coracle(["exec", "c", "rm", "/ok"]).ok();
    wait_for(&t, "c", "unhealthy", 1);
    assert!(status_column(&t, "c").ends_with(" (unhealthy)"));
    let seen = health(&t, "c");
    assert!(seen["FailingStreak"].as_i64() >= Some(2));
    assert!(seen["Log"].as_array().expect("a list").len() <= 5);
    t.coracle(["exec", "c", "touch", "/ok"]).ok();
    wait_for(&t, "c", "healthy", 2);

    // What was seen last can be looked at when it is down; a new start begins anew.
    t.coracle(["stop", "-t", "0", "c"]).ok();
    assert_eq!(health(&t, "c")["Status"], "healthy");
    assert!(status_column(&t, "c").starts_with("Exited (137)"));
    assert_eq!(health(&t, "plain"), Value::Null);
    t.coracle(["inspect", "-f", "{{if .State.Health}}yes{{else}}no{{end}}", "plain"])
        .stdout("no\n")
        .ok();
}

#[test]
fn an_image_says_how_it_is_checked_and_a_container_says_otherwise() {
    let t = test!(busybox);
    t.coracle(["create", "--name", "plain", "busybox", "tail", "-f", "/dev/null"]).ok();
    let check =
        "HEALTHCHECK --interval=10ms --retries=1 CMD [\"/bin/sh\", \"-c\", \"echo $A; exit 3\"]";
    t.coracle(["commit", "-c", check, "plain", "sick"]).ok();
    // It comes through a tar.
    let saved = t.coracle(["save", "sick"]).ok().stdout;
    t.coracle(["rmi", "sick"]).ok();
    t.coracle(["load"]).stdin(saved).ok();

    t.coracle(["run", "-d", "--name", "a", "-e", "A=as told", "sick"]).ok();
    wait_for(&t, "a", "unhealthy", 1);
    let seen = health(&t, "a");
    let last = seen["Log"].as_array().and_then(|log| log.last()).expect("a check");
    assert_eq!((&last["ExitCode"], &last["Output"]), (&3.into(), &"as told\n".into()));

    t.coracle(["run", "-d", "--name", "b", "--no-healthcheck", "sick"]).ok();
    assert_eq!(health(&t, "b"), Value::Null);
    assert_eq!(t.inspect("b")["Config"]["Healthcheck"]["Test"][0], "NONE");
    // What is not said is as the image has it; and a commit keeps the whole.
    t.coracle(["create", "--name", "c", "--health-cmd", "true", "sick"]).ok();
    t.coracle(["commit", "c", "well"]).ok();
    let kept = &t.inspect("well")["Config"]["Healthcheck"];
    assert_eq!(kept["Test"], serde_json::json!(["CMD-SHELL", "true"]));
    assert_eq!((&kept["Interval"], &kept["Retries"]), (&10_000_000.into(), &1.into()));
    t.coracle(["run", "-d", "--name", "d", "well"]).ok();
    wait_for(&t, "d", "healthy", 1);
}

#[test]
fn a_check_that_hangs_keeps_nobody_waiting_and_is_killed_with_all_it_started() {
    let t = test!(busybox);
    let hang = "echo begun >/proc/1/fd/1; sleep 1000 & echo out; echo err >&2; sleep 1000";
    let run = |name: &str, limit: &str| {
        let options = ["--health-cmd", hang, "--health-interval", "10ms"];
        let options =
            [&options[..], &["--health-retries", "1", "--health-timeout", limit]].concat();
        t.script(name, &options, "exec tail -f /dev/null");
        t.wait_for_log(name, "begun");
    };
    run("c", "1h");
    t.coracle(["exec", "c", "true"]).ok();
    t.coracle(["kill", "-s", "CONT", "c"]).ok();
    t.coracle(["pause", "c"]).ok();
    t.coracle(["unpause", "c"]).ok();
    t.coracle(["stop", "-t", "0", "c"]).ok();
    // What the end of the container took along has failed nobody.
    let seen = health(&t, "c");
    assert_eq!((&seen["Status"], &seen["Log"]), (&"starting".into(), &serde_json::json!([])));

    run("d", "50ms");
    wait_for(&t, "d", "unhealthy", 1);
    let last = health(&t, "d")["Log"][0].clone();
    assert_eq!(last["ExitCode"], -1);
    assert_eq!(last["Output"], "Health check exceeded timeout (50ms): out\nerr\n");
    // The next one begins when nothing is left of this one.
    t.wait_for_logs("d", "begun", 3);
    let count = "test $(ps -o args | grep -c '^sleep 1000') -le 2";
    t.coracle(["exec", "d", "sh", "-c", &format!("until {count}; do :; done")]).ok();
}

#[test]
fn a_check_has_its_output_cut_and_one_that_cannot_be_made_has_failed() {
    let t = test!(busybox);
    let run = |name: &str, change: &str| {
        let change = format!("HEALTHCHECK --interval=10ms --retries=1 CMD {change}");
        t.coracle(["import", "-c", &change, "-", name]).stdin(crate::common::image::busybox()).ok();
        t.coracle(["run", "-d", "--name", name, "-u", "app", name, "tail", "-f", "/dev/null"]).ok();
    };
    // More than a pipe holds.
    run("long", "id -u; yes | head -c 300000; exit 1");
    wait_for(&t, "long", "unhealthy", 1);
    let last = health(&t, "long")["Log"][0].clone();
    let output = last["Output"].as_str().expect("text").to_string();
    assert!(output.starts_with("1000\ny\n") && output.ends_with("..."), "{output}");
    assert_eq!((output.len(), &last["ExitCode"]), (4099, &1.into()));

    run("none", "[\"nosuch\", \"program\"]");
    wait_for(&t, "none", "unhealthy", 1);
    let last = health(&t, "none")["Log"][0].clone();
    assert_eq!(last["ExitCode"], -1);
    assert!(last["Output"].as_str().is_some_and(|text| text.contains("\"nosuch\"")), "{last}");
}

#[test]
fn an_unhealthy_container_is_killed_stopped_or_started_again() {
    let t = test!(busybox);
    let script = "trap 'exit 5' TERM; while :; do sleep 1 & wait $!; done";
    let check = ["--health-interval", "10ms", "--health-retries", "1", "--health-on-failure"];
    let run = |name: &str, action: &str, more: &[&str]| {
        t.script(
            name,
            &[&check[..], &[action, "--health-cmd", "test -e /ok"], more].concat(),
            script,
        );
    };
    run("killed", "kill", &[]);
    t.coracle(["wait", "killed"]).stdout("137\n").ok();
    // Its policy is asked.
    run("again", "kill", &["--restart", "on-failure:1"]);
    t.wait_for_status("again", "exited");
    assert_eq!(t.inspect("again")["RestartCount"], 1);

    run("stopped", "stop", &["--restart", "always"]);
    t.coracle(["wait", "stopped"]).stdout("5\n").ok();
    t.wait_for_status("stopped", "exited");
    assert_eq!(t.inspect("stopped")["RestartCount"], 0);

    // The second of its lives is a good one.
    let check = "test -e /second || { touch /second; exit 1; }";
    t.script(
        "better",
        &[
            "--health-cmd",
            check,
            "--health-interval",
            "10ms",
            "--health-retries",
            "1",
            "--health-on-failure",
            "restart",
        ],
        script,
    );
    wait_for(&t, "better", "healthy", 1);
    assert_eq!(t.inspect("better")["State"]["ExitCode"], 0);
    assert_eq!(health(&t, "better")["FailingStreak"], 0);
    let seen = t.says([
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "--filter",
        "container=better",
        "--format",
        "{{.Action}}",
    ]);
    let seen: Vec<&str> = seen.lines().collect();
    assert_eq!(
        seen,
        ["create", "start", "health_status: unhealthy", "die", "start", "health_status: healthy"]
    );
}

#[test]
fn the_next_monitor_goes_on_from_where_the_last_one_was() {
    let t = test!(busybox);
    patient(&t, "c", &[]);
    t.coracle(["exec", "c", "touch", "/ok"]).ok();
    wait_for(&t, "c", "healthy", 1);
    kill(t.monitor("c"));
    assert_eq!(health(&t, "c")["Status"], "healthy");
    t.coracle(["run", "--rm", "busybox", "true"]).ok();
    t.coracle(["exec", "c", "rm", "/ok"]).ok();
    wait_for(&t, "c", "unhealthy", 1);
    let told = t.says([
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "--filter",
        "container=c",
        "--filter",
        "event=health_status: healthy",
    ]);
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn one_that_stands_still_is_not_asked() {
    let t = test!(busybox);
    patient(&t, "clock", &["--health-retries", "1000000"]);
    patient(&t, "c", &["--health-timeout", "500ms", "--health-retries", "1000000"]);
    t.wait_for_log("c", "asked");
    t.coracle(["pause", "c"]).ok();
    let asked = |name: &str| t.says(["logs", name]).matches("asked").count();
    let before = asked("c");
    let ticks = asked("clock");
    t.wait_for_logs("clock", "asked", ticks + 60);
    // One that was under way may have come to an end.
    assert!(asked("c") <= before + 1);
    t.coracle(["unpause", "c"]).ok();
    t.wait_for_logs("c", "asked", before + 4);
    let seen = health(&t, "c");
    let codes: Vec<i64> = seen["Log"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["ExitCode"].as_i64())
        .collect();
    assert!(codes.iter().all(|code| *code == 1), "{codes:?}");
}

#[test]
fn a_check_is_made_when_it_is_asked_for_and_counts_like_any_other() {
    let t = test!(busybox);
    let options = ["--health-interval", "1h", "--health-retries", "2", "--health-cmd"];
    t.script("c", &[&options[..], &["test -e /ok"]].concat(), "exec tail -f /dev/null");
    let run = |name: &str, code: i32, told: &str| {
        t.coracle(["healthcheck", "run", name]).code(code).stdout(told).ok();
    };
    run("c", 1, "unhealthy\n");
    let seen = health(&t, "c");
    assert_eq!((&seen["Status"], &seen["FailingStreak"]), (&"starting".into(), &1.into()));
    run("c", 1, "unhealthy\n");
    assert_eq!(health(&t, "c")["Status"], "unhealthy");
    wait_for(&t, "c", "unhealthy", 1);
    t.coracle(["exec", "c", "touch", "/ok"]).ok();
    run("c", 0, "");
    let seen = health(&t, "c");
    assert_eq!((&seen["Status"], &seen["FailingStreak"]), (&"healthy".into(), &0.into()));
    assert_eq!(seen["Log"].as_array().map(Vec::len), Some(3));

    // Without an answer it is neither.
    let refused = |name: &str, told: &str| {
        t.coracle(["healthcheck", "run", name]).code(125).stderr_has(told).ok();
    };
    t.script("plain", &[], "exec tail -f /dev/null");
    refused("plain", "container plain has no health check");
    refused("nobody", "no such container: nobody");
    t.coracle(["pause", "c"]).ok();
    refused("c", "container c is paused");
    t.coracle(["unpause", "c"]).ok();
    t.coracle(["stop", "-t", "0", "c"]).ok();
    refused("c", "container c is not running");
}

#[test]
fn whoever_asks_for_a_check_is_answered_and_none_who_goes_is_missed() {
    let t = test!(busybox);
    // It waits to be let go on.
    let check = "echo asked >/proc/1/fd/1; read x </fifo";
    let options = ["--health-interval", "1h", "--health-cmd", check];
    t.script("c", &options, "mkfifo /fifo; echo made; exec tail -f /dev/null");
    t.wait_for_log("c", "made");
    let ask = || t.coracle(["healthcheck", "run", "c"]).spawn();
    let let_go = || drop(t.coracle(["exec", "c", "sh", "-c", "echo >/fifo"]).ok());
    let mut first = ask();
    t.wait_for_logs("c", "asked", 1);
    // A check that has begun says nothing of now: there is one more for those who come later.
    let (mut second, mut gone) = (ask(), ask());
    kill(gone.pid());
    assert_eq!(gone.wait(), 137);
    let_go();
    assert_eq!(first.wait(), 0);
    t.wait_for_logs("c", "asked", 2);
    let_go();
    assert_eq!(second.wait(), 0);
    assert_eq!(health(&t, "c")["Log"].as_array().map(Vec::len), Some(2));
    // The container ends first.
    let mut last = ask();
    t.wait_for_logs("c", "asked", 3);
    t.coracle(["stop", "-t", "0", "c"]).ok();
    assert_eq!(last.wait(), 125);
    last.hears("container c ended, or lost its monitor, meanwhile");
}

/// The dead children of a process that nobody has reaped.
fn zombies(of: &str) -> usize {
    let is_one = |status: &str| {
        let has = |line: &str| status.lines().any(|l| l.split_whitespace().eq(line.split(' ')));
        has(&format!("PPid: {of}")) && has("State: Z (zombie)")
    };
    let all = fs::read_dir("/proc").expect("processes").flatten();
    let status = |dir: fs::DirEntry| fs::read_to_string(dir.path().join("status")).ok();
    all.filter_map(status).filter(|status| is_one(status)).count()
}

#[test]
fn checks_that_take_too_long_leave_no_dead_behind_them() {
    let t = test!(busybox);
    let options = ["--health-interval", "1h", "--health-timeout", "20ms", "--health-cmd"];
    // Its first process reaps nobody.
    t.script("c", &[&options[..], &["exec sleep 1000"]].concat(), "exec tail -f /dev/null");
    for _ in 0..10 {
        t.coracle(["healthcheck", "run", "c"]).code(1).stdout("unhealthy\n").ok();
    }
    let (first, monitor) = (t.pid("c").to_string(), t.monitor("c").to_string());
    eventually("all are reaped", || zombies(&first) + zombies(&monitor) == 0);
    assert_eq!(t.says(["exec", "c", "sh", "-c", "ps -o args | grep -c '^sleep' || true"]), "0");
}

#[test]
fn what_asks_for_a_check_needs_one() {
    let t = test!(busybox);
    for (options, told) in [
        (&["--health-on-failure", "kill"][..], "--health-on-failure kill needs a health check"),
        (&["--sdnotify", "healthy"], "--sdnotify healthy needs a health check"),
        (&["--health-interval", "5"], "--health-interval: \"5\" is no duration"),
        (&["--no-healthcheck", "--health-cmd", "x"], "--no-healthcheck conflicts with --health-*"),
    ] {
        let line = [&["run"], options, &["busybox", "true"]].concat();
        t.coracle(line).code(125).stderr_has(told).ok();
    }
    t.coracle(["run", "--rm", "--health-retries", "3", "busybox", "true"])
        .stderr_has("nothing is checked: neither --health-cmd nor the image says what to run")
        .ok();
    assert_eq!(t.containers().len(), 0);
    // Nothing is left of a check in the records of one without.
    t.script("c", &[], "exec tail -f /dev/null");
    assert!(fs::metadata(t.records("c").join("health.json")).is_err());
}

#[test]
fn the_example_of_a_server_that_is_asked_works() {
    let t = test!(busybox);
    let said = t.example("health");
    assert_eq!(said.matches("(healthy)").count(), 2, "{said}");
}
