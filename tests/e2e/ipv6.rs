//! Networks whose containers have IPv6 addresses too, by the command line.

use crate::common::Test;
use crate::common::host::Host;
use crate::networks::{network, run};
use crate::test;
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::process::Command;

const RANGES: [&str; 5] = ["--ipv6", "--subnet", "10.77.0.0/24", "--subnet", "fd00:77::/64"];

/// A web server that tells who asked it.
fn serve(t: &Test, name: &str, options: &[&str]) {
    let script = "mkdir -p /w/cgi-bin; cd /w/cgi-bin
        printf '#!/bin/sh\\necho; echo $REMOTE_ADDR\\n' >who; chmod +x who
        httpd -p 80 -h /w && echo up; exec sleep 1000";
    t.script(name, options, script);
    t.wait_for_log(name, "up");
}

fn inspect(t: &Test, network: &str) -> Value {
    let text = t.says(["network", "inspect", network]);
    let all: Value = serde_json::from_str(&text).expect("JSON");
    all[0].clone()
}

/// Address, length of the prefix and gateway.
fn at(t: &Test, name: &str, network: &str) -> [Value; 3] {
    let at = &t.inspect(name)["NetworkSettings"]["Networks"][network];
    ["GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPv6Gateway"].map(|key| at[key].clone())
}

fn lookup(t: &Test, from: &str, name: &str) -> String {
    let script = format!("nslookup -type=aaaa {name} | sed -n 's/^Address: //p'");
    t.says(["exec", from, "sh", "-c", &script])
}

fn reaches(t: &Test, from: &str, to: &str) -> bool {
    let script = format!("ping6 -c 1 -W 2 {to} >/dev/null && echo yes || echo no");
    t.says(["exec", from, "sh", "-c", &script]) == "yes"
}

/// What a server says, or the code of `curl`'s failure.
fn page(mut curl: Command, url: &str) -> String {
    let output = curl.args(["-g", "-s", "--max-time", "5", url]).output().expect("run curl");
    match output.status.code() {
        Some(0) => {
            let said = String::from_utf8_lossy(&output.stdout);
            said.trim().trim_start_matches("[::ffff:").trim_matches(['[', ']']).to_string()
        }
        code => format!("{code:?}"),
    }
}

#[test]
fn containers_are_shown_and_found_by_their_addresses_and_keep_them() {
    let t = test!(busybox);
    network(&t, "six", &RANGES);
    run(&t, "a", &["--net", "six", "--net-alias", "other"]);
    run(&t, "b", &["--net", "six"]);
    let all = inspect(&t, "six");
    assert_eq!(all["EnableIPv6"], true);
    let ranges = json!([
        { "Subnet": "10.77.0.0/24", "Gateway": "10.77.0.1" },
        { "Subnet": "fd00:77::/64", "Gateway": "fd00:77::1" },
    ]);
    assert_eq!(all["IPAM"]["Config"], ranges);
    let id = t.inspect("a")["Id"].as_str().expect("an id").to_string();
    assert_eq!(all["Containers"][&id]["IPv6Address"], "fd00:77::2/64");
    let place = [json!("fd00:77::2"), json!(64), json!("fd00:77::1")];
    assert_eq!(at(&t, "a", "six"), place);

    for name in ["a", "other", &id[..12]] {
        assert_eq!(lookup(&t, "b", name), "fd00:77::2");
    }
    assert!(reaches(&t, "b", "a") && reaches(&t, "b", "fd00:77::1"));
    let hosts = t.says(["exec", "a", "cat", "/etc/hosts"]);
    let line = |address: &str| format!("{address}\t{}", &id[..12]);
    assert!(hosts.contains(&line("10.77.0.2")) && hosts.contains(&line("fd00:77::2")), "{hosts}");

    t.coracle(["restart", "-t", "0", "a"]).ok();
    assert_eq!(at(&t, "a", "six"), place);
    assert!(reaches(&t, "b", "a"));
    t.coracle(["network", "disconnect", "six", "a"]).ok();
    assert_eq!(lookup(&t, "b", "a"), "");
    t.coracle(["network", "connect", "six", "a"]).ok();
    assert_eq!(at(&t, "a", "six"), place);
    assert!(reaches(&t, "b", "a"));

    // A range that nobody gave is one of nobody else's.
    network(&t, "chosen", &["--ipv6"]);
    let range = inspect(&t, "chosen")["IPAM"]["Config"][1]["Subnet"].to_string();
    assert!(range.starts_with("\"fd") && range.ends_with("::/64\""), "{range}");
}

