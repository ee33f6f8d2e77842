//! The other end of the FIFO face: svc, svstat and svok (daemontools), sv (runit), s6-svstat and
//! s6-svwait (s6). They work on whatever supervisor keeps a `supervise` directory in daemontools'
//! or runit's form.

pub mod coxctl;
mod logs;
mod peer;
pub mod s6;
pub mod sv;
pub mod svc;
