//! What a container writes is kept and given back byte for byte.

use crate::common::kill;
use crate::test;
use std::fs;
use std::process::Command;

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
    let text = fs::read_to_string(path).expect("a log file");
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

#[test]
fn a_bounded_log_is_several_files_and_read_as_one() {
    let t = test!(busybox);
    let options = ["--log-opt", "max-size=20k", "--log-opt", "max-file=3"];
    t.script("c", &options, "seq 1 3000");
    t.coracle(["wait", "c"]).ok();
    let mut files: Vec<String> = fs::read_dir(t.records("c"))
        .expect("the container's directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name"))
        .filter(|name| name.starts_with("log"))
        .collect();
    files.sort();
    assert_eq!(files, ["log", "log.1", "log.2"]);
    let text = t.says(["logs", "c"]);
    let all: Vec<String> = (1..=3000).map(|n| n.to_string()).collect();
    let kept: Vec<&str> = text.lines().collect();
    assert!(all.ends_with(&kept.iter().map(|line| line.to_string()).collect::<Vec<_>>()));
    assert!(kept.len() > 300 && kept.len() < 1500, "{}", kept.len());
    let tail = t.says(["logs", "--tail", "400", "c"]);
    assert_eq!(tail.lines().collect::<Vec<_>>(), all[2600..]);
    let config = &t.inspect("c")["HostConfig"]["LogConfig"];
    assert_eq!(
        (&config["Type"], &config["Config"]["max-file"]),
        (&"json-file".into(), &"3".into())
    );
}

#[test]
fn who_follows_a_bounded_log_sees_every_line_once() {
    let t = test!(busybox);
    let options = ["-i", "--log-opt", "max-size=50k", "--log-opt", "max-file=100"];
    t.script("c", &options, "echo ready; read x; seq 1 20000; read x");
    let mut logs = t.coracle(["logs", "-f", "c"]).spawn();
    logs.line_with("ready");
    let mut attached = t.coracle(["attach", "c"]).spawn();
    attached.write("\n");
    logs.line_with("20000");
    let kept = t.says(["logs", "c"]);
    attached.write("\n");
    assert_eq!((logs.wait(), attached.wait()), (0, 0));
    let expected: String = (1..=20000).map(|n| format!("{n}\n")).collect();
    assert_eq!(format!("{kept}\n"), format!("ready\n{expected}"));
}

#[test]
fn a_monitor_killed_while_it_rotates_loses_and_doubles_nothing() {
    let t = test!(busybox);
    let options = ["--log-opt", "max-size=64k", "--log-opt", "max-file=1000"];
    t.script("c", &options, "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); echo $i; done");
    t.wait_for_log("c", "5000");
    kill(t.monitor("c"));
    // Whoever comes next makes another.
    t.coracle(["volume", "create", "any"]).ok();
    t.coracle(["wait", "c"]).ok();
    let seen: Vec<u32> =
        t.says(["logs", "c"]).lines().map(|line| line.parse().expect("a number")).collect();
    // What the killed one had read and not written is lost, as ever; nothing comes twice.
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(seen.last(), Some(&60000));
}

#[test]
fn a_container_without_a_log_says_so_and_is_seen_by_who_attaches() {
    let t = test!(busybox);
    t.coracle(["run", "--name", "c", "--log-driver", "none", "busybox", "echo", "hi"])
        .stdout("hi\n")
        .ok();
    t.coracle(["logs", "c"]).code(1).stderr_has("container c keeps no log").ok();
    t.coracle(["rm", "c"]).ok();
}

