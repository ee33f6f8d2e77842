//! Networks of the user's own: made, listed, used by name, removed.

use crate::common::{LIMIT, Test};
use crate::test;
use std::time::Instant;

pub const WAITS: &str = "exec sleep 100000";

pub fn network(t: &Test, name: &str, options: &[&str]) -> String {
    t.says([&["network", "create"], options, &[name]].concat())
}

pub fn run(t: &Test, name: &str, options: &[&str]) {
    t.script(name, options, WAITS);
}

/// A web server that says its name.
pub fn serve(t: &Test, name: &str, options: &[&str]) {
    let script = format!(
        "mkdir /w; echo {name} >/w/index.html; httpd -p 80 -h /w && echo up; exec sleep 100000"
    );
    t.script(name, options, &script);
    t.wait_for_log(name, "up");
}

pub fn address(t: &Test, name: &str, network: &str) -> String {
    let at = &t.inspect(name)["NetworkSettings"]["Networks"][network]["IPAddress"];
    at.as_str().unwrap_or_default().to_string()
}

/// What a program in a container finds by a name.
pub fn lookup(t: &Test, from: &str, name: &str) -> Vec<String> {
    let script = format!("nslookup -type=a {name} 2>/dev/null; true");
    let text = t.says(["exec", from, "sh", "-c", &script]);
    let mut found: Vec<String> =
        text.lines().filter_map(|line| line.strip_prefix("Address: ")).map(String::from).collect();
    found.sort();
    found
}

pub fn links(t: &Test, name: &str) -> Vec<String> {
    let links = t.says(["exec", name, "ls", "/sys/class/net"]);
    links.split_whitespace().map(String::from).collect()
}

/// Whether an answer comes.
pub fn reaches(t: &Test, from: &str, address: &str) -> bool {
    let script = format!("ping -c 1 -W 1 {address} >/dev/null && echo yes || echo no");
    t.says(["exec", from, "sh", "-c", &script]) == "yes"
}

/// A page by its address and port.
pub fn page(t: &Test, from: &str, at: &str) -> String {
    let script = format!("timeout 2 wget -qO- http://{at}/ 2>/dev/null || echo none");
    t.says(["exec", from, "sh", "-c", &script])
}

#[test]
fn a_network_is_made_shown_and_removed() {
    let t = test!(busybox);
    let web = network(&t, "web", &["--label", "tier=front", "--subnet", "10.77.1.0/24"]);
    assert_eq!(web.len(), 64);
    let data = network(&t, "data", &["-d", "bridge", "--internal"]);
    let table = t.says(["network", "ls"]);
    let rows: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE"]);
    let rest: Vec<&[&str]> = rows[1..].iter().map(|row| &row[1..]).collect();
    assert_eq!(
        rest,
        [
            ["bridge", "bridge", "local"],
            ["data", "bridge", "local"],
            ["host", "host", "local"],
            ["none", "null", "local"],
            ["web", "bridge", "local"]
        ]
    );
    assert_eq!(rows[2][0], &data[..12]);
    assert_eq!(t.says(["network", "ls", "-q", "--no-trunc", "-f", "label=tier"]), web);
    assert_eq!(
        t.says(["network", "ls", "-f", "type=custom", "--format", "{{.Name}}"]),
        "data\nweb"
    );

    run(&t, "a", &["--net", "web"]);
    run(&t, "b", &["--net", "none"]);
    for (filter, names) in [("web", "a"), (&web[..6], "a"), ("none", "b"), ("data", ""), ("x", "")]
    {
        let filter = format!("network={filter}");
        assert_eq!(t.says(["ps", "-f", &filter, "--format", "{{.Names}}"]), names, "{filter}");
    }
    assert_eq!(t.says(["network", "list", "-q"]), t.says(["network", "ls", "-q"]));
    let all = t.says(["network", "inspect", &web[..5]]);
    let all: serde_json::Value = serde_json::from_str(&all).expect("JSON");
    assert_eq!(all[0]["Name"], "web");
    assert_eq!(all[0]["Labels"]["tier"], "front");
    let config = serde_json::json!([{ "Subnet": "10.77.1.0/24", "Gateway": "10.77.1.1" }]);
    assert_eq!(all[0]["IPAM"]["Config"], config);
    let id = t.inspect("a")["Id"].as_str().expect("an id").to_string();
    let on = &all[0]["Containers"][&id];
    assert_eq!(on["Name"], "a");
    assert_eq!(on["IPv4Address"], "10.77.1.2/24");
    assert_eq!(on["MacAddress"], "02:42:0a:4d:01:02");
    let ids = ["network", "inspect", "-f", "{{.Id}} {{.Internal}}", "data", "web"];
    assert_eq!(t.says(ids), format!("{data} true\n{web} false"));

    t.coracle(["network", "rm", "web"]).code(1).stderr_has("network web is used by a").ok();
    // One that is down is in nobody's way, as with Docker.
    t.coracle(["stop", "-t", "0", "a"]).ok();
    assert_eq!(t.says(["network", "rm", &web[..6], "data"]), format!("{}\ndata", &web[..6]));
    assert_eq!(t.says(["network", "ls", "-f", "type=custom", "-q"]), "");
    let start = t.coracle(["start", "a"]).code(1).stderr_has("no such network: web");
    start.stderr_has("network create web").ok();
    assert_eq!(t.status("a"), "exited");
    t.coracle(["rm", "a"]).ok();
}

