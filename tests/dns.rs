//! The name server of containers, asked by the clients of Debian: dig, busybox, glibc. Each test
//! runs again as a process in network and mount namespaces of its own, which stand for the host;
//! dnsmasq is the server there that knows the rest of the world.

use coracle::container::{Dir, Monitor, Pipes};
use coracle::engine::serve_names;
use coracle::network::{NetworkLock, files, names};
use coracle::sys::{lock, pidfd};
use coracle::types::{ContainerId, Home, Pid};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Runs `body` on a host of its own: in a child process that runs this one test.
fn on_a_host_of_its_own(test: &str, body: fn(&Host)) {
    if std::env::var_os("CORACLE_TEST_NETNS").is_some() {
        body(&Host::new());
        return;
    }
    let output = Command::new("unshare")
        .args(["--net", "--mount"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("CORACLE_TEST_NETNS", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

struct Host {
    dir: PathBuf,
}

type Servers = Box<dyn Fn() -> Vec<SocketAddr>>;

impl Host {
    fn new() -> Host {
        // Short, for there is a socket below.
        let dir = std::env::temp_dir().join(format!("dns-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
        let host = Host { dir };
        host.add("web", "172.18.0.2");
        host.add("www", "172.18.0.2");
        host.add("db", "172.18.0.3");
        host.add("db", "fd00::3");
        for n in 1..=40 {
            host.add("crowd", &format!("172.18.1.{n}"));
        }
        host
    }

    fn network(&self) -> PathBuf {
        self.dir.join("networks/back")
    }

    fn add(&self, name: &str, address: &str) {
        let guard = lock::lock(&self.dir.join("locks"), 0, lock::Mode::Exclusive).unwrap();
        let address = address.parse().unwrap();
        names::add(&NetworkLock::new(guard), &self.network(), name, address).unwrap();
    }

    /// What a shell script in a container says, whose monitor has a name server.
    fn run(&self, servers: Servers, script: &str) -> String {
        self.run_asking(servers, false, script)
    }

    fn run_asking(&self, servers: Servers, asks_inside: bool, script: &str) -> String {
        let container = self.start(script);
        let process = pidfd::open(Pid::from_raw(container.id() as i32).unwrap()).unwrap();
        let home = Home { root: self.dir.join("root"), run: self.dir.join("r") };
        let dir = Dir::new(&home, &ContainerId::from_random([1; 32]));
        for path in [dir.log(), dir.socket()] {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        let _ = std::fs::remove_file(dir.socket());
        let mut monitor = Monitor::new(&dir, Default::default(), false).unwrap();
        let network = self.network();
        let networks = move || vec![network.clone()];
        // Of a monitor that was killed.
        drop(serve_names(process.as_fd(), networks.clone(), Box::new(Vec::new), false).unwrap());
        let service = serve_names(process.as_fd(), networks, servers, asks_inside).unwrap();
        monitor.services[0] = Some(service);
        finish(container, || {
            monitor.watch(process.as_fd(), Pipes::default(), &|| Ok(None)).unwrap();
            assert!(monitor.services[0].is_none(), "its sockets keep the network");
        })
    }

    /// A shell in namespaces of its own, which waits for its stdin.
    fn start(&self, script: &str) -> Child {
        let resolv = self.dir.join("resolv.conf");
        let text = files::resolv_conf_builtin("search example.org\n", [127, 0, 0, 11].into());
        std::fs::write(&resolv, text).unwrap();
        // glibc looks up addresses of the families that it has itself.
        let setup = format!(
            "mount --bind {} /etc/resolv.conf && echo ready && read go &&
             ip link set lo up && ip link add eth0 type bridge && ip link set eth0 up &&
             ip address add 172.18.0.9/16 dev eth0 && ip address add fd00::9/64 dev eth0 nodad && {{\n\
             {script}\n}} 2>&1",
            resolv.display()
        );
        let mut child = Command::new("unshare")
            .args(["--net", "--mount", "sh", "-c", &setup])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        assert_eq!(&ready, b"ready\n");
        child
    }
}

/// Lets the script go on; what it says until it ends.
fn finish(mut child: Child, meanwhile: impl FnOnce()) -> String {
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    meanwhile();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    let _ = child.wait();
    said
}

impl Drop for Host {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.dir).unwrap();
    }
}

/// dnsmasq on an address of the host's loopback.
struct Upstream(Child);

impl Upstream {
    fn new(address: &str, answer: &str) -> Upstream {
        let long: Vec<String> = (0..8).map(|n| format!("{n}{}", "x".repeat(200))).collect();
        let mut command = Command::new("dnsmasq");
        command
            .args(["--keep-in-foreground", "--log-facility=-", "--conf-file=/dev/null"])
            .args(["--bind-interfaces", "--no-resolv", "--no-hosts", "--user=root", "--pid-file"])
            .arg(format!("--listen-address={address}"))
            .arg(format!("--address=/example.org/{answer}"))
            .arg(format!("--txt-record=large.example.org,{}", long.join(",")))
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It has its sockets before it says the first word.
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert!(line.contains("started"), "{line}");
        Upstream(child)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn servers(list: &'static [&'static str]) -> Servers {
    Box::new(|| list.iter().map(|server| format!("{server}:53").parse().unwrap()).collect())
}

#[test]
fn containers_find_each_other_by_name() {
    on_a_host_of_its_own("containers_find_each_other_by_name", |host| {
        let said = host.run(
            servers(&[]),
            "getent ahostsv4 web | head -1
             getent ahostsv6 db | head -1
             getent hosts www.back
             getent hosts 172.18.0.2
             busybox nslookup -type=a WEB.back | grep -o '172.*'
             dig +short db AAAA
             dig +short web AAAA; dig web AAAA | grep -o 'status: [A-Z]*'
             dig +short -x fd00::3
             dig web | grep -c 'web.*600.*IN.*A.*172.18.0.2'",
        );
        let lines: Vec<String> = said
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            lines,
            [
                "172.18.0.2 STREAM web",
                "fd00::3 STREAM db",
                "172.18.0.2 www.back",
                "172.18.0.2 web.back",
                "172.18.0.2",
                "fd00::3",
                "status: NOERROR",
                "db.back.",
                "1",
            ]
        );
    });
}

#[test]
fn other_names_are_asked_of_the_hosts_servers() {
    on_a_host_of_its_own("other_names_are_asked_of_the_hosts_servers", |host| {
        let _upstream = Upstream::new("127.0.0.53", "203.0.113.7");
        let said = host.run(
            // Nobody is at the first.
            servers(&["127.0.0.9", "127.0.0.53"]),
            "getent ahostsv4 www.example.org | head -1
             dig +short +tcp www.example.org
             dig +noedns +ignore +notcp large.example.org TXT | grep -o 'flags: [a-z ]*'
             dig +short large.example.org TXT | wc -c
             for i in 1 2 3 4 5 6 7 8 9 10; do
                 for j in 1 2 3 4 5; do dig +short $i-$j.example.org & done; wait
             done | sort | uniq -c
             dig +short nothing | wc -l",
        );
        let lines: Vec<String> = said
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(lines[0], "203.0.113.7 STREAM www.example.org");
        assert_eq!(lines[1], "203.0.113.7");
        assert!(lines[2].contains(" tc "), "{said}");
        assert!(lines[3].parse::<usize>().unwrap() > 1600, "{said}");
        assert_eq!(lines[4..], ["50 203.0.113.7", "0"]);
    });
}

#[test]
fn servers_that_a_container_was_given_are_asked_from_where_it_is() {
    const TEST: &str = "servers_that_a_container_was_given_are_asked_from_where_it_is";
    on_a_host_of_its_own(TEST, |host| {
        let _hosts = Upstream::new("127.0.0.1", "203.0.113.7");
        let own = format!(
            "dnsmasq --conf-file=/dev/null --bind-interfaces --no-resolv --no-hosts --user=root \\
                 --pid-file={0} --listen-address=127.0.0.1 --address=/example.org/198.51.100.7
             dig +short www.example.org; dig +short +tcp www.example.org; dig +short web
             dig +tries=1 nothing | grep -o 'status: [A-Z]*'; kill $(cat {0})",
            host.dir.join("own.pid").display()
        );
        // Never ourselves, who would ask ourselves.
        let said = host.run_asking(servers(&["127.0.0.11", "127.0.0.1"]), true, &own);
        assert_eq!(said, "198.51.100.7\n198.51.100.7\n172.18.0.2\nstatus: REFUSED\n");
    });
}

#[test]
fn without_servers_to_ask_the_failure_is_told_at_once() {
    on_a_host_of_its_own("without_servers_to_ask_the_failure_is_told_at_once", |host| {
        let script = "dig +tries=1 example.org | grep -o 'status: [A-Z]*'";
        assert_eq!(host.run(servers(&[]), script), "status: SERVFAIL\n");
        // There is nobody at that address.
        assert_eq!(host.run(servers(&["127.0.0.9"]), script), "status: SERVFAIL\n");
    });
}

#[test]
fn many_addresses_come_by_tcp_and_in_turns() {
    on_a_host_of_its_own("many_addresses_come_by_tcp_and_in_turns", |host| {
        let said = host.run(
            servers(&[]),
            "dig +noedns +ignore crowd | grep -o 'flags: [a-z ]*'
             dig +noedns +short crowd | wc -l
             for i in 1 2 3; do dig +short crowd | head -1; done | sort -u | wc -l
             getent ahostsv4 crowd | wc -l
             dig +tcp +keepopen +short web A db A www A",
        );
        let lines: Vec<&str> = said.lines().map(str::trim).collect();
        assert!(lines[0].contains(" tc "), "{said}");
        assert_eq!(lines[1..4], ["40", "3", "120"], "{said}");
        assert_eq!(lines[4..], ["172.18.0.2", "172.18.0.3", "172.18.0.2"]);
    });
}

/// Python's sockets, for what no honest client does.
const RUDE: &str = r#"
import socket, struct
where = ('127.0.0.11', 53)
def question(name, id):
    labels = b''.join(bytes([len(l)]) + l.encode() for l in name.split('.'))
    return struct.pack('>6H', id, 256, 1, 0, 0, 0) + labels + b'\0\0\1\0\1'
def framed(message):
    return struct.pack('>H', len(message)) + message
def message(s):
    length = struct.unpack('>H', s.recv(2, socket.MSG_WAITALL))[0]
    return s.recv(length, socket.MSG_WAITALL)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.connect(where)
for junk in [b'', b'x', b'\0' * 11, question('web', 1)[:2] + b'\x81' + b'\0' * 50]:
    udp.send(junk)
udp.send(question('web', 7)[:-1])
answer = udp.recv(512)
print('malformed', answer[:2], answer[3] & 15)

# Byte by byte, and many at once, by one who hangs up for reading only.
s = socket.create_connection(where)
for byte in framed(question('web', 1)):
    s.send(bytes([byte]))
print('slow', message(s)[-4:] == bytes([172, 18, 0, 2]))
s.sendall(b''.join(framed(question('web', id)) for id in range(3000)))
s.shutdown(socket.SHUT_WR)
print('pipelined', [struct.unpack('>H', message(s)[:2])[0] for _ in range(3000)] == list(range(3000)))
print('ends', s.recv(1) == b'')

# Those who come and say nothing do not keep others out.
silent = [socket.create_connection(where) for _ in range(100)]
s = socket.create_connection(where)
s.sendall(framed(question('web', 1)))
print('crowded', len(message(s)) > 0)

# A server of one's own has port 53 of all addresses, but this one.
own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
own.bind(('0.0.0.0', 53))
own_tcp = socket.create_server(('0.0.0.0', 53))
udp.send(question('web', 8))
print('own server', udp.recv(512)[:2] == b'\0\x08')
udp.connect(('127.0.0.1', 53))
udp.send(b'mine')
print('own question', own.recv(512))
"#;

#[test]
fn rude_clients_harm_nobody() {
    on_a_host_of_its_own("rude_clients_harm_nobody", |host| {
        std::fs::write(host.dir.join("rude.py"), RUDE).unwrap();
        let said = host.run(servers(&[]), &format!("python3 {}/rude.py", host.dir.display()));
        let expected = "malformed b'\\x00\\x07' 1\nslow True\npipelined True\nends True\n\
                        crowded True\nown server True\nown question b'mine'\n";
        assert_eq!(said, expected);
    });
}
