//! images/ambassador: ports forwarded by the variables of links, on one host and between two.

use crate::common::command::Run;
use crate::common::host::{HERE, Host};
use crate::common::{LIMIT, Test, eventually, image};
use crate::servers::{IMPORT_REDIS, redis};
use crate::test;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

fn program() -> PathBuf {
    let set = std::env::var_os("CORACLE_BIN");
    set.unwrap_or_else(|| env!("CARGO_BIN_EXE_coracle").into()).into()
}

/// Builds the recipe into a store; `false` where the machine lacks what it copies.
fn build(root: &Path) -> bool {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let cox = std::env::var_os("COX_BIN").map_or(here.join("dist/cox"), PathBuf::from);
    if !cox.with_file_name("forward").exists() {
        crate::common::skipped("needs static binaries (make dist)");
        return false;
    }
    let mut build = Command::new(here.join("images/build"));
    build.arg(here.join("images/ambassador")).env("CORACLE_ROOT", root).env("COX_BIN", cox);
    let built = build.env("CORACLE_BIN", program()).output().expect("run images/build");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    true
}

/// Waits until somebody listens at each of these ports, which a container's own tables tell.
#[track_caller]
fn wait_for_ports<'t>(coracle: impl Fn(&[&str]) -> Run<'t>, name: &str, ports: &[u16]) {
    let tables = ["exec", name, "sh", "-c", "cat /proc/net/tcp* /proc/net/udp*"];
    eventually(&format!("{name} listens"), || {
        let text = coracle(&tables).ok().stdout_text();
        ports.iter().all(|port| text.contains(&format!(":{port:04X} 0000")))
    });
}

#[test]
fn the_documentations_example_of_two_hosts_works() {
    let t = test!();
    let Some(redis) = redis() else { return };
    let client = Host::join(&t);
    if !build(&t.root()) || !build(client.root()) {
        return;
    }
    t.coracle(IMPORT_REDIS).stdin(redis.clone()).ok();
    client.coracle(&IMPORT_REDIS).stdin(redis).ok();

    // The server's host.
    t.coracle(["run", "-d", "-name", "redis", "redis"]).ok();
    t.wait_for_log("redis", "Ready to accept connections");
    let link = ["-link", "redis:redis", "-name", "redis_ambassador", "-p", "6379:6379"];
    t.coracle([&["run", "-d"], &link[..], &["ambassador"]].concat()).ok();
    wait_for_ports(|args| t.coracle(args), "redis_ambassador", &[6379]);

    // The client's.
    let target = format!("REDIS_PORT_6379_TCP=tcp://{HERE}:6379");
    let expose = ["-name", "redis_ambassador", "-expose", "6379", "-e", &target];
    client.coracle(&[&["run", "-d"], &expose[..], &["ambassador"]].concat()).ok();
    wait_for_ports(|args| client.coracle(args), "redis_ambassador", &[6379]);

    let link = ["-link", "redis_ambassador:redis", "redis"];
    let ask = "exec redis-cli -h $REDIS_PORT_6379_TCP_ADDR -p $REDIS_PORT_6379_TCP_PORT";
    let run = [&["run", "-i", "-t", "-rm"], &link[..], &["sh", "-c", ask]].concat();
    let mut consumer = client.coracle(&run).on_terminal(24, 80);
    // It drops what is typed before it prompts.
    for (said, answer) in [("ping", "PONG\r\n"), ("set place far", "OK\r\n")] {
        consumer.until(":6379> ");
        consumer.write(format!("{said}\r"));
        consumer.until(answer);
    }
    consumer.until(":6379> ");
    consumer.write("\x04");
    assert_eq!(consumer.wait(), 0);
    t.coracle(["exec", "redis", "redis-cli", "get", "place"]).stdout("far\n").ok();

    // The server comes back at another address, the near ambassador is started anew: who runs on
    // is answered again.
    let run = [&["run", "-d", "-name", "consumer"], &link[..], &["sleep", "1000"]].concat();
    client.coracle(&run).ok();
    let get = ["exec", "consumer", "redis-cli", "-h", "redis", "ping"];
    client.coracle(&get).stdout("PONG\n").ok();
    let address = |t: &Test| t.says(["inspect", "-f", "{{.NetworkSettings.IPAddress}}", "redis"]);
    let old = address(&t);
    t.coracle(["stop", "-t", "0", "redis"]).ok();
    t.coracle(["run", "-d", "redis", "sleep", "1000"]).ok();
    t.coracle(["start", "redis"]).ok();
    assert_ne!(address(&t), old);
    t.wait_for_logs("redis", "Ready to accept connections", 2);
    client.coracle(&get).stdout("PONG\n").ok();
    client.coracle(&["restart", "-t", "0", "redis_ambassador"]).ok();
    wait_for_ports(|args| client.coracle(args), "redis_ambassador", &[6379]);
    client.coracle(&get).stdout("PONG\n").ok();
}

