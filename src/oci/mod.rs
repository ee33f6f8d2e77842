//! (being laid)

pub mod seccomp;
