//! What a container is told of names: name servers, lines of /etc/hosts, its own name and domain,
//! and the address of its network card.

use crate::common::Test;
use crate::test;
use serde_json::json;

/// What a container of busybox prints that is run with these options.
fn run(t: &Test, options: &[&str], script: &str) -> String {
    t.says([&["run", "--rm"], options, &["busybox", "sh", "-c", script]].concat())
}

/// The lines of a resolv.conf that begin with one of its words.
fn words<'t>(text: &'t str, word: &str) -> Vec<&'t str> {
    text.lines().filter(|line| line.split_whitespace().next() == Some(word)).collect()
}

#[test]
fn servers_domains_and_options_replace_the_hosts() {
    let t = test!(busybox);
    let asked = [
        "-dns",
        "127.0.0.1",
        "--dns=fd00::53",
        "--dns-search",
        "a.org",
        "--dns-search",
        "b.org",
        "--dns-opt",
        "ndots:2",
        "--dns-option",
        "rotate",
    ];
    for network in ["bridge", "none", "host"] {
        let options = [&["--net", network], &asked[..]].concat();
        let text = run(&t, &options, "cat /etc/resolv.conf");
        assert_eq!(words(&text, "nameserver"), ["nameserver 127.0.0.1", "nameserver fd00::53"]);
        assert_eq!(words(&text, "search"), ["search a.org b.org"], "{network}");
        assert_eq!(words(&text, "options"), ["options ndots:2 rotate"], "{network}");
    }
    let text = run(&t, &["--dns-search", "."], "cat /etc/resolv.conf");
    assert!(words(&text, "search").is_empty() && words(&text, "domain").is_empty(), "{text}");
}

#[test]
fn added_hosts_are_found_by_name() {
    let t = test!(busybox);
    let options = [
        "--add-host",
        "db.example.org:10.0.0.3",
        "--add-host=db6:[fd00::3]",
        "--add-host",
        "up:host-gateway",
    ];
    let script = "grep -E 'org|fd00::3|up$' /etc/hosts; ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p'; ping -c 1 -W 2 up | grep -c 'from'";
    let text = run(&t, &options, script);
    let lines: Vec<&str> = text.lines().collect();
    let [first, second, third, gateway, "1"] = lines[..] else { panic!("{text}") };
    assert_eq!([first, second], ["10.0.0.3\tdb.example.org", "fd00::3\tdb6"]);
    assert_eq!(third, format!("{gateway}\tup"));
    let text = run(&t, &[&["--net", "host"], &options[..]].concat(), "cat /etc/hosts");
    let host = std::fs::read_to_string("/etc/hosts").expect("the host's file");
    assert_eq!(text, format!("{host}10.0.0.3\tdb.example.org\nfd00::3\tdb6\n127.0.0.1\tup"));
}

#[test]
fn a_name_with_a_domain_is_found_by_its_first_part_too() {
    let t = test!(busybox);
    let script = "hostname; hostname -f; dnsdomainname; cat /etc/hostname /proc/sys/kernel/domainname; tail -n 1 /etc/hosts | cut -f 2";
    let whole = run(&t, &["-h", "web.example.org"], script);
    let expected = "web.example.org\nweb.example.org\nexample.org\nweb.example.org\n(none)\nweb.example.org web";
    assert_eq!(whole, expected);
    let parts = run(&t, &["-h", "web", "--domainname", "example.org"], script);
    let expected = "web\nweb.example.org\nexample.org\nweb\nexample.org\nweb.example.org web";
    assert_eq!(parts, expected);
}

#[test]
fn a_container_on_the_hosts_network_has_the_hosts_name() {
    let t = test!(busybox);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("the host's name");
    let script = "hostname; cat /etc/hostname";
    let host = host.trim();
    assert_eq!(run(&t, &["--net=host"], script), format!("{host}\n{host}"));
    assert_eq!(run(&t, &["--net=host", "-h", "box"], script), "box\nbox");
}

