//! Servers and clients that people run, from the distribution's packages, over published ports and
//! links.

use crate::common::host::{HERE, Host, THERE};
use crate::common::{LIMIT, Test, eventually, image};
use crate::test;
use std::fs;
use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

/// redis and its client. It exposes its port, as the documentation's image does.
pub fn redis() -> Option<Vec<u8>> {
    let server = ("bin/redis-server", "/usr/bin/redis-check-rdb"); // one program by two names
    Some(image::with_programs(&[server, ("bin/redis-cli", "/usr/bin/redis-cli")])?.tar())
}

pub const IMPORT_REDIS: [&str; 7] = [
    "import",
    "--change",
    "EXPOSE 6379",
    "--change",
    "CMD redis-server --protected-mode no --save ''",
    "-",
    "redis",
];

const NGINX: &[u8] = b"daemon off; user root; error_log /dev/stderr; pid /tmp/pid;
events {}
http {
    access_log /dev/stdout;
    server { listen 80; root /www; }
}
";

/// A file of three million bytes, no two stretches of which are the same.
fn page() -> Vec<u8> {
    (0..500_000).flat_map(|n| format!("{n:06}").into_bytes()).collect()
}

fn import_nginx(t: &Test) -> bool {
    let Some(mut root) = image::with_programs(&[("sbin/nginx", "/usr/sbin/nginx")]) else {
        return false;
    };
    for dir in ["var/lib/nginx", "var/log/nginx", "etc/nginx", "www"] {
        root.dir(dir, 0o755);
    }
    root.file("etc/nginx/nginx.conf", 0o644, NGINX);
    root.file("www/page", 0o644, &page());
    let config = ["--change", "EXPOSE 80", "--change", "CMD nginx -c /etc/nginx/nginx.conf"];
    t.coracle([&["import"], &config[..], &["-", "nginx"]].concat()).stdin(root.tar()).ok();
    true
}

