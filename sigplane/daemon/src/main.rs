//! tandem-sigplane

fn main() {}
