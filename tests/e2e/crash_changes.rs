//! Killed at any moment under the verbs that change a container or copy, nothing is half done: a
//! name is the old or the new one, a file whole or not there, and whoever was not meant runs on.

use crate::crash::{Random, kill_if_there};
use crate::test;
use coracle::types::Pid;
use std::fs;
use std::time::Duration;

const ROUNDS: u32 = 96;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Victim {
    Client,
    Monitor,
    Program,
}

#[test]
fn random_kills_leave_no_change_half_done() {
    let t = test!(busybox);
    let mut random = Random(0xc0ff_ee11);
    let file = t.path("file");
    fs::write(&file, (0..300_000u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>())
        .expect("write");
    let file = file.display().to_string();
    let out = t.path("out").display().to_string();

    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let name = format!("c{round}");
        t.script(&name, &["--net=none"], "while :; do echo on; sleep 1000; done");
        let (pid, monitor) = (t.pid(&name), t.monitor(&name));
        let id = t.inspect(&name)["Id"].as_str().expect("an id").to_string();
        let (other, into, from) =
            (format!("new{round}"), format!("{name}:/file"), format!("{name}:/bin/busybox"));
        let verb = match round % 8 {
            0 => vec!["pause", &name],
            1 => {
                t.coracle(["pause", &name]).ok();
                vec!["unpause", &name]
            }
            2 => vec!["update", "-m", "64m", "--cpu-shares", "100", &name],
            3 => vec!["rename", &name, &other],
            4 => vec!["cp", &file, &into],
            5 => vec!["cp", &from, &out],
            6 => vec!["commit", &name, "made"],
            _ => vec!["restart", "-t", "0", &name],
        };
        let running = t.coracle(&verb).spawn();
        running.ends_within(Duration::from_micros(u64::from(random.below(12_000))));
        let victim = match random.below(3) {
            0 => Victim::Client,
            1 => Victim::Monitor,
            _ => Victim::Program,
        };
        let victims: [(Victim, Pid); 3] =
            [(Victim::Client, running.pid()), (Victim::Monitor, monitor), (Victim::Program, pid)];
        for (_, pid) in victims.into_iter().filter(|(kind, _)| *kind == victim) {
            // A program that is frozen dies when it thaws.
            if victim == Victim::Program && round % 8 < 2 {
                continue;
            }
            kill_if_there(pid);
        }
        let mut running = running;
        if victim != Victim::Client {
            running.wait();
        }
        drop(running);
        rounds.push((round, id, verb[0].to_string(), victim, pid));
    }

    // One mutating command repairs.
    t.coracle(["run", "--rm", "--net=none", "busybox", "true"]).any_stderr().ok();
    let size = fs::metadata("/bin/busybox").expect("busybox").len();
    assert!(fs::metadata(&out).is_ok_and(|meta| meta.len() == size), "half of a file came out");
    for (round, id, verb, victim, pid) in rounds {
        let what = format!("round {round}: {verb}, {victim:?} killed");
        let found = t.inspect(&id);
        let name = found["Name"].as_str().expect("a name").trim_start_matches('/').to_string();
        assert!([format!("c{round}"), format!("new{round}")].contains(&name), "{what}: {name}");
        assert_eq!(t.inspect(&name)["Id"], found["Id"], "{what}");
        if found["State"]["Paused"] == true {
            assert!(["pause", "unpause"].contains(&&verb[..]), "{what}");
            t.coracle(["unpause", &name]).ok();
        }
        let memory = found["HostConfig"]["Memory"].as_u64().expect("a number");
        let shares = found["HostConfig"]["CpuShares"].as_u64().expect("a number");
        assert!([(0, 0), (64 << 20, 100)].contains(&(memory, shares)), "{what}: {memory} {shares}");
        let is_up = t.status(&name) == "running";
        if victim != Victim::Program || verb.ends_with("pause") {
            assert!(is_up, "{what}: it is down");
            assert!(verb == "restart" || t.pid(&name) == pid, "{what}: it was restarted");
        }
        if is_up {
            let look = "test ! -e /file || wc -c < /file";
            let said = t.says(["exec", &name, "sh", "-c", look]);
            assert!(said.is_empty() || said == "1200000", "{what}: {said}");
        }
    }
}