#[test]
fn a_link_is_a_line_for_each_version() {
    let t = test!(busybox);
    network(
        &t,
        "both",
        &[&RANGES[..], &["-o", "com.docker.network.bridge.enable_icc=false"]].concat(),
    );
    serve(&t, "db", &["--net", "both", "--expose", "80"]);
    run(&t, "app", &["--net", "both", "--link", "db:base"]);
    let lines = || t.says(["exec", "app", "sh", "-c", "grep -w base /etc/hosts | cut -f 1"]);
    assert_eq!(lines(), "10.77.0.2\nfd00:77::2");
    for at in ["10.77.0.2", "[fd00:77::2]"] {
        let url = format!("http://{at}/cgi-bin/who");
        assert!(!t.says(["exec", "app", "wget", "-qO-", &url]).is_empty(), "{at}");
    }
    t.coracle(["stop", "-t", "0", "db"]).ok();
    assert_eq!(lines(), "");
}

#[test]
fn a_port_is_published_for_both_versions() {
    let t = test!(busybox);
    network(&t, "six", &RANGES);
    serve(&t, "web", &["--net", "six", "-p", "8080:80", "-p", "[::]:8081:80"]);
    // The same number is told once.
    assert_eq!(t.says(["port", "web", "80"]), "0.0.0.0:8080\n[::]:8081");
    let column = t.says(["ps", "--format", "{{.Ports}}"]);
    assert_eq!(column, "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, [::]:8081->80/tcp");
    let ports = &t.inspect("web")["NetworkSettings"]["Ports"]["80/tcp"];
    assert_eq!(ports[1], json!({"HostIp": "::", "HostPort": "8080"}));
    assert!(TcpListener::bind("[::]:8081").is_err());

    let other = Host::join(&t);
    let lay = "ip addr add 2001:db8::1/64 dev cable nodad";
    assert!(Command::new("sh").args(["-ec", lay]).status().expect("run sh").success());
    let there = ["addr", "add", "2001:db8::2/64", "dev", "cable", "nodad"];
    assert!(other.command("ip").args(there).status().expect("run ip").success());
    for port in [8080, 8081] {
        let url = format!("http://[2001:db8::1]:{port}/cgi-bin/who");
        assert_eq!(page(other.command("curl"), &url), "2001:db8::2");
        assert_eq!(page(Command::new("curl"), &url), "2001:db8::1");
    }
    // At ::1 it is refused at once, so that who asks for localhost goes on to 127.0.0.1.
    assert_eq!(page(Command::new("curl"), "http://[::1]:8080/"), "Some(7)");
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("http://{host}:8080/cgi-bin/who");
        assert_eq!(page(Command::new("curl"), &url), "10.77.0.1");
    }

    t.coracle(["stop", "-t", "0", "web"]).ok();
    assert!(TcpListener::bind("[::]:8081").is_ok());
    assert_eq!(page(other.command("curl"), "http://[2001:db8::1]:8080/"), "Some(7)");
}

