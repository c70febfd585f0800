//! tandem-admin
#![forbid(unsafe_code)]
