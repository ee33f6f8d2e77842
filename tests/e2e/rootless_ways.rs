//! What leads to containers of a user who is not root, and out of them: names, and IPv6.

use crate::common::eventually;
use crate::common::host::HERE;
use crate::rootless::{connected, fetch};
use crate::test;
use std::fs;
use std::io::{ErrorKind, Read};
use std::net::TcpListener;
use std::process::{Command, Stdio};

/// A server of names on the host's loopback, until dropped.
struct Resolver(std::process::Child);

impl Resolver {
    fn start() -> Resolver {
        let mut dnsmasq = Command::new("dnsmasq");
        dnsmasq.args(["--keep-in-foreground", "--log-facility=-", "--conf-file=/dev/null"]);
        dnsmasq.args(["--bind-interfaces", "--no-resolv", "--no-hosts", "--user=root"]);
        dnsmasq.args(["--pid-file", "--listen-address=127.0.0.1"]);
        dnsmasq.args(["--address=/boat.example/10.9.9.9", "--address=/boat.example/fd99::9"]);
        let mut child = dnsmasq.stderr(Stdio::piped()).spawn().expect("run dnsmasq");
        // It has its sockets before it says the first word.
        let said = child.stderr.as_mut().expect("a pipe").read(&mut [0; 4096]);
        assert!(said.expect("read") > 0);
        Resolver(child)
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).expect("stop dnsmasq");
    }
}

fn names_come_from_a_resolver_of_the_loopback(mode: &str) {
    let t = test!();
    let Some((mut user, _other)) = connected(&t, mode) else { return };
    user.instead("/etc/resolv.conf", "nameserver 127.0.0.1\n");
    let resolver = Resolver::start();
    user.script("c", &[&format!("--net={mode}")], "exec sleep 1000");
    for (kind, answer) in [("a", "10.9.9.9"), ("aaaa", "fd99::9")] {
        let script = format!("nslookup -type={kind} boat.example | grep -A 1 ^Name");
        let said = user.says(&["exec", "c", "sh", "-c", &script]);
        assert!(said.ends_with(&format!("Address: {answer}")), "{said}");
    }
    // Nothing else of it can be reached.
    let own = TcpListener::bind(("127.0.0.1", 7777)).expect("listen");
    let server = user.says(&["exec", "c", "sed", "-n", "s/nameserver //p", "/etc/resolv.conf"]);
    user.coracle(&["exec", "c", "timeout", "2", "nc", "-w", "1", &server, "7777"]).spawn().wait();
    own.set_nonblocking(true).expect("do not wait");
    let nobody = own.accept().expect_err("the host's loopback is its own");
    assert_eq!(nobody.kind(), ErrorKind::WouldBlock);
    drop(resolver);
}

#[test]
fn names_come_from_a_resolver_of_the_loopback_by_pasta() {
    names_come_from_a_resolver_of_the_loopback("pasta");
}

#[test]
fn names_come_from_a_resolver_of_the_loopback_by_slirp4netns() {
    names_come_from_a_resolver_of_the_loopback("slirp4netns");
}

#[test]
fn pasta_knows_ipv6_from_the_first_packet_on() {
    let t = test!();
    let Some((user, other)) = connected(&t, "pasta") else { return };
    let script = "ip address add fd99::52/64 dev cable nodad; ip -6 route add default via fd99::53";
    let done = Command::new("sh").args(["-ec", script]).status().expect("run sh");
    assert!(done.success());
    let address = ["address", "add", "fd99::53/64", "dev", "cable", "nodad"];
    assert!(other.command("ip").args(address).status().expect("run ip").success());
    let serve = "echo served >/file; httpd -p 80 -h /; echo up; exec sleep 1000";
    user.script("web", &["-p", "8080:80", "-p", "[fd99::52]:8081:80"], serve);
    user.wait_for_log("web", "up");
    let ask = |port: u16| {
        // Debian's static busybox crashes at such an address.
        let mut curl = other.command("curl");
        curl.args(["-gs", "-m", "5"]).arg(format!("http://[fd99::52]:{port}/file"));
        String::from_utf8(curl.output().expect("run curl").stdout).expect("UTF-8")
    };
    assert_eq!([ask(8080), ask(8081)], ["served\n", "served\n"]);
    for (at, port) in [("::1", 8080), ("fd99::52", 8080), (HERE, 8080), ("fd99::52", 8081)] {
        assert!(fetch(at, port).expect("an answer").ends_with("served\n"), "{at} {port}");
    }
    assert!(fetch(HERE, 8081).is_err(), "it is at one address only");
    assert_eq!(
        user.says(&["port", "web"]),
        "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n80/tcp -> [fd99::52]:8081"
    );

    // The way out, also from the first packet on; and not to this one's loopback.
    let mut server = other.command("busybox");
    fs::write(t.path("served"), "elsewhere\n").expect("write");
    let server = server.args(["httpd", "-f", "-p", "8000", "-h"]).arg(t.path("")).spawn();
    let mut server = server.expect("run httpd");
    eventually("the other host answers", || {
        let local = ["-gs", "http://[::1]:8000/served"];
        other.command("curl").args(local).output().expect("run curl").status.success()
    });
    let ask_there = "printf 'GET /served HTTP/1.0\\r\\n\\r\\n' | timeout 5 nc fd99::53 8000 \
                     | grep -m 1 elsewhere";
    let there = user.coracle(&["run", "--rm", "busybox", "sh", "-c", ask_there]);
    there.stdout("elsewhere\n").any_stderr().ok();
    server.kill().and_then(|()| server.wait()).expect("stop httpd");
    let own = TcpListener::bind(("::1", 7777)).expect("listen");
    for at in ["::1", "fd99::52", "fd99::53"] {
        user.coracle(&["exec", "web", "timeout", "2", "nc", "-w", "1", at, "7777"]).spawn().wait();
    }
    own.set_nonblocking(true).expect("do not wait");
    let nobody = own.accept().expect_err("the host's loopback is its own");
    assert_eq!(nobody.kind(), ErrorKind::WouldBlock);

    user.coracle(&["restart", "-t", "0", "web"]).ok();
    user.wait_for_log("web", "up");
    eventually("it serves again", || ask(8080) == "served\n");
}
