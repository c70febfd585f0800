//! tandem-transaction
#![forbid(unsafe_code)]
