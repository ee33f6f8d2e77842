//! End-to-end tests: one scenario a test, each as root against the real binary, with the leak
//! guard after it. See `common` for what they stand on.

#[path = "../common/mod.rs"]
mod common;

mod ambassador;
mod bad_input;
mod bad_values;
mod commit;
mod commit_harm;
mod counters;
mod cox;
mod cp;
mod crash;
mod documentation;
mod events;
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
mod isolation;
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
mod pause;
mod ports;
mod prune;
mod restart;
mod rootless;
mod run;
mod scripts;
mod servers;
mod settings;
mod shares;
mod terminal;
mod together;
mod update;
mod vlans;
mod volumes;
mod words;
