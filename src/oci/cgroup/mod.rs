//! Control groups: one type for v1, v2 and hybrid hosts, found by looking.
//!
//! ```text
//! v1  <mount of each hierarchy>/coracle/<id>/      joined through `tasks`
//! v2  <mount of cgroup2>/coracle/<id>/             joined through `cgroup.procs`
//!     .../coracle/monitors/                        our own processes, without limits
//! ```
//!
//! A controller is used where it is: in its v1 hierarchy, else in v2. cgroup2 is left alone on a
//! hybrid host that has all we need in v1: entering it costs milliseconds, entering a v1 group by
//! `tasks` microseconds (7 hierarchies: 0.3 ms to make, 0.1 ms to join, measured). cpuset and
//! hugetlb are used only where they are asked for.
//!
//! `coracle` and `coracle/monitors` stay when they are empty, for the next container: making them
//! anew for each would cost as much as the container's own. A crash leaves directories; `Cgroups::open` and `Cgroup::remove` take them away again by
//! their path. Source: the kernel's admin-guide/cgroup-v1/ and cgroup-v2.rst.

mod control;
mod devices;
mod host;
mod placement;
mod resources;
mod settings;
mod update;
mod usage;

pub use devices::default_devices;
pub use host::{Cgroups, View};
pub use placement::{MONITORS, check_path};
pub use resources::{
    BlockIo, Cpu, DeviceRule, HugepageLimit, Memory, Pids, Resources, Throttle, WeightDevice,
};
pub use update::{Patch, put_back};
pub use usage::Usage;

use std::path::PathBuf;

/// A container's cgroup: one directory in each hierarchy.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    v1: Vec<V1>,
    unified: Option<PathBuf>,
    warnings: Vec<String>,
}

#[derive(Debug)]
struct V1 {
    controllers: Vec<String>,
    dir: PathBuf,
}

impl Cgroup {
    /// What could not be done, to be told once.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether there is anything of it.
    pub fn is_there(&self) -> bool {
        !self.v1.is_empty() || self.unified.is_some()
    }

    fn v1_dir(&self, controller: &str) -> Option<&PathBuf> {
        let has = |v1: &&V1| v1.controllers.iter().any(|c| c == controller);
        self.v1.iter().find(has).map(|v1| &v1.dir)
    }
}

