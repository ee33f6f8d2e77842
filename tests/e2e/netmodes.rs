//! `--net=container:X`: the network namespace of another container, and its files in /etc.

use crate::common::{Test, kill};
use crate::test;
use serde_json::json;
use std::fs;

/// The network namespace of a container's first process.
fn namespace(t: &Test, name: &str) -> String {
    t.says(["exec", name, "readlink", "/proc/1/ns/net"])
}

fn links(t: &Test, name: &str) -> Vec<String> {
    let links = t.says(["exec", name, "ls", "/sys/class/net"]);
    links.split_whitespace().map(String::from).collect()
}

fn address(t: &Test, name: &str) -> String {
    t.says(["inspect", "-f", "{{.NetworkSettings.IPAddress}}", name])
}

const WAITS: &str = "sleep 1000";

#[test]
fn a_container_in_anothers_network_has_its_links_its_ports_and_its_files() {
    let t = test!(busybox);
    let options =
        ["-h", "web", "--domainname", "a.org", "--dns", "10.9.9.9", "--add-host", "db:10.0.0.3"];
    t.script(
        "x",
        &options,
        "nc -ll -p 7000 -e cat & while ! grep -qh ':1B58 .* 0A ' /proc/net/tcp*; do :; done; echo ready; wait",
    );
    t.wait_for_log("x", "ready");
    t.script("z", &["--net", "container:x"], WAITS);
    assert_eq!(namespace(&t, "z"), namespace(&t, "x"));
    assert_eq!(links(&t, "z"), ["eth0", "lo"]);
    let script = "echo hello | nc 127.0.0.1 7000; hostname -f; cat /etc/hostname /etc/resolv.conf; tail -n 2 /etc/hosts | cut -f 2";
    let expected = "hello\nweb.a.org\nweb\n";
    // What runs there, and what is executed there later.
    for words in [&["run", "--rm", "--net=container:x", "busybox"][..], &["exec", "z"]] {
        let text = t.says([words, &["sh", "-c", script]].concat());
        assert!(text.starts_with(expected), "{text}");
        assert!(text.contains("\nnameserver 10.9.9.9\n"), "{text}");
        assert!(text.ends_with("\nweb.a.org web\ndb"), "{text}");
    }
    // The files are the same ones: what changes is seen by both.
    t.coracle(["exec", "z", "sh", "-c", "echo 10.0.0.4 new >> /etc/hosts"]).ok();
    assert_eq!(t.says(["exec", "x", "tail", "-n", "1", "/etc/hosts"]), "10.0.0.4 new");

    let (x, z) = (t.inspect("x"), t.inspect("z"));
    let id = x["Id"].as_str().expect("an id");
    assert_eq!(z["HostConfig"]["NetworkMode"], format!("container:{id}"));
    assert_eq!(z["NetworkSettings"]["Networks"], json!({}));
    assert_eq!(z["NetworkSettings"]["IPAddress"], "");
    for key in ["HostsPath", "HostnamePath", "ResolvConfPath"] {
        assert_eq!(z[key], x[key]);
    }
    assert_ne!(z["LogPath"], x["LogPath"]);
    assert_eq!(z["Config"]["Hostname"], "web");
    // Names and the beginnings of ids are both good.
    t.coracle(["run", "--rm", &format!("--net=container:{}", &id[..12]), "busybox", "true"]).ok();
}

#[test]
fn any_network_can_be_joined() {
    let t = test!(busybox);
    for (name, network) in [("none", "none"), ("host", "host"), ("again", "container:none")] {
        t.script(name, &["--net", network], WAITS);
    }
    t.script("last", &["--net", "container:again"], WAITS);
    assert_eq!(namespace(&t, "last"), namespace(&t, "none"));
    assert_eq!(links(&t, "last"), ["lo"]);
    // The files are those of the first one.
    assert_eq!(t.inspect("last")["HostsPath"], t.inspect("none")["HostsPath"]);
    let ours = fs::read_link("/proc/thread-self/ns/net").expect("a namespace");
    let run = ["run", "--rm", "--net=container:host", "busybox", "readlink", "/proc/self/ns/net"];
    assert_eq!(t.says(run), ours.to_string_lossy());
}

#[test]
fn only_a_container_that_runs_can_be_joined() {
    let t = test!(busybox);
    t.coracle(["run", "--rm", "--net=container:x", "busybox", "true"])
        .code(125)
        .stderr_has("--network: no such container: x")
        .ok();
    t.coracle(["run", "--rm", "--net=container:", "busybox", "true"])
        .code(125)
        .stderr_has("--network: container: is without a name")
        .ok();
    assert!(t.containers().is_empty());

    t.coracle(["create", "--name", "x", "busybox", "sleep", "1000"]).ok();
    let down = "cannot join network of a non running container: x";
    let run = ["run", "-d", "--name", "z", "--net=container:x", "busybox", "sleep", "1000"];
    t.coracle(run).code(125).stderr_has(down).stderr_has("coracle start x").ok();
    assert_eq!(t.containers().len(), 1);

    t.coracle(["start", "x"]).ok();
    t.coracle(run).ok();
    t.coracle(["stop", "-t", "0", "x", "z"]).ok();
    t.coracle(["start", "z"]).code(1).stderr_has(down).ok();
    assert_eq!(t.status("z"), "exited");
    // Nor one that is gone.
    t.coracle(["rm", "x"]).ok();
    t.coracle(["start", "z"]).code(1).stderr_has("join its network: no such container").ok();
    assert_eq!(t.inspect("z")["Config"]["Hostname"].as_str().map(str::len), Some(12));
}

