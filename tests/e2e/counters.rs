//! What went over the links of containers, and what else they use.

use crate::common::{Test, eventually};
use crate::test;
use coracle::engine::Engine;
use coracle::network::{LinkCounters, Traffic};
use serde_json::Value;
use std::io::Write;
use std::net::TcpStream;

fn counters(t: &Test, name: &str) -> Vec<LinkCounters> {
    let engine = Engine::new(&t.root()).expect("an engine");
    engine.counters(name).expect("counters")
}

/// The same from the container's own /sys.
fn statistics(t: &Test, name: &str, link: &str) -> LinkCounters {
    let files = ["bytes", "packets", "errors", "dropped"];
    let files = ["rx", "tx"].iter().flat_map(|way| files.map(|file| format!("{way}_{file}")));
    let paths = files.map(|file| format!("/sys/class/net/{link}/statistics/{file}"));
    let exec = ["exec", name, "cat"].map(String::from).into_iter().chain(paths);
    let text = t.says(exec.collect::<Vec<_>>());
    let numbers: Vec<u64> = text.lines().map(|line| line.parse().expect("a number")).collect();
    let traffic = |n: &[u64]| Traffic { bytes: n[0], packets: n[1], errors: n[2], dropped: n[3] };
    let (received, sent) = numbers.split_at(4);
    LinkCounters { link: link.into(), received: traffic(received), sent: traffic(sent) }
}

/// The container has got so many bytes over TCP when this returns.
#[track_caller]
fn send(t: &Test, name: &str, bytes: usize) {
    let address = t.says(["inspect", "-f", "{{.NetworkSettings.IPAddress}}", name]);
    let server = t.coracle(["exec", name, "sh", "-c", "nc -l -p 7000 | wc -c"]).spawn();
    let mut stream = None;
    eventually("somebody listens", || {
        stream = TcpStream::connect((address.as_str(), 7000)).ok();
        stream.is_some()
    });
    let mut stream = stream.expect("a connection");
    stream.write_all(&vec![7; bytes]).expect("send");
    drop(stream);
    let mut server = server;
    server.line_with(&bytes.to_string());
    assert_eq!(server.wait(), 0);
}

const SLEEP: [&str; 3] = ["busybox", "sleep", "1000"];

#[track_caller]
fn run(t: &Test, name: &str, options: &[&str]) {
    t.coracle([&["run", "-d", "--name", name], options, &SLEEP].concat()).ok();
}

#[test]
fn each_links_traffic_is_counted_as_the_kernel_does() {
    let t = test!(busybox);
    run(&t, "c", &[]);
    let before = counters(&t, "c");
    assert_eq!(before.len(), 1);
    assert_eq!(before[0].link, "eth0");
    send(&t, "c", 1_000_000);
    let after = counters(&t, "c");
    let received = after[0].received.bytes - before[0].received.bytes;
    // Headers are small, acknowledgements too.
    assert!((1_000_000..1_200_000).contains(&received), "{received}");
    let packets = after[0].received.packets - before[0].received.packets;
    assert!((16..2_000).contains(&packets), "{packets}");
    let sent = after[0].sent.bytes - before[0].sent.bytes;
    assert!((1..200_000).contains(&sent), "{sent}");
    // A kernel with IPv6 says a word by itself now and then.
    eventually("both say the same", || counters(&t, "c") == [statistics(&t, "c", "eth0")]);

    // One network more is one link more; who shares them sees the same.
    t.coracle(["network", "create", "back"]).ok();
    t.coracle(["network", "connect", "back", "c"]).ok();
    run(&t, "guest", &["--net", "container:c"]);
    let links = |name: &str| counters(&t, name).into_iter().map(|one| one.link);
    for name in ["c", "guest"] {
        assert_eq!(links(name).collect::<Vec<_>>(), ["eth0", "eth1"]);
        eventually("both say the same", || counters(&t, name)[0] == statistics(&t, "c", "eth0"));
        eventually("both say the same", || counters(&t, name)[1] == statistics(&t, "c", "eth1"));
    }
    run(&t, "host", &["--net", "host"]);
    run(&t, "none", &["--net", "none"]);
    assert_eq!(counters(&t, "host"), []);
    assert_eq!(counters(&t, "none"), []);

    // A new start counts anew; what is down has no links.
    t.coracle(["stop", "-t", "0", "guest", "c"]).ok();
    let engine = Engine::new(&t.root()).expect("an engine");
    let error = engine.counters("c").expect_err("it is down").to_string();
    assert!(error.contains("container c is not running"), "{error}");
    t.coracle(["start", "c"]).ok();
    assert!(counters(&t, "c")[0].received.bytes < 100_000);
    t.coracle(["rm", "-f", "guest", "c"]).ok();
    t.coracle(["network", "rm", "back"]).ok();
}

