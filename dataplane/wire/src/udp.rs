//! UDP (RFC 768), over either version of IP.

use std::net::IpAddr;

use crate::checksum::Sum;
use crate::ip::{UDP, address_sum};

/// Bytes of the header.
pub const HEADER: usize = 8;

/// Why a datagram has no readable header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLength;

/// A datagram's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udp {
    /// Sender's port.
    pub source: u16,
    /// Receiver's port.
    pub destination: u16,
    /// Bytes of header and payload.
    pub length: u16,
    /// The checksum; 0 for none.
    pub checksum: u16,
}

impl Udp {
    /// Reads the header of the IP payload `datagram`.
    ///
    /// # Errors
    /// The length does not fit.
    #[inline]
    pub fn parse(datagram: &[u8]) -> Result<Self, BadLength> {
        let [a, b, c, d, e, f, g, h] = *datagram.first_chunk::<HEADER>().ok_or(BadLength)?;
        let udp = Self {
            source: u16::from_be_bytes([a, b]),
            destination: u16::from_be_bytes([c, d]),
            length: u16::from_be_bytes([e, f]),
            checksum: u16::from_be_bytes([g, h]),
        };
        let length = usize::from(udp.length);
        if (HEADER..=datagram.len()).contains(&length) { Ok(udp) } else { Err(BadLength) }
    }

    /// Whether the checksum is right. Without one it is, over IPv4 (RFC 768), and is not over IPv6
    /// (RFC 8200 section 8.1).
    #[inline]
    #[must_use]
    pub fn checksum_is_right(&self, source: IpAddr, destination: IpAddr, datagram: &[u8]) -> bool {
        if self.checksum == 0 {
            return source.is_ipv4();
        }
        datagram.get(..usize::from(self.length)).is_some_and(|covered| {
            pseudo_header(source, destination, self.length).bytes(covered).fold() == 0xffff
        })
    }
}

/// The sum of the pseudo header.
#[inline]
#[must_use]
pub fn pseudo_header(source: IpAddr, destination: IpAddr, length: u16) -> Sum {
    address_sum(source, destination).word(UDP.into()).word(length)
}

/// Writes a header into the first bytes of `out`; nothing when there is no room.
#[inline]
pub fn emit(out: &mut [u8], source: u16, destination: u16, length: u16, checksum: u16) {
    let Some(place) = out.first_chunk_mut::<HEADER>() else { return };
    let [a, b] = source.to_be_bytes();
    let [c, d] = destination.to_be_bytes();
    let [e, f] = length.to_be_bytes();
    let [g, h] = checksum.to_be_bytes();
    *place = [a, b, c, d, e, f, g, h];
}

/// A computed checksum as it is sent: 0 would mean none (RFC 768).
#[inline]
#[must_use]
pub const fn sent_form(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}
