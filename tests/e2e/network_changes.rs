//! `network connect` and `network disconnect`, and whoever is killed meanwhile.

use super::networks::{WAITS, address, links, lookup, network, page, reaches, run, serve};
use crate::common::{LIMIT, Test, eventually, kill};
use crate::test;
use coracle::types::{Pid, Signal};
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

fn resolver(t: &Test, name: &str) -> String {
    t.says(["exec", name, "cat", "/etc/resolv.conf"])
}

/// The monitor of a container, also of an adopted one.
#[track_caller]
fn monitor_of(t: &Test, name: &str) -> Pid {
    let id = t.inspect(name)["Id"].as_str().expect("an id").to_string();
    let began = Instant::now();
    loop {
        if let Some(monitor) = monitor_now(&id) {
            return monitor;
        }
        assert!(began.elapsed() < LIMIT, "{name} has no monitor");
    }
}

/// The monitor of the container with this id, if there is one at the moment.
fn monitor_now(id: &str) -> Option<Pid> {
    fs::read_dir("/proc").expect("read /proc").flatten().find_map(|entry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        let is_it = words.get(1) == Some(&&b"monitor"[..]) && words.contains(&id.as_bytes());
        let number = entry.file_name().to_string_lossy().parse().ok().filter(|_| is_it)?;
        Pid::from_raw(number)
    })
}

fn way_out(t: &Test, name: &str) -> String {
    let routes = t.says(["exec", name, "ip", "route"]);
    let line = routes.lines().find_map(|line| line.strip_prefix("default via "));
    line.unwrap_or_default().trim().to_string()
}

/// The line of a container's own in its /etc/hosts.
fn own_line(t: &Test, name: &str) -> String {
    let id = t.inspect(name)["Config"]["Hostname"].as_str().expect("a name").to_string();
    let hosts = t.says(["exec", name, "cat", "/etc/hosts"]);
    let lines: Vec<&str> = hosts.lines().filter(|line| line.ends_with(&id)).collect();
    assert!(lines.len() < 2, "{hosts}");
    lines.first().map_or(String::new(), |line| line.split('\t').next().unwrap_or("").to_string())
}

#[test]
fn a_container_that_runs_is_put_on_networks_and_taken_off_them() {
    let t = test!(busybox);
    network(&t, "one", &["--subnet", "10.77.1.0/24"]);
    network(&t, "two", &["--subnet", "10.77.2.0/24"]);
    serve(&t, "c", &["--net", "one", "-p", "8001:80"]);
    run(&t, "b", &["--net", "two"]);
    let options = ["--alias", "x", "--ip", "10.77.2.9"];
    t.coracle([&["network", "connect"], &options[..], &["two", "c"]].concat()).ok();
    assert_eq!(links(&t, "c"), ["eth0", "eth1", "lo"]);
    assert_eq!(address(&t, "c", "two"), "10.77.2.9");
    assert_eq!(lookup(&t, "b", "x"), ["10.77.2.9"]);
    assert_eq!(lookup(&t, "b", "c"), ["10.77.2.9"]);
    assert_eq!(lookup(&t, "c", "b").len(), 1);
    assert!(reaches(&t, "c", "b") && reaches(&t, "b", "c"));
    assert_eq!(way_out(&t, "c"), "10.77.1.1 dev eth0");
    let connect = ["network", "connect", "two", "c"];
    t.coracle(connect).code(1).stderr_has("c is on network two already").ok();

    // The way out and the published port move along.
    t.coracle(["network", "disconnect", "one", "c"]).ok();
    assert_eq!(links(&t, "c"), ["eth1", "lo"]);
    assert_eq!(way_out(&t, "c"), "10.77.2.1 dev eth1");
    assert_eq!(own_line(&t, "c"), "10.77.2.9");
    assert_eq!(address(&t, "c", "one"), "");
    for (who, at) in [("b", "10.77.2.1:8001"), ("c", "10.77.2.1:8001"), ("b", "c")] {
        assert_eq!(page(&t, who, at), "c", "{who} {at}");
    }
    let disconnect = ["network", "disconnect", "one", "c"];
    t.coracle(disconnect).code(1).stderr_has("c is not on network one").ok();

    // Back again, at the first free name.
    t.coracle(["network", "connect", "one", "c"]).ok();
    assert_eq!(links(&t, "c"), ["eth0", "eth1", "lo"]);
    assert_eq!(way_out(&t, "c"), "10.77.2.1 dev eth1");
    t.coracle(["network", "disconnect", "two", "c"]).ok();
    t.coracle(["network", "disconnect", "one", "c"]).ok();
    assert_eq!(links(&t, "c"), ["lo"]);
    assert_eq!(way_out(&t, "c"), "");
    assert_eq!(own_line(&t, "c"), "");
    assert!(lookup(&t, "b", "c").is_empty());
    t.coracle(["network", "rm", "one"]).ok();
    // None is no reason not to be on one again.
    t.coracle(["network", "connect", "two", "c"]).ok();
    assert_eq!(page(&t, "b", "10.77.2.1:8001"), "c");
    assert_eq!(way_out(&t, "c"), "10.77.2.1 dev eth0");
    assert_eq!(own_line(&t, "c"), address(&t, "c", "two"));
}

