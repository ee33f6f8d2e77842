//! How services are shown and commanded.

pub mod fifo;