#[test]
fn a_network_card_has_the_address_that_was_asked_for() {
    let t = test!(busybox);
    let mac = "02:00:5e:10:00:01";
    t.script("c", &["--mac-address", "02-00-5E-10-00-01"], "sleep 1000");
    assert_eq!(t.says(["exec", "c", "cat", "/sys/class/net/eth0/address"]), mac);
    let seen = t.inspect("c");
    assert_eq!(seen["Config"]["MacAddress"], mac);
    assert_eq!(seen["NetworkSettings"]["MacAddress"], mac);
    let gateway = seen["NetworkSettings"]["Gateway"].as_str().expect("a gateway");
    t.coracle(["exec", "c", "ping", "-c", "1", "-W", "2", gateway]).ok();
    t.coracle(["restart", "-t", "0", "c"]).stdout("c\n").ok();
    assert_eq!(t.says(["exec", "c", "cat", "/sys/class/net/eth0/address"]), mac);
    // Else it follows from the address.
    t.script("d", &[], "sleep 1000");
    let seen = t.says(["inspect", "-f", "{{.NetworkSettings.MacAddress}}", "d"]);
    assert!(seen.starts_with("02:42:"), "{seen}");
    assert_eq!(t.says(["exec", "d", "cat", "/sys/class/net/eth0/address"]), seen);
    assert!(t.inspect("d")["Config"].get("MacAddress").is_none());
}

#[test]
fn inspect_tells_what_was_asked_for() {
    let t = test!(busybox);
    let options = ["--dns", "8.8.8.8", "--dns-search", ".", "--dns-opt", "rotate"];
    let more =
        ["--add-host", "db=[fd00::3]", "--add-host", "up:host-gateway", "--domainname", "a.b"];
    t.coracle([&["create", "--name", "c"], &options[..], &more, &["busybox"]].concat()).ok();
    t.coracle(["create", "--name", "plain", "busybox"]).ok();
    let seen = t.inspect("c");
    assert_eq!(seen["HostConfig"]["Dns"], json!(["8.8.8.8"]));
    assert_eq!(seen["HostConfig"]["DnsSearch"], json!(["."]));
    assert_eq!(seen["HostConfig"]["DnsOptions"], json!(["rotate"]));
    assert_eq!(seen["HostConfig"]["ExtraHosts"], json!(["db:fd00::3", "up:host-gateway"]));
    assert_eq!(seen["Config"]["Domainname"], "a.b");
    let plain = t.inspect("plain");
    assert_eq!(plain["HostConfig"]["Dns"], json!([]));
    assert_eq!(plain["HostConfig"]["ExtraHosts"], json!(null));
    assert_eq!(plain["Config"]["Domainname"], "");
}

#[test]
fn what_cannot_be_is_refused_and_nothing_is_made() {
    let t = test!(busybox);
    for (options, text) in [
        (&["--dns", "dns.dev.org"][..], "--dns: \"dns.dev.org\" is no IP address"),
        (&["--dns-search", "a b"], "--dns-search: \"a b\" is no domain"),
        (&["--dns-opt", "a b"], "--dns-option: \"a b\" is no option of resolv.conf"),
        (&["--add-host", "db"], "--add-host: \"db\" is not name:address"),
        (&["--add-host", "db:1.2.3"], "--add-host: \"1.2.3\" of \"db:1.2.3\" is no IP address"),
        (&["--domainname", "a_b!"], "invalid domain name \"a_b!\""),
        (&["--mac-address", "1:2"], "--mac-address: \"1:2\" is no MAC address"),
        (&["--mac-address", "01:00:5e:00:00:01"], "is not the address of one station"),
        (
            &["--net=host", "--mac-address", "02:00:00:00:00:01"],
            "conflicting options: mac-address and the network mode",
        ),
        (
            &["--net=none", "--add-host", "up:host-gateway"],
            "--add-host up:host-gateway: --network none has no gateway",
        ),
        (&["-n=false", "--net=host"], "--networking=false and --network host exclude each other"),
        (&["-n=maybe"], "-n is on or off, \"maybe\" is neither"),
    ] {
        let run = [&["run", "--rm"], options, &["busybox", "true"]].concat();
        t.coracle(run).code(125).stdout("").stderr_has(text).ok();
    }
    assert!(t.containers().is_empty());
}

#[test]
fn networking_is_switched_off_as_in_2014() {
    let t = test!(busybox);
    for options in [&["-n=false"][..], &["-n"], &["-networking=false"]] {
        assert_eq!(run(&t, options, "ls /sys/class/net; ip route | wc -l"), "lo\n0");
    }
    let links = run(&t, &["-n=true"], "ls /sys/class/net");
    assert_eq!(links.split_whitespace().collect::<Vec<_>>(), ["eth0", "lo"]);
}