#[test]
fn a_container_that_is_down_changes_its_networks_for_its_next_start() {
    let t = test!(busybox);
    network(&t, "one", &[]);
    network(&t, "two", &["--subnet", "10.77.2.0/24"]);
    t.coracle(["create", "--name", "c", "--net", "one", "busybox", "sleep", "100000"]).ok();
    t.coracle(["network", "connect", "--ip", "10.77.2.9", "two", "c"]).ok();
    t.coracle(["network", "connect", "two", "c"]).code(1).stderr_has("already").ok();
    t.coracle(["network", "disconnect", "one", "c"]).ok();
    t.coracle(["network", "disconnect", "one", "c"]).code(1).stderr_has("not on network one").ok();
    t.coracle(["start", "c"]).ok();
    assert_eq!(links(&t, "c"), ["eth0", "lo"]);
    assert_eq!(address(&t, "c", "two"), "10.77.2.9");
    // A network that is gone can be left.
    t.coracle(["stop", "-t", "0", "c"]).ok();
    t.coracle(["network", "rm", "two"]).ok();
    t.coracle(["start", "c"]).code(1).stderr_has("no such network: two").ok();
    t.coracle(["network", "disconnect", "two", "c"]).ok();
    t.coracle(["network", "connect", "one", "c"]).ok();
    t.coracle(["start", "c"]).ok();
    assert_ne!(address(&t, "c", "one"), "");
    // Those without networks of their own have nothing to change.
    for mode in ["host", "none", "container:c"] {
        run(&t, "x", &["--net", mode]);
        t.coracle(["network", "connect", "one", "x"]).code(1).stderr_has("--net=").ok();
        t.coracle(["network", "disconnect", "one", "x"]).code(1).stderr_has("not on network").ok();
        t.coracle(["rm", "-f", "x"]).ok();
    }
    for special in ["host", "none"] {
        let connect = ["network", "connect", special, "c"];
        t.coracle(connect).code(1).stderr_has("is no network to be on").ok();
    }
}

