//! Views and reprs of what is on the wire: zero-copy, checked once, then infallible.
//!
//! A header is parsed into a small value with everything that a decision needs; what is sent is
//! emitted from values. [`sip`] indexes SIP datagrams.
#![forbid(unsafe_code)]

pub mod checksum;
pub mod ethernet;
pub mod ip;
pub mod rtcp;
pub mod rtp;
pub mod sip;
pub mod udp;
