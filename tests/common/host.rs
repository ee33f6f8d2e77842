//! Another host: a network namespace at the other end of a cable, with a state root of its own.

use super::Test;
use super::command::Run;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Where the test's own host and the other one are on the cable.
pub const HERE: &str = "192.168.1.52";
pub const THERE: &str = "192.168.1.53";

pub struct Host<'t> {
    test: &'t Test,
    /// The process that keeps the namespace.
    holder: Child,
    root: PathBuf,
}

impl<'t> Host<'t> {
    pub fn join(test: &'t Test) -> Host<'t> {
        let holder = Command::new("unshare")
            .args(["-n", "sh", "-c", "echo; exec sleep 1000"])
            .stdout(Stdio::piped())
            .spawn();
        let mut holder = holder.expect("run unshare");
        let entered = holder.stdout.as_mut().expect("a pipe").read_exact(&mut [0]);
        entered.expect("wait for the namespace");
        let pid = holder.id();
        let host = Host { test, holder, root: test.path("other-root") };
        let script = format!(
            "ip link add cable type veth peer name cable netns {pid}
             ip address add {HERE}/24 dev cable
             ip link set cable up
             nsenter -t {pid} -n ip link set lo up
             nsenter -t {pid} -n ip address add {THERE}/24 dev cable
             nsenter -t {pid} -n ip link set cable up"
        );
        let done = Command::new("sh").args(["-ec", &script]).status().expect("run sh");
        assert!(done.success(), "the cable cannot be laid");
        host
    }

    /// `coracle ARGS` there, to be run by `.ok()`.
    pub fn coracle(&self, args: &[&str]) -> Run<'t> {
        let root = self.root.to_str().expect("a path in UTF-8");
        let enter = format!("exec nsenter -t {} -n \"$@\"", self.holder.id());
        // The second `--root` counts.
        self.test.coracle([&["--root", root], args].concat()).by(&enter)
    }

    /// A program of the machine, to be run there.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.holder.id().to_string(), "-n", program]);
        command
    }

    pub fn root(&self) -> &PathBuf {
        &self.root
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.root.exists() {
            let ids = self.coracle(&["ps", "-a", "-q"]).ok().stdout_text();
            let rm: Vec<&str> = ["rm", "-f"].into_iter().chain(ids.lines()).collect();
            if rm.len() > 2 {
                self.coracle(&rm).ok();
            }
        }
        let _ = Command::new("ip").args(["link", "delete", "cable"]).status();
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
