//! A commit that is killed, or finds the disk full or broken, at each of its steps: strace does it
//! harm as it enters a call that changes anything, at the first call of each kind, at the second,
//! and so on. Import, load, rmi, tag and prune are harmed in tests/image/crash.rs.

use crate::commit::{count, goes_on};
use crate::common::Test;
use crate::test;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// Calls that change what is on disk, lock, or speak to the monitor.
const CALLS: [&str; 28] = [
    "rename",
    "mkdir",
    "mkdirat",
    "unlink",
    "unlinkat",
    "rmdir",
    "fsync",
    "syncfs",
    "flock",
    "utimensat",
    "fchown",
    "fchownat",
    "chmod",
    "fchmod",
    "fchmodat",
    "fsetxattr",
    "lsetxattr",
    "write",
    "pwrite64",
    "ftruncate",
    "symlinkat",
    "mknodat",
    "pipe2",
    "clone",
    "connect",
    "sendto",
    "fsopen",
    "fsmount",
];
/// And some of these, by what they are called with.
const SOME: [(&str, &[&str]); 3] = [
    ("open", &["O_CREAT", "O_WRONLY", "O_RDWR"]),
    ("openat", &["O_CREAT", "O_WRONLY", "O_RDWR"]),
    ("fcntl", &["F_OFD_SETLK"]),
];

pub const KILL: &str = "signal=SIGKILL";

pub fn lacks_strace() -> bool {
    let lacks = Command::new("strace").arg("-V").output().is_err();
    if lacks {
        crate::common::skipped("needs strace");
    }
    lacks
}

/// A call, and which one of its kind.
pub type Step = (&'static str, usize);

/// The steps in a trace: those calls above and of `more` kinds that did something.
pub fn steps_in<'t>(
    trace: impl IntoIterator<Item = &'t str>,
    more: &'static [&'static str],
) -> Vec<Step> {
    let (mut seen, mut steps) = (BTreeMap::new(), Vec::new());
    for line in trace {
        let Some((call, rest)) =
            line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start().split_once('(')
        else {
            continue;
        };
        let of = |part: &&str| rest.contains(part);
        let all = CALLS.iter().chain(more).copied().find(|name| *name == call);
        let some = SOME.iter().find(|(name, _)| *name == call).map(|(name, parts)| (*name, parts));
        let Some(name) = all.or(some.map(|(name, _)| name)) else { continue };
        let nth: &mut usize = seen.entry(name).or_default();
        *nth += 1;
        let is_meant = some.is_none_or(|(_, parts)| parts.iter().any(of));
        if is_meant && !rest.contains(") = -1 E") {
            steps.push((name, *nth));
        }
    }
    steps
}

/// What strace is told to do harm at one step.
pub fn harming(harm: &str, (call, nth): Step) -> [String; 4] {
    let inject = format!("inject={call}:{harm}:when={nth}");
    ["-e".into(), format!("trace={call}"), "-e".into(), inject]
}

/// Every step of a commit.
fn steps(t: &Test) -> Vec<Step> {
    let trace = t.path("trace");
    let strace = format!("strace -f -qq -o {} \"$@\"", trace.display());
    t.coracle(["commit", "c", "new"]).by(&strace).ok();
    let steps = steps_in(fs::read_to_string(trace).expect("read the trace").lines(), &[]);
    assert!(steps.len() > 50, "a commit has only {} steps", steps.len());
    steps
}

/// Commits, with harm done at one step; whether it said that all went well.
fn harmed(t: &Test, harm: &str, step: Step) -> bool {
    let words = harming(harm, step).join(" ");
    let strace = format!("exec strace -f -qq -o /dev/null {words} \"$@\"");
    t.coracle(["commit", "c", "new"]).by(&strace).spawn().wait() == 0
}

/// Removes all images but busybox, which must be whole, and shows that nothing else is left.
#[track_caller]
fn all_is_whole(t: &Test, at: &str) {
    t.coracle(["fsck"]).stdout_has("").ok();
    let busybox = t.inspect("busybox")["Id"].as_str().expect("an id").to_string();
    for id in t.says(["images", "-q", "--no-trunc"]).lines().filter(|id| **id != busybox) {
        t.coracle(["rmi", "-f", id]).ok();
    }
    t.coracle(["gc"]).ok();
    for (place, most) in [("tmp", 0), ("trash", 0), ("layers", 1), ("blobs/sha256", 1)] {
        let there = fs::read_dir(t.root().join("images").join(place)).expect("read").count();
        assert_eq!(there, most, "{at}: {place}");
    }
}

#[test]
fn commit_may_be_harmed_at_any_step() {
    let t = test!(busybox);
    if lacks_strace() {
        return;
    }
    let script = "mkdir /d; echo 1 >/d/one; rm /bin/ls; chmod 700 /home";
    t.coracle(["run", "--name", "c", "busybox", "sh", "-c", script]).ok();
    let (steps, mut badly) = (steps(&t), 0);
    for step in steps.iter().copied() {
        for harm in [KILL, "error=ENOSPC", "error=EIO"] {
            let at = format!("{harm} at {step:?}");
            let well = harmed(&t, harm, step);
            badly += usize::from(!well);
            if well {
                t.coracle(["run", "--rm", "new", "cat", "/d/one"]).stdout("1\n").ok();
            }
            t.coracle(["commit", "c", "again"]).ok();
            assert_eq!(t.says(["diff", "c"]).lines().count(), 5, "{at}");
            all_is_whole(&t, &at);
        }
    }
    // Few calls may fail without the commit failing.
    assert!(badly > 2 * steps.len(), "only {badly} commits of {} steps failed", steps.len());
    t.coracle(["start", "c"]).ok();
    assert_eq!(t.says(["wait", "c"]), "0");
}

#[test]
fn a_running_container_goes_on_wherever_its_commit_is_killed() {
    let t = test!(busybox);
    if lacks_strace() {
        return;
    }
    count(&t, "c");
    t.coracle(["exec", "c", "sh", "-c", "mkdir /d; echo 1 >/d/one"]).ok();
    let pid = t.pid("c");
    let steps = steps(&t);
    assert!(steps.iter().any(|(call, _)| *call == "connect"), "nobody speaks to the monitor");
    for step in steps {
        harmed(&t, KILL, step);
        goes_on(&t, "c");
    }
    assert_eq!(t.pid("c"), pid);
    t.coracle(["commit", "c", "again"]).ok();
    t.coracle(["run", "--rm", "again", "cat", "/d/one"]).stdout("1\n").ok();
    all_is_whole(&t, "at the end");
    t.coracle(["rm", "-f", "c"]).ok();
}
