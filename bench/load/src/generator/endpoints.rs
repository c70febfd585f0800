//! Addresses of the generator's own on its ports, and who is behind others.

use std::net::{IpAddr, Ipv6Addr};

use tandem_wire::ethernet::{self, EthernetRepr};

pub use tandem_wire::ethernet::Mac;

use super::Sink;
use super::neighbour;
use crate::{MILLISECOND, Nanos, SECOND};

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
    #[error("{0} is outside of the networks of port {1}: give the port a gateway")]
    NoWay(IpAddr, usize),
    /// Two families in one stream.
    #[error("{0} and {1} are not of one family")]
    Families(IpAddr, IpAddr),
}

impl Host {
    /// Whether an address is its own.
    #[must_use]
    pub fn owns(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(own, _)| *own == address)
    }

    /// An Ethernet header from it.
    pub(super) fn ethernet(&self, destination: Mac, address: IpAddr) -> EthernetRepr {
        EthernetRepr {
            destination,
            source: self.mac,
            tag: self.vlan,
            ethertype: if address.is_ipv4() {
                ethernet::IPV4
            } else {
                ethernet::IPV6
            },
        }
    }

    /// An address of its own that is in the network of `address`.
    fn beside(&self, address: IpAddr) -> Option<IpAddr> {
        let on = |(own, prefix): &&(IpAddr, u8)| same_network(*own, address, *prefix);
        self.addresses.iter().find(on).map(|(own, _)| *own)
    }

    /// Who has to be asked for the way to `address`.
    fn next_hop(&self, address: IpAddr) -> Option<IpAddr> {
        if self.beside(address).is_some() {
            return Some(address);
        }
        let family = |g: &&IpAddr| g.is_ipv4() == address.is_ipv4();
        self.gateways.iter().find(family).copied()
    }
}

fn same_network(a: IpAddr, b: IpAddr, prefix: u8) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(a) => u128::from(a.to_bits()) << 96,
        IpAddr::V6(a) => a.to_bits(),
    };
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
    a.is_ipv4() == b.is_ipv4() && (bits(a) ^ bits(b)) & mask == 0
}

/// Somebody whom frames go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hop(u32);

struct Neighbour {
    port: usize,
    address: IpAddr,
    mac: Option<Mac>,
    /// It was given, and is not asked for.
    fixed: bool,
    ask: Nanos,
}

/// Who does not answer is asked again so much later.
const ASK_AGAIN: Nanos = 200 * MILLISECOND;
/// Who has answered, too.
const CONFIRM: Nanos = 20 * SECOND;

/// The generator's ports and their neighbours.
pub(super) struct Hosts {
    hosts: Vec<Host>,
    neighbours: Vec<Neighbour>,
    /// When somebody is to be asked next.
    ask: Nanos,
}

impl Hosts {
    pub(super) fn new(hosts: Vec<Host>) -> Self {
        Self {
            hosts,
            neighbours: Vec::new(),
            ask: 0,
        }
    }

    pub(super) fn get(&self, port: usize) -> Result<&Host, HostError> {
        self.hosts.get(port).ok_or(HostError::Port(port))
    }

    /// Whom frames from `local` on `port` to `remote` are for.
    pub(super) fn hop(
        &mut self,
        port: usize,
        local: IpAddr,
        remote: IpAddr,
    ) -> Result<Hop, HostError> {
        let host = self.get(port)?;
        if !host.owns(local) {
            return Err(HostError::Address(local, port));
        }
        if local.is_ipv4() != remote.is_ipv4() {
            return Err(HostError::Families(local, remote));
        }
        let fixed = host.peer_mac;
        let next = match fixed {
            Some(_) => remote,
            None => host
                .next_hop(remote)
                .ok_or(HostError::NoWay(remote, port))?,
        };
        let known = |n: &Neighbour| n.port == port && n.address == next;
        let at = match self.neighbours.iter().position(known) {
            Some(at) => at,
            None => {
                let (mac, fixed) = (fixed, fixed.is_some());
                self.neighbours.push(Neighbour {
                    port,
                    address: next,
                    mac,
                    fixed,
                    ask: 0,
                });
                self.ask = 0;
                self.neighbours.len() - 1
            }
        };
        Ok(Hop(u32::try_from(at).unwrap_or(u32::MAX)))
    }

    /// Its MAC address, if it has said it.
    #[inline]
    pub(super) fn mac(&self, hop: Hop) -> Option<Mac> {
        self.neighbours.get(hop.0 as usize)?.mac
    }

    /// Asks those who have not answered.
    pub(super) fn poll(&mut self, now: Nanos, sink: &mut impl Sink) {
        if now < self.ask {
            return;
        }
        self.ask = Nanos::MAX;
        for neighbour in self.neighbours.iter_mut().filter(|n| !n.fixed) {
            if now >= neighbour.ask
                && let Some(host) = self.hosts.get(neighbour.port)
            {
                // The gateway's network, or the neighbour's.
                let own = host.beside(neighbour.address);
                if let Some(own) = own {
                    sink.frame(neighbour.port, |buffer| {
                        neighbour::ask(host, own, neighbour.address, buffer).unwrap_or(0)
                    });
                }
                neighbour.ask = now
                    + if neighbour.mac.is_some() {
                        CONFIRM
                    } else {
                        ASK_AGAIN
                    };
            }
            self.ask = self.ask.min(neighbour.ask);
        }
    }

    /// A frame that may be ARP or ICMP came: what it says of neighbours is learned, what asks for our addresses is
    /// answered. Says whether it was one.
    pub(super) fn receive(&mut self, port: usize, frame: &[u8], sink: &mut impl Sink) -> bool {
        let Some(host) = self.hosts.get(port) else {
            return false;
        };
        let Some(heard) = neighbour::hear(host, frame) else {
            return false;
        };
        if let Some((address, mac)) = heard.said {
            let is = |n: &&mut Neighbour| n.port == port && n.address == address && !n.fixed;
            if let Some(neighbour) = self.neighbours.iter_mut().find(is) {
                neighbour.mac = Some(mac);
            }
        }
        if let Some(answer) = heard.answer {
            sink.frame(port, |buffer| match buffer.get_mut(..answer.len()) {
                Some(place) => {
                    place.copy_from_slice(&answer);
                    answer.len()
                }
                None => 0,
            });
        }
        true
    }
}

/// The multicast address that is asked for who has `address` (RFC 4291 section 2.7.1).
pub(super) fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let low = address.to_bits() & 0xff_ffff;
    Ipv6Addr::from_bits(0xff02_0000_0000_0000_0000_0001_ff00_0000 | low)
}