#[test]
fn a_container_of_the_default_network_learns_names_when_it_gets_on_one_that_has_them() {
    let t = test!(busybox);
    network(&t, "web", &[]);
    run(&t, "db", &["--net", "web"]);
    run(&t, "c", &[]);
    let before = resolver(&t, "c");
    assert!(!before.contains("127.0.0.11"), "{before}");
    t.coracle(["network", "connect", "--alias", "x", "web", "c"]).ok();
    assert_eq!(lookup(&t, "c", "db"), [address(&t, "db", "web")]);
    assert_eq!(lookup(&t, "db", "x"), [address(&t, "c", "web")]);
    assert!(resolver(&t, "c").starts_with("nameserver 127.0.0.11\n"));
    // Also from the next monitor.
    kill(monitor_of(&t, "c"));
    t.coracle(["gc"]).ok();
    assert_eq!(lookup(&t, "c", "db").len(), 1);
    t.coracle(["network", "disconnect", "web", "c"]).ok();
    assert_eq!(resolver(&t, "c"), before);
    assert!(lookup(&t, "db", "c").is_empty());
    // A monitor that died before.
    kill(monitor_of(&t, "c"));
    t.coracle(["network", "connect", "web", "c"]).ok();
    assert_eq!(lookup(&t, "c", "db").len(), 1);
    assert!(resolver(&t, "c").starts_with("nameserver 127.0.0.11\n"));
    t.coracle(["network", "disconnect", "web", "c"]).ok();
    // What a program has written there is its own.
    t.coracle(["exec", "c", "sh", "-c", "echo nameserver 10.9.9.9 >/etc/resolv.conf"]).ok();
    t.coracle(["network", "connect", "web", "c"]).ok();
    assert_eq!(resolver(&t, "c"), "nameserver 10.9.9.9");
    let text = t.says(["exec", "c", "nslookup", "db", "127.0.0.11"]);
    assert!(text.contains(&address(&t, "db", "web")), "{text}");
    // Those who join a namespace have what its owner has.
    run(&t, "z", &["--net", "container:c"]);
    assert_eq!(resolver(&t, "z"), "nameserver 10.9.9.9");
}

#[test]
fn names_are_answered_whichever_monitor_is_killed() {
    let t = test!(busybox);
    network(&t, "web", &[]);
    for name in ["a", "b"] {
        run(&t, name, &["--net", "web"]);
    }
    for _ in 0..3 {
        for name in ["a", "b"] {
            kill(monitor_of(&t, name));
        }
        // Adopts both.
        t.coracle(["gc"]).ok();
        assert_eq!(lookup(&t, "a", "b"), [address(&t, "b", "web")]);
        assert_eq!(lookup(&t, "b", "a"), [address(&t, "a", "web")]);
    }
    let process = t.pid("b");
    kill(monitor_of(&t, "b"));
    kill(process);
    t.coracle(["gc"]).ok();
    assert!(lookup(&t, "a", "b").is_empty());
    let on = t.says(["network", "inspect", "-f", "{{json .Containers}}", "web"]);
    assert_eq!(on.matches("\"Name\"").count(), 1, "{on}");
}

#[test]
fn a_name_server_that_cannot_be_opened_is_tried_again() {
    let t = test!(busybox);
    network(&t, "web", &[]);
    for name in ["a", "b"] {
        run(&t, name, &["--net", "web"]);
    }
    let inside = |what: &str| {
        let pid = t.pid("a").to_string();
        let ip = format!("ip address {what} 127.0.0.1/8 dev lo");
        let status = Command::new("nsenter").args(["-t", &pid, "-n", "sh", "-ec", &ip]).status();
        assert!(status.expect("run nsenter").success());
    };
    inside("del");
    kill(monitor_of(&t, "a"));
    t.coracle(["gc"]).ok();
    // Its monitor is there all the same.
    for verb in ["pause", "unpause"] {
        t.coracle([verb, "a"]).ok();
    }
    let is_open = || t.says(["exec", "a", "cat", "/proc/net/udp"]).contains(" 0B00007F:");
    assert!(!is_open());
    inside("add");
    eventually("it is open", is_open);
    assert_eq!(lookup(&t, "a", "b"), [address(&t, "b", "web")]);
}

/// What the container itself, the record, the names and the addresses in use say about a network.
fn is_on(t: &Test, name: &str, network: &str) -> bool {
    let at = address(t, name, network);
    let has_link = links(t, name).contains(&"eth1".to_string());
    let names = !lookup(t, "watcher", name).is_empty();
    let leases = fs::read_dir(t.root().join("networks").join(network).join("leases"));
    let leases = leases.expect("leases").count() == 3;
    let all = [!at.is_empty(), has_link, names, leases];
    assert!(all == [true; 4] || all == [false; 4], "record, link, names, address: {all:?}");
    has_link
}

