//! What used to be flags of the daemon: the default network's bridge, range, rules and names.

use crate::common::Test;
use crate::test;
use std::fs;
use std::process::Command;

const SLEEP: [&str; 3] = ["busybox", "sleep", "1000"];

#[track_caller]
fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).output().expect("run sh");
    let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{script}: {text}");
    text
}

/// Starts a container with flags in front of `run` and behind it.
#[track_caller]
fn run(t: &Test, name: &str, global: &[&str], options: &[&str]) {
    t.coracle([global, &["run", "-d", "--name", name], options, &SLEEP].concat()).ok();
}

fn at(t: &Test, name: &str, key: &str) -> String {
    t.inspect(name)["NetworkSettings"][key].as_str().unwrap_or_default().to_string()
}

fn reaches(t: &Test, from: &str, to: &str) -> bool {
    t.coracle(["exec", from, "sh", "-c", &format!("ping -c 1 -W 1 {to} >/dev/null 2>&1; echo $?")])
        .ok()
        .stdout_text()
        == "0\n"
}

#[test]
fn the_bridge_has_the_address_and_size_that_were_asked_for() {
    let t = test!(busybox);
    let bip = ["--bip", "10.77.0.5/24", "--mtu=1400"];
    run(&t, "a", &bip, &[]);
    assert_eq!([at(&t, "a", "IPAddress"), at(&t, "a", "Gateway")], ["10.77.0.1", "10.77.0.5"]);
    let bridge = at(&t, "a", "Bridge");
    assert!(sh(&format!("ip addr show {bridge}")).contains("mtu 1400"));
    assert!(sh(&format!("ip addr show {bridge}")).contains("inet 10.77.0.5/24"));
    assert!(t.says(["exec", "a", "ip", "link", "show", "eth0"]).contains("mtu 1400"));
    assert!(reaches(&t, "a", "10.77.0.5"));

    // Who says nothing takes it as it is; who says otherwise is told.
    run(&t, "b", &[], &[]);
    assert_eq!(at(&t, "b", "IPAddress"), "10.77.0.2");
    t.coracle(["--bip=10.78.0.1/24", "run", "--rm", "busybox", "true"])
        .code(125)
        .stderr_has("bip is to be changed while containers are on the network bridge")
        .stderr_has("stop them first")
        .ok();
    t.coracle(["rm", "-f", "a", "b"]).ok();
    run(&t, "c", &["--bip=10.78.0.1/24", "--fixed-cidr=10.78.0.128/25"], &[]);
    assert_eq!(at(&t, "c", "IPAddress"), "10.78.0.128");
    assert!(!sh(&format!("ip addr show {bridge}")).contains("10.77.0.5"));
    t.coracle(["rm", "-f", "c"]).ok();
    // Nobody asks for anything: a range is chosen again.
    run(&t, "d", &[], &[]);
    assert!(at(&t, "d", "IPAddress").starts_with("172."));
}

#[test]
fn a_file_says_it_for_all_commands() {
    let t = test!(busybox);
    let file = t.path("coracle.toml");
    let text =
        "icc = false\ndns = [\"10.9.9.9\"]\ndns-search = \"example.org\"\nip = \"127.0.0.1\"\n";
    fs::write(&file, text).expect("write the settings");
    let file = file.display().to_string();
    let with = ["--config", file.as_str()];
    run(&t, "server", &with, &["--expose", "80", "-p", "8080:80"]);
    run(&t, "stranger", &with, &[]);
    run(&t, "friend", &with, &["--link", "server:web"]);
    assert_eq!(t.says(["port", "server", "80"]), "127.0.0.1:8080");
    let resolv = t.says(["exec", "stranger", "cat", "/etc/resolv.conf"]);
    assert!(resolv.contains("nameserver 10.9.9.9") && resolv.contains("search example.org"));

    let address = at(&t, "server", "IPAddress");
    let serve =
        "while :; do echo hello | nc -l -p 80; done & while :; do echo no | nc -l -p 81; done";
    t.coracle(["exec", "-d", "server", "sh", "-c", serve]).ok();
    let ask = |from: &str, port: u16| {
        // The server may not listen yet: a refusal is an answer, silence is none.
        let script = format!(
            "while :; do timeout 2 nc {address} {port} 2>/tmp/e </dev/null && break; grep -q refused /tmp/e || {{ echo silence; break; }}; done"
        );
        t.says(["exec", from, "sh", "-c", &script])
    };
    assert_eq!(ask("friend", 80), "hello");
    assert_eq!(ask("friend", 81), "silence");
    assert_eq!(ask("stranger", 80), "silence");

    // The variable names the file too, and a flag is stronger than the file.
    t.coracle(["rm", "-f", "server", "stranger", "friend"]).ok();
    t.coracle(["--icc=true", "run", "-d", "--name", "a", "busybox", "sleep", "1000"])
        .env("CORACLE_CONFIG", &file)
        .ok();
    run(&t, "b", &[], &[]);
    assert!(reaches(&t, "b", &at(&t, "a", "IPAddress")));
}