#[test]
fn the_default_network_has_ipv6_where_it_is_asked_for() {
    let t = test!(busybox);
    t.coracle(["--ipv6", "run", "-d", "--name", "a", "busybox", "sleep", "1000"]).ok();
    let [address, ..] = at(&t, "a", "bridge");
    let range = inspect(&t, "bridge")["IPAM"]["Config"][1]["Subnet"].clone();
    let prefix = range.as_str().and_then(|range| range.strip_suffix("::/64")).expect("a range");
    assert_eq!(address, format!("{prefix}::2"));
    // Who asks for nothing takes the network as it is.
    run(&t, "b", &[]);
    assert!(reaches(&t, "b", address.as_str().expect("an address")));
    t.coracle(["--ipv6=false", "run", "--rm", "busybox", "true"])
        .code(125)
        .stderr_has("ipv6 is to be changed while containers are on the network bridge")
        .ok();

    // To say what holds anyway changes nothing.
    t.coracle(["--ipv6", "--icc=true", "--iptables=true", "run", "--rm", "busybox", "true"]).ok();

    // With the next first container it goes, and its address from the bridge.
    t.coracle(["rm", "-f", "a", "b"]).ok();
    run(&t, "c", &[]);
    assert_eq!(at(&t, "c", "bridge"), [json!(""), json!(0), json!("")]);
    assert_eq!(inspect(&t, "bridge")["EnableIPv6"], false);
    let shown = Command::new("ip").args(["-6", "addr", "show", "coracle0"]).output();
    let shown = String::from_utf8(shown.expect("run ip").stdout).expect("text");
    assert!(!shown.contains("scope global"), "{shown}");
    t.coracle(["--ipv6=false", "run", "--rm", "busybox", "true"]).ok();
    t.coracle(["rm", "-f", "c"]).ok();

    let config = || inspect(&t, "bridge")["IPAM"]["Config"][1]["Subnet"].clone();
    let with = |global: &[&str]| {
        t.coracle([global, &["run", "--rm", "busybox", "true"]].concat()).ok();
        config()
    };
    // The range is kept for the next time, unless one is given.
    assert_eq!(with(&["--ipv6"]), range);
    assert_eq!(with(&["--ipv6", "--fixed-cidr-v6", "fd00:9::/64"]), "fd00:9::/64");
    assert_eq!(with(&["--ipv6"]), range);
    t.coracle(["--fixed-cidr-v6", "fd00:9::/64", "run", "--rm", "busybox", "true"])
        .code(125)
        .stderr_has("fixed-cidr-v6 is for containers with IPv6")
        .ok();

    let file = t.path("coracle.toml").display().to_string();
    fs::write(&file, "ipv6 = true\n").expect("write the settings");
    let run = ["run", "-d", "-p", "8080:80", "--name", "d", "busybox", "sleep", "1000"];
    t.coracle([&["--config", &file], &run[..]].concat()).ok();
    let ports = t.says(["ps", "--format", "{{.Ports}}"]);
    assert_eq!(ports, "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp");
}

#[test]
fn what_makes_no_sense_is_refused_and_nothing_is_made() {
    let t = test!(busybox);
    network(&t, "six", &RANGES);
    network(&t, "four", &[]);
    let create = ["network", "create"];
    for (args, code, text) in [
        (&["--subnet", "fd00::/127", "x"][..], 125, "is not a range of IPv6 addresses"),
        (&["--subnet", "fe80::/64", "x"], 125, "is not a range of IPv6 addresses"),
        (&["--subnet", "fd00:77::/48", "x"], 1, "overlaps fd00:77::/64, which is in use"),
        (&["--subnet", "10.1.0.0/16", "--subnet", "fd00:1::/120", "x"], 1, "has fewer addresses"),
        (&["--subnet", "10.1.0.0/24", "--subnet", "10.2.0.0/24", "x"], 125, "one of IPv4 and one"),
        (&["--gateway", "fd00:1::1", "x"], 1, "the network has no IPv6"),
        (&["--subnet", "fd00:1::/64", "--gateway", "fd00:1::9", "x"], 1, "it is fd00:1::1"),
    ] {
        t.coracle([&create, args].concat()).code(code).stderr_has(text).ok();
    }
    for (network, port, text) in [
        ("six", "[::1]:8080:80", "cannot publish [::1]:8080:80/tcp: the kernel leads nowhere"),
        ("four", "[::]:8080:80", "cannot publish [::]:8080:80/tcp: containers have no IPv6"),
    ] {
        let run = ["run", "--rm", "--net", network, "-p", port, "busybox", "true"];
        t.coracle(run).code(125).stderr_has(text).ok();
    }
    assert_eq!(
        t.says(["network", "ls", "-f", "type=custom", "--format", "{{.Name}}"]),
        "four\nsix"
    );
    let lay = "ip link add mine type bridge && ip addr add 10.66.0.1/24 dev mine";
    assert!(Command::new("sh").args(["-ec", lay]).status().expect("run sh").success());
    t.coracle(["-b", "mine", "--ipv6", "run", "--rm", "busybox", "true"])
        .code(125)
        .stderr_has("ipv6 is for a bridge of ours, and the given one is not")
        .ok();
    assert!(Command::new("ip").args(["link", "del", "mine"]).status().expect("run ip").success());
    assert!(t.containers().is_empty());
}