/// These make cgroups of their own on the machine at hand, by v1 and by v2 where it has both.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::pidfd;
    use crate::types::Signal;
    use std::fs;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::process::{Child, Command, Stdio};

    /// The host's hierarchies by version, and a path to use there.
    fn hosts(test: &str) -> Vec<(Cgroups, String)> {
        let all = Cgroups::detect().unwrap();
        let v1 = Cgroups { unified: None, ..all.clone() };
        let v2 = Cgroups { v1: Vec::new(), ..all };
        let path = format!("coracle-test-{test}-{}/c", std::process::id());
        let some = |c: &Cgroups| !c.v1.is_empty() || c.unified.is_some();
        [v1, v2].into_iter().filter(some).map(|c| (c, path.clone())).collect()
    }

    fn tidy(cgroups: &Cgroups, path: &str) {
        let parent = path.trim_end_matches("/c");
        for hierarchy in cgroups.v1.iter().chain(&cgroups.unified) {
            let _ = fs::remove_dir(hierarchy.mount.join(parent));
        }
        assert!(!exists(cgroups, parent));
    }

    /// Whether there is any directory at all.
    fn exists(cgroups: &Cgroups, path: &str) -> bool {
        let cgroup = cgroups.open(path).unwrap();
        !cgroup.v1.is_empty() || cgroup.unified.is_some()
    }

    fn is_frozen(cgroup: &Cgroup) -> bool {
        let (file, thawed) = match cgroup.v1_dir("freezer") {
            Some(dir) => (dir.join("freezer.state"), "THAWED"),
            None => (cgroup.unified.as_ref().unwrap().join("cgroup.freeze"), "0"),
        };
        fs::read_to_string(file).unwrap().trim() != thawed
    }

    /// A shell in the cgroup that forks a sleeper, both ready.
    fn start_in(cgroup: &Cgroup) -> Child {
        let mut child = Command::new("sh")
            .args(["-c", "read go; sleep 1000 & echo ready; wait"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        for fd in cgroup.join_files().unwrap() {
            fs::File::from(fd).write_all(child.id().to_string().as_bytes()).unwrap();
        }
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        let mut line = String::new();
        let mut said = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut said, &mut line).unwrap();
        assert_eq!(line, "ready\n");
        child
    }

    #[test]
    fn a_cgroup_lives_from_create_to_remove() {
        for (cgroups, path) in hosts("life") {
            let cgroup = cgroups.create(&path, &Resources::default()).unwrap();
            let mut child = start_in(&cgroup);
            assert_eq!(cgroup.processes().unwrap().len(), 2);
            assert!(cgroups.create(&path, &Resources::default()).is_err(), "in use");
            cgroup.freeze().unwrap();
            assert!(is_frozen(&cgroup));
            cgroup.thaw().unwrap();
            assert!(!is_frozen(&cgroup));
            assert!(!cgroup.oom_killed());

            let again = cgroups.open(&path).unwrap();
            again.kill().unwrap();
            assert!(again.processes().unwrap().is_empty());
            again.remove().unwrap();
            again.remove().unwrap();
            assert!(!exists(&cgroups, &path));
            child.wait().unwrap();
            tidy(&cgroups, &path);
        }
    }

    #[test]
    fn removing_waits_for_processes_that_end() {
        for (cgroups, path) in hosts("wait") {
            let cgroup = cgroups.create(&path, &Resources::default()).unwrap();
            let mut child = start_in(&cgroup);
            for pid in cgroup.processes().unwrap() {
                let process = pidfd::open(pid).unwrap();
                pidfd::send_signal(process.as_fd(), Signal::KILL).unwrap();
            }
            cgroup.remove().unwrap();
            child.wait().unwrap();
            tidy(&cgroups, &path);
        }
    }

    #[test]
    fn limits_reach_the_kernel() {
        let text = r#"{"memory":{"limit":16777216},"cpu":{"shares":512,"cpus":"0"},
            "pids":{"limit":33},"devices":[{"allow":false,"access":"rwm"},
            {"allow":true,"type":"c","major":1,"minor":3,"access":"rw"}]}"#;
        let resources: Resources = serde_json::from_str(text).unwrap();
        for (cgroups, path) in hosts("limits") {
            let cgroup = match cgroups.create(&path, &resources) {
                Ok(cgroup) => cgroup,
                // A cgroup2 without controllers, as beside v1.
                Err(e) => {
                    let text = e.to_string();
                    assert!(text.contains("no memory cgroup controller"), "{text}");
                    assert!(!exists(&cgroups, &path));
                    continue;
                }
            };
            let read = |v1: (&str, &str), v2: &str| {
                let file = match cgroup.v1_dir(v1.0) {
                    Some(dir) => dir.join(v1.1),
                    None => cgroup.unified.as_ref().unwrap().join(v2),
                };
                fs::read_to_string(file).unwrap().trim().to_string()
            };
            assert_eq!(read(("memory", "memory.limit_in_bytes"), "memory.max"), "16777216");
            assert_eq!(read(("pids", "pids.max"), "pids.max"), "33");
            assert_eq!(read(("cpuset", "cpuset.cpus"), "cpuset.cpus"), "0");
            if let Some(dir) = cgroup.v1_dir("devices") {
                let list = fs::read_to_string(dir.join("devices.list")).unwrap();
                assert_eq!(list, "c 1:3 rw\n");
            }
            cgroup.remove().unwrap();
            tidy(&cgroups, &path);
        }
    }

    #[test]
    fn bad_paths_are_refused() {
        let cgroups = Cgroups::detect().unwrap();
        for bad in ["", "/", "..", "a/../b"] {
            assert!(cgroups.create(bad, &Resources::default()).is_err(), "{bad}");
        }
    }
}
