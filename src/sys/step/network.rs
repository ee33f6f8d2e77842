//! Steps on what a uts and a network namespace hold: names, links and addresses.

use crate::sys::raw::{self, Errno, check};
use std::os::fd::AsFd;

pub fn set_host_name(name: &[u8]) -> Result<(), Errno> {
    // SAFETY: pointer and length agree.
    check(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) })?;
    Ok(())
}

pub fn set_domain_name(name: &[u8]) -> Result<(), Errno> {
    // SAFETY: pointer and length agree.
    check(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) })?;
    Ok(())
}

/// Sends each request and looks at its acknowledgement.
pub fn configure(requests: &[Vec<u8>]) -> Result<(), Errno> {
    let socket = raw::netlink(libc::NETLINK_ROUTE)?;
    for request in requests {
        let mut answer = [0u8; 1024];
        raw::send(socket.as_fd(), request, 0)?;
        let got = raw::recv(socket.as_fd(), &mut answer, 0)?;
        // struct nlmsghdr (16 bytes), then struct nlmsgerr, which begins with -errno.
        match answer.get(16..20) {
            Some(&[a, b, c, d]) if got >= 20 => match i32::from_ne_bytes([a, b, c, d]) {
                0 => {}
                error => return Err(Errno(-error)),
            },
            _ => return Err(Errno(libc::EBADMSG)),
        }
    }
    Ok(())
}