/// What counts bytes at TCP port 7000 until the client has said all, echoes at UDP port 53, and
/// tells the client's port at UDP port 54.
const SERVER: &str = "socat -t 30 TCP-LISTEN:7000,fork,reuseaddr,backlog=128 SYSTEM:'wc -c' &
    socat -b 65536 UDP-RECVFROM:53,fork PIPE &
    socat UDP-RECVFROM:54,fork SYSTEM:'read word; echo $SOCAT_PEERPORT' & wait";

/// Sends so many bytes, closes that half, and reads the answer.
fn count(at: (Ipv4Addr, u16), bytes: usize) -> io::Result<String> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(&vec![b'x'; bytes])?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.trim().to_string())
}

/// Says it and waits for the answer; once more when none comes, for UDP may lose either.
fn echo(socket: &UdpSocket, text: &str) -> String {
    let began = Instant::now();
    let mut answer = [0; 1 << 16];
    while began.elapsed() < LIMIT {
        socket.send(text.as_bytes()).expect("send a datagram");
        if let Ok(size) = socket.recv(&mut answer) {
            return String::from_utf8_lossy(&answer[..size]).into_owned();
        }
    }
    panic!("no answer to {text:?}");
}

/// A server and an ambassador of it; the address of that. `None` where the machine lacks something.
fn start(t: &Test) -> Option<Ipv4Addr> {
    if !build(&t.root()) {
        return None;
    }
    let socat = image::with_programs(&[("bin/socat", "/usr/bin/socat")])?;
    t.coracle(["import", "-", "server"]).stdin(socat.tar()).ok();
    let ports = ["7000", "53/udp", "54/udp", "9"];
    let expose = ports.iter().flat_map(|port| ["--expose", port]);
    let run = ["run", "-d", "--name", "server"].into_iter().chain(expose);
    t.coracle(run.chain(["server", "sh", "-c", SERVER])).ok();
    wait_for_ports(|args| t.coracle(args), "server", &[7000, 53, 54]);
    t.coracle(["run", "-d", "--name", "a", "--link", "server:s", "ambassador"]).ok();
    wait_for_ports(|args| t.coracle(args), "a", &[7000, 53, 54, 9]);
    let address = t.says(["inspect", "-f", "{{.NetworkSettings.IPAddress}}", "a"]);
    Some(address.parse().expect("an address"))
}

/// A client of UDP.
fn client(at: (Ipv4Addr, u16)) -> UdpSocket {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    socket.connect(at).expect("connect it");
    socket.set_read_timeout(Some(Duration::from_secs(2))).expect("set a limit");
    socket
}

#[test]
fn connections_close_by_halves_and_nobody_gets_anothers_answer() {
    let t = test!();
    let Some(at) = start(&t) else { return };
    let log = t.coracle(["logs", "a"]).any_stderr().ok();
    let said = String::from_utf8_lossy(&log.stderr).into_owned();
    for line in ["ambassador: 7000/tcp -> ", "ambassador: 53/udp -> ", "ambassador: 9/tcp -> "] {
        assert!(said.contains(line), "{said}");
    }
    let asking: Vec<_> = (0..20)
        .map(|n| thread::spawn(move || (n, count((at, 7000), 300_000 + n).expect("an answer"))))
        .collect();
    for one in asking {
        let (n, answer) = one.join().expect("a client");
        assert_eq!(answer, (300_000 + n).to_string());
    }
    let asking: Vec<_> = (0..20)
        .map(|n| {
            thread::spawn(move || {
                let socket = client((at, 53));
                for round in 0..10 {
                    let text = format!("client {n}, datagram {round}");
                    assert_eq!(echo(&socket, &text), text);
                }
            })
        })
        .collect();
    asking.into_iter().for_each(|one| one.join().expect("a client"));

    // No datagram is cut, and the server can tell clients apart.
    let long = "long ".repeat(10_000);
    assert!(echo(&client((at, 53)), &long) == long);
    let (one, other) = (client((at, 54)), client((at, 54)));
    let port = echo(&one, "?\n");
    assert_eq!(echo(&one, "?\n"), port);
    assert_ne!(echo(&other, "?\n"), port);
}