#[test]
fn a_bridge_of_the_users_is_left_as_it_is() {
    let t = test!(busybox);
    sh(
        "ip link add mine address 02:11:22:33:44:55 type bridge && ip addr add 10.66.0.1/24 dev mine && ip link set mine up",
    );
    let shown = || {
        let settings =
            "/proc/sys/net/ipv4/conf/mine/* /sys/class/net/mine/address /sys/class/net/mine/mtu";
        sh(&format!(
            "ip -o -4 addr show mine; grep -sH . {settings} /proc/sys/net/ipv4/ip_forward || true"
        ))
    };
    let before = shown();
    let ours = ["-b", "mine"];
    run(&t, "a", &ours, &["-p", "8080:80"]);
    assert_eq!([at(&t, "a", "IPAddress"), at(&t, "a", "Gateway")], ["10.66.0.2", "10.66.0.1"]);
    assert!(reaches(&t, "a", "10.66.0.1"));
    t.coracle(["rm", "-f", "a"]).ok();
    t.coracle(["-b=mine", "--bip=10.0.0.1/24", "run", "--rm", "busybox", "true"])
        .code(125)
        .stderr_has("bip is for a bridge of ours, and the given one is not")
        .ok();
    assert_eq!(before, shown());
    sh("ip link del mine");
    t.coracle(["-b", "mine", "start", "nobody"]).code(1).any_stderr().ok();
    t.coracle(["create", "--name", "late", "busybox", "true"]).ok();
    t.coracle(["-b", "mine", "start", "late"]).code(1).stderr_has("there is no bridge mine").ok();
    // One that does not exist is made, by its name.
    run(&t, "b", &["--bridge=other"], &[]);
    assert_eq!(at(&t, "b", "Bridge"), "other");
    t.coracle(["rm", "-f", "b"]).ok();
    // With the next settings it goes, and its rules.
    t.coracle(["run", "--rm", "busybox", "true"]).ok();
    assert!(!sh("ip link").contains("other") && !sh("nft list tables").contains("other"));
}

#[test]
fn without_a_bridge_there_is_the_loopback_alone() {
    let t = test!(busybox);
    run(&t, "a", &["--bridge", "none"], &[]);
    assert_eq!(t.says(["exec", "a", "ls", "/sys/class/net"]), "lo");
    t.coracle(["-b", "none", "run", "--rm", "-p", "80", "busybox", "true"])
        .code(125)
        .stderr_has("cannot publish 80/tcp: it is switched off on network bridge")
        .ok();
}

