//! tandem-sip
#![forbid(unsafe_code)]
