//! From config.json to the steps of the container's first process. Pure but for looking at what
//! kind of file a bind mount's source is.
//!
//! The order is the one runc keeps: cgroup before the cgroup namespace, mounts before the network
//! (the parent makes the link meanwhile), the filter before privileges go, privileges last.

use super::bind::{self, Bind, Options};
use super::cgroup::View;
use super::create::Stdio;
use super::spec::{Device, Mount, Namespace, NamespaceKind, Process, Spec};
use crate::error::{Error, Result};
use crate::sys::child::Plan;
use crate::sys::fs::FileType;
use crate::sys::mount::attr;
use crate::sys::namespace;
use crate::sys::signal;
use crate::sys::step::{self, Entry, Exec, FdSource, Missing, Step, Target, Variables};
use crate::sys::userns;
use crate::types::Signal;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What the plan refers to and the caller keeps open until the clone.
pub struct Inputs<'a> {
    /// The root, detached.
    pub root: BorrowedFd<'a>,
    /// For each mount of the spec that is one, its bind.
    pub binds: &'a [Option<Bind>],
    /// Nodes of /dev that are not made but the host's, by their paths.
    pub devices: &'a [(String, Bind)],
    /// The child's end of the gate, and the parent's.
    pub gate: BorrowedFd<'a>,
    pub parent_gate: BorrowedFd<'a>,
    /// Writing `0` to each joins the cgroup.
    pub cgroup: &'a [OwnedFd],
    /// What a mount of type `cgroup` consists of.
    pub cgroup_views: &'a [View],
    pub stdio: Stdio<'a>,
    /// Namespaces that exist already, and that the child itself can join (a pid namespace is for children).
    pub namespaces: &'a [(NamespaceKind, OwnedFd)],
    /// rtnetlink requests to send in the container's network namespace, after the gate.
    pub network: Vec<Vec<u8>>,
    /// A process whose /dev/shm the container shares.
    pub shared_memory: Option<BorrowedFd<'a>>,
    pub init: bool,
}

/// Whose child the program is, and how long it lives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Own,
    /// Of an init that stays in its place.
    UnderInit,
    /// As long as its parent.
    WithParent,
}

/// The `CLONE_NEW*` flags with which the child is cloned: all new namespaces but the cgroup's,
/// which begins where its maker stands and so must wait until the child has joined its cgroup.
pub fn clone_flags(namespaces: &[Namespace]) -> i32 {
    let new = namespaces.iter().filter(|n| n.path.is_none() && n.kind != NamespaceKind::Cgroup);
    new.fold(0, |flags, n| flags | flag(n.kind))
}

pub fn flag(kind: NamespaceKind) -> i32 {
    match kind {
        NamespaceKind::Pid => namespace::PID,
        NamespaceKind::Network => namespace::NETWORK,
        NamespaceKind::Mount => namespace::MOUNT,
        NamespaceKind::Ipc => namespace::IPC,
        NamespaceKind::Uts => namespace::UTS,
        NamespaceKind::Cgroup => namespace::CGROUP,
    }
}

