//! The entry of a program that does without Rust's runtime (std::rt), whose handling of stack
//! overflows, threads and buffered output is 10 KB that a small program of one thread never uses.

use super::{fd, raw};
use std::ffi::{CStr, OsString, c_char};
use std::os::unix::ffi::OsStringExt;

/// Makes `$main`, a `fn(Vec<OsString>) -> u8`, the entry of the program: it is given the words of
/// the command line, and gives the exit code. The crate is `#![no_main]`.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        /// What C's runtime calls.
        #[cfg(not(test))]
        #[unsafe(no_mangle)]
        extern "C" fn main(count: i32, words: *const *const std::ffi::c_char) -> i32 {
            // SAFETY: these are the arguments of C's main.
            unsafe { $crate::sys::entry::enter(count, words, $main) }
        }

        /// Tests bring an entry of their own, in place of this one.
        #[cfg(test)]
        fn main() -> std::process::ExitCode {
            $main(std::env::args_os().collect()).into()
        }
    };
}

/// Does what else Rust's runtime would: descriptors 0 to 2 are open, SIGPIPE is ignored.
///
/// # Safety
/// `words` has `count` C strings, as C's `main` is given them.
pub unsafe fn enter(count: i32, words: *const *const c_char, main: fn(Vec<OsString>) -> u8) -> i32 {
    // Without /dev/null a closed descriptor stays closed; there is nobody to be told.
    let _ = fd::fill_standard();
    let _ = raw::sigaction(libc::SIGPIPE, Some(&raw::IGNORE));
    let count = usize::try_from(count).unwrap_or(0);
    let words = (0..count).map(|at| {
        // SAFETY: as the caller promises.
        let word = unsafe { CStr::from_ptr(*words.add(at)) };
        OsString::from_vec(word.to_bytes().to_vec())
    });
    i32::from(main(words.collect()))
}