#[test]
fn what_cannot_be_made_or_found_is_refused_and_nothing_is_changed() {
    let t = test!(busybox);
    let name = "com.docker.network.bridge.name=mine";
    network(&t, "web", &["--subnet", "10.77.0.0/24", "-o", name]);
    for (args, code, what) in [
        (&["web"][..], 1, "there is a network web already"),
        (&["--subnet", "10.77.0.0/16", "x"], 1, "overlaps 10.77.0.0/24"),
        (&["-o", name, "x"], 1, "the link mine is that of network web"),
        (&["-o", "com.docker.network.bridge.name=lo", "x"], 1, "the link lo is there already"),
        (&["--subnet", "127.0.0.0/8", "x"], 1, "overlaps"),
        (&["--subnet", "10.78.0.0", "x"], 125, "is not a range"),
        (&["--subnet", "10.78.0.0/31", "x"], 125, "is not a range"),
        (&["--gateway", "10.78.0.1", "x"], 1, "--subnet"),
        (&["--subnet", "10.78.0.0/24", "--gateway", "10.79.0.1", "x"], 1, "no address"),
        (&["--subnet", "10.78.0.0/24", "--gateway", "10.78.0.255", "x"], 1, "no address"),
        (&["--subnet", "10.78.0.0/24", "--ip-range", "10.79.0.0/25", "x"], 1, "not a part"),
        (&["--aux-address", "r=10.78.0.9", "x"], 1, "--subnet"),
        (&["--subnet", "10.78.0.0/24", "--aux-address", "r=10.79.0.9", "x"], 1, "r=10.79.0.9"),
        (&["--subnet", "10.78.0.0/24", "--aux-address", "10.78.0.9", "x"], 125, "has no name"),
        (&["--scope", "swarm", "x"], 125, "there is no swarm"),
        (&["--ingress", "x"], 125, "there is no swarm"),
        (&["--config-from", "web", "x"], 125, "networks come from no other"),
        (&["-d", "overlay", "x"], 125, "no network driver \"overlay\""),
        (&["-d", "macvlan", "x"], 1, "-o parent="),
        (&["-d", "macvlan", "-o", "parent=nope0", "x"], 1, "nope0 does not exist"),
        (&["-d", "macvlan", "-o", "parent=lo", "-o", "mode=x", "x"], 1, "no mode \"x\""),
        (&["-o", "colour=red", "x"], 1, "no such option"),
        (&["-o", "mtu=1", "x"], 1, "MTU"),
        (&["-o", "com.docker.network.bridge.name=0123456789abcdef", "x"], 1, "no name for a link"),
        (&["--label", "=x", "x"], 125, "label"),
        (&["host"], 125, "\"host\""),
        (&["bridge"], 125, "\"bridge\""),
        (&["container:x"], 125, "is no name for a network"),
        (&["-x"], 125, "-x"),
        (&["a", "b"], 125, "too many arguments"),
        (&[], 125, "missing"),
    ] {
        let create = [&["network", "create"], args].concat();
        t.coracle(create).code(code).stderr_has(what).ok();
    }
    for (args, what) in [
        (&["network", "rm", "x"][..], "no such network: x"),
        (&["network", "rm", "bridge"], "always there"),
        (&["network", "inspect", "x"], "no such network: x"),
        (&["network", "connect", "x", "c"], "no such container: c"),
        (&["network", "disconnect", "web", "c"], "no such container: c"),
    ] {
        let mut run = t.coracle(args).code(1).stderr_has(what);
        if args[1] == "inspect" {
            run = run.stdout("[]\n");
        }
        run.ok();
    }
    t.coracle(["network", "rm", "-f", "x"]).ok();
    for (args, what) in [
        (&["--net", "x"][..], "no such network: x"),
        (&["--net", "web", "--net", "web"], "is there twice"),
        (&["--net", "web", "--net", "host"], "exclude each other"),
        (&["--net", "web", "--ip", "10.78.0.2"], "10.78.0.2"),
        (&["--net", "web", "--ip", "10.77.0.1"], "10.77.0.1"),
        (&["--net", "web", "--ip", "x"], "no IPv4 address"),
        (&["--net", "web", "--net-alias", "a b"], "a b"),
        (&["--net-alias", "x"], "network of the user's"),
        (&["--net", "bridge", "--net-alias", "x"], "have no names"),
    ] {
        let run = [&["run", "--rm"], args, &["busybox", "true"]].concat();
        t.coracle(run).code(125).stderr_has(what).ok();
    }
    assert!(t.containers().is_empty());
    assert_eq!(t.says(["network", "ls", "-q", "-f", "type=custom"]).lines().count(), 1);
}

