//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::checksum::Sum;

/// Protocol number of UDP.
pub const UDP: u8 = 17;
/// Bytes of an IPv4 header without options.
pub const IPV4_HEADER: usize = 20;
/// Bytes of an IPv6 header.
pub const IPV6_HEADER: usize = 40;

/// Why a packet has no readable header. The sender is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Shorter than its header.
    TooShort,
    /// The version is not the one that the EtherType promises.
    Version,
    /// The header's or the packet's length does not fit.
    Length,
}

/// A header of either version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Sender.
    pub source: IpAddr,
    /// Receiver.
    pub destination: IpAddr,
    /// The payload's protocol; for IPv6 the next header, which may be an extension.
    pub protocol: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Bytes of the header.
    pub header_length: usize,
    /// Bytes of the payload.
    pub payload_length: usize,
    /// Whether it is a fragment (IPv4; for IPv6 the protocol is 44).
    pub fragment: bool,
}

impl Ip {
    /// Whether an IPv4 header has options.
    #[inline]
    #[must_use]
    pub const fn has_options(&self) -> bool {
        self.source.is_ipv4() && self.header_length > IPV4_HEADER
    }

    /// Reads an IPv4 header. Bytes behind the packet (Ethernet padding) are allowed.
    ///
    /// # Errors
    /// See [`Error`].
    #[inline]
    pub fn parse_v4(packet: &[u8]) -> Result<Self, Error> {
        let header = packet.first_chunk::<IPV4_HEADER>().ok_or(Error::TooShort)?;
        let [first, traffic_class, t0, t1, _, _, f0, f1, _, protocol, _, _, addresses @ ..] =
            *header;
        if first >> 4 != 4 {
            return Err(Error::Version);
        }
        let header_length = usize::from(first & 0x0f) * 4;
        let total = usize::from(u16::from_be_bytes([t0, t1]));
        if header_length < IPV4_HEADER || total < header_length || total > packet.len() {
            return Err(Error::Length);
        }
        let [a, b, c, d, e, f, g, h] = addresses;
        Ok(Self {
            source: Ipv4Addr::new(a, b, c, d).into(),
            destination: Ipv4Addr::new(e, f, g, h).into(),
            protocol,
            traffic_class,
            header_length,
            payload_length: total - header_length,
            // More fragments, or an offset.
            fragment: u16::from_be_bytes([f0, f1]) & 0x3fff != 0,
        })
    }

    /// Reads an IPv6 header. Extension headers are not followed: their number is the protocol.
    ///
    /// # Errors
    /// See [`Error`].
    #[inline]
    pub fn parse_v6(packet: &[u8]) -> Result<Self, Error> {
        let header = packet.first_chunk::<IPV6_HEADER>().ok_or(Error::TooShort)?;
        let [first, second, _, _, l0, l1, protocol, _, addresses @ ..] = *header;
        if first >> 4 != 6 {
            return Err(Error::Version);
        }
        let payload_length = usize::from(u16::from_be_bytes([l0, l1]));
        if payload_length > packet.len() - IPV6_HEADER {
            return Err(Error::Length);
        }
        let mut source = [0; 16];
        let mut destination = [0; 16];
        let (from, to) = addresses.split_at(16);
        source.copy_from_slice(from);
        destination.copy_from_slice(to);
        Ok(Self {
            source: Ipv6Addr::from(source).into(),
            destination: Ipv6Addr::from(destination).into(),
            protocol,
            traffic_class: first << 4 | second >> 4,
            header_length: IPV6_HEADER,
            payload_length,
            fragment: protocol == 44,
        })
    }

    /// Whether an IPv4 header's checksum is right.
    #[inline]
    #[must_use]
    pub fn v4_checksum_is_right(&self, packet: &[u8]) -> bool {
        packet.get(..self.header_length).is_some_and(|h| Sum::ZERO.bytes(h).fold() == 0xffff)
    }
}

/// Bytes of the header that [`emit`] writes for this family.
#[inline]
#[must_use]
pub const fn header_length(v4: bool) -> usize {
    if v4 { IPV4_HEADER } else { IPV6_HEADER }
}

/// What a header to be written says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Sender.
    pub source: IpAddr,
    /// Receiver, of the same family.
    pub destination: IpAddr,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// The payload's protocol.
    pub protocol: u8,
    /// Bytes of the payload.
    pub payload_length: u16,
}

impl Repr {
    /// Writes the header into the first bytes of `out`; nothing when there is no room or the
    /// addresses are of two families. IPv4: no fragment allowed (DF) and identification 0 (RFC 6864
    /// section 4.1); the checksum is computed unless the port does.
    #[inline]
    pub fn emit(&self, out: &mut [u8], leave_checksum: bool) {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let Some(place) = out.first_chunk_mut::<IPV4_HEADER>() else { return };
                let total = self.payload_length.saturating_add(20).to_be_bytes();
                let [a, b, c, d] = source.octets();
                let [e, f, g, h] = destination.octets();
                let mut header = [
                    0x45,
                    self.traffic_class,
                    total[0],
                    total[1],
                    0,
                    0,
                    0x40,
                    0,
                    self.hop_limit,
                    self.protocol,
                    0,
                    0,
                    a,
                    b,
                    c,
                    d,
                    e,
                    f,
                    g,
                    h,
                ];
                if !leave_checksum {
                    let [high, low] = Sum::ZERO.bytes(&header).checksum().to_be_bytes();
                    header[10] = high;
                    header[11] = low;
                }
                *place = header;
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let Some(place) = out.first_chunk_mut::<IPV6_HEADER>() else { return };
                let length = self.payload_length.to_be_bytes();
                let (fixed, addresses) = place.split_at_mut(8);
                fixed.copy_from_slice(&[
                    0x60 | self.traffic_class >> 4,
                    self.traffic_class << 4,
                    0,
                    0,
                    length[0],
                    length[1],
                    self.protocol,
                    self.hop_limit,
                ]);
                let (from, to) = addresses.split_at_mut(16);
                from.copy_from_slice(&source.octets());
                to.copy_from_slice(&destination.octets());
            }
            _ => {}
        }
    }
}

/// The sum of two addresses, as the pseudo header has them.
#[inline]
#[must_use]
pub fn address_sum(source: IpAddr, destination: IpAddr) -> Sum {
    let add = |sum: Sum, address: IpAddr| match address {
        IpAddr::V4(a) => sum.bytes(&a.octets()),
        IpAddr::V6(a) => sum.bytes(&a.octets()),
    };
    add(add(Sum::ZERO, source), destination)
}
