//! tandem-load: calls, media and floods for an appliance, and what became of them.
//!
//! - [`profile`]: what a run is, from a TOML file.
//! - [`generator`]: the generator itself, sans-IO: the time and received frames go in, frames come out. It has
//!   addresses of its own, answers ARP and neighbour discovery for them, keeps thousands of RTP streams to
//!   their schedule, and accounts for what arrives.
//! - [`sip`]: what places and answers calls; the core gives it the datagrams for its addresses and it starts streams.
//! - [`socket`]: SIP alone, over the kernel's sockets.
//! - [`engine`]: the core between DPDK's ports, on a core of its own.
//! - [`plan`]: from a profile to what the core sends.
//! - [`figures`]: what was measured, as plain data; [`histogram`]: what latencies are counted in.
//! - [`search`]: the highest rate without loss (RFC 2544 section 26.1).
//! - [`report`]: figures as JSON, as a page, and while they come.
//!
//! Time is nanoseconds since the engine's start ([`Nanos`]).
#![forbid(unsafe_code)]

pub mod engine;
pub mod figures;
pub mod generator;
pub mod histogram;
pub mod plan;
pub mod profile;
pub mod report;
pub mod search;
pub mod sip;
pub mod socket;

/// Nanoseconds since the engine's start.
pub type Nanos = u64;

/// A second.
pub const SECOND: Nanos = 1_000_000_000;
/// A millisecond.
pub const MILLISECOND: Nanos = 1_000_000;
