//! cox: the init inside the container.

fn main() {}
