//! From created to removed: ps, stop, kill, start, restart, rm, wait, inspect, top, and names.

use crate::common::wait_ended;
use crate::test;
use std::time::{Duration, Instant};

#[test]
fn ps_shows_the_running_and_with_a_all() {
    let t = test!(busybox);
    let id = t.says(["run", "-d", "--name", "up", "busybox", "sleep", "1000"]);
    t.coracle(["run", "--name", "gone", "busybox", "sh", "-c", "exit 3"]).code(3).ok();

    let running = t.says(["ps"]);
    let lines: Vec<_> = running.lines().collect();
    assert_eq!(lines.len(), 2, "{running}");
    for title in ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"] {
        assert!(lines[0].contains(title), "{running}");
    }
    assert!(lines[1].starts_with(&id[..12]) && !lines[1].contains(&id), "{running}");
    assert!(lines[1].contains("busybox") && lines[1].contains("\"sleep 1000\""), "{running}");
    assert!(lines[1].contains("Up ") && lines[1].ends_with("up"), "{running}");

    let all = t.says(["ps", "-a"]);
    assert_eq!(all.lines().count(), 3, "{all}");
    assert!(all.contains("Exited (3)"), "{all}");

    assert_eq!(t.says(["ps", "-q"]), id[..12]);
    assert_eq!(t.says(["ps", "-q", "--no-trunc"]), id);
}

#[test]
fn stop_asks_first_and_the_exit_code_is_kept() {
    let t = test!(busybox);
    let script = "trap 'exit 7' TERM; echo ready; while :; do sleep 1 & wait $!; done";
    t.script("c", &[], script);
    t.wait_for_log("c", "ready");
    t.coracle(["stop", "c"]).stdout("c\n").ok();
    assert_eq!(t.status("c"), "exited");
    assert_eq!(t.inspect("c")["State"]["ExitCode"], 7);
    t.coracle(["wait", "c"]).stdout("7\n").ok();
}

#[test]
fn stop_kills_what_does_not_listen_after_its_time() {
    let t = test!(busybox);
    t.script("c", &[], "trap '' TERM; sleep 1000");
    let began = Instant::now();
    t.coracle(["stop", "-t", "1", "c"]).stdout("c\n").ok();
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(5), "{took:?}");
    assert_eq!(t.inspect("c")["State"]["ExitCode"], 137);
    // Stopping the stopped is no error.
    t.coracle(["stop", "c"]).stdout("c\n").ok();
}

#[test]
fn stop_and_restart_send_the_signal_asked_for() {
    let t = test!(busybox);
    let script = "trap 'echo hup; exit 3' HUP; echo ready; while :; do sleep 1 & wait $!; done";
    t.script("c", &[], script);
    t.wait_for_log("c", "ready");
    t.coracle(["restart", "-s", "HUP", "c"]).ok();
    t.wait_for_log("c", "hup");
    t.wait_for_logs("c", "ready", 2);
    t.coracle(["stop", "--signal", "1", "c"]).ok();
    assert_eq!(t.inspect("c")["State"]["ExitCode"], 3);
    t.coracle(["stop", "-s", "NOSUCH", "c"]).code(125).stderr_has("--signal").ok();
}

#[test]
fn stopping_pid_1_ends_every_process_of_the_container() {
    let t = test!(busybox);
    let script = "sleep 1000 & setsid sleep 1000 & echo ready; exec sleep 1000";
    t.script("c", &[], script);
    t.wait_for_log("c", "ready");
    let top = t.says(["top", "c"]);
    assert_eq!(top.lines().count(), 1 + 3, "{top}");
    t.coracle(["stop", "-t", "0", "c"]).ok();
    t.coracle(["top", "c"]).code(1).stderr_has("not running").ok();
}

#[test]
fn top_takes_the_options_of_ps() {
    let t = test!(busybox);
    t.script("c", &[], "sleep 1000 & echo ready; wait");
    t.wait_for_log("c", "ready");
    for (line, titles, command) in [
        ("-eo pid,comm", "PID COMMAND", "sleep"),
        ("-o pid,ppid,args -e", "PID PPID COMMAND", "sleep 1000"),
        ("-ef", "UID PID PPID C STIME TTY TIME CMD", "sleep 1000"),
        ("aux", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND", "sleep 1000"),
    ] {
        let top = t.says(["top", "c"].into_iter().chain(line.split(' ')));
        let lines: Vec<&str> = top.lines().collect();
        assert_eq!(lines.len(), 3, "{top}");
        assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>().join(" "), titles);
        assert!(lines.iter().any(|line| line.ends_with(command)), "{top}");
        // Without a ps on the host it is told too, but for columns that we have not got.
        let own = t.coracle(["top", "c"].into_iter().chain(line.split(' ')));
        let own = own.env("PATH", "/nowhere").ok().stdout_text();
        assert_eq!(own.lines().count(), 3, "{own}");
    }
    t.coracle(["top", "c", "-o", "comm"]).code(1).stderr_has("do not tell the PID").ok();
    t.coracle(["top", "c", "--nosuch"]).code(1).stderr_has("ps --nosuch: ").ok();
}

