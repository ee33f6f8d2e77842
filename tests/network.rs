//! The network of containers, with real links: each test runs again as a process in a network
//! namespace of its own, which stands for the host.

use coracle::error::Result;
use coracle::network::{
    Attachment, Bridge, DEFAULT, NetworkLock, Networks, Policy, Request, Way, loopback_requests,
};
use coracle::sys::child::{Child, Plan, spawn};
use coracle::sys::netlink::{self, Socket};
use coracle::sys::step::{Exec, FdSource, Step, Variables};
use coracle::sys::{lock, pidfd};
use coracle::types::{ContainerId, Port, Protocol, Published, Signal};
use std::ffi::CString;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::num::NonZeroU16;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;

const CLONE_NEWNET: i32 = 0x4000_0000;

/// Runs `body` in a network namespace of its own: in a child process that runs this one test.
fn on_a_host_of_its_own(test: &str, body: fn(&Host)) {
    if std::env::var_os("CORACLE_TEST_NETNS").is_some() {
        body(&Host::new(test));
        return;
    }
    let output = Command::new("unshare")
        .arg("--net")
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
    networks: Networks,
}

impl Host {
    fn new(test: &str) -> Host {
        let dir = std::env::temp_dir().join(format!("coracle-{test}-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        Host { networks: Networks::new(&dir.join("networks"), &dir.join("run")), dir }
    }

    fn lock(&self) -> NetworkLock {
        NetworkLock::new(lock::lock(&self.dir.join("locks"), 0, lock::Mode::Exclusive).unwrap())
    }

    fn attach(&self, n: u8) -> Attachment {
        self.try_attach(n).unwrap()
    }

    fn try_attach(&self, n: u8) -> Result<Attachment> {
        let request = Request { is_first: true, ..Request::default() };
        self.networks.attach(&self.lock(), DEFAULT, &id(n), request)
    }

    fn release(&self, n: u8) {
        self.networks.release(&self.lock(), &id(n)).unwrap();
    }

    fn bridge(&self) -> Option<Bridge> {
        self.networks.bridge(DEFAULT).unwrap()
    }
}

fn bridge_mut(attachment: &mut Attachment) -> &mut Bridge {
    match &mut attachment.way {
        Way::Bridge(bridge) => bridge,
        Way::Upon(_) => panic!("not on a bridge"),
    }
}

fn bridge(attachment: &Attachment) -> &Bridge {
    match &attachment.way {
        Way::Bridge(bridge) => bridge,
        Way::Upon(_) => panic!("not on a bridge"),
    }
}

impl Host {
    fn publish(&self, attachment: &mut Attachment, ports: &[Published]) {
        let nobody = || Ok(Vec::new());
        self.networks.publish(&self.lock(), attachment, ports, nobody).unwrap();
    }
}

impl Host {
    fn link(&self, client: &Attachment, server: &Attachment, ports: &[Port]) {
        let (lock, bridge) = (self.lock(), bridge(client));
        self.networks.link(&lock, bridge, client.address, server.address, ports).unwrap();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.dir).unwrap();
    }
}

fn id(n: u8) -> ContainerId {
    ContainerId::from_random([n; 32])
}

/// A process in a network namespace of its own, as a container's child sets it up.
struct Container {
    child: Child,
    stdin: PipeWriter,
    stdout: PipeReader,
}

impl Container {
    /// Starts a shell script once the network is there.
    fn start(attachment: Option<&Attachment>, script: &str) -> Container {
        let (go, mut say_go) = std::io::pipe().unwrap();
        let (stdin, to_child) = std::io::pipe().unwrap();
        let (from_child, stdout) = std::io::pipe().unwrap();
        let requests = match attachment {
            Some(attachment) => {
                loopback_requests().into_iter().chain(attachment.requests()).collect()
            }
            None => loopback_requests(),
        };
        let argv = ["sh", "-c", script].map(|arg| CString::new(arg).unwrap()).to_vec();
        let env = vec![c"PATH=/usr/sbin:/usr/bin:/sbin:/bin".to_owned()];
        let descriptors = [(stdin.as_fd(), 0), (stdout.as_fd(), 1), (stdout.as_fd(), 2)];
        let mut plan = Plan::new();
        // The child has a copy of both ends: only this ends it where the test fails.
        plan.push(Step::ParentDeathSignal(Signal::KILL))
            .push(Step::Await(go.as_fd()))
            .push(Step::Netlink(requests))
            .push(Step::Descriptors(descriptors.map(|(fd, n)| (FdSource::Fd(fd), n)).to_vec()))
            .push(Step::Exec(Exec::new(vec![c"/bin/sh".to_owned()], argv, Variables::new(env))));
        let (mut frames, report) = std::io::pipe().unwrap();
        let child = spawn(&plan, CLONE_NEWNET, report.as_fd(), 0).unwrap();
        drop((report, plan));
        if let Some(attachment) = attachment {
            attachment.connect(child.pid).unwrap();
        }
        say_go.write_all(b"g").unwrap();
        let mut failed = Vec::new();
        frames.read_to_end(&mut failed).unwrap();
        assert!(failed.is_empty(), "a step of the child failed: {failed:?}");
        Container { child, stdin: to_child, stdout: from_child }
    }

