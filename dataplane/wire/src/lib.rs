//! tandem-wire
#![forbid(unsafe_code)]