#[test]
fn addresses_of_others_are_no_containers() {
    let t = test!(busybox);
    let aux = ["--aux-address", "router=10.77.0.2", "--aux-address", "printer=10.77.0.4"];
    let options = [&["--subnet", "10.77.0.0/24", "--attachable", "--scope", "local"], &aux[..]];
    network(&t, "web", &options.concat());
    for (name, at) in [("a", "10.77.0.3"), ("b", "10.77.0.5")] {
        run(&t, name, &["--net", "web"]);
        assert_eq!(address(&t, name, "web"), at);
    }
    let asked = ["run", "--rm", "--net", "web", "--ip", "10.77.0.2", "busybox", "true"];
    t.coracle(asked).code(125).stderr_has("10.77.0.2 is no address for a container").ok();
    let format = "{{(index .IPAM.Config 0).AuxiliaryAddresses.router}} {{.Attachable}}";
    assert_eq!(t.says(["network", "inspect", "-f", format, "web"]), "10.77.0.2 true");
}

#[test]
fn where_there_is_no_gateway_host_gateway_is_an_error() {
    let t = test!(busybox);
    network(&t, "inner", &["--internal"]);
    let words =
        ["run", "--rm", "--net", "inner", "--add-host", "up:host-gateway", "busybox", "true"];
    t.coracle(words).code(125).stderr_has("--add-host up:host-gateway: no network").ok();
    assert!(t.containers().is_empty());
}

