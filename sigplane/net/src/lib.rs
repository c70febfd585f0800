//! tandem-net