#[test]
fn what_belongs_to_the_other_containers_network_is_refused() {
    let t = test!(busybox);
    t.script("x", &[], WAITS);
    for (options, what) in [
        (["-h", "web"], "hostname and the network mode"),
        (["--domainname", "a.org"], "hostname and the network mode"),
        (["--dns", "8.8.8.8"], "dns and the network mode"),
        (["--dns-search", "a.org"], "dns and the network mode"),
        (["--add-host", "db:1.2.3.4"], "custom host-to-IP mapping and the network mode"),
        (["--mac-address", "02:00:00:00:00:01"], "mac-address and the network mode"),
        (["-p", "80"], "port publishing and the container type network mode"),
        (["-P", "-d"], "port publishing and the container type network mode"),
        (["--expose", "80"], "port exposing and the container type network mode"),
    ] {
        let run = [&["run", "--rm", "--net=container:x"], &options[..], &["busybox", "true"]];
        let text = format!("conflicting options: {what}");
        t.coracle(run.concat()).code(125).stderr_has(&text).ok();
    }
    assert_eq!(t.containers().len(), 1);
}

#[test]
fn a_namespace_that_outlives_its_owner_has_no_links_in_anybodys_way() {
    let t = test!(busybox);
    t.script("x", &[], WAITS);
    t.script("z", &["--net", "container:x"], WAITS);
    let (first, was) = (namespace(&t, "x"), address(&t, "x"));
    t.coracle(["stop", "-t", "0", "x"]).ok();
    assert_eq!(namespace(&t, "z"), first);
    assert_eq!(links(&t, "z"), ["lo"]);
    // The address is somebody else's now, who is reached there.
    t.script("w", &[], WAITS);
    assert_eq!(address(&t, "w"), was);
    t.coracle(["run", "--rm", "busybox", "ping", "-c", "1", "-W", "2", &was]).ok();
    t.coracle(["start", "x"]).ok();
    assert_ne!(namespace(&t, "x"), first);
    assert_eq!(namespace(&t, "z"), first);
    // A restart joins the network that is there now.
    t.coracle(["restart", "-t", "0", "z"]).ok();
    assert_eq!(namespace(&t, "z"), namespace(&t, "x"));
    assert_eq!(links(&t, "z"), ["eth0", "lo"]);
}

#[test]
fn links_that_could_not_be_taken_away_are_not_forgotten() {
    let t = test!(busybox);
    t.script("x", &[], WAITS);
    t.script("z", &["--net", "container:x"], WAITS);
    let run = t.run_dir("x");
    let mark = run.ancestors().nth(2).expect("a run directory").join("shared");
    let mark = mark.join(run.file_name().expect("an id"));
    let text = fs::read(&mark).expect("read the mark");
    fs::remove_file(&mark).expect("remove it");
    fs::create_dir(&mark).expect("put another thing there");
    t.coracle(["stop", "-t", "0", "x"]).any_stderr().ok();
    fs::remove_dir(&mark).expect("remove that");
    fs::write(&mark, text).expect("write the mark");
    t.coracle(["gc"]).ok();
    assert_eq!(links(&t, "z"), ["lo"]);
    assert!(!mark.exists());
}

#[test]
fn a_killed_monitor_changes_nothing_for_those_who_share() {
    let t = test!(busybox);
    t.script("x", &[], WAITS);
    t.script("z", &["--net", "container:x"], WAITS);
    let first = namespace(&t, "x");
    kill(t.monitor("x"));
    kill(t.monitor("z"));
    // Adopts both.
    t.script("y", &["--net", "container:z"], WAITS);
    for name in ["x", "y", "z"] {
        assert_eq!(namespace(&t, name), first);
        assert_eq!(links(&t, name), ["eth0", "lo"]);
    }
    t.coracle(["stop", "-t", "0", "x"]).ok();
    assert_eq!(links(&t, "z"), ["lo"]);
    // Where nobody sees the end, what is left is cleared away all the same.
    t.script("a", &[], WAITS);
    t.script("b", &["--net", "container:a"], WAITS);
    let first = t.pid("a");
    kill(t.monitor("a"));
    kill(first);
    t.coracle(["gc"]).ok();
    assert_eq!(t.status("a"), "exited");
    assert_eq!(links(&t, "b"), ["lo"]);
}

#[test]
fn a_policy_starts_nobody_in_a_network_that_is_gone() {
    let t = test!(busybox);
    t.script("x", &[], WAITS);
    t.script(
        "z",
        &["--net", "container:x", "--restart", "always"],
        "until [ -e /end ]; do sleep 0.01; done",
    );
    t.coracle(["stop", "-t", "0", "x"]).ok();
    t.coracle(["exec", "z", "touch", "/end"]).ok();
    t.wait_for_status("z", "exited");
    let error = t.says(["inspect", "-f", "{{.State.Error}}", "z"]);
    assert_eq!(error, "cannot join network of a non running container: x");
}

#[test]
fn after_a_reboot_a_container_waits_for_the_owner_of_its_network() {
    let t = test!(busybox);
    let policy = ["--restart", "always"];
    t.script("x", &policy, WAITS);
    t.script("z", &[&policy[..], &["--net", "container:x"]].concat(), WAITS);
    // All die at once, and whoever comes first finds the one who joins first.
    let all = ["z", "x"].map(|name| (t.monitor(name), t.pid(name)));
    for (monitor, pid) in all {
        kill(monitor);
        kill(pid);
    }
    t.coracle(["rm", "-f", "no-such"]).any_stderr().ok();
    t.wait_for_status("x", "running");
    t.wait_for_status("z", "running");
    assert_eq!(namespace(&t, "z"), namespace(&t, "x"));
    assert_eq!(links(&t, "z"), ["eth0", "lo"]);
}