    /// Waits until the script says this.
    fn says(&mut self, line: &str) {
        let mut said = vec![0; line.len() + 1];
        self.stdout.read_exact(&mut said).unwrap();
        assert_eq!(String::from_utf8_lossy(&said), format!("{line}\n"));
    }

    /// Lets the script go on, and gives what it says until it ends.
    fn finish(self) -> String {
        drop(self.stdin);
        let (mut said, mut stdout) = (String::new(), self.stdout);
        stdout.read_to_string(&mut said).unwrap();
        pidfd::wait(self.child.pidfd.as_fd()).unwrap();
        said
    }
}

fn ip(args: &[&str]) -> serde_json::Value {
    let output = Command::new("ip").arg("-j").args(args).output().unwrap();
    assert!(output.status.success(), "ip {args:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn ping(address: Ipv4Addr) -> bool {
    let address = address.to_string();
    let args = ["ping", "-c", "1", "-W", "5", &address];
    Command::new("busybox").args(args).output().unwrap().status.success()
}

#[test]
fn host_and_container_reach_each_other() {
    on_a_host_of_its_own("host_and_container_reach_each_other", |host| {
        let attachment = host.attach(1);
        assert_eq!(attachment.address, Ipv4Addr::new(172, 17, 0, 2));
        let server = TcpListener::bind((attachment.gateway().unwrap(), 0)).unwrap();
        let port = server.local_addr().unwrap().port();
        let script = format!(
            "ip -j addr show eth0; ip -j route; echo hello | busybox nc {} {port}; read x",
            attachment.gateway().unwrap()
        );
        let container = Container::start(Some(&attachment), &script);

        let mut said = String::new();
        server.accept().unwrap().0.read_to_string(&mut said).unwrap();
        assert_eq!(said, "hello\n");
        assert!(ping(attachment.address));
        // Nobody listens there; the container's kernel says so itself.
        let refused = TcpStream::connect((attachment.address, 9)).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

        let link = &ip(&["link", "show", "coracle0"])[0];
        assert_eq!(link["operstate"], "UP");
        let ports = ip(&["link", "show", "master", "coracle0"]);
        assert_eq!(ports.as_array().unwrap().len(), 1);

        let said = container.finish();
        let (addresses, routes) = said.trim().split_once('\n').unwrap();
        let addresses: serde_json::Value = serde_json::from_str(addresses).unwrap();
        assert_eq!(addresses[0]["address"], "02:42:ac:11:00:02");
        assert_eq!(addresses[0]["addr_info"][0]["local"], "172.17.0.2");
        assert_eq!(addresses[0]["addr_info"][0]["prefixlen"], 16);
        let routes: serde_json::Value = serde_json::from_str(routes).unwrap();
        assert_eq!(routes[0]["dst"], "default");
        assert_eq!(routes[0]["gateway"], "172.17.0.1");
    });
}

#[test]
fn containers_reach_each_other() {
    on_a_host_of_its_own("containers_reach_each_other", |host| {
        let (first, second) = (host.attach(1), host.attach(2));
        let one = Container::start(Some(&first), "read x");
        let script = format!("busybox ping -c 1 -W 5 {} >/dev/null; echo $?", first.address);
        let two = Container::start(Some(&second), &script);
        assert_eq!(two.finish(), "0\n");
        one.finish();
    });
}

#[test]
fn a_restarted_container_is_reached_while_its_old_links_linger() {
    on_a_host_of_its_own("a_restarted_container_is_reached_while_its_old_links_linger", |host| {
        let attachment = host.attach(1);
        let old = Container::start(Some(&attachment), "read x");
        assert!(ping(attachment.address));
        // The old namespace is still there, and the bridge knows its port.
        let new = Container::start(Some(&attachment), "read x");
        assert!(ping(attachment.address));
        let ports = ip(&["link", "show", "master", "coracle0"]);
        assert_eq!(ports.as_array().unwrap().len(), 2);
        new.finish();
        old.finish();
    });
}

#[test]
fn without_a_network_there_is_only_the_loopback() {
    on_a_host_of_its_own("without_a_network_there_is_only_the_loopback", |_| {
        let script = "ip -j link; busybox ping -c 1 127.0.0.1 >/dev/null; echo $?";
        let said = Container::start(None, script).finish();
        let (links, status) = said.trim().split_once('\n').unwrap();
        let links: serde_json::Value = serde_json::from_str(links).unwrap();
        let names: Vec<_> = links.as_array().unwrap().iter().map(|l| &l["ifname"]).collect();
        assert!(!names.iter().any(|name| *name == "eth0") && names.contains(&&"lo".into()));
        assert_eq!(status, "0");
    });
}

#[test]
fn a_bridge_that_was_deleted_comes_back_as_it_was() {
    on_a_host_of_its_own("a_bridge_that_was_deleted_comes_back_as_it_was", |host| {
        assert_eq!(host.bridge(), None);
        let attachment = host.attach(1);
        host.release(1);
        assert!(host.bridge().is_some(), "it stays for the next container");
        let delete = netlink::link_delete(bridge(&attachment).index);
        Socket::open().unwrap().request("delete", "coracle0", &delete).unwrap();
        assert_eq!(host.bridge(), None);
        let again = host.attach(2);
        assert_eq!(bridge(&again).subnet, bridge(&attachment).subnet);
        assert_eq!(bridge(&again).name, "coracle0");
    });
}

#[test]
fn what_a_crash_left_half_made_is_completed() {
    on_a_host_of_its_own("what_a_crash_left_half_made_is_completed", |host| {
        let before = bridge(&host.attach(1)).clone();
        let run = |args: &[&str]| {
            assert!(Command::new("ip").args(args).status().unwrap().success(), "{args:?}");
        };
        run(&["addr", "flush", "dev", "coracle0"]);
        run(&["link", "set", "coracle0", "down"]);
        assert_eq!(bridge(&host.attach(1)), &before);
        let link = &ip(&["addr", "show", "coracle0"])[0];
        assert_eq!(link["addr_info"][0]["local"], "172.17.0.1");
        assert!(link["flags"].as_array().unwrap().contains(&"UP".into()));
        // The record is lost, the bridge is not.
        std::fs::remove_file(host.dir.join("networks/bridge/network.json")).unwrap();
        assert_eq!(bridge(&host.attach(1)), &before);
    });
}

#[test]
fn two_roots_have_a_bridge_each() {
    on_a_host_of_its_own("two_roots_have_a_bridge_each", |host| {
        let other = Host::new("other_root");
        let (one, two) = (host.attach(1), other.attach(1));
        assert_eq!(
            [bridge(&one).name.as_str(), bridge(&two).name.as_str()],
            ["coracle0", "coracle1"]
        );
        assert!(!bridge(&one).subnet.overlaps(&bridge(&two).subnet));
        assert_eq!(host.attach(1), one);
    });
}

#[test]
fn a_range_in_use_is_avoided_and_a_clash_under_a_container_is_told() {
    on_a_host_of_its_own(
        "a_range_in_use_is_avoided_and_a_clash_under_a_container_is_told",
        |host| {
            let mut socket = Socket::open().unwrap();
            let lo = netlink::LOOPBACK;
            socket.request("up", "lo", &netlink::link_up(lo)).unwrap();
            let add = |socket: &mut Socket, b| {
                let address = Ipv4Addr::new(172, b, 3, 4);
                socket.request("add", "address", &netlink::addr_add(lo, address, 24)).unwrap();
            };
            add(&mut socket, 17);
            let attachment = host.attach(1);
            assert_eq!(bridge(&attachment).subnet.to_string(), "172.18.0.0/16");

            host.release(1);
            let delete = netlink::link_delete(bridge(&attachment).index);
            socket.request("delete", "coracle0", &delete).unwrap();
            add(&mut socket, 18);
            // Nobody has an address there: the range moves on.
            let attachment = host.attach(1);
            assert_eq!(bridge(&attachment).subnet.to_string(), "172.19.0.0/16");

            // Somebody has: it stays, and the clash is told.
            let delete = netlink::link_delete(bridge(&attachment).index);
            socket.request("delete", "coracle0", &delete).unwrap();
            add(&mut socket, 19);
            let error = host.try_attach(1).unwrap_err();
            let expected = "make the bridge: the range 172.19.0.0/16 of coracle0 overlaps the host's \
                        route 172.19.3.";
            assert!(error.to_string().starts_with(expected), "{error}");
            assert!(error.hints()[0].contains("network.json"), "{:?}", error.hints());
        },
    );
}

#[test]
fn a_foreign_link_of_that_name_is_left_alone() {
    on_a_host_of_its_own("a_foreign_link_of_that_name_is_left_alone", |host| {
        let mut socket = Socket::open().unwrap();
        let foreign = netlink::bridge_create("coracle0", [2, 0, 0, 0, 0, 1], 1500);
        socket.request("make", "coracle0", &foreign).unwrap();
        let error = host.try_attach(1).unwrap_err();
        assert_eq!(error.to_string(), "make the bridge: there is a link coracle0 that is not ours");
        assert!(error.hints()[0].contains("ip link delete coracle0"));
        assert!(socket.link_by_name("coracle0").unwrap().is_some());
    });
}

fn nft() -> String {
    let output = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Tells each client of TCP port 80 and UDP port 53 its address.
const SERVER: &str = "python3 -uc '
import select, socket
tcp, udp = socket.create_server((\"\", 80)), socket.socket(type=socket.SOCK_DGRAM)
udp.bind((\"\", 53))
print(\"up\")
while True:
    for ready in select.select([tcp, udp, 0], [], [])[0]:
        if ready is tcp:
            client, (address, _) = tcp.accept()
            client.sendall(address.encode())
            client.close()
        elif ready is udp:
            _, client = udp.recvfrom(99)
            udp.sendto(client[0].encode(), client)
        else:
            raise SystemExit
'";

fn mapping(host: Ipv4Addr, host_port: u16, protocol: Protocol) -> Published {
    let number = |number| NonZeroU16::new(number).unwrap();
    let container_port = if protocol == Protocol::Udp { 53 } else { 80 };
    let port = Port { number: number(container_port), protocol };
    Published { address: host.into(), host: number(host_port), port }
}

const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

/// What a client prints that asks the server: its answer, or why there is none.
fn asking(protocol: Protocol, address: Ipv4Addr, port: u16) -> String {
    let ask = match protocol {
        Protocol::Udp => "s.sendto(b\"?\", to); print(s.recv(99).decode())",
        _ => "s.connect(to); print(s.recv(99).decode())",
    };
    let kind = if protocol == Protocol::Udp { "DGRAM" } else { "STREAM" };
    format!(
        "python3 -uc '
import socket
s, to = socket.socket(type=socket.SOCK_{kind}), (\"{address}\", {port})
s.settimeout(2)
try: {ask}
except OSError as e: print(type(e).__name__)
'"
    )
}

fn run(script: &str) -> String {
    let output = Command::new("sh").args(["-c", script]).output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// What another host says: 192.0.2.2, next to this one, 192.0.2.1.
fn from_a_neighbour(script: &str) -> String {
    neighbour(script).finish()
}

fn neighbour(script: &str) -> Container {
    let set_up = "read x; ip addr add 192.0.2.2/24 dev eth0; ip link set eth0 up
        ip route add default via 192.0.2.1";
    let mut neighbour = Container::start(None, &format!("{set_up}\n{script}"));
    let said = run(&format!(
        "ip link add out type veth peer name eth0 netns {} && ip addr add 192.0.2.1/24 dev out &&
         ip link set out up",
        neighbour.child.pid.raw()
    ));
    assert_eq!(said, "");
    neighbour.stdin.write_all(b"\n").unwrap();
    neighbour
}

/// The server is at fe80::6 too.
fn start_server(attachment: &Attachment) -> Container {
    let script = format!("ip addr add fe80::6/64 dev eth0 nodad; {SERVER}");
    let mut server = Container::start(Some(attachment), &script);
    server.says("up");
    server
}

#[test]
fn a_published_port_leads_to_the_container_from_everywhere() {
    on_a_host_of_its_own("a_published_port_leads_to_the_container_from_everywhere", |host| {
        Socket::open().unwrap().request("up", "lo", &netlink::link_up(1)).unwrap();
        let mut attachment = host.attach(1);
        let other = host.attach(2);
        let five = Ipv4Addr::new(127, 0, 0, 5);
        let mappings = [
            mapping(ANY, 8080, Protocol::Tcp),
            mapping(ANY, 5353, Protocol::Udp),
            mapping(five, 81, Protocol::Tcp),
        ];
        host.publish(&mut attachment, &mappings);
        let server = start_server(&attachment);
        let gateway = attachment.gateway().unwrap();
        let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);

        // From the host, by its loopback and by an address of its own.
        let to_gateway = format!("{gateway}\n");
        for address in [Ipv4Addr::LOCALHOST, gateway] {
            assert_eq!(run(&asking(tcp, address, 8080)), to_gateway);
            assert_eq!(run(&asking(udp, address, 5353)), to_gateway);
        }
        assert_eq!(run(&asking(tcp, five, 81)), to_gateway);
        assert_eq!(run(&asking(tcp, Ipv4Addr::LOCALHOST, 81)), "ConnectionRefusedError\n");

        // From another host, whose address stays; and by no other way than the published ports.
        let host_address = Ipv4Addr::new(192, 0, 2, 1);
        let script = [
            asking(tcp, host_address, 8080),
            asking(udp, host_address, 5353),
            asking(tcp, attachment.address, 80),
        ];
        assert_eq!(from_a_neighbour(&script.join("\n")), "192.0.2.2\n192.0.2.2\nTimeoutError\n");

        // From another container, whose address stays too.
        let script = [asking(tcp, gateway, 8080), asking(udp, gateway, 5353)].join("\n");
        let client = Container::start(Some(&other), &script);
        assert_eq!(client.finish(), format!("{0}\n{0}\n", other.address));
        // What listens on the host's loopback is for the host.
        let own = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = own.local_addr().unwrap().port();
        let client = Container::start(Some(&other), &asking(tcp, gateway, port));
        assert_eq!(client.finish(), "ConnectionRefusedError\n");
        server.finish();
    });
}

#[test]
fn a_container_reaches_itself_and_the_world() {
    on_a_host_of_its_own("a_container_reaches_itself_and_the_world", |host| {
        let mut attachment = host.attach(1);
        host.publish(&mut attachment, &[mapping(ANY, 8080, Protocol::Tcp)]);
        let gateway = attachment.gateway().unwrap();
        let script =
            format!("{SERVER} <&0 | {{ read up; {}; }}", asking(Protocol::Tcp, gateway, 8080));
        let itself = Container::start(Some(&attachment), &script);
        // The server ends with its stdin: not before it was asked.
        let mut said = String::new();
        BufReader::new(&itself.stdout).read_line(&mut said).unwrap();
        assert_eq!(said, format!("{gateway}\n"));
        itself.finish();
    });
}

#[test]
fn with_the_last_container_goes_what_was_set_up_for_all() {
    on_a_host_of_its_own("with_the_last_container_goes_what_was_set_up_for_all", |host| {
        let forwards = || std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
        assert_eq!((forwards().as_str(), nft().as_str()), ("0\n", ""));
        let (mut one, mut two) = (host.attach(1), host.attach(2));
        host.publish(&mut one, &[mapping(ANY, 80, Protocol::Tcp)]);
        host.publish(&mut two, &[mapping(ANY, 81, Protocol::Tcp)]);
        assert_eq!(forwards(), "1\n");
        let table = nft();
        for element in ["tcp . 80 : 172.17.0.2 . 80", "tcp . 81 : 172.17.0.3 . 80"] {
            assert!(table.contains(element), "{table}");
        }
        host.release(1);
        assert!(!nft().contains("172.17.0.2"), "{}", nft());
        assert!(nft().contains("tcp . 81 : 172.17.0.3 . 80"));

        // Somebody flushed all rules: with the next container those of the others come again.
        assert_eq!(run("nft flush ruleset"), "");
        let mut one = host.attach(1);
        let theirs = (two.address, vec![mapping(ANY, 81, Protocol::Tcp)]);
        let publish = host.networks.publish(&host.lock(), &mut one, &[], || Ok(vec![theirs]));
        publish.unwrap();
        assert!(nft().contains("tcp . 81 : 172.17.0.3 . 80"));

        host.release(2);
        host.release(1);
        assert_eq!((forwards().as_str(), nft().as_str()), ("0\n", ""));

        // What was on before stays on.
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        host.publish(&mut host.attach(1), &[]);
        host.release(1);
        assert_eq!(forwards(), "1\n");
    });
}

/// Whether this namespace's rules for packets see what its bridges pass on.
fn show_bridged(on: bool) {
    let value = if on { "1" } else { "0" };
    std::fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", value).unwrap();
}

fn port(number: u16, protocol: Protocol) -> Port {
    Port { number: NonZeroU16::new(number).unwrap(), protocol }
}

#[test]
fn a_neighbours_published_port_answers_without_br_netfilter() {
    on_a_host_of_its_own("a_neighbours_published_port_answers_without_br_netfilter", |host| {
        let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
        let (mut server, client) = (host.attach(1), host.attach(2));
        let gateway = server.gateway().unwrap();
        let script = [asking(tcp, gateway, 8080), asking(udp, gateway, 5353)].join("\n");
        let ports = [mapping(ANY, 8080, tcp), mapping(ANY, 5353, udp)];
        // The rules follow the switch with the next container.
        for (on, seen) in [(false, gateway), (true, client.address), (false, gateway)] {
            show_bridged(on);
            host.publish(&mut server, &ports);
            let running = start_server(&server);
            let asked = Container::start(Some(&client), &script).finish();
            assert_eq!(asked, format!("{seen}\n{seen}\n"));
            let itself = format!("{SERVER} <&0 | {{ read up; {}; }}", asking(tcp, gateway, 8080));
            running.finish();
            let itself = Container::start(Some(&server), &itself);
            let mut said = String::new();
            BufReader::new(&itself.stdout).read_line(&mut said).unwrap();
            assert_eq!(said, format!("{gateway}\n"));
            itself.finish();
        }
    });
}

#[test]
fn isolated_containers_reach_each_other_by_links_and_published_ports_only() {
    const TEST: &str = "isolated_containers_reach_each_other_by_links_and_published_ports_only";
    on_a_host_of_its_own(TEST, |host| {
        Socket::open().unwrap().request("up", "lo", &netlink::link_up(1)).unwrap();
        let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
        let mut all = [1, 2, 3].map(|n| host.attach(n));
        for attachment in &mut all {
            bridge_mut(attachment).policy.icc = false;
        }
        let [mut server, mut client, mut stranger] = all;
        let gateway = server.gateway().unwrap();
        let by_ipv6 = "ip addr add fe80::5/64 dev eth0 nodad
            busybox ping -6 -c 1 -W 1 fe80::6%eth0 >/dev/null 2>&1; echo $?"
            .to_string();
        for shown in [true, false] {
            show_bridged(shown);
            host.publish(&mut server, &[mapping(ANY, 8080, tcp), mapping(ANY, 5353, udp)]);
            host.publish(&mut client, &[]);
            host.publish(&mut stranger, &[]);
            let running = start_server(&server);
            let address = server.address;
            let script = [
                asking(tcp, address, 80),
                asking(udp, address, 53),
                format!("busybox ping -c 1 -W 1 {address} >/dev/null; echo $?"),
                // Not over the host either, nor by the link-local addresses of IPv6.
                format!("ip route add {address} via {gateway}; {}", asking(tcp, address, 80)),
                by_ipv6.clone(),
                asking(tcp, gateway, 8080),
                asking(udp, gateway, 5353),
            ]
            .join("\n");
            let shut = "TimeoutError\nTimeoutError\n1\nTimeoutError\n1\n";
            let shut = format!("{shut}{gateway}\n{gateway}\n");
            assert_eq!(Container::start(Some(&stranger), &script).finish(), shut);

            host.link(&client, &server, &[port(80, tcp), port(53, udp)]);
            let script = [asking(tcp, address, 80), asking(udp, address, 53)].join("\n");
            let open = format!("{0}\n{0}\n", client.address);
            assert_eq!(Container::start(Some(&client), &script).finish(), open);
            // Neither for others nor the other way round.
            let asked = Container::start(Some(&stranger), &script).finish();
            assert_eq!(asked, "TimeoutError\nTimeoutError\n");
            let other = start_server(&client);
            let back = asking(tcp, client.address, 80);
            let starter = Container::start(Some(&stranger), &back);
            assert_eq!(starter.finish(), "TimeoutError\n");
            other.finish();
            running.finish();
            let (lock, bridge) = (host.lock(), bridge(&client));
            host.networks.unlink(&lock, bridge, client.address, address).unwrap();
            drop(lock);
            assert!(!nft().contains("172.17.0.3 . 172.17.0.2"), "{}", nft());
            host.link(&client, &server, &[port(80, tcp), port(53, udp)]);
            // A link survives that the rules are made anew; it goes with either end.
            assert_eq!(nft().matches("172.17.0.3 . 172.17.0.2 . tcp . 80").count(), 2);
            show_bridged(!shown);
            host.publish(&mut stranger, &[]);
            assert_eq!(nft().matches("172.17.0.3 . 172.17.0.2 . tcp . 80").count(), 2);
            show_bridged(shown);
            host.release(2);
            assert!(!nft().contains("172.17.0.3"), "{}", nft());
            assert_eq!(host.attach(2).address, client.address);
        }
        // A bridge that lets all pass again has no such table.
        bridge_mut(&mut client).policy = Policy::default();
        host.publish(&mut client, &[]);
        assert!(!nft().contains("table bridge"), "{}", nft());
        let running = start_server(&server);
        assert_eq!(Container::start(Some(&client), &by_ipv6).finish(), "0\n");
        running.finish();
    });
}

#[test]
fn an_internal_bridge_leads_nowhere() {
    on_a_host_of_its_own("an_internal_bridge_leads_nowhere", |host| {
        let (mut attachment, other) = (host.attach(1), host.attach(2));
        bridge_mut(&mut attachment).policy.internal = true;
        host.publish(&mut attachment, &[mapping(ANY, 8080, Protocol::Tcp)]);
        let server = start_server(&attachment);
        let (tcp, address) = (Protocol::Tcp, attachment.address);
        let ask = asking(tcp, address, 80);
        // Those on it reach each other.
        let asked = Container::start(Some(&other), &ask).finish();
        assert_eq!(asked, format!("{}\n", other.address));
        let script = [asking(tcp, Ipv4Addr::new(192, 0, 2, 1), 8080), ask].join("\n");
        assert_eq!(from_a_neighbour(&script), "ConnectionRefusedError\nTimeoutError\n");
        server.finish();
    });
}

#[test]
fn what_leaves_has_the_hosts_address_or_by_policy_its_own() {
    on_a_host_of_its_own("what_leaves_has_the_hosts_address_or_by_policy_its_own", |host| {
        let mut attachment = host.attach(1);
        host.publish(&mut attachment, &[]);
        let mut world = neighbour(SERVER);
        world.says("up");
        let ask = asking(Protocol::Tcp, Ipv4Addr::new(192, 0, 2, 2), 80);
        let its_own = attachment.address;
        for (masquerade, internal, seen) in [
            (true, false, "192.0.2.1".to_string()),
            (false, false, its_own.to_string()),
            (true, true, "TimeoutError".to_string()),
        ] {
            bridge_mut(&mut attachment).policy = Policy { icc: true, masquerade, internal };
            host.publish(&mut attachment, &[]);
            assert_eq!(Container::start(Some(&attachment), &ask).finish(), format!("{seen}\n"));
        }
        world.finish();
    });
}

#[test]
fn who_keeps_sending_by_udp_reaches_the_container_of_now() {
    on_a_host_of_its_own("who_keeps_sending_by_udp_reaches_the_container_of_now", |host| {
        let (mut one, mut two) = (host.attach(1), host.attach(2));
        let server = |attachment: &Attachment, name: &str| {
            let script = format!(
                "python3 -uc '
import select, socket
s = socket.socket(type=socket.SOCK_DGRAM)
s.bind((\"\", 53))
print(\"up\")
while s in select.select([s, 0], [], [])[0]:
    s.sendto(b\"{name}\", s.recvfrom(99)[1])
'"
            );
            let mut server = Container::start(Some(attachment), &script);
            server.says("up");
            server
        };
        let (first, second) = (server(&one, "one"), server(&two, "two"));
        // Before there are rules the kernel keeps nothing in mind.
        host.publish(&mut one, &[]);
        // From one port to two of the host; tells who answers, as soon as it is somebody else.
        let mut client = neighbour(
            "python3 -uc '
import select, socket
s, last = socket.socket(type=socket.SOCK_DGRAM), dict()
for _ in range(1000):
    if select.select([0], [], [], 0.02)[0]: break
    for port in (5353, 5354): s.sendto(b\"?\", (\"192.0.2.1\", port))
    if not last: print(\"sending\"); last[0] = 0
    while select.select([s], [], [], 0)[0]:
        try: name, (_, port) = s.recvfrom(99)
        except OSError: continue
        if last.get(port) != name: print(port, name.decode())
        last[port] = name
'",
        );
        let entries = || std::fs::read_to_string("/proc/net/nf_conntrack").unwrap();
        let of = |port: u16| {
            let to = "dst=192.0.2.1 sport=";
            let at = format!(" dport={port} ");
            entries().lines().filter(|l| l.contains(to) && l.contains(&at)).count()
        };
        let udp = |port| mapping(ANY, port, Protocol::Udp);
        client.says("sending");
        assert_eq!((of(5353), of(5354)), (1, 1));
        host.publish(&mut two, &[udp(5354)]);
        client.says("5354 two");
        host.publish(&mut one, &[udp(5353)]);
        client.says("5353 one");
        // The other's is not touched: what it was given stays.
        host.network.release(&host.lock(), &id(1)).unwrap();
        host.publish(&mut two, &[udp(5353)]);
        client.says("5353 two");
        // Nobody is led to an address that is somebody else's next.
        let line = entries().lines().find(|line| line.contains("dport=5353")).unwrap().to_string();
        assert!(line.contains("src=172.17.0.3"), "{line}");
        host.network.release(&host.lock(), &id(2)).unwrap();
        let left = entries();
        assert!(!left.contains("src=172.17.0.3"), "{left}");
        drop((first, second));
        client.finish();
    });
}

#[test]
fn only_udp_connections_to_a_published_port_are_forgotten() {
    on_a_host_of_its_own("only_udp_connections_to_a_published_port_are_forgotten", |host| {
        Socket::open().unwrap().request("up", "lo", &netlink::link_up(1)).unwrap();
        let mut attachment = host.attach(1);
        host.publish(&mut attachment, &[]);
        let here = |last| Ipv4Addr::new(127, 0, 0, last);
        let entries = |protocol: &str| {
            let text = std::fs::read_to_string("/proc/net/nf_conntrack").unwrap();
            let mut entries: Vec<String> = Vec::new();
            for line in text.lines().filter(|line| line.contains(protocol)) {
                let words: Vec<&str> = line.split_whitespace().collect();
                let word = |start| words.iter().find_map(|w: &&str| w.strip_prefix(start));
                let (to, port) = (word("dst=").unwrap(), word("dport=").unwrap());
                entries.push(format!("{to}:{port}"));
            }
            entries.sort();
            entries
        };
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for (last, port) in [(1, 5353), (5, 5353), (1, 5354)] {
            let _ = udp.send_to(b"?", (here(last), port));
        }
        let tcp = TcpListener::bind((here(1), 0)).unwrap();
        let port = tcp.local_addr().unwrap().port();
        let _open = TcpStream::connect((here(1), port)).unwrap();
        let before = entries("udp");
        assert_eq!(before, ["127.0.0.1:5353", "127.0.0.1:5354", "127.0.0.5:5353"]);

        host.publish(&mut attachment, &[mapping(here(5), 5353, Protocol::Udp)]);
        assert_eq!(entries("udp"), ["127.0.0.1:5353", "127.0.0.1:5354"]);
        host.publish(&mut attachment, &[mapping(ANY, port, Protocol::Udp)]);
        assert_eq!(entries("tcp"), [format!("127.0.0.1:{port}")]);
        let both = [mapping(ANY, 5353, Protocol::Udp), mapping(ANY, 5355, Protocol::Udp)];
        host.publish(&mut attachment, &both);
        assert_eq!(entries("udp"), ["127.0.0.1:5354"]);
    });
}

/// An association is opened: from which port to which, and with the checksum it should have.
const SCTP: &str = "
import socket, struct
def crc(data):
    c = 0xffffffff
    for byte in data:
        c ^= byte
        for _ in range(8): c = (c >> 1) ^ (0x82f63b78 * (c & 1))
    return struct.pack(\"<I\", c ^ 0xffffffff)
def packet(source, to, tag, kind):
    head = struct.pack(\"!HHI\", source, to, tag)
    chunk = struct.pack(\"!BBHIIHHI\", kind, 0, 20, 77, 65536, 1, 1, 1)
    return head + crc(head + bytes(4) + chunk) + chunk
def receive(kind):
    while True:
        data, (address, _) = s.recvfrom(999)
        data = data[(data[0] & 15) * 4:]
        source, to = struct.unpack(\"!HH\", data[:4])
        whole = crc(data[:8] + bytes(4) + data[12:]) == data[8:12]
        if data[12] == kind: return address, source, to, whole
s = socket.socket(type=socket.SOCK_RAW, proto=132)
s.settimeout(5)
";

#[test]
fn a_published_sctp_port_leads_to_the_container() {
    on_a_host_of_its_own("a_published_sctp_port_leads_to_the_container", |host| {
        let mut attachment = host.attach(1);
        host.publish(&mut attachment, &[mapping(ANY, 8132, Protocol::Sctp)]);
        let server = format!(
            "python3 -uc '{SCTP}
print(\"up\")
address, source, to, whole = receive(1)
print(address, source, to, whole)
s.sendto(packet(to, source, 77, 2), (address, 0))
'"
        );
        let mut server = Container::start(Some(&attachment), &server);
        server.says("up");
        let client = format!(
            "python3 -uc '{SCTP}
s.sendto(packet(5000, 8132, 0, 1), (\"192.0.2.1\", 0))
print(*receive(2))
'"
        );
        assert_eq!(from_a_neighbour(&client), "192.0.2.1 8132 5000 True\n");
        assert_eq!(server.finish(), "192.0.2.2 5000 80 True\n");
    });
}