pub fn build<'a>(spec: &Spec, inputs: &Inputs<'a>) -> Result<Plan<'a>> {
    let mut plan = Plan::new();
    plan.push(Step::Close(inputs.parent_gate));
    plan.push(Step::NewSession);
    plan.push(Step::Umask(0));
    plan.push(Step::DefaultSignals { set: signal::ALL, mask: 0 });
    join_cgroup(&mut plan, inputs.cgroup);
    for (kind, namespace) in inputs.namespaces {
        plan.push(Step::SetNamespace { fd: namespace.as_fd(), kinds: flag(*kind) });
    }
    if spec.linux.namespaces.iter().any(|n| n.kind == NamespaceKind::Cgroup && n.path.is_none()) {
        plan.push(Step::Unshare(namespace::CGROUP));
    }
    own_nothing_of_the_caller(&mut plan, &spec.process);
    plan.push(Step::PrivateMounts);
    plan.push(Step::AttachRoot { tree: inputs.root, at: text("root.path", &spec.root.path)? });
    for (mount, bind) in spec.mounts.iter().zip(inputs.binds) {
        match bind {
            _ if mount.destination == "/" => {}
            Some(bind) => add_bind(&mut plan, mount, bind)?,
            None => add_mount(&mut plan, mount, spec, inputs)?,
        }
    }
    if let Some(process) = inputs.shared_memory {
        plan.push(Step::CloneOf { process, path: c"/dev/shm".to_owned() });
        let at = target("/dev/shm", Missing::MakeDir)?;
        plan.push(Step::Attach { what: "the shared memory".into(), at });
    }
    if let Some(size) = spec.process.terminal.then_some(spec.process.console_size) {
        let (rows, columns) = size.map_or((24, 80), |s| (s.height, s.width));
        plan.push(Step::Terminal { socket: inputs.gate, rows, columns, console: true });
    }
    for path in &spec.linux.masked_paths {
        plan.push(Step::Mask(target(path, Missing::Skip)?));
    }
    for path in &spec.linux.readonly_paths {
        plan.push(Step::CloneInRoot(target(path, Missing::Skip)?));
        plan.push(Step::MountAttr { set: attr::READ_ONLY, recursive: true });
        plan.push(Step::Attach { what: "it".into(), at: target(path, Missing::Skip)? });
    }
    plan.push(Step::MakeDirs(target(&spec.process.cwd, Missing::MakeDir)?));
    if spec.root.readonly {
        plan.push(Step::ReadOnlyRoot);
    }
    // Last, or what we mount below them would be mounted on the host too, and stay.
    for (mount, bind) in spec.mounts.iter().zip(inputs.binds) {
        for (path, peer) in bind.iter().flat_map(|bind| &bind.shared) {
            let at = target(&format!("{}/{path}", mount.destination), Missing::Skip)?;
            plan.push(Step::Share { peer: peer.as_fd(), at });
        }
    }
    if spec.linux.namespaces.iter().any(|n| n.kind == NamespaceKind::Uts && n.path.is_none()) {
        if !spec.hostname.is_empty() {
            plan.push(Step::HostName(spec.hostname.clone().into_bytes()));
        }
        if !spec.domainname.is_empty() {
            plan.push(Step::DomainName(spec.domainname.clone().into_bytes()));
        }
    }
    plan.push(Step::Await(inputs.gate));
    if !inputs.network.is_empty() {
        plan.push(Step::Netlink(inputs.network.clone()));
    }
    for (key, value) in &spec.linux.sysctl {
        let file = text("linux.sysctl", &sysctl_file(key))?;
        plan.push(Step::Sysctl { file, value: value.clone().into_bytes() });
    }
    plan.push(Step::PivotRoot);
    let filter = match &spec.linux.seccomp {
        Some(profile) => Some(super::seccomp::compile(profile)?),
        None => None,
    };
    let life = if inputs.init { Life::UnderInit } else { Life::Own };
    run_process(&mut plan, &spec.process, filter, inputs.stdio, life)?;
    Ok(plan)
}

/// Its file, which is its namespace's for whoever opens it there. A name with slashes may hold
/// dots (net/ipv4/conf/eth0.1/forwarding).
fn sysctl_file(key: &str) -> String {
    let path = if key.contains('/') { key.to_string() } else { key.replace('.', "/") };
    format!("/proc/sys/{path}")
}

/// What would come along unseen from whoever started us.
pub fn own_nothing_of_the_caller(plan: &mut Plan, process: &Process) {
    if let Some(score) = process.oom_score_adj {
        plan.push(Step::OomScore(score.to_string().into_bytes()));
    }
    plan.push(Step::NewKeyring);
}

/// The steps that put the child into a cgroup.
pub fn join_cgroup<'a>(plan: &mut Plan<'a>, files: &'a [OwnedFd]) {
    for file in files {
        plan.push(Step::WriteFd { fd: file.as_fd(), data: b"0".to_vec() });
    }
}

/// The last part, shared with `exec`: descriptors, limits, privileges, the program.
pub fn run_process<'a>(
    plan: &mut Plan<'a>,
    process: &Process,
    filter: Option<Vec<crate::sys::bpf::Insn>>,
    stdio: Stdio<'a>,
    life: Life,
) -> Result<()> {
    let sources = match stdio {
        Stdio::Files(files) => files.map(FdSource::Fd),
        Stdio::Terminal => [FdSource::Terminal; 3],
    };
    if let Stdio::Terminal = stdio {
        plan.push(Step::ControllingTerminal(FdSource::Terminal));
    }
    // Before the limits: one of descriptors may be lower than what we have open.
    plan.push(Step::Descriptors(sources.into_iter().zip(0..).collect()));
    for limit in &process.rlimits {
        let resource = crate::types::resource_number(&limit.kind).ok_or_else(|| {
            Error::invalid(format!("process.rlimits: unknown resource limit \"{}\"", limit.kind))
        })?;
        plan.push(Step::ResourceLimit { resource, soft: limit.soft, hard: limit.hard });
    }
    plan.push(Step::Chdir(text("process.cwd", &process.cwd)?));
    let caps = process.capabilities;
    if let Some(caps) = caps {
        plan.push(Step::BoundingSet(caps.bounding.0));
    }
    let (early, late) = if process.no_new_privileges { (None, filter) } else { (filter, None) };
    if let Some(filter) = early {
        plan.push(Step::Seccomp(filter));
    }
    if caps.is_some() {
        plan.push(Step::KeepCapabilities);
    }
    let user = &process.user;
    if userns::may_set_groups() {
        plan.push(Step::SetGroups(user.additional_gids.clone()));
    }
    plan.push(Step::SetGid(user.gid));
    plan.push(Step::SetUid(user.uid));
    if let Some(caps) = caps {
        plan.push(Step::Capabilities {
            effective: caps.effective.0,
            permitted: caps.permitted.0,
            inheritable: caps.inheritable.0,
        });
        plan.push(Step::AmbientSet(caps.ambient.0));
    }
    if process.no_new_privileges {
        plan.push(Step::NoNewPrivileges);
    }
    if let Some(filter) = late {
        plan.push(Step::Seccomp(filter));
    }
    if life == Life::WithParent {
        // Now: a change of identity would have taken it back.
        plan.push(Step::ParentDeathSignal(Signal::KILL));
    }
    plan.push(Step::Umask(user.umask.unwrap_or(0o022)));
    if life == Life::UnderInit {
        plan.push(Step::Init { words: crate::sys::process::words() });
    }
    plan.push(Step::Report);
    plan.push(Step::Exec(exec(process)?));
    Ok(())
}

