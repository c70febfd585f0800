//! SIP that the dataplane relays by itself.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The most targets of [`StatelessSpec`].
pub const MOST_TARGETS: usize = 256;

/// The most senders of [`StatelessSpec`].
pub const MOST_SENDERS: usize = 512;

/// How the dataplane relays SIP without the signaling plane (RFC 3261 section 16.11), and to whom. Without realms it does
/// not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatelessSpec {
    /// Realms whose requests go to the targets.
    pub realms: Vec<u16>,
    /// Whether dialogs stay on our way: requests within them find their target although the set has changed.
    pub record_route: bool,
    /// What our marks in Via and Record-Route are made with. Secret, and the same in every life and on every node that
    /// may get the other's replies.
    pub key: [u8; 16],
    /// The key of the targets' weights for a Call-ID (SipHash-1-3): the dispatcher's.
    pub hash: (u64, u64),
    /// Networks whose requests are relayed, as an address and its leading bits: at most [`MOST_SENDERS`]. The requests of others are the
    /// signaling plane's.
    pub senders: Vec<(IpAddr, u8)>,
    /// At most [`MOST_TARGETS`].
    pub targets: Vec<StatelessTarget>,
}

/// A target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatelessTarget {
    /// Where it receives SIP over UDP.
    pub address: SocketAddr,
    /// The realm that it is in.
    pub realm: u16,
    /// Its share of the calls, relative to the others'; 0 for none.
    pub weight: u32,
    /// Whether it takes new calls.
    pub up: bool,
    /// What is hashed behind the Call-ID for its weight.
    pub place: Vec<u8>,
}
