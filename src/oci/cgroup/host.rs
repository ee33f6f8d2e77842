//! What cgroup hierarchies this process sees, from `/proc/self/mountinfo` and
//! `/proc/self/cgroup` (cgroups(7)).

use crate::error::{OsContext, Result};
use crate::sys::namespace::device_numbers;
use crate::sys::userns;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The hierarchies of the host: v1, v2, or both (hybrid).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroups {
    pub(super) v1: Vec<Hierarchy>,
    /// Where cgroup2 is mounted, and our own cgroup there.
    pub(super) unified: Option<Hierarchy>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hierarchy {
    pub mount: PathBuf,
    /// v1: as in the mount's options, `name=systemd` among them. v2: not filled.
    pub controllers: Vec<String>,
    /// The directory of our own cgroup.
    pub own: PathBuf,
    /// `major:minor` of the file system.
    pub device: String,
}

impl Cgroups {
    /// Looks at the running system. Where nothing is mounted there is nothing to open, and
    /// `create` says so.
    pub fn detect() -> Result<Cgroups> {
        let read = |path: &str| fs::read(path).on("read", path);
        let found = Cgroups::parse(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?);
        if !userns::is_initial() {
            let unified = found.unified.filter(Hierarchy::is_reachable);
            return Ok(Cgroups { v1: Vec::new(), unified: unified.and_then(Hierarchy::given) });
        }
        Ok(Cgroups {
            v1: found.v1.into_iter().filter(Hierarchy::is_reachable).collect(),
            unified: found.unified.filter(Hierarchy::is_reachable),
        })
    }

    pub(super) fn parse(mountinfo: &[u8], own: &[u8]) -> Cgroups {
        let mut cgroups = Cgroups { v1: Vec::new(), unified: None };
        for line in mountinfo.split(|b| *b == b'\n') {
            let Some(mount) = Mount::parse(line) else {
                continue;
            };
            let own = own_path(own, &mount);
            let hierarchy = Hierarchy {
                own: mount.point.join(own.strip_prefix(&mount.root).unwrap_or(Path::new(""))),
                mount: mount.point,
                controllers: mount.controllers,
                device: mount.device,
            };
            if mount.unified {
                cgroups.unified.get_or_insert(hierarchy);
            } else if !cgroups.v1.iter().any(|h| h.controllers == hierarchy.controllers) {
                cgroups.v1.push(hierarchy);
            }
        }
        cgroups
    }
}

impl Cgroups {
    /// How a container's own view of its cgroups is mounted below `/sys/fs/cgroup`.
    pub fn views(&self) -> Vec<View> {
        if self.v1.is_empty() {
            let unified = self.unified.iter();
            let view = View { name: String::new(), kind: "cgroup2", options: Vec::new() };
            return unified.map(|_| view.clone()).collect();
        }
        let view = |h: &Hierarchy| {
            let name = h.mount.file_name()?.to_str()?.to_string();
            let mut options = h.controllers.clone();
            if options.iter().all(|c| c.starts_with("name=")) {
                options.insert(0, "none".into());
            }
            Some(View { name, kind: "cgroup", options })
        };
        self.v1.iter().filter_map(view).collect()
    }

    /// 2 where cgroup2 is all there is, 1 where there is v1, `None` where nothing is mounted.
    pub fn version(&self) -> Option<u8> {
        match (self.v1.is_empty(), &self.unified) {
            (false, _) => Some(1),
            (true, Some(_)) => Some(2),
            (true, None) => None,
        }
    }

    /// What this host cannot limit, in Docker's words.
    pub fn lacks(&self) -> Vec<&'static str> {
        // In v2 the top group has no limits of its own, where all others have this one.
        let (own, swap, is_top) = match (self.v1.iter().find(|h| h.has("memory")), &self.unified) {
            (Some(memory), _) => (Some(memory), "memory.memsw.limit_in_bytes", false),
            (None, Some(unified)) => {
                (Some(unified), "memory.swap.max", unified.own == unified.mount)
            }
            (None, None) => (None, "", false),
        };
        let has_swap = own.is_some_and(|h| is_top || h.own.join(swap).exists());
        let unified = self.unified.iter().map(|h| h.mount.join("cgroup.controllers"));
        let unified: String = unified.filter_map(|path| fs::read_to_string(path).ok()).collect();
        let has = |v1: &str, v2: &str| {
            self.v1.iter().any(|h| h.has(v1)) || unified.split_whitespace().any(|c| c == v2)
        };
        let all = [
            (has("memory", "memory"), "No memory limit support"),
            (has_swap, "No swap limit support"),
            (has("cpu", "cpu"), "No cpu shares support"),
            (has("cpuset", "cpuset"), "No cpuset support"),
            (has("pids", "pids"), "No pids limit support"),
            (has("blkio", "io"), "No blkio support"),
        ];
        all.into_iter().filter(|(is_there, _)| !is_there).map(|(_, text)| text).collect()
    }
}

