//! The last step: the program.

use crate::sys::exec::{PointerArray, execve, execveat};
use crate::sys::raw::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::RawFd;
use std::rc::Rc;

/// The environment of programs, ready made; cheap to clone.
#[derive(Clone, Debug)]
pub struct Variables(Rc<PointerArray>);

impl Variables {
    /// Each is `NAME=value`.
    pub fn new(variables: Vec<CString>) -> Variables {
        Variables(Rc::new(PointerArray::new(variables)))
    }

    pub fn iter(&self) -> std::slice::Iter<'_, CString> {
        self.0.strings().iter()
    }
}

/// A program to execute: the paths to try in turn, and its ready-made arrays.
#[derive(Debug)]
pub struct Exec {
    candidates: Vec<CString>,
    argv: PointerArray,
    envp: Variables,
}

impl Exec {
    /// `candidates` are tried in order, as execvp(3) does with PATH: the next one after ENOENT,
    /// ENOTDIR and EACCES; the error told is EACCES where that was seen.
    pub fn new(candidates: Vec<CString>, argv: Vec<CString>, env: Variables) -> Exec {
        Exec { candidates, argv: PointerArray::new(argv), envp: env }
    }

    /// The candidates for `program` under `path` (the value of PATH): the program itself where
    /// it holds a slash, or nothing: that is no directory of PATH, but not there.
    pub fn search(program: &CStr, path: &[u8]) -> Vec<CString> {
        let program = program.to_bytes();
        if program.is_empty() || program.contains(&b'/') {
            return CString::new(program).into_iter().collect();
        }
        let place = |dir: &[u8]| {
            let dir = if dir.is_empty() { b".".as_slice() } else { dir };
            CString::new([dir, b"/", program].concat()).ok()
        };
        path.split(|b| *b == b':').filter_map(place).collect()
    }

    /// The program's name for itself.
    pub(super) fn name(&self) -> String {
        let name = self.argv.strings().first();
        name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Executes `program` where there is one, else the candidates.
    pub(super) fn run(&self, program: Option<RawFd>) -> Errno {
        if let Some(program) = program {
            return execveat(program, &self.argv, &self.envp.0);
        }
        let mut told = Errno(libc::ENOENT);
        for candidate in &self.candidates {
            match execve(candidate, &self.argv, &self.envp.0) {
                Errno(libc::ENOENT | libc::ENOTDIR) => {}
                Errno(libc::EACCES) => told = Errno(libc::EACCES),
                other => return other,
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_a_slash_is_searched_for() {
        let found = Exec::search(c"sh", b"/bin::/usr/bin");
        assert_eq!(found, [c"/bin/sh".to_owned(), c"./sh".to_owned(), c"/usr/bin/sh".to_owned()]);
        assert_eq!(Exec::search(c"/x/sh", b"/bin"), [c"/x/sh".to_owned()]);
        assert_eq!(Exec::search(c"", b"/bin"), [c"".to_owned()]);
    }
}
