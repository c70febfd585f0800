//! Views and reprs of what is on the wire: zero-copy, checked once, then infallible.
#![forbid(unsafe_code)]

pub mod sip;
