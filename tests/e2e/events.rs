//! What happens is told, in today's words and with the fields of 2014.

use crate::common::kill;
use crate::test;
use coracle::types::Signal;
use serde_json::Value;

/// The actions told so far that `filter` lets through.
fn actions(t: &crate::common::Test, filter: &[&str]) -> Vec<String> {
    let mut line = vec!["events", "--since", "1h", "--until", "0s", "--format", "{{.Action}}"];
    line.extend(filter.iter().flat_map(|filter| ["--filter", filter]));
    t.says(line).lines().map(str::to_string).collect()
}

#[test]
fn the_life_of_a_container_is_told_in_order() {
    let t = test!(busybox);
    t.coracle(["run", "--rm", "--name", "c", "-l", "tier=front", "busybox", "sh", "-c", "exit 3"])
        .code(3)
        .ok();
    let of_container = ["type=container", "container=c"];
    assert_eq!(actions(&t, &of_container), ["create", "attach", "start", "die", "destroy"]);
    let filter = ["--filter", "event=die", "--filter", "label=tier=front"];
    let die = [&["events", "--since", "1h", "--until", "0s"], &filter[..]].concat();
    let line = t.says(die.clone());
    let (time, rest) = line.split_once(" container die ").expect("docker's line");
    assert!(time.ends_with('Z'), "{line}");
    let (id, attributes) = rest.split_once(' ').expect("an id");
    assert_eq!(id.len(), 64);
    assert_eq!(attributes, "(exitCode=3, image=busybox, name=c, tier=front)");
    let json: Value =
        serde_json::from_str(&t.says([&die[..], &["--format", "json"]].concat())).unwrap();
    assert_eq!((&json["status"], &json["from"]), (&"die".into(), &"busybox".into()));
    assert_eq!(json["id"], json["Actor"]["ID"]);
    let (seconds, nanos) = (json["time"].as_i64().unwrap(), json["timeNano"].as_i64().unwrap());
    assert_eq!(seconds, nanos / 1_000_000_000);
}

#[test]
fn verbs_tell_what_they_did() {
    let t = test!(busybox);
    t.script("c", &["-v", "data:/data"], "trap 'exit 0' TERM; while :; do sleep 1 & wait; done");
    t.coracle(["exec", "c", "sh", "-c", "exit 4"]).code(4).ok();
    t.coracle(["kill", "-s", "USR1", "c"]).ok();
    t.coracle(["commit", "c", "made:1"]).ok();
    t.coracle(["restart", "c"]).ok();
    t.coracle(["stop", "c"]).ok();
    t.coracle(["rm", "c"]).ok();
    let seen = actions(&t, &["type=container"]);
    let expected = [
        "create",
        "start",
        "exec_create: sh -c exit 4",
        "exec_start: sh -c exit 4",
        "exec_die",
        "kill",
        "commit",
        "die",
        "start",
        "restart",
        "kill",
        "die",
        "stop",
        "destroy",
    ];
    assert_eq!(seen, expected);
    assert_eq!(actions(&t, &["volume=data"]), ["create", "mount", "unmount", "mount", "unmount"]);
    t.coracle(["tag", "made:1", "made:2"]).ok();
    t.coracle(["volume", "rm", "data"]).ok();
    t.coracle(["rmi", "made:2"]).ok();
    t.coracle(["rmi", "made:1"]).ok();
    assert_eq!(actions(&t, &["type=image", "image=made"]), ["tag", "untag", "untag"]);
    assert_eq!(actions(&t, &["event=destroy"]), ["destroy", "destroy"]);
}

