//! Steps that give up privileges: ids, capabilities, seccomp. The ids by raw calls: libc's own
//! functions would signal all threads.

use crate::sys::raw::{self, Errno, check};

pub fn set_groups(groups: &[u32]) -> Result<(), Errno> {
    // SAFETY: pointer and length agree.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })?;
    Ok(())
}

pub fn set_gid(gid: u32) -> Result<(), Errno> {
    // SAFETY: integers only.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    Ok(())
}

pub fn set_uid(uid: u32) -> Result<(), Errno> {
    // SAFETY: integers only.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })?;
    Ok(())
}

pub fn set_bounding(keep: u64) -> Result<(), Errno> {
    for cap in (0..64).filter(|cap| keep & (1 << cap) == 0) {
        match raw::prctl(libc::PR_CAPBSET_DROP, cap, 0) {
            // Past the last capability this kernel knows.
            Err(Errno(libc::EINVAL)) => break,
            other => other?,
        }
    }
    Ok(())
}

/// capset(2)
pub fn set_capabilities(effective: u64, permitted: u64, inheritable: u64) -> Result<(), Errno> {
    let header = [raw::CAPABILITY_VERSION, 0];
    let mut data = [0u32; 6];
    for (i, set) in [effective, permitted, inheritable].iter().enumerate() {
        data[i] = *set as u32;
        data[i + 3] = (*set >> 32) as u32;
    }
    // SAFETY: version 3 takes a header of two words and two structs of three (capget(2)).
    check(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) })?;
    Ok(())
}

pub fn set_ambient(set: u64) -> Result<(), Errno> {
    raw::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0)?;
    for cap in (0..64).filter(|cap| set & (1 << cap) != 0) {
        raw::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as u64, cap)?;
    }
    Ok(())
}

pub fn seccomp(program: &[libc::sock_filter]) -> Result<(), Errno> {
    let len = u16::try_from(program.len()).map_err(|_| Errno(libc::EINVAL))?;
    let prog = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    let (call, mode) = (libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER);
    // SAFETY: the kernel copies `len` instructions from `filter`.
    check(unsafe { libc::syscall(call, mode, 0, &raw const prog) })?;
    Ok(())
}

pub fn new_keyring() -> Result<(), Errno> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    let anonymous = std::ptr::null::<libc::c_char>();
    let call = libc::SYS_keyctl;
    // SAFETY: a null name asks for an anonymous keyring.
    match check(unsafe { libc::syscall(call, KEYCTL_JOIN_SESSION_KEYRING, anonymous) }) {
        // A kernel without keys, or a filter that hides them: then there is nothing to hide.
        Err(Errno(libc::ENOSYS | libc::EPERM)) => Ok(()),
        other => other.map(drop),
    }
}