#[test]
fn kill_sends_the_signal_asked_for() {
    let t = test!(busybox);
    let script = "trap 'echo usr1' USR1; echo ready; while :; do sleep 1 & wait $!; done";
    t.script("c", &[], script);
    t.wait_for_log("c", "ready");
    for spelling in ["USR1", "SIGUSR1", "10"] {
        t.coracle(["kill", "-s", spelling, "c"]).stdout("c\n").ok();
    }
    t.wait_for_log("c", "usr1");
    let pid = t.pid("c");
    t.coracle(["kill", "c"]).stdout("c\n").ok();
    wait_ended(pid);
    t.coracle(["wait", "c"]).stdout("137\n").ok();
    t.coracle(["kill", "c"]).code(1).stderr_has("not running").ok();
}

#[test]
fn a_killed_container_is_down_and_can_be_removed() {
    let t = test!(busybox);
    for _ in 0..10 {
        t.coracle(["run", "-d", "--name", "c", "busybox", "sleep", "1000"]).ok();
        t.coracle(["kill", "c"]).ok();
        t.coracle(["rm", "c"]).ok();
    }
}

#[test]
fn a_stopped_container_starts_again_with_what_it_wrote() {
    let t = test!(busybox);
    t.coracle(["run", "--name", "c", "busybox", "sh", "-c", "echo x >>/count; wc -l </count"])
        .stdout("1\n")
        .ok();
    t.coracle(["start", "-a", "c"]).stdout("2\n").ok();
    t.coracle(["start", "c"]).stdout("c\n").ok();
    t.coracle(["wait", "c"]).stdout("0\n").ok();
    t.coracle(["logs", "c"]).stdout("1\n2\n3\n").ok();
}

#[test]
fn start_with_i_passes_stdin_and_gives_the_exit_code() {
    let t = test!(busybox);
    let script = "read line; echo got $line; exit 4";
    t.coracle(["run", "-i", "--name", "c", "busybox", "sh", "-c", script])
        .stdin("first\n")
        .stdout("got first\n")
        .code(4)
        .ok();
    t.coracle(["start", "-a", "-i", "c"]).stdin("second\n").stdout("got second\n").code(4).ok();
}

#[test]
fn restart_stops_and_starts() {
    let t = test!(busybox);
    t.script("c", &[], "echo up; exec sleep 1000");
    let old = t.pid("c");
    t.coracle(["restart", "-t", "0", "c"]).stdout("c\n").ok();
    assert_ne!(t.pid("c"), old);
    t.coracle(["rm", "-f", "c"]).stdout("c\n").ok();
}

#[test]
fn a_container_with_rm_survives_its_restart_and_only_that() {
    let t = test!(busybox);
    t.script("c", &["--rm"], "echo up; exec sleep 1000");
    let old = t.pid("c");
    t.coracle(["restart", "-t", "0", "c"]).stdout("c\n").ok();
    assert_ne!(t.pid("c"), old);
    t.wait_for_logs("c", "up", 2);
    t.coracle(["stop", "-t", "0", "c"]).ok();
    assert!(t.containers().is_empty());
}

#[test]
fn stops_and_restarts_at_the_same_time_leave_nothing_of_a_container_with_rm() {
    let t = test!(busybox);
    for _ in 0..5 {
        t.coracle(["run", "-d", "--rm", "--name", "c", "busybox", "sleep", "1000"]).ok();
        let verbs = ["restart", "stop", "restart", "stop"];
        let mut all: Vec<_> =
            verbs.iter().map(|verb| t.coracle([verb, "-t", "0", "c"]).spawn()).collect();
        for one in &mut all {
            one.wait();
        }
        // Whichever was last.
        t.coracle(["rm", "-f", "c"]).spawn().wait();
        assert!(t.containers().is_empty());
    }
}

#[test]
fn a_restart_tells_what_keeps_the_container_from_coming_up() {
    let t = test!(busybox);
    let dir = t.dir("data");
    let volume = format!("{}:/data", dir.display());
    t.coracle(["run", "-d", "--name", "c", "-v", &volume, "busybox", "sleep", "1000"]).ok();
    std::fs::remove_dir(&dir).expect("remove the volume's directory");
    t.coracle(["restart", "-t", "0", "c"]).code(1).stderr_has("data").ok();
    assert_eq!(t.status("c"), "exited");
}

#[test]
fn rm_refuses_the_running_and_f_does_not() {
    let t = test!(busybox);
    t.coracle(["run", "-d", "--name", "c", "busybox", "sleep", "1000"]).ok();
    t.coracle(["rm", "c"]).code(1).stderr_has("running").stderr_has("hint").ok();
    assert_eq!(t.status("c"), "running");
    t.coracle(["rm", "-f", "c"]).stdout("c\n").ok();
    assert!(t.containers().is_empty());
    t.coracle(["rm", "c"]).code(1).stderr_has("c").ok();
}

