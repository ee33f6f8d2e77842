//! What passes through the host between others while forwarding is on because of us: nothing. Without
//! us the host would be no router, so it is one for containers only. Docker drops there too.
//!
//! ```text
//! table ip coracle_transit, table ip6 coracle_transit
//!   forward      neither from nor to a bridge (or an ipvlan)   drop
//! ```
//!
//! A bridge may be anybody's: Docker or libvirt that finds forwarding on relies on it from then on. A
//! tunnel is let through to containers only: the host of most is the client of a VPN, which is
//! not to be led to its neighbours.
//!
//! The tables stay, as those of bridges do, and are dormant while we have no say: to remove one
//! would have its remover wait.

use super::super::forwarding::FORWARDERS;
use super::filter;
use super::version::Version;
use crate::error::Result;
use crate::sys::netlink::nftables::{self as nft, Batch, Source, Step, Tables};

pub const NAME: &str = "coracle_transit";

/// Has nothing pass between others by this version.
pub fn close(tables: &mut Tables, version: &Version) -> Result<()> {
    let family = version.table;
    let mut batch = Batch::new(NAME);
    batch.turn_to(family);
    match tables.table(family, NAME)? {
        Some(_) => batch.wake_table(true),
        None => make(&mut batch),
    }
    tables.commit(batch)
}

/// Has it pass again.
pub fn open(tables: &mut Tables, version: &Version) -> Result<()> {
    if tables.table(version.table, NAME)?.is_none() {
        return Ok(());
    }
    let mut batch = Batch::new(NAME);
    batch.turn_to(version.table);
    batch.wake_table(false);
    tables.commit(batch)
}

fn make(batch: &mut Batch) {
    batch.make_table("");
    batch.chain("forward", filter(nft::FORWARD, 0));
    // Most packets are through after one rule or two.
    for kind in FORWARDERS {
        for end in [Source::InputKind, Source::OutputKind] {
            let steps = [Step::Load(end, 0), Step::Is(0, &nft::link_name(kind)), Step::Accept];
            batch.rule("forward", "may be asked for", &steps);
        }
    }
    batch.rule("forward", "nobody asked for it", &[Step::Drop]);
}
