//! Links: what a container is told of another one, and that it stays true.

use crate::common::{Test, kill, wait_ended};
use crate::test;
use serde_json::json;
use std::fs;

const SLEEP: [&str; 3] = ["busybox", "sleep", "1000"];

#[track_caller]
fn run(t: &Test, name: &str, options: &[&str]) {
    t.coracle([&["run", "-d", "--name", name], options, &SLEEP].concat()).ok();
}

fn address(t: &Test, name: &str) -> String {
    t.inspect(name)["NetworkSettings"]["IPAddress"].as_str().expect("an address").to_string()
}

/// The lines of a running container's /etc/hosts that name `word`.
fn hosts(t: &Test, name: &str, word: &str) -> Vec<String> {
    let text = t.says(["exec", name, "cat", "/etc/hosts"]);
    let has = |line: &&str| line.split_whitespace().skip(1).any(|name| name == word);
    text.lines().filter(has).map(String::from).collect()
}

/// As the documentation's redis: it exposes 6379, and answers there.
fn start_redis(t: &Test, name: &str) {
    let serve = "echo PONG >/index.html; busybox httpd -p 6379 -h / && echo up; exec sleep 1000";
    t.script(name, &["-expose", "6379", "-e", "VERSION=2.8"], serve);
    t.wait_for_log(name, "up");
}

#[test]
fn the_example_of_the_documentation_works_as_written() {
    let t = test!(busybox);
    start_redis(&t, "redis");
    let at = address(&t, "redis");
    run(&t, "webapp", &["-link", "redis:db", "-t", "-i"]);

    let env = t.says(["exec", "webapp", "env"]);
    let mut told: Vec<&str> = env.lines().filter(|line| line.starts_with("DB_")).collect();
    told.sort_unstable();
    let expected = format!(
        "DB_ENV_VERSION=2.8\nDB_NAME=/webapp/db\nDB_PORT=tcp://{at}:6379\n\
         DB_PORT_6379_TCP=tcp://{at}:6379\nDB_PORT_6379_TCP_ADDR={at}\n\
         DB_PORT_6379_TCP_PORT=6379\nDB_PORT_6379_TCP_PROTO=tcp"
    );
    assert_eq!(told.join("\n"), expected);
    let id = t.inspect("redis")["Config"]["Hostname"].as_str().unwrap().to_string();
    assert_eq!(hosts(&t, "webapp", "db"), [format!("{at}\tdb {id} redis")]);
    let by_env = "wget -qO- http://$DB_PORT_6379_TCP_ADDR:$DB_PORT_6379_TCP_PORT/";
    t.coracle(["exec", "webapp", "sh", "-c", by_env]).stdout("PONG\n").ok();
    t.coracle(["exec", "webapp", "wget", "-qO-", "http://db:6379/"]).stdout("PONG\n").ok();

    t.coracle(["ps"]).stdout_has("   redis,webapp/db\n").stdout_has("   webapp\n").ok();
    let names = |args: &[&str]| t.says([&["ps", "--format", "{{.Names}}"], args].concat());
    assert_eq!(names(&["-f", "name=webapp/db"]), "redis");
    assert_eq!(names(&["--no-trunc", "-f", "name=redis"]), "redis,webapp/db");
    assert_eq!(t.inspect("webapp")["HostConfig"]["Links"], json!(["/redis:/webapp/db"]));
    assert_eq!(t.inspect("redis")["HostConfig"]["Links"], json!(null));

    // The container has these names wherever one is wanted.
    let same = t.inspect("redis")["Id"].clone();
    for path in ["webapp/db", "/webapp/db", "/redis"] {
        assert_eq!(t.inspect(path)["Id"], same);
    }
    t.coracle(["logs", "webapp/db"]).stdout("up\n").ok();
    t.coracle(["run", "--rm", "--link", "/webapp/db:cache", "busybox", "env"])
        .stdout_has(&format!("CACHE_PORT=tcp://{at}:6379\n"))
        .ok();
    // The caller's own word counts.
    t.coracle(["run", "--rm", "--link", "redis:db", "-e", "DB_PORT=mine", "busybox", "env"])
        .stdout_has("\nDB_PORT=mine\n")
        .ok();

    t.coracle(["rm", "-link", "/webapp/db"]).stdout("/webapp/db\n").ok();
    assert_eq!(hosts(&t, "webapp", "db"), [""; 0]);
    assert_eq!(t.inspect("webapp")["HostConfig"]["Links"], json!(null));
    assert_eq!(names(&["--no-trunc", "-f", "name=redis"]), "redis");
    t.coracle(["inspect", "webapp/db"]).code(1).stdout("[]\n").stderr_has("webapp/db").ok();
    t.coracle(["restart", "-t", "0", "webapp"]).ok();
    assert!(!t.says(["exec", "webapp", "env"]).contains("DB_"));
}

