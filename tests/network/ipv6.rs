//! Networks with IPv6, shown by packets.

use super::rules::{mapping, nft, run};
use super::*;
use std::net::{IpAddr, Ipv6Addr};

const RANGE: &str = "fd00:1::/64";
const GATEWAY: &str = "fd00:1::1";

/// Tells each client of TCP port 80 and UDP port 53 its address.
const SERVER: &str = "python3 -uc '
import select, socket
tcp = socket.create_server((\"::\", 80), family=socket.AF_INET6)
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
udp.bind((\"::\", 53))
print(\"up\")
while True:
    for ready in select.select([tcp, udp, 0], [], [])[0]:
        if ready is tcp:
            client, (address, *_) = tcp.accept()
            client.sendall(address.encode())
            client.close()
        elif ready is udp:
            _, client = udp.recvfrom(99)
            udp.sendto(client[0].encode(), client)
        else:
            raise SystemExit
'";

fn asking(protocol: Protocol, address: &str, port: u16) -> String {
    let (ask, kind) = match protocol {
        Protocol::Udp => ("s.sendto(b\"?\", to)", "DGRAM"),
        _ => ("s.connect(to)", "STREAM"),
    };
    format!(
        "python3 -uc '
import socket
s, to = socket.socket(socket.AF_INET6, socket.SOCK_{kind}), (\"{address}\", {port})
s.settimeout(2)
try: {ask}; print(s.recv(99).decode())
except OSError as e: print(type(e).__name__)
'"
    )
}

fn published(at: &str, port: u16, protocol: Protocol) -> Published {
    let ipv4 = mapping(Ipv4Addr::UNSPECIFIED, port, protocol);
    Published { address: at.parse().unwrap(), ..ipv4 }
}

fn both(port: u16, protocol: Protocol) -> [Published; 2] {
    ["0.0.0.0", "::"].map(|at| published(at, port, protocol))
}

/// The default network has IPv6, and the host's loopback is up.
fn with_ipv6(host: &Host) {
    Socket::open().unwrap().request("up", "lo", &netlink::link_up(1)).unwrap();
    let mut definition = host.networks.get(DEFAULT).unwrap();
    definition.enable_ipv6(Some(RANGE.parse().unwrap())).unwrap();
    host.networks.write(&host.lock(), &definition).unwrap();
}

/// What another host says: 2001:db8::2, next to this one, 2001:db8::1.
fn neighbour(script: &str) -> Container {
    let set_up = "read x; ip link set eth0 up; ip addr add 2001:db8::2/64 dev eth0 nodad
        ip -6 route add default via 2001:db8::1";
    let mut neighbour = Container::start(None, &format!("{set_up}\n{script}"));
    let said = run(&format!(
        "ip link add out type veth peer name eth0 netns {} && ip link set out up &&
         ip addr add 2001:db8::1/64 dev out nodad",
        neighbour.child.pid.raw()
    ));
    assert_eq!(said, "");
    neighbour.stdin.write_all(b"\n").unwrap();
    neighbour
}

fn start_server(attachment: &Attachment) -> Container {
    let mut server = Container::start(Some(attachment), SERVER);
    server.says("up");
    server
}

/// Whether this namespace's rules for packets see what its bridges pass on.
fn show_bridged(on: bool) {
    for version in ["ip", "ip6"] {
        let path = format!("/proc/sys/net/bridge/bridge-nf-call-{version}tables");
        std::fs::write(path, if on { "1" } else { "0" }).unwrap();
    }
}

#[test]
fn a_published_port_leads_to_the_container_by_ipv6() {
    on_a_host_of_its_own("ipv6::a_published_port_leads_to_the_container_by_ipv6", |host| {
        with_ipv6(host);
        let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
        let (mut attachment, other) = (host.attach(1), host.attach(2));
        assert_eq!(attachment.address6().unwrap().to_string(), "fd00:1::2");
        for bridged in [false, true] {
            show_bridged(bridged);
            let at_one = published(GATEWAY, 81, tcp);
            let ports = [&both(8080, tcp)[..], &both(5353, udp), &[at_one]].concat();
            host.publish(&mut attachment, &ports);
            let server = start_server(&attachment);

            // From the host, by an address of its own. Its loopback says at once that it is not there.
            for (protocol, port) in [(tcp, 8080), (udp, 5353), (tcp, 81)] {
                assert_eq!(run(&asking(protocol, GATEWAY, port)), format!("{GATEWAY}\n"));
            }
            let refused = "ConnectionRefusedError\n";
            assert_eq!(run(&asking(tcp, "::1", 80)), refused);

            // From another host, whose address stays, and by no other way.
            let script = [
                asking(tcp, "2001:db8::1", 8080),
                asking(udp, "2001:db8::1", 5353),
                asking(tcp, "2001:db8::1", 81),
                format!("ip -6 route add {RANGE} via 2001:db8::1"),
                asking(tcp, "fd00:1::2", 80),
            ];
            let said = neighbour(&script.join("\n")).finish();
            assert_eq!(said, format!("2001:db8::2\n2001:db8::2\n{refused}TimeoutError\n"));

            // From another container, by the host and directly.
            let script = [
                asking(tcp, GATEWAY, 8080),
                asking(udp, GATEWAY, 5353),
                asking(tcp, "fd00:1::2", 80),
            ];
            let said = Container::start(Some(&other), &script.join("\n")).finish();
            let seen = if bridged { "fd00:1::3" } else { GATEWAY };
            assert_eq!(said, format!("{seen}\n{seen}\nfd00:1::3\n"));
            server.finish();

            // From itself.
            let script = format!("{SERVER} <&0 | {{ read up; {}; }}", asking(tcp, GATEWAY, 8080));
            let itself = Container::start(Some(&attachment), &script);
            let mut said = String::new();
            BufReader::new(&itself.stdout).read_line(&mut said).unwrap();
            assert_eq!(said, format!("{GATEWAY}\n"));
            itself.finish();
        }
        // What led to it goes with it.
        host.release(1);
        assert!(!nft().contains("fd00:1::2"), "{}", nft());
    });
}

#[test]
fn containers_reach_the_world_by_ipv6() {
    on_a_host_of_its_own("ipv6::containers_reach_the_world_by_ipv6", |host| {
        with_ipv6(host);
        let mut attachment = host.attach(1);
        host.publish(&mut attachment, &[]);
        let mut world = neighbour(&format!("ip -6 route add {RANGE} via 2001:db8::1; {SERVER}"));
        world.says("up");
        let ask = asking(Protocol::Tcp, "2001:db8::2", 80);
        for (masquerade, internal, seen) in [
            (true, false, "2001:db8::1"),
            (false, false, "fd00:1::2"),
            (true, true, "TimeoutError"),
        ] {
            bridge_mut(&mut attachment).policy = Policy { icc: true, masquerade, internal };
            host.publish(&mut attachment, &[]);
            assert_eq!(Container::start(Some(&attachment), &ask).finish(), format!("{seen}\n"));
        }
        world.finish();
    });
}

#[test]
fn an_address_is_there_at_once_also_where_ipv6_is_off_by_default() {
    const TEST: &str = "ipv6::an_address_is_there_at_once_also_where_ipv6_is_off_by_default";
    on_a_host_of_its_own(TEST, |host| {
        with_ipv6(host);
        std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
        let attachment = host.attach(1);
        // A second one lingers, as after a restart.
        let old = Container::start(Some(&attachment), "read x");
        let script = format!(
            "ip -j -6 addr show eth0 scope global; busybox ping -6 -c 1 -W 2 {GATEWAY} >/dev/null
            echo $?"
        );
        let said = Container::start(Some(&attachment), &script).finish();
        let (addresses, status) = said.trim().split_once('\n').unwrap();
        let addresses: serde_json::Value = serde_json::from_str(addresses).unwrap();
        let address = &addresses[0]["addr_info"][0];
        assert_eq!(address["local"], "fd00:1::2");
        assert_eq!(address["tentative"], serde_json::Value::Null);
        assert_eq!(status, "0");
        old.finish();
        host.release(1);
        assert_eq!(host.attach(1).address6(), attachment.address6());
    });
}

#[test]
fn what_ipv6_needs_of_the_host_goes_with_its_last_user() {
    const TEST: &str = "ipv6::what_ipv6_needs_of_the_host_goes_with_its_last_user";
    on_a_host_of_its_own(TEST, |host| {
        with_ipv6(host);
        let read = |what: &str| {
            let path = format!("/proc/sys/net/ipv6/conf/{what}");
            std::fs::read_to_string(path).unwrap().trim().to_string()
        };
        let state = || ["all/forwarding", "told/accept_ra", "quiet/accept_ra"].map(read);
        let said = run("ip link add told type veth peer name quiet && ip link set told up &&
            ip link set quiet up && ip -6 route add 2001:db8:7::/64 dev told proto ra");
        assert_eq!(said, "");
        let before = ["0", "1", "1"];
        assert_eq!(state(), before);
        let mut one = host.attach(1);
        assert_eq!(read("coracle0/accept_ra"), "0");
        host.publish(&mut one, &both(80, Protocol::Tcp));
        assert_eq!(state(), ["1", "2", "1"]);
        host.release(1);
        assert_eq!(state(), before);
        assert!(!nft().contains("elements"), "{}", nft());

        // What was on before stays on.
        std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
        host.publish(&mut host.attach(1), &[]);
        host.release(1);
        assert_eq!(state(), ["1", "1", "1"]);
        // Without IPv6 nothing is changed.
        std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "0").unwrap();
        let mut definition = host.networks.get(DEFAULT).unwrap();
        definition.subnet6 = None;
        host.networks.write(&host.lock(), &definition).unwrap();
        host.publish(&mut host.attach(1), &[]);
        assert_eq!(state(), before);
        assert!(!nft().contains("ipv6"), "{}", nft());
    });
}

#[test]
fn isolated_containers_reach_each_other_by_links_of_ipv6() {
    on_a_host_of_its_own("ipv6::isolated_containers_reach_each_other_by_links_of_ipv6", |host| {
        with_ipv6(host);
        let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
        let mut all = [1, 2, 3].map(|n| host.attach(n));
        for attachment in &mut all {
            bridge_mut(attachment).policy.icc = false;
        }
        let [mut server, mut client, mut stranger] = all;
        for shown in [true, false] {
            show_bridged(shown);
            host.publish(&mut server, &[both(8080, tcp), both(5353, udp)].concat());
            host.publish(&mut client, &[]);
            host.publish(&mut stranger, &[]);
            let running = start_server(&server);
            let direct = [asking(tcp, "fd00:1::2", 80), asking(udp, "fd00:1::2", 53)].join("\n");
            let by_host = [asking(tcp, GATEWAY, 8080), asking(udp, GATEWAY, 5353)].join("\n");
            let ping = "busybox ping -6 -c 1 -W 1 fd00:1::2 >/dev/null; echo $?";
            let script = [direct.as_str(), ping, &by_host].join("\n");
            let shut = format!("TimeoutError\nTimeoutError\n1\n{GATEWAY}\n{GATEWAY}\n");
            assert_eq!(Container::start(Some(&stranger), &script).finish(), shut);

            let port =
                |number, protocol| Port { number: NonZeroU16::new(number).unwrap(), protocol };
            host.link(&client, &server, &[port(80, tcp), port(53, udp)]);
            let open = "fd00:1::3\nfd00:1::3\n";
            assert_eq!(Container::start(Some(&client), &direct).finish(), open);
            let asked = Container::start(Some(&stranger), &direct).finish();
            assert_eq!(asked, "TimeoutError\nTimeoutError\n");
            let (lock, bridge) = (host.lock(), bridge(&client));
            host.networks.unlink(&lock, bridge, client.address, server.address).unwrap();
            drop(lock);
            assert!(!nft().contains("fd00:1::3 . fd00:1::2"), "{}", nft());
            running.finish();
        }
    });
}

#[test]
fn who_sends_by_udp_over_ipv6_reaches_the_container_of_now() {
    const TEST: &str = "ipv6::who_sends_by_udp_over_ipv6_reaches_the_container_of_now";
    on_a_host_of_its_own(TEST, |host| {
        with_ipv6(host);
        let mut attachment = host.attach(1);
        host.publish(&mut attachment, &[]);
        let own: Ipv6Addr = GATEWAY.parse().unwrap();
        let udp = std::net::UdpSocket::bind("[::]:0").unwrap();
        for port in [5353, 5354] {
            let _ = udp.send_to(b"?", (IpAddr::from(own), port));
        }
        let entries = || {
            let text = std::fs::read_to_string("/proc/net/nf_conntrack").unwrap();
            let is_asked = |port: &&str| text.contains(&format!("dport={port} "));
            ["5353", "5354"].into_iter().filter(is_asked).collect::<Vec<_>>()
        };
        assert_eq!(entries(), ["5353", "5354"]);
        host.publish(&mut attachment, &both(5353, Protocol::Udp));
        assert_eq!(entries(), ["5354"]);
    });
}
