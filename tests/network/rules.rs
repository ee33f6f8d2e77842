//! What becomes of packets, shown by packets.

use super::*;

pub fn nft() -> String {
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

pub fn mapping(host: Ipv4Addr, host_port: u16, protocol: Protocol) -> Published {
    let number = |number| NonZeroU16::new(number).unwrap();
    let container_port = if protocol == Protocol::Udp { 53 } else { 80 };
    let port = Port { number: number(container_port), protocol };
    Published { address: host.into(), host: number(host_port), port }
}

pub const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

/// What a client prints that asks the server: its answer, or why there is none.
pub fn asking(protocol: Protocol, address: Ipv4Addr, port: u16) -> String {
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

pub fn run(script: &str) -> String {
    let output = Command::new("sh").args(["-c", script]).output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// What another host says: 192.0.2.2, next to this one, 192.0.2.1.
fn from_a_neighbour(script: &str) -> String {
    neighbour(script).finish()
}

pub fn neighbour(script: &str) -> Container {
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

/// The server is at fe80::6 too: it may have let itself have IPv6.
pub fn start_server(attachment: &Attachment) -> Container {
    let with_ipv6 = "echo 0 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6";
    let script = format!("{with_ipv6}; ip addr add fe80::6/64 dev eth0 nodad; {SERVER}");
    let mut server = Container::start(Some(attachment), &script);
    server.says("up");
    server
}

#[test]
fn a_published_port_leads_to_the_container_from_everywhere() {
    on_a_host_of_its_own(
        "rules::a_published_port_leads_to_the_container_from_everywhere",
        |host| {
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
            assert_eq!(
                from_a_neighbour(&script.join("\n")),
                "192.0.2.2\n192.0.2.2\nTimeoutError\n"
            );

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
        },
    );
}

/// Tells what reaches the host's loopback at port 7000, and by TCP at all, until it is told the end by
/// the address in $1.
const LISTENER: &str = "exec python3 -uc '
import select, socket, sys
own, open_ = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(2)]
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
own.bind((\"127.0.0.1\", 7000))
open_.bind((sys.argv[1], 7000))
print(\"up\")
while True:
    for ready in select.select([own, raw, open_], [], [])[0]:
        told = ready.recv(99)
        print(\"own\" if ready is own else \"tcp\" if ready is raw else told.decode())
        if told == b\"end\": raise SystemExit
' \"$1\"";

/// Sends to the host at $1 what no program could: for the loopback, as if from it, and of no
/// connection; and by UDP to the port 5353 that is published at 127.0.0.5.
const FORGER: &str = "python3 -uc '
import socket, struct, sys
gateway = sys.argv[1]
asked = socket.socket(type=socket.SOCK_DGRAM)
asked.connect((gateway, 7000))
mine = asked.getsockname()[0]
asked.send(b\"begin\")
arp = [line.split() for line in open(\"/proc/net/arp\")]
to = next(bytes.fromhex(line[3].replace(\":\", \"\")) for line in arp if line[0] == gateway)
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind((\"eth0\", 0x800))
def forge(source, target, protocol, rest):
    head = struct.pack(\"!BBHHHBBH4s4s\", 69, 0, 20 + len(rest), 0, 0, 64, protocol, 0,
                       socket.inet_aton(source), socket.inet_aton(target))
    total = sum(struct.unpack(\"!10H\", head))
    total = (total >> 16) + (total & 0xffff)
    head = head[:10] + struct.pack(\"!H\", ~(total + (total >> 16)) & 0xffff) + head[12:]
    link.send(to + link.getsockname()[4] + b\"\\x08\\0\" + head + rest)
def udp(source, target, port):
    forge(source, target, 17, struct.pack(\"!HHHH\", 7000, port, 14, 0) + b\"forged\")
def tcp(source, target):
    forge(source, target, 6, struct.pack(\"!HHIIBBHHH\", 7000, 7000, 1, 1, 80, 0, 512, 0, 0))
udp(mine, \"127.0.0.1\", 7000)
tcp(mine, \"127.0.0.1\")
udp(\"127.0.0.1\", gateway, 7000)
tcp(\"127.0.0.1\", gateway)
udp(mine, \"127.0.0.5\", 5353)
asked.send(b\"end\")
asked.sendto(b\"end\", (gateway, 5354))
' ";

/// What it hears at UDP port 53, until that is the end.
const LISTENING_SERVER: &str = "python3 -uc '
import socket
udp = socket.socket(type=socket.SOCK_DGRAM)
udp.bind((\"\", 53))
print(\"up\")
told = b\"\"
while told != b\"end\":
    told = udp.recv(99)
    print(told.decode())
'";

#[test]
fn the_hosts_loopback_is_its_own_whatever_a_container_sends() {
    on_a_host_of_its_own(
        "rules::the_hosts_loopback_is_its_own_whatever_a_container_sends",
        |host| {
            Socket::open().unwrap().request("up", "lo", &netlink::link_up(1)).unwrap();
            let (mut attachment, other) = (host.attach(1), host.attach(2));
            let five = Ipv4Addr::new(127, 0, 0, 5);
            let mappings = [mapping(five, 5353, Protocol::Udp), mapping(ANY, 5354, Protocol::Udp)];
            host.publish(&mut attachment, &mappings);
            let gateway = attachment.gateway().unwrap().to_string();
            let mut server = Container::start(Some(&attachment), LISTENING_SERVER);
            server.says("up");
            let mut listener = Command::new("sh");
            listener.args(["-c", LISTENER, "sh", &gateway]).stdout(Stdio::piped());
            let mut listener = listener.spawn().unwrap();
            let mut heard = BufReader::new(listener.stdout.take().unwrap());
            let mut said = String::new();
            heard.read_line(&mut said).unwrap();
            assert_eq!(said, "up\n");
            let forger = Container::start(Some(&other), &format!("{FORGER}{gateway}"));
            assert_eq!(forger.finish(), "");
            said.clear();
            heard.read_to_string(&mut said).unwrap();
            assert_eq!(said, "begin\nend\n");
            assert!(listener.wait().unwrap().success());
            assert_eq!(server.finish(), "end\n");
        },
    );
}

#[test]
fn a_container_reaches_itself_and_the_world() {
    on_a_host_of_its_own("rules::a_container_reaches_itself_and_the_world", |host| {
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
fn with_the_last_container_goes_what_leads_to_containers() {
    on_a_host_of_its_own("rules::with_the_last_container_goes_what_leads_to_containers", |host| {
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
        let others = |_: &str| {
            let published = vec![(two.address, vec![mapping(ANY, 81, Protocol::Tcp)])];
            Ok(Running { published, links: Vec::new() })
        };
        host.publish_beside(&mut one, &[], &others).unwrap();
        assert!(nft().contains("tcp . 81 : 172.17.0.3 . 80"));

        // With the last one the rules stay with their bridge, and lead nowhere.
        host.release(2);
        host.release(1);
        assert_eq!(forwards(), "0\n");
        assert!(!nft().contains("elements"), "{}", nft());

        // Where the bridge has another range now, they are made anew.
        assert!(nft().contains("172.17.0.0/16"), "{}", nft());
        assert_eq!(run("ip link delete coracle0 && ip link add br0 type bridge"), "");
        assert_eq!(run("ip addr add 172.17.0.1/24 dev br0 && ip link set br0 up"), "");
        host.publish(&mut host.attach(1), &[]);
        host.release(1);
        let rules = nft();
        assert!(rules.contains("172.18.0.0/16") && !rules.contains("172.17."), "{rules}");

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
    on_a_host_of_its_own(
        "rules::a_neighbours_published_port_answers_without_br_netfilter",
        |host| {
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
                let itself =
                    format!("{SERVER} <&0 | {{ read up; {}; }}", asking(tcp, gateway, 8080));
                running.finish();
                let itself = Container::start(Some(&server), &itself);
                let mut said = String::new();
                BufReader::new(&itself.stdout).read_line(&mut said).unwrap();
                assert_eq!(said, format!("{gateway}\n"));
                itself.finish();
            }
        },
    );
}

#[test]
fn isolated_containers_reach_each_other_by_links_and_published_ports_only() {
    const TEST: &str =
        "rules::isolated_containers_reach_each_other_by_links_and_published_ports_only";
    on_a_host_of_its_own(TEST, |host| {
        Socket::open().unwrap().request("up", "lo", &netlink::link_up(1)).unwrap();
        let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
        let mut all = [1, 2, 3].map(|n| host.attach(n));
        for attachment in &mut all {
            bridge_mut(attachment).policy.icc = false;
        }
        let [mut server, mut client, mut stranger] = all;
        let gateway = server.gateway().unwrap();
        let by_ipv6 = "echo 0 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6
            ip addr add fe80::5/64 dev eth0 nodad
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
            // Links come again where the rules are made anew: where they are to be others, and where
            // somebody took one of the tables away.
            let linked = || nft().matches("172.17.0.3 . 172.17.0.2 . tcp . 80").count();
            assert_eq!(linked(), 2);
            let others = |_: &str| {
                let (client, ports) = (client.address, vec![port(80, tcp)]);
                let links = vec![Link { client, server: address, ports }];
                Ok(Running { published: Vec::new(), links })
            };
            show_bridged(!shown);
            host.publish_beside(&mut stranger, &[], &others).unwrap();
            assert_eq!(linked(), 2);
            show_bridged(shown);
            host.publish_beside(&mut stranger, &[], &others).unwrap();
            for table in ["bridge", "inet"] {
                assert_eq!(run(&format!("nft delete table {table} coracle0")), "");
                host.publish_beside(&mut stranger, &[], &others).unwrap();
                assert_eq!(linked(), 2);
            }
            // They go with either end.
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
    on_a_host_of_its_own("rules::an_internal_bridge_leads_nowhere", |host| {
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
    on_a_host_of_its_own("rules::what_leaves_has_the_hosts_address_or_by_policy_its_own", |host| {
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
    on_a_host_of_its_own("rules::who_keeps_sending_by_udp_reaches_the_container_of_now", |host| {
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
        host.networks.release(&host.lock(), &id(1)).unwrap();
        host.publish(&mut two, &[udp(5353)]);
        client.says("5353 two");
        // Nobody is led to an address that is somebody else's next.
        let line = entries().lines().find(|line| line.contains("dport=5353")).unwrap().to_string();
        assert!(line.contains("src=172.17.0.3"), "{line}");
        host.networks.release(&host.lock(), &id(2)).unwrap();
        let left = entries();
        assert!(!left.contains("src=172.17.0.3"), "{left}");
        drop((first, second));
        client.finish();
    });
}

#[test]
fn only_udp_connections_to_a_published_port_are_forgotten() {
    on_a_host_of_its_own("rules::only_udp_connections_to_a_published_port_are_forgotten", |host| {
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
    on_a_host_of_its_own("rules::a_published_sctp_port_leads_to_the_container", |host| {
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