#[test]
fn without_rules_there_are_none() {
    let t = test!(busybox);
    run(&t, "a", &["--iptables=false"], &[]);
    assert_eq!(sh("nft list ruleset"), "");
    assert!(reaches(&t, "a", &at(&t, "a", "Gateway")));
    t.coracle(["--iptables=false", "run", "--rm", "-p", "80", "busybox", "true"])
        .code(125)
        .stderr_has("it is switched off on network bridge")
        .ok();
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let t = test!(busybox);
    for (flags, text) in [
        (
            &["--bip=10.0.0.0/24"][..],
            "--bip: \"10.0.0.0/24\" is no address of a bridge with its range",
        ),
        (&["--mtu", "1"], "--mtu: \"1\" is not 68 to 65535 bytes"),
        (&["-icc=no"], "--icc is on or off, \"no\" is neither"),
        (&["-b", "a/b"], "--bridge: \"a/b\" is no name for a link"),
        (
            &["-b", "a-name-that-is-too-long"],
            "--bridge: \"a-name-that-is-too-long\" is no name for a link",
        ),
        (&["--ip", "x"], "--ip: \"x\" is not an IP address"),
        (&["--dns", "x"], "--dns: \"x\""),
    ] {
        let line = [flags, &["run", "--rm", "busybox", "true"]].concat();
        t.coracle(line).code(125).stderr_has(text).ok();
    }
    let refused = |text: &str, expected: &str| {
        let file = t.path("bad.toml");
        fs::write(&file, text).expect("write the settings");
        t.coracle(["--config".into(), file.display().to_string(), "run".into(), "busybox".into()])
            .code(125)
            .stderr_has(&format!("{}: {expected}", file.display()))
            .ok();
    };
    refused("bip = ", "line 1: ");
    refused("\nbirdge = \"x\"", "line 2: birdge: there is no such setting");
    t.coracle(["--fixed-cidr=10.0.0.0/25", "run", "busybox"])
        .code(125)
        .stderr_has("fixed-cidr is a part of a range that nobody gave")
        .ok();
    t.coracle(["--config", "/no/such/file", "run", "busybox"])
        .code(125)
        .stderr_has("/no/such/file")
        .ok();
    assert!(t.containers().is_empty());
}

/// How often the rules of this namespace were changed (NFT_MSG_GETGEN).
fn generation() -> u32 {
    let script = "import socket, struct
s = socket.socket(16, 3, 12)
s.bind((0, 0))
s.send(struct.pack('=IHHII4s', 20, 10 << 8 | 16, 1, 0, 0, bytes(4)))
print(struct.unpack('>I', s.recv(4096)[24:28])[0])";
    let output = Command::new("python3").args(["-c", script]).output().expect("run python3");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

#[test]
fn all_rules_of_a_container_enter_and_leave_at_once() {
    let t = test!(busybox);
    let isolated = ["-o", "com.docker.network.bridge.enable_icc=false"];
    for name in ["one", "two"] {
        t.coracle([&["network", "create"], &isolated[..], &[name]].concat()).ok();
    }
    let both = ["--net", "one", "--net", "two", "--expose", "80"];
    let from_two = ["--net", "two", "--link", "middle"];
    run(&t, "target", &[], &["--net", "one", "--expose", "80"]);
    let middle = ["-p", "80", "-p", "53/udp", "-p", "127.0.0.1::81", "--link", "target"];
    run(&t, "middle", &[], &[&both[..], &middle].concat());
    run(&t, "consumer", &[], &from_two);
    let rules = || sh("nft list ruleset");
    let (before, at_first) = (generation(), rules());
    t.coracle(["stop", "-t", "0", "middle"]).ok();
    assert_eq!(generation(), before + 1);
    let addresses = ["one", "two"].map(|network| {
        let settings = t.inspect("target")["NetworkSettings"]["Networks"].clone();
        settings[network]["IPAddress"].as_str().unwrap_or_default().to_string()
    });
    assert!(!rules().contains(&format!("{} .", addresses[0])), "{}", rules());
    t.coracle(["start", "middle"]).ok();
    assert_eq!(generation(), before + 2);
    let links = |rules: String| rules.matches(" . tcp . 80").count();
    // Either link is in two tables.
    assert_eq!((links(at_first), links(rules())), (4, 4));
    t.coracle(["rm", "-f", "middle"]).ok();
    assert_eq!(generation(), before + 3);
    assert!(!rules().contains("tcp . 80"), "{}", rules());
}