#[test]
fn containers_of_a_network_find_each_other_by_every_name() {
    let t = test!(busybox);
    network(&t, "Web", &[]);
    run(&t, "a", &["--net", "Web", "--net-alias", "both"]);
    run(&t, "b", &["--net", "Web", "--network-alias", "both", "-h", "bee.example.org"]);
    let (a, b) = (address(&t, "a", "Web"), address(&t, "b", "Web"));
    let id = t.inspect("b")["Id"].as_str().expect("an id")[..12].to_string();
    for name in ["b", "B", "b.Web", "b.web", &id] {
        assert_eq!(lookup(&t, "a", name), [&b[..]], "{name}");
    }
    // What it calls itself is no name there, as with Docker.
    assert!(lookup(&t, "a", "bee.example.org").is_empty());
    assert_eq!(lookup(&t, "a", "both"), [a.clone(), b.clone()]);
    let reverse = t.says(["exec", "a", "nslookup", &b]);
    assert!(reverse.contains("name = b.Web") || reverse.contains("name = b.web"), "{reverse}");
    assert!(reaches(&t, "a", "b") && reaches(&t, "b", "a"));
    // Another address after a restart.
    t.coracle(["stop", "-t", "0", "b"]).ok();
    assert!(lookup(&t, "a", "b").is_empty());
    assert_eq!(lookup(&t, "a", "both"), [&a[..]]);
    run(&t, "c", &["--net", "Web"]);
    assert_eq!(address(&t, "c", "Web"), b);
    t.coracle(["start", "b"]).ok();
    let now = address(&t, "b", "Web");
    assert_ne!(now, b);
    assert_eq!(lookup(&t, "a", "b"), [&now[..]]);
    assert_eq!(lookup(&t, "c", "both"), [a, now]);
    let resolver = t.says(["exec", "a", "cat", "/etc/resolv.conf"]);
    assert!(resolver.starts_with("nameserver 127.0.0.11\n"), "{resolver}");
    t.coracle(["rm", "-f", "b"]).ok();
    assert!(lookup(&t, "a", "b").is_empty());
}

#[test]
fn networks_do_not_reach_each_other_but_by_published_ports() {
    let t = test!(busybox);
    for name in ["one", "two"] {
        network(&t, name, &[]);
    }
    serve(&t, "a", &["--net", "one", "-p", "8001:80"]);
    run(&t, "b", &["--net", "two"]);
    run(&t, "c", &[]);
    let a = address(&t, "a", "one");
    let host = t.says([
        "exec",
        "b",
        "sh",
        "-c",
        "ip route | sed -n 's/default via \\([0-9.]*\\).*/\\1/p'",
    ]);
    for other in ["b", "c"] {
        assert!(!reaches(&t, other, &a), "{other}");
        assert_eq!(page(&t, other, &a), "none", "{other}");
        assert_eq!(page(&t, other, &format!("{host}:8001")), "a", "{other}");
    }
    assert!(!reaches(&t, "a", &address(&t, "b", "two")));
    assert!(!reaches(&t, "a", &address(&t, "c", "bridge")));
    assert!(lookup(&t, "b", "a").is_empty());
    // The default network has no names.
    assert!(!t.says(["exec", "c", "cat", "/etc/resolv.conf"]).contains("127.0.0.11"));
}

#[test]
fn a_container_is_on_several_networks_and_the_first_with_a_way_out_leads_out() {
    let t = test!(busybox);
    network(&t, "hidden", &["--internal", "--subnet", "10.77.1.0/24"]);
    network(&t, "one", &["--subnet", "10.77.2.0/24"]);
    network(&t, "two", &["--subnet", "10.77.3.0/24"]);
    let nets = ["--net", "hidden", "--net", "name=two,alias=x,ip=10.77.3.9", "--network=one"];
    serve(&t, "c", &[&nets[..], &["-p", "8001:80"]].concat());
    assert_eq!(links(&t, "c"), ["eth0", "eth1", "eth2", "lo"]);
    let route = t.says(["exec", "c", "ip", "route"]);
    assert!(route.contains("default via 10.77.3.1 dev eth1"), "{route}");
    assert_eq!(route.matches("default").count(), 1);
    for (network, address) in [("hidden", "10.77.1.2"), ("two", "10.77.3.9"), ("one", "10.77.2.2")]
    {
        let name = format!("on-{network}");
        run(&t, &name, &["--net", network]);
        assert_eq!(lookup(&t, &name, "c"), [address]);
        assert_eq!(page(&t, &name, "c"), "c");
    }
    assert_eq!(lookup(&t, "on-two", "x"), ["10.77.3.9"]);
    assert!(lookup(&t, "on-one", "x").is_empty());
    assert_eq!(lookup(&t, "c", "on-one"), lookup(&t, "c", "on-one.one"));
    assert_eq!(lookup(&t, "c", "on-hidden").len(), 1);
    assert_eq!(page(&t, "on-one", "10.77.2.1:8001"), "c");
    // All of it comes again.
    t.coracle(["restart", "-t", "0", "c"]).ok();
    assert_eq!(links(&t, "c"), ["eth0", "eth1", "eth2", "lo"]);
    assert_eq!(t.says(["exec", "c", "ip", "route"]), route);
}