fn exec(process: &Process) -> Result<Exec> {
    let args = process.args.iter().map(|arg| text("process.args", arg));
    let args = args.collect::<Result<Vec<CString>>>()?;
    let env = process.env.iter().map(|var| text("process.env", var));
    let env = env.collect::<Result<Vec<CString>>>()?;
    let program = args.first().ok_or_else(|| {
        Error::invalid("no command to run").hint("give one after the image's name")
    })?;
    let path = process.env.iter().rev().find_map(|var| var.strip_prefix("PATH="));
    Ok(Exec::new(
        Exec::search(program, path.unwrap_or_default().as_bytes()),
        args,
        Variables::new(env),
    ))
}

fn add_bind<'a>(plan: &mut Plan<'a>, mount: &Mount, bind: &'a Bind) -> Result<()> {
    let missing = if bind.is_dir { Missing::MakeDir } else { Missing::MakeFile };
    plan.push(Step::Tree(bind.tree.as_fd()));
    plan.push(Step::Attach { what: bind.name.clone(), at: target(&mount.destination, missing)? });
    Ok(())
}

fn add_mount<'a>(
    plan: &mut Plan<'a>,
    mount: &Mount,
    spec: &Spec,
    inputs: &Inputs<'a>,
) -> Result<()> {
    let options = Options::parse(&mount.options);
    if mount.kind == "cgroup" {
        return add_cgroup_mounts(plan, mount, options.attr, inputs.cgroup_views);
    }
    let mut data = bind::data(&options.data)?;
    if !mount.source.is_empty() {
        // What mount tables call it.
        data.push((c"source".to_owned(), Some(text("mounts", &mount.source)?)));
    }
    plan.push(Step::OpenFs { kind: text("mounts", &mount.kind)?, options: data });
    let is_dev = mount.destination == "/dev" && mount.kind == "tmpfs";
    if is_dev {
        plan.push(Step::Make(dev_entries(&spec.linux.devices, inputs.devices.is_empty())?));
    }
    if options.attr != 0 {
        plan.push(Step::MountAttr { set: options.attr, recursive: false });
    }
    let at = target(&mount.destination, Missing::MakeDir)?;
    plan.push(Step::Attach { what: format!("the {}", mount.kind), at });
    for (path, node) in inputs.devices.iter().filter(|_| is_dev) {
        plan.push(Step::Tree(node.tree.as_fd()));
        let at = target(path, Missing::MakeFile)?;
        plan.push(Step::Attach { what: node.name.clone(), at });
    }
    Ok(())
}

/// In a user namespace, where nobody makes device nodes: those of the host, to be mounted.
pub fn host_devices(spec: &Spec) -> Result<Vec<(String, Bind)>> {
    if userns::is_initial() {
        return Ok(Vec::new());
    }
    let default = DEVICES.iter().map(|(name, _)| format!("/dev/{}", name.to_string_lossy()));
    let more = spec.linux.devices.iter().map(|device| device.path.clone());
    let open = |path: String| Bind::device(&path).map(|bind| (path, bind));
    default.chain(more).map(open).collect()
}

