//! Time as daemontools writes it (cr.yp.to/libtai/tai64.html).

/// TAI64's label of 1970-01-01, with the leap seconds as daemontools counts them.
pub const EPOCH: u64 = (1 << 62) + 10;