#[test]
fn addresses_are_given_as_asked() {
    let t = test!(busybox);
    let range =
        ["--subnet", "10.77.0.0/24", "--gateway", "10.77.0.254", "--ip-range", "10.77.0.128/30"];
    network(&t, "web", &range);
    run(&t, "a", &["--net", "web", "--ip", "10.77.0.9"]);
    assert_eq!(address(&t, "a", "web"), "10.77.0.9");
    let again = ["run", "--net", "web", "--ip", "10.77.0.9", "busybox", "true"];
    t.coracle(again).code(125).stderr_has("10.77.0.9 is in use by container").ok();
    // Those of the pool, until there are no more.
    for name in ["b", "c", "d", "e"] {
        run(&t, name, &["--net", "web"]);
    }
    let mut given: Vec<String> = ["b", "c", "d", "e"].map(|name| address(&t, name, "web")).into();
    given.sort();
    let expected = ["10.77.0.128", "10.77.0.129", "10.77.0.130", "10.77.0.131"];
    assert_eq!(given, expected);
    let more = ["run", "--net", "web", "busybox", "true"];
    t.coracle(more).code(125).stderr_has("all addresses of 10.77.0.128/30 are in use").ok();
    assert_eq!(t.containers().len(), 5);
    let route = t.says(["exec", "b", "ip", "route"]);
    assert!(route.contains("default via 10.77.0.254"), "{route}");
    // A fixed one is given again, and waits for nobody.
    t.coracle(["stop", "-t", "0", "a"]).ok();
    run(&t, "f", &["--net", "web", "--ip", "10.77.0.9"]);
    t.coracle(["start", "a"]).code(1).stderr_has("10.77.0.9 is in use by container").ok();
    t.coracle(["rm", "-f", "f"]).ok();
    t.coracle(["start", "a"]).ok();
    assert_eq!(address(&t, "a", "web"), "10.77.0.9");
}

#[test]
fn an_internal_network_leads_nowhere_but_has_names() {
    let t = test!(busybox);
    network(&t, "hidden", &["--internal"]);
    network(&t, "open", &[]);
    serve(&t, "a", &["--net", "hidden", "-p", "8001:80"]);
    serve(&t, "b", &["--net", "hidden"]);
    run(&t, "c", &["--net", "open"]);
    assert_eq!(page(&t, "a", "b"), "b");
    assert!(!t.says(["exec", "a", "ip", "route"]).contains("default"));
    let began = Instant::now();
    let text = t.says(["exec", "a", "sh", "-c", "nslookup www.example.org; true"]);
    assert!(text.contains("SERVFAIL"), "{text}");
    assert!(began.elapsed() < LIMIT / 6, "not at once");
    // Neither in.
    assert!(!reaches(&t, "c", &address(&t, "a", "hidden")));
    let host = t.says([
        "exec",
        "c",
        "sh",
        "-c",
        "ip route | sed -n 's/default via \\([0-9.]*\\).*/\\1/p'",
    ]);
    assert_eq!(page(&t, "c", &format!("{host}:8001")), "none");
}

