//! The network of a container as far as it goes yet: loopback, an address on the bridge, a route.

use crate::common::Test;
use crate::test;
use std::io::Read;
use std::net::TcpStream;

fn address(t: &Test, name: &str) -> String {
    t.inspect(name)["NetworkSettings"]["IPAddress"].as_str().expect("an address").to_string()
}

#[test]
fn the_host_reaches_a_service_by_its_address() {
    let t = test!(busybox);
    // Says when it listens: nc prints nothing, so the port is looked for in the kernel's table.
    let script = "echo hello | nc -l -p 8080 & while ! grep -qh ':1F90 .* 0A ' /proc/net/tcp*; do :; done; echo ready; wait";
    t.script("web", &[], script);
    t.wait_for_log("web", "ready");
    let mut stream = TcpStream::connect((address(&t, "web").as_str(), 8080)).expect("connect");
    stream.set_read_timeout(Some(crate::common::LIMIT)).expect("set a limit");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("read");
    assert_eq!(text, "hello\n");
}

#[test]
fn it_has_loopback_one_link_an_address_and_a_default_route() {
    let t = test!(busybox);
    t.coracle(["run", "-d", "--name", "c", "busybox", "sleep", "1000"]).ok();
    let links = t.says(["exec", "c", "ls", "/sys/class/net"]);
    assert_eq!(links.split_whitespace().collect::<Vec<_>>(), ["eth0", "lo"]);
    let addr = t.says(["exec", "c", "ip", "-o", "-4", "addr"]);
    assert!(addr.contains("127.0.0.1/8") && addr.contains(&address(&t, "c")), "{addr}");
    let gateway =
        t.inspect("c")["NetworkSettings"]["Gateway"].as_str().expect("a gateway").to_string();
    let route = t.says(["exec", "c", "ip", "route"]);
    assert!(route.contains(&format!("default via {gateway} dev eth0")), "{route}");
    t.coracle(["exec", "c", "ping", "-c", "1", "-W", "2", &gateway]).ok();
}

#[test]
fn containers_have_different_addresses_and_reach_each_other() {
    let t = test!(busybox);
    for name in ["a", "b"] {
        t.coracle(["run", "-d", "--name", name, "busybox", "sleep", "1000"]).ok();
    }
    let (a, b) = (address(&t, "a"), address(&t, "b"));
    assert_ne!(a, b);
    t.coracle(["exec", "a", "ping", "-c", "1", "-W", "2", &b]).ok();
    t.coracle(["exec", "b", "ping", "-c", "1", "-W", "2", &a]).ok();
}

#[test]
fn none_is_loopback_alone() {
    let t = test!(busybox);
    let script = "ls /sys/class/net; ip -o addr | grep -c 127.0.0.1; ip route | wc -l";
    t.coracle(["run", "--rm", "--net", "none", "busybox", "sh", "-c", script])
        .stdout("lo\n1\n0\n")
        .ok();
}

#[test]
fn host_is_the_network_of_the_caller() {
    let t = test!(busybox);
    let ours = std::fs::read_link("/proc/thread-self/ns/net").expect("a namespace");
    let theirs = t.says(["run", "--rm", "--net=host", "busybox", "readlink", "/proc/self/ns/net"]);
    assert_eq!(theirs, ours.to_string_lossy());
}

#[test]
fn an_address_is_free_again_when_its_container_is_gone() {
    let t = test!(busybox);
    let mut seen = Vec::new();
    for _ in 0..3 {
        t.coracle(["run", "-d", "--name", "c", "busybox", "sleep", "1000"]).ok();
        seen.push(address(&t, "c"));
        t.coracle(["rm", "-f", "c"]).ok();
    }
    seen.dedup();
    assert!(
        seen.len() <= 3 && seen.iter().all(|a| a.starts_with("172.") || a.starts_with("10.")),
        "{seen:?}"
    );
}

#[test]
fn exposed_ports_are_told_by_inspect() {
    let t = test!();
    t.coracle(["import", "--change", "EXPOSE 80", "-", "web"])
        .stdin(crate::common::image::busybox())
        .ok();
    let ports = ["--expose", "80/tcp", "--expose", "53/udp", "--expose", "8000-8002"];
    let create = [&["create", "--name", "c"], &ports[..], &["web", "true"]].concat();
    t.coracle(create).ok();
    let all = serde_json::json!({
        "53/udp": {}, "80/tcp": {}, "8000/tcp": {}, "8001/tcp": {}, "8002/tcp": {},
    });
    assert_eq!(t.inspect("c")["Config"]["ExposedPorts"], all);
}