/// What it fetches; `curl` says what is wrong with the rest.
#[track_caller]
fn fetch(mut curl: Command, url: &str) -> Vec<u8> {
    let limit = LIMIT.as_secs().to_string();
    let output = curl.args(["-sS", "--fail", "--max-time", &limit, url]).output();
    let output = output.expect("run curl");
    assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[track_caller]
fn address(t: &Test, name: &str) -> String {
    let address = t.says(["inspect", "-f", "{{.NetworkSettings.IPAddress}}", name]);
    assert!(!address.is_empty(), "{name} has no address");
    address
}

#[test]
fn nginx_is_reached_from_everywhere_and_told_who_asks() {
    let t = test!(busybox);
    if !import_nginx(&t) {
        return;
    }
    let far = Host::join(&t);
    t.coracle(["run", "-d", "--name", "web", "-p", "8080:80", "nginx"]).ok();
    let at = address(&t, "web");
    let listens = || t.says(["exec", "web", "cat", "/proc/net/tcp"]).contains(":0050 00000000");
    eventually("nginx listens", listens);

    let page = page();
    let curl = || Command::new("curl");
    // Who asks by the loopback is the host on the bridge, as for a container no 127.0.0.1 but its
    // own is to be answered.
    let bridge = t.says(["inspect", "-f", "{{.NetworkSettings.Gateway}}", "web"]);
    for (n, (client, url, who)) in [
        (far.command("curl"), format!("http://{HERE}:8080"), THERE),
        (curl(), format!("http://{HERE}:8080"), HERE),
        (curl(), "http://127.0.0.1:8080".to_string(), &bridge),
        (curl(), "http://localhost:8080".to_string(), &bridge),
        (curl(), format!("http://{at}:80"), &bridge),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(fetch(client, &format!("{url}/page?{n}")) == page, "{url}");
        let line = t.wait_for_log("web", &format!("GET /page?{n} "));
        assert!(line.starts_with(&format!("{who} - ")), "{url}: {line}");
    }

    // A neighbour, by the published port and by its own name for the server.
    let get = format!("wget -q -O - http://{HERE}:8080/page?a | wc -c; hostname -i");
    let run = ["run", "--rm", "--link", "web:web", "busybox", "sh", "-c"];
    let said = t.says([&run[..], &[&get]].concat());
    let (size, neighbour) = said.split_once('\n').expect("two lines");
    assert_eq!(size, "3000000");
    let line = t.wait_for_log("web", "GET /page?a ");
    // Without br_netfilter the answer would not come back by the host.
    let kept = fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables");
    let who = if kept.is_ok_and(|text| text == "1\n") { neighbour } else { &bridge };
    assert!(line.starts_with(&format!("{who} - ")), "{line}");
    let get = "wget -q -O - http://web/page?b | wc -c";
    assert_eq!(t.says([&run[..], &[get]].concat()), "3000000");

    // Twenty at once from afar.
    let mut all = far.command("curl");
    all.args(["-sS", "--fail", "-Z", "--parallel-max", "20", "-o", "/dev/null"]);
    let url = format!("http://{HERE}:8080/page?[1-100]");
    let output = all.arg(url).output().expect("run curl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    t.wait_for_logs("web", THERE, 101);
    t.coracle(["stop", "web"]).ok();
    assert_eq!(t.inspect("web")["State"]["ExitCode"], 0);
}

#[test]
fn redis_is_used_by_a_link() {
    let t = test!();
    let Some(redis) = redis() else { return };
    t.coracle(IMPORT_REDIS).stdin(redis).ok();
    t.coracle(["run", "-d", "--name", "redis", "redis"]).ok();
    t.wait_for_log("redis", "Ready to accept connections");
    let run = ["run", "-i", "--rm", "--link", "redis:db", "redis", "sh", "-c"];
    let by_env = "redis-cli -h $DB_PORT_6379_TCP_ADDR -p $DB_PORT_6379_TCP_PORT -x set page";
    t.coracle([&run[..], &[by_env]].concat()).stdin(page()).stdout("OK\n").ok();
    let get = "redis-cli -h db --raw get page";
    let got = t.coracle([&run[..], &[get]].concat()).ok().stdout;
    assert!(got.strip_suffix(b"\n") == Some(&page()[..]), "{} bytes", got.len());
    t.coracle(["stop", "redis"]).ok();
    assert_eq!(t.inspect("redis")["State"]["ExitCode"], 0);
}

#[test]
fn an_echo_by_udp_is_told_who_asks() {
    let t = test!();
    let Some(socat) = image::with_programs(&[("bin/socat", "/usr/bin/socat")]) else { return };
    t.coracle(["import", "-", "socat"]).stdin(socat.tar()).ok();
    let far = Host::join(&t);
    let answer = r#"SYSTEM:read word; echo "$word to $SOCAT_PEERADDR""#;
    let run = ["run", "-d", "--name", "echo", "-p", "5353:53/udp", "socat"];
    t.coracle([&run[..], &["socat", "UDP-RECVFROM:53,fork", answer]].concat()).ok();
    let listens = || t.says(["exec", "echo", "cat", "/proc/net/udp"]).contains(":0035 00000000");
    eventually("the echo listens", listens);

    let bridge = t.says(["inspect", "-f", "{{.NetworkSettings.Gateway}}", "echo"]);
    for (server, who) in [(HERE, HERE), ("127.0.0.1", &bridge)] {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(2))).expect("set a limit");
        socket.connect((server, 5353)).expect("connect it");
        let mut answer = [0; 100];
        let mut size = 0;
        eventually("an answer", || {
            socket.send(b"hello\n").expect("send a datagram");
            size = socket.recv(&mut answer).unwrap_or(0);
            size > 0
        });
        assert_eq!(String::from_utf8_lossy(&answer[..size]), format!("hello to {who}\n"));
    }
    let mut client = far.command("sh");
    client.args(["-c", &format!("echo hello | socat -t 10 -T 10 - UDP:{HERE}:5353")]);
    let said = client.output().expect("run socat").stdout;
    assert_eq!(String::from_utf8_lossy(&said), format!("hello to {THERE}\n"));
}