#[test]
fn networks_made_at_once_share_no_range_and_have_what_was_asked_for() {
    let t = test!(busybox);
    let names: Vec<String> = (0..8).map(|n| format!("n{n}")).collect();
    let create = |name: &String| t.coracle(["network", "create", name]).spawn();
    let mut creates: Vec<_> = names.iter().map(create).collect();
    assert!(creates.iter_mut().all(|create| create.wait() == 0));
    let range = |name: &String| t.says(["network", "inspect", "-f", "{{json .IPAM.Config}}", name]);
    let mut ranges: Vec<String> = names.iter().map(range).collect();
    ranges.sort();
    ranges.dedup();
    assert_eq!(ranges.len(), 8);
    network(&t, "mine", &["-o", "com.docker.network.bridge.name=mine0", "-o", "mtu=1400"]);
    run(&t, "c", &["--net", "mine"]);
    let mtu = t.says(["exec", "c", "cat", "/sys/class/net/eth0/mtu"]);
    assert_eq!(mtu, "1400");
    // Many networks at once, each change whole.
    let connect = |name: &String| t.coracle(["network", "connect", name, "c"]).spawn();
    let mut connects: Vec<_> = names.iter().map(connect).collect();
    assert!(connects.iter_mut().all(|connect| connect.wait() == 0));
    assert_eq!(links(&t, "c").len(), 10);
    t.coracle(["restart", "-t", "0", "c"]).ok();
    assert_eq!(links(&t, "c").len(), 10);
}

#[test]
fn unused_networks_are_pruned() {
    let t = test!(busybox);
    for (name, options) in [("a", &[][..]), ("b", &["--label", "keep"]), ("c", &[]), ("d", &[])] {
        network(&t, name, options);
    }
    run(&t, "one", &["--net", "c"]);
    t.coracle(["create", "--name", "two", "--net", "d", "busybox", "true"]).ok();
    let prune = t.says(["network", "prune", "-f", "--filter", "label!=keep"]);
    assert_eq!(prune, "Deleted Networks:\na");
    t.coracle(["network", "prune"]).stdin("n\n").any_stderr().ok();
    assert_eq!(t.says(["network", "ls", "-f", "type=custom", "--format", "{{.Name}}"]), "b\nc\nd");
    t.coracle(["rm", "-f", "one", "two"]).ok();
    t.coracle(["network", "prune"])
        .stdin("y\n")
        .stdout_has("Deleted Networks:\nb\nc\nd\n")
        .any_stderr()
        .ok();
    assert_eq!(t.says(["network", "prune", "-f"]), "");
}

#[test]
fn thirty_containers_come_up_at_once_on_one_network() {
    let t = test!(busybox);
    network(&t, "web", &[]);
    let names: Vec<String> = (0..30).map(|n| format!("c{n}")).collect();
    let start = |name: &String| {
        t.coracle([
            "run",
            "-d",
            "--name",
            name,
            "--net",
            "web",
            "--net-alias",
            "all",
            "busybox",
            "sleep",
            "100000",
        ])
        .spawn()
    };
    let mut starts: Vec<_> = names.iter().map(start).collect();
    assert!(starts.iter_mut().all(|start| start.wait() == 0));
    let mut all: Vec<String> = names.iter().map(|name| address(&t, name, "web")).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 30);
    assert_eq!(lookup(&t, "c7", "all"), all);
    assert!(reaches(&t, "c3", "c29"));
    let mut ends: Vec<_> = names.iter().map(|name| t.coracle(["rm", "-f", name]).spawn()).collect();
    assert!(ends.iter_mut().all(|end| end.wait() == 0));
    t.coracle(["network", "rm", "web"]).ok();
}

#[test]
fn the_example_does_what_its_readme_says() {
    let t = test!(busybox);
    let out = t.example("networks");
    for said in
        ["\n12 ships\n", " front     bridge    local\n", "$ coracle network connect back visitor\n"]
    {
        assert!(out.contains(said), "{said:?}: {out}");
    }
}
