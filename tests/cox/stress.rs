//! 100,000 random commands against 50 services of ten kinds, while they are killed, removed, made
//! anew and changed: there is never a second copy of one, nobody is left behind, nothing leaks, and
//! whoever is asked up comes up.
//!
//! Each `run` takes a lock that is its service's alone and that no child of it has; one that finds
//! it taken is a second copy, and leaves a word of that in a file. That this is seen has a test of
//! its own. `STRESS_SEED` repeats a series of commands (the kernel's order is not repeated).

use crate::harness::{Cox, Lines, Tree, children, look_for, namespace, until};
use coracle::sys::{fifo, signal};
use coracle::types::{Pid, Signal};
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ChildStderr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, ScopedJoinHandle};

const SERVICES: usize = 50;
const KINDS: usize = 10;
const COMMANDS: usize = 100_000;
const WRITERS: usize = 4;
/// So often cox is asked to start one and answer, once in so many times.
const ASK: usize = 400;

/// xorshift64 (Marsaglia 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

fn executable(path: &Path, script: &str) {
    let new = path.with_extension("new");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&new, Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, path).unwrap();
}

impl Tree {
    /// Makes service `n` below `services`, complete at once.
    fn make(&self, n: usize) {
        let name = format!("s{n}");
        let dir = self.dir.join("made").join(&name);
        let body = |name: &str, program: &str| {
            let lock = self.dir.join("locks").join(name);
            let lock = lock.display();
            format!(
                "exec 2>>{lock}.said; echo begins >&2
                 LC_ALL=C; export LC_ALL; exec flock -nF --verbose {lock} {program}"
            )
        };
        let sleep = body(&name, "sleep 10000");
        let file = |name: &str, text: &str| fs::write(dir.join(name), text).unwrap();
        let kind = n % KINDS;
        executable(
            &dir.join("run"),
            &match kind {
                1 => body(&name, "false"),
                2 => format!("trap '' TERM; {sleep}"),
                3 => format!("sleep 10000 & sleep 10000 & {sleep}"),
                4 => format!("echo >&3; {sleep}"),
                _ => sleep,
            },
        );
        match kind {
            2 => file("timeout-kill", "30"),
            4 => file("notification-fd", "3"),
            5 => executable(&dir.join("finish"), ""),
            6 => {
                executable(&dir.join("finish"), "exec sleep 10000");
                file("timeout-finish", "20");
            }
            7 => {
                let cat = body(&format!("{name}.log"), "cat >/dev/null");
                executable(&dir.join("log/run"), &cat);
            }
            8 => executable(&dir.join("check"), "exit $(( $$ % 2 ))"),
            9 => file("down-signal", "INT"),
            _ => {}
        }
        fs::rename(dir, self.services().join(name)).unwrap();
    }

    /// The locks in whose file there is this word, and how often there is.
    fn locks(&self, word: &str) -> (Vec<String>, usize) {
        let (mut found, mut count) = (Vec::new(), 0);
        for file in fs::read_dir(self.dir.join("locks")).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let Some(name) = name.strip_suffix(".said") else { continue };
            let times = fs::read_to_string(&path).unwrap().matches(word).count();
            found.extend((times > 0).then(|| name.to_string()));
            count += times;
        }
        found.sort();
        (found, count)
    }

    /// Those of which there was a second copy.
    fn second_copies(&self) -> Vec<String> {
        self.locks("failed to get lock").0
    }

    /// Waits until all services are known, and tells them all to go down, or up.
    #[track_caller]
    fn tell_all(&self, verb: &str, rounds: u32) {
        let loggers = (0..SERVICES).filter(|n| n % KINDS == 7).count();
        let known = SERVICES + loggers;
        let names = look_for(|| Some(self.names()).filter(|names| names.len() == known));
        // A crash loop never is up for long.
        let crashes = |name: &String| name[1..].parse().is_ok_and(|n: usize| n % KINDS == 1);
        let chosen = names.iter().filter(|name| verb == "stop" || !crashes(name));
        let args = [verb].into_iter().chain(chosen.map(String::as_str)).collect::<Vec<_>>();
        let (code, _, error) = self.ctl(&args);
        if error.contains("no service") && rounds > 1 {
            // It was told to exit before, and has not come back yet.
            return self.tell_all(verb, rounds - 1);
        }
        assert_eq!((code, error.as_str()), (0, ""));
    }
}

