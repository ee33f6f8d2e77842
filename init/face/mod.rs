//! How services are shown and commanded.

pub mod death_tally;
pub mod fifo;
pub mod fifodir;
pub mod status;