#[test]
fn stats_tells_what_containers_use() {
    let t = test!(busybox);
    run(&t, "quiet", &[]);
    let busy = ["run", "-d", "--name", "busy", "-m", "16m", "busybox", "sh", "-c"];
    t.coracle([&busy[..], &["sleep 1000 & while :; do :; done"]].concat()).ok();
    t.coracle(["create", "--name", "new", "busybox"]).ok();
    send(&t, "quiet", 2_000_000);

    // The first look tells of all since the start, the second of what came after the first.
    let first = t.says(["stats", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}}"]);
    assert!(first.contains("quiet ") && !first.contains("busy 0.00%"), "{first}");
    let table = t.says(["stats", "--no-stream"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(
        lines[0].starts_with("CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT"),
        "{table}"
    );
    assert!(lines[0].ends_with("BLOCK I/O   PIDS"), "{table}");
    // The last created comes first, as in ps.
    assert!(lines[1].contains("   busy      "), "{table}");
    assert!(lines[2].contains("   quiet     0.00%"), "{table}");

    let row = |name: &str| -> Value {
        let text = t.says(["container", "stats", "--no-stream", "--format", "json", name]);
        serde_json::from_str(&text).expect("a line of JSON")
    };
    let quiet = row("quiet");
    assert_eq!((&quiet["Name"], &quiet["PIDs"]), (&"quiet".into(), &"1".into()));
    assert!(quiet["NetIO"].as_str().expect("a text").starts_with("2."), "{quiet}");
    assert!(quiet["NetIO"].as_str().expect("a text").contains("MB / "), "{quiet}");
    eventually("the busy one is busy", || row("busy")["CPUPerc"] != "0.00%");
    let busy = row("busy");
    assert_eq!(busy["PIDs"], "2");
    assert_ne!(busy["MemPerc"], "0.00%", "{busy}");
    assert!(busy["MemUsage"].as_str().expect("a text").ends_with(" / 16MiB"), "{busy}");
    let new =
        ["stats", "-a", "--no-stream", "--format", "{{.CPUPerc}} {{.NetIO}} {{.PIDs}}", "new"];
    t.coracle(new).stdout("0.00% 0B / 0B 0\n").ok();
    let names = t.says(["stats", "-a", "--no-stream", "--format", "{{.Name}}"]);
    assert_eq!(names, "new\nbusy\nquiet");
    // Names are told whole, ids too where that is asked for; and by what each was asked for.
    let long = "a-name-that-is-longer-than-a-column";
    t.coracle(["create", "--name", long, "busybox"]).ok();
    let id = t.inspect(long)["Id"].as_str().expect("an id").to_string();
    let told = |more: &[&str]| {
        let format = ["stats", "--no-stream", "--format", "{{.Container}} {{.Name}} {{.ID}}"];
        t.says([&format[..], more].concat())
    };
    assert_eq!(told(&[&id[..5]]), format!("{} {long} {}", &id[..5], &id[..12]));
    assert_eq!(told(&["--no-trunc", long]), format!("{long} {long} {id}"));
    t.coracle(["rm", long]).ok();
    let format = r"table {{.CPUPerc}}\t{{.MemUsage}}\t{{.ID}}";
    let table = t.says(["stats", "--no-stream", "--format", format]);
    assert!(table.starts_with("CPU %     MEM USAGE / LIMIT "), "{table}");
    let said = t.says(["ps", "--format", r"table {{.ID}}\t{{.Names}}"]);
    assert!(said.starts_with("CONTAINER ID   NAMES\n"), "{said}");
    t.coracle(["stats", "--no-stream", "nobody"])
        .code(1)
        .stderr_has("no such container: nobody")
        .ok();

    // Anew and anew, in place on a terminal; one that comes is shown, one that goes is not.
    let mut stream = t.coracle(["stats", "--format", "{{.Name}}"]).spawn();
    stream.line_with("quiet");
    run(&t, "late", &[]);
    stream.line_with("late");
    let mut screen = t.coracle(["stats", "quiet"]).on_terminal(24, 80);
    screen.until("\x1b[H\x1b[JCONTAINER ID");
    screen.until("quiet");
    screen.until("\x1b[H\x1b[JCONTAINER ID");
    t.coracle(["rm", "-f", "quiet"]).ok();
    assert_eq!(screen.wait(), 1);
}
