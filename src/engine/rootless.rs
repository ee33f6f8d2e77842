//! Without root: a user's commands and monitors live in a user namespace, where the user is root.
//!
//! ```text
//! <root>/run/                  the mark of a rootless state root
//!   lock                       held while a command goes into the namespace
//!   <boot>/                    the run directory, named by the boot; others are removed
//!     namespace                the namespace's inode number
//!     members/<pidns>-<pid>    who is in it: a process that cannot be mistaken, which holds a
//!                              lock on it for as long as it lives
//! ```
//!
//! Only processes of one namespace can signal, join and adopt each other, so there is one for a
//! state root. No process is there to keep it: the commands and monitors in it do, and the
//! containers, as their records name their first processes, unless these have gone to a namespace of
//! their own making. Who comes goes where the first one is that lives; where nobody does, there is
//! nobody to be missed, and a new namespace is made: a child is cloned into it that waits while
//! newuidmap(1) and newgidmap(1) write its maps, and is then joined as any other.
//!
//! The lock is held from the look until the one who came is written down: for the two programs'
//! few milliseconds at most, and never by a child. A SIGKILL of who holds it leaves a namespace that
//! ends with its only child. Monitors outlive the command that made them: each writes itself down,
//! under the lock, and gives up where that command died and another namespace was made meanwhile.
//! Entries of the dead are removed by who finds them. In another pid namespace nobody of it can be
//! joined: there a command is refused for as long as somebody lives elsewhere.
//!
//! The run directory lies in the state root, not in $XDG_RUNTIME_DIR: it must be the same one
//! whatever session, cron job or `su` a command comes from, and outlive the session that it
//! began in.

use crate::container::{Dir, ProcessId};
use crate::error::{Context, Error, OsContext, Result};
use crate::sys::child::{self, Plan};
use crate::sys::lock::{self, Guard, Mode};
use crate::sys::step::Step;
use crate::sys::{fd, pidfd, process, userns};
use crate::types::{Home, Pid};
use std::env;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What maps more than ourselves: the package, its programs, and the users' ranges.
const MAPPERS: [(&str, &str); 2] = [("newuidmap", "/etc/subuid"), ("newgidmap", "/etc/subgid")];

/// This process in the namespace; it is no more when dropped.
#[must_use]
#[derive(Debug)]
pub struct Member(Option<(PathBuf, Option<Guard>)>);

impl Drop for Member {
    fn drop(&mut self) {
        if let Some((path, _)) = &self.0 {
            // An entry of the dead does no harm.
            let _ = fs::remove_file(path);
        }
    }
}

/// Where a state root is by default.
pub fn default_root() -> Result<PathBuf> {
    if process::effective_uid() == 0 {
        return Ok(Home::DEFAULT_ROOT.into());
    }
    let of = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = of("XDG_DATA_HOME").or_else(|| Some(of("HOME")?.join(".local/share")));
    let data = data.ok_or_else(|| {
        Error::invalid("neither HOME nor XDG_DATA_HOME names a directory")
            .hint("set one of them, or give a --root")
    })?;
    Ok(data.join("coracle"))
}

/// The places of a state root.
pub(super) fn home(root: &Path) -> Result<Home> {
    match is_rootless(root) && !userns::is_initial() {
        true => Ok(Home { run: run_dir(root)?, ..Home::new(root)? }),
        false => Home::new(root),
    }
}

/// Whether a state root was made without root.
pub(super) fn is_rootless(root: &Path) -> bool {
    root.join("run").is_dir()
}

fn run_dir(root: &Path) -> Result<PathBuf> {
    const BOOT: &str = "/proc/sys/kernel/random/boot_id";
    let boot = fs::read_to_string(BOOT).on("read", BOOT)?;
    let boot: String = boot.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    Ok(root.join("run").join(boot))
}

/// Goes where a command on this state root is root; does nothing for root. To be called while the
/// process has but one thread.
pub fn enter(root: &Path) -> Result<Member> {
    let uid = process::effective_uid();
    if uid == 0 {
        // Also of a command that has entered before, and executed itself again.
        return stay(root);
    }
    let home = lay(root, uid)?;
    let lock = lock_namespace(root)?;
    let members = members(&home);
    match living(&home)? {
        Some((_, process)) => {
            let entered = userns::enter(process.as_fd());
            entered.on("enter", "the user namespace of the containers")?;
            // A container's first process may have gone to one of its own making in between.
            let own = userns::inode("self").on("look at", "the user namespace")?;
            let path = namespace(&home);
            if fs::read_to_string(&path).on("read", &path)? != own.to_string() {
                let text = "another user namespace than that of the containers was entered";
                return Err(Error::conflict(text).hint("try again"));
            }
        }
        None => {
            tidy(root, &home)?;
            let new = New::make(uid, &lock)?;
            let inode = userns::inode(&new.pid.to_string()).on("look at", "a new namespace")?;
            let path = namespace(&home);
            fs::write(&path, inode.to_string()).on("write", &path)?;
            let entered = userns::enter(new.process.as_fd());
            entered.on("enter", "a new user namespace").map_err(refused)?;
        }
    }
    register(&members, lock)
}

