//! What a relay is told once, at its start.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use tandem_link::SlotTable;

use crate::PoliceConfig;

/// One worker's relay.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// The worker's index.
    pub worker: u16,
    /// Which worker owns which media ports.
    pub slots: SlotTable,
    /// The ports, in the configuration's order.
    pub ports: Vec<PortConfig>,
    /// The realms, in the configuration's order.
    pub realms: Vec<RealmConfig>,
    /// DSCP of SIP that is sent by [`crate::Relay::send_sip`], 0 to 63. CS3 is 24 (RFC 4594).
    pub sip_dscp: u8,
    /// How long learning of a media source stays open after new SDP, in nanoseconds.
    pub learning_ns: u64,
    /// The most flow pairs.
    pub max_flows: u32,
    /// Unpredictable: nobody shall choose addresses that meet in a hash table.
    pub seed: [u8; 16],
    /// How SIP is policed.
    pub police: PoliceConfig,
}

/// A port, as a relay sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortConfig {
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// The longest IP packet that it sends, in bytes.
    pub mtu: u16,
    /// What it computes when sending.
    pub offloads: TxOffloads,
}

/// Checksums that a port computes when it sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxOffloads {
    /// The IPv4 header checksum.
    pub ipv4: bool,
    /// The UDP checksum (the packet carries the pseudo header's sum).
    pub udp: bool,
}

/// A realm, as a relay sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealmConfig {
    /// Index of its port.
    pub port: u16,
    /// Its VLAN, 1 to 4,094, if its frames are tagged.
    pub vlan: Option<u16>,
    /// Where SIP is received.
    pub sip: Vec<SocketAddr>,
    /// Addresses of media.
    pub media: Vec<IpAddr>,
    /// Ports of media, the same for every address: first even, last odd.
    pub media_ports: RangeInclusive<u16>,
}

/// Why a relay cannot be made: the configuration is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A realm names a port that does not exist.
    #[error("realm {realm} names port {port}, which does not exist")]
    NoSuchPort {
        /// The realm's index.
        realm: u16,
        /// The port's.
        port: u16,
    },
    /// Two realms are on the same port with the same VLAN.
    #[error("realms {0} and {1} share a port and a VLAN: give one of them another VLAN")]
    SameNetwork(u16, u16),
    /// A VLAN identifier outside of 1 to 4,094.
    #[error("realm {realm}: VLAN {vlan} is not between 1 and 4094")]
    BadVlan {
        /// The realm's index.
        realm: u16,
        /// The identifier.
        vlan: u16,
    },
    /// More realms, ports, addresses or flows than an index holds.
    #[error("too many {0}")]
    TooMany(&'static str),
}
