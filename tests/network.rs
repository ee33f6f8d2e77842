//! The network of containers, with real links: each test runs again as a process in a network
//! namespace of its own, which stands for the host.

#[path = "network/firewall.rs"]
mod firewall;
#[path = "network/ipv6.rs"]
mod ipv6;
#[path = "network/router.rs"]
mod router;
#[path = "network/rules.rs"]
mod rules;

use coracle::error::Result;
use coracle::network::{
    Attachment, Bridge, DEFAULT, GOING, Link, NetworkLock, Networks, Policy, Request, Running, Way,
    loopback_requests,
};
use coracle::sys::child::{Child, Plan, spawn};
use coracle::sys::netlink::{self, Socket};
use coracle::sys::step::{Exec, FdSource, Step, Variables};
use coracle::sys::{lock, netns, pidfd};
use coracle::types::{ContainerId, Port, Protocol, Published, Signal};
use std::ffi::CString;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::num::NonZeroU16;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};

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

    /// Another root directory on the same host.
    fn beside(test: &str, host: &Host) -> Host {
        let mut other = Host::new(test);
        let run = host.dir.join("run-of-other");
        other.networks = Networks::new(&other.dir.join("networks"), &run);
        other
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
        self.try_publish(attachment, ports).unwrap();
    }

    fn try_publish(&self, attachment: &mut Attachment, ports: &[Published]) -> Result<()> {
        self.publish_beside(attachment, ports, &|_| Ok(Running::default()))
    }

    /// With what leads to others, who are asked where the tables are made.
    fn publish_beside(
        &self,
        attachment: &mut Attachment,
        ports: &[Published],
        others: &dyn Fn(&str) -> Result<Running>,
    ) -> Result<()> {
        let places = std::slice::from_mut(attachment);
        let no_links = |_: &str| Ok(Vec::new());
        self.networks.publish(&self.lock(), places, ports, &no_links, others)
    }
}

impl Host {
    fn link(&self, client: &Attachment, server: &Attachment, ports: &[Port]) {
        let (lock, bridge) = (self.lock(), bridge(client));
        let (client, server) = (client.address, server.address);
        let link = Link { client, server, ports: ports.to_vec() };
        self.networks.link(&lock, bridge, &[link]).unwrap();
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
            let namespace = netns::of(child.pid).unwrap();
            attachment.connect(child.pid, namespace.as_fd(), GOING).unwrap();
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

#[test]
fn a_foreign_table_of_that_name_is_left_alone() {
    use rules::run;
    on_a_host_of_its_own("a_foreign_table_of_that_name_is_left_alone", |host| {
        let make = "nft add table inet coracle0 && nft add chain inet coracle0 input \
                    '{ type filter hook input priority 0; policy drop; }'";
        assert_eq!(run(make), "");
        let before = run("nft list ruleset");
        let mut attachment = host.attach(1);
        let error = host.try_publish(&mut attachment, &[]).unwrap_err();
        assert_eq!(error.to_string(), "there is an nf_tables table coracle0 that is not ours");
        let definition = host.networks.get(DEFAULT).unwrap();
        assert!(host.networks.remove(host.lock(), &definition).is_err());
        assert_eq!(run("nft list ruleset"), before);
    });
}
