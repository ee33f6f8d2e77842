//! Scripts as people wrote them for Docker 0.7 and 0.8 and write them for today's (tests/scripts),
//! run unchanged: what they find is a link named `docker`.

use crate::common::Test;
use crate::test;

/// Runs a script in the test's own directory; gives its exit code and both its streams.
fn run(t: &Test, env: &[(&str, &str)], script: &str, args: &[&str]) -> (i32, String) {
    let path = format!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scripts/{}"), script);
    let mut command = std::process::Command::new(path);
    command.args(args).envs(t.docker()).envs(env.iter().copied()).current_dir(t.dir("work"));
    // Small programs that not every host has.
    for applet in ["nc", "wget"] {
        let link = t.path("bin").join(applet);
        if !link.exists() {
            std::os::unix::fs::symlink("/bin/busybox", link).expect("link");
        }
    }
    let output = command.output().expect("run the script");
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).trim_end().to_string())
}

#[track_caller]
fn fine(t: &Test, script: &str, args: &[&str]) -> String {
    let (code, text) = run(t, &[], script, args);
    assert_eq!(code, 0, "{script} {args:?}: {text}");
    text
}

const SERVE: &str = "mkdir -p /www && echo hello > /www/index.html && exec httpd -f -p 80 -h /www";

#[test]
fn volumes_are_backed_up_and_restored() {
    let t = test!(busybox);
    t.coracle([
        "run",
        "--name",
        "db",
        "-v",
        "/dbdata",
        "busybox",
        "sh",
        "-c",
        "echo 1 > /dbdata/a",
    ])
    .ok();
    fine(&t, "backup-volume.sh", &["backup", "db", "/dbdata", "db.tar.gz"]);
    let change = ["sh", "-c", "echo 2 > /dbdata/a; touch /dbdata/b"];
    let from = ["run", "--rm", "--volumes-from", "db", "busybox"];
    t.coracle([&from[..], &change].concat()).ok();
    fine(&t, "backup-volume.sh", &["restore", "db", "/dbdata", "db.tar.gz"]);
    let look = ["sh", "-c", "cat /dbdata/a; ls /dbdata"];
    t.coracle([&from[..], &look].concat()).stdout("1\na\n").ok();
}

#[test]
fn versions_take_turns_as_blue_and_green() {
    let t = test!(busybox);
    let line = ["web", "busybox", "sh", "-c", SERVE];
    for color in ["blue", "green", "blue"] {
        let text = fine(&t, "blue-green.sh", &line);
        assert!(text.starts_with(&format!("web is {color} at 172.17.0.")), "{text}");
        assert_eq!(t.says(["ps", "--format", "{{.Names}}"]), format!("web-{color}"));
        let proxy = std::fs::read_to_string(t.path("work/proxy.conf")).expect("read");
        assert!(proxy.contains(&format!("# {color}")), "{proxy}");
    }
    // One that does not come up leaves the other one alone.
    let (code, text) = run(&t, &[], "blue-green.sh", &["web", "nosuch", "true"]);
    assert!(code != 0 && text.contains("Unable to find image 'nosuch' locally"), "{text}");
    assert_eq!(t.says(["ps", "--format", "{{.Names}}"]), "web-blue");
}

#[test]
fn a_cleanup_takes_what_nobody_needs() {
    let t = test!(busybox);
    t.script("up", &["-v", "used:/used"], "exec sleep 1000");
    for code in ["0", "1"] {
        let exit = format!("exit {code}");
        t.coracle(["run", "busybox", "sh", "-c", &exit]).code(code.parse().expect("a number")).ok();
    }
    t.coracle(["create", "busybox"]).ok();
    t.coracle(["volume", "create", "unused"]).ok();
    // An image whose name has moved on.
    t.coracle(["import", "-", "busybox"]).stdin(crate::common::image::busybox()).ok();
    t.coracle(["tag", "busybox", "other"]).ok();
    fine(&t, "cleanup.sh", &[]);
    assert_eq!(t.says(["ps", "-a", "--format", "{{.Names}}"]), "up");
    assert_eq!(t.says(["volume", "ls", "-q"]), "used");
    assert_eq!(t.says(["images", "--format", "{{.Repository}}"]).matches("busybox").count(), 1);
}

#[test]
fn a_job_of_cron_runs_once_at_a_time() {
    let t = test!(busybox);
    let job = |script| ["nightly", "busybox", "sh", "-c", script];
    assert_eq!(fine(&t, "cron-job.sh", &job("echo $JOB done")), "");
    let log = std::fs::read_to_string(t.path("work/nightly.log")).expect("read");
    assert_eq!(log, "nightly done\n");
    let (code, text) = run(&t, &[], "cron-job.sh", &job("echo no disk; exit 9"));
    assert_eq!((code, &text[..]), (9, "nightly failed with 9:\nno disk"));
    assert!(t.containers().is_empty());
    let background = [("BACKGROUND", "1")];
    assert_eq!(run(&t, &background, "cron-job.sh", &job("exec sleep 1000")).0, 0);
    let (code, text) = run(&t, &[], "cron-job.sh", &job("true"));
    assert!(code == 75 && text.contains("still running as"), "{code}: {text}");
    t.coracle(["kill", &t.containers()[0]]).ok();
    fine(&t, "cron-job.sh", &job("true"));
    assert!(t.containers().is_empty());
}

