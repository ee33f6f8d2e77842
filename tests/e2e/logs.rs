//! What a container writes is kept and given back byte for byte.

use crate::test;

#[test]
fn both_streams_are_kept_in_their_order() {
    let t = test!(busybox);
    let script = "echo 1; echo 2 >&2; echo 3";
    t.coracle(["run", "--name", "c", "busybox", "sh", "-c", script])
        .stdout("1\n3\n")
        .stderr("2\n")
        .ok();
    t.coracle(["logs", "c"]).stdout("1\n3\n").stderr("2\n").ok();
}

#[test]
fn a_line_longer_than_a_record_is_joined_again() {
    let t = test!(busybox);
    let script = "head -c 100000 /dev/zero | tr '\\0' x; echo; echo end";
    t.script("c", &[], script);
    t.coracle(["wait", "c"]).stdout("0\n").ok();
    let want = format!("{}\nend\n", "x".repeat(100_000));
    t.coracle(["logs", "c"]).stdout(want).ok();
}

#[test]
fn bytes_that_are_no_text_and_a_missing_newline_survive() {
    let t = test!(busybox);
    let script = "printf '\\000\\001\\377\\376 \\303\\050 tail'";
    t.script("c", &[], script);
    t.coracle(["wait", "c"]).stdout("0\n").ok();
    t.coracle(["logs", "c"]).stdout(b"\x00\x01\xff\xfe \xc3\x28 tail".to_vec()).ok();
}

#[test]
fn tail_gives_the_last_lines() {
    let t = test!(busybox);
    t.coracle(["run", "-d", "--name", "c", "busybox", "seq", "1", "1000"]).ok();
    t.coracle(["wait", "c"]).ok();
    t.coracle(["logs", "--tail", "2", "c"]).stdout("999\n1000\n").ok();
    t.coracle(["logs", "--tail", "0", "c"]).stdout("").ok();
    let all: String = (1..=1000).map(|n| format!("{n}\n")).collect();
    t.coracle(["logs", "--tail", "all", "c"]).stdout(all.clone()).ok();
    t.coracle(["logs", "--tail", "5000", "c"]).stdout(all).ok();
}

#[test]
fn t_puts_the_moment_before_each_line() {
    let t = test!(busybox);
    t.coracle(["run", "-d", "--name", "c", "busybox", "echo", "hi"]).ok();
    t.coracle(["wait", "c"]).ok();
    let line = t.says(["logs", "-t", "c"]);
    let (moment, text) = line.split_once(' ').expect("a moment and a text");
    assert_eq!(text, "hi");
    assert!(moment.len() >= 20 && moment.ends_with('Z') && moment.contains('T'), "{line}");
}

#[test]
fn following_shows_what_comes_and_ends_with_the_container() {
    let t = test!(busybox);
    let script = "echo one; read x; echo two; read x";
    t.script("c", &["-i"], script);
    let mut logs = t.coracle(["logs", "-f", "c"]).spawn();
    logs.line_with("one");
    let mut attached = t.coracle(["attach", "c"]).spawn();
    attached.write("\n");
    logs.line_with("two");
    attached.write("\n");
    assert_eq!(logs.wait(), 0);
    assert_eq!(attached.wait(), 0);
}

#[test]
fn the_log_is_dockers_json_file() {
    let t = test!(busybox);
    let id = t.says(["run", "-d", "busybox", "sh", "-c", "echo hi; echo oh >&2"]);
    t.coracle(["wait", &id]).ok();
    let path = t.inspect(&id)["LogPath"].as_str().expect("a path").to_string();
    let text = std::fs::read_to_string(path).expect("a log file");
    let records: Vec<serde_json::Value> =
        text.lines().map(|l| serde_json::from_str(l).expect("JSON lines")).collect();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0]["log"], "hi\n");
    assert_eq!(records[0]["stream"], "stdout");
    assert_eq!(records[1]["stream"], "stderr");
    assert!(records[0]["time"].as_str().expect("a time").ends_with('Z'));
}

#[test]
fn following_goes_on_over_restarts_until_the_container_is_down() {
    let t = test!(busybox);
    t.script("c", &[], "echo up; exec sleep 1000");
    let mut logs = t.coracle(["logs", "-f", "c"]).spawn();
    logs.line_with("up");
    for _ in 0..3 {
        t.coracle(["restart", "-t", "0", "c"]).ok();
        logs.line_with("up");
    }
    t.coracle(["stop", "-t", "0", "c"]).ok();
    assert_eq!(logs.wait(), 0);
}
