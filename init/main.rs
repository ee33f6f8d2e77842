//! cox: the init inside the container. PID 1, or any other process, that keeps services alive,
//! reaps what is orphaned, and stops all in order; or the tiny init in front of one command.
//!
//! One process supervises everything, so there is no window in which a dead supervisor leaves a
//! second copy of a service. Text becomes `service::Service` values (`dialect`); what happens
//! (`event_loop`) goes through one pure `machine` per service; what the machines want is done by
//! `supervisor` and its hands (`spawn`, `reap`, `log`, `shutdown`). `face` shows it to others.
//!
//! A panic in PID 1 ends the container, so whatever could panic is denied here.

#![cfg_attr(not(test), no_main)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod applets;
mod check;
mod command;
mod control;
#[cfg(test)]
#[path = "../tests/common/corpus.rs"]
mod corpus;
mod dialect;
mod env_file;
mod environment;
mod event_loop;
mod face;
mod graph;
mod json;
mod log;
mod machine;
mod message;
mod policy;
mod probe;
mod process_table;
mod reap;
mod service;
mod shutdown;
mod sorted;
mod sources;
mod spare;
mod spawn;
mod supervisor;
mod supervisord;
mod tai;
mod tini;

use coracle::sys::heap::Heap;
use coracle::sys::signal;
use std::ffi::OsString;

#[global_allocator]
static HEAP: Heap = Heap::new();

coracle::entry!(start);

fn start(words: Vec<OsString>) -> u8 {
    // Before anything else: what arrives from here on waits until it is read by signalfd.
    let mask = signal::set_mask(signal::ALL).unwrap_or(0);
    applets::run(words, mask)
}