#[test]
fn an_address_is_asked_for_by_either_version() {
    let t = test!(busybox);
    network(&t, "six", &RANGES);
    run(&t, "a", &["--net", "six", "--ip6", "fd00:77::9"]);
    run(&t, "b", &["--net", "name=six,ip=10.77.0.8,ip6=fd00:77::8"]);
    t.coracle(["run", "-d", "--name", "c", "busybox", "sleep", "1000"]).ok();
    t.coracle(["network", "connect", "--ip6", "fd00:77::7", "six", "c"]).ok();
    for (name, place) in [("a", 9), ("b", 8), ("c", 7)] {
        let own = &t.inspect(name)["NetworkSettings"]["Networks"]["six"];
        assert_eq!(own["IPAddress"], format!("10.77.0.{place}"));
        assert_eq!(own["GlobalIPv6Address"], format!("fd00:77::{place}"));
    }
    network(&t, "four", &[]);
    for (network, options, text) in [
        ("four", &["--ip6", "fd00:77::5"][..], "the network four has no IPv6"),
        ("six", &["--ip6", "fd00:78::5"], "goes with no address for a host of 10.77.0.0/24"),
        ("six", &["--ip6", "fd00:77::5", "--ip", "10.77.0.6"], "goes with --ip 10.77.0.5"),
    ] {
        let run = [&["run", "--rm", "--net", network], options, &["busybox", "true"]].concat();
        t.coracle(run).code(125).stderr_has(text).ok();
    }
    t.coracle(["network", "create", "--ipv4=false", "x"])
        .code(125)
        .stderr_has("every network has IPv4")
        .ok();
    t.coracle(["network", "create", "--ipv4", "x"]).any_stderr().ok();
}

#[test]
fn servers_of_ipv6_alone_are_asked_for_containers_without_it() {
    let t = test!(busybox);
    let file = t.path("resolv.conf");
    let by = format!("mount --bind {} /etc/resolv.conf; exec \"$@\"", file.display());
    let by = format!("exec unshare -m sh -ec '{by}' sh \"$@\"");
    let text = |host: &str, options: &[&str]| {
        fs::write(&file, host).expect("write it");
        let run = [&["run", "--rm"], options, &["busybox", "cat", "/etc/resolv.conf"]].concat();
        let output = t.coracle(run).by(&by).any_stderr();
        output.ok().stdout_text()
    };
    let own = "nameserver 127.0.0.11\n";
    let six = "nameserver fd00::53\n";
    assert!(text(six, &[]).starts_with(own));
    assert!(text("nameserver fe80::1%lo\n", &[]).starts_with(own));
    assert_eq!(text("nameserver fd00::53\nnameserver 10.9.9.9\n", &[]), "nameserver 10.9.9.9\n");
    assert_eq!(text(six, &["--dns", "10.9.9.9"]), "nameserver 10.9.9.9\n");
    // It is there, and says so where nobody answers it.
    fs::write(&file, "nameserver ::1\nnameserver 2001:db8::53\n").expect("write it");
    let asked = t.coracle(["run", "--rm", "busybox", "nslookup", "x.example"]).by(&by);
    asked.code(1).stdout_has("127.0.0.11").any_stderr().ok();
}