#[test]
fn hosts_follow_a_target_while_their_container_runs() {
    let t = test!(busybox);
    start_redis(&t, "redis");
    run(&t, "webapp", &["--link", "redis:db", "--link", "redis:store"]);
    t.coracle(["exec", "webapp", "sh", "-c", "echo 10.9.8.7 mine >>/etc/hosts"]).ok();
    let first = address(&t, "redis");

    // Its address is anybody's while it is down.
    t.coracle(["stop", "-t", "0", "redis"]).ok();
    assert_eq!(hosts(&t, "webapp", "redis"), [""; 0]);
    run(&t, "other", &[]);
    assert_eq!(address(&t, "other"), first);
    t.coracle(["start", "redis"]).ok();
    t.wait_for_logs("redis", "up", 2);
    let second = address(&t, "redis");
    assert_ne!(second, first);
    let id = t.inspect("redis")["Config"]["Hostname"].as_str().unwrap().to_string();
    for alias in ["db", "store"] {
        assert_eq!(hosts(&t, "webapp", alias), [format!("{second}\t{alias} {id} redis")]);
    }
    t.coracle(["exec", "webapp", "wget", "-qO-", "http://db:6379/"]).stdout("PONG\n").ok();
    assert_eq!(hosts(&t, "webapp", "mine"), ["10.9.8.7 mine"]);
    assert_eq!(hosts(&t, "webapp", "localhost").len(), 2);

    // The consumer's environment is of its start; a new program in it knows of today.
    let env = t.says(["exec", "webapp", "cat", "/proc/1/environ"]);
    assert!(env.contains(&format!("DB_PORT_6379_TCP_ADDR={first}\0")), "{env}");
    t.coracle(["exec", "webapp", "sh", "-c", "echo $STORE_PORT"])
        .stdout(format!("tcp://{second}:6379\n"))
        .ok();
}

#[test]
fn hosts_stay_true_whoever_is_killed() {
    let t = test!(busybox);
    start_redis(&t, "redis");
    run(&t, "webapp", &["--link", "redis:db"]);
    let at = |t: &Test| hosts(t, "webapp", "db").iter().map(|line| line.len()).sum::<usize>();
    let before = hosts(&t, "webapp", "db");

    // A target whose monitor is killed runs on.
    for name in ["redis", "webapp"] {
        kill(t.monitor(name));
        t.coracle(["start", name]).ok();
        assert_eq!(hosts(&t, "webapp", "db"), before, "{name}");
    }
    // Nobody is there to see its end: the next command clears up after it.
    t.coracle(["restart", "-t", "0", "redis", "webapp"]).ok();
    let pid = t.pid("redis");
    kill(t.monitor("redis"));
    kill(pid);
    run(&t, "other", &[]);
    assert_eq!(at(&t), 0);
    t.coracle(["start", "redis"]).ok();
    assert!(hosts(&t, "webapp", "db")[0].starts_with(&format!("{}\t", address(&t, "redis"))));

    // The consumer's end goes unseen too: nobody writes there any more.
    let (pid, monitor) = (t.pid("webapp"), t.monitor("webapp"));
    kill(monitor);
    kill(pid);
    wait_ended(pid);
    t.coracle(["restart", "-t", "0", "redis"]).ok();
    t.coracle(["start", "webapp"]).ok();
    assert!(hosts(&t, "webapp", "db")[0].starts_with(&format!("{}\t", address(&t, "redis"))));
}

#[test]
fn a_target_that_does_not_run_keeps_its_consumer_down() {
    let t = test!(busybox);
    t.coracle([&["create", "--name", "db"][..], &SLEEP].concat()).ok();
    t.coracle(["run", "--name", "web", "--link", "db", "busybox", "true"])
        .code(125)
        .stderr_has("cannot link to a non running container: /db AS /web/db")
        .stderr_has("start db")
        .ok();
    // As with Docker it may be created.
    t.coracle([&["create", "--name", "web", "--link", "db"][..], &SLEEP].concat()).ok();
    t.coracle(["start", "web"]).code(1).stderr_has("/db AS /web/db").ok();
    t.coracle(["start", "db", "web"]).ok();
    assert_eq!(hosts(&t, "web", "db").len(), 1);

    // A target may be removed. Who links to it says so when it is started again.
    t.coracle(["rm", "-f", "db"]).ok();
    assert_eq!(hosts(&t, "web", "db"), [""; 0]);
    t.coracle(["inspect", "web/db"]).code(1).stdout("[]\n").stderr_has("web/db").ok();
    assert_eq!(t.inspect("web")["HostConfig"]["Links"], json!(["/db:/web/db"]));
    t.coracle(["stop", "-t", "0", "web"]).ok();
    t.coracle(["start", "web"])
        .code(1)
        .stderr_has("cannot link to a removed container: /db AS /web/db")
        .stderr_has("rm --link web/db")
        .ok();
    t.coracle(["rm", "--link", "web/db"]).ok();
    t.coracle(["start", "web"]).ok();
}

