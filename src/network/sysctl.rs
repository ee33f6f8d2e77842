//! What the kernel is told of single links, in /proc/sys/net: of those of the namespace that the
//! caller is in.

use crate::error::{OsContext, Result};
use std::fs;
use std::io::ErrorKind;

const IPV6: &str = "/proc/sys/net/ipv6/conf";
pub const ACCEPT_RA: &str = "accept_ra";

/// Has a link believe nobody who says that he is a router: any neighbour can.
pub fn ignore_routers_on(link: &str) -> Result<()> {
    set_ipv6(link, ACCEPT_RA, "0")
}

/// Keeps IPv6 from a link: routers, and neighbours who say that they are some, would give it an
/// address and a way out that nobody asked for.
pub fn disable_ipv6_on(link: &str) -> Result<()> {
    set_ipv6(link, "disable_ipv6", "1")
}

/// Lets a link have IPv6 addresses, where by default none has.
pub fn enable_ipv6_on(link: &str) -> Result<()> {
    let path = ipv6(link, "disable_ipv6");
    if is(&path, "0")? { Ok(()) } else { set(&path, "0") }
}

fn set_ipv6(link: &str, key: &str, value: &str) -> Result<()> {
    let path = ipv6(link, key);
    match fs::write(&path, value) {
        // The kernel has no IPv6.
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(_) if is(&path, value)? => Ok(()),
        Err(_) => set(&path, value),
        Ok(()) => Ok(()),
    }
}

fn ipv6(link: &str, key: &str) -> String {
    format!("{IPV6}/{link}/{key}")
}

pub fn is(path: &str, value: &str) -> Result<bool> {
    Ok(get(path)? == value)
}

pub fn get(path: &str) -> Result<String> {
    Ok(fs::read_to_string(path).on("read", path)?.trim().to_string())
}

pub fn set(path: &str, value: &str) -> Result<()> {
    let cure = || format!("have whoever may write it do so: echo {value} >{path}");
    fs::write(path, value).on("write", path).map_err(|e| e.hint(cure()))
}