#[test]
fn a_log_is_kept_where_it_is_asked_for() {
    let t = test!(busybox);
    let file = t.path("kept");
    let option = format!("path={}", file.display());
    t.script("c", &["--log-opt", &option], "echo hi");
    t.coracle(["wait", "c"]).ok();
    assert_eq!(t.says(["logs", "c"]), "hi");
    assert_eq!(t.inspect("c")["LogPath"], file.to_str().expect("a plain path"));
    t.coracle(["rm", "c"]).ok();
    let text = fs::read_to_string(&file).expect("it stays");
    assert!(text.contains(r#""log":"hi\n""#), "{text}");
}

#[test]
fn a_log_that_is_kept_elsewhere_follows_nobodys_links() {
    let t = test!(busybox);
    let shared = t.dir("shared");
    let (logs, victim) = (t.dir("logs"), t.path("victim"));
    fs::write(&victim, "precious").unwrap();
    let at = |dir: &std::path::Path| format!("path={}/log", dir.display());
    let volume = format!("{}:/shared", shared.display());
    // Where its container can write.
    t.coracle(["create", "-v", &volume, "--log-opt", &at(&shared), "busybox"])
        .code(125)
        .stderr_has("the container can write there, by its mount of")
        .ok();
    let own = t.root();
    t.coracle(["create", "--log-opt", &at(&own), "busybox"]).code(125).stderr_has("own").ok();
    t.coracle(["create", "--log-opt", "path=/no/such/log", "busybox"])
        .code(125)
        .stderr("coracle: --log-opt path=/no/such/log: open /no/such: no such file or directory\n")
        .ok();
    assert_eq!(t.containers(), [""; 0]);

    // What somebody else puts there is not ours.
    std::os::unix::fs::symlink(&victim, logs.join("log.new")).unwrap();
    for name in ["log.01", "log.+3", "log.9x"] {
        fs::write(logs.join(name), "{}").unwrap();
    }
    std::os::unix::fs::symlink("nothing", logs.join("log.7")).unwrap();
    let options = ["--log-opt", &at(&logs), "--log-opt", "max-size=1k", "--log-opt", "max-file=3"];
    t.script("c", &options, "seq 100");
    t.coracle(["wait", "c"]).ok();
    assert!(t.says(["logs", "c"]).ends_with("\n99\n100"));
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    let mode = fs::metadata(logs.join("log")).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o640);

    // A link in the place of the log itself.
    fs::remove_file(logs.join("log")).unwrap();
    std::os::unix::fs::symlink(&victim, logs.join("log")).unwrap();
    t.coracle(["start", "c"]).code(1).stderr_has("logs/log: symbolic link loop").ok();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
}

#[test]
fn what_each_line_says_of_its_container_is_bounded() {
    let t = test!(busybox);
    let label = format!("big={}", "x".repeat(20 << 10));
    t.coracle(["create", "-l", &label, "--log-opt", "labels=big", "busybox"])
        .code(125)
        .stderr_has("--log-opt: each line of the log would say 20490 bytes of its container")
        .ok();
    t.coracle(["create", "-l", &label, "busybox"]).ok();
}

#[test]
fn details_are_what_was_asked_to_be_kept() {
    let t = test!(busybox);
    let options = [
        "--log-opt",
        "labels=tier",
        "--log-opt",
        "env=E",
        "--log-opt",
        "tag={{.Name}}",
        "-l",
        "tier=front",
        "-e",
        "E=1",
    ];
    t.script("c", &options, "echo hi");
    t.coracle(["wait", "c"]).ok();
    t.coracle(["logs", "--details", "c"]).stdout("E=1,tag=c,tier=front hi\n").ok();
    t.coracle(["logs", "c"]).stdout("hi\n").ok();
}

#[test]
fn until_ends_even_who_follows() {
    let t = test!(busybox);
    t.script("c", &[], "echo hi; sleep 1000");
    t.wait_for_log("c", "hi");
    t.coracle(["logs", "-f", "--until", "0s", "c"]).stdout("hi\n").ok();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let to_come = (now.as_secs() + 2).to_string();
    t.coracle(["logs", "-f", "--until", &to_come, "c"]).stdout("hi\n").ok();
    t.coracle(["logs", "--tail", "x", "c"]).code(125).stderr_has("--tail: \"x\"").ok();
}

#[test]
fn who_follows_ends_with_the_reader() {
    let t = test!(busybox);
    t.coracle(["run", "-d", "--name", "c", "busybox", "sh", "-c", "echo first; sleep 1000"]).ok();
    let reader = r#""$@" | grep -m 1 -o first"#;
    t.coracle(["logs", "-f", "c"]).by(reader).stdout("first\n").ok();
    // Also where nothing is told any more.
    let reader = r#""$@" | grep -m 1 -o start"#;
    let since = ["events", "--since", "1h", "--filter", "event=start"];
    t.coracle(since).by(reader).stdout("start\n").ok();
    t.coracle(["events"]).by(r#""$@" | true"#).ok();
}

#[test]
fn a_file_of_settings_says_how_logs_are_kept() {
    let t = test!(busybox);
    let file = t.path("coracle.toml");
    let config = |text: &str| fs::write(&file, text).expect("write the settings");
    let with = ["--config", file.to_str().expect("text")];
    let run = |name: &str, options: &[&str], script: &str| {
        let words = [&with[..], &["run", "-d", "--net=none", "--name", name], options];
        t.coracle([&words.concat()[..], &["busybox", "sh", "-c", script]].concat()).ok();
        t.coracle(["wait", name]).ok();
    };
    config("log-driver = \"none\"\n");
    run("none", &[], "echo lost");
    t.coracle(["logs", "none"]).code(1).stderr_has("keeps no log").ok();
    assert_eq!(t.inspect("none")["HostConfig"]["LogConfig"]["Type"], "none");
    // A flag is stronger than the file.
    run("flag", &["--log-driver=json-file"], "echo kept");
    assert_eq!(t.says(["logs", "flag"]), "kept");

    config("log-driver = \"local\"\nlog-opts = [\"max-size=4k\", \"max-file=2\"]\n");
    run("small", &[], "seq 10000");
    let log = &t.inspect("small")["HostConfig"]["LogConfig"];
    let options = serde_json::json!({"max-size": "4k", "max-file": "2"});
    assert_eq!((&log["Type"], &log["Config"]), (&"local".into(), &options));
    let kept = t.says(["logs", "small"]);
    assert!(kept.ends_with("\n10000") && kept.len() < 10_000, "{} bytes", kept.len());

    // What is said of the log goes with what is usual, and flags in front with the file.
    run("tagged", &["--log-opt", "tag=x"], "echo hi");
    let log = &t.inspect("tagged")["HostConfig"]["LogConfig"];
    let options = serde_json::json!({"max-size": "4k", "max-file": "2", "tag": "x"});
    assert_eq!((&log["Type"], &log["Config"]), (&"local".into(), &options));
    let front = ["--log-opt=max-size=5k", "info", "--format", "{{.LoggingDriver}}"];
    assert_eq!(t.says([&with[..], &front].concat()), "local");
    for (front, kept) in [(&["--log-driver=none"][..], ""), (&["--log-opt", "tag=y"], "tag=y hi")] {
        let run = ["run", "--name", "front", "--net=none", "busybox", "echo", "hi"];
        t.coracle([front, &run].concat()).stdout("hi\n").ok();
        match kept {
            "" => drop(t.coracle(["logs", "front"]).code(1).stderr_has("keeps no log").ok()),
            kept => assert_eq!(t.says(["logs", "--details", "front"]), kept),
        }
        t.coracle(["rm", "front"]).ok();
    }
    t.coracle(["--log-driver=none", "run", "--log-opt", "tag=y", "busybox", "true"])
        .code(125)
        .stderr_has("--log-driver none takes no --log-opt")
        .ok();

    config("log-driver = \"syslogd\"\n");
    t.coracle([&with[..], &["ps"]].concat())
        .code(125)
        .stderr_has("coracle.toml: line 1: log-driver: there is no log driver \"syslogd\"")
        .ok();
}

#[test]
fn a_program_whose_log_may_lose_lines_never_waits_for_it() {
    let t = test!(busybox);
    let shared = t.dir("shared");
    let fifo = |name: &str| shared.join(name).display().to_string();
    let names = ["go", "done", "end"].map(fifo);
    let made = Command::new("mkfifo").args(&names).status();
    assert!(made.expect("run mkfifo").success());
    let volume = format!("{}:/shared", shared.display());
    let options = ["--net=none", "--log-opt=mode=non-blocking", "--log-opt=max-buffer-size=64k"];
    // Far more than fits anywhere on its way.
    let script = "read x < /shared/go; seq 1000000 1200000; echo > /shared/done
        read x < /shared/end; echo last";
    t.script("c", &[&options[..], &["-v", &volume]].concat(), script);
    let sh = |script: &str| {
        let done = Command::new("timeout").args(["30", "sh", "-c", script]).status();
        assert!(done.expect("run sh").success(), "{script}");
    };
    let disk = t.fill_disk();
    sh(&format!("echo > {}; read x < {}", names[0], names[1]));
    drop(disk);
    // What was kept is written once there is room again; what comes then is kept too.
    t.wait_for_log("c", "1000000");
    sh(&format!("echo > {}", names[2]));
    assert_eq!(t.says(["wait", "c"]), "0");
    // What is kept is whole lines in their order.
    let log = t.says(["logs", "c"]);
    let (numbers, last) = log.rsplit_once('\n').expect("lines");
    assert_eq!(last, "last");
    let numbers: Vec<u32> = numbers.lines().map(|n| n.parse().expect("a number")).collect();
    assert!(numbers.is_sorted() && numbers.len() < 200_001, "{} lines", numbers.len());
    assert!(numbers.iter().all(|n| *n >= 1_000_000));
}
