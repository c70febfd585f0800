//! What is on the wire: views that are checked once and then read without fail, and reprs that are
//! written. Nothing is copied, nothing allocated, no clock and no state.
//!
//! - [`ethernet`]: Ethernet II and one 802.1Q tag
//! - [`ipv4`], [`ipv6`], [`udp`], [`checksum`]
//! - [`rtp`], [`rtcp`], and how to tell them apart on one port (RFC 5761)
//! - [`sip`]: the lazy header index
#![forbid(unsafe_code)]

pub mod checksum;
pub mod ethernet;
pub mod ipv4;
pub mod ipv6;
pub mod rtcp;
pub mod rtp;
pub mod sip;
pub mod udp;

pub use ethernet::{Ethernet, EthernetRepr, Mac};
pub use ipv4::{Ipv4, Ipv4Error, Ipv4Repr};
pub use ipv6::{Ipv6, Ipv6Error, Ipv6Repr};
pub use rtcp::{Rtcp, RtcpError};
pub use rtp::{Rtp, RtpError, RtpHeader, RtpRepr};
pub use udp::{Udp, UdpError, UdpRepr};
