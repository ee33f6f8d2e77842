//! `cp` of a file that becomes shorter meanwhile.

use crate::common::{eventually, skipped};
use crate::test;
use coracle::sys::pidfd;
use coracle::types::{Pid, Signal};
use std::fs;
use std::os::fd::AsFd;
use std::process::Command;

#[test]
fn a_file_that_shrinks_meanwhile_is_named_and_never_half_there() {
    let t = test!(busybox);
    t.script("c", &[], "mkdir /d; echo ready; exec sleep 1000");
    t.wait_for_log("c", "ready");
    let large = "yes | head -c 20000000 >/d/large";
    let shrink = || t.coracle(["exec", "c", "truncate", "-s", "1000", "/d/large"]).ok();
    // A tar has told its size before.
    t.coracle(["exec", "c", "sh", "-c", large]).ok();
    let stalled = "exec 3<&0; \"$@\" </dev/null | \
                   { head -c 1000 >/dev/null; echo begun; read x <&3; cat >/dev/null; }";
    let mut tar = t.coracle(["cp", "c:/d", "-"]).by(stalled).spawn();
    tar.until("begun");
    shrink();
    tar.write("\n");
    tar.hears("1 files became shorter while they were read, the first /d/large: they end in zeros");
    assert_eq!(tar.wait(), 0);

    if Command::new("strace").arg("-V").output().is_err() {
        return skipped("needs strace");
    }
    let out = t.dir("out");
    for (from, to) in [("c:/d/large", "large"), ("c:/d", "d")] {
        t.coracle(["exec", "c", "sh", "-c", large]).ok();
        // It stands still when it has read some.
        let trace = t.path("trace");
        let _ = fs::remove_file(&trace);
        let calls = "copy_file_range,pread64";
        let strace = format!(
            "exec strace -f -o {} -e trace={calls} -e inject=copy_file_range:error=EXDEV \
             -e inject=pread64:signal=SIGSTOP:when=3 \"$@\"",
            trace.display()
        );
        let to = out.join(to);
        let mut copy = t.coracle(["cp", from, to.to_str().expect("text")]).by(&strace).spawn();
        let told = || fs::read_to_string(&trace).unwrap_or_default();
        eventually("it stands still", || told().contains("stopped by SIGSTOP"));
        shrink();
        let told = told();
        let pid = told.split_whitespace().next().and_then(|pid| pid.parse().ok());
        let pid = pidfd::open(pid.and_then(Pid::from_raw).expect("a pid")).expect("it lives");
        pidfd::send_signal(pid.as_fd(), Signal::CONT).expect("have it go on");
        copy.hears("the file became shorter while it was copied to");
        assert_eq!(copy.wait(), 1);
        let left: Vec<_> =
            fs::read_dir(if to.is_dir() { &to } else { &out }).expect("read").collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
