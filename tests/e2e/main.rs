//! End-to-end tests: one scenario a test, each as root against the real binary, with the leak
//! guard after it. See `common` for what they stand on.

#[path = "../common/mod.rs"]
mod common;

mod ambassador;
mod bad_input;
mod commit;
mod commit_harm;
mod counters;
mod cox;
mod crash;
mod exec;
mod fallback;
mod fsck;
mod hostile;
mod hostile_load;
mod images;
mod import;
mod insert;
mod inside;
mod ipv6;
mod layers;
mod layouts;
mod lifecycle;
mod limits;
mod links;
mod logs;
mod monitor;
mod mounts;
mod names;
mod netmodes;
mod network;
mod network_changes;
mod networks;
mod ports;
mod prune;
mod restart;
mod run;
mod servers;
mod settings;
mod terminal;
mod together;
mod vlans;
mod volumes;
