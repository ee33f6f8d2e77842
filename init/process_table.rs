//! All processes, as /proc shows them: who descends from whom.

use crate::sorted::{Map, Set};
use coracle::sys::fs::read_small;
use coracle::types::Pid;
use std::fs;

/// Every process that is not a zombie, with its parent. A parent of `None` is outside our pid
/// namespace.
#[derive(Debug, Default)]
pub struct ProcessTable(Map<Pid, Option<Pid>>);

impl ProcessTable {
    /// `None` where /proc is missing or belongs to another pid namespace.
    pub fn read() -> Option<ProcessTable> {
        let me = fs::read_link("/proc/self").ok()?;
        if me.to_str()?.parse() != Ok(std::process::id()) {
            return None;
        }
        let mut table = Map::new();
        for entry in fs::read_dir("/proc").ok()?.flatten() {
            let name = entry.file_name();
            let pid = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
            let Some(pid) = pid else { continue };
            // One that ended since is not there.
            let Ok(stat) = read_small(&entry.path().join("stat"), 4096) else { continue };
            if let Some((b'Z' | b'X', _)) | None = state_and_parent(&stat) {
                continue;
            }
            table.insert(pid, state_and_parent(&stat).and_then(|(_, parent)| parent));
        }
        Some(ProcessTable(table))
    }

    /// The descendants of `ancestor`, without those in `spared` and their descendants.
    pub fn descendants(&self, ancestor: Pid, spared: &Set<Pid>) -> Vec<Pid> {
        let all = self.0.keys().copied();
        all.filter(|pid| self.descends(*pid, ancestor, spared)).collect()
    }

    fn descends(&self, pid: Pid, ancestor: Pid, spared: &Set<Pid>) -> bool {
        let mut at = pid;
        // The table is no snapshot, so a loop is thinkable; no line of parents is longer than it.
        for _ in 0..self.0.len() {
            if spared.contains(&at) {
                return false;
            }
            match self.0.get(&at).copied().flatten() {
                Some(parent) if parent == ancestor => return true,
                Some(parent) => at = parent,
                None => return false,
            }
        }
        false
    }

    /// Those that came into this namespace from outside (`coracle exec`), and their descendants.
    pub fn guests(&self, me: Pid) -> Vec<Pid> {
        let ours: Set<Pid> = self.descendants(me, &Set::new()).into_iter().collect();
        let all = self.0.keys().copied();
        all.filter(|pid| *pid != me && !ours.contains(pid)).collect()
    }
}

/// From /proc/PID/stat (proc_pid_stat(5)): the state and the parent follow the last ")", as the
/// name before it may hold anything.
fn state_and_parent(stat: &[u8]) -> Option<(u8, Option<Pid>)> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end.checked_add(1)?..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    Some((state, Pid::from_raw(fields.next()?.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pid(n: i32) -> Pid {
        Pid::from_raw(n).unwrap()
    }

    #[test]
    fn a_name_may_look_like_fields() {
        let stat = b"12 (a) Z 3 (b) S 7 12 12 0 -1";
        assert_eq!(state_and_parent(stat), Some((b'S', Some(pid(7)))));
        assert_eq!(state_and_parent(b"12 (x) S 0 1"), Some((b'S', None)));
        assert_eq!(state_and_parent(b"12 (x)"), None);
        assert_eq!(state_and_parent(b""), None);
    }

    #[test]
    fn spared_processes_keep_their_descendants_out_and_guests_are_told_apart() {
        let parents = [(1, 0), (2, 1), (3, 2), (4, 1), (5, 4), (6, 5), (7, 0), (8, 7)];
        let table = parents.map(|(child, parent)| (pid(child), Pid::from_raw(parent)));
        let table = ProcessTable(table.into_iter().collect());
        let spared = Set::from_iter([pid(4)]);
        assert_eq!(table.descendants(pid(1), &spared), [pid(2), pid(3)]);
        assert_eq!(table.descendants(pid(4), &Set::new()), [pid(5), pid(6)]);
        assert_eq!(table.guests(pid(1)), [pid(7), pid(8)]);
    }

    #[test]
    fn a_loop_of_parents_ends() {
        let table = [(2, 3), (3, 2)].map(|(c, p)| (pid(c), Some(pid(p))));
        let table = ProcessTable(table.into_iter().collect());
        assert!(table.descendants(pid(1), &Set::new()).is_empty());
    }
}
