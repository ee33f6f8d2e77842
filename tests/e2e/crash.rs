//! Killed at any moment, nothing leaks and nothing is lost.
//!
//! `coracle`, the monitor or the container's PID 1 is killed with -9 at random moments of create,
//! start, stop and rm. Then one mutating command runs, and after it no trace of a dead container
//! is left, while every container that was not asked to stop runs and logs.

use crate::common::{LIMIT, Test, kill, wait_ended};
use crate::test;
use coracle::sys::pidfd;
use coracle::types::{Pid, Signal};
use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::Duration;

const KILLS: u32 = 200;

/// xorshift32: the same moments in every run of the test, if not the same interleavings. $SEED (not 0)
/// asks for others.
pub struct Random(pub u32);

impl Random {
    pub fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % limit
    }
}

#[test]
fn random_kills_leak_nothing_and_lose_nothing() {
    let t = test!(busybox);
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0x5eed_c0de);
    let mut random = Random(seed);
    let keep = "trap 'echo still here' USR1; echo ready; while :; do sleep 1 & wait $!; done";
    t.script("keep", &[], keep);
    t.wait_for_log("keep", "ready");
    let kept = t.pid("keep");

    for round in 0..KILLS {
        // A container that the verb under fire can act upon.
        let name = format!("c{round}");
        let verb = random.below(4);
        if verb != 0 {
            t.coracle(["run", "-d", "--name", &name, "busybox", "sleep", "1000"]).any_stderr().ok();
        }
        if verb == 1 {
            t.coracle(["stop", "-t", "0", &name]).any_stderr().ok();
        }
        let victims: Vec<Pid> = match verb {
            2 | 3 => [t.pid(&name), t.monitor(&name)].into(),
            _ => Vec::new(),
        };
        let command = match verb {
            0 => vec!["run", "-d", "--name", &name, "busybox", "sleep", "1000"],
            1 => vec!["start", &name],
            2 => vec!["stop", "-t", "0", &name],
            _ => vec!["rm", "-f", &name],
        };
        let running = t.coracle(command).spawn();
        let delay = Duration::from_micros(u64::from(random.below(12_000)));
        running.ends_within(delay);
        let victim = match random.below(3) as usize {
            0 => Some(running.pid()),
            n => victims.get(n - 1).copied(),
        };
        if let Some(victim) = victim {
            kill_if_there(victim);
        }
        drop(running);
    }

    // One mutating command repairs.
    t.coracle(["run", "--rm", "busybox", "true"]).any_stderr().ok();
    still_alive(&t, kept);
    for id in t.containers() {
        let state = t.inspect(&id)["State"].clone();
        let status = state["Status"].as_str().unwrap_or_default().to_string();
        assert!(matches!(&status[..], "running" | "exited" | "created"), "{id}: {status}");
        if status == "running" {
            t.coracle(["exec", &id, "true"]).ok();
        }
    }
    // The guard does the rest when the test ends: every process, mount, link, group and file.
}

#[track_caller]
fn still_alive(t: &Test, kept: Pid) {
    assert_eq!(t.pid("keep"), kept, "the bystander was restarted");
    t.coracle(["kill", "-s", "USR1", "keep"]).ok();
    t.wait_for_log("keep", "still here");
}

#[test]
fn a_removal_that_was_killed_is_finished_by_the_next_command() {
    let t = test!(busybox);
    for micros in [200, 1000, 3000, 6000, 12_000] {
        t.coracle(["run", "-d", "--name", "c", "busybox", "sleep", "1000"]).ok();
        let rm = t.coracle(["rm", "-f", "c"]).spawn();
        rm.ends_within(Duration::from_micros(micros));
        drop(rm); // killed
        t.coracle(["run", "--rm", "busybox", "true"]).any_stderr().ok();
        // Either it was not begun, or it is done; and the name is free either way afterwards.
        if !t.containers().is_empty() {
            t.coracle(["rm", "-f", "c"]).ok();
        }
        assert!(t.containers().is_empty());
    }
}

#[test]
fn a_creation_that_was_killed_leaves_no_trace() {
    let t = test!(busybox);
    for micros in (0..20).map(|n| n * 400) {
        let run = t.coracle(["run", "-d", "--name", "c", "busybox", "sleep", "1000"]).spawn();
        run.ends_within(Duration::from_micros(micros));
        drop(run); // killed
        t.coracle(["run", "--rm", "busybox", "true"]).any_stderr().ok();
        // It either came to be, whole, or not at all.
        match t.containers().first() {
            None => {}
            Some(id) => {
                t.coracle(["rm", "-f", id]).ok();
            }
        }
        t.coracle(["run", "--name", "c", "busybox", "true"]).ok();
        t.coracle(["rm", "c"]).ok();
    }
}

#[test]
fn a_killed_pid_1_is_an_exit_like_any_other() {
    let t = test!(busybox);
    t.coracle(["run", "-d", "--name", "c", "busybox", "sleep", "1000"]).ok();
    let mut wait = t.coracle(["wait", "c"]).spawn();
    kill(t.pid("c"));
    assert_eq!(wait.line_with("137"), "137");
    assert_eq!(t.status("c"), "exited");
}

