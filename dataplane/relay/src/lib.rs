//! tandem-relay
#![forbid(unsafe_code)]
