//! Networks that lie upon a link of the host.

use super::networks::{address, links, lookup, network, page, reaches, run, serve};
use crate::common::kill;
use crate::test;
use std::process::Command;

fn ip(args: &str) {
    let status = Command::new("ip").args(args.split(' ')).status().expect("run ip");
    assert!(status.success(), "ip {args}");
}

/// A link of the test's own, gone when dropped.
struct Parent;

impl Parent {
    fn new() -> Parent {
        ip("link add up0 type veth peer name up1");
        ip("link set up0 up");
        ip("link set up1 up");
        Parent
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "del", "up0"]).status();
    }
}

#[test]
fn containers_upon_a_link_reach_each_other_and_who_is_behind_it() {
    let t = test!(busybox);
    let _parent = Parent::new();
    ip("addr add 10.77.1.250/24 dev up1");
    network(&t, "lan", &["-d", "macvlan", "-o", "parent=up0", "--subnet", "10.77.1.0/24"]);
    assert_eq!(t.says(["network", "inspect", "-f", "{{.Driver}}", "lan"]), "macvlan");
    serve(&t, "a", &["--net", "lan"]);
    run(&t, "b", &["--net", "lan", "--ip", "10.77.1.99", "--net-alias", "x"]);
    assert_eq!(links(&t, "a"), ["eth0", "lo"]);
    assert_eq!(page(&t, "b", "a"), "a");
    assert_eq!(lookup(&t, "a", "x"), ["10.77.1.99"]);
    let route = t.says(["exec", "b", "ip", "route"]);
    assert!(route.contains("default via 10.77.1.1 dev eth0"), "{route}");
    // The other end of the wire.
    assert!(reaches(&t, "a", "10.77.1.250"));
    // On a bridge at the same time, and off again.
    network(&t, "web", &[]);
    t.coracle(["network", "connect", "web", "a"]).ok();
    run(&t, "c", &["--net", "web"]);
    assert_eq!(page(&t, "c", "a"), "a");
    t.coracle(["network", "connect", "lan", "c"]).ok();
    assert_eq!(links(&t, "c"), ["eth0", "eth1", "lo"]);
    assert!(reaches(&t, "c", "10.77.1.99"));
    t.coracle(["network", "disconnect", "lan", "c"]).ok();
    assert_eq!(links(&t, "c"), ["eth0", "lo"]);
    assert!(address(&t, "c", "lan").is_empty());
    t.coracle(["restart", "-t", "0", "b"]).ok();
    assert_eq!(address(&t, "b", "lan"), "10.77.1.99");
    t.coracle(["rm", "-f", "a", "b", "c"]).ok();
    t.coracle(["network", "rm", "lan", "web"]).ok();
}

#[test]
fn a_namespace_that_outlives_its_owner_gives_its_address_back() {
    let t = test!(busybox);
    let _parent = Parent::new();
    network(&t, "lan", &["-d", "macvlan", "-o", "parent=up0", "--subnet", "10.77.1.0/24"]);
    network(&t, "web", &[]);
    run(&t, "x", &["--net", "web"]);
    t.coracle(["network", "connect", "--ip", "10.77.1.9", "lan", "x"]).ok();
    run(&t, "y", &["--net", "container:x"]);
    run(&t, "z", &["--net", "container:y"]);
    // Nobody knows any more whose the namespace was that it is in.
    t.coracle(["rm", "-f", "y"]).ok();
    assert_eq!(links(&t, "z"), ["eth0", "eth1", "lo"]);
    t.coracle(["stop", "-t", "0", "x"]).ok();
    assert_eq!(links(&t, "z"), ["lo"]);
    // Somebody else is the station and has the address now.
    run(&t, "w", &["--net", "lan", "--ip", "10.77.1.9"]);
    assert_eq!(links(&t, "w"), ["eth0", "lo"]);
    run(&t, "v", &["--net", "lan"]);
    assert!(reaches(&t, "v", "10.77.1.9"));
    t.coracle(["rm", "-f", "w"]).ok();
    // Where nobody sees the end.
    t.coracle(["rm", "x"]).ok();
    run(&t, "x", &["--net", "web"]);
    t.coracle(["network", "connect", "--ip", "10.77.1.9", "lan", "x"]).ok();
    run(&t, "u", &["--net", "container:x"]);
    let (monitor, first) = (t.monitor("x"), t.pid("x"));
    kill(monitor);
    kill(first);
    t.coracle(["gc"]).ok();
    assert_eq!(links(&t, "u"), ["lo"]);
}

#[test]
fn an_internal_one_has_no_way_out() {
    let t = test!(busybox);
    let _parent = Parent::new();
    let options = ["-d", "macvlan", "-o", "parent=up0", "--internal", "--subnet", "10.77.1.0/24"];
    network(&t, "lan", &options);
    for name in ["a", "b"] {
        run(&t, name, &["--net", "lan"]);
    }
    assert!(reaches(&t, "a", "b"));
    assert!(!t.says(["exec", "a", "ip", "route"]).contains("default"));
    // Private ones do not see each other.
    let private = ["-d", "macvlan", "-o", "parent=up0", "-o", "mode=private", "--subnet"];
    network(&t, "alone", &[&private[..], &["10.77.2.0/24"]].concat());
    for name in ["c", "d"] {
        run(&t, name, &["--net", "alone"]);
    }
    assert_eq!(lookup(&t, "c", "d").len(), 1);
    assert!(!reaches(&t, "c", "d"));
}

#[test]
fn what_the_kernel_or_the_host_lacks_is_told() {
    let t = test!(busybox);
    let parent = Parent::new();
    let run = |network: &str| t.coracle(["run", "--rm", "--net", network, "busybox", "true"]);
    network(&t, "flat", &["-d", "ipvlan", "-o", "parent=up0", "--subnet", "10.77.1.0/24"]);
    match has_ipvlan() {
        true => drop(run("flat").ok()),
        false => drop(run("flat").code(125).stderr_has("ipvlan").ok()),
    }
    assert!(t.containers().is_empty());
    network(&t, "lan", &["-d", "macvlan", "-o", "parent=up0", "--subnet", "10.77.2.0/24"]);
    drop(parent);
    run("lan").code(125).stderr_has("lies upon up0, which does not exist").ok();
    assert!(t.containers().is_empty());
    let leases = t.root().join("networks/lan/leases");
    assert_eq!(std::fs::read_dir(leases).map_or(0, Iterator::count), 0);
}

fn has_ipvlan() -> bool {
    let add = "link add link up0 name iv0 type ipvlan";
    let made = Command::new("ip").args(add.split(' ')).output().expect("run ip");
    if made.status.success() {
        ip("link del iv0");
    }
    made.status.success()
}