#[test]
fn wait_waits_for_the_end() {
    let t = test!(busybox);
    t.script("c", &["-i"], "read x; exit 9");
    let mut wait = t.coracle(["wait", "c"]).spawn();
    assert!(!wait.ends_within(Duration::from_millis(50)));
    t.coracle(["attach", "c"]).stdin("now\n").code(9).ok();
    assert_eq!(wait.line_with("9"), "9");
    assert_eq!(wait.wait(), 0);
}

#[test]
fn many_names_are_handled_one_by_one_and_the_bad_ones_told() {
    let t = test!(busybox);
    for name in ["a", "b"] {
        t.coracle(["run", "-d", "--name", name, "busybox", "sleep", "1000"]).ok();
    }
    t.coracle(["stop", "-t", "0", "a", "nope"]).code(1).stdout("a\n").stderr_has("nope").ok();
    // What is not there is as it should be.
    t.coracle(["rm", "-f", "a", "nope", "b"]).stdout("a\nb\n").stderr_has("nope").ok();
    t.coracle(["rm", "nope"]).code(1).stderr_has("nope").ok();
    assert!(t.containers().is_empty());
}

#[test]
fn a_container_is_found_by_name_id_and_unambiguous_prefix() {
    let t = test!(busybox);
    // Seventeen ids must share a first digit somewhere.
    let ids: Vec<_> = (0..17).map(|_| t.says(["run", "-d", "busybox", "true"])).collect();
    let first = &ids[0];
    for reference in [&first[..], &first[..12]] {
        assert_eq!(t.inspect(reference)["Id"], first.as_str());
    }
    let twice = ids.iter().find(|id| ids.iter().filter(|other| other[..1] == id[..1]).count() > 1);
    let prefix = &twice.expect("the pigeonhole")[..1];
    t.coracle(["inspect", prefix]).code(1).any_stderr().stderr_has("begins the ids of").ok();
    t.coracle(["inspect", "nope"]).code(1).any_stderr().stderr_has("nope").ok();
}

#[test]
fn names_are_unique_and_free_again_after_rm() {
    let t = test!(busybox);
    t.coracle(["run", "--name", "only", "busybox", "true"]).ok();
    t.coracle(["run", "--name", "only", "busybox", "true"]).code(125).stderr_has("only").ok();
    assert_eq!(t.containers().len(), 1);
    t.coracle(["rm", "only"]).ok();
    t.coracle(["run", "--name", "only", "busybox", "true"]).ok();
    assert_eq!(t.inspect("only")["Name"], "/only");
}

#[test]
fn a_container_without_a_name_is_given_one() {
    let t = test!(busybox);
    let id = t.says(["run", "-d", "busybox", "true"]);
    let name = t.inspect(&id)["Name"].as_str().expect("a name").to_string();
    assert!(name.len() > 3 && name.starts_with('/'), "{name}");
    t.coracle(["rm", "-f", &name[1..]]).ok();
}

#[test]
fn inspect_tells_what_docker_tells() {
    let t = test!(busybox);
    let id =
        t.says(["run", "-d", "--name", "c", "-e", "A=1", "-w", "/tmp", "busybox", "sleep", "1000"]);
    let c = t.inspect("c");
    assert_eq!(c["Id"], id.as_str());
    assert_eq!(c["Path"], "sleep");
    assert_eq!(c["Args"][0], "1000");
    assert_eq!(c["State"]["Running"], true);
    assert_eq!(c["Config"]["Hostname"], &id[..12]);
    assert_eq!(c["Config"]["WorkingDir"], "/tmp");
    assert_eq!(c["Config"]["Cmd"][0], "sleep");
    assert!(c["Config"]["Env"].as_array().expect("a list").contains(&"A=1".into()));
    assert!(c["Image"].as_str().expect("an id").starts_with("sha256:"));
    assert!(c["NetworkSettings"]["IPAddress"].as_str().expect("a string").contains('.'));
}

#[test]
fn version_and_info_say_where_one_is() {
    let t = test!();
    t.coracle(["version"]).stdout_has(env!("CARGO_PKG_VERSION")).ok();
    t.coracle(["info"]).stdout_has(t.root().to_str().expect("a plain path")).ok();
}

#[test]
fn the_example_of_a_working_day_does_what_its_readme_says() {
    let t = test!(busybox);
    let out = t.example("everyday");
    for said in [
        "\nline 5000 of many\n",
        "\nclerk     Up ",
        "\nrename clerk\n",
        "\nunpause clerk\n",
        "\ndie clerk\n",
    ] {
        assert!(out.contains(said), "{said:?}: {out}");
    }
}