#[test]
fn what_a_consumer_made_of_its_hosts_keeps_nobody_else() {
    let t = test!(busybox);
    start_redis(&t, "redis");
    run(&t, "app", &["--link", "redis:db"]);
    t.coracle(["exec", "app", "truncate", "-s", "2000000", "/etc/hosts"]).ok();
    t.coracle(["rm", "-f", "redis"]).any_stderr().ok();
    assert!(!t.containers().contains(&"redis".to_string()));
    assert_eq!(t.says(["ps", "-a", "--format", "{{.Names}}"]), "app");
}

#[test]
fn what_cannot_be_linked_is_refused_before_anything_is_made() {
    let t = test!(busybox);
    run(&t, "db", &[]);
    run(&t, "two", &[]);
    run(&t, "host", &["--net", "host"]);
    run(&t, "none", &["--net", "none"]);
    let before = t.containers();
    for (options, word) in [
        (&["--link", "bogus:db"][..], "no such container: bogus"),
        (&["--link", "db/x:db"], "no such container: db/x"),
        (&["--name", "web", "--link", "web:me"], "a container cannot be linked to itself"),
        (&["--link", "db:a", "--link", "two:a"], "the alias a is that of db"),
        (&["--link", "db:a b"], "\"db:a b\""),
        (&["--link", ":a"], "\":a\""),
        (&["--link", "db:x:y"], "\"db:x:y\""),
        (&["--net", "host", "--link", "db"], "--link and --network host exclude each other"),
        (&["--net", "none", "--link", "db"], "--link and --network none exclude each other"),
        (&["--link", "host"], "host is on network host, not bridge"),
        (&["--link", "none"], "none is on network none, not bridge"),
    ] {
        let run = [&["run"], options, &["busybox", "true"]].concat();
        t.coracle(run).code(125).stdout("").stderr_has(word).ok();
        let create = [&["create"], options, &["busybox", "true"]].concat();
        t.coracle(create).code(125).stdout("").stderr_has(word).ok();
    }
    assert_eq!(t.containers(), before);
    // The same twice is one.
    run(&t, "web", &["--link", "db:a", "--link", "/db:a"]);
    assert_eq!(t.inspect("web")["HostConfig"]["Links"], json!(["/db:/web/a"]));
    for (path, word) in [
        ("web/b", "no such link: web/b"),
        ("nobody/b", "no such container: nobody"),
        ("web", "web is the container's own name"),
        ("nobody", "no such container: nobody"),
    ] {
        t.coracle(["rm", "--link", path]).code(1).stdout("").stderr_has(word).ok();
    }
}

#[test]
fn after_a_reboot_a_consumer_waits_for_its_target() {
    let t = test!(busybox);
    let policy = ["--restart", "always"];
    run(&t, "db", &policy);
    run(&t, "web", &[&policy[..], &["--link", "db"]].concat());
    // All die at once, and whoever comes first finds the consumer first.
    let all = ["web", "db"].map(|name| (t.monitor(name), t.pid(name)));
    for (monitor, pid) in all {
        kill(monitor);
        kill(pid);
    }
    t.coracle(["rm", "-f", "no-such"]).any_stderr().ok();
    t.wait_for_status("db", "running");
    t.wait_for_status("web", "running");
    let line = format!("{}\t", address(&t, "db"));
    assert!(hosts(&t, "web", "db")[0].starts_with(&line));
    let hosts = t.records("web").join("hosts");
    t.coracle(["stop", "-t", "0", "web", "db"]).ok();
    assert!(!fs::read_to_string(hosts).unwrap().contains("\u{0}"));
}

#[test]
fn the_example_does_what_its_readme_says() {
    let t = test!(busybox);
    let out = t.example("links");
    for said in ["\nDB_NAME=/webapp/db\n", "\nPONG\n", "   redis,webapp/db\n", "\nwebapp/db\n"] {
        assert!(out.contains(said), "{said:?}: {out}");
    }
}
