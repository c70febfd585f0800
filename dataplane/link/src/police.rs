//! What the signaling plane knows of the sources of SIP, and how much of each is heard.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The most sources in one [`crate::Command::Classify`].
pub const SOURCES_A_COMMAND: usize = 1_024;

/// Whose SIP it is, as far as the signaling plane has said. All others are unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SourceClass {
    /// Nobody has said anything of it.
    Unknown,
    /// A registered user is there.
    Registered,
    /// A carrier, a trunk, a member of a pool.
    Trusted,
}

impl SourceClass {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Registered => "registered",
            Self::Trusted => "trusted",
        }
    }
}

/// A source and its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassifiedSource {
    /// Its address, or any of its network. A registered IPv6 address stands for the /64 that it is in.
    pub source: IpAddr,
    /// Bits of the network: 32 or 128 for one address. Networks are trusted, and in full sets only.
    pub length: u8,
    /// Which.
    pub class: SourceClass,
    /// For so many milliseconds from now; `u64::MAX` has no end.
    pub left_ms: u64,
}

impl ClassifiedSource {
    /// Whether it is one address.
    #[must_use]
    pub const fn is_host(&self) -> bool {
        match self.source {
            IpAddr::V4(_) => self.length >= 32,
            IpAddr::V6(_) => self.length >= 128,
        }
    }
}

/// How much SIP is heard of something: a token bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoliceLimit {
    /// Datagrams a second, up to 1,000,000,000. 0 for no limit.
    pub rate: u32,
    /// Datagrams at once; at least one.
    pub burst: u32,
}

/// How much SIP each worker of the dataplane lets through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoliceLimits {
    /// Each trusted address or network.
    pub trusted: PoliceLimit,
    /// Each registered address (an IPv6 /64).
    pub registered: PoliceLimit,
    /// Each unknown one.
    pub unknown: PoliceLimit,
    /// All registered ones together.
    pub all_registered: PoliceLimit,
    /// All unknown ones together.
    pub all_unknown: PoliceLimit,
    /// All SIP: its last half is not for unknown sources, its last quarter for trusted ones alone.
    pub all: PoliceLimit,
    /// IP fragments of any source, which the kernel reassembles.
    pub fragments: PoliceLimit,
}

/// One worker's answer to [`crate::Command::PoliceReport`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoliceReport {
    /// Whether a full set has come since the dataplane's start. Until then every source may send as much as it likes.
    pub complete: bool,
    /// Trusted addresses.
    pub trusted: u32,
    /// Trusted networks.
    pub networks: u32,
    /// Registered addresses.
    pub registered: u32,
    /// The most of them.
    pub most_registered: u32,
    /// Unknown sources that are remembered.
    pub unknown: u32,
    /// The most of them.
    pub most_unknown: u32,
    /// The source that was asked for.
    pub source: Option<SourceReport>,
}

/// What a worker knows of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceReport {
    /// Its class.
    pub class: SourceClass,
    /// Bits of the network that it has its class by; 32 or 128 if by its address; of an unknown one what counts as
    /// one source.
    pub length: u8,
    /// For how long yet, in milliseconds; none without an end.
    pub left_ms: Option<u64>,
    /// Whether it is blocked.
    pub blocked: bool,
    /// Datagrams that it may send now; none without a limit.
    pub credit: Option<u32>,
}
