//! How services are shown and commanded.

mod bound;
pub mod coxctl;
pub mod death_tally;
pub mod fifo;
pub mod fifodir;
pub mod listener;
pub mod request;
pub mod runtime_dir;
pub mod status;
pub mod web;
