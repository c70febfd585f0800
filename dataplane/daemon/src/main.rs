//! tandem-dataplane

fn main() {}
