//! (being laid)

pub mod cgroup;
pub mod seccomp;