#[test]
fn a_dead_target_closes_connections_and_is_found_again() {
    let t = test!();
    let Some(at) = start(&t) else { return };
    // Nobody is at port 9: the connection ends, without a byte, and the other ports go on.
    let closed = |port| count((at, port), 1).unwrap_or_default();
    assert_eq!(closed(9), "");
    assert_eq!(count((at, 7000), 7).expect("an answer"), "7");

    t.coracle(["kill", "server"]).ok();
    assert_eq!(closed(7000), "");
    // Another one takes its address.
    let other = ["run", "-d", "--entrypoint", "sleep", "ambassador", "1000"];
    t.coracle(other).ok();
    assert_eq!(closed(7000), "");
    t.coracle(["start", "server"]).ok();
    wait_for_ports(|args| t.coracle(args), "server", &[7000, 53, 54]);
    assert_eq!(count((at, 7000), 12).expect("an answer"), "12");

    // A forwarder that dies is started again.
    t.coracle(["exec", "a", "sh", "-c", "kill -9 $(pidof forward)"]).ok();
    wait_for_ports(|args| t.coracle(args), "a", &[7000, 53, 54, 9]);
    assert_eq!(count((at, 7000), 13).expect("an answer"), "13");
    t.coracle(["stop", "a"]).ok();
    assert_eq!(t.inspect("a")["State"]["ExitCode"], 0);
}

#[test]
fn bad_variables_are_named() {
    let t = test!();
    if !build(&t.root()) {
        return;
    }
    let long_name = format!("{}_PORT_80_TCP=tcp://1.2.3.4:80", "A".repeat(250));
    let long_host = format!("A_PORT_80_TCP=tcp://{}:80", "a".repeat(256));
    for (variable, text) in [
        ("X=1", "no variable says what to forward"),
        ("A_PORT_80_TCP=udp://1.2.3.4:80", "A_PORT_80_TCP=udp://1.2.3.4:80: should be like tcp://"),
        ("A_PORT_80_TCP=tcp://;reboot:80", "should be like tcp://"),
        ("A_PORT_80_TCP=tcp://$(reboot):80", "should be like tcp://"),
        ("A_PORT_80_TCP=tcp://1.2.3.4\nreboot:80", "should be like tcp://"),
        ("A_PORT_80_TCP=tcp://1.2.3.4:99999", "should be like tcp://"),
        ("A_PORT_80_TCP=tcp://1.2.3.4:", "should be like tcp://"),
        ("A_PORT_80_TCP=tcp://1.2.3.4:99999999999999999999", "should be like tcp://"),
        (&long_name, "should be like tcp://"),
        (&long_host, "should be like tcp://"),
        ("A_PORT_80_TCP=", "should be like tcp://"),
        ("A_PORT_0_TCP=tcp://1.2.3.4:80", "should be like tcp://"),
    ] {
        t.coracle(["run", "--rm", "-e", variable, "ambassador"]).code(1).stderr_has(text).ok();
    }
    let two = ["-e", "A_PORT_80_TCP=tcp://1.2.3.4:80", "-e", "B_PORT_80_TCP=tcp://1.2.3.5:80"];
    let run = [&["run", "--rm"], &two[..], &["ambassador"]].concat();
    t.coracle(run).code(1).stderr_has("80/tcp leads elsewhere already").ok();
}

#[test]
fn the_example_does_what_its_readme_says() {
    let t = test!();
    // Says what is missing.
    if !build(&t.root()) {
        return;
    }
    let out = t.example("ambassador");
    let variable = "\nREDIS_PORT=tcp://";
    assert!(out.contains(variable) && out.ends_with("\nPONG\n"), "{out}");
}