#[test]
fn what_happens_to_networks_is_told() {
    let t = test!(busybox);
    let all = |filter: &[&str]| {
        let format = "{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.type}}";
        let mut line = vec!["events", "--since", "1h", "--until", "0s", "--format", format];
        line.extend(["type=network"].iter().chain(filter).flat_map(|filter| ["--filter", filter]));
        t.says(line).lines().map(str::to_string).collect::<Vec<_>>()
    };
    let id = t.says(["network", "create", "web"]);
    t.script("c", &["--net", "web"], "until [ -e /end ]; do sleep 0.01; done");
    t.coracle(["network", "create", "other"]).ok();
    t.coracle(["network", "connect", "other", "c"]).ok();
    t.coracle(["network", "disconnect", "other", "c"]).ok();
    t.coracle(["network", "rm", "other"]).ok();
    t.coracle(["exec", "c", "touch", "/end"]).ok();
    t.wait_for_status("c", "exited");
    // What concerns its next start only.
    t.coracle(["network", "disconnect", "web", "c"]).ok();
    t.coracle(["network", "connect", "web", "c"]).ok();
    t.coracle(["rm", "c"]).ok();
    t.coracle(["network", "prune", "-f"]).ok();
    assert_eq!(
        all(&["network=web"]),
        ["create web bridge", "connect web bridge", "disconnect web bridge", "destroy web bridge"]
    );
    let other = ["create", "connect", "disconnect", "destroy"];
    assert_eq!(all(&["network=other"]), other.map(|verb| format!("{verb} other bridge")));
    let by_id = format!("network={}", &id[..12]);
    assert_eq!(all(&[&by_id[..], "event=create"]), ["create web bridge"]);
    let attributes = "{{.Actor.Attributes.container}}";
    let connect = ["--filter", "event=connect", "--filter", "network=web", "--format", attributes];
    let line = [&["events", "--since", "1h", "--until", "0s"], &connect[..]].concat();
    assert_eq!(t.says(line).len(), 64);
    for (mode, driver) in [("host", "host"), ("none", "null")] {
        t.coracle(["run", "--rm", "--net", mode, "busybox", "true"]).ok();
        let told = ["connect", "disconnect"].map(|verb| format!("{verb} {mode} {driver}"));
        assert_eq!(all(&[&format!("network={mode}")]), told);
    }
    // Nobody saw its end.
    t.coracle(["run", "-d", "--name", "c", "busybox", "sleep", "1000"]).ok();
    let (monitor, program) = (t.monitor("c"), t.pid("c"));
    kill(monitor);
    kill(program);
    t.coracle(["gc"]).ok();
    assert_eq!(all(&["network=bridge"]), ["connect bridge bridge", "disconnect bridge bridge"]);
}

#[test]
fn who_listens_hears_it_as_it_happens_and_ends_when_told() {
    let t = test!(busybox);
    let mut events = t.coracle(["events", "--since", "1h", "--filter", "event=start"]).spawn();
    for name in ["first", "second", "third"] {
        t.coracle(["run", "--rm", "--name", name, "busybox", "true"]).ok();
        events.line_with(&format!("name={name}"));
    }
    kill(events.pid());
    events.wait();
    let until = t.coracle(["events", "--since", "1h", "--until", "0s"]).ok();
    assert!(until.stdout_text().contains("container die"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let to_come = (now.as_secs() + 2).to_string();
    t.coracle(["events", "--until", &to_come, "--filter", "event=never"]).stdout("").ok();
}

#[test]
fn an_end_that_nobody_saw_is_told_by_who_finds_it() {
    let t = test!(busybox);
    t.coracle(["run", "-d", "--name", "c", "busybox", "sleep", "1000"]).ok();
    let (monitor, program) = (t.monitor("c"), t.pid("c"));
    kill(monitor);
    kill(program);
    t.coracle(["volume", "create", "any"]).ok();
    let die = t.says([
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "--filter",
        "event=die",
        "--format",
        "{{.Actor.Attributes.exitCode}} {{.Actor.Attributes.late}}",
    ]);
    assert_eq!(die, "137 true");
}

#[test]
fn who_is_killed_or_stopped_while_it_listens_is_no_matter_to_the_others() {
    let t = test!(busybox);
    let listen = || {
        let name = ["--filter", "event=start", "--format", "{{.Actor.Attributes.name}}."];
        t.coracle([&["events", "--since", "1h"], &name[..]].concat()).spawn()
    };
    let run = |name: &str| {
        t.coracle(["run", "--rm", "--net=none", "--name", name, "busybox", "true"]).ok();
    };
    let (mut killed, mut stopped, mut well) = (listen(), listen(), listen());
    run("first");
    for one in [&mut killed, &mut stopped, &mut well] {
        one.line_with("first.");
    }
    kill(killed.pid());
    assert_eq!(killed.wait(), 137);
    stopped.signal(Signal::STOP);
    let names: Vec<String> = (0..30).map(|n| format!("c{n}")).collect();
    for name in &names {
        run(name);
        well.line_with(&format!("{name}."));
    }
    // It goes on from where it was, and has missed nothing.
    stopped.signal(Signal::CONT);
    for name in &names {
        assert_eq!(stopped.line_with("."), format!("{name}."));
    }
}
