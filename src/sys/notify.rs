//! Datagrams with the sender's credentials, checked by the kernel: the receiving side of
//! sd_notify(3), unix(7) SCM_CREDENTIALS.

use super::{random, raw};
use crate::types::Pid;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// A socket in the abstract name space.
#[derive(Debug)]
pub struct NotifySocket {
    socket: UnixDatagram,
    name: String,
}

/// Who sent a datagram. No pid where the sender cannot be seen from our pid namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sender {
    pub pid: Option<Pid>,
    pub uid: u32,
}

impl NotifySocket {
    /// Under a name that nobody else uses.
    pub fn new() -> io::Result<NotifySocket> {
        let name = format!("cox/{:016x}", u64::from_ne_bytes(random::bytes()?));
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        socket.set_nonblocking(true)?;
        raw::set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_PASSCRED, 1)?;
        Ok(NotifySocket { socket, name })
    }

    /// The value of NOTIFY_SOCKET.
    pub fn address(&self) -> String {
        format!("@{}", self.name)
    }

    /// The next datagram, cut to the buffer; `None` where there is none. Descriptors that come
    /// with it are closed.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, Sender)>> {
        // Aligned as cmsghdr is; room for the credentials and nothing else.
        let mut control = [0u64; 5];
        let mut iov = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: all-zero is a valid msghdr; its pointers are to live memory of the lengths told.
        let (count, sender) = unsafe {
            let mut msg: libc::msghdr = std::mem::zeroed();
            msg.msg_iov = &raw mut iov;
            msg.msg_iovlen = 1;
            msg.msg_control = control.as_mut_ptr().cast();
            msg.msg_controllen = size_of_val(&control) as _;
            let count =
                libc::recvmsg(self.socket.as_raw_fd(), &raw mut msg, libc::MSG_CMSG_CLOEXEC);
            let count = match raw::check(count) {
                Err(raw::Errno(libc::EAGAIN)) => return Ok(None),
                other => other?,
            };
            let mut sender = None;
            let mut head = libc::CMSG_FIRSTHDR(&raw const msg);
            while !head.is_null() {
                let data = libc::CMSG_DATA(head);
                if (*head).cmsg_type == libc::SCM_CREDENTIALS {
                    sender = Some(data.cast::<libc::ucred>().read_unaligned());
                } else if (*head).cmsg_type == libc::SCM_RIGHTS {
                    // Only as many as fit behind the credentials: at most one.
                    libc::close(data.cast::<i32>().read_unaligned());
                }
                head = libc::CMSG_NXTHDR(&raw const msg, head);
            }
            (count, sender)
        };
        let nobody = Sender { pid: None, uid: u32::MAX };
        let sender = sender.map_or(nobody, |s| Sender { pid: Pid::from_raw(s.pid), uid: s.uid });
        Ok(Some((count as usize, sender)))
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_comes_with_its_sender() {
        let socket = NotifySocket::new().unwrap();
        let mut buffer = [0; 16];
        assert!(socket.receive(&mut buffer).unwrap().is_none());
        let name = socket.address().split_off(1);
        let other = UnixDatagram::unbound().unwrap();
        let address = SocketAddr::from_abstract_name(name).unwrap();
        other.send_to_addr(b"READY=1", &address).unwrap();
        let (count, sender) = socket.receive(&mut buffer).unwrap().unwrap();
        assert_eq!(&buffer[..count], b"READY=1");
        assert_eq!(sender.pid.unwrap().raw() as u32, std::process::id());
        assert_eq!(sender.uid, super::super::process::effective_uid());
    }
}