#[test]
fn what_a_kill_left_half_written_is_written_over() {
    let t = test!(busybox);
    t.coracle(["create", "--name", "c", "busybox", "true"]).ok();
    let id = t.containers().remove(0);
    let records = t.root().join("containers").join(&id);
    let halves = [records.join(".settings.json.new"), t.root().join("images/.refs.json.new")];
    for half in &halves {
        fs::write(half, "half of what was to be writ").expect("write a file");
    }
    // The power went while a state was written.
    let state = fs::File::options().append(true).open(records.join("state.json"));
    state.expect("open").write_all(b"\n{\"want\":\"u").expect("write");
    // After a reboot the list of the run directory is made anew; its maker was killed.
    let mut runs = fs::read_dir("/run/coracle").expect("the run directories");
    let run = runs.next().expect("ours").expect("read").path();
    fs::remove_dir_all(&run).expect("reboot");
    let aside = run.join("live.new");
    fs::create_dir_all(&aside).expect("make a directory");
    fs::write(aside.join(&id), "").expect("write a file");

    t.coracle(["start", "-a", "c"]).ok();
    t.coracle(["rename", "c", "d"]).ok();
    assert_eq!(t.status("d"), "exited");
    t.coracle(["tag", "busybox", "boat"]).ok();
    for left in halves.iter().chain([&aside]) {
        assert!(!left.exists(), "{} is left", left.display());
    }
    t.coracle(["run", "--rm", "boat", "echo", "hi"]).stdout("hi\n").ok();
}

#[test]
fn a_container_with_rm_is_there_whole_or_gone_whole() {
    let t = test!(busybox);
    let mut random = Random(0x0bad_cafe);
    for round in 0..40 {
        let name = format!("c{round}");
        t.coracle(["run", "-d", "--rm", "--name", &name, "busybox", "sleep", "1000"]).ok();
        let (pid, monitor) = (t.pid(&name), t.monitor(&name));
        match round % 4 {
            // Its monitor dies: it runs on under the next one.
            0 => {
                kill(monitor);
                t.coracle(["run", "--rm", "busybox", "true"]).ok();
                assert_eq!(t.pid(&name), pid);
                t.coracle(["stop", "-t", "0", &name]).ok();
            }
            // Both die.
            1 => {
                kill(monitor);
                kill(pid);
                wait_ended(pid);
                t.coracle(["run", "--rm", "busybox", "true"]).ok();
            }
            // The monitor dies somewhere in a stop: whoever asked for it sees it through.
            2 => {
                let mut stop = t.coracle(["stop", "-t", "0", &name]).spawn();
                stop.ends_within(Duration::from_micros(u64::from(random.below(6000))));
                kill_if_there(monitor);
                assert_eq!(stop.wait(), 0);
            }
            // The monitor dies somewhere in a removal.
            _ => {
                let mut rm = t.coracle(["rm", "-f", &name]).spawn();
                rm.ends_within(Duration::from_micros(u64::from(random.below(6000))));
                kill_if_there(monitor);
                assert_eq!(rm.wait(), 0);
            }
        }
        assert!(t.containers().is_empty(), "round {round}");
    }
}

#[test]
fn a_restart_is_seen_through_whoever_dies() {
    let t = test!(busybox);
    let mut random = Random(0x7e57_ab1e);
    t.coracle(["run", "-d", "--name", "c", "busybox", "sleep", "1000"]).ok();
    for round in 0..40 {
        let (pid, monitor) = (t.pid("c"), t.monitor("c"));
        let mut restart = t.coracle(["restart", "-t", "0", "c"]).spawn();
        restart.ends_within(Duration::from_micros(u64::from(random.below(12_000))));
        if round % 2 == 0 {
            kill_if_there(monitor);
            assert_eq!(restart.wait(), 0, "round {round}");
            assert_ne!(t.pid("c"), pid, "round {round}");
        } else {
            drop(restart); // killed
            // The monitor was not asked yet, or goes through with it; a second one comes after.
            t.coracle(["restart", "-t", "0", "c"]).ok();
            assert_ne!(t.pid("c"), pid, "round {round}");
        }
    }
}

#[test]
fn a_container_that_is_not_up_yet_takes_no_exec() {
    let t = test!(busybox);
    // It must find the container as it is inside, or none: never the host's root.
    let script = format!("test -e {} && exit 9; exit 0", t.root().display());
    let look = ["exec", "c", "sh", "-c", &script];
    for _ in 0..20 {
        let mut run = t.coracle(["run", "-d", "--name", "c", "busybox", "sleep", "1000"]).spawn();
        let mut tries = 0;
        loop {
            let code = t.coracle(look).spawn().wait();
            assert_ne!(code, 9, "it stands in the host's root");
            if code == 0 {
                break;
            }
            tries += 1;
            assert!(tries < 1000, "it never comes up");
        }
        assert_eq!(run.wait(), 0);
        t.coracle(["rm", "-f", "c"]).ok();
    }
}

/// It may have ended by itself, at its own moment.
pub fn kill_if_there(pid: Pid) {
    if let Ok(fd) = pidfd::open(pid) {
        let _ = pidfd::send_signal(fd.as_fd(), Signal::KILL);
        let _ = pidfd::wait_ended(fd.as_fd(), Some(LIMIT));
    }
}
