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
pub fn with_ipv6(host: &Host) {
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

fn conf(what: &str) -> String {
    std::fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{what}")).unwrap().trim().to_string()
}

pub fn set_conf(what: &str, value: &str) {
    std::fs::write(format!("/proc/sys/net/ipv6/conf/{what}"), value).unwrap();
}

#[test]
fn what_ipv6_needs_of_the_host_goes_with_its_last_user() {
    const TEST: &str = "ipv6::what_ipv6_needs_of_the_host_goes_with_its_last_user";
    on_a_host_of_its_own(TEST, |host| {
        with_ipv6(host);
        let state = || ["all/forwarding", "told/accept_ra", "deaf/accept_ra"].map(conf);
        assert_eq!(run("ip link add told type veth peer name deaf"), "");
        set_conf("deaf/accept_ra", "0");
        let before = ["0", "1", "0"];
        assert_eq!(state(), before);
        let mut one = host.attach(1);
        assert_eq!(conf("coracle0/accept_ra"), "0");
        host.publish(&mut one, &both(80, Protocol::Tcp));
        // Also who hears of a router later.
        assert_eq!(state(), ["1", "2", "0"]);
        assert_eq!(run("ip link add late type veth peer name later"), "");
        assert_eq!(["default/accept_ra", "late/accept_ra"].map(conf), ["2", "2"]);
        host.release(1);
        assert_eq!(state(), before);
        assert_eq!(["default/accept_ra", "late/accept_ra"].map(conf), ["1", "1"]);
        assert!(!nft().contains("elements"), "{}", nft());

        // What was on before stays on.
        set_conf("all/forwarding", "1");
        host.publish(&mut host.attach(1), &[]);
        host.release(1);
        assert_eq!(state(), ["1", "1", "0"]);
        set_conf("all/forwarding", "0");
        set_conf("told/forwarding", "1");
        host.publish(&mut host.attach(1), &[]);
        host.release(1);
        assert_eq!(state(), before);
        assert_eq!(["told/forwarding", "deaf/forwarding"].map(conf), ["1", "0"]);
        // Without IPv6 nothing is changed.
        let mut definition = host.networks.get(DEFAULT).unwrap();
        definition.subnet6 = None;
        host.networks.write(&host.lock(), &definition).unwrap();
        host.publish(&mut host.attach(1), &[]);
        assert_eq!(state(), before);
        assert!(!nft().contains("ipv6"), "{}", nft());
    });
}

#[test]
fn forwarding_is_put_back_wherever_somebody_was_killed() {
    const TEST: &str = "ipv6::forwarding_is_put_back_wherever_somebody_was_killed";
    on_a_host_of_its_own(TEST, |host| {
        with_ipv6(host);
        assert_eq!(run("ip link add told type veth peer name other"), "");
        set_conf("told/forwarding", "1");
        let keys = ["all/forwarding", "told/accept_ra", "told/forwarding", "default/accept_ra"];
        let state = || keys.map(conf);
        let before = state();
        let record = host.dir.join("forwarding/6");
        // While it was switched off, and while it was switched on.
        for killed in [["0", "2", "0", "2"], ["0", "1", "0", "2"], ["0", "2", "1", "1"]] {
            host.publish(&mut host.attach(1), &[]);
            assert_eq!(state(), ["1", "2", "1", "2"]);
            keys.iter().zip(killed).for_each(|(key, value)| set_conf(key, value));
            assert!(record.exists());
            host.release(1);
            assert_eq!(state(), before, "{killed:?}");
            assert!(!record.exists());
        }
        // The next one goes on where it was left.
        host.publish(&mut host.attach(1), &[]);
        set_conf("all/forwarding", "0");
        host.publish(&mut host.attach(2), &[]);
        assert_eq!(state(), ["1", "2", "1", "2"]);
        host.release(1);
        host.release(2);
        assert_eq!(state(), before);
    });
}

#[test]
fn of_two_roots_the_last_user_switches_forwarding_off() {
    const TEST: &str = "ipv6::of_two_roots_the_last_user_switches_forwarding_off";
    on_a_host_of_its_own(TEST, |host| {
        with_ipv6(host);
        let other = Host::beside("other_root_six", host);
        let mut definition = other.networks.get(DEFAULT).unwrap();
        definition.enable_ipv6(Some("fd00:2::/64".parse().unwrap())).unwrap();
        other.networks.write(&other.lock(), &definition).unwrap();
        let ipv4 = || {
            let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
            text.trim().to_string()
        };
        let state = || [conf("all/forwarding"), conf("default/accept_ra"), ipv4()];
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
        let before = state();
        for [first, last] in [[host, &other], [&other, host]] {
            host.publish(&mut host.attach(1), &[]);
            other.publish(&mut other.attach(1), &[]);
            first.release(1);
            assert_eq!(state(), ["1", "2", "1"]);
            last.release(1);
            assert_eq!(state(), before);
        }
    });
}

/// Sends an advertisement of a router for 2001:db8:bad::/64 by a link, and a word to 224.0.0.1 after it.
const ADVERTISE: &str = "
import socket, struct
link = LINK
own, to = (socket.inet_pton(socket.AF_INET6, a) for a in (\"fe80::bad\", \"ff02::1\"))
body = struct.pack(\"!BBHBBHII\", 134, 0, 0, 64, 0, 1800, 0, 0)
body += struct.pack(\"!BBBBIII\", 3, 4, 64, 0xc0, 86400, 14400, 0)
body += socket.inet_pton(socket.AF_INET6, \"2001:db8:bad::\")
text = own + to + struct.pack(\"!II\", len(body), 58) + body
total = sum(struct.unpack(\"!%dH\" % (len(text) // 2), text))
while total >> 16: total = (total & 0xffff) + (total >> 16)
body = body[:2] + struct.pack(\"!H\", ~total & 0xffff) + body[4:]
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind((link, 0))
mac = raw.getsockname()[4]
head = struct.pack(\"!IHBB\", 6 << 28, len(body), 58, 255)
raw.send(bytes.fromhex(\"333300000001\") + mac + bytes.fromhex(\"86dd\") + head + own + to + body)
# By the same way, so it comes after it.
raw.send(b\"\\xff\" * 6 + mac + bytes.fromhex(\"88b5\") + b\"after it\".ljust(46))
";

/// Tells its IPv6 addresses and ways once it has heard what comes after an advertisement.
const LISTEN: &str = "python3 -uc '
import socket, subprocess
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x88b5)
raw.bind((\"eth0\", 0x88b5))
print(\"up\")
raw.recv(99)
for what in (\"addr\", \"route\"):
    subprocess.run([\"ip\", \"-6\", what, \"show\", \"dev\", \"eth0\"])
'";

fn advertise(link: &str) -> String {
    format!("python3 -uc '{}'", ADVERTISE.replace("LINK", &format!("\"{link}\"")))
}

#[test]
fn a_container_believes_no_router_but_the_one_it_was_given() {
    const TEST: &str = "ipv6::a_container_believes_no_router_but_the_one_it_was_given";
    on_a_host_of_its_own(TEST, |host| {
        let heard = |host: &Host| {
            let mut listener = Container::start(Some(&host.attach(1)), LISTEN);
            listener.says("up");
            assert_eq!(Container::start(Some(&host.attach(2)), &advertise("eth0")).finish(), "");
            listener.finish()
        };
        assert_eq!(heard(host), "", "there is no IPv6 on it");
        with_ipv6(host);
        let heard = heard(host);
        assert!(heard.contains("inet6 fd00:1::2/64"), "{heard}");
        assert!(heard.contains("default via fd00:1::1"), "{heard}");
        assert!(!heard.contains("bad"), "{heard}");
        assert!(!run("ip -6 addr; ip -6 route").contains("bad"));
    });
}

#[test]
fn upon_a_link_without_ipv6_a_container_hears_no_router_of_the_lan() {
    const TEST: &str = "ipv6::upon_a_link_without_ipv6_a_container_hears_no_router_of_the_lan";
    on_a_host_of_its_own(TEST, |host| {
        assert_eq!(
            run("ip link add lan type veth peer name far && ip link set lan up &&
            ip link set far up"),
            ""
        );
        let heard = |ipv6: Option<&str>| {
            let mut definition = host.networks.get(DEFAULT).unwrap();
            definition.name = "lan".into();
            definition.driver = coracle::network::Driver::Macvlan;
            definition.link = "lan".into();
            definition.subnet = Some("10.50.0.0/24".parse().unwrap());
            definition.subnet6 = ipv6.map(|range| range.parse().unwrap());
            host.networks.write(&host.lock(), &definition).unwrap();
            let request = Request { is_first: true, ..Request::default() };
            let place = host.networks.attach(&host.lock(), "lan", &id(1), request).unwrap();
            let mut listener = Container::start(Some(&place), LISTEN);
            listener.says("up");
            assert_eq!(run(&advertise("far")), "");
            listener.finish()
        };
        assert_eq!(heard(None), "");
        // With IPv6 it is for the routers there to tell.
        let heard = heard(Some("fd00:1::/64"));
        assert!(heard.contains("2001:db8:bad:") && heard.contains("fd00:1::1/64"), "{heard}");
    });
}

#[test]
fn a_bridge_that_was_left_half_made_believes_no_router() {
    const TEST: &str = "ipv6::a_bridge_that_was_left_half_made_believes_no_router";
    on_a_host_of_its_own(TEST, |host| {
        let first = bridge(&host.attach(1)).clone();
        // As it is born, and its maker killed.
        assert_eq!(run("ip link set coracle0 down && ip addr flush dev coracle0"), "");
        set_conf("coracle0/accept_ra", "1");
        assert_eq!(bridge(&host.attach(2)), &first);
        assert_eq!(conf("coracle0/accept_ra"), "0");
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

#[test]
fn what_a_foreign_firewall_drops_of_ipv6_is_told_with_its_cure() {
    const TEST: &str = "ipv6::what_a_foreign_firewall_drops_of_ipv6_is_told_with_its_cure";
    on_a_host_of_its_own(TEST, |host| {
        let drops = "drops what containers send and are sent; to let it through:";
        let by_nft = "nft add table inet x; nft 'add chain inet x y { type filter hook forward \
                      priority 0; policy drop; }'; nft add rule inet x y meta nfproto ipv4 accept";
        for (script, expected) in [
            (
                "ip6tables-nft -P FORWARD DROP",
                format!(
                    "the chain FORWARD of the firewall's table ip6 filter {drops} ip6tables -I \
                     FORWARD -i coracle0 -j ACCEPT; ip6tables -I FORWARD -o coracle0 -j ACCEPT"
                ),
            ),
            (
                "ip6tables-legacy -P FORWARD DROP",
                format!(
                    "the chain FORWARD of the firewall's table ip6 filter {drops} ip6tables-legacy \
                     -I FORWARD -i coracle0 -j ACCEPT; ip6tables-legacy -I FORWARD -o coracle0 -j \
                     ACCEPT"
                ),
            ),
            (
                // Whatever else is asked for holds for some packets only.
                "ip6tables-legacy -P FORWARD ACCEPT; ip6tables-legacy -N last
                 ip6tables-legacy -A FORWARD -p tcp -j ACCEPT
                 ip6tables-legacy -A FORWARD -s fd00::1 -j ACCEPT
                 ip6tables-legacy -A FORWARD -i eth5 -j ACCEPT
                 ip6tables-legacy -A FORWARD ! -i coracle0 -m comment --comment ours -j last
                 ip6tables-legacy -A FORWARD -i coracle+ -g last
                 ip6tables-legacy -A last -i coracle0 -j RETURN
                 ip6tables-legacy -A last -j REJECT",
                "the chain FORWARD of the firewall's table ip6 filter drops what is sent to \
                 containers; to let it through: ip6tables-legacy -I FORWARD -o coracle0 -j ACCEPT"
                    .to_string(),
            ),
            (
                by_nft,
                format!(
                    "the chain y of the firewall's table inet x {drops} nft insert rule inet x y \
                     iifname coracle0 accept; nft insert rule inet x y oifname coracle0 accept"
                ),
            ),
        ] {
            assert_eq!(run(script), "");
            host.attach(1);
            // It is not in the way of who has no IPv6.
            assert!(host.networks.obstacles().unwrap().is_empty());
            with_ipv6(host);
            assert_eq!(host.networks.obstacles().unwrap().join("\n"), expected);
            let cure = expected.split("let it through: ").nth(1).unwrap();
            assert_eq!(run(&cure.replace("ip6tables -", "ip6tables-nft -")), "");
            assert!(host.networks.obstacles().unwrap().is_empty());
            assert_eq!(run("nft flush ruleset"), "");
            if script.contains("legacy") {
                let all = "ip6tables-legacy -P FORWARD ACCEPT; ip6tables-legacy -F; \
                           ip6tables-legacy -X";
                assert_eq!(run(all), "");
            }
            let mut definition = host.networks.get(DEFAULT).unwrap();
            definition.subnet6 = None;
            host.networks.write(&host.lock(), &definition).unwrap();
        }
    });
}

#[test]
fn a_port_at_an_address_of_the_link_alone_is_refused_at_once() {
    const TEST: &str = "ipv6::a_port_at_an_address_of_the_link_alone_is_refused_at_once";
    on_a_host_of_its_own(TEST, |host| {
        with_ipv6(host);
        let (mut attachment, other) = (host.attach(1), host.attach(2));
        host.publish(&mut attachment, &both(8080, Protocol::Tcp));
        let server = start_server(&attachment);
        assert_eq!(run("ip addr add fe80::77/64 dev coracle0 nodad"), "");
        let ask = asking(Protocol::Tcp, "fe80::77", 8080)
            .replace("8080)", "8080, 0, socket.if_nametoindex(\"eth0\"))");
        let said = Container::start(Some(&other), &ask).finish();
        assert_eq!(said, "ConnectionRefusedError\n");
        server.finish();
    });
}

#[test]
fn a_wide_route_is_no_reason_not_to_have_a_range() {
    on_a_host_of_its_own("ipv6::a_wide_route_is_no_reason_not_to_have_a_range", |host| {
        let said = run("ip link add vpn type veth peer name far && ip link set vpn up &&
            ip link set far up && ip -6 route add fd00::/8 dev vpn");
        assert_eq!(said, "");
        with_ipv6(host);
        let definition = host.networks.get(DEFAULT).unwrap();
        host.networks.check_free6(&mut Socket::open().unwrap(), &definition).unwrap();
        assert_eq!(host.attach(1).address6().unwrap().to_string(), "fd00:1::2");
        assert_eq!(run("ip -6 route add fd00:1::/48 dev vpn"), "");
        let error = host.networks.check_free6(&mut Socket::open().unwrap(), &definition);
        assert!(error.is_err());
    });
}
