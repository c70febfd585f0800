//! Addresses of the generator's own, on its ports.

use std::net::IpAddr;

pub use tandem_wire::ethernet::Mac;

/// Who the generator is on one of its ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The MAC address that it sends from and answers for: the device's own.
    pub mac: Mac,
    /// The VLAN that it is in.
    pub vlan: Option<u16>,
    /// Its addresses with the length of their network's prefix. It answers ARP and neighbour discovery for them.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Who leads out of these networks, one for each family at most.
    pub gateways: Vec<IpAddr>,
    /// Where all frames go, whatever their address. None: ARP and neighbour discovery say it.
    pub peer_mac: Option<Mac>,
}

/// What cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// It has no such port.
    #[error("there is no port {0}")]
    Port(usize),
    /// It does not have the address.
    #[error("{0} is no address of the generator's port {1}: give it in the port's `addresses`")]
    Address(IpAddr, usize),
    /// Nobody leads there.
    #[error("{0} is outside of the networks of port {1}: give the port a `gateway`")]
    NoWay(IpAddr, usize),
}
