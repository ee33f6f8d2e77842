//! The names of capabilities(7), and as `--cap-add` and `--cap-drop` write them.

use crate::error::Error;
use std::fmt;
use std::str::FromStr;

/// Each at its number in the kernel.
pub const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// One capability, or all: `NET_ADMIN`, `cap_net_admin`, `ALL`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Capability {
    All,
    /// By its number.
    One(u8),
}

impl FromStr for Capability {
    type Err = Error;
    fn from_str(text: &str) -> Result<Capability, Error> {
        let upper = text.to_ascii_uppercase();
        if upper == "ALL" {
            return Ok(Capability::All);
        }
        let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
        let number = CAPABILITIES.iter().position(|name| *name == short);
        number.and_then(|n| u8::try_from(n).ok()).map(Capability::One).ok_or_else(|| {
            let error = Error::invalid(format!("unknown capability \"{text}\""));
            error.hint(match super::nearest(short, CAPABILITIES) {
                Some(near) => format!("did you mean {near}?"),
                None => "capabilities(7) has their names; ALL is all of them".to_string(),
            })
        })
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Capability::All => f.write_str("ALL"),
            Capability::One(number) => write!(f, "CAP_{}", CAPABILITIES[usize::from(*number)]),
        }
    }
}

super::serde_by_text!(Capability);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_has_its_name_in_any_case() {
        for text in ["NET_ADMIN", "net_admin", "CAP_NET_ADMIN", "cap_Net_Admin"] {
            assert_eq!(text.parse::<Capability>().unwrap(), Capability::One(12));
        }
        assert_eq!("all".parse::<Capability>().unwrap(), Capability::All);
        assert_eq!(Capability::One(0).to_string(), "CAP_CHOWN");
        let error = "NET_ADMN".parse::<Capability>().unwrap_err();
        assert_eq!(error.to_string(), "unknown capability \"NET_ADMN\"");
        assert_eq!(error.hints(), ["did you mean NET_ADMIN?"]);
        assert!("".parse::<Capability>().is_err() && "CAP_".parse::<Capability>().is_err());
    }
}
