//! What the host passes on between others, while it is a router because of us.

use super::ipv6::{set_conf, with_ipv6};
use super::rules::run;
use super::*;
use std::process::Stdio;

/// What is on a link of its own, with ways to everywhere by this host: 10.N.0.2 and 2001:db8:N::2.
fn on_a_link(link: &str, n: u8, script: &str) -> Container {
    let set_up = format!(
        "read x; ip link set eth0 up; ip addr add 10.{n}.0.2/24 dev eth0
        ip addr add 2001:db8:{n}::2/64 dev eth0 nodad
        ip route add default via 10.{n}.0.1; ip -6 route add default via 2001:db8:{n}::1"
    );
    let mut there = Container::start(None, &format!("{set_up}\n{script}"));
    let said = run(&format!(
        "ip link add {link} type veth peer name eth0 netns {} && ip link set {link} up &&
         ip addr add 10.{n}.0.1/24 dev {link} && ip addr add 2001:db8:{n}::1/64 dev {link} nodad",
        there.child.pid.raw()
    ));
    assert_eq!(said, "");
    there.stdin.write_all(b"\n").unwrap();
    there
}

#[test]
fn a_host_that_was_no_router_is_one_for_containers_only() {
    const TEST: &str = "router::a_host_that_was_no_router_is_one_for_containers_only";
    on_a_host_of_its_own(TEST, |host| {
        with_ipv6(host);
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
        let mut far = on_a_link("far", 2, "echo up; read x");
        far.says("up");
        let asking = "while read x; do
            for to in 10.2.0.2 2001:db8:2::2 10.3.0.2 2001:db8:3::2; do
                busybox ping -c 1 -W 1 $to >/dev/null && echo -n 'yes ' || echo -n 'no '
            done; echo; done";
        let mut near = on_a_link("near", 1, asking);
        // Somebody else's bridge has come while we had forwarding on.
        let mut guest = on_a_link("guest", 3, "echo up; read x");
        guest.says("up");
        let said = run("ip link add virbr0 type bridge && ip link set virbr0 up &&
            ip addr flush dev guest && ip link set guest master virbr0 &&
            ip addr add 10.3.0.1/24 dev virbr0 && ip addr add 2001:db8:3::1/64 dev virbr0 nodad");
        assert_eq!(said, "");
        let mut asked = || {
            near.stdin.write_all(b"\n").unwrap();
            let mut said = String::new();
            BufReader::new(&near.stdout).read_line(&mut said).unwrap();
            said.trim().to_string()
        };
        assert_eq!(asked(), "no no no no");
        let mut one = host.attach(1);
        host.publish(&mut one, &[]);
        assert_eq!(asked(), "no no yes yes");
        let ping = "for to in 10.2.0.2 2001:db8:2::2; do
            busybox ping -c 1 -W 2 $to >/dev/null; echo $?; done";
        assert_eq!(Container::start(Some(&one), ping).finish(), "0\n0\n");
        // Also after somebody took all rules away.
        assert_eq!(run("nft flush ruleset"), "");
        host.publish(&mut host.attach(2), &[]);
        assert_eq!(asked(), "no no yes yes");
        // With the bridge in use by others forwarding stays, and so does that.
        host.release(1);
        host.release(2);
        assert_eq!(asked(), "no no yes yes");
        assert_eq!(run("ip link set guest nomaster"), "");
        host.publish(&mut host.attach(1), &[]);
        host.release(1);
        assert_eq!(asked(), "no no no no");
        // Whoever makes a router of it himself has one.
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        set_conf("all/forwarding", "1");
        assert_eq!(asked(), "yes yes no no");
        host.publish(&mut host.attach(1), &[]);
        assert_eq!(asked(), "yes yes no no");
    });
}

/// Makes a tunnel and is its far end: answers every ping that comes out of it.
const FAR_END: &str = "
import fcntl, os, struct
tun = os.open(\"/dev/net/tun\", os.O_RDWR)
fcntl.ioctl(tun, 0x400454ca, struct.pack(\"16sH22x\", b\"vpn0\", 0x1001))
print(\"up\", flush=True)
while True:
    packet = bytearray(os.read(tun, 2000))
    if packet[0] >> 4 == 4 and packet[9] == 1 and packet[20] == 8:
        at, answer, more = 20, 0, 0x0800
        packet[12:20] = packet[16:20] + packet[12:16]
    elif packet[0] >> 4 == 6 and packet[6] == 58 and packet[40] == 128:
        at, answer, more = 40, 129, 0xfeff
        packet[8:40] = packet[24:40] + packet[8:24]
    else:
        continue
    packet[at] = answer
    checksum = int.from_bytes(packet[at + 2:at + 4], \"big\") + more
    packet[at + 2:at + 4] = ((checksum & 0xffff) + (checksum >> 16)).to_bytes(2, \"big\")
    os.write(tun, packet)
";

#[test]
fn a_tunnel_of_the_hosts_is_led_to_containers_and_to_nobody_else() {
    const TEST: &str = "router::a_tunnel_of_the_hosts_is_led_to_containers_and_to_nobody_else";
    on_a_host_of_its_own(TEST, |host| {
        with_ipv6(host);
        const SWITCHES: [&str; 2] =
            ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"];
        let switch = |to: &str| SWITCHES.map(|switch| std::fs::write(switch, to).unwrap());
        switch("0");
        let mut python = Command::new("python3");
        let mut end = python.args(["-c", FAR_END]).stdout(Stdio::piped()).spawn().unwrap();
        end.stdout.as_mut().unwrap().read_exact(&mut [0; 3]).unwrap();
        let said = run("ip link set vpn0 up && ip addr add 10.4.0.1/24 dev vpn0 &&
            ip addr add 2001:db8:4::1/64 dev vpn0 nodad");
        assert_eq!(said, "");
        let ping = "for to in 10.4.0.2 2001:db8:4::2; do
            busybox ping -c 1 -W 1 $to >/dev/null && echo -n 'yes ' || echo -n 'no '; done; echo";
        let mut near = on_a_link("near", 1, &format!("while read x; do {ping}; done"));
        let mut asked = || {
            near.stdin.write_all(b"\n").unwrap();
            let mut said = String::new();
            BufReader::new(&near.stdout).read_line(&mut said).unwrap();
            said.trim().to_string()
        };
        assert_eq!(run(ping), "yes yes \n");
        assert_eq!(asked(), "no no");
        let mut one = host.attach(1);
        host.publish(&mut one, &[]);
        assert_eq!(asked(), "no no");
        assert_eq!(Container::start(Some(&one), ping).finish(), "yes yes \n");
        // It is no reason either to stay a router without containers.
        host.release(1);
        assert_eq!(SWITCHES.map(|path| std::fs::read_to_string(path).unwrap()), ["0\n", "0\n"]);
        // Who is the server of a VPN is a router before.
        switch("1");
        host.publish(&mut host.attach(1), &[]);
        assert_eq!(asked(), "yes yes");
        end.kill().unwrap();
        end.wait().unwrap();
    });
}