/// v2 is one mount; v1 is a tmpfs with one mount a hierarchy, made read-only last.
fn add_cgroup_mounts(
    plan: &mut Plan,
    mount: &Mount,
    attributes: u64,
    hierarchies: &[View],
) -> Result<()> {
    if hierarchies.iter().any(|h| !h.name.is_empty()) {
        plan.push(Step::OpenFs { kind: c"tmpfs".to_owned(), options: Vec::new() });
        let dir = |h: &View| Ok(Entry::Dir { name: text("cgroup", &h.name)?, mode: 0o755 });
        plan.push(Step::Make(hierarchies.iter().map(dir).collect::<Result<_>>()?));
        plan.push(Step::MountAttr { set: attributes, recursive: false });
        let at = target(&mount.destination, Missing::MakeDir)?;
        plan.push(Step::Attach { what: "the tmpfs of cgroups".into(), at });
    }
    for hierarchy in hierarchies {
        let options = bind::data(&hierarchy.options)?;
        plan.push(Step::OpenFs { kind: text("cgroup", hierarchy.kind)?, options });
        plan.push(Step::MountAttr { set: attributes, recursive: false });
        let place = format!("{}/{}", mount.destination, hierarchy.name);
        let at = target(&place, Missing::MakeDir)?;
        plan.push(Step::Attach { what: "the cgroup".into(), at });
    }
    Ok(())
}

/// The devices of every container (config-linux.md, "Default Devices").
const DEVICES: [(&CStr, (u32, u32)); 6] = [
    (c"null", (1, 3)),
    (c"zero", (1, 5)),
    (c"full", (1, 7)),
    (c"random", (1, 8)),
    (c"urandom", (1, 9)),
    (c"tty", (5, 0)),
];

/// The links of /dev, and where `nodes` are to be made, every container's and `more`.
fn dev_entries(more: &[Device], nodes: bool) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for name in [c"pts", c"shm", c"mqueue"] {
        entries.push(Entry::Dir { name: name.to_owned(), mode: 0o755 });
    }
    for (name, number) in DEVICES.into_iter().filter(|_| nodes) {
        let (name, file_type) = (name.to_owned(), FileType::CharDevice);
        let node = step::Device { name, file_type, mode: 0o666, number, uid: 0, gid: 0 };
        entries.push(Entry::Device(node));
    }
    for (name, to) in [
        (c"ptmx", c"pts/ptmx"),
        (c"fd", c"/proc/self/fd"),
        (c"stdin", c"/proc/self/fd/0"),
        (c"stdout", c"/proc/self/fd/1"),
        (c"stderr", c"/proc/self/fd/2"),
        (c"core", c"/proc/kcore"),
    ] {
        entries.push(Entry::Link { name: name.to_owned(), to: to.to_owned() });
    }
    let mut dirs = BTreeSet::new();
    for device in more.iter().filter(|_| nodes) {
        let parents = device.path.match_indices('/').map(|(end, _)| &device.path[..end]);
        for dir in parents.filter_map(|dir| dir.strip_prefix("/dev/")) {
            if dirs.insert(dir) {
                entries.push(Entry::Dir { name: text("linux.devices", dir)?, mode: 0o755 });
            }
        }
        entries.push(Entry::Device(device_node(device)?));
    }
    Ok(entries)
}

fn device_node(device: &Device) -> Result<step::Device> {
    let plain = |name: &&str| name.split('/').all(|part| !["", ".", ".."].contains(&part));
    let name = device.path.strip_prefix("/dev/").filter(plain).ok_or_else(|| {
        Error::invalid(format!("linux.devices: \"{}\" is not below /dev", device.path))
    })?;
    let file_type = match device.kind.as_str() {
        "c" | "u" => FileType::CharDevice,
        "b" => FileType::BlockDevice,
        "p" => FileType::Fifo,
        kind => {
            let text = format!("linux.devices: {}: unknown type \"{kind}\"", device.path);
            return Err(Error::invalid(text).hint("the types are c, b, u and p"));
        }
    };
    Ok(step::Device {
        name: text("linux.devices", name)?,
        file_type,
        mode: device.file_mode.unwrap_or(0o666) & 0o7777,
        number: (device.major, device.minor),
        uid: device.uid,
        gid: device.gid,
    })
}

pub fn target(path: &str, missing: Missing) -> Result<Target> {
    Target::new(path.as_bytes(), missing)
        .map_err(|_| Error::invalid(format!("\"{}\" holds a NUL byte", path.escape_default())))
}

pub fn text(field: &str, value: &str) -> Result<CString> {
    CString::new(value).map_err(|_| {
        Error::invalid(format!("{field}: \"{}\" holds a NUL byte", value.escape_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(kind: &str) -> Device {
        let text = format!(
            r#"{{"path":"/dev/x","type":"{kind}","major":7,"minor":1,"fileMode":416,"gid":6}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_device_keeps_its_type_its_mode_and_its_owner() {
        let node = device_node(&device("b")).unwrap();
        assert_eq!((node.file_type, node.number), (FileType::BlockDevice, (7, 1)));
        assert_eq!((node.mode, node.uid, node.gid), (0o640, 0, 6));
        assert!(device_node(&device("x")).unwrap_err().to_string().contains("/dev/x"));
    }
}