#[test]
fn an_application_is_replaced_where_its_image_is_newer() {
    let t = test!(busybox);
    let deploy = |image: &str| fine(&t, "deploy.sh", &["app", image, "8085"]);
    for version in ["1", "2"] {
        let cmd = format!("CMD [\"sh\", \"-c\", \"VERSION={version}; {SERVE}\"]");
        t.coracle(["import", "--change", &cmd, "-", &format!("app:{version}")])
            .stdin(crate::common::image::busybox())
            .ok();
        let text = deploy(&format!("app:{version}"));
        let last = text.lines().last().expect("a line");
        let words: Vec<&str> = last.split_whitespace().collect();
        assert_eq!(words, ["app", &format!("app:{version}"), "127.0.0.1:8085->80/tcp"]);
    }
    assert_eq!(deploy("app:2"), "app is up to date");
    assert_eq!(fine(&t, "wait-for-port.sh", &["app", "80"]), "127.0.0.1:8085");
    assert_eq!(t.inspect("app")["HostConfig"]["RestartPolicy"]["Name"], "unless-stopped");
}

#[test]
fn a_file_of_hosts_tells_what_runs() {
    let t = test!(busybox);
    t.script("one", &["-h", "first"], "exec sleep 1000");
    t.script("two", &[], "exec sleep 1000");
    std::fs::write(t.dir("work").join("hosts"), "127.0.0.1\tlocalhost\n").expect("write");
    for _ in 0..2 {
        fine(&t, "hosts.sh", &["hosts"]);
        let text = std::fs::read_to_string(t.path("work/hosts")).expect("read");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        let address = t.inspect("one")["NetworkSettings"]["IPAddress"].clone();
        let line = format!("{}\tone\tfirst", address.as_str().expect("an address"));
        assert!(lines.contains(&line.as_str()), "{text}");
    }
}

#[test]
fn an_init_script_starts_and_stops_a_container() {
    let t = test!(busybox);
    assert_eq!(fine(&t, "initd.sh", &["start"]), "app started.");
    assert_eq!(fine(&t, "initd.sh", &["start"]), "app is already running.");
    assert!(fine(&t, "initd.sh", &["status"]).starts_with("app is running (pid "));
    assert_eq!(fine(&t, "initd.sh", &["restart"]), "app stopped.\napp started.");
    assert_eq!(fine(&t, "initd.sh", &["stop"]), "app stopped.");
    let stopped = (3, "app is stopped, exit code 0.".to_string());
    assert_eq!(run(&t, &[], "initd.sh", &["status"]), stopped);
    assert_eq!(t.containers().len(), 1);
}

#[test]
fn a_log_is_rotated_from_outside() {
    let t = test!(busybox);
    t.script("app", &[], "trap 'echo again' HUP; echo begun; while :; do sleep 0.1; done");
    t.wait_for_log("app", "begun");
    fine(&t, "logrotate.sh", &["app"]);
    t.wait_for_log("app", "again");
    assert!(!t.says(["logs", "app"]).contains("begun"));
    let kept = std::process::Command::new("gzip")
        .args(["-dc", "app.log.1.gz"])
        .current_dir(t.path("work"))
        .output()
        .expect("run gzip");
    assert_eq!(String::from_utf8_lossy(&kept.stdout), "begun\n");
}

#[test]
fn who_waits_for_a_port_hears_of_the_end_of_its_container() {
    let t = test!(busybox);
    t.script("web", &["-p", "80"], SERVE);
    let address = fine(&t, "wait-for-port.sh", &["web", "80"]);
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    t.script("short", &["-p", "80"], "read line < /dev/zero; exit 4");
    t.coracle(["kill", "short"]).ok();
    let (code, text) = run(&t, &[], "wait-for-port.sh", &["short", "80"]);
    assert_eq!(code, 1, "{text}");
}

#[test]
fn many_runs_at_a_time_are_each_answered() {
    let t = test!(busybox);
    let script = "seq 120 | xargs -P 12 -I{} docker run --rm --net=none busybox echo {} | sort -n";
    let output = std::process::Command::new("sh")
        .args(["-c", script])
        .envs(t.docker())
        .output()
        .expect("run sh");
    let expected: String = (1..=120).map(|n| format!("{n}\n")).collect();
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(t.containers().is_empty());
}