/// Goes on in the namespace where this process is already.
pub fn stay(root: &Path) -> Result<Member> {
    if userns::is_initial() || !is_rootless(root) {
        return Ok(Member(None));
    }
    let home = home(root)?;
    let lock = lock_namespace(root)?;
    if let Some((other, _)) = living(&home)?
        && userns::inode(&other.to_string()).ok() != userns::inode("self").ok()
    {
        let text = "another user namespace has taken the place of this process's";
        return Err(Error::conflict(text).hint("try again"));
    }
    register(&members(&home), lock)
}

fn namespace(home: &Home) -> PathBuf {
    home.run.join("namespace")
}

fn members(home: &Home) -> PathBuf {
    home.run.join("members")
}

fn lock_namespace(root: &Path) -> Result<Guard> {
    let path = root.join("run/lock");
    lock::lock(&path, 0, Mode::Exclusive).on("lock", &path)
}

/// Writes this process down, and lets others look.
fn register(members: &Path, lock: Guard) -> Result<Member> {
    make_dir(members)?;
    let own = ourselves()?;
    let path = members.join(format!("{}-{}", own.pid_namespace, own.pid));
    let text = serde_json::to_vec(&own).unwrap_or_default();
    fs::write(&path, text).on("write", &path)?;
    // Where a child of ours of before has it, it is as good.
    let alive = lock::try_lock(&path, 0, Mode::Exclusive).on("lock", &path)?;
    lock.unlock();
    Ok(Member(Some((path, alive))))
}

fn ourselves() -> Result<ProcessId> {
    let pid = Pid::from_raw(std::process::id().cast_signed());
    ProcessId::of(pid.ok_or_else(|| Error::conflict("a process without a pid"))?)
}

/// Whether the one who is written down there lives, wherever that is.
fn is_alive(path: &Path) -> Result<bool> {
    match File::open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        file => lock::is_held(&file.on("open", path)?, 0, Mode::Exclusive).on("look at", path),
    }
}

/// Anybody else who lives in the namespace.
fn living(home: &Home) -> Result<Option<(Pid, OwnedFd)>> {
    let own = ourselves()?;
    let mut is_elsewhere = false;
    let members = members(home);
    let entries = match fs::read_dir(&members) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        entries => entries.on("read", &members)?,
    };
    for entry in entries {
        let entry = entry.on("read", &members)?;
        let path = entry.path();
        let process = fs::read(&path).ok();
        let process = process.and_then(|text| serde_json::from_slice::<ProcessId>(&text).ok());
        let found = match process {
            Some(process) if process.pid_namespace != own.pid_namespace => match is_alive(&path)? {
                true => {
                    is_elsewhere = true;
                    continue;
                }
                false => None,
            },
            Some(process) if process.pid == own.pid => continue,
            process => process.and_then(|process| Some((process.pid, process.open()?))),
        };
        match found {
            Some(found) => return Ok(Some(found)),
            // Somebody else may find it as well.
            None => drop(fs::remove_file(path)),
        }
    }
    if is_elsewhere {
        let text = "containers or commands of this state root run in another pid namespace";
        return Err(Error::conflict(text).hint("give this command there, or another --root"));
    }
    let containers = Dir::live(home)?.into_iter().filter_map(|id| Dir::new(home, &id).state().ok());
    let mut processes = containers.filter_map(|state| state.process);
    let inode = fs::read_to_string(namespace(home)).unwrap_or_default();
    let is_there =
        |pid: Pid| userns::inode(&pid.to_string()).is_ok_and(|own| own.to_string() == inode);
    Ok(processes.find_map(|process| {
        let open = process.open()?;
        is_there(process.pid).then_some((process.pid, open))
    }))
}

/// Makes what is ours alone, and refuses what is not.
fn lay(root: &Path, uid: u32) -> Result<Home> {
    let place = || format!("the state root {}", root.display());
    make_dir(root).doing(place).map_err(|error| {
        error.or_hint(|| "choose a directory that you may write to: --root".into())
    })?;
    let owner = fs::metadata(root).on("look at", root)?.uid();
    if owner != uid {
        let text = format!("the state root {} belongs to uid {owner}, not to you", root.display());
        return Err(Error::conflict(text).hint("choose a directory of your own: --root"));
    }
    if !is_rootless(root) && root.join("version").exists() {
        let text = format!("the state root {} was made by root", root.display());
        return Err(Error::conflict(text).hint("choose another one: --root"));
    }
    let run = run_dir(root)?;
    make_dir(&run)?;
    Ok(Home { run, ..Home::new(root)? })
}

