//! Sets of capabilities (capabilities(7)), as bits in the kernel's numbering and as the names of
//! the runtime spec.

use crate::types::CAPABILITIES;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CapSet(pub u64);

impl CapSet {
    /// What Docker leaves a container: CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID
    /// SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE.
    pub const DEFAULT: CapSet = CapSet(0xa804_25fb);
    /// Every capability the spec names.
    pub const ALL: CapSet = CapSet((1 << CAPABILITIES.len()) - 1);

    pub fn names(self) -> impl Iterator<Item = String> {
        CAPABILITIES
            .iter()
            .enumerate()
            .filter(move |(bit, _)| self.0 & (1 << bit) != 0)
            .map(|(_, name)| format!("CAP_{name}"))
    }
}

impl Serialize for CapSet {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.names())
    }
}

impl<'de> Deserialize<'de> for CapSet {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<CapSet, D::Error> {
        let mut set = 0;
        for name in Vec::<String>::deserialize(d)? {
            let short = name.strip_prefix("CAP_").unwrap_or(&name);
            let bit = CAPABILITIES.iter().position(|n| *n == short).ok_or_else(|| {
                serde::de::Error::custom(format!("unknown capability \"{name}\""))
            })?;
            set |= 1 << bit;
        }
        Ok(CapSet(set))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_set_is_dockers_fourteen() {
        let names: Vec<String> = CapSet::DEFAULT.names().collect();
        assert_eq!(names.len(), 14);
        for name in ["CAP_CHOWN", "CAP_MKNOD", "CAP_NET_RAW", "CAP_AUDIT_WRITE", "CAP_SETFCAP"] {
            assert!(names.iter().any(|n| n == name), "{name}");
        }
        let json = serde_json::to_string(&CapSet::DEFAULT).unwrap();
        assert_eq!(serde_json::from_str::<CapSet>(&json).unwrap(), CapSet::DEFAULT);
    }
}
