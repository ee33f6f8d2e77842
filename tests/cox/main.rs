//! cox from outside: the binary as PID 1 of a pid namespace of its own, one scenario a test.
//!
//! Services tell the test what they do by lines in a FIFO, so the tests wait on events and never
//! sleep. `COX_BIN` names another binary to test (CI: the static one). With `MUST_WORK=1` what
//! would be skipped fails.

mod applets;
mod article;
mod command;
mod coxctl;
mod example;
mod explain;
mod faults;
mod harness;
mod identity;
mod loggers;
mod logs;
mod mixed;
mod order;
mod services;
mod stop;
mod stress;
mod supervisord;
mod tini;
mod toml;
mod tools;