fn descriptors(pid: Pid) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn resident_kilobytes(pid: Pid) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// Reads what cox says to its end; every line that should not be there, and how many lines there were.
fn read_all(mut stderr: Lines<ChildStderr>) -> (Vec<String>, usize) {
    let (mut odd, mut count) = (Vec::new(), 0);
    while let Some(line) = stderr.next_or_end() {
        count += 1;
        let usual = ["exited with", "ended by", "finished; start", "/run: no such file"];
        let gone = line.contains("no such file or directory") || line.contains("/supervise/");
        let ours = line.starts_with("cox: ");
        if ours && !(gone || usual.iter().any(|text| line.contains(text))) {
            odd.push(line);
        }
    }
    (odd, count)
}

/// Writes commands to the services, a few at a time. Whoever only writes is soon far ahead of cox,
/// which takes all at once and kills each run before it has its lock: so now and then cox is asked,
/// and a service is seen to live.
fn command(tree: &Tree, mut random: Random) {
    let mut left = COMMANDS / WRITERS;
    while left > 0 {
        let count = (1 + random.below(4)).min(left);
        let bytes: Vec<u8> =
            (0..count).map(|_| b"uuuudddoOUDQrpcchaiqtkx12?"[random.below(26)]).collect();
        let n = random.below(SERVICES);
        match random.below(ASK) {
            0 => drop(tree.ctl(&["--timeout", "1", "start", &format!("s{n}")])),
            1..5 => drop(tree.ctl(&["status", &format!("s{n}")])),
            _ => {}
        }
        let log = if n % KINDS == 7 && random.below(2) == 0 { "log/" } else { "" };
        let path = tree.service(&format!("s{n}/{log}supervise/control"));
        // A full pipe waits for cox, not for us.
        if let Ok(Some(mut control)) = fifo::open_for_writing(Path::new(&path))
            && control.write_all(&bytes).is_ok()
        {
            left -= count;
        }
        thread::yield_now();
    }
}

/// Kills, removes, remakes, changes, and asks for another look.
fn disturb(tree: &Tree, cox: Pid, mut random: Random, over: &AtomicBool) -> u32 {
    let mut kills = 0;
    while !over.load(Ordering::Relaxed) {
        let n = random.below(SERVICES);
        let dir = tree.services().join(format!("s{n}"));
        match random.below(20) {
            0 => {
                let old = tree.dir.join("old");
                fs::rename(&dir, &old).unwrap();
                tree.make(n);
                fs::remove_dir_all(old).unwrap();
            }
            1 => {
                let old = fs::read_to_string(dir.join("run")).unwrap();
                executable(&dir.join("run"), old.trim_start_matches("#!/bin/sh\n"));
            }
            2 => signal::kill(cox, Signal::HUP).unwrap(),
            _ => {
                let children = children(cox);
                if !children.is_empty() {
                    let _ = signal::kill(children[random.below(children.len())], Signal::KILL);
                    kills += 1;
                }
            }
        }
        thread::yield_now();
    }
    kills
}

fn wait_for_nobody(tree: &Tree, pid: Pid) {
    until(|| {
        tree.names();
        children(pid).is_empty()
    });
}