/// Removes what earlier boots left.
fn tidy(root: &Path, home: &Home) -> Result<()> {
    let all = root.join("run");
    for entry in fs::read_dir(&all).on("read", &all)? {
        let path = entry.on("read", &all)?.path();
        if path != home.run && path.is_dir() {
            crate::sys::fs::remove_tree(&path).on("remove", &path)?;
        }
    }
    Ok(())
}

fn make_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).on("create", path)
}

/// A new namespace, by a child that waits in it until this is dropped.
struct New {
    pid: Pid,
    process: OwnedFd,
    gate: Option<OwnedFd>,
}

impl Drop for New {
    fn drop(&mut self) {
        drop(self.gate.take());
        // It has nothing left to do.
        let _ = pidfd::wait(self.process.as_fd());
    }
}

impl New {
    fn make(uid: u32, lock: &Guard) -> Result<New> {
        let (ours, theirs) = fd::socket_pair().on("socketpair", "")?;
        let (_report, child_report) = fd::pipe().on("pipe", "")?;
        let mut plan = Plan::new();
        // Should we be killed, it ends, and does not keep the lock.
        plan.push(Step::Close(ours.as_fd()));
        plan.push(Step::Close(lock.as_fd()));
        plan.push(Step::Await(theirs.as_fd()));
        let child = child::spawn(&plan, userns::USER, child_report.as_fd(), 0);
        let child = child.on("make", "a user namespace").map_err(refused)?;
        drop(plan);
        let new = New { pid: child.pid, process: child.pidfd, gate: Some(ours) };
        map(child.pid, uid)?;
        Ok(new)
    }
}

/// Gives the namespace of a process the user as its root, and the user's further ids.
fn map(process: Pid, uid: u32) -> Result<()> {
    let gid = process::effective_gid();
    let name = name_of(uid);
    let mut commands = Vec::new();
    for ((program, file), own) in MAPPERS.into_iter().zip([uid, gid]) {
        let text = fs::read_to_string(file).unwrap_or_default();
        let ranges = ranges(&text, &name, uid);
        let mut command = Command::new(program);
        command.args([process.raw().to_string(), "0".into(), own.to_string(), "1".into()]);
        let mut inside = 1;
        for (first, count) in &ranges {
            command.args([inside, *first, *count].map(|number| number.to_string()));
            inside += count;
        }
        if ranges.is_empty() || !is_installed(program) {
            let one = userns::map_one(process.raw(), uid, gid);
            return one.on("map ids of", "a user namespace").map_err(refused);
        }
        commands.push((program, command));
    }
    for (program, mut command) in commands {
        let output = command.output().on("execute", program)?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            let text = format!("cannot map ids of a user namespace: {}", words.trim_end());
            return Err(refused(Error::conflict(text)));
        }
    }
    Ok(())
}

fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// The user's name: of /etc/passwd, else as the session has it.
fn name_of(uid: u32) -> String {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let uid = uid.to_string();
    let of_user = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_string();
        (fields.nth(1)? == uid).then_some(name)
    };
    let found = passwd.lines().find_map(of_user);
    found.or_else(|| env::var("LOGNAME").ok()).unwrap_or_default()
}

/// The ranges of a user in the lines of subuid(5): `NAME or UID:first:count`.
fn ranges(text: &str, name: &str, uid: u32) -> Vec<(u32, u32)> {
    let uid = uid.to_string();
    let range = |line: &str| {
        let mut fields = line.trim_end().split(':');
        let owner = fields.next().filter(|owner| !owner.is_empty())?;
        let mut number = || fields.next()?.parse().ok();
        let range = (number()?, number().filter(|count| *count > 0)?);
        (owner == name || owner == uid).then_some(range)
    };
    text.lines().filter_map(range).collect()
}

/// Adds the cure to what the host's settings may have refused.
fn refused(error: Error) -> Error {
    const SWITCHES: [(&str, &str, &str); 3] = [
        ("/proc/sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
        (
            "/proc/sys/kernel/unprivileged_userns_clone",
            "0",
            "sysctl -w kernel.unprivileged_userns_clone=1",
        ),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for \
             coracle that has userns",
        ),
    ];
    let is = |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|t| t.trim() == value);
    match SWITCHES.into_iter().find(|(path, value, _)| is(path, value)) {
        Some((path, value, cure)) => error.hint(format!("{path} is {value}; as root: {cure}")),
        None => error.or_hint(|| "does this host allow user namespaces? Root needs none".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_ranges_of_its_name_and_of_its_number() {
        let text = "root:1:2\nann:100000:65536\n1000:300000:10\nann:x:1\nann:7:0\nannie:5:5\n";
        assert_eq!(ranges(text, "ann", 1000), [(100000, 65536), (300000, 10)]);
        assert!(ranges(text, "", 2000).is_empty());
    }
}
