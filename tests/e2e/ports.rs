//! Published ports, as far as the host is concerned: who has which, and what is told of them.

use crate::common::{LIMIT, Test, kill, wait_ended};
use crate::test;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Instant;

const SLEEP: [&str; 3] = ["busybox", "sleep", "1000"];

#[track_caller]
fn run(t: &Test, name: &str, options: &[&str]) {
    t.coracle([&["run", "-d", "--name", name], options, &SLEEP].concat()).ok();
}

/// The number behind `0.0.0.0:`.
#[track_caller]
fn port(t: &Test, name: &str, port: &str) -> u16 {
    let text = t.says(["port", name, port]);
    text.strip_prefix("0.0.0.0:").and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

fn is_free(port: u16) -> bool {
    match TcpListener::bind(("0.0.0.0", port)) {
        Ok(_) => true,
        Err(e) if e.kind() == ErrorKind::AddrInUse => false,
        Err(e) => panic!("{port}: {e}"),
    }
}

#[test]
fn a_published_port_is_held_and_told_everywhere() {
    let t = test!(busybox);
    run(&t, "web", &["-p", "8080:80", "-p", "0.0.0.0:53:5353/udp", "-expose", "99"]);
    assert!(!is_free(8080));
    let udp = UdpSocket::bind("0.0.0.0:53").expect_err("it is taken");
    assert_eq!(udp.kind(), ErrorKind::AddrInUse);

    t.coracle(["port", "web", "80"]).stdout("0.0.0.0:8080\n").ok();
    t.coracle(["container", "port", "web", "5353/udp"]).stdout("0.0.0.0:53\n").ok();
    t.coracle(["port", "web"])
        .stdout_has("80/tcp -> 0.0.0.0:8080\n")
        .stdout_has("5353/udp -> 0.0.0.0:53\n")
        .ok();
    t.coracle(["port", "web", "99"])
        .code(1)
        .stderr_has("no public port '99' published for web")
        .ok();
    let column = t.says(["ps", "--format", "{{.Ports}}"]);
    assert!(column.starts_with("99/tcp, 0.0.0.0:8080->80/tcp"), "{column}");
    assert_eq!(t.says(["ps", "-q", "-f", "publish=80", "-f", "expose=99"]).len(), 12);
    assert_eq!(t.says(["ps", "-q", "-f", "publish=99"]), "");

    let web = t.inspect("web");
    let asked = json!({
        "80/tcp": [{"HostIp": "", "HostPort": "8080"}],
        "5353/udp": [{"HostIp": "0.0.0.0", "HostPort": "53"}],
    });
    assert_eq!(web["HostConfig"]["PortBindings"], asked);
    assert_eq!(web["HostConfig"]["PublishAllPorts"], false);
    let exposed = json!({"80/tcp": {}, "99/tcp": {}, "5353/udp": {}});
    assert_eq!(web["Config"]["ExposedPorts"], exposed);
    let ports = &web["NetworkSettings"]["Ports"];
    assert_eq!(ports["80/tcp"][0], json!({"HostIp": "0.0.0.0", "HostPort": "8080"}));
    assert_eq!(ports["99/tcp"], Value::Null);

    t.coracle(["stop", "-t", "0", "web"]).ok();
    assert!(is_free(8080));
    assert_eq!(t.inspect("web")["NetworkSettings"]["Ports"], json!({}));
    t.coracle(["port", "web"]).stdout("").ok();
}

/// What the server behind a port of this host says.
fn fetch(port: u16) -> std::io::Result<String> {
    let mut client = TcpStream::connect(("127.0.0.1", port))?;
    client.set_read_timeout(Some(LIMIT))?;
    client.write_all(b"GET /file HTTP/1.0\r\n\r\n")?;
    let mut said = String::new();
    client.read_to_string(&mut said)?;
    Ok(said)
}

#[test]
fn a_server_is_reached_by_its_published_port() {
    let t = test!(busybox);
    let serve = "echo served >/file; busybox httpd -p 80 -h / && echo up; exec sleep 1000";
    for (name, host) in [("one", "8081"), ("two", "8082")] {
        let published = format!("{host}:80");
        t.coracle(["run", "-d", "--name", name, "-p", &published, "busybox", "sh", "-c", serve])
            .ok();
        t.wait_for_log(name, "up");
        assert!(fetch(host.parse().expect("a port")).expect("an answer").ends_with("served\n"));
    }
    t.coracle(["restart", "-t", "0", "one"]).ok();
    t.wait_for_logs("one", "up", 2);
    assert!(fetch(8081).expect("an answer").ends_with("served\n"));
    // Killed with its monitor: the next command takes the ways away.
    let (monitor, pid) = (t.monitor("one"), t.pid("one"));
    kill(monitor);
    kill(pid);
    wait_ended(pid);
    t.coracle(["rm", "-f", "one"]).ok();
    let refused = fetch(8081).expect_err("nobody is there");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert!(fetch(8082).expect("an answer").ends_with("served\n"));
}

#[test]
fn all_exposed_ports_are_published_on_request_each_once() {
    let t = test!();
    t.coracle(["import", "--change", "EXPOSE 80", "-", "busybox"])
        .stdin(crate::common::image::busybox())
        .ok();
    run(&t, "c", &["-P", "-expose", "90-91", "-p", "8090:90"]);
    assert_eq!(port(&t, "c", "90"), 8090);
    let chosen = [port(&t, "c", "80"), port(&t, "c", "91")];
    assert!(chosen[0] != chosen[1] && chosen.iter().all(|n| *n >= 49153), "{chosen:?}");
    assert!(chosen.iter().all(|n| !is_free(*n)));
    assert_eq!(t.inspect("c")["HostConfig"]["PublishAllPorts"], true);
}

#[test]
fn a_taken_port_is_refused_with_the_name_of_its_holder() {
    let t = test!(busybox);
    run(&t, "holder", &["-p", "8080:80"]);
    for taken in ["8080:81", "0.0.0.0:8080:81", "8079-8080:81-82"] {
        t.coracle([&["run", "--name", "late", "-p", taken], &SLEEP[..]].concat())
            .code(125)
            .stderr_has("port is already allocated to container holder")
            .ok();
    }
    assert_eq!(t.containers().len(), 1);

    let own = TcpListener::bind("0.0.0.0:8081").expect("listen");
    t.coracle([&["create", "--name", "late", "-p", "8081:80"], &SLEEP[..]].concat()).ok();
    t.coracle(["start", "late"])
        .code(1)
        .stderr_has("cannot publish 8081:80/tcp: port is in use by ")
        .stderr_has(&format!("(pid {})", std::process::id()))
        .ok();
    assert_eq!(t.status("late"), "exited");
    drop(own);
    t.coracle(["start", "late"]).ok();
    t.coracle([&["run", "-p", "192.0.2.1:80:80"], &SLEEP[..]].concat())
        .code(125)
        .stderr_has("192.0.2.1 is no address of this host")
        .ok();
}

#[test]
fn one_of_a_range_is_chosen_until_all_are_taken() {
    let t = test!(busybox);
    for (name, expected) in [("a", 8000), ("b", 8001)] {
        run(&t, name, &["-p", "8000-8001:80"]);
        assert_eq!(port(&t, name, "80"), expected);
    }
    t.coracle([&["run", "-p", "8000-8001:80"], &SLEEP[..]].concat())
        .code(125)
        .stderr_has("cannot publish 8000-8001:80/tcp: all ports of 8000-8001 are in use")
        .ok();
    t.coracle(["rm", "-f", "a"]).ok();
    run(&t, "c", &["-p", "8000-8001:80"]);
    assert_eq!(port(&t, "c", "80"), 8000);
}

#[test]
fn fifty_containers_started_at_once_have_a_hundred_ports() {
    let t = test!(busybox);
    let name = |n: usize| format!("c{n}");
    let started: Vec<_> = (0..50)
        .map(|n| {
            let name = name(n);
            let run = ["run", "-d", "--name", &name, "-p", "80", "-p", "81"];
            t.coracle([&run[..], &SLEEP].concat()).spawn()
        })
        .collect();
    for mut one in started {
        let code = one.wait();
        assert_eq!((code, one.rest_of_stderr()), (0, Vec::new()));
    }
    let chosen: HashSet<u16> =
        (0..50).flat_map(|n| ["80", "81"].map(|inside| port(&t, &name(n), inside))).collect();
    assert_eq!(chosen.len(), 100);
    assert!(chosen.iter().all(|n| *n >= 49153 && !is_free(*n)));
}

#[test]
fn a_port_goes_with_its_container_whoever_is_killed() {
    let t = test!(busybox);
    run(&t, "c", &["-p", "8080:80"]);
    let pid = t.pid("c");
    kill(t.monitor("c"));
    // Whoever takes the container over takes its ports.
    t.coracle(["volume", "prune", "-f"]).ok();
    let began = Instant::now();
    while is_free(8080) {
        assert!(began.elapsed() < LIMIT, "the port stays free");
    }
    assert_eq!(port(&t, "c", "80"), 8080);
    assert_eq!(t.pid("c"), pid);

    // The adopter is a child of whoever reaps: it is found by its end.
    t.coracle(["stop", "-t", "0", "c"]).ok();
    assert!(is_free(8080));
    t.coracle(["start", "c"]).ok();
    let pid = t.pid("c");
    kill(t.monitor("c"));
    kill(pid);
    wait_ended(pid);
    assert!(is_free(8080));
    run(&t, "d", &["-p", "8080:80"]);
    t.coracle(["start", "c"]).code(1).stderr_has("allocated to container d").ok();
    assert_eq!(t.says(["ps", "-a", "-f", "name=c", "--format", "{{.Ports}}"]), "");
}

#[test]
fn a_restart_gives_fixed_ports_again_and_chooses_the_others_anew() {
    let t = test!(busybox);
    run(&t, "c", &["-p", "8080:80", "-p", "81"]);
    let first = port(&t, "c", "81");
    t.coracle(["restart", "-t", "0", "c"]).ok();
    assert_eq!(port(&t, "c", "80"), 8080);
    let second = port(&t, "c", "81");
    assert!(!is_free(8080) && !is_free(second));
    assert!(first == second || is_free(first));
}

#[test]
fn without_a_network_of_its_own_a_container_publishes_nothing() {
    let t = test!(busybox);
    for mode in ["host", "none"] {
        t.coracle(
            [&["run", "-d", "--name", mode, "--net", mode, "-p", "8080:80"], &SLEEP[..]].concat(),
        )
        .stderr(format!(
            "coracle: warning: published ports are discarded when using {mode} network mode\n"
        ))
        .ok();
        assert!(is_free(8080));
        t.coracle(["port", mode]).stdout("").ok();
    }
}

#[test]
fn what_cannot_be_published_is_refused_before_anything_is_made() {
    let t = test!(busybox);
    for (args, what) in [
        (&["-p", "80:0"][..], "--publish: cannot publish \"80:0\": \"0\" is no port"),
        (&["--publish=65536:80"], "\"65536\" is no port"),
        (&["-publish", "90-80"], "the range \"90-80\" is the wrong way round"),
        (&["-p", "8000-8005:80-90"], "8000-8005 and 80-90 differ in length"),
        (&["-p", "localhost:80:80"], "\"localhost\" is no IP address"),
        (&["-p80:80/xtp"], "unknown protocol in \"80/xtp\""),
        (&["-p", "80:80", "-p", "80:81"], "cannot publish both 80:80/tcp and 80:81/tcp"),
    ] {
        t.coracle([&["run"], args, &SLEEP].concat()).code(125).stderr_has(what).ok();
    }
    assert!(t.containers().is_empty());
}