#[test]
fn who_is_killed_while_changing_networks_leaves_all_or_nothing() {
    let t = test!(busybox);
    network(&t, "web", &[]);
    run(&t, "watcher", &["--net", "web"]);
    serve(&t, "c", &["-p", "8001:80"]);
    run(&t, "app", &["--net", "web", "--net", "bridge", "--link", "c:base"]);
    let gateway = way_out(&t, "c");
    let began = Instant::now();
    for verb in ["connect", "disconnect"] {
        t.coracle(["network", verb, "web", "c"]).ok();
    }
    // Beyond the end now and then.
    let whole = began.elapsed() * 3 / 4;
    let (mut on, mut seen) = (false, [0, 0]);
    for step in 0..60u32 {
        let verb = if on { "disconnect" } else { "connect" };
        let mut change = t.coracle(["network", verb, "web", "c"]).spawn();
        let until = Instant::now() + whole * (step % 20) / 20;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        change.signal(Signal::KILL);
        change.wait();
        // Whoever comes next finds what is left to do.
        t.coracle(["run", "--rm", "busybox", "true"]).ok();
        on = is_on(&t, "c", "web");
        seen[usize::from(on)] += 1;
        assert_eq!(way_out(&t, "c"), gateway);
        assert_eq!(line(&t, "app", "base"), address(&t, "c", if on { "web" } else { "bridge" }));
        assert_eq!(resolver(&t, "c").starts_with("nameserver 127.0.0.11\n"), on, "step {step}");
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    assert_eq!(page(&t, "c", "127.0.0.1"), "c");
    let host = gateway.split(' ').next().expect("an address");
    assert_eq!(page(&t, "c", &format!("{host}:8001")), "c");
    if !on {
        t.coracle(["network", "connect", "web", "c"]).ok();
    }
    assert!(is_on(&t, "c", "web"));
    assert_eq!(lookup(&t, "c", "watcher").len(), 1);
}

#[test]
fn links_and_ports_come_back_when_somebody_flushed_the_rules() {
    let t = test!(busybox);
    network(&t, "web", &["-o", "com.docker.network.bridge.enable_icc=false"]);
    let expose = ["--net", "web", "--expose", "80", "-p", "8001:80"];
    serve(&t, "db", &expose);
    run(&t, "app", &["--net", "web", "--link", "db:base"]);
    run(&t, "other", &["--net", "web"]);
    let db = address(&t, "db", "web");
    let host = way_out(&t, "other").split(' ').next().expect("an address").to_string();
    let check = || {
        // The alias is a name of the consumer's own.
        assert_eq!(page(&t, "app", "base"), "db");
        assert_eq!(page(&t, "other", &db), "none");
        assert_eq!(page(&t, "other", &format!("{host}:8001")), "db");
    };
    check();
    let flush = Command::new("nft").args(["flush", "ruleset"]).status().expect("run nft");
    assert!(flush.success());
    run(&t, "new", &["--net", "web"]);
    check();
    assert_eq!(page(&t, "new", &db), "none");
}

/// Where a container's /etc/hosts says that a link leads.
pub fn line(t: &Test, name: &str, alias: &str) -> String {
    let script = format!("grep -w {alias} /etc/hosts | cut -f 1");
    t.says(["exec", name, "sh", "-c", &script])
}

/// Whether a rule names an address.
pub fn is_in_rules(address: &str) -> bool {
    let listed = Command::new("nft").args(["list", "ruleset"]).output().expect("run nft");
    let text = String::from_utf8(listed.stdout).expect("UTF-8");
    let mut words = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    words.any(|word| word == address)
}

#[test]
fn a_link_follows_its_consumer_over_networks() {
    let t = test!(busybox);
    let apart = ["-o", "com.docker.network.bridge.enable_icc=false"];
    network(&t, "one", &apart);
    network(&t, "two", &apart);
    serve(&t, "db", &["--net", "one", "--net", "two", "--expose", "80"]);
    run(&t, "app", &["--net", "one", "--link", "db:base"]);
    let first = address(&t, "app", "one");
    assert!(is_in_rules(&first));
    t.coracle(["network", "connect", "two", "app"]).ok();
    let second = address(&t, "app", "two");
    t.coracle(["network", "disconnect", "one", "app"]).ok();
    assert_eq!(line(&t, "app", "base"), address(&t, "db", "two"));
    assert_eq!(page(&t, "app", "base"), "db");
    assert!(!is_in_rules(&first));
    t.coracle(["network", "disconnect", "two", "app"]).ok();
    assert_eq!(line(&t, "app", "base"), "");
    assert!(!is_in_rules(&second));
    t.coracle(["network", "connect", "one", "app"]).ok();
    assert_eq!(line(&t, "app", "base"), address(&t, "db", "one"));
    assert_eq!(page(&t, "app", "base"), "db");
}

#[test]
fn who_is_killed_while_removing_a_link_leaves_all_or_nothing() {
    let t = test!(busybox);
    network(&t, "web", &["-o", "com.docker.network.bridge.enable_icc=false"]);
    run(&t, "db", &["--net", "web", "--expose", "80"]);
    let marks = t.run_dir("db").ancestors().nth(2).expect("a run directory").join("links");
    let began = Instant::now();
    t.coracle(["rm", "--link", "none/x"]).code(1).any_stderr().ok();
    let whole = began.elapsed() * 3;
    let mut seen = [0, 0];
    for step in 0..30u32 {
        run(&t, "app", &["--net", "web", "--link", "db:base"]);
        let mut removal = t.coracle(["rm", "--link", "app/base"]).spawn();
        let until = Instant::now() + whole * (step % 15) / 15;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        removal.signal(Signal::KILL);
        removal.wait();
        t.coracle(["run", "--rm", "busybox", "true"]).ok();
        let is_linked = !t.inspect("app")["HostConfig"]["Links"].is_null();
        assert_eq!(!line(&t, "app", "base").is_empty(), is_linked, "step {step}");
        assert_eq!(is_in_rules(&address(&t, "app", "web")), is_linked, "step {step}");
        assert_eq!(marks.exists(), is_linked, "step {step}");
        seen[usize::from(is_linked)] += 1;
        t.coracle(["rm", "-f", "app"]).ok();
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn who_is_killed_while_removing_a_network_leaves_no_bridge() {
    let t = test!(busybox);
    let bridges = || {
        let listed = Command::new("ip").args(["-o", "link"]).output().expect("run ip");
        String::from_utf8(listed.stdout).expect("UTF-8").matches(": br-").count()
    };
    let mut seen = [0, 0];
    let mut whole = Duration::ZERO;
    for step in 0..20u32 {
        network(&t, "web", &[]);
        t.coracle(["run", "--rm", "--net", "web", "busybox", "true"]).ok();
        assert_eq!(bridges(), 1);
        let mut removal = t.coracle(["network", "rm", "web"]).spawn();
        let began = Instant::now();
        while step > 0 && began.elapsed() < whole * (step % 10) / 10 {
            std::hint::spin_loop();
        }
        if step > 0 {
            removal.signal(Signal::KILL);
        }
        removal.wait();
        whole = whole.max(began.elapsed().min(LIMIT));
        t.coracle(["run", "--rm", "busybox", "true"]).ok();
        let is_there = !t.says(["network", "ls", "-q", "-f", "name=web"]).is_empty();
        seen[usize::from(is_there)] += 1;
        if is_there {
            t.coracle(["network", "rm", "web"]).ok();
        }
        assert_eq!(bridges(), 0, "step {step}");
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn what_cannot_be_undone_is_tried_again() {
    let t = test!(busybox);
    network(&t, "web", &[]);
    run(&t, "watcher", &["--net", "web"]);
    run(&t, "c", &[]);
    t.coracle(["network", "connect", "web", "c"]).ok();
    let name = t.root().join("networks/web/addresses").join(address(&t, "c", "web"));
    let aside = t.root().join("networks/web/aside");
    fs::rename(&name, &aside).expect("move its name");
    fs::create_dir(&name).expect("put another thing in its place");
    let disconnect = ["network", "disconnect", "web", "c"];
    t.coracle(disconnect).code(1).stderr_has("disconnect c from web").ok();
    let undo = "undo an earlier change of it";
    t.coracle(["network", "connect", "web", "c"]).code(1).stderr_has(undo).ok();
    t.coracle(["run", "--rm", "busybox", "true"]).any_stderr().ok();
    fs::remove_dir(&name).expect("remove it");
    fs::rename(&aside, &name).expect("move the name back");
    t.coracle(["run", "--rm", "busybox", "true"]).ok();
    assert_eq!(links(&t, "c"), ["eth0", "lo"]);
    assert!(lookup(&t, "watcher", "c").is_empty());
    t.coracle(["restart", "-t", "0", "c"]).ok();
    assert_eq!(links(&t, "c"), ["eth0", "lo"]);
    t.coracle(["network", "connect", "web", "c"]).ok();
    assert_eq!(lookup(&t, "watcher", "c"), [address(&t, "c", "web")]);
}

#[test]
fn an_alias_that_was_its_name_too_stays() {
    let t = test!(busybox);
    network(&t, "lan", &[]);
    run(&t, "DB", &["--net", "lan", "--net-alias", "db"]);
    run(&t, "app", &["--net", "lan"]);
    let at = lookup(&t, "app", "db");
    t.coracle(["rename", "DB", "other"]).ok();
    assert_eq!(lookup(&t, "app", "db"), at);
    assert_eq!(lookup(&t, "app", "other"), at);
}

#[test]
fn a_link_that_its_container_renamed_goes_with_the_network() {
    let t = test!(busybox);
    network(&t, "web", &[]);
    run(&t, "c", &["--privileged"]);
    t.coracle(["network", "connect", "web", "c"]).ok();
    let rename = "ip link set eth1 down && ip link set eth1 name mine && ip link set mine up";
    t.coracle(["exec", "c", "sh", "-c", rename]).ok();
    t.coracle(["network", "disconnect", "web", "c"]).ok();
    assert_eq!(links(&t, "c"), ["eth0", "lo"]);
    t.coracle(["network", "connect", "web", "c"]).ok();
    assert_eq!(links(&t, "c"), ["eth0", "eth1", "lo"]);
}

#[test]
fn a_link_follows_its_target_over_networks() {
    let t = test!(busybox);
    network(&t, "one", &[]);
    network(&t, "two", &["--subnet", "10.77.2.0/24"]);
    serve(&t, "db", &["--net", "one", "--expose", "80"]);
    run(&t, "app", &["--net", "one", "--net", "two", "--link", "db:base"]);
    let line = || line(&t, "app", "base");
    assert_eq!(line(), address(&t, "db", "one"));
    assert_eq!(page(&t, "app", "base"), "db");
    t.coracle(["network", "connect", "--ip", "10.77.2.9", "two", "db"]).ok();
    t.coracle(["network", "disconnect", "one", "db"]).ok();
    assert_eq!(line(), "10.77.2.9");
    assert_eq!(page(&t, "app", "base"), "db");
    t.coracle(["network", "disconnect", "two", "db"]).ok();
    assert_eq!(line(), "");
    // Two that share no network cannot be linked.
    run(&t, "far", &[]);
    let link = ["run", "--net", "one", "--link", "far", "busybox", "true"];
    t.coracle(link).code(125).stderr_has("far is on network bridge, not one").ok();
    t.script("last", &["--net", "two"], WAITS);
}