#[test]
fn a_second_copy_is_seen() {
    let tree = Tree::new();
    fs::create_dir(tree.dir.join("locks")).unwrap();
    // One of each kind, but that which ends at once.
    let kinds: Vec<usize> = (0..KINDS).filter(|kind| *kind != 1).collect();
    kinds.iter().for_each(|n| tree.make(*n));
    let mut expected: Vec<String> = kinds.iter().map(|n| format!("s{n}")).collect();
    expected.push("s7.log".into());
    expected.sort();
    // The first copy of each, by nobody whom cox knows; its stdin has no end.
    let copies: Vec<Cox> = expected
        .iter()
        .map(|name| {
            let run = tree.service(&name.replace('.', "/"));
            let script = format!("exec {run}/run <>{}/events", tree.dir.display());
            Cox::start(namespace().args(["sh", "-c", &script]))
        })
        .collect();
    let holds = |copy: &Cox| {
        let comm = copy.try_pid().map(|pid| fs::read_to_string(format!("/proc/{pid}/comm")));
        comm.is_some_and(|comm| comm.is_ok_and(|comm| ["sleep\n", "cat\n"].contains(&&*comm)))
    };
    until(|| copies.iter().all(holds));
    assert!(tree.second_copies().is_empty());
    let cox = tree.supervise(&[]);
    until(|| tree.second_copies() == expected);
    drop(copies);
    assert_eq!(cox.stop().0, 0);
}

#[test]
fn a_hundred_thousand_random_commands_break_nothing() {
    let seed = std::env::var("STRESS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or(0x2545_f491_4f6c_dd1d);
    eprintln!("STRESS_SEED={seed}");
    let tree = Tree::new();
    fs::create_dir(tree.dir.join("locks")).unwrap();
    (0..SERVICES).for_each(|n| tree.make(n));
    let mut cox = tree.supervise(&[]);
    let stderr = cox.take_stderr();
    until(|| tree.ctl(&["status"]).0 == 0);
    let pid = cox.pid();
    thread::scope(|scope| {
        let said: ScopedJoinHandle<(Vec<String>, usize)> = scope.spawn(|| read_all(stderr));
        tree.tell_all("start", 1);
        tree.tell_all("stop", 1);
        wait_for_nobody(&tree, pid);
        let (descriptors_before, memory_before) = (descriptors(pid), resident_kilobytes(pid));
        let over = AtomicBool::new(false);
        let kills = AtomicU32::new(0);
        thread::scope(|scope| {
            let tree = &tree;
            let disturber = scope.spawn(|| {
                kills.store(disturb(tree, pid, Random(seed ^ 0xffff), &over), Ordering::Relaxed);
            });
            let writers: Vec<_> = (1..=WRITERS as u64)
                .map(|n| scope.spawn(move || command(tree, Random(seed.wrapping_mul(n)))))
                .collect();
            let ended: Vec<_> = writers.into_iter().map(ScopedJoinHandle::join).collect();
            over.store(true, Ordering::Relaxed);
            disturber.join().unwrap();
            ended.into_iter().for_each(|end| end.unwrap());
        });
        eprintln!("{} processes were killed", kills.into_inner());
        // As HUP, and answered.
        assert_eq!(tree.ctl(&["reload"]).0, 0);
        tree.tell_all("stop", 100);
        tree.tell_all("start", 1);
        tree.tell_all("stop", 1);
        wait_for_nobody(&tree, pid);
        until(|| {
            let now = descriptors(pid);
            assert!(now < descriptors_before + 2, "descriptors leak");
            tree.names();
            now == descriptors_before
        });
        let memory = resident_kilobytes(pid);
        assert!(memory < memory_before + 1024, "{memory_before} kB became {memory} kB");
        assert_eq!(cox.stop().0, 0);
        assert!(tree.second_copies().is_empty(), "{:?}", tree.second_copies());
        let (_, runs) = tree.locks("begins\n");
        eprintln!("{runs} runs asked for their lock");
        assert!(runs > 10 * SERVICES, "{runs} runs are too few to tell");
        let (odd, count) = said.join().unwrap();
        eprintln!("cox said {count} lines");
        assert!(odd.is_empty(), "{odd:#?}");
    });
}