/// One hierarchy as a container mounts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The directory below `/sys/fs/cgroup`; empty for v2, which is that itself.
    pub name: String,
    pub kind: &'static str,
    pub options: Vec<String>,
}

impl Hierarchy {
    /// Whether its path leads there: another mount may cover it.
    fn is_reachable(&self) -> bool {
        let device = fs::metadata(&self.mount).map(|meta| device_numbers(meta.dev()));
        device.is_ok_and(|(major, minor)| format!("{major}:{minor}") == self.device)
    }

    /// The part of it that whoever is root of a user namespace was given: from the highest of our
    /// cgroups on that is theirs (cgroup-v2.rst, "Delegation"). v1 gives nothing away.
    fn given(self) -> Option<Hierarchy> {
        let is_ours = |path: &Path| fs::metadata(path).is_ok_and(|meta| meta.uid() == 0);
        let ours = self.own.ancestors().take_while(|dir| {
            dir.starts_with(&self.mount) && is_ours(dir) && is_ours(&dir.join("cgroup.procs"))
        });
        let mount = ours.last()?.to_path_buf();
        Some(Hierarchy { mount, ..self })
    }

    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| c == controller)
    }
}

/// A line of mountinfo (proc_pid_mountinfo(5)) that is about cgroups.
struct Mount {
    unified: bool,
    /// What of the hierarchy is mounted: `/`, or a cgroup's path.
    root: PathBuf,
    point: PathBuf,
    controllers: Vec<String>,
    /// `major:minor`
    device: String,
}

impl Mount {
    fn parse(line: &[u8]) -> Option<Mount> {
        let mut fields = line.split(|b| *b == b' ');
        let device = String::from_utf8_lossy(fields.nth(2)?).into_owned();
        let root = fields.next()?;
        let point = fields.next()?;
        let mut fields = fields.skip_while(|f| *f != b"-");
        let kind = fields.nth(1)?;
        let options = String::from_utf8_lossy(fields.nth(1)?).into_owned();
        let unified = match kind {
            b"cgroup" => false,
            b"cgroup2" => true,
            _ => return None,
        };
        let of_mount = ["rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode"];
        let controller = |o: &&str| !of_mount.contains(o) && !o.starts_with("release_agent");
        Some(Mount {
            unified,
            device,
            root: unescape(root),
            point: unescape(point),
            controllers: match unified {
                true => Vec::new(),
                false => options.split(',').filter(controller).map(str::to_string).collect(),
            },
        })
    }
}

/// Our path in the hierarchy of `mount`, from the lines `id:controllers:path`.
fn own_path(own: &[u8], mount: &Mount) -> PathBuf {
    for line in own.split(|b| *b == b'\n') {
        let mut fields = line.splitn(3, |b| *b == b':');
        let (_, Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let controllers = String::from_utf8_lossy(controllers);
        let ours = match mount.unified {
            true => controllers.is_empty(),
            false => controllers.split(',').any(|c| mount.controllers.iter().any(|m| m == c)),
        };
        if ours {
            return PathBuf::from(OsString::from_vec(path.to_vec()));
        }
    }
    PathBuf::from("/")
}

/// Undoes mountinfo's `\040` for a space.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|_| *first == b'\\').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        match octal {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts(h: &[Hierarchy]) -> Vec<(&str, &str)> {
        h.iter().map(|h| (h.mount.to_str().unwrap(), h.own.to_str().unwrap())).collect()
    }

    #[test]
    fn a_hybrid_host_is_recognised() {
        let mountinfo = b"\
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/mem\\040ory rw - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
";
        let own = b"4:memory:/user.slice\n2:cpu,cpuacct:/\n1:name=systemd:/s/c-1.scope\n0::/u\n";
        let c = Cgroups::parse(mountinfo, own);
        let v1 = [
            ("/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct/"),
            ("/sys/fs/cgroup/mem ory", "/sys/fs/cgroup/mem ory/user.slice"),
            ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/systemd/s/c-1.scope"),
        ];
        assert_eq!(mounts(&c.v1), v1);
        assert!(c.v1[0].has("cpuacct") && c.v1[2].controllers == ["name=systemd"]);
        assert_eq!(c.unified.unwrap().own, Path::new("/sys/fs/cgroup/unified/u"));
    }

    #[test]
    fn a_mount_of_a_part_makes_paths_relative_to_it() {
        let mountinfo = b"30 2 0:26 /docker/ab /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        let c = Cgroups::parse(mountinfo, b"0::/docker/ab/inner\n");
        assert_eq!(c.unified.unwrap().own, Path::new("/sys/fs/cgroup/inner"));
    }
}
