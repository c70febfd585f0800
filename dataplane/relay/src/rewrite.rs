//! New headers for a datagram: Ethernet, VLAN, IPv4 or IPv6, UDP.

use tandem_wire::checksum::{self, Sum};
use tandem_wire::{EthernetRepr, Ipv4Repr, Ipv6Repr, Mac, UdpRepr, ethernet, ipv4, ipv6, udp};

use crate::endpoint::Endpoint;
use crate::network::Way;
use crate::{TxChecksums, TxOffloads};

/// Time to live or hop limit of what we send.
pub(crate) const TTL: u8 = 64;

/// Headers to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Headers {
    ethernet: EthernetRepr,
    source: Endpoint,
    destination: Endpoint,
    /// DSCP and ECN.
    traffic_class: u8,
    dont_fragment: bool,
    /// IPv4 identification.
    id: u16,
    /// Whether the packet is IPv4.
    v4: bool,
    offloads: TxOffloads,
    /// The longest IP packet.
    mtu: usize,
}

/// How the UDP checksum comes about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum UdpChecksum {
    /// From a right one of the same payload: `old` is the sum of its addresses and ports.
    Update { checksum: u16, old: Sum },
    /// From the payload, by the port if it can.
    Compute,
}

/// The tag control information: the priority is the DSCP's class selector, as switches map it (EF is 5).
#[inline]
pub(crate) fn tag(vlan: u16, traffic_class: u8) -> u16 {
    u16::from(traffic_class >> 5) << 13 | vlan
}

/// The IPv4 identification: only a packet that may be fragmented needs one (RFC 6864 section 4.1); `ids` counts
/// them.
#[inline]
pub(crate) fn identification(dont_fragment: bool, ids: &mut u16) -> u16 {
    if dont_fragment {
        return 0;
    }
    *ids = ids.wrapping_add(1);
    *ids
}

impl Headers {
    /// By a realm's way out to a neighbour.
    #[inline]
    pub(crate) fn new(
        way: &Way,
        neighbour: Mac,
        source: Endpoint,
        destination: Endpoint,
        traffic_class: u8,
    ) -> Self {
        let v4 = source.is_v4();
        Self {
            ethernet: EthernetRepr {
                destination: neighbour,
                source: way.mac,
                tag: way.vlan.map(|vlan| tag(vlan, traffic_class)),
                ethertype: if v4 { ethernet::IPV4 } else { ethernet::IPV6 },
            },
            source,
            destination,
            traffic_class,
            dont_fragment: false,
            id: 0,
            v4,
            offloads: way.offloads,
            mtu: way.mtu.into(),
        }
    }

    /// Fragmentation as the sender had it.
    #[inline]
    pub(crate) fn fragmentation(mut self, dont_fragment: bool, ids: &mut u16) -> Self {
        self.dont_fragment = dont_fragment;
        if self.v4 {
            self.id = identification(dont_fragment, ids);
        }
        self
    }

    /// With whole checksums, whatever the port can do: the packet does not get there.
    #[cold]
    pub(crate) fn whole(mut self) -> Self {
        self.offloads = TxOffloads::default();
        self
    }

    /// Bytes of the Ethernet and IP headers.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.ethernet.len() + self.ip_len()
    }

    /// Whether so many bytes of UDP fit in a packet.
    #[inline]
    pub(crate) fn fits(&self, udp_len: usize) -> bool {
        self.ip_len() + udp_len <= self.mtu
    }

    #[inline]
    fn ip_len(&self) -> usize {
        if self.v4 { ipv4::HEADER } else { ipv6::HEADER }
    }

    /// Writes them, and the UDP header, in front of the payload that ends the window. None if the
    /// window is too short for them.
    #[inline]
    pub(crate) fn emit(&self, window: &mut [u8], udp_checksum: UdpChecksum) -> Option<TxChecksums> {
        let udp_len = u16::try_from(window.len().checked_sub(self.len())?).ok()?;
        let rest = self.ethernet.emit(window)?;
        let rest = if self.v4 {
            self.ipv4(udp_len).emit(rest)?
        } else {
            self.ipv6(udp_len).emit(rest)?
        };
        let payload = rest.get(udp::HEADER..)?;
        let (checksum, offloaded) = self.checksum(udp_len, payload, udp_checksum);
        let header = UdpRepr {
            source_port: self.source.port,
            destination_port: self.destination.port,
            length: udp_len,
            checksum,
        };
        header.emit(rest)?;
        let ipv4 = self.v4 && self.offloads.ipv4;
        if !offloaded && !ipv4 {
            return Some(TxChecksums::default());
        }
        Some(TxChecksums {
            ipv4,
            udp: offloaded,
            ipv6: !self.v4,
            l2_len: u8::try_from(self.ethernet.len()).ok()?,
            l3_len: u16::try_from(self.ip_len()).ok()?,
        })
    }

    fn ipv4(&self, payload_len: u16) -> Ipv4Repr {
        Ipv4Repr {
            source: self.source.ipv4(),
            destination: self.destination.ipv4(),
            traffic_class: self.traffic_class,
            id: self.id,
            dont_fragment: self.dont_fragment,
            ttl: TTL,
            protocol: udp::PROTOCOL,
            payload_len,
            checksum_offloaded: self.offloads.ipv4,
        }
    }

    fn ipv6(&self, payload_len: u16) -> Ipv6Repr {
        Ipv6Repr {
            source: self.source.ipv6(),
            destination: self.destination.ipv6(),
            traffic_class: self.traffic_class,
            next_header: udp::PROTOCOL,
            hop_limit: TTL,
            payload_len,
        }
    }

    /// The UDP checksum field, and whether the port has to finish it. An update costs less than
    /// asking the port, and keeps the sender's protection of the payload from end to end.
    #[inline]
    fn checksum(&self, udp_len: u16, payload: &[u8], how: UdpChecksum) -> (u16, bool) {
        let new = self.source.sum().sum(self.destination.sum());
        match how {
            UdpChecksum::Update { checksum, old } => {
                (udp::sent(checksum::update(checksum, old, new)), false)
            }
            UdpChecksum::Compute if self.offloads.udp => {
                let addresses = Sum::ZERO
                    .address(&self.source.address)
                    .address(&self.destination.address);
                (udp::pseudo_header(addresses, udp_len.into()).folded(), true)
            }
            UdpChecksum::Compute => {
                let sum = udp::pseudo_header(new, udp_len.into())
                    .word(udp_len)
                    .bytes(payload);
                (udp::sent(sum.checksum()), false)
            }
        }
    }
}
