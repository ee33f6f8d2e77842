//! User namespaces (user_namespaces(7)): which one this process is in, and going into another.

use super::fs::read_small;
use super::{check, namespace, raw};
use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;

/// CLONE_NEWUSER
pub const USER: i32 = libc::CLONE_NEWUSER;

/// What to do where an id is not to be had in one.
pub const MORE_IDS: &str = "only the ids of your user namespace are there; add a line NAME:100000:65536 \
                            to /etc/subuid and /etc/subgid, install uidmap, and stop all containers";

/// Whether this process is in the user namespace that the kernel began with, where root is root.
/// Its inode number is fixed (PROC_USER_INIT_INO, proc_ns.h).
///
/// Kept once it was looked at: nobody asks before having gone where it is to work.
pub fn is_initial() -> bool {
    const INITIAL: u64 = 0xEFFF_FFFD;
    static IS: OnceLock<bool> = OnceLock::new();
    *IS.get_or_init(|| inode("self").map_or(true, |inode| inode == INITIAL))
}

/// What tells the user namespace of a process from others; `process` is a pid, or `self`.
pub fn inode(process: &str) -> io::Result<u64> {
    Ok(fs::metadata(Path::new("/proc").join(process).join("ns/user"))?.ino())
}

/// Goes into the user namespace of the process behind a pidfd, which must belong to who we are, and
/// into a new mount namespace of it; what is mounted outside later appears there too.
///
/// There we are who is mapped, with all capabilities, and without other groups where these can be
/// left.
pub fn enter(process: BorrowedFd) -> io::Result<()> {
    raw::setns(process, USER)?;
    if may_set_groups() {
        // SAFETY: an empty list needs no memory.
        check(unsafe { libc::setgroups(0, std::ptr::null()) })?;
    }
    // SAFETY: integers only.
    check(unsafe { libc::unshare(namespace::MOUNT) })?;
    Ok(())
}

/// Whether groups can be changed at all: not where one group is all there is.
pub fn may_set_groups() -> bool {
    !read_small(Path::new("/proc/self/setgroups"), 64).is_ok_and(|text| text.starts_with(b"deny"))
}

/// Maps 0 of the user namespace of `process` to a user and a group, which must be our own.
pub fn map_one(process: i32, uid: u32, gid: u32) -> io::Result<()> {
    let proc = Path::new("/proc").join(process.to_string());
    fs::write(proc.join("setgroups"), "deny")?;
    fs::write(proc.join("uid_map"), format!("0 {uid} 1"))?;
    fs::write(proc.join("gid_map"), format!("0 {gid} 1"))
}

/// Whether there is a user with this number in our namespace.
pub fn has_uid(uid: u32) -> bool {
    is_mapped("/proc/self/uid_map", uid)
}

/// The same of a group.
pub fn has_gid(gid: u32) -> bool {
    is_mapped("/proc/self/gid_map", gid)
}

/// Lines of: the first inside, the first outside, how many.
fn is_mapped(path: &str, id: u32) -> bool {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().any(|line| {
        let mut numbers = line.split_ascii_whitespace().filter_map(|n| n.parse::<u64>().ok());
        match (numbers.next(), numbers.nth(1)) {
            (Some(first), Some(count)) => (first..first + count).contains(&u64::from(id)),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_of_this_namespace_is_there() {
        assert!(has_uid(0) && has_gid(0));
        assert!(inode("self").is_ok_and(|inode| inode != 0));
    }
}
